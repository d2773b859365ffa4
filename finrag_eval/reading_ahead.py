"""The trials of a report read and packed while the sweep goes on, a few at a time.

Enters: a sweep's folder, and the moments that the recorder has nothing else to do. Leaves: what of
the report is packed already. The end of a sweep has then little left to read.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from finrag_eval.job import SweepJob, job_of_ledger
from finrag_eval.record.ledger import LedgerReader
from finrag_eval.record.run_book import recorded
from finrag_eval.report.ahead import PackedAhead
from finrag_eval.report.html import MAX_CHARS, MAX_TRIALS
from finrag_eval.trial_table import origin_of
from finrag_eval.trial_views import TrialViews

#: Trials that are read in one step: some hundredths of a second.
_STEP = 20


class ReadingAhead:
    """One session's trials; only of a sweep whose report shows all of them, as they are answered.

    Judges speak last, and change what every trial shows.
    """

    def __init__(self, folder: Path, reader: LedgerReader, job: SweepJob) -> None:
        """``reader`` is closed by ``close``."""
        self._folder, self._reader = folder, reader
        self._views = TrialViews(reader, origin_of(job, folder.name, None))
        self._keys = {trial.key for trial in job.plan.trials()}
        self._read = 0
        self.packed = PackedAhead(
            cells=[
                (one.name, one.prompts.system_text or None, one.prompts.query_text or None)
                for one in job.plan.cells
            ],
            score_names=[scorer.name for scorer in job.spec.scorers],
            query_ids=[query.id for query in job.plan.query_set.queries],
            trials_per_query=len(job.plan.cells) * job.spec.repeats,
        )

    @classmethod
    def begun(cls, folder: Path) -> ReadingAhead | None:
        """Of the sweep in ``folder``; None where that would not be worth while."""
        with ExitStack() as unless_begun:
            reader = unless_begun.enter_context(LedgerReader.open(folder))
            job = job_of_ledger(reader)
            if job.plan.trial_count > MAX_TRIALS or job.judges:
                return None
            ahead = cls(folder, reader, job)
            unless_begun.pop_all()
            return ahead

    def step(self) -> bool:
        """Read the next few trials that are recorded; False where there are none."""
        if self.packed.chars > MAX_CHARS:
            return False
        records = list(self._reader.records(self._read, _STEP))
        store = recorded(self._folder) if records else None
        if store is None:
            return False
        before = self._read
        for record in records:
            if record.trial.key not in store.run_ids:
                break
            self._read = record.scores_id
            if record.trial.key in self._keys:
                self.packed.add(self._views.of(record, store))
        return self._read > before

    def close(self) -> None:
        """Let go of the ledger; what is packed stays."""
        self._reader.close()
