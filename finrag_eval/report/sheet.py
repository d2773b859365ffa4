"""The summary (the contract's section 7) read once into small records for display.

Enters: a summary as plain data, as ``summary.json`` holds it. Leaves: a ``Sheet``. What the
contract promises is expected; every other key (slices, gates, Pareto front, warnings, flags,
costs by purpose) is taken where it is there. A figure that is missing or no number is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from finrag_eval.report.figures import MISSING

#: Metrics of which less is better, as they are named in comparisons.
LOWER_IS_BETTER = ("cost", "latency", "tokens", "seconds", "usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFigures:
    """One score of one cell: its mean over ``n`` answers, with the 95% interval where known.

    ``noise`` is the share of its variance that lies within repeated questions, ``usd_per_correct``
    what the cell spent for each answer that was right; None where neither can be told.
    """

    name: str
    mean: float | None
    n: int
    low: float | None
    high: float | None
    unscored: int | None
    noise: float | None = None
    usd_per_correct: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFigures:
    """One cell's row. ``costs`` holds USD by purpose as far as the summary says it."""

    name: str
    model_key: str
    model_id: str
    prompts: str
    trials: int
    succeeded: int
    failed: int
    not_run: int
    cost: Mapping[str, float | None]
    costs: Mapping[str, float]
    latency: Mapping[str, float | None]
    input_tokens: int | None
    output_tokens: int | None
    kpi_matches: float | None
    rag_chunks: float | None
    scores: Mapping[str, ScoreFigures]
    errors: Mapping[str, int]
    flags: tuple[str, ...]
    is_rehearsal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonFigures:
    """A candidate against a baseline in one metric."""

    metric: str
    baseline: str
    candidate: str
    n_pairs: int
    n_missing: int
    delta: float | None
    low: float | None
    high: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    p_adjusted: float | None
    verdict: str
    mde: float | None
    queries_needed: int | None
    baseline_mean: float | None
    candidate_mean: float | None
    n_improved: int
    n_worsened: int
    improved: tuple[str, ...]
    worsened: tuple[str, ...]

    @property
    def is_score(self) -> bool:
        return self.metric.startswith("score.")

    @property
    def label(self) -> str:
        """The metric's name as people read it: ``numeric``, ``cost_usd``."""
        return self.metric.removeprefix("score.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFigures:
    """One gate: a sentence with its figure and its bound, whether it held, and why not."""

    sentence: str
    passed: bool
    reason: str

    @property
    def words(self) -> str:
        """The sentence, and the reason where that says more."""
        repeated = self.reason.removeprefix("the ").partition(" is ")[0]
        if not self.reason or repeated in self.sentence:
            return self.sentence
        return f"{self.sentence} ({self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceFigures:
    """A cell's mean score over one part of the query set (``by`` = ``value``)."""

    by: str
    value: str
    cell: str
    metric: str
    mean: float | None
    n: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A whole summary, ready to be shown."""

    sweep_id: str
    name: str
    experiment: str
    environment: str
    status: str
    started_at: str
    wall_seconds: float | None
    parent_run_id: str
    parent_run_url: str
    tracking_uri: str
    digests: Mapping[str, Any]
    planned: int
    succeeded: int
    failed: int
    not_run: int
    totals: Mapping[str, float | None]
    budget: Mapping[str, float | None]
    cells: tuple[CellFigures, ...]
    comparisons: tuple[ComparisonFigures, ...]
    gates: tuple[GateFigures, ...]
    slices: tuple[SliceFigures, ...]
    pareto: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def score_names(self) -> tuple[str, ...]:
        """Every score that some cell has, in the order in which cells name them."""
        return tuple(dict.fromkeys(name for cell in self.cells for name in cell.scores))

    @property
    def baseline(self) -> str | None:
        """The cell that the comparisons were made against; None without comparisons."""
        return self.comparisons[0].baseline if self.comparisons else None

    @property
    def is_rehearsal(self) -> bool:
        """Whether no cell cost real money."""
        return bool(self.cells) and all(cell.is_rehearsal for cell in self.cells)


def read_sheet(summary: Mapping[str, Any]) -> Sheet:
    """The summary as a ``Sheet``; it may be a part of one, say comparisons and gates alone."""
    totals = _mapping(summary.get("totals"))
    return Sheet(
        sweep_id=_text(summary.get("sweep_id")),
        name=_text(summary.get("name") or summary.get("sweep_id")),
        experiment=_text(summary.get("experiment")),
        environment=_text(summary.get("environment")),
        status=_text(summary.get("status")),
        started_at=_text(summary.get("started_at")),
        wall_seconds=number(summary.get("wall_seconds")),
        parent_run_id=_text(summary.get("parent_run_id")),
        parent_run_url=_text(summary.get("parent_run_url")),
        tracking_uri=_text(summary.get("tracking_uri")),
        digests=_mapping(summary.get("digests")),
        planned=_whole(totals.get("trials_planned")),
        succeeded=_whole(totals.get("trials_succeeded")),
        failed=_whole(totals.get("trials_failed")),
        not_run=_whole(totals.get("trials_not_run")),
        totals=_numbers(totals),
        budget=_numbers(_mapping(summary.get("budget"))),
        cells=tuple(_cell(cell) for cell in _items(summary.get("cells"))),
        comparisons=tuple(_comparison(one) for one in _items(summary.get("comparisons"))),
        gates=tuple(_gate(gate) for gate in _items(summary.get("gates"))),
        slices=tuple(_slices(summary.get("slices"))),
        pareto=tuple(_names(summary.get("pareto"))),
        warnings=tuple(_sentences(summary.get("warnings"))),
    )


def number(value: Any) -> float | None:
    """The figure as a float; None where there is none, or where it is not finite."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    figure = float(value)
    return figure if math.isfinite(figure) else None


def lower_is_better(metric: str) -> bool:
    """Whether less of a comparison's metric is better: costs, times and tokens."""
    if metric.startswith("score."):
        return False
    return any(word in metric for word in LOWER_IS_BETTER)


def _cell(cell: Mapping[str, Any]) -> CellFigures:
    per_correct = _numbers(_mapping(cell.get("usd_per_correct")))
    scores = {
        name: _score(name, figures, per_correct.get(name))
        for name, figures in _pairs(cell.get("scores"))
    }
    return CellFigures(
        name=str(cell["cell"]),
        model_key=_text(cell.get("model_key")),
        model_id=_text(cell.get("model_id")),
        prompts=_prompts(cell),
        trials=_whole(cell.get("trials")),
        succeeded=_whole(cell.get("succeeded")),
        failed=_whole(cell.get("failed")),
        not_run=_whole(cell.get("not_run")),
        cost=_numbers(_mapping(cell.get("cost_usd"))),
        costs=_costs(cell),
        latency=_numbers(_mapping(cell.get("latency_total_seconds"))),
        input_tokens=_whole_or_none(cell.get("input_tokens")),
        output_tokens=_whole_or_none(cell.get("output_tokens")),
        kpi_matches=number(cell.get("kpi_matches_count")),
        rag_chunks=number(cell.get("rag_chunks_count")),
        scores=scores,
        errors={kind: _whole(times) for kind, times in _mapping(cell.get("errors")).items()},
        flags=tuple(_sentences(cell.get("flags"))),
        is_rehearsal=cell.get("cost_basis") == "rehearsal",
    )


def _prompts(cell: Mapping[str, Any]) -> str:
    return f"{cell.get('system_prompt_version', '')}-{cell.get('query_template_version', '')}"


def _costs(cell: Mapping[str, Any]) -> dict[str, float]:
    """USD by purpose: what the summary has of judge, retrieval, wasted and saved."""
    found = {
        purpose: number(cell.get(f"{purpose}_usd", cell.get(f"{purpose}_cost_usd")))
        for purpose in ("judge", "retrieval", "wasted", "saved")
    }
    return {purpose: usd for purpose, usd in found.items() if usd is not None}


def _score(name: str, figures: Mapping[str, Any], usd_per_correct: float | None) -> ScoreFigures:
    return ScoreFigures(
        name=name,
        mean=number(figures.get("mean")),
        n=_whole(figures.get("n")),
        low=number(figures.get("ci_low")),
        high=number(figures.get("ci_high")),
        unscored=_whole_or_none(figures.get("unscored")),
        noise=number(figures.get("repeat_variance_share")),
        usd_per_correct=usd_per_correct,
    )


def _comparison(one: Mapping[str, Any]) -> ComparisonFigures:
    return ComparisonFigures(
        metric=str(one["metric"]),
        baseline=str(one["baseline"]),
        candidate=str(one["candidate"]),
        n_pairs=_whole(one.get("n_pairs")),
        n_missing=_whole(one.get("n_missing")),
        delta=number(one.get("delta")),
        low=number(one.get("ci_low")),
        high=number(one.get("ci_high")),
        ratio=number(one.get("ratio")),
        ratio_low=number(one.get("ratio_ci_low")),
        ratio_high=number(one.get("ratio_ci_high")),
        p_adjusted=number(one.get("p_adjusted")),
        verdict=_text(one.get("verdict")) or "inconclusive",
        mde=number(one.get("mde")),
        queries_needed=_whole_or_none(one.get("queries_needed")),
        baseline_mean=number(one.get("baseline_mean")),
        candidate_mean=number(one.get("candidate_mean")),
        n_improved=_whole(one.get("n_improved")),
        n_worsened=_whole(one.get("n_worsened")),
        improved=tuple(_names(one.get("improved"))),
        worsened=tuple(_names(one.get("worsened"))),
    )


def _gate(gate: Mapping[str, Any]) -> GateFigures:
    """A gate; a sentence is made of its parts where it has none."""
    parts = [_text(gate.get(name)) for name in ("metric", "cell", "rule", "bound")]
    figure = number(gate.get("figure"))
    made = " ".join(part for part in parts if part)
    return GateFigures(
        sentence=_text(gate.get("sentence")) or f"{made}: {MISSING if figure is None else figure}",
        passed=bool(gate.get("passed")),
        reason=_text(gate.get("reason")),
    )


def _slices(slices: Any) -> Iterable[SliceFigures]:
    for one in _items(slices):
        yield SliceFigures(
            by=_text(one.get("by", one.get("slice"))),
            value=_text(one.get("value")),
            cell=_text(one.get("cell")),
            metric=_text(one.get("metric", one.get("score"))).removeprefix("score."),
            mean=number(one.get("mean")),
            n=_whole(one.get("n")),
            low=number(one.get("ci_low")),
            high=number(one.get("ci_high")),
        )


def _names(values: Any) -> Iterable[str]:
    """The texts of a list of names."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        yield from (one for one in values if isinstance(one, str))


def _sentences(values: Any) -> Iterable[str]:
    for one in [values] if isinstance(values, str) else values or ():
        yield _text(one.get("message") if isinstance(one, Mapping) else one)


def _items(values: Any) -> Iterable[Mapping[str, Any]]:
    return (one for one in values or () if isinstance(one, Mapping))


def _pairs(values: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    return ((str(key), _mapping(one)) for key, one in _mapping(values).items())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _numbers(values: Mapping[str, Any]) -> dict[str, float | None]:
    return {key: number(value) for key, value in values.items()}


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _whole(value: Any) -> int:
    return int(number(value) or 0)


def _whole_or_none(value: Any) -> int | None:
    figure = number(value)
    return None if figure is None else int(figure)
