"""Whether judges agree beyond chance."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval", "ratio"]


def krippendorff_alpha(ratings: Floats, *, level: Level = "interval") -> float | None:
    """Krippendorff's alpha: 1 full agreement, 0 chance, below 0 systematic disagreement.

    ``ratings`` has a row a judge and a column an answer; NaN is a rating not given, and answers
    with fewer than two are left out (Krippendorff 2011, "Computing Krippendorff's
    alpha-reliability"). None where nothing can be paired, or where every rating is the same value.
    """
    counts = np.count_nonzero(~np.isnan(ratings), axis=0)
    pairable = ratings[:, counts >= 2]
    if pairable.size == 0:
        return None
    values = np.unique(pairable[~np.isnan(pairable)])
    coincidences = _coincidences(pairable, values)
    totals = coincidences.sum(axis=1)
    distances = _distances(values, totals, level)
    expected = float(totals @ distances @ totals)
    if expected == 0:
        return None
    observed = float((coincidences * distances).sum())
    return 1 - (float(totals.sum()) - 1) * observed / expected


def _coincidences(ratings: Floats, values: Floats) -> Floats:
    """How often each value stands beside each other value in an answer, weighted by 1/(m-1)."""
    given = np.stack([np.count_nonzero(ratings == value, axis=0) for value in values])
    weights = 1 / (given.sum(axis=0) - 1)
    pairs = (given * weights) @ given.T
    own = (given * weights).sum(axis=1)
    return np.asarray(pairs - np.diag(own), dtype=np.float64)


def _distances(values: Floats, totals: Floats, level: Level) -> Floats:
    apart: Floats = values[:, None] - values[None, :]
    if level == "nominal":
        return np.asarray(apart != 0, dtype=np.float64)
    if level == "interval":
        return np.asarray(apart**2)
    if level == "ratio":
        sums = values[:, None] + values[None, :]
        relative = np.divide(apart, sums, out=np.zeros_like(apart), where=sums != 0)
        return np.asarray(relative**2)
    upto = np.cumsum(totals)
    middles = upto - totals / 2
    return np.asarray((middles[:, None] - middles[None, :]) ** 2, dtype=np.float64)
