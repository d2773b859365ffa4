"""Sweeps against a server that speaks Bedrock's wire format, and goes wrong as told."""

from __future__ import annotations

import gc
import hashlib
import itertools
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from execute_parts import PRICES, Ran, SmallContext, SmallPipeline, cell, model, run, sweep_of
from loopback.fixture import LoopbackBedrock, repeats_after_success

from finrag_eval.domain import BudgetSpec, ExecutionSpec, ModelConfig, RateLimit
from finrag_eval.execute.contexts import KEPT_CONTEXTS
from finrag_eval.execute.fanout import fan_out
from finrag_eval.synthesis_pipeline.bedrock import BedrockClient

_CLIENTS: dict[float, BedrockClient] = {}


def client(attempt_timeout_s: float = 1.0) -> BedrockClient:
    """One client per timeout for all tests: making one costs more than most of them."""
    if attempt_timeout_s not in _CLIENTS:
        _CLIENTS[attempt_timeout_s] = BedrockClient(workers=32, attempt_timeout_s=attempt_timeout_s)
    return _CLIENTS[attempt_timeout_s]


def sweep(count: int, concurrency: int = 32, **named: Any) -> Ran:
    execution = ExecutionSpec(concurrency=concurrency, attempt_timeout_s=1.0, timeout_s=30.0)
    return run(client(), count=count, execution=execution, **named)


def list_price(ledger: list[dict[str, Any]], of: ModelConfig) -> Decimal:
    """What the server's own counts of answers that arrived cost."""
    answered = [entry for entry in ledger if entry["answered"] and entry["model"] == of.model_id]
    return (
        sum(
            (
                entry["input_tokens"] * PRICES.cost_per_1k_input
                + entry["output_tokens"] * PRICES.cost_per_1k_output
                for entry in answered
            ),
            Decimal(0),
        )
        / 1000
    )


def test_a_sweep_bears_every_kind_of_fault_and_keeps_exact_books(bedrock: LoopbackBedrock) -> None:
    bedrock.programme(
        seed=3,
        latency_s=0.02,
        rates={
            "throttle": 0.1,
            "unavailable": 0.03,
            "reset": 0.01,
            "truncated": 0.01,
            "empty_content": 0.01,
            "hang": 0.005,
        },
    )
    ran = sweep(300)
    ledger = bedrock.ledger()
    assert [one.failure for one in ran.outcomes.values() if not one.succeeded] == []
    assert len(ran.outcomes) == 300
    assert repeats_after_success(ledger) == []
    cost = sum((one.cost_usd or Decimal(0) for one in ran.outcomes.values()), Decimal(0))
    wasted = sum((one.wasted_usd for one in ran.outcomes.values()), Decimal(0))
    assert cost == list_price(ledger, model())
    assert wasted > 0
    assert ran.ledger.spent == cost + wasted
    assert (
        len(ledger)
        == len(ran.ledger.rows)
        == 300 + sum(one.retries for one in ran.outcomes.values())
    )


def test_answers_are_never_mixed_up(bedrock: LoopbackBedrock) -> None:
    bedrock.programme(seed=4, latency_s=0.01, latency_jitter=1.0, rates={"throttle": 0.2})
    ran = sweep(200)
    for outcome in ran.outcomes.values():
        context = f"Context of {outcome.trial.query_id}. "
        prompt = f"Be exact.\0{context}{outcome.result['query']}"
        digest = hashlib.sha256(prompt.encode()).hexdigest()
        assert outcome.result["answer"].endswith(f"[sha256 {digest}]")


