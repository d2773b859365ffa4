"""Parts for this room's tests: a ledger in memory, a small pipeline, clients that do as told."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from finrag_eval.domain import (
    BudgetSpec,
    Cell,
    ExecutionSpec,
    ModelConfig,
    ModelReply,
    ModelRequest,
    Outcome,
    Prices,
    PromptTexts,
    PromptVersion,
    Purpose,
    Query,
    Trial,
    Usage,
)
from finrag_eval.errors import ModelFault
from finrag_eval.execute.budget import Budget
from finrag_eval.execute.doorways import AttemptState, ModelClient, Target
from finrag_eval.execute.fanout import fan_out
from finrag_eval.execute.gate import Gate
from finrag_eval.execute.target import PipelineTarget

PRICES = Prices(cost_per_1k_input=Decimal("0.001"), cost_per_1k_output=Decimal("0.005"))


def model(key: str = "m", **changes: Any) -> ModelConfig:
    """A model at 1 USD a million input tokens, 5 output; 100 output tokens at most."""
    fields = {
        "key": key,
        "provider": "bedrock",
        "model_id": f"vendor.{key}",
        "display_name": key,
        "max_tokens": 100,
        "prices": PRICES,
        **changes,
    }
    return ModelConfig(**fields)


def cell(of: ModelConfig, version: str = "v1") -> Cell:
    texts = PromptTexts(
        version=PromptVersion(system=version, query="v1"),
        system_text="Be exact.",
        query_text="{context}{query}",
        digest=version,
    )
    return Cell(model=of, prompts=texts, digest=f"{of.key}-{version}")


def queries(count: int) -> dict[str, Query]:
    return {f"q{n}": Query(id=f"q{n}", query=f"Question {n}?") for n in range(count)}


def trials(cells: Sequence[Cell], asked: Iterable[str]) -> list[Trial]:
    return [
        Trial(key=f"{one.name}/{query_id}", cell=one.name, query_id=query_id)
        for query_id in asked
        for one in cells
    ]


@dataclass
class MemoryLedger:
    """Reservations as a ledger has them, with the money checked at every step."""

    cap: Decimal | None = None
    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    most: Decimal = Decimal(0)
    flushes: int = 0
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def reserve(
        self, *, trial_key: str, cell: str, model_key: str, purpose: Purpose, usd: Decimal
    ) -> int:
        with self.lock:
            number = next(self.numbers)
            self.rows[number] = {
                "trial_key": trial_key,
                "cell": cell,
                "model_key": model_key,
                "purpose": purpose,
                "reserved": usd,
                "state": "open",
            }
            self.reserved += usd
            self._check()
            return number

    def settle(
        self,
        attempt_id: int,
        *,
        billed_usd: Decimal,
        state: AttemptState,
        error_type: str | None = None,
    ) -> None:
        with self.lock:
            row = self.rows[attempt_id]
            assert row["state"] == "open", "settled twice"
            row.update(billed=billed_usd, state=state, error_type=error_type)
            self.reserved -= row["reserved"]
            self.spent += billed_usd
            self._check()

    def flush(self) -> None:
        self.flushes += 1

    def _check(self) -> None:
        self.most = max(self.most, self.spent + self.reserved)
        assert self.cap is None or self.spent + self.reserved <= self.cap

    def states(self) -> list[tuple[str, str | None]]:
        return [(row["state"], row.get("error_type")) for row in self.rows.values()]


@dataclass(frozen=True)
class SmallContext:
    text: str
    seconds: float = 0.25
    cost_usd: Decimal = Decimal(0)


class SmallPipeline:
    """The pipeline's steps, with a context per query and counts of what was gathered."""

    def __init__(self, *, gather: Callable[[Query], SmallContext] | None = None) -> None:
        self._gather = gather or (lambda query: SmallContext(f"Context of {query.id}. "))
        self.gathered: list[str] = []

    def gather(self, query: Query) -> SmallContext:
        self.gathered.append(query.id)
        return self._gather(query)

    def request(
        self, query: Query, context: SmallContext, model: ModelConfig, texts: PromptTexts
    ) -> ModelRequest:
        return ModelRequest(
            model=model,
            system_text=texts.system_text,
            prefix_text=context.text,
            question_text=query.query,
        )

    def answer(
        self,
        query: Query,
        context: SmallContext,
        model: ModelConfig,
        texts: PromptTexts,
        call: Callable[[ModelRequest], ModelReply],
    ) -> dict[str, Any]:
        reply = call(self.request(query, context, model, texts))
        return {"query": query.query, "answer": reply.text, "context": context.text}


