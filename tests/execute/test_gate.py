"""Trials in, outcomes out: what holds whatever goes wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
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
    sweep_of,
    trials,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from finrag_eval.domain import (
    BudgetSpec,
    ExecutionSpec,
    MaxFailed,
    ModelReply,
    ModelRequest,
    Outcome,
    Query,
    Trial,
    Usage,
)
from finrag_eval.errors import LedgerUnwritable, ModelFault
from finrag_eval.execute.budget import Budget
from finrag_eval.execute.fanout import fan_out
from finrag_eval.execute.gate import Gate
from finrag_eval.execute.gates import Gates


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff without its sleeps."""
    monkeypatch.setattr("finrag_eval.execute.backoff.random.uniform", lambda low, high: 0.0)


def test_every_trial_has_one_outcome() -> None:
    ran = run(ToldClient(answers), cells=[cell(model("a")), cell(model("b"))], count=25)
    assert len(ran.outcomes) == 50
    assert ran.gate.reason == "done"
    assert all(outcome.succeeded for outcome in ran.outcomes.values())
    assert all(
        outcome.result["answer"].startswith("Question ") for outcome in ran.outcomes.values()
    )


def test_concurrency_one_is_the_same_path() -> None:
    client = ToldClient(answers)
    ran = run(client, count=5, execution=ExecutionSpec(concurrency=1))
    assert len(ran.outcomes) == 5
    assert client.most_in_flight == 1


def test_an_outcome_says_what_it_took() -> None:
    def act(request: ModelRequest, number: int) -> ModelReply | ModelFault:
        return fault("transient", "InternalServerException") if number < 3 else reply()

    ran = run(ToldClient(act), count=1)
    (outcome,) = ran.outcomes.values()
    assert outcome.retries == 2
    assert outcome.cost_usd == Decimal("0.00011")
    assert outcome.usage == Usage(input_tokens=10, output_tokens=20)
    assert outcome.wasted_usd == 0
    assert outcome.latency_retrieval_seconds == 0.25
    assert outcome.latency_llm_seconds == 0.5
    assert outcome.latency_total_seconds == pytest.approx(0.75, abs=0.1)
    assert outcome.latency_wait_seconds >= 0
    assert outcome.stop_reason == "end_turn"


def test_attempts_that_may_be_billed_are_wasted_at_their_worst_case() -> None:
    def act(request: ModelRequest, number: int) -> ModelReply | ModelFault:
        return fault("transient", "TruncatedBody", billed=True) if number == 1 else reply()

    ran = run(ToldClient(act), count=1)
    (outcome,) = ran.outcomes.values()
    first, second = ran.ledger.rows.values()
    assert first["state"] == "wasted"
    assert first["billed"] == first["reserved"] == outcome.wasted_usd
    assert second["state"] == "kept"
    assert ran.ledger.spent == outcome.wasted_usd + (outcome.cost_usd or 0)


def test_a_useless_answer_wastes_what_its_usage_says() -> None:
    def act(request: ModelRequest, number: int) -> ModelReply | ModelFault:
        if number > 1:
            return reply()
        return ModelFault(
            "EmptyContent",
            "nothing in it",
            retry="transient",
            may_be_billed=True,
            usage=Usage(input_tokens=10, output_tokens=1),
        )

    ran = run(ToldClient(act), count=1)
    (outcome,) = ran.outcomes.values()
    assert outcome.wasted_usd == Decimal("0.000015")


@pytest.mark.parametrize(
    ("retry", "error_type", "calls"),
    [
        ("never", "ValidationException", 1),
        ("transient", "InternalServerException", 6),
        ("throttle", "ThrottlingException", 6),
        ("transient", "ModelErrorException", 3),
        ("transient", "ModelTimeoutException", 3),
        ("transient", "ReadTimeoutError", 4),
        ("transient", "ModelNotReadyException", 12),
        ("stop_model", "AccessDeniedException", 1),
    ],
)
def test_each_class_of_fault_is_tried_its_own_number_of_times(
    retry: str, error_type: str, calls: int
) -> None:
    client = ToldClient(lambda request, number: fault(retry, error_type))
    ran = run(client, count=1)
    (outcome,) = ran.outcomes.values()
    assert client.calls == calls
    assert outcome.retries == calls - 1
    assert outcome.failure is not None
    assert (outcome.failure.error_type, outcome.failure.stage) == (error_type, "llm_invocation")
    assert outcome.result["error"] == "it went wrong"
    assert outcome.result["answer"] is None
    assert outcome.cost_usd is None
    assert outcome.latency_total_seconds is None


