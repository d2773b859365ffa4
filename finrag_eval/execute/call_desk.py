"""Leave to send a call, and what came of it: budget, ledger, limits and credentials in one place.

Enters: calls with their sizes, and settlements. Leaves: admissions, refusals. Every admitted call
is reserved on disk before it is sent; the limits' permit comes last, so that its timing is the
request's. The lock is the gate's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeGuard

from finrag_eval.domain import ModelConfig, RateLimit
from finrag_eval.errors import FinragEvalError
from finrag_eval.execute.budget import Budget
from finrag_eval.execute.doorways import (
    Admission,
    CallFor,
    CallSize,
    Refusal,
    Reservations,
    Settlement,
)
from finrag_eval.execute.limits import ModelLimits, Permit
from finrag_eval.execute.line import Waiting
from finrag_eval.execute.places import Places
from finrag_eval.execute.snapshots import ModelSnapshot
from finrag_eval.execute.stops import Stops
from finrag_eval.execute.watches import Credentials
from finrag_eval.turns import TURNS

#: A model that refused every call for so long is stopped, so that a sweep ends by itself.
THROTTLED_OUT_SECONDS = 600.0
#: Paces change while one waits for them.
_LONGEST_NAP_S = 1.0


@dataclass(slots=True)
class Held:
    """A trial in a worker's hands. ``is_ahead``: it was let in and has sent no call yet.

    ``has_place``: its calls may go out. ``reservation`` is what was reserved for it already when
    it was handed out.
    """

    worker: str
    waiting: Waiting
    model_key: str
    is_ahead: bool = True
    has_place: bool = False
    reservation: int | None = None
    attempts: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Attempt:
    """A call in flight; ``held`` is the trial it was made in."""

    call: CallFor
    reservation: int
    worst_usd: Decimal
    permit: Permit
    renewal: int
    held: Held | None


class CallDesk:
    """Admits and settles the calls of all models."""

    def __init__(
        self,
        stops: Stops,
        places: Places,
        *,
        budget: Budget,
        reservations: Reservations,
        concurrency: int,
        ahead: int,
        models: Mapping[str, ModelConfig],
        limits: Mapping[str, RateLimit],
        credentials: Credentials,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stops, self._places = stops, places
        self._changed = stops.changed
        self._clock = clock
        self._budget, self._reservations = budget, reservations
        self._concurrency, self._ahead = concurrency, ahead
        self._models, self._configured = models, limits
        self._credentials = credentials
        self._limits: dict[str, ModelLimits] = {}
        self._attempts: dict[int, _Attempt] = {}
        self._overruns: set[str] = set()

    @property
    def in_flight(self) -> int:
        """Calls that were admitted and not settled."""
        return len(self._attempts)

    def admit(
        self, call: CallFor, size: CallSize, held: Held | None, delay_seconds: float
    ) -> Admission | Refusal:
        """Leave to send one call after ``delay_seconds``, or why not; blocks for limits."""
        began = self._clock()
        has_place = held is None or held.has_place
        with self._changed:
            # Who has no place yet waits for that first: a probe must not stand in a line.
            turn = self._turn(call, held, delay_seconds) if has_place else 0
            if isinstance(turn, Refusal):
                return turn
            reservation = self._reserve(call, size, held)
            if reservation is None:
                self._release_probe(call.model_key, turn)
                return Refusal.BUDGET
            freed = self._places.freed
        queued = 0.0
        try:
            with TURNS.away():
                attempt = self._reservations.reserve(
                    trial_key=call.trial_key,
                    cell=call.cell,
                    model_key=call.model_key,
                    purpose=call.purpose,
                    usd=size.worst_usd,
                )
                if held is not None and not has_place:
                    queued = self._await_place(call, held, freed)
        except FinragEvalError as error:
            self._budget.settle(reservation, Decimal(0))
            self._stops.fail(str(error), error)
            return Refusal.STOPPING
        with self._changed:
            if not has_place:
                turn = self._turn(call, held, delay_seconds)
            permit = turn if isinstance(turn, Refusal) else self._permit(call, size, held)
            if isinstance(permit, Refusal):
                self._budget.settle(reservation, Decimal(0))
                self._reservations.settle(attempt, billed_usd=Decimal(0), state="free")
                if not isinstance(turn, Refusal):
                    self._release_probe(call.model_key, turn)
                return permit
            assert not isinstance(turn, Refusal)
            self._attempts[attempt] = _Attempt(
                call, reservation, size.worst_usd, permit, turn, held
            )
            if held is not None:
                held.attempts.add(attempt)
            waited = self._clock() - began - queued
        return Admission(
            attempt=attempt, waited_seconds=waited, queued_seconds=queued, renewal=turn
        )

    def settle(self, attempt: int, settlement: Settlement) -> bool:
        """Put what a call came to in its reservation's place; True while its model is starved.

        A call that was counted already is left alone.
        """
        with self._changed:
            done = self._attempts.pop(attempt, None)
            if done is None:
                return False
            if done.held is not None:
                done.held.attempts.discard(attempt)
            now = self._clock()
            is_bounded = self._budget.settle(done.reservation, settlement.billed_usd)
            self._write_down(attempt, settlement)
            limits = self.limits_of(done.call.model_key)
            limits.settle(
                done.permit,
                now,
                usage=settlement.usage,
                throttled=settlement.fault == "throttle",
            )
            self._note_credentials(done, settlement, now)
            if not is_bounded:
                self._note_overrun(done, settlement.billed_usd)
            self._stop_if_throttled_out(done.call.model_key, now)
            return self._is_starved(done.call.model_key)

    def waste(self, attempts: Iterable[int], *, error_type: str) -> Decimal:
        """Count calls whose end nobody will see at their worst case; USD in all."""
        total = Decimal(0)
        for attempt in list(attempts):
            worst = self._attempts[attempt].worst_usd
            total += worst
            self.settle(
                attempt,
                Settlement(billed_usd=worst, state="wasted", fault="lost", error_type=error_type),
            )
        return total

    def waste_all(self) -> None:
        """Count every call still in flight at its worst case."""
        self.waste(self._attempts, error_type="Abandoned")

    def limits_of(self, model_key: str) -> ModelLimits:
        """The limits that all cells of a model share."""
        limits = self._limits.get(model_key)
        if limits is None:
            limits = self._limits[model_key] = ModelLimits(
                self._models.get(model_key),
                self._configured.get(model_key),
                self._concurrency,
                self._clock(),
                spare=self._ahead,
            )
        return limits

    def seconds_until_open(self, model_key: str, held: Iterable[Held]) -> float | None:
        """Seconds until a trial of the model may be handed out; None until something changes."""
        provider = self._provider(model_key)
        if self._credentials.pause_of(provider) is not None and any(
            self._provider(each.model_key) == provider for each in held
        ):
            return None
        return self.limits_of(model_key).seconds_until_open(self._clock())

    def snapshot(self) -> dict[str, ModelSnapshot]:
        """Every model that was asked so far."""
        return {
            key: ModelSnapshot(
                under_way=limits.under_way,
                concurrency=limits.pace.concurrency,
                per_second=limits.pace.per_second,
                throttled=limits.pace.throttled,
                stopped=self._stops.models.get(key),
            )
            for key, limits in self._limits.items()
        }

    def _turn(self, call: CallFor, held: Held | None, delay_seconds: float) -> int | Refusal:
        """Wait out a backoff and a pause of credentials; the call's renewal, or why it may not go.

        In a pause it is the one call that probes; whoever takes the turn sends it or releases it.
        """
        refusal = self._wait_for_turn(call, held, delay_seconds)
        return self._renewal(call.model_key) if refusal is None else refusal

    def _wait_for_turn(
        self, call: CallFor, held: Held | None, delay_seconds: float
    ) -> Refusal | None:
        """Wait out a backoff and a pause of credentials; why the call may not go, if so."""
        ready_at = self._clock() + delay_seconds
        while True:
            refusal = self._stops.refusal(call.model_key)
            if refusal is None and delay_seconds > 0 and held is not None:
                pace = self.limits_of(call.model_key).pace
                is_crowded = self._places.of(call.model_key) > pace.concurrency
                refusal = Refusal.LATER if is_crowded else None
            if refusal is not None:
                return refusal
            now = self._clock()
            wait = max(ready_at - now, self._seconds_until_probe(call.model_key, now))
            if wait <= 0:
                return None
            self._nap(wait)

    def _nap(self, seconds: float) -> None:
        """Wait until something changes, and go on without the turn: others need the gate's lock."""
        TURNS.give()
        self._changed.wait(min(seconds, _LONGEST_NAP_S))

    def _seconds_until_probe(self, model_key: str, now: float) -> float:
        provider = self._provider(model_key)
        pause = self._credentials.pause_of(provider)
        if pause is None or pause.may_probe(now):
            return 0.0
        if self._credentials.is_exhausted(provider, now):
            self._stops.notice(
                "no fresh credentials came; stopping, and `finrag-eval resume` goes on"
            )
            self._stops.stop("credentials")
            return 0.001
        return 1.0 if pause.probe is not None else max(0.05, pause.next_probe_at - now)

    def _renewal(self, model_key: str) -> int:
        provider = self._provider(model_key)
        if self._credentials.pause_of(provider) is not None:
            return self._credentials.probe(provider)
        return self._credentials.renewal

    def _release_probe(self, model_key: str, renewal: int) -> None:
        self._credentials.release_probe(self._provider(model_key), renewal, self._clock())

    def _reserve(self, call: CallFor, size: CallSize, held: Held | None) -> int | None:
        if held is not None and held.reservation is not None:
            self._budget.settle(held.reservation, Decimal(0))
            held.reservation = None
        return self._budget.reserve(call.model_key, call.cell, size.worst_usd)

    def _await_place(self, call: CallFor, held: Held, freed: int) -> float:
        """Wait for the trial's place; for how many seconds.

        A place is free when the outcome before it is in the ledger's hands. Where places became
        free after the reservation (there were ``freed`` before it), the disk is waited for here:
        else the call could go out while that outcome can still be lost.
        """
        began = self._clock()

        def is_refused() -> bool:
            keys = {call.model_key, held.model_key}
            return any(self._stops.refusal(key) is not None for key in keys)

        with self._changed:
            held.has_place = self._places.wait(held.model_key, is_refused)
            is_newer = self._places.freed != freed
        if is_newer:
            self._reservations.flush()
        return self._clock() - began

    def _permit(self, call: CallFor, size: CallSize, held: Held | None) -> Permit | Refusal:
        """Wait for the model's limits, the last thing before the call goes out."""
        limits = self.limits_of(call.model_key)
        tokens = limits.quota_tokens(size.prompt_bytes, size.max_tokens)
        while (refusal := self._stops.refusal(call.model_key)) is None:
            wait = limits.seconds_until_sent(self._clock(), tokens)
            if wait <= 0:
                break
            self._nap(wait)
        if refusal is not None:
            return refusal
        if _is_for(held, call) and held.is_ahead:
            held.is_ahead = False
            limits.ahead -= 1
        return limits.send(self._clock(), size.prompt_bytes, size.max_tokens)

    def _write_down(self, attempt: int, settlement: Settlement) -> None:
        """Settle on disk; where that cannot be, the next session counts the call's worst case."""
        try:
            self._reservations.settle(
                attempt,
                billed_usd=settlement.billed_usd,
                state=settlement.state,
                error_type=settlement.error_type,
            )
        except FinragEvalError as error:
            self._stops.fail(str(error), error)

    def _note_credentials(self, done: _Attempt, settlement: Settlement, now: float) -> None:
        provider = self._provider(done.call.model_key)
        if settlement.fault != "credentials":
            if self._credentials.worked(provider, done.renewal):
                self._stops.notice("fresh credentials found; going on")
                self._changed.notify_all()
        elif self._credentials.failed(provider, done.renewal, now):
            self._stops.notice(
                f"{settlement.message}; waiting for fresh credentials (renew them, for example "
                "with `aws sso login`); Ctrl-C stops, and `finrag-eval resume` goes on"
            )

    def _note_overrun(self, done: _Attempt, billed_usd: Decimal) -> None:
        key = done.call.model_key
        if key not in self._overruns:
            self._overruns.add(key)
            self._stops.notice(
                f"{key}: a call cost {billed_usd} USD, more than its worst case of "
                f"{done.worst_usd} USD: the vendor counted more tokens than the prompt has bytes"
            )

    def _is_starved(self, model_key: str) -> bool:
        """Whether all calls are throttled, and none in flight may still be answered."""
        refused_since = self.limits_of(model_key).pace.refused_since
        return refused_since is not None and not any(
            attempt.call.model_key == model_key and attempt.permit.sent_at < refused_since
            for attempt in self._attempts.values()
        )

    def _stop_if_throttled_out(self, model_key: str, now: float) -> None:
        since = self.limits_of(model_key).pace.refused_since
        if since is not None and now - since > THROTTLED_OUT_SECONDS:
            minutes = round(THROTTLED_OUT_SECONDS / 60)
            self._stops.stop_model(model_key, f"every call was throttled for {minutes} minutes")

    def _provider(self, model_key: str) -> str:
        model = self._models.get(model_key)
        return "" if model is None else f"{model.provider}/{model.settings.get('profile', '')}"


def _is_for(held: Held | None, call: CallFor) -> TypeGuard[Held]:
    """Whether the call is to answer that trial, and not to gather its context."""
    return held is not None and held.model_key == call.model_key
