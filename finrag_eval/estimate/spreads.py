"""How much paired differences varied in recorded sweeps: what a plan's power is reckoned from.

Enters: the comparisons of finished sweeps, kept in ``calibration.json``. Leaves: the spread that a
planned comparison can expect, and where that figure comes from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finrag_eval.domain import Cell
from finrag_eval.estimate.history import RecordedSpread, read_history, write_history
from finrag_eval.plan import Plan

#: Where nothing was recorded: two 0/1 scores that differ on a quarter of the queries.
ASSUMED_SPREAD = 0.5
ASSUMED = "assumed"
#: Fewer pairs than this tell nothing of a spread.
_FEWEST_PAIRS = 10
_KINDS = ("of these cells", "of these models", "of other cells")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The standard deviation to expect of one pair's difference, clusters reckoned in.

    A ratio's is relative to the baseline. ``paired`` is the share of queries that both cells had
    the metric for, ``source`` where the figures come from.
    """

    spread: float
    paired: float
    source: str


def remember_spreads(
    results_folder: Path, sweep_id: str, plan: Plan, comparisons: Iterable[Mapping[str, Any]]
) -> None:
    """Keep the spreads of a finished sweep's comparisons; a sweep counts once."""
    cells = {cell.name: cell for cell in plan.cells}
    found = []
    for one in comparisons:
        spread = _spread_of(one)
        if spread is not None and one["n_pairs"] >= 2:
            found.append(
                RecordedSpread(
                    sweep_id=sweep_id,
                    metric=one["metric"],
                    **_between(cells[one["baseline"]], cells[one["candidate"]]),
                    query_set=plan.query_set.digest,
                    repeats=plan.spec.repeats,
                    pairs=one["n_pairs"],
                    queries=one["n_pairs"] + one["n_missing"],
                    spread=spread,
                )
            )
    if found:
        history = read_history(results_folder)
        write_history(results_folder, history.with_spreads(sweep_id, found))


def expected_spread(
    recorded: Sequence[RecordedSpread],
    plan: Plan,
    metric: str,
    baseline: Cell,
    candidate: Cell,
) -> Spread | None:
    """The spread of the closest recorded pairs of cells, pooled; None where nothing is close.

    Closest are the same two cells, then the same two models, then any pair that differs as these
    do: in the model, or in the prompts alone. Within each, the same questions go first, then the
    same number of repeats. Rehearsals say nothing of models that are billed.
    """
    wanted = _between(baseline, candidate)
    groups: dict[tuple[int, bool, bool], list[RecordedSpread]] = {}
    for one in recorded:
        rank = _distance(one, wanted) if one.metric == metric else None
        if rank is not None:
            others = one.query_set != plan.query_set.digest
            key = (rank, others, one.repeats != plan.spec.repeats)
            groups.setdefault(key, []).append(one)
    for (rank, others, _), group in sorted(groups.items(), key=lambda item: item[0]):
        if sum(one.pairs for one in group) >= _FEWEST_PAIRS:
            return _pooled(group, f"{_KINDS[rank]}{', other questions' if others else ''}")
    return None


def _pooled(group: Sequence[RecordedSpread], whose: str) -> Spread:
    pairs = sum(one.pairs for one in group)
    sweeps = len({one.sweep_id for one in group})
    paired = pairs / sum(one.queries for one in group)
    pooled = math.sqrt(sum(one.pairs * one.spread**2 for one in group) / pairs)
    told = f"{sweeps} sweep{'' if sweeps == 1 else 's'} {whose}"
    if pooled > 0:
        return Spread(spread=pooled, paired=paired, source=told)
    # None of n pairs differed, so at most 3/n of all do (95%; Hanley & Lippman-Hand 1983).
    most = max(one.pairs for one in group)
    bound = min(ASSUMED_SPREAD, math.sqrt(3 / most))
    return Spread(spread=bound, paired=paired, source=f"{told}: none differed")


def _distance(one: RecordedSpread, wanted: Mapping[str, Any]) -> int | None:
    """A place among ``_KINDS``; None where the recorded pair tells nothing of the wanted one."""
    if one.cost_basis != wanted["cost_basis"]:
        return None
    if set(one.cells) == set(wanted["cells"]):
        return 0
    if sorted(one.models) == sorted(wanted["models"]):
        return 1
    return 2 if len(set(one.models)) == len(set(wanted["models"])) else None


def _between(baseline: Cell, candidate: Cell) -> dict[str, Any]:
    """What two cells are, whatever they are called."""
    pair = (baseline, candidate)
    return {
        "cells": tuple(cell.digest for cell in pair),
        "models": tuple(cell.model.model_id for cell in pair),
        "cost_basis": "+".join(sorted({cell.model.cost_basis for cell in pair})),
    }


def _spread_of(one: Mapping[str, Any]) -> float | None:
    """The spread behind a comparison's interval; a ratio's is relative, None where unknown."""
    root = math.sqrt(one["n_pairs"])
    if one["metric"].startswith("score."):
        return None if one["se"] is None else root * float(one["se"])
    low, high, ratio = one["ratio_ci_low"], one["ratio_ci_high"], one["ratio"]
    if low is None or high is None or not ratio:
        return None
    return root * float((high - low) / (2 * 1.959963984540054) / ratio)
