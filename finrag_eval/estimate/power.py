"""What a planned sweep can find out: the differences, the gates, and what finer ones take.

Enters: the plan, what earlier sweeps of the results folder taught, and what the whole plan costs.
Leaves: plain data for the terminal or for JSON. Every figure says where its spread comes from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from finrag_eval.domain import Cell, GateSpec
from finrag_eval.estimate.estimating import Estimate
from finrag_eval.estimate.history import History
from finrag_eval.estimate.spreads import ASSUMED, ASSUMED_SPREAD, Spread, expected_spread
from finrag_eval.plan import Plan
from finrag_eval.statistics.intervals import normal_quantile
from finrag_eval.statistics.power import (
    detectable_factor,
    expected_se,
    passes_when_equal,
    smallest_detectable,
)

#: Besides its scores, every candidate is compared by cost, latency and tokens.
_BESIDES_SCORES = 3
#: A gate that an equal candidate fails more often than one time in five decides too little.
_ENOUGH = 0.8


def power_report(
    plan: Plan, history: History, *, detect: float | None = None, whole: Estimate | None = None
) -> dict[str, Any]:
    """The differences that the plan's queries find with 80% power, score by score.

    ``detect`` is a difference; ``whole`` the estimate of all trials of the plan, by which the
    queries that it takes are priced.
    """
    scores = [f"score.{scorer.name}" for scorer in plan.spec.scorers]
    family = max(1, len(plan.cells) - 1) * (len(scores) + _BESIDES_SCORES)
    queries = len(plan.query_set.queries)
    metrics = []
    for score in scores:
        expected = _widest(plan, history, score) or _assumed()
        entry: dict[str, Any] = {
            "metric": score,
            "mde": _mde(expected, queries, family),
            "spread": expected.spread,
            "spread_from": expected.source,
            "is_recorded": expected.source != ASSUMED,
            "paired": expected.paired,
        }
        if detect is not None:
            entry["queries_needed"] = _needed(expected, detectable_factor(family), detect)
        metrics.append(entry)
    report: dict[str, Any] = {
        "queries": queries,
        "comparisons": family,
        "metrics": metrics,
        "tight_gates": list(_tight_gates(plan, history, queries)),
    }
    if detect is not None and metrics:
        needed = max(one["queries_needed"] for one in metrics)
        report["detect"] = {"delta": detect, "queries_needed": needed}
        if whole is not None and queries:
            report["detect"]["usd"] = whole.usd.expected * needed / queries
            report["detect"]["seconds"] = whole.seconds * needed / queries
    return report


def _assumed() -> Spread:
    return Spread(spread=ASSUMED_SPREAD, paired=1.0, source=ASSUMED)


def _widest(plan: Plan, history: History, metric: str) -> Spread | None:
    """The spread of the candidate that is hardest to tell from the baseline; None if unknown."""
    baseline, *others = _baseline_first(plan)
    found = [
        spread
        for other in others
        if (spread := expected_spread(history.spreads, plan, metric, baseline, other))
    ]
    if len(found) < len(others) and metric.startswith("score."):
        found.append(_assumed())
    return max(found, key=lambda one: one.spread / math.sqrt(one.paired), default=None)


def _baseline_first(plan: Plan) -> list[Cell]:
    """The cells, with the baseline in front; the first cell stands in where none is named."""
    name = None if plan.spec.baseline is None else plan.spec.baseline.name
    return sorted(plan.cells, key=lambda cell: cell.name != name)


def _mde(expected: Spread, queries: int, family: int) -> float | None:
    pairs = queries * expected.paired
    return smallest_detectable(expected_se(expected.spread, pairs), family) if pairs >= 2 else None


def _needed(expected: Spread, factor: float, difference: float) -> int:
    """How many queries find the difference, of which only a share can be paired."""
    pairs = (factor * expected.spread / difference) ** 2
    return max(2, math.ceil(pairs * (1 - 1e-12) / expected.paired))


def _tight_gates(plan: Plan, history: History, queries: int) -> Iterator[dict[str, Any]]:
    """Gates that a candidate as good as its baseline would often fail, by chance alone."""
    for gate in plan.spec.gate:
        room = _room(gate)
        expected = None if room is None else _widest(plan, history, gate.metric)
        if room is None or expected is None or len(plan.cells) < 2:
            continue
        se = expected_se(expected.spread, max(1.0, queries * expected.paired))
        holds = passes_when_equal(room, se)
        if holds < _ENOUGH:
            factor = normal_quantile(0.975) + normal_quantile(_ENOUGH)
            yield {
                "gate": f"{gate.metric} {gate.rule} {gate.bound:g}",
                "holds_if_equal": holds,
                "queries_needed": _needed(expected, factor, room) if room > 0 else None,
                "spread": expected.spread,
                "spread_from": expected.source,
            }


def _room(gate: GateSpec) -> float | None:
    """How far off the gate lets a candidate be; None for gates on single cells."""
    if gate.rule == "min_delta":
        return -gate.bound
    return gate.bound - 1 if gate.rule == "max_ratio" else None
