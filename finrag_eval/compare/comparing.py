"""The verdict on candidates against baselines, over all that one command reports.

Enters: pairs of cells as columns. Leaves: ``Comparison`` values with differences, intervals,
p-values adjusted by Holm over all of them, and verdicts. Every rule is METHODS, "Candidate against
baseline: always paired".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from finrag_eval.compare.columns import (
    CellColumns,
    has_ratio,
    is_score,
    is_skewed,
    metrics_of,
)
from finrag_eval.compare.pairing import Absent, Pairs, pair_up
from finrag_eval.statistics.clusters import cluster_means, cluster_sums
from finrag_eval.statistics.intervals import few_clusters_warning
from finrag_eval.statistics.multiplicity import holm
from finrag_eval.statistics.paired import paired_difference, score_p_value, skewed_p_value
from finrag_eval.statistics.power import is_equivalent, queries_needed, smallest_detectable
from finrag_eval.statistics.resampling import ratio_of_means

Floats = NDArray[np.float64]
Verdict = Literal["better", "worse", "equivalent", "inconclusive"]

ALPHA = 0.05
_LISTED = 100
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One candidate against one baseline in one metric. None is "cannot be told".

    ``delta`` is candidate minus baseline; ``mde`` the smallest true difference that this many
    pairs would find, None where nothing varies, since what does not vary shows no power;
    ``queries_needed`` how many queries would find the difference that was seen, where it is
    inconclusive. ``improved`` and ``worsened`` are query ids, the largest change first.
    """

    metric: str
    baseline: str
    candidate: str
    n_pairs: int
    n_missing: int
    n_unscored: int
    missing_share: float
    clusters: int
    baseline_mean: float | None = None
    candidate_mean: float | None = None
    delta: float | None = None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    ratio: float | None = None
    ratio_ci_low: float | None = None
    ratio_ci_high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    verdict: Verdict = "inconclusive"
    mde: float | None = None
    queries_needed: int | None = None
    method: str = ""
    margin: float | None = None
    warning: str | None = None
    improved: tuple[str, ...] = field(default=(), repr=False)
    worsened: tuple[str, ...] = field(default=(), repr=False)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in summary.json; query ids are cut after the first hundred."""
        return {
            "metric": self.metric,
            "baseline": self.baseline,
            "candidate": self.candidate,
            "n_pairs": self.n_pairs,
            "n_missing": self.n_missing,
            "delta": self.delta,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "ratio": self.ratio,
            "ratio_ci_low": self.ratio_ci_low,
            "ratio_ci_high": self.ratio_ci_high,
            "p_value": self.p_value,
            "p_adjusted": self.p_adjusted,
            "verdict": self.verdict,
            "mde": self.mde,
            "queries_needed": self.queries_needed,
            "se": self.se,
            "baseline_mean": self.baseline_mean,
            "candidate_mean": self.candidate_mean,
            "n_unscored": self.n_unscored,
            "clusters": self.clusters,
            "method": self.method,
            "margin": self.margin,
            "warning": self.warning,
            "n_improved": len(self.improved),
            "n_worsened": len(self.worsened),
            "improved": list(self.improved[:_LISTED]),
            "worsened": list(self.worsened[:_LISTED]),
        }


def compare_cells(
    baseline: CellColumns,
    candidates: Iterable[CellColumns],
    metrics: Sequence[str] | None = None,
    *,
    margins: Mapping[str, float] | None = None,
    absent: Absent = "missing",
) -> tuple[Comparison, ...]:
    """Every candidate against the one baseline; all of them are one family for Holm."""
    pairs = [(baseline, candidate) for candidate in candidates]
    return compare_pairs(pairs, metrics, margins=margins, absent=absent)


def compare_pairs(
    pairs: Iterable[tuple[CellColumns, CellColumns]],
    metrics: Sequence[str] | None = None,
    *,
    margins: Mapping[str, float] | None = None,
    absent: Absent = "missing",
) -> tuple[Comparison, ...]:
    """Each (baseline, candidate) in each metric that both have; one family for Holm.

    ``metrics`` None takes all scores, cost, latency and tokens. ``margins`` says by metric which
    differences are too small to matter: points of a score, and a share of the baseline for cost,
    latency and tokens. ``absent`` says what queries are that only one of the two ran: pairs with a
    missing side (within a sweep), or left out (between sweeps).
    """
    found: list[Comparison] = []
    for baseline, candidate in pairs:
        pairing = pair_up(baseline, candidate)
        for metric in metrics_of(baseline, candidate) if metrics is None else metrics:
            if metric in baseline.values and metric in candidate.values:
                held = pairing.pairs(metric, absent)
                found.append(_measured(metric, baseline.cell, candidate.cell, held))
    return _judged(found, margins or {})


def _measured(metric: str, baseline: str, candidate: str, pairs: Pairs) -> Comparison:
    """The comparison with all that one pair of cells tells; the family is not known yet."""
    differences = pairs.candidate - pairs.baseline
    difference = paired_difference(differences, pairs.clusters)
    if is_skewed(metric):
        p_value, method = skewed_p_value(pairs.baseline, pairs.candidate, pairs.clusters)
    else:
        p_value, method = score_p_value(
            pairs.baseline, pairs.candidate, pairs.clusters, one_repeat=pairs.one_repeat
        )
    improved, worsened = _changed(metric, pairs.query_ids, differences)
    comparison = Comparison(
        metric=metric,
        baseline=baseline,
        candidate=candidate,
        n_pairs=difference.n,
        n_missing=pairs.n_missing,
        n_unscored=pairs.n_unscored,
        missing_share=pairs.missing_share,
        clusters=difference.clusters,
        baseline_mean=_mean(pairs.baseline),
        candidate_mean=_mean(pairs.candidate),
        delta=difference.delta,
        se=difference.se,
        ci_low=difference.low,
        ci_high=difference.high,
        p_value=_where_signs_agree(p_value, metric, differences, pairs),
        method=method,
        warning=few_clusters_warning(difference.clusters),
        improved=improved,
        worsened=worsened,
    )
    return _with_ratio(comparison, pairs) if has_ratio(metric) else comparison


def _where_signs_agree(
    p_value: float | None, metric: str, differences: Floats, pairs: Pairs
) -> float | None:
    """The p-value, or 1 where the test's own mean points the other way than the difference.

    The sign-flip test weighs clusters alike, the difference weighs queries alike; a verdict that
    holds for one of them alone would name a winner that the reported figure does not show.
    """
    if p_value is None or not is_skewed(metric):
        return p_value
    tested = float(cluster_means(differences, pairs.clusters).mean())
    return p_value if tested * float(differences.mean()) >= 0 else 1.0


def _with_ratio(comparison: Comparison, pairs: Pairs) -> Comparison:
    found = None
    if pairs.baseline.size:
        found = ratio_of_means(
            cluster_sums(pairs.candidate, pairs.clusters),
            cluster_sums(pairs.baseline, pairs.clusters),
        )
    if found is None:
        return comparison
    return replace(comparison, ratio=found.ratio, ratio_ci_low=found.low, ratio_ci_high=found.high)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None


def _changed(
    metric: str, query_ids: NDArray[np.object_], differences: Floats
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The queries that got better and those that got worse, the largest change first."""
    if not is_score(metric):
        return (), ()
    order = np.argsort(-np.abs(differences), kind="stable")
    ids, signed = query_ids[order], differences[order]
    return tuple(map(str, ids[signed > 0])), tuple(map(str, ids[signed < 0]))


