"""The ledger read: records, results and the plan, from any process, while it is being written.

Enters: a sweep's folder. Leaves: the words of ``domain`` again, streamed in small pages, so that
a reader neither needs memory nor holds up the writer's checkpoints. Nothing here writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

from finrag_eval.domain import BatchJob, Cell, PromptTexts, Query, QuerySet, TrialRecord
from finrag_eval.record.ledger import batch_jobs, books, finding, plan_store, texts, trials
from finrag_eval.record.ledger.books import AttemptTotal, Spent
from finrag_eval.record.ledger.connections import ReadOnly
from finrag_eval.record.ledger.finding import TrialCounts

_CONTEXTS_KEPT = 64
#: Records that are kept in memory: some 3 kB each.
_RECORDS_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """One run of a process on the sweep.

    ``status`` is None while it runs; a session that died has ``interrupted`` and no end, once
    the next process has opened the ledger. ``plan`` is None where none was stored.
    """

    session: int
    kind: Literal["run", "score"]
    started_at: float
    ended_at: float | None
    status: str | None
    exit_code: int | None
    pid: int | None
    host: str | None
    spec: Mapping[str, Any]
    facts: Mapping[str, Any]
    plan: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Again:
    """Records that are read anew whenever somebody goes through them."""

    read: Callable[[], Iterator[TrialRecord]]

    def __iter__(self) -> Iterator[TrialRecord]:
        return self.read()


class LedgerReader:
    """One sweep's ledger for reading; a context manager, for one thread at a time."""

    def __init__(self, opened: ReadOnly) -> None:
        self._opened = opened
        self._connection = opened.connection
        self._text = lru_cache(maxsize=_CONTEXTS_KEPT)(self._read_text)
        self._cells_of = lru_cache(maxsize=None)(self._read_cells)
        self._trials = trials.TrialReader(self._connection)
        self._meta = dict(self._connection.execute("SELECT key, value FROM meta"))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The ledger of ``folder``, whoever writes it or died writing it; LedgerUnreadable."""
        return cls(ReadOnly(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        self._opened.close()

    # -- the sweep and its sessions

    @property
    def sweep_id(self) -> str:
        return str(self._meta["sweep_id"])

    @property
    def name(self) -> str:
        return str(self._meta["name"])

    @property
    def created_at(self) -> float:
        return float(self._meta["created_at"])

    def sessions(self) -> tuple[SessionInfo, ...]:
        """Every session, oldest first."""
        rows = self._connection.execute(
            "SELECT session, kind, started_at, ended_at, status, exit_code, pid, host, spec, "
            "facts, plan FROM sessions ORDER BY session"
        ).fetchall()
        return tuple(_session_info(*row) for row in rows)

    def spec(self) -> dict[str, Any] | None:
        """The resolved spec that the plan of today is of; None before the first session.

        A session that died before its plan was on disk counts only where no other has one.
        """
        row = self._connection.execute(
            "SELECT spec FROM sessions WHERE kind = 'run' "
            "ORDER BY plan IS NULL, session DESC LIMIT 1"
        ).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    # -- the plan

    def cells(self) -> tuple[Cell, ...]:
        """The cells of the plan of today, in their order."""
        session, _ = self._newest_plan()
        return () if session is None else self._cells_of(session)

    def queries(self) -> tuple[Query, ...]:
        """The queries of the plan of today, in their order, with their own contexts."""
        return plan_store.read_queries(self._connection)

    def query_ids(self) -> tuple[str, ...]:
        """The ids of the queries of the plan of today, in their order."""
        rows = self._connection.execute(
            "SELECT query_id FROM planned_queries ORDER BY position"
        ).fetchall()
        return tuple(query_id for (query_id,) in rows)

    def query_set(self) -> QuerySet | None:
        """The queries with their set's digest and source; None before the first plan."""
        _, plan = self._newest_plan()
        if plan is None:
            return None
        return QuerySet(
            queries=self.queries(),
            digest=plan["query_set_digest"],
            source=plan["query_set_source"],
        )

    def prompt_texts(self) -> tuple[PromptTexts, ...]:
        """The prompt versions of the plan of today, each once."""
        return tuple({cell.prompts.version: cell.prompts for cell in self.cells()}.values())

    def counts(self) -> TrialCounts:
        """Planned trials, and those whose newest outcome succeeded or failed."""
        return finding.trial_counts(self._connection)

    def batch_jobs(self) -> tuple[BatchJob, ...]:
        """The batch jobs that are not collected yet, with what is open of each."""
        return batch_jobs.open_jobs(self._connection)

    def cell_of(self, outcome_id: int) -> Cell | None:
        """The cell as it was when that outcome was made: its texts, settings and prices then."""
        name, _, session = self._labels_of(outcome_id)
        return next((cell for cell in self._cells_of(session) if cell.name == name), None)

    def query_of(self, outcome_id: int) -> Query | None:
        """The query as it was when that outcome was made."""
        _, query_id, session = self._labels_of(outcome_id)
        return plan_store.read_query(self._connection, query_id, session)

    # -- trials

    def records(
        self, after_scores_id: int = 0, limit: int | None = None, *, newest_only: bool = False
    ) -> Iterator[TrialRecord]:
        """Scored outcomes in the order of their scoring, from ``after_scores_id`` on.

        A follower remembers the last ``scores_id`` that it took. Of two records with the same
        ``trial.key`` the one with the larger ``scores_id`` replaces the other: a trial was run
        again, or scored again. ``newest_only`` leaves out what was replaced before it was read.
        A record's cell, query id and repeat are those of the plan of today.
        """
        return self._trials.scored_after(after_scores_id, limit, newest_only)

    def final_records(self) -> Iterator[TrialRecord]:
        """The newest outcome of each planned trial, in the order of the plan.

        One that has not been scored yet has ``scores_id`` 0 and no scores.
        """
        return self._trials.planned()

    def kept_records(self) -> Iterable[TrialRecord]:
        """``final_records`` to go through several times, as they are now.

        A few thousand are read once and kept; more are read anew each time, while this is open.
        """
        if self.counts().planned > _RECORDS_KEPT:
            return _Again(self.final_records)
        return tuple(self.final_records())

    def columns(self) -> dict[str, list[Any]]:
        """``final_records`` as columns, for numpy and pandas.

        The fields of TrialRecord (``prices`` aside), with the trial as ``trial_key``, ``cell``,
        ``query_id`` and ``repeat``, and for each score ``score.NAME`` (its value),
        ``unscored.NAME`` and ``score_error.NAME`` (the reason for none). Money is Decimal; what
        is missing is None, which ``numpy.array(column, dtype=float)`` makes NaN.
        """
        return self._trials.columns()

    def record(self, outcome_id: int) -> TrialRecord:
        """One outcome with its newest scores. KeyError where there is none of that id."""
        return self._trials.one(outcome_id)

    def unscored(self) -> tuple[int, ...]:
        """Newest outcomes of planned trials that died before they were scored."""
        return self._trials.unscored()

    def outcome_ids(self) -> Iterator[int]:
        """Every outcome there is, oldest first, those that were replaced included."""
        return self._trials.outcome_ids()

    def result(self, outcome_id: int) -> dict[str, Any]:
        """The whole result (contract, section 6). KeyError where there is none of that id."""
        row = self._connection.execute(
            "SELECT r.data, r.bytes, o.context FROM results r JOIN outcomes o USING (outcome) "
            "WHERE r.outcome = ?",
            (outcome_id,),
        ).fetchone()
        if row is None:
            raise KeyError(outcome_id)
        data, size, context = row
        result: dict[str, Any] = json.loads(texts.unpack(data, size))
        if context is not None:
            result["context"] = self._text(context)
        return result

    def answer(self, outcome_id: int) -> str | None:
        """The answer alone, without the context, which takes longer to read; None where it failed.

        KeyError where there is no outcome of that id.
        """
        row = self._connection.execute(
            "SELECT data, bytes FROM results WHERE outcome = ?", (outcome_id,)
        ).fetchone()
        if row is None:
            raise KeyError(outcome_id)
        answer: str | None = json.loads(texts.unpack(*row)).get("answer")
        return answer

    def results(self, outcome_ids: Iterable[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each outcome's id with its whole result, one at a time."""
        return ((outcome_id, self.result(outcome_id)) for outcome_id in outcome_ids)

    def traceback(self, outcome_id: int) -> str | None:
        """Where a failed trial failed in the code; None where that is not known."""
        row = self._connection.execute(
            "SELECT traceback FROM outcomes WHERE outcome = ?", (outcome_id,)
        ).fetchone()
        return None if row is None or row[0] is None else self._text(row[0])

    def answers(self) -> dict[str, tuple[int, str]]:
        """For each trial key that has an outcome: the newest one's id and status."""
        return finding.newest_outcomes(self._connection)

    def find_answer(self, trial_key: str) -> int | None:
        """The newest successful outcome of that key whose texts are all there; else None."""
        return finding.recorded_answer(self._connection, trial_key)

    # -- money

    def spent(self) -> Spent:
        """What was billed so far; calls that are open right now are not in it."""
        return books.spent(self._connection)

    def open_usd(self) -> Decimal:
        """What calls that are open right now may yet be billed, at most."""
        return books.open_usd(self._connection)

    def attempts(self) -> tuple[AttemptTotal, ...]:
        """Model calls counted and summed by purpose, state and error type."""
        return books.attempt_totals(self._connection)

    def attempt_rows(self) -> Iterator[dict[str, Any]]:
        """Every model call as it stands in the books, oldest first; money is text."""
        return books.attempt_rows(self._connection)

    # -- inside

    def _newest_plan(self) -> tuple[int | None, dict[str, Any] | None]:
        row = self._connection.execute(
            "SELECT session, plan FROM sessions WHERE plan IS NOT NULL "
            "ORDER BY session DESC LIMIT 1"
        ).fetchone()
        return (None, None) if row is None else (row[0], json.loads(row[1]))

    def _labels_of(self, outcome_id: int) -> tuple[str, str, int]:
        row = self._connection.execute(
            "SELECT cell, query_id, session FROM outcomes WHERE outcome = ?", (outcome_id,)
        ).fetchone()
        if row is None:
            raise KeyError(outcome_id)
        return row[0], row[1], row[2]

    def _read_text(self, digest: str) -> str:
        return plan_store.read_text(self._connection, digest)

    def _read_cells(self, session: int) -> tuple[Cell, ...]:
        return plan_store.read_cells(self._connection, session)


def _session_info(
    session: int,
    kind: Literal["run", "score"],
    started_at: float,
    ended_at: float | None,
    status: str | None,
    exit_code: int | None,
    pid: int | None,
    host: str | None,
    spec: str,
    facts: str,
    plan: str | None,
) -> SessionInfo:
    return SessionInfo(
        session=session,
        kind=kind,
        started_at=started_at,
        ended_at=ended_at,
        status=status,
        exit_code=exit_code,
        pid=pid,
        host=host,
        spec=json.loads(spec),
        facts=json.loads(facts),
        plan=None if plan is None else json.loads(plan),
    )
