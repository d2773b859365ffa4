"""The ledger: a sweep's durable local record, from which all else can be made again."""

from finrag_eval.record.ledger.books import AttemptTotal, Spent
from finrag_eval.record.ledger.connections import LEDGER_FILE
from finrag_eval.record.ledger.finding import TrialCounts
from finrag_eval.record.ledger.reader import LedgerReader, SessionInfo
from finrag_eval.record.ledger.writer import Ledger

__all__ = [
    "LEDGER_FILE",
    "AttemptTotal",
    "Ledger",
    "LedgerReader",
    "SessionInfo",
    "Spent",
    "TrialCounts",
]