class _Forgetful:
    """Reservations that keep nothing, so that memory is the sweep's own."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def reserve(self, **_: Any) -> int:
        return next(self._numbers)

    def settle(self, attempt_id: int, **_: Any) -> None:
        """Forget it."""

    def flush(self) -> None:
        """There is nothing to keep."""


def test_memory_and_connections_stay_flat(bedrock: LoopbackBedrock) -> None:
    bedrock.programme(seed=6, rates={"empty_content": 0.02, "internal": 0.02})
    before = bedrock.stats()["connections"]
    execution = ExecutionSpec(concurrency=8, attempt_timeout_s=1.0)
    filled, end = KEPT_CONTEXTS + 48, KEPT_CONTEXTS + 448
    gate, target = sweep_of(client(), count=end, execution=execution, ledger=_Forgetful())
    held: dict[int, int] = {}
    tracemalloc.start()
    try:
        for number, _ in enumerate(fan_out(gate, lambda: target, execution), 1):
            if number in (filled, end):
                gc.collect()
                held[number], _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held[end] - held[filled] < 400 * 500, "not 500 bytes a trial; an outcome has 2,000"
    assert bedrock.stats()["connections"] - before <= 8 + 2


def test_a_denied_model_costs_what_was_in_flight_and_others_go_on(
    bedrock: LoopbackBedrock,
) -> None:
    bedrock.programme(latency_s=0.01, scripts=[{"model": "denied", "then": "access_denied"}])
    ran = sweep(100, 8, cells=[cell(model("denied")), cell(model("fine"))])
    calls = [entry for entry in bedrock.ledger() if entry["model"] == "vendor.denied"]
    assert 1 <= len(calls) <= 8
    assert sum(outcome.succeeded for outcome in ran.outcomes.values()) == 100
    assert ran.notices == [
        "denied stopped: AccessDeniedException: You don't have access to the model with the "
        "specified model ID; its trials not sent yet are not run"
    ]


def test_a_limit_that_is_set_is_used_and_not_passed(bedrock: LoopbackBedrock) -> None:
    bedrock.programme(latency_s=0.05, quota={"*": {"rpm": 1200}})
    ran = sweep(80, 16, limits={"m": RateLimit(rpm=1200)})
    ledger = bedrock.ledger()
    assert len(ran.outcomes) == 80
    assert sum(entry["status"] == 429 for entry in ledger) <= 1
    waited = [outcome.latency_wait_seconds for outcome in ran.outcomes.values()]
    assert max(waited) > 0
    assert all((outcome.latency_total_seconds or 99) < 5 for outcome in ran.outcomes.values()), (
        "waits for limits are not latency"
    )


def test_expired_credentials_are_read_anew(bedrock: LoopbackBedrock) -> None:
    bedrock.programme(latency_s=0.01, scripts=[{"then": "expired_token"}])

    def refresh(line: str) -> None:
        if "waiting for fresh credentials" in line:
            bedrock.change(latency_s=0.01)

    ran = sweep(40, 8, credentials_poll_s=0.05, on_notice=refresh)
    assert len(ran.outcomes) == 40
    assert all(outcome.succeeded for outcome in ran.outcomes.values())


def test_a_profile_that_is_logged_in_anew_ends_the_pause(
    bedrock: LoopbackBedrock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bedrock.programme(latency_s=0.01, expired_keys=["AKIAYESTERDAY"])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    profile = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    log_in(profile, "AKIAYESTERDAY")

    def refresh(line: str) -> None:
        if "waiting for fresh credentials" in line:
            log_in(profile, "AKIATODAY")

    execution = ExecutionSpec(concurrency=8)
    asked = BedrockClient(workers=8, profile="research")
    ran = run(asked, count=40, execution=execution, credentials_poll_s=0.05, on_notice=refresh)
    refused = [entry for entry in bedrock.ledger() if entry["status"] == 403]
    assert all(outcome.succeeded for outcome in ran.outcomes.values())
    assert len(ran.outcomes) == 40
    assert 1 <= len(refused) <= 8, "no more than were in flight"
    assert [line.partition(";")[0] for line in ran.notices] == [
        "AWS refused the credentials (ExpiredTokenException)",
        "fresh credentials found",
    ]
    assert ran.ledger.spent == sum(outcome.cost_usd for outcome in ran.outcomes.values())


def log_in(profile: Path, key: str) -> None:
    """Write the profile's credentials anew, as a log-in does."""
    profile.write_text(f"[research]\naws_access_key_id={key}\naws_secret_access_key=none\n")


@pytest.mark.parametrize("seed", range(4))
def test_random_caps_are_never_passed_and_nearly_used(bedrock: LoopbackBedrock, seed: int) -> None:
    bedrock.programme(
        seed=seed,
        latency_s=0.005,
        rates={"throttle": 0.05, "truncated": 0.05, "reset": 0.02, "internal": 0.03},
    )
    cap = Decimal(7 + 5 * seed) / 1000
    ran = sweep(200, 32, budget=BudgetSpec(max_usd=cap))
    largest = max(row["reserved"] for row in ran.ledger.rows.values())
    assert ran.ledger.most <= cap
    assert ran.gate.reason == "budget"
    assert ran.ledger.spent > cap - largest


