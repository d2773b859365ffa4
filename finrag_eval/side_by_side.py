"""The answers behind a comparison: queries that changed, both answers beside each other.

Enters: the ledgers of both sides, their queries, and comparisons. Leaves: plain data, a record a
query and candidate, what got worse first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finrag_eval.compare.comparing import Comparison
from finrag_eval.domain import Query
from finrag_eval.record.ledger import LedgerReader

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Scored:
    """One recorded answer and its scores."""

    outcome_id: int
    repeat: int
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """One score of a query that changed: means over its repeats."""

    metric: str
    direction: str
    baseline: float
    candidate: float


def side_by_side(
    old: LedgerReader,
    new: LedgerReader,
    queries: Mapping[str, Query],
    found: Sequence[Comparison],
    show: int,
) -> tuple[Mapping[str, Any], ...]:
    """The queries that changed most: in every score, ``show`` of each direction.

    A query that changed in several scores stands once. Of repeated answers, those that show the
    change best are taken.
    """
    if show <= 0:
        return ()
    chosen: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for direction in ("worse", "better"):
        for one in found:
            for query_id in (one.worsened if direction == "worse" else one.improved)[:show]:
                key = (one.baseline, one.candidate, query_id)
                chosen.setdefault(key, []).append((one.metric, direction))
    wanted = {(cell, query_id) for first, second, query_id in chosen for cell in (first, second)}
    before, after = _scored(old, wanted), _scored(new, wanted)
    return tuple(
        _shown(old, new, queries, key, changed, before[key[0], key[2]], after[key[1], key[2]])
        for key, changed in sorted(chosen.items(), key=lambda item: item[0][1])
    )


def _shown(
    old: LedgerReader,
    new: LedgerReader,
    queries: Mapping[str, Query],
    key: tuple[str, str, str],
    changed: Iterable[tuple[str, str]],
    before: Sequence[_Scored],
    after: Sequence[_Scored],
) -> dict[str, Any]:
    baseline, candidate, query_id = key
    changes = [
        _Change(
            metric=metric,
            direction=direction,
            baseline=_mean(before, metric),
            candidate=_mean(after, metric),
        )
        for metric, direction in changed
    ]
    first, second = _telling(before, changes[0], up=False), _telling(after, changes[0], up=True)
    query = queries.get(query_id)
    return {
        "baseline": baseline,
        "candidate": candidate,
        "query_id": query_id,
        "query": None if query is None else query.query,
        "expected": None if query is None else _expected(query),
        "changes": [
            {
                "metric": one.metric,
                "direction": one.direction,
                "baseline": one.baseline,
                "candidate": one.candidate,
            }
            for one in changes
        ],
        "repeats": [len(before), len(after)],
        "baseline_answer": old.result(first.outcome_id).get("answer"),
        "candidate_answer": new.result(second.outcome_id).get("answer"),
    }


def _scored(reader: LedgerReader, wanted: set[_Key]) -> Mapping[_Key, list[_Scored]]:
    """The finished answers to the wanted queries, by cell and query, in the order of repeats."""
    found: dict[_Key, list[_Scored]] = defaultdict(list)
    for record in reader.final_records():
        key = (record.trial.cell, record.trial.query_id)
        if key in wanted and record.status == "success":
            scores = {
                f"score.{score.name}": score.value
                for score in record.scores
                if score.value is not None
            }
            found[key].append(_Scored(record.outcome_id, record.trial.repeat, scores))
    for repeats in found.values():
        repeats.sort(key=lambda one: one.repeat)
    return found


def _mean(repeats: Sequence[_Scored], metric: str) -> float:
    values = [one.scores[metric] for one in repeats if metric in one.scores]
    return sum(values) / len(values)


def _telling(repeats: Sequence[_Scored], change: _Change, *, up: bool) -> _Scored:
    """The repeat that shows the change best; ``up`` says that the better one shows a gain."""
    scored = [one for one in repeats if change.metric in one.scores]
    best = max if (change.direction == "better") == up else min
    return best(scored, key=lambda one: one.scores[change.metric])


def _expected(query: Query) -> str | None:
    """What the query set says is right, as it is written there."""
    answer = query.expected_answer
    if isinstance(answer, tuple):
        return "; ".join(answer)
    if answer is not None or query.expected_value is None:
        return answer
    return f"{query.expected_value:,.12g} {query.unit or ''}".strip()
