"""Means and shares with 95% intervals, clustered; and when to distrust them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from finrag_eval.statistics.clusters import Codes, average_repeats, standard_error

Floats = NDArray[np.float64]

#: Below this many clusters cluster-robust errors are too small (Cameron & Miller 2015).
FEW_CLUSTERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over ``n`` queries with its 95% interval.

    Everything but the counts is None of nothing; the limits are None where they cannot be told
    (a single cluster). ``method`` is ``wilson``, ``t`` or None; ``warning`` is a sentence.
    """

    mean: float | None
    n: int
    clusters: int
    low: float | None = None
    high: float | None = None
    se: float | None = None
    design_effect: float | None = None
    method: str | None = None
    warning: str | None = None


def few_clusters_warning(clusters: int) -> str | None:
    """The sentence that an interval carries when it rests on too few clusters; else None."""
    if clusters >= FEW_CLUSTERS:
        return None
    noun = "cluster" if clusters == 1 else "clusters"
    return (
        f"only {clusters} {noun} (fewer than {FEW_CLUSTERS}): "
        "the interval is too narrow and the p-value too small"
    )


def t_quantile(share: float, df: float) -> float:
    """The quantile of Student's t distribution."""
    return float(special.stdtrit(df, share))


def t_p_value(statistic: float, df: float) -> float:
    """The two-sided p-value of a t statistic."""
    return float(2 * special.stdtr(df, -abs(statistic)))


def normal_quantile(share: float) -> float:
    """The quantile of the standard normal distribution."""
    return float(special.ndtri(share))


def t_interval(
    mean: float, se: float, clusters: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of a mean with a clustered standard error: t with G-1 degrees of freedom."""
    reach = t_quantile(0.5 + confidence / 2, clusters - 1) * se
    return mean - reach, mean + reach


def wilson_interval(share: float, n: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927); ``n`` may be an effective size."""
    z = normal_quantile(0.5 + confidence / 2)
    shrink = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    reach = z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))) / shrink
    low = 0.0 if share == 0 else centre - reach
    high = 1.0 if share == 1 else centre + reach
    return low, high


def design_effect(values: Floats, clusters: Codes) -> float | None:
    """How many times larger clustering makes the variance of the mean (Kish 1965), at least 1.

    The clustered variance over that of independent queries, s squared / n. Where all values are
    alike nothing can be estimated, and a whole cluster counts as one query: n / G, the worst case.
    None below two clusters.
    """
    se = standard_error(values, clusters)
    if se is None:
        return None
    count = int(clusters.max()) + 1
    if count == values.size:
        return 1.0
    independent = float(values.var(ddof=1)) / values.size
    if independent == 0:
        return values.size / count
    return max(1.0, se * se / independent)


def estimate_queries(values: Floats, clusters: Codes, *, confidence: float = 0.95) -> Estimate:
    """The mean of one value a query: Wilson where all values are 0 or 1, else the clustered t."""
    n = int(values.size)
    if n == 0:
        return Estimate(mean=None, n=0, clusters=0)
    count = int(clusters.max()) + 1
    mean = float(values.mean())
    se = standard_error(values, clusters)
    if se is None:
        return Estimate(mean=mean, n=n, clusters=count, warning=few_clusters_warning(count))
    if np.isin(values, (0.0, 1.0)).all():
        effect = design_effect(values, clusters) or 1.0
        low, high = wilson_interval(mean, n / effect, confidence=confidence)
        method = "wilson"
    else:
        effect = None
        low, high = t_interval(mean, se, count, confidence=confidence)
        method = "t"
    return Estimate(
        mean=mean,
        n=n,
        clusters=count,
        low=low,
        high=high,
        se=se,
        design_effect=effect,
        method=method,
        warning=few_clusters_warning(count),
    )


def estimate(
    values: Floats, queries: ArrayLike, clusters: ArrayLike, *, confidence: float = 0.95
) -> Estimate:
    """The mean over queries of one value a trial; NaN is missing, repeats are averaged first."""
    per_query = average_repeats(values, queries, clusters)
    return estimate_queries(per_query.means, per_query.clusters, confidence=confidence)
