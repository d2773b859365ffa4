"""How much of what varies is the model's own noise: the same query, asked again."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finrag_eval.statistics.clusters import codes_of

Floats = NDArray[np.float64]


def repeat_variance_share(values: Floats, queries: ArrayLike) -> float | None:
    """The share (0 to 1) of a trial's variance that lies within queries; None where untold.

    One-way random effects by the method of moments (Searle, Casella & McCulloch 1992): within is
    the pooled variance of repeats, between the rest, not below 0. NaN is missing. None without a
    query of two repeats, with fewer than two queries, or where nothing varies.
    """
    known = ~np.isnan(values)
    data = values[known]
    labels, codes = codes_of(np.asarray(queries, dtype=object)[known])
    sizes = np.bincount(codes, minlength=labels.size).astype(np.float64)
    groups, total = labels.size, float(sizes.sum())
    if groups < 2 or total <= groups:
        return None
    means = np.bincount(codes, weights=data) / sizes
    within = float(((data - means[codes]) ** 2).sum()) / (total - groups)
    between_square = float((sizes * (means - data.mean()) ** 2).sum()) / (groups - 1)
    typical = (total - float((sizes**2).sum()) / total) / (groups - 1)
    between = max(0.0, (between_square - within) / typical)
    if within + between == 0:
        return None
    return within / (within + between)
