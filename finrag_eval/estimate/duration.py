"""How long a plan takes: with and without limits, and which limit binds.

Enters: calls by model with their tokens and seconds. Leaves: seconds. METHODS: the larger of total
latency over concurrency and what rpm and tpm allow. Judges begin when the answers are there, so
their time is added.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finrag_eval.domain import ExecutionSpec, RateLimit

#: Hours that a batch job may take where the spec does not say (Bedrock's own limit on one).
_JOB_HOURS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Calls to one model: how many, their tokens as its quota counts them, seconds of each."""

    model_key: str
    calls: int
    tokens: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """Seconds without limits and with them, and what binds."""

    free: float
    limited: float
    binds: str


def duration(
    answers: Sequence[Load],
    judging: Sequence[Load],
    execution: ExecutionSpec,
    limits: Mapping[str, RateLimit],
) -> Duration:
    """The time of all answers and then of all judges' calls; the longer part says what binds."""
    first = _phase(answers, execution.concurrency, limits)
    if execution.mode == "bedrock_batch" and any(load.calls for load in answers):
        hours = float(execution.settings.get("job_hours") or _JOB_HOURS)
        first = Duration(free=first.free, limited=3600 * hours, binds="batch jobs (at most)")
    then = _phase(judging, execution.concurrency, limits)
    longer = max(first, then, key=lambda phase: phase.limited)
    return Duration(
        free=first.free + then.free, limited=first.limited + then.limited, binds=longer.binds
    )


def _phase(loads: Sequence[Load], concurrency: int, limits: Mapping[str, RateLimit]) -> Duration:
    free = math.fsum(load.calls * load.seconds for load in loads) / concurrency
    free = max([free, *(load.seconds for load in loads if load.calls)])
    slowest, binds = free, f"concurrency {concurrency}"
    for model_key, limit in limits.items():
        own = [load for load in loads if load.model_key == model_key]
        amounts = {
            "rpm": (sum(load.calls for load in own), limit.rpm),
            "tpm": (math.fsum(load.tokens for load in own), limit.tpm),
        }
        for name, (amount, rate) in amounts.items():
            if rate and 60 * amount / rate > slowest:
                slowest, binds = 60 * amount / rate, f"{name} of {model_key}"
    return Duration(free=free, limited=slowest, binds=binds)
