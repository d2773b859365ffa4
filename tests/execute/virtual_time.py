"""A sweep in virtual time: workers, a model's limits and a server with a quota, event by event."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from execute_parts import fault
from loopback.programme import Quota

from finrag_eval.domain import RateLimit, Usage
from finrag_eval.execute.backoff import Backoff
from finrag_eval.execute.limits import ModelLimits, Permit


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of it: seconds, and counts of calls."""

    seconds: float
    calls: int
    throttled: int
    answered: int
    failed: int
    arrivals: tuple[float, ...]

    @property
    def throttled_share(self) -> float:
        return self.throttled / self.calls


@dataclass
class _Trial:
    backoff: Backoff
    is_new: bool = True


class Simulation:
    """``trials`` calls of one model by ``concurrency`` workers; times in seconds."""

    def __init__(
        self,
        *,
        trials: int,
        concurrency: int,
        latency: float,
        quota: dict[str, Any] | None = None,
        limit: RateLimit | None = None,
        refused_by_chance: float = 0.0,
        jitter: float = 0.005,
        usage: Usage | None = None,
        prompt_bytes: int = 400,
        max_tokens: int = 100,
        seed: int = 1,
    ) -> None:
        self.random = random.Random(seed)
        self.limits = ModelLimits(None, limit, concurrency, 0.0)
        self.quota = Quota(quota or {}, 0.0)
        self.todo, self.idle, self.latency = trials, concurrency, latency
        self.refused_by_chance, self.jitter = refused_by_chance, jitter
        self.usage = usage or Usage(input_tokens=100, output_tokens=50)
        self.prompt_bytes, self.max_tokens = prompt_bytes, max_tokens
        self.now = 0.0
        self.wakes_at = float("inf")
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = 0
        self.calls = self.throttled = self.answered = self.failed = 0
        self.arrivals: list[float] = []

    def run(self) -> Run:
        self._hand_out()
        while self.events:
            self.now, _, event = heapq.heappop(self.events)
            event()
        return Run(
            seconds=self.now,
            calls=self.calls,
            throttled=self.throttled,
            answered=self.answered,
            failed=self.failed,
            arrivals=tuple(self.arrivals),
        )

    def _in(self, seconds: float, event: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (self.now + seconds, self.count, event))

    def _wake(self) -> None:
        self.wakes_at = float("inf")
        self._hand_out()

    def _hand_out(self) -> None:
        while self.idle and self.todo:
            wait = self.limits.seconds_until_open(self.now)
            if wait is None:
                return
            if wait > 0:
                if self.now + wait < self.wakes_at:
                    self.wakes_at = self.now + wait
                    self._in(wait + 1e-6, self._wake)
                return
            self.idle -= 1
            self.todo -= 1
            self.limits.under_way += 1
            self.limits.ahead += 1
            trial = _Trial(Backoff(6))
            self._in(0.005 * self.random.random(), lambda trial=trial: self._send(trial))

    def _send(self, trial: _Trial) -> None:
        tokens = self.limits.quota_tokens(self.prompt_bytes, self.max_tokens)
        wait = self.limits.seconds_until_sent(self.now, tokens)
        if wait > 0:
            self._in(wait + 1e-6, lambda: self._send(trial))
            return
        if trial.is_new:
            trial.is_new = False
            self.limits.ahead -= 1
        permit = self.limits.send(self.now, self.prompt_bytes, self.max_tokens)
        self._in(self.jitter * self.random.random(), lambda: self._arrive(trial, permit))
        self._hand_out()

    def _arrive(self, trial: _Trial, permit: Permit) -> None:
        self.calls += 1
        self.arrivals.append(self.now)
        reserved = self.usage.input_tokens + self.max_tokens
        is_refused = self.random.random() < self.refused_by_chance
        if is_refused or self.quota.admit(reserved, self.now):
            self.throttled += 1
            self._in(0.005, lambda: self._refused(trial, permit))
            return
        lag = self.latency * self.random.uniform(0.7, 1.3)
        self._in(lag, lambda: self._answered(permit, reserved))

    def _answered(self, permit: Permit, reserved: float) -> None:
        used = self.usage.input_tokens + self.usage.output_tokens * self.quota.burndown
        self.quota.settle(reserved, used, self.now)
        self.limits.settle(permit, self.now, usage=self.usage, throttled=False)
        self.answered += 1
        self._leave()

    def _refused(self, trial: _Trial, permit: Permit) -> None:
        self.limits.settle(permit, self.now, usage=None, throttled=True)
        delay = trial.backoff.delay_after(fault("throttle"))
        if delay is None:
            self.failed += 1
            self._leave()
        else:
            self._in(delay, lambda: self._send(trial))

    def _leave(self) -> None:
        self.limits.under_way -= 1
        self.idle += 1
        self._hand_out()
