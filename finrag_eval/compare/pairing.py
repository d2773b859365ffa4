"""Pairs by query id: repeats averaged, missing sides counted.

Enters: the columns of two cells. Leaves: for each query that counts, both sides' means and its
cluster. Sorted by query id, so the order in which trials arrived changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from finrag_eval.compare.columns import CellColumns
from finrag_eval.statistics.clusters import codes_of

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

#: What becomes of queries that only one cell ran: pairs that miss a side, or none of the matter.
Absent = Literal["missing", "left_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One cell's rows by query: ``query`` is the place of each row's query among all of them."""

    cell: CellColumns
    query: Codes
    count: int

    def ran(self) -> Floats:
        """How many trials each query has."""
        return np.bincount(self.query, minlength=self.count).astype(np.float64)

    def failed(self) -> Floats:
        """How many of each query's trials failed."""
        rows = self.query[self.cell.failed]
        return np.bincount(rows, minlength=self.count).astype(np.float64)

    def means(self, metric: str) -> tuple[Floats, Floats]:
        """Each query's mean over its repeats (NaN without a value), and how many had a value."""
        values = self.cell.values[metric]
        known = ~np.isnan(values)
        rows = self.query[known]
        present = np.bincount(rows, minlength=self.count).astype(np.float64)
        sums = np.bincount(rows, weights=values[known], minlength=self.count)
        return np.divide(sums, present, out=np.full(self.count, np.nan), where=present > 0), present


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """What two cells have in common in one metric.

    ``n_missing`` counts the queries of which a side has no value; of these, ``n_unscored`` have a
    value on neither side although both answered. ``missing_share`` is taken over trials, without
    those: the share of what could have been paired and was not.
    """

    query_ids: NDArray[np.object_]
    baseline: Floats
    candidate: Floats
    clusters: Codes
    n_missing: int
    n_unscored: int
    missing_share: float
    one_repeat: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Two cells laid side by side, ready to be compared in any metric."""

    query_ids: NDArray[np.object_]
    clusters: NDArray[np.object_]
    baseline: Side
    candidate: Side

    def pairs(self, metric: str, absent: Absent) -> Pairs:
        """The pairs of one metric."""
        base, base_present = self.baseline.means(metric)
        cand, cand_present = self.candidate.means(metric)
        base_ran, cand_ran = self.baseline.ran(), self.candidate.ran()
        counts = np.ones(base.size, dtype=bool)
        if absent == "left_out":
            counts = (base_ran > 0) & (cand_ran > 0)
        whole = ~np.isnan(base) & ~np.isnan(cand)
        answered = (base_ran > self.baseline.failed()) & (cand_ran > self.candidate.failed())
        unscored = counts & answered & np.isnan(base) & np.isnan(cand)
        due = np.maximum(base_ran, cand_ran)
        paired = np.minimum(base_present, cand_present)
        expected = float(due[counts & ~unscored].sum())
        missing = expected - float(paired[counts & ~unscored].sum())
        return Pairs(
            query_ids=self.query_ids[whole],
            baseline=base[whole],
            candidate=cand[whole],
            clusters=codes_of(self.clusters[whole])[1],
            n_missing=int(np.count_nonzero(counts & ~whole)),
            n_unscored=int(np.count_nonzero(unscored)),
            missing_share=missing / expected if expected else 0.0,
            one_repeat=bool(due.max(initial=0) <= 1),
        )


def pair_up(baseline: CellColumns, candidate: CellColumns) -> Pairing:
    """The two cells side by side, by query id."""
    ids = np.concatenate([baseline.query_ids, candidate.query_ids])
    labels, codes = codes_of(ids)
    names = np.concatenate([baseline.clusters, candidate.clusters])
    clusters = np.empty(labels.size, dtype=object)
    clusters[codes[::-1]] = names[::-1]
    split = baseline.query_ids.size
    return Pairing(
        query_ids=labels,
        clusters=clusters,
        baseline=Side(cell=baseline, query=codes[:split], count=labels.size),
        candidate=Side(cell=candidate, query=codes[split:], count=labels.size),
    )
