"""Group commit: one thread, one connection, and as few fsyncs as there can be.

Enters: jobs from any thread, each a function of the connection, or a row that is written together
with all rows of its kind. Leaves: their values, after the transaction that held them is on disk.
While one group is being synced the next one gathers, so that a slow disk makes larger groups and
not a longer queue.

When the disk refuses, the group is rolled back and every job of it and after it fails with
``LedgerUnwritable``: what was acknowledged before is whole, and nothing is written any more.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from finrag_eval.errors import LedgerUnwritable
from finrag_eval.turns import TURNS

_log = logging.getLogger(__name__)

T = TypeVar("T")
Row = TypeVar("Row")
Work = Callable[[sqlite3.Connection], T]
#: Writes rows of one kind, and gives one value a row. Every statement gives up Python's lock and
#: has to win it again from the calling threads: 40 rows by one statement are on disk many times
#: sooner than by 40.
WriteRows = Callable[[sqlite3.Connection, Sequence[Row]], Sequence[T]]

#: Jobs that may wait to be written; past it, callers wait (the writer's callbacks never do).
MAX_WAITING = 2_000


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    """``work`` is to be done, or else ``row`` is written by ``write_rows``."""

    work: Work[T] | None = None
    write_rows: WriteRows[Any, T] | None = None
    row: Any = None
    on_disk: Callable[[T], None] | None = None
    careful: bool = False
    done: threading.Lock | None = None
    value: T | None = None
    error: BaseException | None = None


class GroupWriter:
    """The writing thread of one ledger. ``close`` writes what is left."""

    def __init__(self, open_connection: Callable[[], sqlite3.Connection], path: str) -> None:
        self._path = path
        self._jobs: deque[_Job[Any]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._failure: LedgerUnwritable | None = None
        self._connection = open_connection()
        self._thread = threading.Thread(target=self._write, name="ledger-writer", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> LedgerUnwritable | None:
        """Why nothing can be written any more; None while all is well."""
        return self._failure

    def submit(self, work: Work[T], on_disk: Callable[[T], None] | None = None) -> None:
        """Queue a job and go on; ``on_disk`` gets its value in the writing thread."""
        self._queue(_Job(work=work, on_disk=on_disk))

    def submit_row(
        self,
        write_rows: WriteRows[Row, T],
        row: Row,
        on_disk: Callable[[T], None] | None = None,
    ) -> None:
        """Queue a row and go on; ``on_disk`` gets its value in the writing thread.

        Rows of one kind keep their order; within a group, those of two kinds do not.
        """
        self._queue(_Job(write_rows=write_rows, row=row, on_disk=on_disk))

    def run(self, work: Work[T], *, careful: bool = False) -> T:
        """The value of a job, once it is on disk.

        A ``careful`` job may raise: what it wrote is then taken back, and it alone fails.
        """
        return self._value_of(_Job(work=work, careful=careful))

    def run_row(self, write_rows: WriteRows[Row, T], row: Row) -> T:
        """The value of a row, once it is on disk."""
        return self._value_of(_Job(write_rows=write_rows, row=row))

    def close(self) -> None:
        """Write what is queued, then end the thread and close the connection."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _value_of(self, job: _Job[T]) -> T:
        if threading.current_thread() is self._thread:
            raise RuntimeError("the ledger's own thread cannot wait for itself")
        job.done = threading.Lock()
        job.done.acquire()
        with TURNS.away():
            self._queue(job)
            job.done.acquire()
        if job.error is not None:
            raise job.error
        return job.value  # type: ignore[return-value]  # None only where T is

    def _queue(self, job: _Job[Any]) -> None:
        with self._changed:
            if threading.current_thread() is not self._thread:
                self._changed.wait_for(
                    lambda: len(self._jobs) < MAX_WAITING or self._failure or self._closing
                )
            if self._failure is not None:
                raise self._failure
            if self._closing and threading.current_thread() is not self._thread:
                raise LedgerUnwritable(self._path, "it was closed")
            self._jobs.append(job)
            if len(self._jobs) == 1:
                self._changed.notify_all()

    def _write(self) -> None:
        while group := self._next_group():
            try:
                self._commit(group)
            except Exception as error:
                self._fail(group, error)
            else:
                self._release(group)
        self._close_connection()

    def _next_group(self) -> deque[_Job[Any]]:
        """All queued jobs, waiting for the first; none when closing and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closing)
            group, self._jobs = self._jobs, deque()
            self._changed.notify_all()
            return group

    def _commit(self, group: deque[_Job[Any]]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        together: dict[WriteRows[Any, Any], list[_Job[Any]]] = {}
        for job in group:
            if job.write_rows is not None:
                together.setdefault(job.write_rows, []).append(job)
                continue
            self._write_together(together)
            if job.careful:
                self._try(job)
            elif job.work is not None:
                job.value = job.work(connection)
        self._write_together(together)
        connection.execute("COMMIT")

    def _write_together(self, together: dict[WriteRows[Any, Any], list[_Job[Any]]]) -> None:
        for write_rows, jobs in together.items():
            values = write_rows(self._connection, [job.row for job in jobs])
            for job, value in zip(jobs, values, strict=True):
                job.value = value
        together.clear()

    def _try(self, job: _Job[Any]) -> None:
        assert job.work is not None
        self._connection.execute("SAVEPOINT job")
        try:
            job.value = job.work(self._connection)
        except BaseException as error:
            if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
                raise
            job.error = error
            self._connection.execute("ROLLBACK TO job")
        self._connection.execute("RELEASE job")

    def _release(self, group: deque[_Job[Any]]) -> None:
        for job in group:
            if job.on_disk is not None:
                try:
                    job.on_disk(job.value)
                except Exception:
                    _log.exception(
                        "what follows a write to %s failed; the write did not", self._path
                    )
            if job.done is not None:
                job.done.release()

    def _fail(self, group: deque[_Job[Any]], error: Exception) -> None:
        failure = LedgerUnwritable(self._path, str(error) or type(error).__name__)
        failure.__cause__ = error
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            _log.debug("the rollback failed, too; closing the connection drops the group")
        with self._changed:
            self._failure = failure
            waiting = [*group, *self._jobs]
            self._jobs.clear()
            self._changed.notify_all()
        for job in waiting:
            job.error = failure
            if job.done is not None:
                job.done.release()

    def _close_connection(self) -> None:
        try:
            if self._failure is None:
                self._connection.execute("PRAGMA busy_timeout = 500")  # a reader may be at it
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            _log.debug("no last checkpoint: %s", error)
        finally:
            self._connection.close()
