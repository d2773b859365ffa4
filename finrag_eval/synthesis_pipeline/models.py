"""The shapes that leave the synthesis pipeline: passages, results and failures.

Enters: what the orchestrator has in hand. Leaves: plain dicts in the shape of the contract,
section 6, ready for JSON. Knows no file and no library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from finrag_eval.domain import ModelConfig, ModelReply
from finrag_eval.errors import ModelFault
from finrag_eval.money import cost_usd

if TYPE_CHECKING:
    from finrag_eval.synthesis_pipeline.supply_lines import Context

Stage = Literal[
    "initialization",
    "context_building",
    "prompt_formatting",
    "llm_invocation",
    "response_packaging",
]

#: A result of a run that wrote no files.
NO_EXPORTS: Mapping[str, str | None] = {
    "log_file": None,
    "context_file": None,
    "response_file": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One piece of filing text that a retriever found; ``score`` is the retriever's own."""

    chunk_id: str
    ticker: str
    company_name: str
    fiscal_year: int
    section: str
    section_title: str
    text: str
    sentence_ids: tuple[str, ...] = ()
    score: float = 0.0


def success_result(
    *,
    query: str,
    context: Context,
    model: ModelConfig,
    reply: ModelReply,
    seconds: float,
    exports: Mapping[str, str | None] = NO_EXPORTS,
) -> dict[str, Any]:
    """A result with its answer. ``seconds`` is what retrieval, prompt and call took.

    A rehearsal's ``llm`` also says that its usage is an estimate and its cost no real money.
    """
    return {
        "query": query,
        "answer": reply.text,
        "context": context.text,
        "metadata": {
            "llm": _llm(model, reply),
            "context": {
                "kpi_included": context.kpi_included,
                "rag_included": context.rag_included,
                "context_length": len(context.text),
                "kpi_entities": dict(context.kpi_entities),
                "rag_entities": dict(context.rag_entities),
                "retrieval_stats": dict(context.retrieval_stats),
            },
            "retrieval": {
                "kpi_count": context.kpi_count,
                "rag_count": context.rag_count,
                "tickers": list(context.tickers),
                "years": list(context.years),
                "sections": list(context.sections),
            },
            "timestamp": timestamp(),
            "processing_time_ms": seconds * 1000,
        },
        "exports": dict(exports),
    }


def failure_result(*, query: str, error: BaseException, stage: Stage) -> dict[str, Any]:
    """A result without an answer: what went wrong, of which type, and in which stage.

    The type of a fault of a model is the vendor's (``ThrottlingException``), else the class.
    """
    message, error_type = str(error), type(error).__name__
    if isinstance(error, ModelFault):
        message, error_type = error.message, error.error_type
    return {
        "query": query,
        "answer": None,
        "context": None,
        "metadata": None,
        "error": message or error_type,
        "error_type": error_type,
        "stage": stage,
        "timestamp": timestamp(),
    }


def timestamp() -> str:
    """Now, UTC, ISO 8601 with microseconds and ``Z``."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _llm(model: ModelConfig, reply: ModelReply) -> dict[str, Any]:
    usage = reply.usage
    told: dict[str, Any] = {
        "model_id": model.model_id,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cost": float(cost_usd(usage, model, service_tier=reply.service_tier)),
        "stop_reason": reply.stop_reason,
    }
    if model.cost_basis == "rehearsal":
        told |= {"cost_basis": "rehearsal", "usage_is_estimate": True}
    return told
