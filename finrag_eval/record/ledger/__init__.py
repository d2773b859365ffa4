"""The ledger: a sweep's durable local record, from which all else can be made again.

One SQLite file, ``ledger.sqlite``, in the sweep's folder (``docs/ledger.md`` describes it):

- ``schema``       the tables, their format number, the steps from older formats
- ``lock``         one writer a sweep
- ``connections``  how the file is opened, to write or beside a writer
- ``texts``        compression, digests, redaction, JSON
- ``plan_rows``    cells, models and queries as rows; ``plan_store`` keeps them
- ``trial_rows``   outcomes and scores as rows; ``trials`` reads them
- ``grouped``      group commit; ``writer`` is ``Ledger``
- ``batch_jobs``   jobs that outlive the session that planned them
- ``books``        what was spent; ``finding`` which trials have an answer
- ``reader``       ``LedgerReader``; ``export`` writes all of it as JSON lines
- ``listing``      one sweep in a line; ``sweeps_folder`` all of them
"""

from finrag_eval.record.ledger.books import NEVER_SETTLED, AttemptTotal, Spent
from finrag_eval.record.ledger.connections import LEDGER_FILE
from finrag_eval.record.ledger.export import export_jsonl
from finrag_eval.record.ledger.finding import TrialCounts
from finrag_eval.record.ledger.listing import SweepListing, listing_of
from finrag_eval.record.ledger.reader import LedgerReader, SessionInfo
from finrag_eval.record.ledger.sweeps_folder import (
    LATEST,
    Pruned,
    find_sweep,
    lacks_summary,
    list_sweeps,
    prune,
    recorded_answers,
)
from finrag_eval.record.ledger.texts import is_redacted
from finrag_eval.record.ledger.writer import Ledger

__all__ = [
    "LATEST",
    "LEDGER_FILE",
    "NEVER_SETTLED",
    "AttemptTotal",
    "Ledger",
    "LedgerReader",
    "Pruned",
    "SessionInfo",
    "Spent",
    "SweepListing",
    "TrialCounts",
    "export_jsonl",
    "find_sweep",
    "is_redacted",
    "lacks_summary",
    "list_sweeps",
    "listing_of",
    "prune",
    "recorded_answers",
]
