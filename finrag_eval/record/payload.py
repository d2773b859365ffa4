"""What one MLflow run will hold: params, metrics, tags and artifacts under the contract's names.

Enters: a trial as the ledger has it, with its cell, its query and its result. Leaves: a
``RunPayload`` that any store takes. Knows the contract, section 5; knows no store and no MLflow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from finrag_eval.domain import Cell, Prices, Query, Score, TrialRecord
from finrag_eval.provenance import user_name
from finrag_eval.record.cleaning import (
    clean_metrics,
    clean_params,
    clean_run_name,
    clean_tags,
    clean_text,
    cut_note,
)

#: Says in a run what had to be cut or renamed to fit into MLflow.
CUT_TAG = "finrag_eval.cut"
PARENT_TAG = "mlflow.parentRunId"
#: A param that a later session changed: MLflow's params cannot change, so the new value is a tag.
CHANGED_PARAM = "finrag_eval.param."

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
Content = str | bytes | Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPayload:
    """One whole MLflow run, clean: times are epoch milliseconds, artifacts are path -> content.

    An artifact's content is text, bytes, or the path of a file that has it.
    """

    name: str
    start_ms: int
    end_ms: int | None
    status: RunStatus
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: Mapping[str, Content] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What all runs of one sweep have in common; without a sweep, those of one ``query``."""

    environment: str
    include_kpi: bool = True
    include_rag: bool = True
    repeats: int = 1
    sweep_id: str | None = None
    parent_run_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    source_name: str = "finrag-eval"


def child_payload(
    record: TrialRecord,
    *,
    cell: Cell,
    query: Query,
    result: Mapping[str, Any] | None,
    origin: Origin,
    artifacts: bool = True,
) -> RunPayload:
    """The run of one trial; without ``result`` or ``artifacts``, one without files."""
    return CellForm(cell, origin).payload(record, query, result if artifacts else None)


class CellForm:
    """What the runs of one cell share, worked out once: 100,000 trials have a few cells."""

    def __init__(self, cell: Cell, origin: Origin) -> None:
        self._cell, self._origin = cell, origin
        self._changed: list[str] = []
        self._params = clean_params(_cell_params(cell, origin), self._changed)
        self._tags = clean_tags(_shared_tags(cell, origin), self._changed)

    @property
    def cell(self) -> Cell:
        """The cell whose runs are made."""
        return self._cell

    def payload(
        self,
        record: TrialRecord,
        query: Query,
        result: Mapping[str, Any] | None,
        *,
        name: str | None = None,
    ) -> RunPayload:
        """The run of one trial of this cell, under the contract's name unless another is given."""
        changed = list(self._changed)
        params = {**self._params, **clean_params(_query_params(query), changed)}
        params.update(_price_params(record.prices or self._cell.model.prices))
        tags = {**self._tags, **clean_tags(_trial_tags(record, query, self._origin), changed)}
        metrics = clean_metrics(trial_metrics(record), changed)
        clean = clean_run_name(name or self._name(record), changed)
        if changed:
            tags[CUT_TAG] = cut_note(changed)
        start_ms = int(record.started_at * 1000)
        return RunPayload(
            name=clean,
            start_ms=start_ms,
            end_ms=max(start_ms, int(record.ended_at * 1000)),
            status="FINISHED" if record.status == "success" else "FAILED",
            params=params,
            metrics=metrics,
            tags=tags,
            artifacts={} if result is None else self._artifacts(record, query, result),
        )

    def run_name(self, record: TrialRecord) -> str:
        """The name that the contract gives to the run of this trial."""
        return clean_run_name(self._name(record), [])

    def _name(self, record: TrialRecord) -> str:
        trial = record.trial
        name = f"query_{name_time(record.started_at)}_{self._cell.model.key}"
        if self._origin.sweep_id is None:
            return name
        name = f"{name}_{self._cell.prompts.version.label}_{trial.query_id}"
        return name if self._origin.repeats == 1 else f"{name}_r{trial.repeat}"

    def _artifacts(
        self, record: TrialRecord, query: Query, result: Mapping[str, Any]
    ) -> dict[str, Content]:
        files: dict[str, Content] = {
            "prompts/original_query.txt": clean_text(query.query),
            "prompts/system_prompt.txt": clean_text(self._cell.prompts.system_text),
        }
        if result.get("context"):
            files["context/assembled_context.txt"] = clean_text(str(result["context"]))
        files["response/full_response.json"] = json_text(result)
        if record.scores:
            files["response/scores.json"] = scores_json(record.scores)
        return files


