"""What a sweep came to: its summary, figure by figure as METHODS says.

Enters: the plan's cells and queries, and the finished trials as columns. Leaves: the mapping that
``summary.json`` holds (contract, section 7). A mean of nothing is None, a failure is counted and
never averaged in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from finrag_eval.domain import Cell, Query
from finrag_eval.money import exact_sum
from finrag_eval.statistics.agreement import krippendorff_alpha
from finrag_eval.statistics.intervals import Estimate, estimate
from finrag_eval.statistics.quantiles import quantile, quantile_limits
from finrag_eval.statistics.repeats import repeat_variance_share
from finrag_eval.trial_columns import CellColumns, Flags, Floats

SCHEMA_VERSION = 1

#: A slice with fewer queries than this says nothing and is left out.
_SMALLEST_SLICE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFacts:
    """What a summary says of a sweep besides its trials. Times are ISO 8601 UTC, money is USD."""

    sweep_id: str
    name: str
    experiment: str
    environment: str
    status: str
    started_at: str | None
    ended_at: str | None
    wall_seconds: float
    trials_planned: int
    spent_usd: Decimal
    max_usd: Decimal | None = None
    parent_run_id: str | None = None
    parent_run_url: str | None = None
    tracking_uri: str | None = None
    digests: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    stopped_models: Mapping[str, str] = field(default_factory=dict)
    rest_usd: Decimal | None = None


def summarise(
    facts: SweepFacts,
    *,
    cells: Sequence[Cell],
    queries: Sequence[Query],
    columns: Mapping[str, CellColumns],
    repeats: int = 1,
    judges: Sequence[str] = (),
) -> dict[str, Any]:
    """The summary of a sweep; comparisons and gates are added by who compares."""
    finished = [columns[cell.name] for cell in cells if cell.name in columns]
    per_cell = [
        _cell_figures(cell, columns.get(cell.name), planned=len(queries) * repeats)
        | _agreement(columns.get(cell.name), judges)
        for cell in cells
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "sweep_id": facts.sweep_id,
        "name": facts.name,
        "experiment": facts.experiment,
        "environment": facts.environment,
        "parent_run_id": facts.parent_run_id,
        "parent_run_url": facts.parent_run_url,
        "tracking_uri": facts.tracking_uri,
        "status": facts.status,
        "started_at": facts.started_at,
        "ended_at": facts.ended_at,
        "wall_seconds": facts.wall_seconds,
        "digests": dict(facts.digests),
        "totals": _totals(facts, finished),
        "budget": _budget(facts, finished),
        "cells": per_cell,
        "comparisons": [],
        "gates": [],
        "slices": list(_slices(finished, queries)),
        "pareto": pareto_front(per_cell),
        "warnings": [*facts.warnings, *_warnings(facts, per_cell)],
    }


def _totals(facts: SweepFacts, finished: Sequence[CellColumns]) -> dict[str, Any]:
    succeeded = sum(int(cell.succeeded.sum()) for cell in finished)
    trials = sum(cell.trials for cell in finished)
    return {
        "trials_planned": facts.trials_planned,
        "trials_succeeded": succeeded,
        "trials_failed": trials - succeeded,
        "trials_not_run": facts.trials_planned - trials,
        "trials_reused": sum(int(cell.reused.sum()) for cell in finished),
        "cost_usd": _usd(finished, "cost_usd"),
        "judge_cost_usd": _usd(finished, "judge_cost_usd"),
        "retrieval_cost_usd": _usd(finished, "retrieval_cost_usd"),
        "input_tokens": _tokens(finished, "input_tokens"),
        "output_tokens": _tokens(finished, "output_tokens"),
        "cache_read_tokens": _tokens(finished, "cache_read_tokens"),
        "cache_write_tokens": _tokens(finished, "cache_write_tokens"),
    }


def _budget(facts: SweepFacts, finished: Sequence[CellColumns]) -> dict[str, Any]:
    """Money against the cap. ``wasted_usd`` is all that was billed beyond kept answers."""
    kept = exact_sum(
        cell.usd[name]
        for cell in finished
        for name in ("cost_usd", "judge_cost_usd", "retrieval_cost_usd")
    )
    left = None if facts.max_usd is None else float(facts.max_usd - facts.spent_usd)
    return {
        "max_usd": None if facts.max_usd is None else float(facts.max_usd),
        "spent_usd": float(facts.spent_usd),
        "left_usd": left,
        "wasted_usd": float(max(Decimal(0), facts.spent_usd - kept)),
        "saved_usd": _usd(finished, "saved_usd"),
        "rest_usd": None if facts.rest_usd is None else float(facts.rest_usd),
    }


def _usd(finished: Iterable[CellColumns], name: str) -> float:
    return float(exact_sum(cell.usd[name] for cell in finished))


def _tokens(finished: Iterable[CellColumns], name: str) -> int:
    return int(sum(np.nansum(cell.figures[name]) for cell in finished))


def _cell_figures(cell: Cell, held: CellColumns | None, *, planned: int) -> dict[str, Any]:
    named = {
        "cell": cell.name,
        "model_key": cell.model.key,
        "model_id": cell.model.model_id,
        "system_prompt_version": cell.prompts.version.system,
        "query_template_version": cell.prompts.version.query,
        "cost_basis": cell.model.cost_basis,
    }
    if held is None:
        return named | _nothing(planned)
    succeeded = int(held.succeeded.sum())
    return named | {
        "trials": held.trials,
        "succeeded": succeeded,
        "failed": held.trials - succeeded,
        "not_run": planned - held.trials,
        "reused": int(held.reused.sum()),
        "cost_usd": _cost_figures(held),
        "judge_cost_usd": float(held.usd["judge_cost_usd"]),
        "retrieval_cost_usd": float(held.usd["retrieval_cost_usd"]),
        "wasted_usd": float(held.usd["wasted_usd"]),
        "saved_usd": float(held.usd["saved_usd"]),
        "latency_total_seconds": _latency_figures(_answered_now(held, "latency_total_seconds")),
        "latency_wait_seconds": {"mean": _mean(held.figures["latency_wait_seconds"])},
        "input_tokens": _tokens([held], "input_tokens"),
        "output_tokens": _tokens([held], "output_tokens"),
        "cache_read_tokens": _tokens([held], "cache_read_tokens"),
        "cache_write_tokens": _tokens([held], "cache_write_tokens"),
        "kpi_matches_count": _mean(held.figures["kpi_matches_count"][held.succeeded]),
        "rag_chunks_count": _mean(held.figures["rag_chunks_count"][held.succeeded]),
        "retries": int(np.nansum(held.figures["retries"])),
        "success_rate": score_figures(held.succeeded.astype(float), held),
        "scores": {name: _with_reasons(name, values, held) for name, values in held.scores.items()},
        "usd_per_correct": _usd_per_correct(held),
        "errors": dict(held.errors),
        "stop_reasons": dict(held.stops),
        "flags": [
            f"{times} of {held.trials} trials ended with {reason}"
            for reason, times in held.stops.items()
        ],
    }


def _agreement(held: CellColumns | None, judges: Sequence[str]) -> dict[str, Any]:
    """Krippendorff's alpha over the judges' scores of the same answers; None where untold."""
    given = [held.scores[name] for name in judges if name in held.scores] if held else []
    if len(given) < 2:
        return {}
    return {"judge_agreement_alpha": krippendorff_alpha(np.array(given))}


def _nothing(planned: int) -> dict[str, Any]:
    """The figures of a cell that has no finished trial: counts of 0, and nothing else known."""
    return {
        "trials": 0,
        "succeeded": 0,
        "failed": 0,
        "not_run": planned,
        "reused": 0,
        "cost_usd": {"total": 0.0} | dict.fromkeys(("mean", "p50", "p95", "per_1000_queries")),
        "latency_total_seconds": dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "max")),
        "input_tokens": 0,
        "output_tokens": 0,
        "kpi_matches_count": None,
        "rag_chunks_count": None,
        "scores": {},
        "errors": {},
        "stop_reasons": {},
        "flags": [],
    }


def _cost_figures(held: CellColumns) -> dict[str, Any]:
    """What kept answers cost; a reused answer counts with what it would have cost in the means."""
    known = held.cost_usd[held.succeeded & ~held.reused]
    mean = _mean(known)
    return {
        "total": float(held.usd["cost_usd"]),
        "mean": mean,
        "p50": quantile(known, 0.50),
        "p95": quantile(known, 0.95),
        "per_1000_queries": None if mean is None else 1000 * mean,
    }


def _answered_now(held: CellColumns, figure: str) -> Floats:
    """A figure of the answers that this sweep itself paid for, those that have it."""
    values = held.figures[figure][held.succeeded & ~held.reused]
    return values[~np.isnan(values)]


def _latency_figures(seconds: Floats) -> dict[str, Any]:
    """Quantiles of seconds, with order-statistic limits for p50 and p95 where n allows."""
    figures: dict[str, Any] = {"mean": _mean(seconds)}
    for name, share in (("p50", 0.50), ("p90", 0.90), ("p95", 0.95), ("p99", 0.99)):
        figures[name] = quantile(seconds, share)
        limits = quantile_limits(seconds, share)
        figures[f"{name}_ci_low"], figures[f"{name}_ci_high"] = limits or (None, None)
    figures["max"] = float(seconds.max()) if seconds.size else None
    return figures


def score_figures(values: Floats, held: CellColumns, chosen: Flags | None = None) -> dict[str, Any]:
    """A mean with its n and 95% interval; ``chosen`` narrows it to some of the trials."""
    where = slice(None) if chosen is None else chosen
    found = estimate(values[where], held.query_ids[where], held.clusters[where])
    return _estimate_figures(found)


def _estimate_figures(found: Estimate) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "n": found.n,
        "ci_low": found.low,
        "ci_high": found.high,
        "clusters": found.clusters,
        "method": found.method,
        "warning": found.warning,
    }


def _with_reasons(name: str, values: Floats, held: CellColumns) -> dict[str, Any]:
    reasons = held.unscored.get(name, {})
    return score_figures(values, held) | {
        "unscored": sum(reasons.values()),
        "unscored_reasons": dict(reasons),
        "errors": held.scorer_errors.get(name, 0),
        "repeat_variance_share": repeat_variance_share(values, held.query_ids),
    }


def _usd_per_correct(held: CellColumns) -> dict[str, float | None]:
    """USD spent on the cell for each answer that a 0/1 score found right; None without any."""
    spent = float(
        exact_sum(
            held.usd[name]
            for name in ("cost_usd", "judge_cost_usd", "retrieval_cost_usd", "wasted_usd")
        )
    )
    right = {
        name: int((values == 1).sum())
        for name, values in held.scores.items()
        if np.isin(values[~np.isnan(values)], (0.0, 1.0)).all()
    }
    return {name: spent / count if count else None for name, count in right.items()}


def _slices(finished: Sequence[CellColumns], queries: Sequence[Query]) -> Iterator[dict[str, Any]]:
    """Scores by difficulty, answer type, tag and ticker, for slices of three queries or more."""
    members: dict[tuple[str, str], list[int]] = {}
    for number, query in enumerate(queries):
        for place in dict.fromkeys(_places(query)):
            members.setdefault(place, []).append(number)
    numbers = {query.id: number for number, query in enumerate(queries)}
    asked = [
        np.fromiter((numbers.get(one, -1) for one in held.query_ids), np.intp, held.trials)
        for held in finished
    ]
    for (by, value), ids in sorted(members.items()):
        if len(ids) < _SMALLEST_SLICE:
            continue
        is_member = np.zeros(len(queries) + 1, dtype=bool)  # the last is that of number -1
        is_member[ids] = True
        for held, query_numbers in zip(finished, asked, strict=True):
            chosen = is_member[query_numbers]
            for name, values in held.scores.items():
                figures = score_figures(values, held, chosen)
                if figures["n"]:
                    yield {
                        "by": by,
                        "value": value,
                        "cell": held.cell,
                        "metric": f"score.{name}",
                        **figures,
                    }


def _places(query: Query) -> Iterator[tuple[str, str]]:
    if query.difficulty:
        yield "difficulty", query.difficulty
    if query.answer_type:
        yield "answer_type", query.answer_type
    yield from (("tag", tag) for tag in query.tags)
    yield from (("ticker", ticker) for ticker in query.tickers)


def pareto_front(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Cells that no other one beats: at least as good in quality, cost and latency, better in one.

    Quality is the mean of the first score that all cells have; cost is USD per 1,000 queries and
    latency its median. A cell that lacks one of the three is not on the front.
    """
    names = [set(cell["scores"]) for cell in cells]
    shared = [
        name for name in (cells[0]["scores"] if cells else ()) if set.intersection(*names) >= {name}
    ]
    if not shared:
        return []
    points = {
        cell["cell"]: (
            cell["scores"][shared[0]]["mean"],
            cell["cost_usd"]["per_1000_queries"],
            cell["latency_total_seconds"]["p50"],
        )
        for cell in cells
    }
    known = {name: point for name, point in points.items() if None not in point}
    return [
        name
        for name, point in known.items()
        if not any(_beats(other, point) for other in known.values())
    ]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    at_least = one[0] >= other[0] and one[1] <= other[1] and one[2] <= other[2]
    return at_least and one != other