def reply(text: str = "42", **changes: Any) -> ModelReply:
    fields = {
        "text": text,
        "usage": Usage(input_tokens=10, output_tokens=20),
        "stop_reason": "end_turn",
        "latency_seconds": 0.5,
        **changes,
    }
    return ModelReply(**fields)


def fault(retry: str, error_type: str = "SomeFault", *, billed: bool = False) -> ModelFault:
    return ModelFault(error_type, "it went wrong", retry=retry, may_be_billed=billed)


class ToldClient:
    """A client that does what ``act(request, number of this prompt's try)`` says."""

    def __init__(self, act: Callable[[ModelRequest, int], ModelReply | ModelFault]) -> None:
        self._act = act
        self._lock = threading.Lock()
        self.tries: dict[tuple[str, str], int] = {}
        self.renewals: list[int] = []
        self.in_flight = self.most_in_flight = 0

    def converse(
        self, request: ModelRequest, *, timeout_s: float, deadline: float | None = None
    ) -> ModelReply:
        key = (request.model.key, request.question_text)
        with self._lock:
            number = self.tries[key] = self.tries.get(key, 0) + 1
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            done = self._act(request, number)
            if isinstance(done, ModelFault):
                raise done
            return done
        finally:
            with self._lock:
                self.in_flight -= 1

    def renew(self, renewal: int) -> None:
        self.renewals.append(renewal)

    @property
    def calls(self) -> int:
        return sum(self.tries.values())


def answers(request: ModelRequest, number: int) -> ModelReply:
    """Answer at once with the question."""
    return reply(request.question_text)


def sweep_of(
    client: ModelClient,
    *,
    count: int,
    execution: ExecutionSpec,
    ledger: MemoryLedger | None = None,
) -> tuple[Gate, PipelineTarget]:
    """A gate and its target for one cell, to be fanned out by the test itself."""
    chosen, asked = cell(model()), queries(count)
    gate = Gate(
        trials([chosen], asked),
        [chosen],
        budget=Budget(BudgetSpec()),
        reservations=ledger or MemoryLedger(),
        concurrency=execution.concurrency,
    )
    target = PipelineTarget(
        SmallPipeline(),
        queries=asked,
        cells={chosen.name: chosen},
        client_for=lambda model: client,
        execution=execution,
    )
    return gate, target


@dataclass
class Ran:
    """What came of a sweep in memory."""

    outcomes: dict[str, Outcome]
    gate: Gate
    ledger: MemoryLedger
    notices: list[str]


def run(
    client: ModelClient,
    *,
    cells: Sequence[Cell] | None = None,
    count: int = 4,
    execution: ExecutionSpec | None = None,
    budget: BudgetSpec | None = None,
    pipeline: SmallPipeline | None = None,
    make_target: Callable[[Mapping[str, Query], Mapping[str, Cell]], Target] | None = None,
    during: Callable[[Gate, Outcome], None] = lambda gate, outcome: None,
    on_notice: Callable[[str], None] = lambda line: None,
    **gate_options: Any,
) -> Ran:
    """Run all trials of ``cells`` x ``count`` queries on real threads."""
    chosen = list(cells or [cell(model())])
    execution = execution or ExecutionSpec(concurrency=4)
    spec = budget or BudgetSpec()
    asked = queries(count)
    by_name = {one.name: one for one in chosen}
    ledger = MemoryLedger(cap=spec.max_usd)
    notices: list[str] = []
    gate = Gate(
        trials(chosen, asked),
        chosen,
        budget=Budget(spec),
        reservations=ledger,
        concurrency=execution.concurrency,
        on_notice=lambda line: (notices.append(line), on_notice(line)),
        **gate_options,
    )
    if make_target is not None:
        target = make_target(asked, by_name)
    else:
        target = PipelineTarget(
            pipeline or SmallPipeline(),
            queries=asked,
            cells=by_name,
            client_for=lambda model: client,
            execution=execution,
            sweep_id="s1",
        )
    outcomes: dict[str, Outcome] = {}
    for outcome in fan_out(gate, lambda: target, execution):
        assert outcome.trial.key not in outcomes, "delivered twice"
        outcomes[outcome.trial.key] = outcome
        during(gate, outcome)
    return Ran(outcomes, gate, ledger, notices)


def eventually(is_true: Callable[[], bool], *, seconds: float = 20.0) -> bool:
    """Whether it comes true; gives up after a time that no working program needs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_true():
            return True
        time.sleep(0.002)
    return False
