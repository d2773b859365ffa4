"""Trials made ready before there is a place for their calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from execute_parts import (
    MemoryLedger,
    SmallContext,
    SmallPipeline,
    ToldClient,
    answers,
    cell,
    eventually,
    fault,
    model,
    queries,
    reply,
    run,
    trials,
)
from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.domain import BudgetSpec, ExecutionSpec, ModelReply, ModelRequest, Query
from finrag_eval.errors import ModelFault
from finrag_eval.execute.budget import Budget
from finrag_eval.execute.doorways import Admission, CallFor, CallSize, Refusal, Settlement, Ticket
from finrag_eval.execute.gate import Gate
from finrag_eval.execute.outcomes import Timing, failed, failure_of
from finrag_eval.execute.places import Places, trials_ahead

_SIZE = CallSize(worst_usd=Decimal("0.01"), prompt_bytes=10, max_tokens=10)
_ANSWERED = Settlement(billed_usd=Decimal("0.001"), state="kept")


@dataclass
class Clock:
    """A clock that the test sets."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Asking:
    """One trial's call, asked for in a thread of its own."""

    gate: Gate
    ticket: Ticket
    got: list[Admission | Refusal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()

    def _ask(self) -> None:
        trial = self.ticket.trial
        call = CallFor(
            trial_key=trial.key, cell=trial.cell, model_key="m", ticket=self.ticket.number
        )
        self.got.append(self.gate.admit(call, _SIZE))

    def answer(self) -> Admission | Refusal:
        self.thread.join(20.0)
        (got,) = self.got
        return got


def handed(gate: Gate) -> Ticket:
    ticket = gate.next_trial("w")
    assert ticket is not None
    return ticket


def sent_off(gate: Gate) -> tuple[Ticket, Admission]:
    """A trial whose call went out at once."""
    ticket = handed(gate)
    sent = Asking(gate, ticket).answer()
    assert isinstance(sent, Admission)
    return ticket, sent


def deliver(gate: Gate, ticket: Ticket) -> None:
    timing = Timing(started_at=0.0, ended_at=0.0)
    failure = failure_of(ValueError("of no interest"), "llm_invocation")
    gate.deliver(ticket.number, failed(ticket.trial, "?", failure, ticket.carried, timing))


@contextmanager
def open_gate(clock: Clock, ledger: MemoryLedger) -> Iterator[Gate]:
    """A gate for one call at a time, and one trial that is made ready meanwhile."""
    chosen = [cell(model("m"))]
    gate = Gate(
        trials(chosen, queries(9)),
        chosen,
        budget=Budget(BudgetSpec()),
        reservations=ledger,
        concurrency=1,
        ahead=1,
        clock=clock,
    )
    try:
        yield gate
    finally:
        gate.stop()


def test_a_ready_call_goes_out_when_the_answer_before_it_is_safe() -> None:
    clock, ledger = Clock(), MemoryLedger()
    with open_gate(clock, ledger) as gate:
        first, sent = sent_off(gate)
        second = handed(gate)
        asking = Asking(gate, second)
        assert eventually(lambda: len(ledger.rows) == 2), "its worst case is reserved already"
        assert eventually(lambda: gate.snapshot().held == 1), "who is ready is not said to wait"
        clock.now = 60.0
        gate.settle(sent.attempt, _ANSWERED)
        deliver(gate, first)
        assert not asking.got, "the answer before it is not on disk yet"
        assert ledger.flushes == 0
        gate.taken()
        admitted = asking.answer()
        assert isinstance(admitted, Admission)
        assert ledger.flushes == 1, "it waits until the answer before it is on disk"
        assert (admitted.queued_seconds, admitted.waited_seconds) == (60.0, 0.0)


def test_a_worker_for_whom_there_is_no_room_has_not_waited_for_limits() -> None:
    clock = Clock()
    with open_gate(clock, MemoryLedger()) as gate:
        first, _second = handed(gate), handed(gate)
        third: list[Ticket | None] = []
        idle = threading.Thread(target=lambda: third.append(gate.next_trial("w")), daemon=True)
        idle.start()
        clock.now = 60.0
        deliver(gate, first)
        gate.taken()
        idle.join(20.0)
        (ticket,) = third
        assert ticket is not None
        assert ticket.carried.waited_seconds == 0.0


def test_a_stop_sends_nothing_that_was_only_ready() -> None:
    ledger = MemoryLedger()
    with open_gate(Clock(), ledger) as gate:
        sent_off(gate)
        asking = Asking(gate, handed(gate))
        assert eventually(lambda: len(ledger.rows) == 2)
        gate.stop()
        assert asking.answer() is Refusal.STOPPING
    assert [state for state, _ in ledger.states()] == ["open", "free"]


def test_what_is_ready_of_a_stopped_model_is_not_sent() -> None:
    ledger = MemoryLedger()
    with open_gate(Clock(), ledger) as gate:
        sent_off(gate)
        asking = Asking(gate, handed(gate))
        assert eventually(lambda: len(ledger.rows) == 2)
        gate.stop_model("m", "no access")
        assert asking.answer() is Refusal.MODEL_STOPPED


def test_who_waits_for_a_place_is_not_the_one_call_that_tries_credentials() -> None:
    clock, ledger = Clock(), MemoryLedger()
    with open_gate(clock, ledger) as gate:
        first, sent = sent_off(gate)
        second = handed(gate)
        expired = Settlement(billed_usd=Decimal(0), state="free", fault="credentials")
        gate.settle(sent.attempt, expired)
        clock.now = 100.0  # by now they may be tried
        asking = Asking(gate, second)
        assert eventually(lambda: len(ledger.rows) == 2), "the next one is ready"
        assert isinstance(Asking(gate, first).answer(), Admission), "who has the place tries them"
        assert not asking.got


def test_a_trial_starts_when_its_call_goes_out() -> None:
    """A reader of runs sees how long a trial took, and not that it was ready long before."""
    is_ready = threading.Event()

    def gather(query: Query) -> SmallContext:
        if query.id == "q1":
            is_ready.set()
        return SmallContext("context")

    def act(request: ModelRequest, number: int) -> ModelReply:
        if request.question_text == "Question 0?":
            assert is_ready.wait(20.0), "the next one is made ready meanwhile"
            threading.Event().wait(0.5)
        return reply()

    ran = run(
        ToldClient(act),
        count=2,
        pipeline=SmallPipeline(gather=gather),
        execution=ExecutionSpec(concurrency=1),
        ahead=1,
    )
    first, second = ran.outcomes.values()
    assert second.started_at - first.started_at >= 0.5


@given(
    concurrency=st.integers(1, 5),
    ahead=st.integers(0, 4),
    fates=st.lists(st.sampled_from(["ok", "no context", "throttle"]), min_size=1, max_size=20),
)
def test_law_no_more_calls_than_places_and_every_trial_ends(
    concurrency: int, ahead: int, fates: list[str]
) -> None:
    def gather(query: Query) -> SmallContext:
        if fates[int(query.id[1:]) % len(fates)] == "no context":
            raise OSError("no index")
        return SmallContext("context")

    def act(request: ModelRequest, number: int) -> ModelReply | ModelFault:
        at = int(request.question_text.split()[1].rstrip("?"))
        is_throttled = fates[at % len(fates)] == "throttle" and number == 1
        return fault("throttle", "ThrottlingException") if is_throttled else reply()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finrag_eval.execute.backoff.random.uniform", lambda low, high: 0.0)
        client = ToldClient(act)
        ran = run(
            client,
            cells=[cell(model("a")), cell(model("b"))],
            count=20,
            pipeline=SmallPipeline(gather=gather),
            execution=ExecutionSpec(concurrency=concurrency),
            ahead=ahead,
        )
    assert len(ran.outcomes) == 40
    assert client.most_in_flight <= concurrency
    assert all(row["state"] != "open" for row in ran.ledger.rows.values())


def test_a_model_that_may_have_no_more_calls_holds_up_no_other() -> None:
    lock = threading.RLock()
    allowed = {"slow": 1, "fast": 3}
    places = Places(lock, 3, lambda key: allowed[key])
    got: list[str] = []

    def ask(key: str) -> None:
        with lock:
            if places.wait(key, lambda: False):
                got.append(key)

    with lock:
        places.take("slow")
    waiting = threading.Thread(target=ask, args=("slow",), daemon=True)
    waiting.start()

    def is_waiting() -> bool:
        with lock:
            return places.waiting == 1

    assert eventually(is_waiting)
    other = threading.Thread(target=ask, args=("fast",), daemon=True)
    other.start()
    other.join(20.0)
    assert got == ["fast"]
    with lock:
        places.leave("slow")
        places.free()
        places.let_in()
    waiting.join(20.0)
    assert got == ["fast", "slow"]


@pytest.mark.parametrize(("concurrency", "ahead"), [(1, 0), (7, 0), (8, 1), (64, 8), (1000, 16)])
def test_one_trial_is_made_ready_for_eight_places(concurrency: int, ahead: int) -> None:
    assert trials_ahead(ExecutionSpec(concurrency=concurrency)) == ahead


def test_without_room_for_ready_trials_nothing_is_prepared_early() -> None:
    pipeline = SmallPipeline()
    seen: list[int] = []

    def act(request: ModelRequest, number: int) -> ModelReply:
        seen.append(len(pipeline.gathered))
        return answers(request, number)

    run(ToldClient(act), count=5, pipeline=pipeline, execution=ExecutionSpec(concurrency=1))
    assert seen == [1, 2, 3, 4, 5]
