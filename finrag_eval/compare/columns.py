"""What is compared: the trials of one cell as columns, one value a trial and metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Compared where nothing else is asked for, after every score.
USUAL_METRICS = ("cost_usd", "latency_total_seconds", "total_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellColumns:
    """The trials of one cell; all arrays have one entry a trial, in any order.

    ``values`` holds NaN where a trial failed, was not scored, or was reused (latency). Its
    ``cost_usd`` is cost plus saved, and retrieval that cells shared counts in full, as METHODS has
    it. ``clusters`` names the query itself where it has no cluster. ``total_usd`` is the exact sum
    for the gate ``max_usd``; None takes the sum of ``cost_usd``.
    """

    cell: str
    query_ids: NDArray[np.object_]
    clusters: NDArray[np.object_]
    repeats: NDArray[np.intp]
    failed: NDArray[np.bool_]
    values: Mapping[str, Floats] = field(default_factory=dict)
    total_usd: Decimal | None = None


def is_score(metric: str) -> bool:
    """Whether more of the metric is better; of cost, latency and tokens less is."""
    return metric.startswith("score.")


def has_ratio(metric: str) -> bool:
    """Whether the metric is compared as a ratio of means, too."""
    return not is_score(metric)


def is_skewed(metric: str) -> bool:
    """Whether the metric is cost or latency, whose differences are tested by sign flips."""
    return "usd" in metric or "latency" in metric or "seconds" in metric


def metrics_of(baseline: CellColumns, candidate: CellColumns) -> tuple[str, ...]:
    """The scores that both cells have, and the usual figures."""
    shared = [name for name in baseline.values if name in candidate.values]
    scores = [name for name in shared if is_score(name)]
    return (*scores, *(name for name in USUAL_METRICS if name in shared))
