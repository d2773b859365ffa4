"""The ledger of one sweep, open for writing: every answer that was paid for, on disk first.

Enters: reservations, outcomes and scores, from any thread. Leaves: nothing is acknowledged before
its group is on disk, and what is on disk stays whole through kill -9, full disks and power cuts.

Writes are made in the order of the calls: a settlement is on disk before any later reservation.
Any write may raise ``LedgerUnwritable``; from then on every write does.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from finrag_eval.domain import BatchJob, Cell, Outcome, Purpose, QuerySet, Score, SweepStatus, Trial
from finrag_eval.errors import LedgerUnwritable
from finrag_eval.record.ledger import (
    batch_jobs,
    books,
    connections,
    finding,
    plan_store,
    texts,
    trial_rows,
)
from finrag_eval.record.ledger.books import Spent
from finrag_eval.record.ledger.grouped import GroupWriter
from finrag_eval.record.ledger.lock import SweepLock
from finrag_eval.record.ledger.plan_rows import usd_text
from finrag_eval.record.ledger.rows import insert_rows, update_rows

SettledState = Literal["kept", "wasted", "free"]
SessionKind = Literal["run", "score"]


class Ledger:
    """One sweep's ledger and the only right to write it; a context manager."""

    def __init__(self, folder: Path, lock: SweepLock, *, redact: frozenset[str]) -> None:
        self.folder = folder
        self._lock = lock
        self._redact = redact
        self._known = texts.KnownTexts()
        self._session: int | None = None
        self._model_keys: dict[str, str] = {}
        path = str(folder / connections.LEDGER_FILE)
        self._writer = GroupWriter(partial(connections.open_to_write, folder), path)

    @classmethod
    def create(
        cls, folder: Path, *, sweep_id: str, name: str, redact: frozenset[str] = frozenset()
    ) -> Self:
        """A new ledger in ``folder``, which is made. FileExistsError where it holds one."""
        meta = {"sweep_id": sweep_id, "name": name, "created_at": repr(time.time())}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = SweepLock.acquire(folder)
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            connections.make_file(folder, meta)
            return cls(folder, lock, redact=redact)
        except (OSError, sqlite3.Error) as error:
            lock.release()
            if isinstance(error, FileExistsError):
                raise
            raise _unwritable(folder, error) from error
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, folder: Path, *, redact: frozenset[str] = frozenset()) -> Self:
        """An existing ledger; what dead sessions left open is settled at its worst case.

        ``redact`` names the texts (``answer``, ``context``) that are never written. Raises
        SweepInUse, LedgerUnreadable and, on a full or read-only disk, LedgerUnwritable.
        """
        if not (folder / connections.LEDGER_FILE).is_file():
            raise connections.no_ledger(folder)
        try:
            lock = SweepLock.acquire(folder)
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            ledger = cls(folder, lock, redact=redact)
        except BaseException:
            lock.release()
            raise
        try:
            ledger._writer.run(partial(books.close_dead_sessions, now=time.time()))
            ledger._writer.run(partial(plan_store.learn_digests, known=ledger._known))
        except BaseException:
            ledger.close()
            raise
        return ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is queued and let go of the sweep; a second call does nothing."""
        self._writer.close()
        self._lock.release()

    @property
    def failure(self) -> LedgerUnwritable | None:
        """Why nothing can be written any more; None while all is well."""
        return self._writer.failure

    def begin_session(
        self, spec: Mapping[str, Any], facts: Mapping[str, Any], *, kind: SessionKind = "run"
    ) -> int:
        """The number of a new session, which all that follows belongs to.

        ``spec`` is the resolved spec as JSON values; ``facts`` are digests, versions, the commit
        and whatever else shall be known later. Neither may hold secrets. A ``run`` takes over the
        batch jobs that are not collected yet.
        """
        process = (time.time(), os.getpid(), socket.gethostname())
        row = (kind, *process, texts.strict_json(spec), texts.strict_json(facts))
        self._session = self._writer.run(partial(_begin_session, row=row))
        return self._session

    def end_session(
        self, status: SweepStatus, exit_code: int, *, ended_at: float | None = None
    ) -> None:
        """Close the session's books and note how it ended; on disk on return.

        ``ended_at`` is when its last trial ended, where that is not now.
        """
        session = self._current()
        now = time.time() if ended_at is None else ended_at
        self._writer.run(
            partial(_end_session, session=session, status=status, exit_code=exit_code, now=now)
        )
        self._session = None

    def store_plan(
        self, *, cells: Iterable[Cell], query_set: QuerySet, trials: Iterable[Trial]
    ) -> int:
        """How many trials the session's plan has, once all of the plan is on disk.

        Cells, models with their prices, prompt texts, queries with their own contexts, and the
        key of every trial: whatever ``resume``, ``score``, ``sync`` and ``summary`` need. What
        earlier sessions planned is kept beside it, so that old outcomes keep their prices.
        ``trials`` is read once, in the writing thread.
        """
        plan = plan_store.pack_plan(
            cells, query_set, redact_context="context" in self._redact, known=self._known
        )
        self._model_keys = {cell.name: cell.model_key for cell in plan.cells}
        session = self._current()
        return self._writer.run(
            partial(plan_store.store, plan=plan, trials=trials, session=session), careful=True
        )

    def reserve(
        self,
        *,
        trial_key: str | None,
        cell: str | None,
        model_key: str,
        purpose: Purpose,
        usd: Decimal,
    ) -> int:
        """The id of an attempt whose worst case is on disk: now the call may be sent.

        ``trial_key`` is None for what many trials share, such as an embedding.
        """
        row = (self._current(), trial_key, cell, model_key, purpose, usd_text(usd), time.time())
        return self._writer.run_row(_reserve, (*row, "open"))

    def settle(
        self,
        attempt_id: int,
        *,
        billed_usd: Decimal,
        state: SettledState,
        error_type: str | None = None,
    ) -> None:
        """Replace a reservation by the truth; on disk before any later reservation.

        ``kept`` gave a usable answer, ``wasted`` was (or may have been) billed and did not,
        ``free`` was certainly not billed. Does not wait for the disk.
        """
        row = (usd_text(billed_usd), state, texts.column_text(error_type), time.time(), attempt_id)
        self._writer.submit_row(_settle, row)

    def plan_job(self, job: BatchJob) -> BatchJob:
        """The job with its attempts numbered, once all of it is reserved on disk: now it may go.

        Unlike single calls it outlives the session: later ones have it in ``batch_jobs``.
        """
        work = partial(batch_jobs.plan_job, job=job, session=self._current(), now=time.time())
        return self._writer.run(work, careful=True)

    def note_job(
        self,
        token: str,
        state: Literal["sent", "collected", "dropped"],
        job_id: str | None = None,
    ) -> None:
        """Put down what became of a job; behind all that was written before, does not wait."""
        self._writer.submit(partial(batch_jobs.note_job, token=token, state=state, job_id=job_id))

    def batch_jobs(self) -> tuple[BatchJob, ...]:
        """The jobs that are not collected yet, with what is open of each."""
        return self._writer.run(batch_jobs.open_jobs)

    def batch_job_count(self) -> int:
        """How many jobs the sweep ever planned."""
        return self._writer.run(batch_jobs.job_count)

    def append_outcome(
        self, outcome: Outcome, on_disk: Callable[[int], None] | None = None
    ) -> None:
        """Record an outcome; ``on_disk`` gets its id once it is safe, in the writing thread.

        Packing is done here, in the caller's thread; the disk is not waited for. Where it fails,
        ``on_disk`` is never called, and every later call raises.
        """
        packed = trial_rows.pack_outcome(
            outcome,
            session=self._current(),
            model_key=self._model_keys.get(outcome.trial.cell),
            redact=self._redact,
            known=self._known,
        )
        self._writer.submit_row(_append_outcomes, packed, on_disk)
        for text in packed.texts:
            self._known.add(text.digest)

    def append_scores(
        self,
        outcome_id: int,
        scores: Iterable[Score],
        judge_cost_usd: Decimal = Decimal(0),
        on_disk: Callable[[int], None] | None = None,
    ) -> None:
        """Record one scoring of an outcome: written once after each outcome, again by ``score``.

        ``judge_cost_usd`` is what judges were billed for this scoring. The newest scoring counts.
        """
        found = trial_rows.scores_json(scores, redact=bool(self._redact))
        row = (outcome_id, self._current(), time.time(), usd_text(judge_cost_usd), found)
        self._writer.submit_row(_append_scores, row, on_disk)

    def flush(self) -> None:
        """Return when all that was written before is on disk and its callbacks have run."""
        self._writer.run(lambda _: None)

    def spent(self) -> Spent:
        """What was billed so far, calls of dead sessions at their worst case included."""
        return self._writer.run(books.spent)

    def answers(self) -> dict[str, tuple[int, str]]:
        """For each trial key that has an outcome: the newest one's id and status."""
        return self._writer.run(finding.newest_outcomes)

    def _current(self) -> int:
        if self._session is None:
            raise RuntimeError("no session was begun")
        return self._session