def trial_metrics(record: TrialRecord) -> dict[str, float | int | Decimal | None]:
    """The contract's metrics of a trial; None where a figure is not known."""
    metrics: dict[str, float | int | Decimal | None] = {
        "latency_total_seconds": record.latency_total_seconds,
        "latency_retrieval_seconds": record.latency_retrieval_seconds,
        "latency_llm_seconds": record.latency_llm_seconds,
        "latency_wait_seconds": record.latency_wait_seconds,
        "retries": record.retries,
        "input_tokens": record.input_tokens,
        "output_tokens": record.output_tokens,
        "total_tokens": _total_tokens(record),
        "cache_read_tokens": record.cache_read_tokens,
        "cache_write_tokens": record.cache_write_tokens,
        "cost_usd": record.cost_usd,
        "context_length_chars": record.context_length_chars,
        "answer_length_chars": record.answer_length_chars,
        "kpi_matches_count": record.kpi_matches_count,
        "rag_chunks_count": record.rag_chunks_count,
    }
    for name in ("judge_cost_usd", "retrieval_cost_usd", "wasted_usd", "saved_usd"):
        metrics[name] = getattr(record, name) or None
    for score in record.scores:
        metrics[f"score.{score.name}"] = score.value
    return metrics


def name_time(at: float) -> str:
    """``20261122_143052`` (UTC), as it stands in a run's name."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%d_%H%M%S")


def run_date(at: float) -> str:
    """``2026-11-22`` (UTC), as the tag ``run_date`` has it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def json_text(document: Any) -> str:
    """JSON that every reader takes, one line for each of the upper keys: no NaN, no surrogate."""
    try:
        text = _laid_out(document)
    except ValueError:
        text = _laid_out(without_nan(document))
    return clean_text(text)


def _laid_out(value: Any, indent: str = "", depth: int = 2) -> str:
    """JSON with its upper levels indented; the rest in one piece, which is ten times as fast."""
    if depth == 0 or not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    inner = f"{indent}  "
    lines = (
        f"{inner}{json.dumps(str(key), ensure_ascii=False)}: {_laid_out(item, inner, depth - 1)}"
        for key, item in value.items()
    )
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def without_nan(value: Any) -> Any:
    """The same document with None where a number is NaN or infinite."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return value


def scores_json(scores: Sequence[Score]) -> str:
    """Every score with its value or its reason for giving none, and how it came about."""
    return json_text(
        {
            score.name: {
                "value": score.value,
                "unscored": score.unscored,
                "error": score.error,
                "explanation": dict(score.explanation),
                "cost_usd": float(score.cost_usd),
            }
            for score in scores
        }
    )


def plain_decimal(amount: Decimal) -> str:
    """``0.00025``: a decimal without exponent, as a person writes a price."""
    return format(amount.normalize(), "f")


def _total_tokens(record: TrialRecord) -> int | None:
    if record.input_tokens is None or record.output_tokens is None:
        return None
    cached = (record.cache_read_tokens or 0) + (record.cache_write_tokens or 0)
    return record.input_tokens + record.output_tokens + cached


def _cell_params(cell: Cell, origin: Origin) -> dict[str, str]:
    model = cell.model
    return {
        "model_key": model.key,
        "model_id": model.model_id,
        "temperature": "default" if model.temperature is None else str(model.temperature),
        "max_tokens": str(model.max_tokens),
        "system_prompt_version": cell.prompts.version.system,
        "query_template_version": cell.prompts.version.query,
        "include_kpi": str(origin.include_kpi),
        "include_rag": str(origin.include_rag),
    }


def _price_params(prices: Prices) -> dict[str, str]:
    return {
        "cost_per_1k_input": plain_decimal(prices.cost_per_1k_input),
        "cost_per_1k_output": plain_decimal(prices.cost_per_1k_output),
    }


def _query_params(query: Query) -> dict[str, str]:
    return {"query_length": str(len(query.query)), "query_preview": query.query[:100]}


def _shared_tags(cell: Cell, origin: Origin) -> dict[str, str]:
    tags = {key: value for key, value in origin.tags.items() if not key.startswith("mlflow.")}
    tags |= {
        "environment": origin.environment,
        "finrag_eval.kind": "trial",
        "finrag_eval.cost_basis": cell.model.cost_basis,
        "mlflow.user": user_name(),
        "mlflow.source.name": origin.source_name,
        "mlflow.source.type": "LOCAL",
    }
    if origin.parent_run_id is not None:
        tags[PARENT_TAG] = origin.parent_run_id
    if origin.sweep_id is not None:
        tags |= {"finrag_eval.sweep_id": origin.sweep_id, "finrag_eval.cell": cell.name}
    return tags


def _trial_tags(record: TrialRecord, query: Query, origin: Origin) -> dict[str, str]:
    tags = {"status": record.status, "run_date": run_date(record.started_at)}
    if origin.sweep_id is not None:
        tags["finrag_eval.trial_key"] = record.trial.key
        tags["finrag_eval.query_id"] = record.trial.query_id
        tags["finrag_eval.repeat"] = str(record.trial.repeat)
    if record.tickers:
        tags["tickers"] = ",".join(record.tickers)
    if record.years:
        tags["years"] = ",".join(str(year) for year in record.years)
    if query.tags:
        tags["finrag_eval.query_tags"] = ",".join(query.tags)
    if record.stop_reason:
        tags["stop_reason"] = record.stop_reason
    if record.reused_from:
        tags["finrag_eval.reused"] = "true"
        tags["finrag_eval.reused_from"] = record.reused_from
    if record.status == "failed":
        tags["error_message"] = record.error_message or "no message"
        tags["error_type"] = record.error_type or "Unknown"
        tags["stage"] = record.stage or "unknown"
    return tags