def test_an_exception_of_the_client_is_a_failed_trial_with_its_traceback() -> None:
    def act(request: ModelRequest, number: int) -> ModelReply:
        raise ZeroDivisionError("oh")

    ran = run(ToldClient(act), count=2)
    for outcome in ran.outcomes.values():
        assert outcome.failure is not None
        assert outcome.failure.error_type == "ZeroDivisionError"
        assert "ZeroDivisionError: oh" in (outcome.failure.traceback or "")
    assert {state for state, _ in ran.ledger.states()} == {"wasted"}


def test_a_stopped_model_costs_no_more_calls_than_were_in_flight() -> None:
    def act(request: ModelRequest, number: int) -> ModelReply | ModelFault:
        if request.model.key == "denied":
            return fault("stop_model", "AccessDeniedException")
        return reply()

    client = ToldClient(act)
    ran = run(client, cells=[cell(model("denied")), cell(model("fine"))], count=200)
    denied = [key for key in ran.outcomes if key.startswith("denied")]
    assert 1 <= len(denied) <= 4
    assert sum(key.startswith("fine") for key in ran.outcomes) == 200
    assert ran.gate.reason == "done"
    assert ran.notices == [
        "denied stopped: AccessDeniedException: it went wrong; its trials not sent yet are not run"
    ]


def test_the_budget_is_never_passed_and_nearly_used() -> None:
    cap = Decimal("0.01")
    ran = run(
        ToldClient(answers),
        count=500,
        budget=BudgetSpec(max_usd=cap),
        execution=ExecutionSpec(concurrency=16),
    )
    worst = max(row["reserved"] for row in ran.ledger.rows.values())
    assert ran.gate.reason == "budget"
    assert ran.ledger.most <= cap
    assert cap - worst < ran.ledger.spent <= cap
    assert len(ran.outcomes) == sum(state == "kept" for state, _ in ran.ledger.states())


def test_a_trial_that_does_not_fit_lets_smaller_ones_pass() -> None:
    def gather(query: Query) -> SmallContext:
        return SmallContext("x" * (50_000 if query.id == "q0" else 10))

    ran = run(
        ToldClient(answers),
        count=20,
        pipeline=SmallPipeline(gather=gather),
        budget=BudgetSpec(max_usd=Decimal("0.02")),
    )
    assert len(ran.outcomes) == 19
    assert "m.v1-v1/q0" not in ran.outcomes
    assert ran.gate.reason == "budget"


def test_a_trial_set_aside_starts_when_money_comes_back() -> None:
    """Two calls of 0.0009 at worst fit only one after the other; each turns out cheap."""
    ran = run(
        ToldClient(answers),
        count=8,
        budget=BudgetSpec(max_usd=Decimal("0.0018")),
        execution=ExecutionSpec(concurrency=8),
    )
    assert len(ran.outcomes) == 8
    assert ran.gate.reason == "done"


def test_a_cap_per_model_stops_that_model_alone() -> None:
    ran = run(
        ToldClient(answers),
        cells=[cell(model("a")), cell(model("b"))],
        count=30,
        budget=BudgetSpec(per_model={"a": Decimal("0.002")}),
    )
    by_model = Counter(key.split(".")[0] for key in ran.outcomes)
    assert by_model["b"] == 30
    assert 0 < by_model["a"] < 20
    assert ran.gate.reason == "budget"


def test_nothing_is_prepared_that_cannot_fit() -> None:
    pipeline = SmallPipeline()
    ran = run(
        ToldClient(answers),
        count=300,
        pipeline=pipeline,
        budget=BudgetSpec(max_usd=Decimal("0.000001")),
    )
    assert not ran.outcomes
    assert not pipeline.gathered
    assert ran.gate.reason == "budget"


def test_a_retry_that_does_not_fit_is_not_sent() -> None:
    ran = run(
        ToldClient(lambda request, number: fault("transient", "TruncatedBody", billed=True)),
        count=1,
        budget=BudgetSpec(max_usd=Decimal("0.0018")),
    )
    assert not ran.outcomes, "a trial that money stopped is gone on with by resume"
    assert ran.ledger.spent == ran.ledger.rows[1]["reserved"] * len(ran.ledger.rows)
    assert ran.ledger.spent <= Decimal("0.0018")
    assert ran.gate.reason == "budget"


fates = st.lists(
    st.sampled_from(["ok", "throttle", "billed", "free", "empty", "never"]),
    min_size=1,
    max_size=40,
)


