"""The words of finrag_eval: every type that crosses a doorway between its rooms.

Enters: nothing. Leaves: frozen dataclasses. Knows no file, no library and no policy.

Money is ``Decimal`` USD and exact; seconds are ``float``; instants are ``float`` seconds since
the epoch (UTC). ``None`` always means "not known", never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

#: The target that a sweep has unless it names another: this package's own pipeline.
BUILT_IN_TARGET = "finrag"

Environment = Literal["development", "production"]
Purpose = Literal["target", "judge", "retrieval"]
SweepStatus = Literal["running", "completed", "partial", "budget_stopped", "interrupted", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a value was written: a file and, where known, a line counted from 1."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """List prices in USD per 1,000 tokens; a cache price of None was never configured."""

    cost_per_1k_input: Decimal
    cost_per_1k_output: Decimal
    cost_per_1k_cache_read: Decimal | None = None
    cost_per_1k_cache_write: Decimal | None = None
    cost_per_1k_cache_write_1h: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthTier:
    """Prices that hold for every token of a call whose prompt is longer than ``above_tokens``."""

    above_tokens: int
    prices: Prices


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One entry of ``serving_models``, checked and with its prices resolved.

    ``settings`` holds the provider's own keys (``region``, ``variant``, ...). A rehearsal model's
    prices are those of ``price_as``, and its cost basis is ``rehearsal``: never real money.
    """

    key: str
    provider: str
    model_id: str
    display_name: str
    max_tokens: int
    prices: Prices
    temperature: float | None = None
    top_p: float | None = None
    context_window: int | None = None
    price_as: str | None = None
    length_tiers: tuple[LengthTier, ...] = ()
    tier_prices: Mapping[str, Prices] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    where: Location | None = field(default=None, compare=False)

    @property
    def cost_basis(self) -> Literal["billed", "rehearsal"]:
        return "rehearsal" if self.provider == "rehearsal" else "billed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one model call. Bedrock's input tokens exclude the cached ones."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """All tokens: ``cache_write_tokens`` already holds the 1 h writes among them."""
        return (
            self.input_tokens
            + self.output_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptVersion:
    """The pair of prompt names: a system prompt version and a query template version."""

    system: str
    query: str

    @property
    def label(self) -> str:
        """``v2-v1``, as it stands in a cell's name."""
        return f"{self.system}-{self.query}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTexts:
    """A prompt version with its two texts; ``digest`` names the texts, not the version."""

    version: PromptVersion
    system_text: str
    query_text: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question of a query set; fields as in the contract, section 4."""

    id: str
    query: str
    expected_answer: str | tuple[str, ...] | None = None
    expected_value: float | None = None
    alt_values: tuple[float, ...] = ()
    unit: str | None = None
    tolerance: float | None = None
    should_refuse: bool = False
    answer_type: str | None = None
    tickers: tuple[str, ...] = ()
    years: tuple[int, ...] = ()
    evidence_ids: tuple[str, ...] = ()
    context: str | None = None
    cluster: str | None = None
    difficulty: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySet:
    """The chosen queries in their order, and a digest of their content."""

    queries: tuple[Query, ...]
    digest: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalSettings:
    """What decides the context of a query besides the query itself."""

    include_kpi: bool = True
    include_rag: bool = True
    top_k: int = 8
    retriever: str = "bm25"
    corpus: str | None = None
    kpi_facts: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerSpec:
    """A scorer as asked for: ``name`` of the score, ``kind`` of the scorer, and its options."""

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpec:
    """Caps in USD; None is no cap. Cells are named as in ``CELL/...``."""

    max_usd: Decimal | None = None
    warn_at: float = 0.8
    per_model: Mapping[str, Decimal] = field(default_factory=dict)
    per_cell: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSpec:
    """How trials are run; ``settings`` holds the keys of one backend or mode alone."""

    backend: Literal["threading", "loky", "dask"] = "threading"
    mode: Literal["on_demand", "bedrock_batch"] = "on_demand"
    concurrency: int = 8
    attempt_timeout_s: float = 300.0
    timeout_s: float = 900.0
    max_attempts: int = 6
    grace_s: float = 60.0
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Requests and tokens a minute for one model; None is unlimited."""

    rpm: float | None = None
    tpm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxFailed:
    """How many failed trials a sweep bears: a count or a share of the finished ones."""

    count: int | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSpec:
    """One gate: ``metric`` must keep ``rule`` (``min_delta``, ``max_ratio``, ...) at ``bound``."""

    metric: str
    rule: str
    bound: float
    where: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingSpec:
    """How a sweep is recorded in MLflow."""

    lane: Literal["auto", "public", "bulk"] = "auto"
    artifacts: str = "all"
    traces: bool = False
    on_unreachable: Literal["auto", "stop", "go_on"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRef:
    """A cell as the spec names it."""

    model_key: str
    prompts: PromptVersion

    @property
    def name(self) -> str:
        """``model_key.system-query``: the cell's name everywhere."""
        return f"{self.model_key}.{self.prompts.label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """What was asked: one checked sweep file, with overrides applied and paths resolved."""

    name: str
    experiment: str
    models: tuple[str, ...]
    prompts: tuple[PromptVersion, ...]
    query_set: str
    environment: Environment = "development"
    retrieval: RetrievalSettings = RetrievalSettings()
    repeats: int = 1
    scorers: tuple[ScorerSpec, ...] = ()
    budget: BudgetSpec = BudgetSpec()
    execution: ExecutionSpec = ExecutionSpec()
    limits: Mapping[str, RateLimit] = field(default_factory=dict)
    on_error: MaxFailed = MaxFailed()
    baseline: CellRef | None = None
    gate: tuple[GateSpec, ...] = ()
    margins: Mapping[str, float] = field(default_factory=dict)
    target: str = "finrag"
    tags: Mapping[str, str] = field(default_factory=dict)
    tracking: TrackingSpec = TrackingSpec()
    redact: tuple[str, ...] = ()
    reuse: bool = False
    source: Path | None = field(default=None, compare=False)
    resolved: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One model with one prompt version; ``digest`` names all of it that decides an answer."""

    model: ModelConfig
    prompts: PromptTexts
    digest: str

    @property
    def name(self) -> str:
        return f"{self.model.key}.{self.prompts.version.label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One cell x one query x one repeat; ``key`` digests all that decides its answer."""

    key: str
    cell: str
    query_id: str
    repeat: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One call of one model: what the prompt versions made of query and context."""

    model: ModelConfig
    system_text: str
    prefix_text: str
    question_text: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def user_text(self) -> str:
        return self.prefix_text + self.question_text

    @property
    def prompt_bytes(self) -> int:
        """UTF-8 bytes of the whole prompt: no tokenizer gives more tokens than bytes."""
        return len(self.system_text.encode()) + len(self.user_text.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReply:
    """A checked answer of a model; ``latency_seconds`` is this one call's, on the wire."""

    text: str
    usage: Usage
    stop_reason: str
    latency_seconds: float
    reasoning: str | None = None
    service_tier: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a trial has no answer, and in which stage of the pipeline.

    ``stop_reason`` is that of an answer that was of no use.
    """

    error_type: str
    message: str
    stage: str
    traceback: str | None = None
    stop_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one trial: the pipeline's result (contract, section 6) and what it took.

    ``result`` is complete for answers and failures alike. ``usage`` and ``cost_usd`` are those of
    the kept answer; ``wasted_usd`` is what attempts without a usable answer cost. ``latency_total``
    is retrieval, prompt and the kept call; every kind of waiting is in ``latency_wait_seconds``.
    """

    trial: Trial
    result: Mapping[str, Any]
    started_at: float
    ended_at: float
    failure: Failure | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    wasted_usd: Decimal = Decimal(0)
    retrieval_cost_usd: Decimal = Decimal(0)
    saved_usd: Decimal = Decimal(0)
    latency_total_seconds: float | None = None
    latency_retrieval_seconds: float | None = None
    latency_llm_seconds: float | None = None
    latency_wait_seconds: float = 0.0
    retries: int = 0
    stop_reason: str | None = None
    reused_from: str | None = None

    @property
    def succeeded(self) -> bool:
        return self.failure is None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """One trial in a batch job: the attempt that it is, and the worst case that is reserved.

    ``carried`` is what the trial went through before, as plain JSON values; ``attempt`` is 0
    until the ledger has numbered it.
    """

    trial_key: str
    cell: str
    reserved_usd: Decimal
    carried: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJob:
    """A batch job of one model; ``job_id`` is the vendor's, None until it is known to be sent."""

    token: str
    model_key: str
    records: tuple[BatchRecord, ...]
    job_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """Where a batch job is, in the vendor's word; counts and instants are None until known."""

    status: str
    is_over: bool
    message: str | None = None
    records: int | None = None
    processed: int | None = None
    submitted_at: float | None = None
    ended_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A scorer's verdict: a value, or the reason for giving none.

    ``unscored`` says why the scorer could not tell; ``error`` says how the scorer itself broke.
    Exactly one of ``value``, ``unscored`` and ``error`` is set.
    """

    name: str
    value: float | None = None
    unscored: str | None = None
    error: str | None = None
    explanation: Mapping[str, Any] = field(default_factory=dict)
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One finished trial as the ledger has it: figures here, texts behind ``outcome_id``.

    ``outcome_id`` and ``scores_id`` grow with every write, so that a reader can follow.
    """

    outcome_id: int
    scores_id: int
    trial: Trial
    status: Literal["success", "failed"]
    started_at: float
    ended_at: float
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cost_usd: Decimal | None
    wasted_usd: Decimal
    judge_cost_usd: Decimal
    retrieval_cost_usd: Decimal
    saved_usd: Decimal
    latency_total_seconds: float | None
    latency_retrieval_seconds: float | None
    latency_llm_seconds: float | None
    latency_wait_seconds: float
    retries: int
    context_length_chars: int | None
    answer_length_chars: int | None
    kpi_matches_count: int | None
    rag_chunks_count: int | None
    tickers: tuple[str, ...]
    years: tuple[int, ...]
    stop_reason: str | None
    error_type: str | None
    error_message: str | None
    stage: str | None
    reused_from: str | None
    scores: tuple[Score, ...]
    prices: Prices | None = None
