"""The gate that every trial and every call passes: one object, one lock, in the driver.

Enters: trials, and workers that ask for them. Leaves: tickets, leave to call, and delivered
outcomes. Holds the budget, the limits and the line together, so that they hold at any
concurrency and on any backend. Knows no disk but through ``Reservations``, and no vendor.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from queue import SimpleQueue
from threading import Condition, RLock

from finrag_eval.domain import Cell, MaxFailed, ModelConfig, Outcome, RateLimit, Trial
from finrag_eval.errors import FinragEvalError
from finrag_eval.execute.budget import Budget
from finrag_eval.execute.doorways import (
    Admission,
    CallFor,
    CallSize,
    Carried,
    Refusal,
    Reservations,
    Settlement,
    Ticket,
)
from finrag_eval.execute.limits import ModelLimits, Permit
from finrag_eval.execute.line import TrialLine, Waiting
from finrag_eval.execute.snapshots import ModelSnapshot, Snapshot, StopReason
from finrag_eval.execute.watches import Credentials, FailureWatch
from finrag_eval.money import worst_case_usd

#: A model that refused every call for so long is stopped, so that a sweep ends by itself.
THROTTLED_OUT_SECONDS = 600.0
#: How often a trial is handed out again after its worker died.
_LOSSES_BORNE = 2


@dataclass(slots=True)
class _Seat:
    """An idle worker, waiting for a ticket."""

    worker: str
    since: float
    wake: Condition
    ticket: Ticket | None = None


@dataclass(slots=True)
class _Held:
    """A trial in a worker's hands. ``is_ahead``: it was let in and has sent no call yet."""

    worker: str
    waiting: Waiting
    model_key: str
    since: float
    is_ahead: bool = True
    reservation: int | None = None


@dataclass(slots=True)
class _Attempt:
    """A call in flight."""

    call: CallFor
    reservation: int
    worst_usd: Decimal
    permit: Permit
    renewal: int


