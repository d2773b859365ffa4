"""Trial records out of the ledger: following, final, one by one, or as columns.

Enters: a connection. Leaves: records in pages of a thousand, each page a read of its own.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from finrag_eval.domain import Prices, TrialRecord
from finrag_eval.money import exact_sum
from finrag_eval.record.ledger.plan_rows import model_of
from finrag_eval.record.ledger.trial_rows import (
    JUDGE_USD,
    LOST_USD,
    RECORD_COLUMNS,
    json_tuple,
    record_of,
    usd_of,
    usd_sum,
)

_PAGE = 1_000
_COLUMNS = ", ".join(RECORD_COLUMNS)

_NEWEST_OUTCOME = "(SELECT max(n.outcome) FROM outcomes n WHERE n.trial_key = {key})"
_NEWEST_SCORES = "(SELECT max(x.scores) FROM scores x WHERE x.outcome = o.outcome)"

_SCORED = f"""
    SELECT {_COLUMNS} FROM scores s JOIN outcomes o ON o.outcome = s.outcome
    LEFT JOIN planned p ON p.trial_key = o.trial_key
    WHERE s.scores > ? {{newest}} ORDER BY s.scores LIMIT ?"""

_IS_NEWEST = (
    f"AND s.scores = {_NEWEST_SCORES} AND o.outcome = {_NEWEST_OUTCOME.format(key='o.trial_key')}"
)

_PLANNED = f"""
    FROM planned p JOIN outcomes o ON o.outcome = {_NEWEST_OUTCOME.format(key="p.trial_key")}
    LEFT JOIN scores s ON s.scores = {_NEWEST_SCORES}"""

_ONE = f"""
    SELECT {_COLUMNS} FROM outcomes o LEFT JOIN planned p ON p.trial_key = o.trial_key
    LEFT JOIN scores s ON s.scores = {_NEWEST_SCORES} WHERE o.outcome = ?"""

#: The columns that ``columns`` gives, as they stand in a row of ``RECORD_COLUMNS``.
_PLAIN = (
    "outcome_id", "scores_id", "trial_key", "cell", "query_id", "repeat", "status",
    "started_at", "ended_at", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "cost_usd", "wasted_usd", "retrieval_cost_usd", "saved_usd",
    "latency_total_seconds", "latency_retrieval_seconds", "latency_llm_seconds",
    "latency_wait_seconds", "retries", "context_length_chars", "answer_length_chars",
    "kpi_matches_count", "rag_chunks_count", "tickers", "years", "stop_reason",
    "error_type", "error_message", "stage", "reused_from",
)  # fmt: skip
_SCORES, _JUDGE, _LOST = 33, 34, 35


class TrialReader:
    """Records read through one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._prices = lru_cache(maxsize=None)(self._read_prices)

    def scored_after(
        self, scores_id: int, limit: int | None, newest_only: bool
    ) -> Iterator[TrialRecord]:
        """Records by growing ``scores_id``, from the one after ``scores_id`` on."""
        statement = _SCORED.format(newest=_IS_NEWEST if newest_only else "")
        left = limit
        while left is None or left > 0:
            page = _PAGE if left is None else min(_PAGE, left)
            rows = self._connection.execute(statement, (scores_id, page)).fetchall()
            yield from map(self._record, rows)
            if len(rows) < page:
                return
            scores_id = rows[-1][1]
            left = None if left is None else left - len(rows)

    def planned(self) -> Iterator[TrialRecord]:
        """The newest outcome of each planned trial, in the order of the plan."""
        position = -1
        statement = (
            f"SELECT {self._final_columns()}, p.position {_PLANNED} "
            "WHERE p.position > ? ORDER BY p.position LIMIT ?"
        )
        while rows := self._connection.execute(statement, (position, _PAGE)).fetchall():
            yield from (self._record(row[:-1]) for row in rows)
            position = rows[-1][-1]

    def one(self, outcome_id: int) -> TrialRecord:
        """The record of one outcome. KeyError where there is none."""
        row = self._connection.execute(_ONE, (outcome_id,)).fetchone()
        if row is None:
            raise KeyError(outcome_id)
        return self._record(row)

    def unscored(self) -> tuple[int, ...]:
        """Newest outcomes of planned trials without any scores, in the order of the plan."""
        rows = self._connection.execute(
            f"SELECT o.outcome {_PLANNED} WHERE s.scores IS NULL ORDER BY p.position"
        )
        return tuple(outcome for (outcome,) in rows)

    def outcome_ids(self) -> Iterator[int]:
        """The ids of all outcomes, oldest first."""
        last = 0
        statement = "SELECT outcome FROM outcomes WHERE outcome > ? ORDER BY outcome LIMIT ?"
        while rows := self._connection.execute(statement, (last, _PAGE)).fetchall():
            yield from (outcome for (outcome,) in rows)
            last = rows[-1][0]

    def columns(self) -> dict[str, list[Any]]:
        """The planned trials' records as lists of equal length."""
        columns: dict[str, list[Any]] = {name: [] for name in (*_PLAIN, "judge_cost_usd")}
        scored = ScoreColumns()
        cursor = self._connection.execute(
            f"SELECT {self._final_columns()} {_PLANNED} ORDER BY p.position"
        )
        while rows := cursor.fetchmany(_PAGE):
            turned = list(zip(*rows, strict=True))
            for name, values in zip(_PLAIN, turned, strict=False):
                columns[name].extend(_USUAL[name](values) if name in _USUAL else values)
            columns["judge_cost_usd"].extend(map(usd_sum, turned[_JUDGE]))
            for position, lost in enumerate(turned[_LOST], start=-len(rows)):
                if lost:
                    wasted = columns["wasted_usd"]
                    wasted[position] = exact_sum((wasted[position], usd_sum(lost)))
            scored.add(turned[_SCORES])
        return columns | scored.columns

    def _final_columns(self) -> str:
        """``RECORD_COLUMNS`` for a plan's newest outcomes, less look-ups that would find nothing.

        Trials with an earlier outcome, an orphan or a second scoring are rare, and looking for
        them trial by trial takes a third of the time.
        """
        (has_lost,) = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM attempts WHERE orphan = 1) OR EXISTS "
            "(SELECT 1 FROM outcomes GROUP BY trial_key HAVING count(*) > 1)"
        ).fetchone()
        (has_scored_again,) = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM scores GROUP BY outcome HAVING count(*) > 1)"
        ).fetchone()
        lighter = {}
        if not has_lost:
            lighter[LOST_USD] = "''"
        if not has_scored_again:
            lighter[JUDGE_USD] = "s.judge_cost_usd"
        return ", ".join(lighter.get(column, column) for column in RECORD_COLUMNS)

    def _record(self, row: Sequence[Any]) -> TrialRecord:
        return record_of(row, self._prices(row[-2], row[-1]))

    def _read_prices(self, model_key: str | None, session: int) -> Prices | None:
        row = self._connection.execute(
            "SELECT config FROM models WHERE model_key = ? AND session = ?", (model_key, session)
        ).fetchone()
        return None if row is None else model_of(row[0]).prices