def _unwritable(folder: Path, error: Exception) -> LedgerUnwritable:
    return LedgerUnwritable(str(folder / connections.LEDGER_FILE), str(error))


def _begin_session(connection: sqlite3.Connection, row: tuple[Any, ...]) -> int:
    session = _inserted(
        connection.execute(
            "INSERT INTO sessions (kind, started_at, pid, host, spec, facts) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )
    )
    if row[0] == "run":
        batch_jobs.take_over(connection, session)
    return session


def _end_session(
    connection: sqlite3.Connection, session: int, status: str, exit_code: int, now: float
) -> None:
    books.close_books(connection, session, now)
    totals = finding.trial_counts(connection)
    known = {
        "planned": totals.planned,
        "succeeded": totals.succeeded,
        "failed": totals.failed,
        "spent_usd": usd_text(books.spent(connection).total),
    }
    connection.execute(
        "UPDATE sessions SET ended_at = ?, status = ?, exit_code = ?, totals = ? WHERE session = ?",
        (now, status, exit_code, texts.strict_json(known), session),
    )


def _reserve(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> Sequence[int]:
    return insert_rows(
        connection,
        "attempts",
        "session, trial_key, cell, model_key, purpose, reserved_usd, reserved_at, state",
        rows,
    )


def _settle(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> Sequence[None]:
    update_rows(connection, "attempts", ("billed_usd", "state", "error_type", "settled_at"), rows)
    return [None] * len(rows)


def _append_outcomes(
    connection: sqlite3.Connection, packed: Sequence[trial_rows.PackedOutcome]
) -> Sequence[int]:
    plan_store.store_texts(connection, [text for one in packed for text in one.texts])
    columns = ", ".join(trial_rows.OUTCOME_COLUMNS)
    outcomes = insert_rows(connection, "outcomes", columns, [one.row for one in packed])
    results = [
        (outcome, one.result_size, one.result)
        for outcome, one in zip(outcomes, packed, strict=True)
    ]
    insert_rows(connection, "results", "outcome, bytes, data", results)
    return outcomes


def _append_scores(
    connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]
) -> Sequence[int]:
    columns = "outcome, session, scored_at, judge_cost_usd, scores_json"
    return insert_rows(connection, "scores", columns, rows)


def _inserted(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid
