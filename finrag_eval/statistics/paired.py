"""Candidate against baseline, pair by pair: the difference, its error and its p-value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from finrag_eval.statistics.clusters import Codes, cluster_means, cluster_sums, standard_error
from finrag_eval.statistics.intervals import t_interval, t_p_value
from finrag_eval.statistics.resampling import sign_flip_p_value

Floats = NDArray[np.float64]

MCNEMAR = "exact McNemar"
PAIRED_T = "paired t on cluster sums"
SIGN_FLIP = "sign-flip permutation"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """The mean of the differences candidate - baseline over ``n`` pairs.

    ``se`` and the limits are None below two clusters, everything but the counts of nothing.
    """

    n: int
    clusters: int
    delta: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None


def paired_difference(
    differences: Floats, clusters: Codes, *, confidence: float = 0.95
) -> PairedDifference:
    """The mean difference with its clustered standard error and t interval, G-1 df."""
    n = int(differences.size)
    if n == 0:
        return PairedDifference(n=0, clusters=0)
    count = int(clusters.max()) + 1
    delta = float(differences.mean())
    se = standard_error(differences, clusters)
    if se is None:
        return PairedDifference(n=n, clusters=count, delta=delta)
    low, high = t_interval(delta, se, count, confidence=confidence)
    return PairedDifference(n=n, clusters=count, delta=delta, se=se, low=low, high=high)


def mcnemar_p_value(only_baseline: int, only_candidate: int) -> float:
    """The exact two-sided p-value of McNemar (1947): a fair coin over the discordant pairs."""
    discordant = only_baseline + only_candidate
    if discordant == 0:
        return 1.0
    tail = special.bdtr(min(only_baseline, only_candidate), discordant, 0.5)
    return min(1.0, 2 * float(tail))


def paired_t_p_value(differences: Floats, clusters: Codes) -> float | None:
    """The p-value of Student's one-sample t on the clusters' sums of differences.

    None below two clusters. Sums that are all alike leave no doubt: 1 where they are 0, else 0.
    """
    sums = cluster_sums(differences, clusters)
    if sums.size < 2:
        return None
    mean = float(sums.mean())
    se = float(sums.std(ddof=1)) / float(np.sqrt(sums.size))
    if se <= 1e-15 * abs(mean) or se == 0:
        return 1.0 if mean == 0 else 0.0
    return t_p_value(mean / se, sums.size - 1)


def is_binary(values: Floats) -> bool:
    """Whether every value is 0 or 1."""
    return bool(np.isin(values, (0.0, 1.0)).all())


def score_p_value(
    baseline: Floats, candidate: Floats, clusters: Codes, *, one_repeat: bool
) -> tuple[float | None, str]:
    """The p-value for scores, and the name of its test.

    The exact McNemar test for 0/1 scores with one repeat and one query a cluster, else the paired
    t on cluster sums.
    """
    singletons = clusters.size == 0 or int(clusters.max()) + 1 == clusters.size
    if one_repeat and singletons and is_binary(baseline) and is_binary(candidate):
        if baseline.size == 0:
            return None, MCNEMAR
        worse = int(np.count_nonzero(baseline > candidate))
        better = int(np.count_nonzero(baseline < candidate))
        return mcnemar_p_value(worse, better), MCNEMAR
    return paired_t_p_value(candidate - baseline, clusters), PAIRED_T


def skewed_p_value(
    baseline: Floats, candidate: Floats, clusters: Codes
) -> tuple[float | None, str]:
    """The p-value for latency and cost: sign flips of the clusters' mean differences.

    None below two clusters: one pattern and its mirror cannot tell anything.
    """
    differences = candidate - baseline
    if differences.size == 0 or int(clusters.max()) < 1:
        return None, SIGN_FLIP
    return sign_flip_p_value(cluster_means(differences, clusters)), SIGN_FLIP
