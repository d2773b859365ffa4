"""The one owner of retries: a call is tried until it is answered, refused or hopeless.

Enters: a way to send one attempt, and what it can cost. Leaves: ``Called``: the answer, the fault
or the refusal, with all that was waited, retried and wasted on the way. Every attempt is reserved
on disk before it is sent and settled after it. SDKs below this make one attempt a call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Generic, TypeVar

from finrag_eval.domain import ExecutionSpec, ModelReply, ModelRequest, Usage
from finrag_eval.errors import ModelFault
from finrag_eval.execute.backoff import Backoff
from finrag_eval.execute.doorways import (
    AttemptState,
    CallFor,
    CallSize,
    Carried,
    GateDoor,
    ModelClient,
    Refusal,
    Settlement,
)
from finrag_eval.money import cost_usd, worst_case_usd

T = TypeVar("T")
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called(Generic[T]):
    """What came of a call with all its attempts.

    ``answer`` is set, or ``refusal``, or ``fault`` alone; beside a refusal, ``fault`` is the last
    attempt's. ``worst_usd`` is what one attempt reserves. ``queued_seconds`` is for how long the
    call was ready and others were under way. ``carried`` adds up everything that the trial has been
    through.
    """

    carried: Carried
    worst_usd: Decimal
    answer: T | None = None
    cost_usd: Decimal = _NOTHING
    queued_seconds: float = 0.0
    fault: ModelFault | None = None
    refusal: Refusal | None = None

    @property
    def final_fault(self) -> ModelFault | None:
        """The fault that ends the trial; None where it may go on later, or was never sent."""
        may_go_on = self.refusal not in (None, Refusal.MODEL_STOPPED)
        return None if may_go_on else self.fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt to send: its number from 1, the silence to bear, and when to give up."""

    number: int
    timeout_s: float
    deadline: float
    renewal: int


class _Tries(Generic[T]):
    """The attempts of one call; keeps the books."""

    def __init__(
        self,
        gate: GateDoor,
        call: CallFor,
        size: CallSize,
        carried: Carried,
        execution: ExecutionSpec,
    ) -> None:
        self._gate, self._call, self._size = gate, call, size
        self._execution = execution
        self._backoff = Backoff(execution.max_attempts, carried.faults)
        self._waited, self._active = carried.waited_seconds, carried.active_seconds
        self._retries, self._wasted = carried.retries, carried.wasted_usd
        self._queued = 0.0
        self._carried = carried

    def run(
        self, send: Callable[[Attempt], T], bill: Callable[[T], tuple[Decimal, Usage | None]]
    ) -> Called[T]:
        fault: ModelFault | None = None
        delay = 0.0
        while True:
            left = self._execution.timeout_s - self._active
            if left <= 0:
                return self._end(fault=_out_of_time(self._execution.timeout_s))
            admission = self._gate.admit(self._call, self._size, delay_seconds=delay)
            if isinstance(admission, Refusal):
                return self._end(fault=fault, refusal=admission)
            self._waited += admission.waited_seconds
            self._queued += admission.queued_seconds
            began = time.monotonic()
            try:
                answer = send(
                    Attempt(
                        number=self._retries + 1,
                        timeout_s=min(self._execution.attempt_timeout_s, left),
                        deadline=began + left,
                        renewal=admission.renewal,
                    )
                )
                billed, usage = bill(answer)
            except ModelFault as raised:
                fault = raised
            except Exception as error:
                fault = _unforeseen(error)
            except BaseException:
                self._settle_fault(admission.attempt, _lost())
                raise
            else:
                self._gate.settle(
                    admission.attempt,
                    Settlement(billed_usd=billed, state="kept", usage=usage),
                )
                return self._end(answer=answer, cost=billed)
            elapsed = time.monotonic() - began
            is_starved = self._settle_fault(admission.attempt, fault)
            next_delay = self._delay_after(fault, elapsed, is_starved=is_starved)
            if next_delay is None:
                return self._end(fault=fault)
            delay = next_delay

    def _delay_after(self, fault: ModelFault, elapsed: float, *, is_starved: bool) -> float | None:
        """Seconds before the next attempt; None where the fault is final. Keeps the clock."""
        self._waited += elapsed
        if fault.retry == "stop_model":
            self._gate.stop_model(self._call.model_key, f"{fault.error_type}: {fault.message}")
            return None
        if fault.retry == "credentials":
            self._retries += 1
            return 0.01
        self._active += elapsed
        delay = self._backoff.delay_after(fault, is_starved=is_starved)
        if delay is not None:
            self._retries += 1
            if fault.retry != "throttle":
                self._active += delay
        return delay

    def _settle_fault(self, attempt: int, fault: ModelFault) -> bool:
        billed, state = self._billed(fault)
        self._wasted += billed
        return self._gate.settle(
            attempt,
            Settlement(
                billed_usd=billed,
                state=state,
                usage=fault.usage,
                fault=fault.retry,
                error_type=fault.error_type,
                message=fault.message,
            ),
        )

    def _billed(self, fault: ModelFault) -> tuple[Decimal, AttemptState]:
        if fault.billed_usd is not None:
            return fault.billed_usd, "wasted" if fault.billed_usd else "free"
        return (self._size.worst_usd, "wasted") if fault.may_be_billed else (_NOTHING, "free")

    def _end(
        self,
        *,
        answer: T | None = None,
        cost: Decimal = _NOTHING,
        fault: ModelFault | None = None,
        refusal: Refusal | None = None,
    ) -> Called[T]:
        carried = replace(
            self._carried,
            retries=self._retries,
            waited_seconds=self._waited,
            active_seconds=self._active,
            wasted_usd=self._wasted,
            faults=self._backoff.seen,
        )
        return Called(
            carried=carried,
            worst_usd=self._size.worst_usd,
            answer=answer,
            cost_usd=cost,
            queued_seconds=self._queued,
            fault=fault,
            refusal=refusal,
        )


