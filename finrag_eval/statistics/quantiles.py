"""Quantiles of what was measured, and how sure they are without assuming a distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """A quantile with its limits; the limits are None where there are too few values."""

    value: float | None
    low: float | None = None
    high: float | None = None


def quantile(values: Floats, share: float) -> float | None:
    """The quantile at ``share`` (0 to 1); None of nothing.

    Linear between closest ranks (Hyndman & Fan 1996, type 7; numpy's and pandas' default).
    """
    if values.size == 0:
        return None
    return float(np.quantile(values, share))


def quantile_limits(
    values: Floats, share: float, *, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Order statistics that enclose the true quantile at least so often; None for too few values.

    The number of values below the quantile is binomial, so two ranks bound it whatever the
    distribution (Conover 1999, section 3.2). Values are taken as independent.
    """
    size = int(values.size)
    if size == 0:
        return None
    tail = (1 - confidence) / 2
    below = special.bdtr(np.arange(size + 1), size, share)
    low_rank = int(np.searchsorted(below, tail, side="left"))
    high_rank = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    if low_rank < 1 or high_rank > size:
        return None
    ordered = np.partition(values, (low_rank - 1, high_rank - 1))
    return float(ordered[low_rank - 1]), float(ordered[high_rank - 1])


def quantile_with_limits(values: Floats, share: float, *, confidence: float = 0.95) -> Quantile:
    """The quantile at ``share`` and, where their number allows, its limits."""
    limits = quantile_limits(values, share, confidence=confidence)
    low, high = limits if limits is not None else (None, None)
    return Quantile(value=quantile(values, share), low=low, high=high)
