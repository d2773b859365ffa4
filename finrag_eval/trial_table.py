"""trials.parquet and trials.csv: a row per trial, every param, metric and tag under its own name.

Enters: a ledger's reader and the run ids. Leaves: rows in batches, in the order of the plan, so
that 100,000 trials are never in memory at once; and the two files of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from finrag_eval.domain import Cell, Query, TrialRecord
from finrag_eval.job import SweepJob
from finrag_eval.provenance import iso_utc
from finrag_eval.record.ledger import LedgerReader
from finrag_eval.record.payload import CellForm, Origin
from finrag_eval.record.run_book import recorded
from finrag_eval.results import write_trials

_BATCH = 500
_BATCH_CHARS = 20_000_000

#: The table's own columns, in their order, with their kinds.
_FIXED: tuple[tuple[str, str], ...] = (
    ("query_id", "text"),
    ("repeat", "count"),
    ("run_id", "text"),
    ("run_name", "text"),
    ("finrag_eval.cell", "text"),
    ("model_key", "text"),
    ("model_id", "text"),
    ("system_prompt_version", "text"),
    ("query_template_version", "text"),
    ("status", "text"),
    ("query_preview", "text"),
    ("answer", "text"),
)
_COUNT_PARAMS = ("max_tokens", "query_length")
_NUMBER_PARAMS = ("temperature", "cost_per_1k_input", "cost_per_1k_output")
_FLAG_PARAMS = ("include_kpi", "include_rag")
_METRICS: tuple[tuple[str, str], ...] = (
    ("cost_usd", "number"),
    ("judge_cost_usd", "number"),
    ("retrieval_cost_usd", "number"),
    ("wasted_usd", "number"),
    ("saved_usd", "number"),
    ("latency_total_seconds", "number"),
    ("latency_retrieval_seconds", "number"),
    ("latency_llm_seconds", "number"),
    ("latency_wait_seconds", "number"),
    ("retries", "count"),
    ("input_tokens", "count"),
    ("output_tokens", "count"),
    ("total_tokens", "count"),
    ("cache_read_tokens", "count"),
    ("cache_write_tokens", "count"),
    ("context_length_chars", "count"),
    ("answer_length_chars", "count"),
    ("kpi_matches_count", "count"),
    ("rag_chunks_count", "count"),
)
_TAGS = (
    "environment",
    "run_date",
    "tickers",
    "years",
    "stop_reason",
    "error_type",
    "error_message",
    "stage",
    "finrag_eval.kind",
    "finrag_eval.sweep_id",
    "finrag_eval.trial_key",
    "finrag_eval.query_id",
    "finrag_eval.repeat",
    "finrag_eval.cost_basis",
    "finrag_eval.reused",
    "finrag_eval.query_tags",
)


def write_trial_tables(
    job: SweepJob,
    folder: Path,
    reader: LedgerReader,
    records: Iterable[TrialRecord],
    given: Iterable[str],
) -> None:
    """Write trials.parquet and trials.csv of the reader's records.

    Their scores are the sweep's own in their order, then others that answers were ``given``.
    """
    store = recorded(folder)
    rows = TrialRows(
        reader,
        origin_of(job, folder.name, None if store is None else store.parent_run_id),
        {} if store is None else store.run_ids,
        list(dict.fromkeys([*(scorer.name for scorer in job.spec.scorers), *sorted(given)])),
    )
    write_trials(folder, rows.columns, rows.batches(records))


def origin_of(job: SweepJob, sweep_id: str, parent_run_id: str | None) -> Origin:
    """What all runs of the job's sweep have in common."""
    return Origin(
        environment=job.spec.environment,
        include_kpi=job.spec.retrieval.include_kpi,
        include_rag=job.spec.retrieval.include_rag,
        repeats=job.spec.repeats,
        sweep_id=sweep_id,
        parent_run_id=parent_run_id,
        tags=job.spec.tags,
    )


class TrialRows:
    """The rows of one sweep's trials, and the columns that they have."""

    def __init__(
        self,
        reader: LedgerReader,
        origin: Origin,
        run_ids: Mapping[str, str],
        score_names: Sequence[str],
    ) -> None:
        self._reader, self._origin, self._run_ids = reader, origin, run_ids
        self._score_names = tuple(score_names)
        self._forms = {cell.name: CellForm(cell, origin) for cell in reader.cells()}
        self._cells: dict[str, Cell] = {cell.name: cell for cell in reader.cells()}
        self._queries: dict[str, Query] = {query.id: query for query in reader.queries()}

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Names and kinds (text, number, count, flag) of all columns."""
        return (
            *_FIXED,
            ("started_at", "text"),
            ("ended_at", "text"),
            *((f"score.{name}", "number") for name in self._score_names),
            *_METRICS,
            *((name, "count") for name in _COUNT_PARAMS),
            *((name, "number") for name in _NUMBER_PARAMS),
            *((name, "flag") for name in _FLAG_PARAMS),
            *((name, "text") for name in _TAGS),
            *((name, "text") for name in self._own_tags()),
        )

    def batches(self, records: Iterable[TrialRecord]) -> Iterator[list[dict[str, Any]]]:
        """A row for each record: five hundred at a time, or fewer where answers are long."""
        batch: list[dict[str, Any]] = []
        chars = 0
        for record in records:
            batch.append(self._row(record))
            chars += len(batch[-1]["answer"] or "")
            if len(batch) >= _BATCH or chars >= _BATCH_CHARS:
                yield batch
                batch, chars = [], 0
        if batch:
            yield batch

    def _own_tags(self) -> list[str]:
        taken = {name for name, _ in (*_FIXED, *_METRICS)} | set(_TAGS)
        return [name for name in self._origin.tags if name not in taken]

    def _row(self, record: TrialRecord) -> dict[str, Any]:
        query = self._queries[record.trial.query_id]
        payload = self._forms[record.trial.cell].payload(record, query, None)
        params = payload.params
        row: dict[str, Any] = {**payload.tags, **params, **payload.metrics}
        for name in (*_COUNT_PARAMS, *_NUMBER_PARAMS):
            row[name] = _number(params.get(name))
        for name in _FLAG_PARAMS:
            row[name] = params.get(name) == "True"
        row |= {
            "query_id": query.id,
            "repeat": record.trial.repeat,
            "run_id": self._run_ids.get(record.trial.key),
            "run_name": payload.name,
            "answer": self._reader.answer(record.outcome_id),
            "started_at": iso_utc(record.started_at),
            "ended_at": iso_utc(record.ended_at),
            "finrag_eval.query_tags": ",".join(query.tags),
        }
        return row


@lru_cache(maxsize=1024)
def _number(text: str | None) -> float | None:
    """The same few settings come up over and over."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
