"""The ledger followed into a store: batch by batch, each trial once, whatever happens between.

Enters: the ledger and a lane. Leaves: runs, and a book that says which. Before a batch is sent,
the book notes what may come to be; after a crash or a lost reply the store is asked what did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from finrag_eval.domain import TrialRecord
from finrag_eval.record.jobs import JobMaker
from finrag_eval.record.lanes import Job, Lane, StoreAway, Written, one_line
from finrag_eval.record.ledger import LedgerReader
from finrag_eval.record.reconcile import reconcile
from finrag_eval.record.run_book import Entry, RunBook
from finrag_eval.record.store import Store

_BATCH = {"bulk": 200, "public": 16}


class Follower:
    """One sweep on its way into one store."""

    def __init__(
        self, reader: LedgerReader, book: RunBook, store: Store, lane: Lane, maker: JobMaker
    ) -> None:
        self._reader, self._book, self._store = reader, book, store
        self._lane, self._maker = lane, maker
        #: Whether the newest batch was a full one, so that there is more to come at once.
        self.is_behind = False
        #: How many trials the newest batch had.
        self.batch_size = 0

    @property
    def is_direct(self) -> bool:
        """True where the store's tables may be read as they are."""
        return self._lane.name == "bulk"

    def step(self, *, until: float | None = None) -> bool:
        """Records the next batch; False where there is nothing left to record.

        ``until`` leaves out trials that ended after that instant. Raises StoreAway.
        """
        limit = _BATCH[self._lane.name]
        records = list(self._reader.records(self._book.position, limit, newest_only=True))
        self.is_behind, self.batch_size = len(records) == limit, len(records)
        if not records:
            return False
        wanted = [record for record in records if until is None or record.ended_at <= until]
        self._record(wanted)
        if len(wanted) < len(records):
            return False
        self._book.advance(records[-1].scores_id)
        return True

    def record_unscored(self) -> None:
        """Records trials whose driver died before they were scored. Raises StoreAway."""
        outcomes = self._reader.unscored()
        for start in range(0, len(outcomes), _BATCH[self._lane.name]):
            some = outcomes[start : start + _BATCH[self._lane.name]]
            self._record([self._reader.record(outcome) for outcome in some])

    def _record(self, records: Iterable[TrialRecord]) -> None:
        newest = {record.trial.key: record for record in records}
        known = self._book.entries(list(newest))
        todo = [
            record
            for key, record in newest.items()
            if key not in known or known[key].scores_id < record.scores_id
        ]
        if not todo:
            return
        known = self._resolved(known)
        self._book.begin(record.trial.key for record in todo)
        jobs = [self._maker.job(record, _run_id(known, record)) for record in todo]
        written = Written()
        try:
            self._lane.write(jobs, written)
        finally:
            self._note(jobs, written)

    def _resolved(self, known: dict[str, Entry]) -> dict[str, Entry]:
        """The entries, with the run ids of those that were begun and never heard of again."""
        lost = [key for key, entry in known.items() if entry.is_begun and entry.run_id is None]
        if not lost:
            return known
        try:
            reconcile(self._store, self._book, self._reader.sweep_id, lost, direct=self.is_direct)
        except Exception as error:
            raise StoreAway(one_line(error)) from error
        return self._book.entries(list(known))

    def _note(self, jobs: Sequence[Job], written: Written) -> None:
        ended = {id(job) for job in written.done} | {id(job) for job, _ in written.refused}
        self._book.note(
            [(job.trial_key, job.run_id or "", job.scores_id) for job in written.done],
            [
                (job.trial_key, job.run_id)
                for job in jobs
                if id(job) not in ended and job.run_id is not None
            ],
        )
        self._book.refuse(
            (job.trial_key, job.run_id, job.scores_id, why) for job, why in written.refused
        )


def _run_id(known: dict[str, Entry], record: TrialRecord) -> str | None:
    entry = known.get(record.trial.key)
    return None if entry is None else entry.run_id
