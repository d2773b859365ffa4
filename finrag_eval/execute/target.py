"""What is evaluated, when it is the built-in pipeline.

Enters: a ticket. Leaves: an outcome, delivered to the gate, or the ticket, given back. Retrieval,
prompt, call and packaging in this order; each failure keeps its stage. Knows the pipeline only by
the ``Answerer`` protocol, and no vendor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

from finrag_eval.domain import (
    Cell,
    ExecutionSpec,
    Failure,
    ModelConfig,
    ModelReply,
    ModelRequest,
    PromptTexts,
    Purpose,
    Query,
)
from finrag_eval.execute.contexts import SharedContexts
from finrag_eval.execute.doorways import (
    CallFor,
    CallSize,
    Carried,
    ClientFor,
    GateDoor,
    Refusal,
    Ticket,
)
from finrag_eval.execute.outcomes import (
    LOSSES_BORNE,
    Timing,
    answered,
    failed,
    failure_in,
    failure_of,
    worker_lost,
)
from finrag_eval.execute.retries import Attempt, Called, ask_model, call_with_retries
from finrag_eval.turns import TURNS

#: The model key under which the money of retrieval is capped and counted.
RETRIEVAL = "retrieval"
_NOTHING = Decimal(0)


class GatheredContext(Protocol):
    """What this room reads of a context; the rest is the pipeline's own."""

    @property
    def seconds(self) -> float: ...
    @property
    def cost_usd(self) -> Decimal: ...


class Answerer(Protocol):
    """The pipeline, step by step.

    A pipeline whose retrieval costs money also has ``gather_worst_usd(query) -> Decimal``, a bound
    of what one ``gather`` can cost; it is reserved from the budget before.
    """

    def gather(self, query: Query) -> Any: ...
    def request(
        self, query: Query, context: Any, model: ModelConfig, texts: PromptTexts
    ) -> ModelRequest: ...
    def answer(
        self,
        query: Query,
        context: Any,
        model: ModelConfig,
        texts: PromptTexts,
        call: Callable[[ModelRequest], ModelReply],
    ) -> Mapping[str, Any]: ...