#: What the server does on the first try, or (with "always") on each; what the outcome then says:
#: its error type (None: it succeeds), its calls, and whether money was wasted.
FAULTS: list[tuple[str, bool, str | None, int, bool]] = [
    ("throttle", False, None, 2, False),
    ("throttle_tokens", False, None, 2, False),
    ("bare_429", False, None, 2, False),
    ("not_ready", False, None, 2, False),
    ("unavailable", False, None, 2, False),
    ("internal", False, None, 2, False),
    ("html_503", False, None, 2, True),
    ("html_502", False, None, 2, True),
    ("model_timeout", False, None, 2, True),
    ("model_error", False, None, 2, False),
    ("reset", False, None, 2, True),
    ("close", False, None, 2, True),
    ("reset_in_body", False, None, 2, True),
    ("truncated", False, None, 2, True),
    ("hang", False, None, 2, True),
    ("empty_body", False, None, 2, True),
    ("bad_json", False, None, 2, True),
    ("html_200", False, None, 2, True),
    ("bad_utf8", False, None, 2, True),
    ("null_text", False, None, 2, True),
    ("no_usage", False, None, 2, True),
    ("negative_usage", False, None, 2, True),
    ("no_output", False, None, 2, True),
    ("empty_content", False, None, 2, True),
    ("blank_text", False, None, 2, True),
    ("throttle", True, "ThrottlingException", 3, False),
    ("unavailable", True, "ServiceUnavailableException", 3, False),
    ("truncated", True, "TruncatedBody", 3, True),
    ("empty_content", True, "EmptyContent", 3, True),
    ("model_error_400", True, "ModelErrorException", 1, False),
    ("validation", True, "ValidationException", 1, False),
    ("sampling", True, "ValidationException", 1, False),
    ("profile_only", True, "ValidationException", 1, False),
    ("access_denied", True, "AccessDeniedException", 1, False),
    ("end_of_life", True, "ResourceNotFoundException", 1, False),
    ("service_quota", True, "ServiceQuotaExceededException", 1, False),
    ("daily_tokens", True, "ThrottlingException", 1, False),
    ("thought_only", True, "NoText", 1, True),
    ("drip", True, "TrialTimeout", 1, True),
    ("drip_headers", True, "TrialTimeout", 1, True),
]


@pytest.mark.parametrize(
    ("fate", "always", "error_type", "calls", "is_wasted"),
    FAULTS,
    ids=[f"{'always-' if always else ''}{fate}" for fate, always, *_ in FAULTS],
)
def test_each_fault_and_what_its_trial_says(
    bedrock: LoopbackBedrock,
    monkeypatch: pytest.MonkeyPatch,
    fate: str,
    always: bool,
    error_type: str | None,
    calls: int,
    is_wasted: bool,
) -> None:
    monkeypatch.setattr("finrag_eval.execute.backoff.random.uniform", lambda low, high: 0.0)
    bedrock.programme(scripts=[{"faults": [fate], "then": fate if always else "ok"}], drip_s=0.05)
    execution = ExecutionSpec(concurrency=1, attempt_timeout_s=0.3, timeout_s=1.0, max_attempts=3)
    ran = run(client(0.3), count=1, execution=execution, pipeline=_quick())
    (outcome,) = ran.outcomes.values()
    assert (outcome.failure.error_type if outcome.failure else None) == error_type
    assert len(bedrock.ledger()) == calls
    assert outcome.retries == calls - 1
    assert (outcome.wasted_usd > 0) == is_wasted
    assert outcome.wasted_usd + (outcome.cost_usd or 0) == ran.ledger.spent
    if outcome.failure is not None:
        assert outcome.failure.stage == outcome.result["stage"] == "llm_invocation"
        assert outcome.result["error"] == outcome.failure.message
        assert outcome.cost_usd is None


def _quick() -> SmallPipeline:
    """A pipeline whose retrieval takes nothing from the second that a trial has here."""
    return SmallPipeline(gather=lambda query: SmallContext("Context. ", seconds=0.0))