def _warnings(facts: SweepFacts, cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for model_key, reason in facts.stopped_models.items():
        yield f"the model {model_key} was stopped: {reason}"
    few: dict[str, dict[str, None]] = {}
    for cell in cells:
        for name, figures in cell["scores"].items():
            if figures.get("warning"):
                few.setdefault(figures["warning"], {})[name] = None
    yield from (f"{warning} ({', '.join(names)})" for warning, names in sorted(few.items()))
    for name in dict.fromkeys(name for cell in cells for name in cell["scores"]):
        yield from _scorer_warnings(name, [cell["scores"].get(name, {}) for cell in cells])
    bases = {cell["cost_basis"] for cell in cells}
    if len(bases) > 1:
        yield "some cells are billed and some are rehearsals: their costs cannot be compared"


def _scorer_warnings(name: str, cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Said where a scorer broke, or could not tell of a single answer."""
    if broken := sum(figures.get("errors", 0) for figures in cells):
        yield f"the scorer {name} itself broke on {broken} answers"
    reasons: Counter[str] = Counter()
    for figures in cells:
        reasons.update(figures.get("unscored_reasons", {}))
    if reasons and not any(figures.get("n") for figures in cells):
        reason, _ = reasons.most_common(1)[0]
        yield f"{name} scored none of {reasons.total()} answers; most often: {reason}"


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
