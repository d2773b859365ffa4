"""How outcomes are made: of a result and its call, or of what went wrong.

Enters: a ticket and what came of it. Leaves: an ``Outcome`` whose result has the contract's shape
(section 6), for answers and failures alike.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from finrag_eval.domain import Failure, Outcome, Trial, Usage
from finrag_eval.errors import ModelFault
from finrag_eval.execute.doorways import Carried

#: How often a trial is handed out again after its worker died.
LOSSES_BORNE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds of the kept answer, each part where it is known; ``total`` has no waiting in it."""

    started_at: float
    ended_at: float
    total: float | None = None
    retrieval: float | None = None
    llm: float | None = None


def answered(
    trial: Trial,
    result: Mapping[str, Any],
    carried: Carried,
    timing: Timing,
    *,
    usage: Usage | None,
    cost_usd: Decimal | None,
    stop_reason: str | None,
) -> Outcome:
    """The outcome of a trial that has an answer."""
    return Outcome(
        trial=trial,
        result=result,
        started_at=timing.started_at,
        ended_at=timing.ended_at,
        usage=usage,
        cost_usd=cost_usd,
        wasted_usd=carried.wasted_usd,
        retrieval_cost_usd=carried.retrieval_cost_usd,
        latency_total_seconds=timing.total,
        latency_retrieval_seconds=timing.retrieval,
        latency_llm_seconds=timing.llm,
        latency_wait_seconds=carried.waited_seconds,
        retries=carried.retries,
        stop_reason=stop_reason,
    )


def failed(
    trial: Trial,
    query_text: str,
    failure: Failure,
    carried: Carried,
    timing: Timing,
    result: Mapping[str, Any] | None = None,
) -> Outcome:
    """The outcome of a trial without an answer; ``result`` is the target's own, if it gave one."""
    return Outcome(
        trial=trial,
        result={
            **(result or {}),
            "query": query_text,
            "answer": None,
            "context": None,
            "metadata": None,
            "error": failure.message or failure.error_type,
            "error_type": failure.error_type,
            "stage": failure.stage,
            "timestamp": (result or {}).get("timestamp") or _timestamp(),
        },
        started_at=timing.started_at,
        ended_at=timing.ended_at,
        failure=failure,
        wasted_usd=carried.wasted_usd,
        retrieval_cost_usd=carried.retrieval_cost_usd,
        latency_wait_seconds=carried.waited_seconds,
        retries=carried.retries,
        stop_reason=failure.stop_reason,
    )


def failure_of(error: BaseException, stage: str) -> Failure:
    """What an exception says; the traceback of all but foreseen faults is kept."""
    if isinstance(error, ModelFault):
        cause = error.__cause__
        return Failure(
            error_type=error.error_type,
            message=error.message,
            stage=stage,
            traceback=None if cause is None else _traceback(cause),
            stop_reason=error.stop_reason,
        )
    return Failure(
        error_type=type(error).__name__,
        message=str(error),
        stage=stage,
        traceback=_traceback(error),
    )


def failure_in(result: Mapping[str, Any]) -> Failure:
    """What a target's own failure result says."""
    stage = result.get("stage")
    return Failure(
        error_type=str(result.get("error_type") or "TargetError"),
        message=str(result.get("error")),
        stage=stage if isinstance(stage, str) and stage else "llm_invocation",
        traceback=result["traceback"] if isinstance(result.get("traceback"), str) else None,
    )


def worker_lost(losses: int) -> Failure:
    """Why a trial is not handed out once more after its workers died."""
    return Failure(
        error_type="WorkerLost",
        message=f"the process that answered it died {losses} times",
        stage="llm_invocation",
    )


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
