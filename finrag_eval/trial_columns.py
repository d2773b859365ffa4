"""A sweep's finished trials as columns: what summaries and comparisons compute on.

Enters: trial records, one after the other. Leaves: numpy arrays, one value a trial, NaN where a
figure is not known, and exact sums of money. Holds no texts: 100,000 trials take tens of MB.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from finrag_eval.domain import Query, Score, TrialRecord
from finrag_eval.money import exact_sum

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Stop reasons after which an answer is not an ordinary one.
FLAGGED_STOPS = ("max_tokens", "guardrail_intervened", "content_filtered")

_FIGURES = (
    "latency_total_seconds",
    "latency_retrieval_seconds",
    "latency_llm_seconds",
    "latency_wait_seconds",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "kpi_matches_count",
    "rag_chunks_count",
    "retries",
)
#: Amounts that are held before they are summed: a hundred thousand would take 10 MB.
_AMOUNTS_HELD = 1_000
_MONEY = ("cost_usd", "wasted_usd", "judge_cost_usd", "retrieval_cost_usd", "saved_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellColumns:
    """The trials of one cell. All arrays have one entry a trial, in the order of the ledger."""

    cell: str
    query_ids: NDArray[np.object_]
    clusters: NDArray[np.object_]
    repeats: NDArray[np.intp]
    succeeded: Flags
    reused: Flags
    figures: Mapping[str, Floats]
    scores: Mapping[str, Floats]
    usd: Mapping[str, Decimal]
    cost_usd: Floats
    saved_usd: Floats
    errors: Mapping[str, int]
    stops: Mapping[str, int]
    unscored: Mapping[str, Mapping[str, int]]
    scorer_errors: Mapping[str, int]

    @property
    def trials(self) -> int:
        return int(self.query_ids.size)


def columns_by_cell(
    records: Iterable[TrialRecord], queries: Mapping[str, Query]
) -> dict[str, CellColumns]:
    """The columns of every cell that has a finished trial."""
    gathering: dict[str, _Gathering] = {}
    for record in records:
        cell = gathering.get(record.trial.cell)
        if cell is None:
            cell = gathering[record.trial.cell] = _Gathering(record.trial.cell)
        cell.add(record, queries.get(record.trial.query_id))
    return {name: cell.columns() for name, cell in gathering.items()}


class _Gathering:
    """One cell's columns while its records come in: plain numbers, and names that queries share."""

    def __init__(self, cell: str) -> None:
        self._cell = cell
        self._queries: list[str] = []
        self._clusters: list[str] = []
        self._repeats = array("q")
        self._succeeded = array("b")
        self._reused = array("b")
        self._figures = {name: array("d") for name in _FIGURES}
        self._cost = array("d")
        self._saved = array("d")
        self._money: dict[str, list[Decimal]] = {name: [] for name in _MONEY}
        self._scores: dict[str, array[float]] = {}
        self._errors: Counter[str] = Counter()
        self._stops: Counter[str] = Counter()
        self._unscored: dict[str, Counter[str]] = {}
        self._scorer_errors: Counter[str] = Counter()

    def add(self, record: TrialRecord, query: Query | None) -> None:
        trial = record.trial
        succeeded = record.status == "success"
        query_id = query.id if query else trial.query_id
        self._queries.append(query_id)
        self._clusters.append((query.cluster if query else None) or query_id)
        self._repeats.append(trial.repeat)
        self._succeeded.append(succeeded)
        self._reused.append(record.reused_from is not None)
        for name, values in self._figures.items():
            figure = getattr(record, name)
            values.append(np.nan if figure is None else float(figure))
        self._cost.append(np.nan if record.cost_usd is None else float(record.cost_usd))
        self._saved.append(float(record.saved_usd))
        for name, amounts in self._money.items():
            amount = getattr(record, name)
            if amount:
                amounts.append(amount)
                if len(amounts) >= _AMOUNTS_HELD:
                    amounts[:] = [exact_sum(amounts)]
        if not succeeded:
            self._errors[record.error_type or "Unknown"] += 1
        if record.stop_reason in FLAGGED_STOPS:
            self._stops[record.stop_reason] += 1
        self._add_scores(record.scores)

    def _add_scores(self, scores: Iterable[Score]) -> None:
        before = len(self._queries) - 1
        for score in scores:
            values = self._scores.setdefault(score.name, array("d"))
            values.extend([np.nan] * (before - len(values)))
            values.append(np.nan if score.value is None else score.value)
            if score.unscored is not None:
                self._unscored.setdefault(score.name, Counter())[score.unscored] += 1
            if score.error is not None:
                self._scorer_errors[score.name] += 1

    def columns(self) -> CellColumns:
        count = len(self._queries)
        for values in self._scores.values():
            values.extend([np.nan] * (count - len(values)))
        return CellColumns(
            cell=self._cell,
            query_ids=np.array(self._queries, dtype=object),
            clusters=np.array(self._clusters, dtype=object),
            repeats=np.array(self._repeats, dtype=np.intp),
            succeeded=np.array(self._succeeded, dtype=bool),
            reused=np.array(self._reused, dtype=bool),
            figures={name: np.array(values) for name, values in self._figures.items()},
            scores={name: np.array(values) for name, values in self._scores.items()},
            usd={name: exact_sum(amounts) for name, amounts in self._money.items()},
            cost_usd=np.array(self._cost),
            saved_usd=np.array(self._saved),
            errors=dict(self._errors.most_common()),
            stops=dict(self._stops.most_common()),
            unscored={name: dict(reasons) for name, reasons in self._unscored.items()},
            scorer_errors=dict(self._scorer_errors),
        )