class ScoreColumns:
    """Three columns a score; None where a trial has no such score."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {}
        self._length = 0

    def add(self, scorings: Sequence[str]) -> None:
        """Lengthen all columns by these trials' scores."""
        before, self._length = self._length, self._length + len(scorings)
        nothing = [None] * len(scorings)
        for column in self.columns.values():
            column.extend(nothing)
        page = json.loads(f"[{','.join(scorings)}]")
        for position, scores in enumerate(page, start=before):
            for score in scores:
                for prefix, key in _SCORE_PARTS:
                    if (told := score.get(key)) is not None or prefix == "score":
                        self._column(f"{prefix}.{score['name']}")[position] = told

    def _column(self, name: str) -> list[Any]:
        if name not in self.columns:
            _, _, score = name.partition(".")
            for prefix, _ in _SCORE_PARTS:
                self.columns.setdefault(f"{prefix}.{score}", [None] * self._length)
        return self.columns[name]


_SCORE_PARTS = (("score", "value"), ("unscored", "unscored"), ("score_error", "error"))


def _amounts(values: Sequence[str | None]) -> list[Any]:
    return [None if value is None else usd_of(value) for value in values]


def _lists(values: Sequence[str]) -> list[Any]:
    return list(map(json_tuple, values))


#: How columns become values; the others are values as they are.
_USUAL: Mapping[str, Callable[[Sequence[Any]], list[Any]]] = {
    "cost_usd": _amounts,
    "wasted_usd": _amounts,
    "retrieval_cost_usd": _amounts,
    "saved_usd": _amounts,
    "tickers": _lists,
    "years": _lists,
}
