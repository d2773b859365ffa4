"""Gates: sentences about a comparison or a cell that are true or false.

``min_delta`` and ``max_ratio`` are judged by the end of the interval that could hide harm, not by
the figure in its middle. Missing answers above 2% fail any gate, whether they failed or were never
asked for: no arm may win by not answering. A gate that cannot be told fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finrag_eval.compare.columns import CellColumns
from finrag_eval.compare.comparing import Comparison
from finrag_eval.domain import GateSpec
from finrag_eval.statistics.clusters import average_repeats
from finrag_eval.statistics.quantiles import quantile

MOST_MISSING = 0.02

_OF_COMPARISONS = ("min_delta", "max_ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """One gate on one cell. ``reason`` says why it failed, and is empty where it held."""

    metric: str
    rule: str
    bound: float
    cell: str
    figure: float | None
    passed: bool
    sentence: str
    reason: str = ""
    baseline: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As it stands among the ``gates`` of summary.json."""
        return {
            "metric": self.metric,
            "rule": self.rule,
            "bound": self.bound,
            "cell": self.cell,
            "baseline": self.baseline,
            "figure": self.figure,
            "passed": self.passed,
            "sentence": self.sentence,
            "reason": self.reason,
        }


def evaluate_gates(
    gates: Iterable[GateSpec],
    comparisons: Sequence[Comparison],
    cells: Sequence[CellColumns],
    *,
    not_run: Mapping[str, float] | None = None,
) -> tuple[GateResult, ...]:
    """Every gate on every comparison or cell that it is about, in the order given.

    ``cells`` are those that rules on single cells hold for. ``not_run`` is the share of each
    planned cell's trials that never ran. A gate with nothing to be about fails, and so does one
    for each cell that never ran at all.
    """
    lacking = not_run or {}
    never = [name for name, share in lacking.items() if share >= 1]
    results: list[GateResult] = []
    for gate in gates:
        found: list[GateResult]
        if gate.rule in _OF_COMPARISONS:
            about = [one for one in comparisons if one.metric == gate.metric]
            found = [_of_comparison(gate, one, lacking) for one in about]
        else:
            found = [_of_cell(gate, cell, cells, lacking) for cell in cells]
        found += [_about_nothing(gate, name) for name in never]
        results += found or [_about_nothing(gate)]
    return tuple(results)


def _of_comparison(gate: GateSpec, one: Comparison, not_run: Mapping[str, float]) -> GateResult:
    if gate.rule == "min_delta":
        figure, words = one.ci_low, "lower end of the difference's 95% interval"
        holds = figure is not None and figure > gate.bound
        must = f"above {_number(gate.bound)}"
    else:
        figure, words = one.ratio_ci_high, "upper end of the ratio's 95% interval"
        holds = figure is not None and figure < gate.bound
        must = f"below {_number(gate.bound)}"
    subject = f"{gate.metric} of {one.candidate} against {one.baseline}"
    reason = "" if holds else f"the {words} is {_number(figure)}, and must lie {must}"
    missing = max(one.missing_share, not_run.get(one.candidate, 0.0))
    if missing > MOST_MISSING:
        reason = _missing(missing, "pairs")
    elif figure is None:
        reason = f"no interval can be given from {one.n_pairs} pairs in {one.clusters} clusters"
    return GateResult(
        metric=gate.metric,
        rule=gate.rule,
        bound=gate.bound,
        cell=one.candidate,
        baseline=one.baseline,
        figure=figure,
        passed=not reason,
        sentence=f"{subject}: {words} {_number(figure)}, must lie {must}",
        reason=reason,
    )


def _of_cell(
    gate: GateSpec,
    cell: CellColumns,
    cells: Sequence[CellColumns],
    not_run: Mapping[str, float],
) -> GateResult:
    figure, words, is_most = _cell_figure(gate, cell)
    must = f"{'at most' if is_most else 'at least'} {_number(gate.bound)}"
    holds = figure is not None and (figure <= gate.bound if is_most else figure >= gate.bound)
    never_ran = not_run.get(cell.cell, 0.0)
    missing = never_ran + (1 - never_ran) * _missing_share(gate.metric, cell, cells)
    reason = "" if holds else f"the {words} is {_number(figure)}, and must be {must}"
    if missing > MOST_MISSING:
        reason = _missing(missing, "trials")
    elif figure is None:
        reason = f"no trial of the cell has a {gate.metric}"
    return GateResult(
        metric=gate.metric,
        rule=gate.rule,
        bound=gate.bound,
        cell=cell.cell,
        figure=figure,
        passed=not reason,
        sentence=f"{gate.metric} of {cell.cell}: {words} {_number(figure)}, must be {must}",
        reason=reason,
    )


def _cell_figure(gate: GateSpec, cell: CellColumns) -> tuple[float | None, str, bool]:
    """The cell's figure, what it is, and whether the bound is an upper one."""
    values = cell.values.get(gate.metric, np.empty(0))
    known = values[~np.isnan(values)]
    if gate.rule == "min_mean":
        means = (
            average_repeats(values, cell.query_ids, cell.clusters).means if known.size else known
        )
        return (float(means.mean()) if means.size else None), "mean", False
    if gate.rule == "max_p95_seconds":
        return quantile(known, 0.95), "95th percentile in seconds", True
    if gate.rule == "max_usd":
        total = float(known.sum()) if cell.total_usd is None else float(cell.total_usd)
        return total, "total in USD", True
    raise ValueError(f"there is no gate rule {gate.rule!r}")


def _missing_share(metric: str, cell: CellColumns, cells: Sequence[CellColumns]) -> float:
    """The share of trials that failed, or lack a score that some cell has for the query."""
    lacking = cell.failed.copy()
    if metric.startswith("score."):
        scored: set[str] = set()
        for other in cells:
            values = other.values.get(metric)
            if values is not None:
                scored |= set(other.query_ids[~np.isnan(values)])
        own = np.isnan(cell.values.get(metric, np.full(cell.failed.size, np.nan)))
        due = np.array([query in scored for query in cell.query_ids], dtype=bool)
        lacking |= own & due
        counted = due | cell.failed
        return float(lacking.sum() / counted.sum()) if counted.any() else 0.0
    return float(lacking.mean()) if lacking.size else 0.0


def _missing(share: float, what: str) -> str:
    return f"{share:.1%} of the {what} are missing, and at most {MOST_MISSING:.0%} may be"


def _about_nothing(gate: GateSpec, cell: str = "") -> GateResult:
    """A gate that fails for want of anything to judge: no comparison, or a cell that never ran."""
    subject = f"{gate.metric} of {cell}" if cell else gate.metric
    return GateResult(
        metric=gate.metric,
        rule=gate.rule,
        bound=gate.bound,
        cell=cell,
        figure=None,
        passed=False,
        sentence=f"{subject}: {gate.rule} {_number(gate.bound)}",
        reason=f"no trial of {cell} ran" if cell else f"nothing was compared in {gate.metric}",
    )


def _number(figure: float | None) -> str:
    return "unknown" if figure is None else f"{figure:.4g}"
