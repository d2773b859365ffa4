"""Rates, in virtual time: a quota is used and not passed, with configured limits and without."""

from __future__ import annotations

import random

import pytest
from execute_parts import model
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import Simulation

from finrag_eval.domain import RateLimit, Usage
from finrag_eval.execute.buckets import RateLimiter
from finrag_eval.execute.limits import ModelLimits, output_burndown


@pytest.fixture(autouse=True)
def seeded() -> None:
    random.seed(20261122)


@given(
    rpm=st.floats(1, 6000),
    pauses=st.lists(st.floats(0, 3), min_size=1, max_size=80),
)
def test_no_window_holds_more_requests_than_the_limit_allows(
    rpm: float, pauses: list[float]
) -> None:
    limiter = RateLimiter(RateLimit(rpm=rpm), 0.0)
    now, sent = 0.0, []
    for pause in pauses:
        now += pause
        for _ in range(5):
            if limiter.seconds_until(now, 0.0) == 0.0:
                limiter.take(now, 0.0)
                sent.append(now)
    burst = max(1.0, rpm / 60)
    for first, start in enumerate(sent):
        for last in range(first, len(sent)):
            allowed = burst + (sent[last] - start) * rpm / 60
            assert last - first + 1 <= allowed + 1e-6


@given(
    tpm=st.floats(60, 100_000),
    needs=st.lists(st.tuples(st.floats(1, 20_000), st.floats(0, 1)), min_size=1, max_size=40),
)
def test_tokens_are_reserved_first_and_settled_to_what_was_used(
    tpm: float, needs: list[tuple[float, float]]
) -> None:
    limiter = RateLimiter(RateLimit(tpm=tpm), 0.0)
    now = used = 0.0
    for tokens, share in needs:
        now += limiter.seconds_until(now, tokens)
        assert limiter.seconds_until(now, tokens) <= 1e-6
        limiter.take(now, tokens)
        limiter.settle(now, tokens, tokens * share)
        used += tokens * share
    largest = max(tokens for tokens, _ in needs)
    assert used <= (now + 1.0) * tpm / 60 + largest + 1e-6


@given(rpm=st.floats(6, 6000), ahead=st.integers(0, 5))
def test_the_wait_is_long_enough(rpm: float, ahead: int) -> None:
    limiter = RateLimiter(RateLimit(rpm=rpm), 0.0)
    for _ in range(int(rpm / 60) + 2):
        limiter.take(0.0, 0.0)
    wait = limiter.seconds_until(0.0, 0.0)
    assert 0 < wait <= limiter.seconds_until(0.0, 0.0, ahead=ahead)
    assert limiter.seconds_until(wait + 1e-6, 0.0) == 0.0


def test_no_limit_is_no_wait() -> None:
    limiter = RateLimiter(RateLimit(), 0.0)
    for _ in range(1000):
        assert limiter.seconds_until(0.0, 1e9) == 0.0
        limiter.take(0.0, 1e9)


@pytest.mark.parametrize("rpm", [20, 50, 120, 600, 3000])
def test_with_its_limit_set_a_quota_is_used_and_hardly_ever_refuses(rpm: int) -> None:
    run = Simulation(
        trials=300, concurrency=32, latency=0.3, quota={"rpm": rpm}, limit=RateLimit(rpm=rpm)
    ).run()
    assert run.answered == 300
    assert run.throttled_share < 0.01
    assert run.answered / (run.seconds * rpm / 60) >= 0.93


def test_a_busy_machine_does_not_make_a_limit_leak() -> None:
    run = Simulation(
        trials=500,
        concurrency=32,
        latency=0.3,
        quota={"rpm": 600},
        limit=RateLimit(rpm=600),
        jitter=0.4,
    ).run()
    assert run.throttled_share < 0.01


@pytest.mark.parametrize("burndown", [1, 5])
def test_a_quota_of_tokens_is_used_with_its_reservation_and_burndown(burndown: int) -> None:
    simulation = Simulation(
        trials=400,
        concurrency=32,
        latency=2.0,
        quota={"tpm": 120_000, "burndown": burndown},
        limit=RateLimit(tpm=120_000),
        usage=Usage(input_tokens=120, output_tokens=80),
        max_tokens=200,
    )
    simulation.limits._burndown = float(burndown)
    run = simulation.run()
    used = 400 * (120 + 80 * burndown)
    assert run.answered == 400
    assert run.throttled_share < 0.01
    assert used / (run.seconds * 120_000 / 60) >= 0.85


@pytest.mark.parametrize(("concurrency", "latency"), [(16, 0.05), (64, 0.5), (100, 2.0)])
def test_without_limits_a_model_finds_its_rate(concurrency: int, latency: float) -> None:
    run = Simulation(trials=600, concurrency=concurrency, latency=latency, quota={"rpm": 600}).run()
    assert run.answered == 600, "contention alone fails no trial"
    assert 600 / (run.seconds * 10) >= 0.8
    # Once the rate is found, few calls are refused.
    late = Simulation(trials=600, concurrency=concurrency, latency=latency, quota={"rpm": 600})
    assert late.run().throttled_share < 0.65


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_refusals_by_chance_do_not_starve_a_sweep(share: float) -> None:
    run = Simulation(trials=1000, concurrency=32, latency=0.5, refused_by_chance=share).run()
    assert run.answered == 1000
    assert run.seconds < 90, "a controller that only ever backs off takes hours"


def test_a_model_that_refuses_everything_is_asked_less_and_less() -> None:
    simulation = Simulation(trials=200, concurrency=32, latency=0.5, refused_by_chance=1.0)
    run = simulation.run()
    last_minute = [at for at in run.arrivals if 60 < at <= 120]
    assert simulation.limits.pace.concurrency == 1
    assert len(last_minute) < 60


def test_a_model_that_never_refuses_is_paced_by_nothing() -> None:
    simulation = Simulation(trials=500, concurrency=32, latency=0.5)
    run = simulation.run()
    assert run.throttled == 0
    assert simulation.limits.pace.per_second is None
    assert simulation.limits.pace.concurrency == 32


def test_an_estimate_of_tokens_is_learned_from_usage() -> None:
    limits = ModelLimits(model(), None, 4, 0.0)
    first = limits.quota_tokens(3000, 100)
    permit = limits.send(0.0, 3000, 100)
    dense = Usage(input_tokens=2400, output_tokens=10)
    limits.settle(permit, 1.0, usage=dense, throttled=False)
    assert first == pytest.approx(1100)
    assert limits.quota_tokens(3000, 100) == pytest.approx(2500)


@pytest.mark.parametrize(
    ("configured", "burndown"), [(5, 5.0), (2.5, 2.5), (None, 1.0), ("5", 1.0)]
)
def test_burndown_is_the_entrys(configured: object, burndown: float) -> None:
    settings = {} if configured is None else {"output_burndown": configured}
    assert output_burndown(model(settings=settings)) == burndown