def _judged(found: Sequence[Comparison], margins: Mapping[str, float]) -> tuple[Comparison, ...]:
    adjusted = holm([one.p_value for one in found])
    family = sum(p is not None for p in adjusted)
    return tuple(
        _verdict(one, p_adjusted, family, margins.get(one.metric))
        for one, p_adjusted in zip(found, adjusted, strict=True)
    )


def _verdict(
    one: Comparison, p_adjusted: float | None, family: int, margin: float | None
) -> Comparison:
    se = _se_that_varies(one)
    mde = None if se is None else smallest_detectable(se, family)
    verdict: Verdict = "inconclusive"
    needed = None
    if p_adjusted is not None and p_adjusted < ALPHA and one.delta:
        verdict = "better" if (one.delta > 0) == is_score(one.metric) else "worse"
    elif margin is not None and _is_within(one, margin):
        verdict = "equivalent"
    elif one.delta and se is not None:
        needed = queries_needed(one.delta, se, one.n_pairs, family)
    return replace(
        one,
        p_adjusted=p_adjusted,
        verdict=verdict,
        mde=mde,
        margin=margin,
        queries_needed=needed,
    )


def _se_that_varies(one: Comparison) -> float | None:
    """The standard error; None where the differences vary by rounding alone, or not at all."""
    varies = one.se is not None and one.se > _ROUNDING * abs(one.delta or 0.0)
    return one.se if varies else None


def _is_within(one: Comparison, margin: float) -> bool:
    """Whether the interval lies within the margin: of the ratio for cost, latency and tokens."""
    if is_score(one.metric):
        return is_equivalent(one.ci_low, one.ci_high, margin)
    if one.ratio_ci_low is None or one.ratio_ci_high is None:
        return False
    return is_equivalent(one.ratio_ci_low - 1, one.ratio_ci_high - 1, margin)
