"""From trials to queries to clusters: who is independent of whom.

Enters: one value a trial with the codes of its query and cluster. Leaves: one value a query, and
the sums that cluster-robust errors are made of. Labels are sorted, so the order in which trials
arrived changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerQuery:
    """One mean a query, over the repeats that have a value, and the code of its cluster.

    ``present`` is the number of repeats behind each mean. ``labels`` are the queries' ids.
    """

    labels: NDArray[np.object_]
    means: Floats
    present: NDArray[np.intp]
    clusters: Codes
    cluster_count: int


def codes_of(labels: ArrayLike) -> tuple[NDArray[np.object_], Codes]:
    """The distinct labels in sorted order, and for each label its place among them."""
    names = np.asarray(labels, dtype=object)
    distinct, codes = np.unique(names.astype(str), return_inverse=True)
    return distinct.astype(object), codes.astype(np.intp)


def average_repeats(values: Floats, queries: ArrayLike, clusters: ArrayLike) -> PerQuery:
    """One mean a query over its repeats; NaN values are left out, queries without a value, too."""
    known = ~np.isnan(values)
    query_names = np.asarray(queries, dtype=object)[known]
    cluster_names = np.asarray(clusters, dtype=object)[known]
    labels, codes = codes_of(query_names)
    present = np.bincount(codes, minlength=labels.size).astype(np.intp)
    sums = np.bincount(codes, weights=values[known], minlength=labels.size)
    first = np.zeros(labels.size, dtype=np.intp)
    first[codes[::-1]] = np.arange(codes.size - 1, -1, -1)
    cluster_labels, cluster_codes = codes_of(cluster_names[first])
    return PerQuery(
        labels=labels,
        means=sums / np.maximum(present, 1),
        present=present,
        clusters=cluster_codes,
        cluster_count=int(cluster_labels.size),
    )


def cluster_sums(values: Floats, clusters: Codes) -> Floats:
    """The sum of the values of each cluster, in the order of the codes 0, 1, 2, ..."""
    return np.bincount(clusters, weights=values).astype(np.float64)


def cluster_means(values: Floats, clusters: Codes) -> Floats:
    """The mean of the values of each cluster."""
    return cluster_sums(values, clusters) / np.bincount(clusters)


def standard_error(values: Floats, clusters: Codes) -> float | None:
    """The cluster-robust standard error of the mean; None below two clusters.

    Square root of G/(G-1) times the sum of squared cluster sums of the residuals, over n squared
    (Cameron & Miller 2015; Miller 2024). With one value a cluster this is s / sqrt(n).
    """
    residual_sums = cluster_sums(values - values.mean(), clusters) if values.size else values
    count = residual_sums.size
    if count < 2:
        return None
    squares = float(residual_sums @ residual_sums)
    return float(np.sqrt(count / (count - 1) * squares)) / values.size