@settings(max_examples=25)
@given(
    fates=fates,
    cap_millis=st.integers(0, 60),
    concurrency=st.integers(1, 8),
    ahead=st.integers(0, 3),
    size=st.integers(0, 3000),
)
def test_law_the_cap_holds_for_any_faults_sizes_and_interleavings(
    fates: list[str], cap_millis: int, concurrency: int, ahead: int, size: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finrag_eval.execute.backoff.random.uniform", lambda low, high: 0.0)

        def act(request: ModelRequest, number: int) -> ModelReply | ModelFault:
            fate = fates[(len(request.question_text) * 7 + number * 13) % len(fates)]
            match fate:
                case "ok":
                    tokens = min(request.prompt_bytes, 1 + size // 3)
                    return reply(usage=Usage(input_tokens=tokens, output_tokens=100))
                case "throttle":
                    return fault("throttle", "ThrottlingException")
                case "billed":
                    return fault("transient", "TruncatedBody", billed=True)
                case "never":
                    return fault("never", billed=True)
                case "empty":
                    return ModelFault(
                        "EmptyContent",
                        "",
                        retry="transient",
                        may_be_billed=True,
                        usage=Usage(input_tokens=1, output_tokens=1),
                    )
                case _:
                    return fault("transient", "InternalServerException")

        cap = Decimal(cap_millis) / 2000
        pipeline = SmallPipeline(
            gather=lambda query: SmallContext("x" * (size * (1 + int(query.id[1:]) % 3)))
        )
        client = ToldClient(act)
        ran = run(
            client,
            cells=[cell(model("a")), cell(model("b", max_tokens=400))],
            count=12,
            pipeline=pipeline,
            budget=BudgetSpec(max_usd=cap),
            execution=ExecutionSpec(concurrency=concurrency),
            ahead=ahead,
        )
        assert client.most_in_flight <= concurrency
        assert ran.ledger.most <= cap
        assert all(row["state"] != "open" for row in ran.ledger.rows.values())
        outcomes = ran.outcomes.values()
        told = sum((one.wasted_usd + (one.cost_usd or 0) for one in outcomes), Decimal(0))
        unfinished = {row["trial_key"] for row in ran.ledger.rows.values()} - ran.outcomes.keys()
        rest = sum(
            (row["billed"] for row in ran.ledger.rows.values() if row["trial_key"] in unfinished),
            Decimal(0),
        )
        assert told + rest == ran.ledger.spent


def test_expired_credentials_pause_everything_until_fresh_ones_work() -> None:
    client = ToldClient(answers)
    expired = threading.Event()
    expired.set()

    def act(request: ModelRequest, number: int) -> ModelReply | ModelFault:
        if expired.is_set() and len(client.renewals) < 3:
            return fault("credentials", "ExpiredTokenException")
        return reply()

    client._act = act
    ran = run(client, count=40, credentials_poll_s=0.01)
    assert len(ran.outcomes) == 40
    assert all(outcome.succeeded for outcome in ran.outcomes.values())
    assert ran.notices == [
        "it went wrong; waiting for fresh credentials (renew them, for example with "
        "`aws sso login`); Ctrl-C stops, and `finrag-eval resume` goes on",
        "fresh credentials found; going on",
    ]
    # Those in flight when they expired, and one call for each look after.
    assert client.calls <= 40 + 4 + 3


def test_credentials_that_stay_expired_stop_the_sweep() -> None:
    client = ToldClient(lambda request, number: fault("credentials", "ExpiredTokenException"))
    ran = run(client, count=40, credentials_poll_s=0.01, credentials_wait_s=0.1)
    assert ran.gate.reason == "credentials"
    assert not ran.outcomes, "none of the trials failed: resume sends them all"
    assert ran.notices[-1] == (
        "no fresh credentials came; stopping, and `finrag-eval resume` goes on"
    )
    assert client.calls <= 4 + 12


def test_too_many_failures_stop_the_sweep() -> None:
    ran = run(
        ToldClient(lambda request, number: fault("never")), count=200, max_failed=MaxFailed(count=5)
    )
    assert ran.gate.reason == "max_failed"
    assert 6 <= len(ran.outcomes) <= 6 + 4


def test_a_share_of_failures_is_judged_from_twenty_on() -> None:
    ran = run(
        ToldClient(lambda request, number: fault("never")),
        count=200,
        max_failed=MaxFailed(share=0.05),
    )
    assert ran.gate.reason == "max_failed"
    assert 20 <= len(ran.outcomes) <= 20 + 4


def test_a_share_of_failures_is_judged_at_the_end_however_few() -> None:
    def act(request: ModelRequest, number: int) -> ModelReply | ModelFault:
        return fault("never") if request.question_text == "Question 0?" else reply()

    ran = run(ToldClient(act), count=5, max_failed=MaxFailed(share=0.05))
    assert len(ran.outcomes) == 5
    assert ran.gate.reason == "max_failed"


def test_failures_of_a_stopped_model_do_not_stop_the_others() -> None:
    def act(request: ModelRequest, number: int) -> ModelReply | ModelFault:
        if request.model.key == "denied":
            return fault("stop_model", "AccessDeniedException")
        return reply()

    ran = run(
        ToldClient(act),
        cells=[cell(model("denied")), cell(model("fine"))],
        count=200,
        max_failed=MaxFailed(share=0.05),
    )
    assert sum(outcome.succeeded for outcome in ran.outcomes.values()) == 200
    assert ran.gate.reason == "done"


def test_a_stop_awaits_what_is_in_flight_and_sends_nothing_more() -> None:
    started = threading.Semaphore(0)
    may_end = threading.Event()

    def act(request: ModelRequest, number: int) -> ModelReply:
        started.release()
        assert may_end.wait(20)
        return reply()

    client = ToldClient(act)
    execution = ExecutionSpec(concurrency=4)
    gate, target = sweep_of(client, count=50, execution=execution)

    def stop() -> None:
        for _ in range(4):
            started.acquire()
        gate.stop("interrupted")
        may_end.set()

    threading.Thread(target=stop).start()
    outcomes = list(fan_out(gate, lambda: target, execution))
    assert len(outcomes) == client.calls == 4
    assert all(outcome.succeeded for outcome in outcomes)
    assert gate.reason == "interrupted"


def test_a_stop_holds_for_gates_still_to_come() -> None:
    client = ToldClient(answers)
    execution = ExecutionSpec(concurrency=2)
    gates = Gates()
    assert gates.reason is None
    gates.stop()
    gate, target = sweep_of(client, count=5, execution=execution)
    gates.add(gate)
    assert list(fan_out(gate, lambda: target, execution)) == []
    assert (gates.reason, client.calls) == ("interrupted", 0)


def test_the_end_of_all_gates_is_that_of_the_first_one_that_was_cut_short() -> None:
    gates = Gates()
    execution = ExecutionSpec(concurrency=2)
    for reason in ("done", "budget", "done"):
        gate, _ = sweep_of(ToldClient(answers), count=1, execution=execution)
        gates.add(gate)
        gate.stop(reason)
        gate.stop_model(reason, "it is denied")
    assert gates.reason == "budget"
    assert set(gates.stopped_models) == {"done", "budget"}


def test_answers_not_taken_yet_hold_their_places() -> None:
    client = ToldClient(answers)
    execution = ExecutionSpec(concurrency=4)
    gate, target = sweep_of(client, count=40, execution=execution)
    most = 0
    for taken, _ in enumerate(fan_out(gate, lambda: target, execution)):
        time.sleep(0.005)  # a driver that is slower than the answers
        most = max(most, client.calls - taken)
    assert client.calls == 40
    assert most <= 4, "what a dying driver could lose, and what is in flight"


def test_what_outlasts_the_grace_is_counted_at_its_worst_case() -> None:
    started, may_end = threading.Event(), threading.Event()

    def act(request: ModelRequest, number: int) -> ModelReply:
        started.set()
        may_end.wait(20)
        return reply()

    ledger = MemoryLedger()
    execution = ExecutionSpec(concurrency=1, grace_s=0.0)
    gate, target = sweep_of(ToldClient(act), count=5, execution=execution, ledger=ledger)

    def stop() -> None:
        assert started.wait(20)
        gate.stop("interrupted")

    threading.Thread(target=stop).start()
    assert list(fan_out(gate, lambda: target, execution)) == []
    assert ledger.states() == [("wasted", "Abandoned")]
    assert ledger.spent == ledger.rows[1]["reserved"]
    may_end.set()
    assert eventually(lambda: gate.snapshot().held == 0)
    assert ledger.states() == [("wasted", "Abandoned")], "what comes after is not counted twice"


def test_a_ledger_that_cannot_be_written_ends_the_sweep_with_its_own_error() -> None:
    class FullDisk(MemoryLedger):
        def reserve(self, **row: object) -> int:  # type: ignore[override]
            raise LedgerUnwritable("ledger.sqlite", "disk full")

    client = ToldClient(answers)
    execution = ExecutionSpec(concurrency=2)
    gate, target = sweep_of(client, count=5, execution=execution, ledger=FullDisk())
    with pytest.raises(LedgerUnwritable):
        list(fan_out(gate, lambda: target, execution))
    assert client.calls == 0


def test_a_ledger_that_fails_while_calls_are_in_flight_fails_once() -> None:
    class FillsUp(MemoryLedger):
        def settle(self, attempt: int, **row: object) -> None:  # type: ignore[override]
            raise LedgerUnwritable("ledger.sqlite", "disk full")

    client = ToldClient(answers)
    execution = ExecutionSpec(concurrency=4)
    gate, target = sweep_of(client, count=20, execution=execution, ledger=FillsUp())
    with pytest.raises(LedgerUnwritable):
        list(fan_out(gate, lambda: target, execution))
    assert client.calls <= 4


def test_trials_are_drawn_as_they_are_needed() -> None:
    drawn = 0

    def lazily() -> Iterator[Trial]:
        nonlocal drawn
        for trial in trials([cell(model())], queries(1000)):
            drawn += 1
            yield trial

    gate = Gate(
        lazily(),
        [cell(model())],
        budget=Budget(BudgetSpec()),
        reservations=MemoryLedger(),
        concurrency=4,
    )
    for number in range(3):
        ticket = gate.next_trial("w")
        assert ticket is not None
        assert ticket.trial.query_id == f"q{number}"
    assert drawn <= 4


def test_context_is_gathered_once_and_counts_in_full_for_every_cell() -> None:
    def gather(query: Query) -> SmallContext:
        return SmallContext("context", seconds=2.0, cost_usd=Decimal("0.001"))

    class Priced(SmallPipeline):
        def gather_worst_usd(self, query: Query) -> Decimal:
            return Decimal("0.002")

    pipeline = Priced(gather=gather)
    cells = [cell(model(key), version) for key in "ab" for version in ("v1", "v2")]
    ran = run(ToldClient(answers), cells=cells, count=5, pipeline=pipeline)
    assert sorted(pipeline.gathered) == [f"q{n}" for n in range(5)]
    assert len(ran.outcomes) == 20
    assert all(one.latency_retrieval_seconds == 2.0 for one in ran.outcomes.values())
    paid = sum((one.retrieval_cost_usd for one in ran.outcomes.values()), Decimal(0))
    assert paid == Decimal("0.005"), "the money is paid once"
    rows = [row for row in ran.ledger.rows.values() if row["purpose"] == "retrieval"]
    assert [row["billed"] for row in rows] == [Decimal("0.001")] * 5


def test_a_failure_of_retrieval_is_a_failed_trial_that_cost_nothing() -> None:
    def gather(query: Query) -> SmallContext:
        raise OSError("no index")

    ran = run(ToldClient(answers), count=3, pipeline=SmallPipeline(gather=gather))
    for outcome in ran.outcomes.values():
        assert outcome.failure is not None
        assert (outcome.failure.stage, outcome.failure.error_type) == (
            "context_building",
            "OSError",
        )
    assert not ran.ledger.rows


def test_calls_carry_sweep_trial_and_attempt() -> None:
    seen: list[dict[str, str]] = []

    def act(request: ModelRequest, number: int) -> ModelReply | ModelFault:
        seen.append(dict(request.metadata))
        return fault("transient") if number == 1 else reply()

    run(ToldClient(act), count=1)
    assert seen == [
        {"trial_key": "m.v1-v1/q0", "sweep_id": "s1", "attempt": number} for number in ("1", "2")
    ]


def test_a_slow_model_does_not_hold_up_another() -> None:
    """While every call of one model waits, all trials of the other are answered."""
    release = threading.Event()
    left = threading.Semaphore(0)

    def act(request: ModelRequest, number: int) -> ModelReply | ModelFault:
        if request.model.key == "stuck" and not release.is_set():
            return fault("throttle", "ThrottlingException")
        left.release()
        return reply()

    done: list[str] = []

    def during(gate: Gate, outcome: Outcome) -> None:
        done.append(outcome.trial.key)
        if sum(key.startswith("quick") for key in done) == 100:
            release.set()

    ran = run(
        ToldClient(act),
        cells=[cell(model("stuck")), cell(model("quick"))],
        count=100,
        execution=ExecutionSpec(concurrency=8, max_attempts=1000),
        during=during,
    )
    assert sum(key.startswith("quick") for key in ran.outcomes) == 100


def test_the_snapshot_counts_what_there_is() -> None:
    ran = run(ToldClient(answers), count=7)
    now = ran.gate.snapshot()
    assert (now.finished, now.failed, now.in_flight, now.held) == (7, 0, 0, 0)
    assert now.spent_usd == ran.ledger.spent
    assert now.models["m"].under_way == 0
