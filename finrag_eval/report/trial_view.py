"""One trial with everything that is needed to open and read it.

Enters: nothing. Leaves: ``TrialView``, made from the ledger by whoever has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from finrag_eval.domain import Score

#: Outcome, scoring and run: whatever a trial shows follows from them.
Stamp = tuple[int, int, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """One trial as a reader opens it. None is "not known", as everywhere.

    ``context`` is the assembled context as the model saw it; its KPI snapshot and its passages
    are told apart by the headings in it. ``stage`` to ``traceback`` are set for failures only.
    Money is USD, times are seconds, ``started_at`` is seconds since the epoch (UTC).

    ``open`` is set where the run's name and the long texts (answer, context, traceback) were not
    read yet, and gives the trial with them: a page shows few of 100,000. Two views with the same
    ``stamp`` show the same; None says nothing.
    """

    cell: str
    query_id: str
    question: str
    status: Literal["success", "failed"]
    run_name: str = ""
    run_id: str | None = None
    run_url: str | None = None
    trial_key: str | None = None
    repeat: int = 1
    expected: str | None = None
    should_refuse: bool = False
    answer: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    stage: str | None = None
    traceback: str | None = None
    scores: tuple[Score, ...] = ()
    context: str | None = None
    system_prompt: str | None = None
    query_template: str | None = None
    stop_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: Decimal | None = None
    judge_cost_usd: Decimal = Decimal(0)
    retrieval_cost_usd: Decimal = Decimal(0)
    wasted_usd: Decimal = Decimal(0)
    saved_usd: Decimal = Decimal(0)
    latency_total_seconds: float | None = None
    latency_retrieval_seconds: float | None = None
    latency_llm_seconds: float | None = None
    latency_wait_seconds: float | None = None
    retries: int = 0
    started_at: float | None = None
    kpi_matches_count: int | None = None
    rag_chunks_count: int | None = None
    reused_from: str | None = None
    answer_type: str | None = None
    difficulty: str | None = None
    tickers: tuple[str, ...] = ()
    years: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    stamp: Stamp | None = field(default=None, compare=False, repr=False)
    open: Callable[[], TrialView] | None = field(default=None, compare=False, repr=False)