def call_with_retries(
    send: Callable[[Attempt], T],
    bill: Callable[[T], tuple[Decimal, Usage | None]],
    gate: GateDoor,
    *,
    call: CallFor,
    size: CallSize,
    execution: ExecutionSpec,
    carried: Carried | None = None,
) -> Called[T]:
    """The answer of ``send``, tried again as its faults allow; never raises a fault.

    ``bill`` says what an answer cost in USD, and its usage where known. ``timeout_s`` of the
    execution bounds all attempts together, and the sleeps between them; waits for limits,
    throttling and credentials are not in it.
    """
    tries: _Tries[T] = _Tries(gate, call, size, carried or Carried(), execution)
    return tries.run(send, bill)


def ask_model(
    request: ModelRequest,
    client: ModelClient,
    gate: GateDoor,
    *,
    call: CallFor,
    execution: ExecutionSpec,
    carried: Carried | None = None,
) -> Called[ModelReply]:
    """A model's checked reply to one request, with retries, limits and budget."""
    model = request.model
    size = CallSize(
        worst_usd=worst_case_usd(model, request.prompt_bytes),
        prompt_bytes=request.prompt_bytes,
        max_tokens=model.max_tokens,
    )

    if (prepare := getattr(client, "prepare", None)) is not None:
        prepare(model)

    def send(attempt: Attempt) -> ModelReply:
        renew = getattr(client, "renew", None)
        if renew is not None and attempt.renewal:
            renew(attempt.renewal)
        metadata = {**request.metadata, "attempt": str(attempt.number)}
        try:
            return client.converse(
                replace(request, metadata=metadata),
                timeout_s=attempt.timeout_s,
                deadline=attempt.deadline,
            )
        except ModelFault as fault:
            if fault.usage is not None:
                fault.billed_usd = cost_usd(fault.usage, model, service_tier=fault.service_tier)
            raise

    def bill(reply: ModelReply) -> tuple[Decimal, Usage | None]:
        return cost_usd(reply.usage, model, service_tier=reply.service_tier), reply.usage

    return call_with_retries(
        send, bill, gate, call=call, size=size, execution=execution, carried=carried
    )


def _out_of_time(timeout_s: float) -> ModelFault:
    return ModelFault(
        "TrialTimeout",
        f"no answer within timeout_s = {timeout_s:g} s, waits for limits not counted",
        retry="never",
        may_be_billed=False,
    )


def _unforeseen(error: Exception) -> ModelFault:
    fault = ModelFault(type(error).__name__, str(error), retry="never", may_be_billed=True)
    fault.__cause__ = error
    return fault


def _lost() -> ModelFault:
    return ModelFault("Interrupted", "the call was cut off", retry="never", may_be_billed=True)