class GaveBack(Exception):
    """The trial cannot go on now."""

    def __init__(self, refusal: Refusal, carried: Carried, worst_usd: Decimal) -> None:
        self.refusal, self.carried, self.worst_usd = refusal, carried, worst_usd
        super().__init__(refusal)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a trial asks its model: the request, its context, and the seconds that it took."""

    context: GatheredContext
    request: ModelRequest
    seconds: float


class PipelineTarget:
    """The FinRAG synthesis pipeline. Threads share it; a process builds its own."""

    def __init__(
        self,
        pipeline: Answerer,
        *,
        queries: Mapping[str, Query],
        cells: Mapping[str, Cell],
        client_for: ClientFor,
        execution: ExecutionSpec,
        sweep_id: str = "",
    ) -> None:
        self._pipeline = pipeline
        self._queries, self._cells = queries, cells
        self._client_for = client_for
        self._execution = execution
        self._sweep_id = sweep_id
        self._contexts: SharedContexts[GatheredContext] = SharedContexts()

    def answer(self, ticket: Ticket, gate: GateDoor) -> None:
        """Deliver the trial's outcome, or give the ticket back; raises nothing foreseen."""
        with TURNS.computing():
            try:
                self._answer(self._run(ticket, gate))
            except GaveBack as back:
                gate.give_back(ticket.number, back.refusal, back.carried, back.worst_usd)

    def _run(self, ticket: Ticket, gate: GateDoor) -> TrialRun:
        return TrialRun(
            ticket=ticket,
            gate=gate,
            query=self._queries[ticket.trial.query_id],
            cell=self._cells[ticket.trial.cell],
            started_at=time.time(),
            carried=ticket.carried,
        )

    def _answer(self, run: TrialRun) -> None:
        if run.carried.losses > LOSSES_BORNE:
            run.deliver_failure(worker_lost(run.carried.losses))
            return
        prompt = self._prompt(run)
        if prompt is None:
            return
        called = self._ask(run, prompt.request)
        run.carried = called.carried
        run.started_at += called.queued_seconds
        if called.answer is not None:
            latency = called.answer.latency_seconds
            timing = run.timing(
                total=prompt.context.seconds + prompt.seconds + latency,
                retrieval=prompt.context.seconds,
                llm=latency,
            )
            self._package(run, prompt.context, called.answer, called.cost_usd, timing)
        elif called.final_fault is not None:
            run.deliver_failure(failure_of(called.final_fault, "llm_invocation"))
        else:
            assert called.refusal is not None
            raise GaveBack(called.refusal, called.carried, called.worst_usd)

    def _prompt(self, run: TrialRun) -> Prompt | None:
        """The trial's prompt; None where it failed, and that was delivered."""
        try:
            context = self._context(run)
        except GaveBack:
            raise
        except Exception as error:
            run.deliver_failure(failure_of(error, "context_building"))
            return None
        if not run.carried.active_seconds:
            run.carried = replace(run.carried, active_seconds=context.seconds)
        began = time.perf_counter()
        model, texts = run.cell.model, run.cell.prompts
        try:
            request = self._pipeline.request(run.query, context, model, texts)
        except Exception as error:
            run.deliver_failure(failure_of(error, "prompt_formatting"))
            return None
        return Prompt(context, request, time.perf_counter() - began)

    def _ask(self, run: TrialRun, request: ModelRequest) -> Called[ModelReply]:
        model = run.cell.model
        metadata = {**request.metadata, "trial_key": run.ticket.trial.key}
        if self._sweep_id:
            metadata["sweep_id"] = self._sweep_id
        return ask_model(
            replace(request, metadata=metadata),
            self._client_for(model),
            run.gate,
            call=run.call_for(model.key, "target"),
            execution=self._execution,
            carried=run.carried,
        )

    def _package(
        self,
        run: TrialRun,
        context: GatheredContext,
        reply: ModelReply,
        cost_usd: Decimal,
        timing: Timing,
    ) -> None:
        try:
            result = self._pipeline.answer(
                run.query, context, run.cell.model, run.cell.prompts, lambda request: reply
            )
        except Exception as error:
            run.waste(cost_usd)
            run.deliver_failure(failure_of(error, "response_packaging"))
            return
        if result.get("error"):
            run.waste(cost_usd)
            run.deliver_failure(failure_in(result))
            return
        run.gate.deliver(
            run.ticket.number,
            answered(
                run.ticket.trial,
                result,
                run.carried,
                timing,
                usage=reply.usage,
                cost_usd=cost_usd,
                stop_reason=reply.stop_reason,
            ),
        )

    def _context(self, run: TrialRun) -> GatheredContext:
        return self._contexts.get(run.query.id, lambda: self._gather(run))

    def _gather(self, run: TrialRun) -> GatheredContext:
        """Gather, within the budget where it costs money; the trial that gathers pays."""
        worst_of = getattr(self._pipeline, "gather_worst_usd", None)
        worst = _NOTHING if worst_of is None else worst_of(run.query)
        if not worst:
            context: GatheredContext = self._pipeline.gather(run.query)
            return context
        TURNS.give()  # retrieval that costs money is a call of its own
        called = call_with_retries(
            lambda attempt: self._gather_once(run.query, attempt),
            lambda context: (context.cost_usd, None),
            run.gate,
            call=run.call_for(RETRIEVAL, "retrieval"),
            size=CallSize(worst_usd=worst, prompt_bytes=0, max_tokens=0),
            execution=self._execution,
            carried=run.carried,
        )
        run.carried = replace(
            called.carried,
            retrieval_cost_usd=called.carried.retrieval_cost_usd + called.cost_usd,
        )
        run.started_at += called.queued_seconds
        if called.answer is not None:
            return called.answer
        if called.final_fault is not None:
            raise called.final_fault
        assert called.refusal is not None
        raise GaveBack(called.refusal, run.carried, worst)

    def _gather_once(self, query: Query, attempt: Attempt) -> GatheredContext:
        del attempt
        context: GatheredContext = self._pipeline.gather(query)
        return context


@dataclass(slots=True)
class TrialRun:
    """One trial on its way through the pipeline; what it was queued for is not in its time."""

    ticket: Ticket
    gate: GateDoor
    query: Query
    cell: Cell
    started_at: float
    carried: Carried

    def call_for(self, model_key: str, purpose: Purpose) -> CallFor:
        trial = self.ticket.trial
        return CallFor(
            trial_key=trial.key,
            cell=trial.cell,
            model_key=model_key,
            purpose=purpose,
            ticket=self.ticket.number,
        )

    def timing(self, **seconds: float) -> Timing:
        return Timing(started_at=self.started_at, ended_at=time.time(), **seconds)

    def waste(self, usd: Decimal) -> None:
        self.carried = replace(self.carried, wasted_usd=self.carried.wasted_usd + usd)

    def deliver_failure(self, failure: Failure) -> None:
        self.gate.deliver(
            self.ticket.number,
            failed(self.ticket.trial, self.query.query, failure, self.carried, self.timing()),
        )