class Gate:
    """Hands out trials, admits calls, takes outcomes. All methods are thread-safe.

    ``reason`` is None while trials remain, then why there are no more. ``finished`` and
    ``failed`` are what earlier sessions of the sweep left. ``on_notice`` takes plain lines.
    """

    def __init__(
        self,
        trials: Iterable[Trial],
        cells: Iterable[Cell],
        *,
        budget: Budget,
        reservations: Reservations,
        concurrency: int,
        limits: Mapping[str, RateLimit] | None = None,
        models: Iterable[ModelConfig] = (),
        max_failed: MaxFailed | None = None,
        finished: int = 0,
        failed: int = 0,
        on_notice: Callable[[str], None] = lambda line: None,
        credentials_poll_s: float = 15.0,
        credentials_wait_s: float = 1800.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        cells = tuple(cells)
        self._lock = RLock()
        self._changed = Condition(self._lock)
        self._clock = clock
        self._budget, self._reservations = budget, reservations
        self._concurrency = concurrency
        self._configured_limits = dict(limits or {})
        self._model_of = {cell.name: cell.model.key for cell in cells}
        self._models = {cell.model.key: cell.model for cell in cells}
        self._models |= {model.key: model for model in models}
        self._limits: dict[str, ModelLimits] = {}
        self._line = TrialLine(
            iter(trials),
            self._model_of,
            {cell.name: floor_usd(cell) for cell in cells},
        )
        self._watch = FailureWatch(max_failed or MaxFailed(), finished=finished, failed=failed)
        self._credentials = Credentials(credentials_poll_s, credentials_wait_s)
        self._idle: deque[_Seat] = deque()
        self._held: dict[int, _Held] = {}
        self._attempts: dict[int, _Attempt] = {}
        self._outcomes: SimpleQueue[Outcome | None] = SimpleQueue()
        self._last_ticket = 0
        self._is_over = False
        self._on_notice = on_notice
        self._overruns: set[str] = set()
        self.reason: StopReason | None = None
        self.stopped_models: dict[str, str] = {}
        self.error: str | None = None

    # -- workers -------------------------------------------------------------------------------

    def next_trial(self, worker: str) -> Ticket | None:
        """The next trial to answer; blocks until there is one; None when there will be none."""
        with self._lock:
            seat = _Seat(worker, self._clock(), Condition(self._lock))
            self._idle.append(seat)
            while True:
                due = self._dispatch()
                if seat.ticket is not None:
                    return seat.ticket
                if self._is_over:
                    self._idle.remove(seat)
                    return None
                seat.wake.wait(due if self._idle[0] is seat else None)

    def admit(
        self, call: CallFor, size: CallSize, *, delay_seconds: float = 0.0
    ) -> Admission | Refusal:
        """Leave to send one call after ``delay_seconds``, or why not.

        Blocks for limits and paused credentials. When it returns leave, the call's worst case is
        reserved on disk; the caller settles it, whatever happens.
        """
        began = self._clock()
        with self._lock:
            refusal = self._wait_for_turn(call, delay_seconds)
            if refusal is not None:
                return refusal
            renewal = self._renewal(call)
            reservation = self._reserve(call, size)
            if reservation is None:
                self._credentials.release_probe(self._provider(call), renewal, self._clock())
                return Refusal.BUDGET
        try:
            attempt = self._reservations.reserve(
                trial_key=call.trial_key,
                cell=call.cell,
                model_key=call.model_key,
                purpose=call.purpose,
                usd=size.worst_usd,
            )
        except FinragEvalError as error:
            self._budget.settle(reservation, Decimal(0))
            self.fail(str(error), error)
            return Refusal.STOPPING
        with self._lock:
            permit = self._permit(call, size)
            if isinstance(permit, Refusal):
                self._budget.settle(reservation, Decimal(0))
                self._reservations.settle(attempt, billed_usd=Decimal(0), state="free")
                self._credentials.release_probe(self._provider(call), renewal, self._clock())
                return permit
            self._attempts[attempt] = _Attempt(call, reservation, size.worst_usd, permit, renewal)
            waited = self._clock() - began
        return Admission(attempt=attempt, waited_seconds=waited, renewal=renewal)

    def settle(self, attempt: int, settlement: Settlement) -> None:
        """Put what the call came to in its reservation's place; frees money and pace."""
        with self._lock:
            done = self._attempts.pop(attempt, None)
            if done is None:
                return
            now = self._clock()
            is_bounded = self._budget.settle(done.reservation, settlement.billed_usd)
            self._reservations.settle(
                attempt,
                billed_usd=settlement.billed_usd,
                state=settlement.state,
                error_type=settlement.error_type,
            )
            self._limits_of(done.call.model_key).settle(
                done.permit,
                now,
                usage=settlement.usage,
                throttled=settlement.fault == "throttle",
            )
            self._note_credentials(done, settlement, now)
            if not is_bounded:
                self._note_overrun(done, settlement.billed_usd)
            self._stop_if_throttled_out(done.call.model_key, now)
            self._wake_leader()

    def deliver(self, ticket: int, outcome: Outcome) -> None:
        """Take the outcome of a trial; outcomes of tickets that were called back are dropped."""
        with self._lock:
            held = self._release(ticket)
            if held is None:
                return
            self._watch.add(held.model_key, has_failed=not outcome.succeeded)
            self._outcomes.put(outcome)
            if self._watch.is_passed():
                self.stop("max_failed")
            self._wake_leader()

    def give_back(
        self, ticket: int, refusal: Refusal, carried: Carried, worst_usd: Decimal | None = None
    ) -> None:
        """Take back a trial that may not go on now, with what it has been through."""
        with self._lock:
            held = self._release(ticket)
            if held is None:
                return
            held.waiting.carried = carried
            if refusal is Refusal.BUDGET and worst_usd is not None:
                self._line.put_aside(held.waiting, worst_usd)
            elif refusal is Refusal.LATER:
                self._line.put_back(held.waiting)
            self._wake_leader()

    def stop_model(self, model_key: str, reason: str) -> None:
        """Send nothing more of this model; other models' trials go on."""
        with self._lock:
            if model_key in self.stopped_models:
                return
            self.stopped_models[model_key] = reason
            self._line.close_model(model_key)
            self._watch.stop_model(model_key)
            self.notice(f"{model_key} stopped: {reason}; its trials not sent yet are not run")
            self._changed.notify_all()
            self._wake_leader()

    def fail(self, reason: str, error: FinragEvalError | None = None) -> None:
        """Stop for something that no trial can help."""
        with self._lock:
            if self.error is None:
                self.error, self.cause = reason, error
            self.stop("failed")

    def notice(self, line: str) -> None:
        """Say one line to whoever watches the sweep."""
        self._on_notice(line)

    # -- the driver ----------------------------------------------------------------------------

    cause: FinragEvalError | None = None

    def stop(self, reason: StopReason = "interrupted") -> None:
        """Start no more calls; those in flight are awaited. The first reason is kept."""
        with self._lock:
            if self.reason is None:
                self.reason = reason
            self._is_over = True
            self._changed.notify_all()
            for seat in self._idle:
                seat.wake.notify()

    @property
    def is_over(self) -> bool:
        """Whether no more trials are handed out."""
        return self._is_over

    def outcomes(self) -> SimpleQueue[Outcome | None]:
        """Where delivered outcomes come out; ``close`` puts None behind the last."""
        return self._outcomes

    def close(self) -> None:
        """Count calls still in flight at their worst case, and end the stream of outcomes."""
        with self._lock:
            self.stop("interrupted")
            self._waste(list(self._attempts), error_type="Abandoned")
            self._held.clear()
            if self.reason == "done" and self._watch.verdict():
                self.reason = "max_failed"
            self._outcomes.put(None)

    def lose(self, worker: str) -> None:
        """A worker died: its calls may have been billed, its trials go back into the line."""
        with self._lock:
            numbers = [number for number, held in self._held.items() if held.worker == worker]
            for number in numbers:
                open_calls = [
                    attempt
                    for attempt, state in self._attempts.items()
                    if state.call.ticket == number
                ]
                wasted = self._waste(open_calls, error_type="WorkerLost")
                held = self._release(number)
                if held is not None:
                    self._line.put_back(_after_loss(held.waiting, wasted))
            if numbers:
                self.notice(f"a worker died; {len(numbers)} trials it held are run again")
            self._wake_leader()

    def snapshot(self) -> Snapshot:
        """Where the sweep is now, for a live display."""
        with self._lock:
            return Snapshot(
                finished=self._watch.finished,
                failed=self._watch.failed,
                in_flight=len(self._attempts),
                held=len(self._held),
                set_aside=self._line.set_aside,
                spent_usd=self._budget.spent,
                reserved_usd=self._budget.reserved,
                reason=self.reason,
                models={
                    key: ModelSnapshot(
                        under_way=limits.under_way,
                        concurrency=limits.pace.concurrency,
                        per_second=limits.pace.per_second,
                        throttled=limits.pace.throttled,
                        stopped=self.stopped_models.get(key),
                    )
                    for key, limits in self._limits.items()
                },
            )

    # -- handing out ---------------------------------------------------------------------------

    def _dispatch(self) -> float | None:
        """Hand trials to idle workers; seconds until a limit lets more through, if one does."""
        if self._is_over:
            return None
        due: dict[str, float | None] = {}

        def is_open(model_key: str) -> bool:
            if model_key not in due:
                due[model_key] = self._seconds_until_open(model_key)
            return due[model_key] == 0.0

        while self._idle:
            waiting = self._line.pop(is_open, self._budget.fits)
            if waiting is None:
                break
            self._hand_out(waiting, self._idle.popleft())
            due.pop(self._model_of[waiting.trial.cell], None)
        if self._idle:
            self._finish_if_done()
        return min((seconds for seconds in due.values() if seconds), default=None)

    def _seconds_until_open(self, model_key: str) -> float | None:
        provider = self._provider_of(model_key)
        if self._credentials.pause_of(provider) is not None and any(
            self._provider_of(held.model_key) == provider for held in self._held.values()
        ):
            return None
        return self._limits_of(model_key).seconds_until_open(self._clock())

    def _hand_out(self, waiting: Waiting, seat: _Seat) -> None:
        now = self._clock()
        model_key = self._model_of[waiting.trial.cell]
        held = _Held(seat.worker, waiting, model_key, now)
        if waiting.worst_usd is not None:
            held.reservation = self._budget.reserve(
                model_key, waiting.trial.cell, waiting.worst_usd
            )
        limits = self._limits_of(model_key)
        limits.under_way += 1
        limits.ahead += 1
        self._last_ticket += 1
        self._held[self._last_ticket] = held
        carried = waiting.carried
        waited = carried.waited_seconds + now - seat.since
        seat.ticket = Ticket(
            number=self._last_ticket,
            trial=waiting.trial,
            carried=replace(carried, waited_seconds=waited),
        )
        seat.wake.notify()
        if self._idle:
            self._idle[0].wake.notify()

    def _release(self, ticket: int) -> _Held | None:
        held = self._held.pop(ticket, None)
        if held is not None:
            limits = self._limits_of(held.model_key)
            limits.under_way -= 1
            limits.ahead -= held.is_ahead
            if held.reservation is not None:
                self._budget.settle(held.reservation, Decimal(0))
        return held

    def _finish_if_done(self) -> None:
        if self._held or self._attempts or self._budget.in_flight:
            return
        self._line.close_unaffordable(self._budget.could_fit)
        if self._line.is_empty():
            self.stop("budget" if self._line.unaffordable else "done")

    def _wake_leader(self) -> None:
        if self._idle:
            self._idle[0].wake.notify()

    # -- admitting calls -----------------------------------------------------------------------

    def _wait_for_turn(self, call: CallFor, delay_seconds: float) -> Refusal | None:
        """Wait out a backoff and a pause of credentials; why the call may not go, if so."""
        ready_at = self._clock() + delay_seconds
        is_retry = delay_seconds > 0
        while True:
            refusal = self._refusal(call)
            if refusal is None and is_retry and self._is_crowded(call):
                refusal = Refusal.LATER
            if refusal is not None:
                return refusal
            now = self._clock()
            wait = max(ready_at - now, self._seconds_until_probe(call, now))
            if wait <= 0:
                return None
            self._changed.wait(wait)

    def _refusal(self, call: CallFor) -> Refusal | None:
        if self._is_over:
            return Refusal.STOPPING
        return Refusal.MODEL_STOPPED if call.model_key in self.stopped_models else None

    def _is_crowded(self, call: CallFor) -> bool:
        limits = self._limits_of(call.model_key)
        return call.ticket is not None and limits.under_way > limits.pace.concurrency

    def _seconds_until_probe(self, call: CallFor, now: float) -> float:
        provider = self._provider(call)
        pause = self._credentials.pause_of(provider)
        if pause is None or pause.may_probe(now):
            return 0.0
        if self._credentials.is_exhausted(provider, now):
            self.notice("no fresh credentials came; stopping, and `finrag-eval resume` goes on")
            self.stop("credentials")
            return 0.001
        return 1.0 if pause.probe is not None else max(0.05, pause.next_probe_at - now)

    def _renewal(self, call: CallFor) -> int:
        provider = self._provider(call)
        if self._credentials.pause_of(provider) is not None:
            return self._credentials.probe(provider)
        return self._credentials.renewal

    def _reserve(self, call: CallFor, size: CallSize) -> int | None:
        held = None if call.ticket is None else self._held.get(call.ticket)
        if held is not None and held.reservation is not None:
            self._budget.settle(held.reservation, Decimal(0))
            held.reservation = None
        return self._budget.reserve(call.model_key, call.cell, size.worst_usd)

    def _permit(self, call: CallFor, size: CallSize) -> Permit | Refusal:
        """Wait for the model's limits, the last thing before the call goes out."""
        limits = self._limits_of(call.model_key)
        held = None if call.ticket is None else self._held.get(call.ticket)
        tokens = limits.quota_tokens(size.prompt_bytes, size.max_tokens)
        while (refusal := self._refusal(call)) is None:
            now = self._clock()
            wait = limits.seconds_until_sent(now, tokens)
            if wait <= 0:
                break
            self._changed.wait(wait)
        if refusal is not None:
            return refusal
        if held is not None and held.is_ahead:
            held.is_ahead = False
            limits.ahead -= 1
        return limits.send(self._clock(), size.prompt_bytes, size.max_tokens)

    # -- after calls ---------------------------------------------------------------------------

    def _note_credentials(self, done: _Attempt, settlement: Settlement, now: float) -> None:
        provider = self._provider(done.call)
        if settlement.fault != "credentials":
            if self._credentials.worked(provider, done.renewal):
                self.notice("fresh credentials found; going on")
                self._changed.notify_all()
        elif self._credentials.failed(provider, done.renewal, now):
            self.notice(
                f"{settlement.message}; waiting for fresh credentials (renew them, for example "
                "with `aws sso login`); Ctrl-C stops, and `finrag-eval resume` goes on"
            )

    def _note_overrun(self, done: _Attempt, billed_usd: Decimal) -> None:
        key = done.call.model_key
        if key not in self._overruns:
            self._overruns.add(key)
            self.notice(
                f"{key}: a call cost {billed_usd} USD, more than its worst case of "
                f"{done.worst_usd} USD: the vendor counted more tokens than the prompt has bytes"
            )

    def _stop_if_throttled_out(self, model_key: str, now: float) -> None:
        pace = self._limits_of(model_key).pace
        if pace.refused_since is not None and now - pace.refused_since > THROTTLED_OUT_SECONDS:
            minutes = round(THROTTLED_OUT_SECONDS / 60)
            self.stop_model(model_key, f"every call was throttled for {minutes} minutes")

    def _waste(self, attempts: list[int], *, error_type: str) -> Decimal:
        """Count calls whose end nobody will see at their worst case; USD in all."""
        total = Decimal(0)
        for attempt in attempts:
            worst = self._attempts[attempt].worst_usd
            total += worst
            self.settle(
                attempt,
                Settlement(billed_usd=worst, state="wasted", fault="lost", error_type=error_type),
            )
        return total

    def _limits_of(self, model_key: str) -> ModelLimits:
        limits = self._limits.get(model_key)
        if limits is None:
            limits = self._limits[model_key] = ModelLimits(
                self._models.get(model_key),
                self._configured_limits.get(model_key),
                self._concurrency,
                self._clock(),
            )
        return limits

    def _provider(self, call: CallFor) -> str:
        return self._provider_of(call.model_key)

    def _provider_of(self, model_key: str) -> str:
        model = self._models.get(model_key)
        return "" if model is None else f"{model.provider}/{model.settings.get('profile', '')}"


def floor_usd(cell: Cell) -> Decimal:
    """The least that one call of any trial of a cell can have as its worst case."""
    return worst_case_usd(cell.model, len(cell.prompts.system_text.encode(errors="replace")))


def _after_loss(waiting: Waiting, wasted_usd: Decimal) -> Waiting:
    carried = waiting.carried
    waiting.carried = replace(
        carried,
        losses=carried.losses + 1,
        retries=carried.retries + 1,
        wasted_usd=carried.wasted_usd + wasted_usd,
    )
    return waiting


def read_outcomes(gate: Gate) -> Iterator[Outcome]:
    """Delivered outcomes until the gate is closed."""
    while (outcome := gate.outcomes().get()) is not None:
        yield outcome
