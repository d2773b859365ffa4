"""Trials of the ledger as jobs for a lane: with all that their runs will hold.

Enters: records, and the ledger that they came from. Leaves: jobs. Decides which trials keep their
files: ``all``, ``failed``, ``none``, or ``sample:N``, which keeps those of N questions in every
cell, always the same ones, so that cells can be compared, and those of every failed trial.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace

from finrag_eval.domain import Cell, TrialRecord
from finrag_eval.record.lanes import Job
from finrag_eval.record.ledger import LedgerReader
from finrag_eval.record.payload import CellForm, Origin

KeepsFiles = Callable[[TrialRecord], bool]


def keeps_files(policy: str, query_ids: Callable[[], Sequence[str]]) -> KeepsFiles:
    """Which trials keep their files under ``tracking.artifacts``; ValueError for no such word."""
    if policy == "all":
        return lambda record: True
    if policy == "none":
        return lambda record: False
    if policy == "failed":
        return lambda record: record.status == "failed"
    word, _, number = policy.partition(":")
    if word != "sample" or not number.isdecimal():
        raise ValueError(f"tracking.artifacts is all, failed, sample:N or none, not {policy!r}")
    chosen = frozenset(heapq.nsmallest(int(number), query_ids(), key=_lot))
    return lambda record: record.status == "failed" or record.trial.query_id in chosen


def _lot(query_id: str) -> bytes:
    return hashlib.sha256(query_id.encode(errors="surrogatepass")).digest()


class JobMaker:
    """Makes jobs of one sweep; what the trials of a cell share is worked out once."""

    def __init__(self, reader: LedgerReader, origin: Origin, keeps: KeepsFiles) -> None:
        self._reader, self._origin, self._keeps = reader, origin, keeps
        self._forms: dict[int, tuple[Cell, CellForm]] = {}
        self._today: dict[str, Cell] = {}

    def job(self, record: TrialRecord, run_id: str | None = None) -> Job:
        """The job of one trial. KeyError where the ledger has no cell or query for it."""
        form = self._form(self._cell(record))
        query = self._reader.query_of(record.outcome_id)
        if query is None:
            raise KeyError(record.trial.query_id)
        query = replace(query, id=record.trial.query_id)
        result = self._reader.result(record.outcome_id) if self._keeps(record) else None
        return Job(
            trial_key=record.trial.key,
            scores_id=record.scores_id,
            payload=form.payload(record, query, result),
            run_id=run_id,
        )

    def _cell(self, record: TrialRecord) -> Cell:
        """The cell as it was then; where the plan of today has another name for it, that one."""
        then = self._reader.cell_of(record.outcome_id)
        if then is not None and then.name == record.trial.cell:
            return then
        if record.trial.cell not in self._today:
            self._today = {cell.name: cell for cell in self._reader.cells()}
        found = self._today.get(record.trial.cell, then)
        if found is None:
            raise KeyError(record.trial.cell)
        return found

    def _form(self, cell: Cell) -> CellForm:
        known = self._forms.get(id(cell))
        if known is None:
            known = self._forms[id(cell)] = (cell, CellForm(cell, self._origin))
        return known[1]
