"""The gate that every trial and every call passes: one object, one lock, in the driver.

Enters: trials, and workers that ask for them. Leaves: tickets, leave to call, and delivered
outcomes. Budget, limits and the line of trials are behind one lock, so that they hold at any
concurrency and on any backend. Knows no disk but through ``Reservations``, and no vendor.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from queue import SimpleQueue
from threading import Condition, RLock

from finrag_eval.domain import Cell, MaxFailed, ModelConfig, Outcome, RateLimit, Trial
from finrag_eval.errors import FinragEvalError
from finrag_eval.execute.budget import Budget
from finrag_eval.execute.call_desk import CallDesk, Held
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
from finrag_eval.execute.line import TrialLine, Waiting
from finrag_eval.execute.places import Places
from finrag_eval.execute.snapshots import Snapshot, StopReason
from finrag_eval.execute.stops import Stops
from finrag_eval.execute.watches import Credentials, FailureWatch
from finrag_eval.money import worst_case_usd


@dataclass(slots=True)
class _Seat:
    """An idle worker, waiting for a ticket."""

    worker: str
    since: float
    wake: Condition
    ticket: Ticket | None = None


class Gate:
    """Hands out trials, admits calls, takes outcomes. All methods are thread-safe.

    ``models`` are those that are called beside the cells' own (judges). ``ahead`` trials more than
    ``concurrency`` are handed out to be made ready; their calls wait for a place. ``finished`` and
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
        ahead: int = 0,
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
        self._clock = clock
        self._budget = budget
        self._stops = Stops(Condition(self._lock), on_notice)
        self._stops.listen(over=self._wake_all, model=self._let_go_of_model)
        self._model_of = {cell.name: cell.model.key for cell in cells}
        self._places = Places(
            self._lock, concurrency, lambda key: self._desk.limits_of(key).pace.concurrency
        )
        self._desk = CallDesk(
            self._stops,
            self._places,
            budget=budget,
            reservations=reservations,
            concurrency=concurrency,
            ahead=ahead,
            models={model.key: model for model in (*(cell.model for cell in cells), *models)},
            limits=dict(limits or {}),
            credentials=Credentials(credentials_poll_s, credentials_wait_s),
            clock=clock,
        )
        self._line = TrialLine(
            iter(trials), self._model_of, {cell.name: floor_usd(cell) for cell in cells}
        )
        self._watch = FailureWatch(max_failed or MaxFailed(), finished=finished, failed=failed)
        self._idle: deque[_Seat] = deque()
        self._held: dict[int, Held] = {}
        self._outcomes: SimpleQueue[Outcome | None] = SimpleQueue()
        self._concurrency, self._ahead = concurrency, ahead
        #: Of each outcome that is not safe yet, whether it holds a place.
        self._untaken: deque[bool] = deque()
        #: Since when another trial could be handed out; None while none can.
        self._room_since: float | None = clock()
        self._last_ticket = 0

    # -- for workers ---------------------------------------------------------------------------

    def next_trial(self, worker: str) -> Ticket | None:
        """The next trial to answer; blocks until there is one; None when there will be none."""
        with self._lock:
            seat = _Seat(worker, self._clock(), Condition(self._lock))
            self._idle.append(seat)
            while True:
                due = self._dispatch()
                if seat.ticket is not None:
                    return seat.ticket
                if self._stops.is_over:
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
        held = None if call.ticket is None else self._held.get(call.ticket)
        if held is None and call.ticket is not None:
            return Refusal.STOPPING
        return self._desk.admit(call, size, held, delay_seconds)

    def settle(self, attempt: int, settlement: Settlement) -> bool:
        """Put what the call came to in its reservation's place; frees money and pace.

        True while the model is starved: it throttles every call.
        """
        with self._lock:
            is_starved = self._desk.settle(attempt, settlement)
            self._wake_leader()
            return is_starved

    def deliver(self, ticket: int, outcome: Outcome) -> None:
        """Take the outcome of a trial; outcomes of tickets that were called back are dropped."""
        with self._lock:
            held = self._release(ticket)
            if held is None:
                return
            self._desk.waste(held.attempts, error_type="Unsettled")
            self._watch.add(held.model_key, has_failed=not outcome.succeeded)
            self._untaken.append(held.has_place)
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
            self._free_place(held.has_place)
            held.waiting.carried = carried
            if refusal is Refusal.BUDGET and worst_usd is not None:
                self._line.put_aside(held.waiting, worst_usd)
            elif refusal is Refusal.LATER:
                self._line.put_back(held.waiting)
            self._wake_leader()

    def stop_model(self, model_key: str, reason: str) -> None:
        """Send nothing more of this model; other models' trials go on."""
        self._stops.stop_model(model_key, reason)

    def fail(self, reason: str, cause: FinragEvalError | None = None) -> None:
        """Stop for something that no trial can help."""
        self._stops.fail(reason, cause)

    def notice(self, line: str) -> None:
        """Say one line to whoever watches the sweep."""
        self._stops.notice(line)

    # -- for the driver ------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """How many workers it keeps busy, those that make trials ready included."""
        return self._concurrency + self._ahead

    def stop(self, reason: StopReason = "interrupted") -> None:
        """Start no more calls; those in flight are awaited. The first reason is kept."""
        self._stops.stop(reason)

    @property
    def reason(self) -> StopReason | None:
        """Why no more trials are handed out; None while they are."""
        return self._stops.reason

    @property
    def is_over(self) -> bool:
        """Whether no more trials are handed out."""
        return self._stops.is_over

    @property
    def stopped_models(self) -> Mapping[str, str]:
        """The model keys that were stopped, each with its reason."""
        return self._stops.models

    @property
    def error(self) -> str | None:
        """What made the gate fail; None where nothing did."""
        return self._stops.error

    @property
    def cause(self) -> FinragEvalError | None:
        """The error behind ``error``, where it was one of this program's."""
        return self._stops.cause

    def outcomes(self) -> SimpleQueue[Outcome | None]:
        """Where delivered outcomes come out; ``close`` puts None behind the last.

        ``taken`` is to be said of each.
        """
        return self._outcomes

    @property
    def has_outcomes(self) -> bool:
        """Whether another outcome waits to come out."""
        return not self._outcomes.empty()

    def taken(self) -> None:
        """An outcome is in safe hands: its place is free for another trial.

        Until then it holds its place, so that answers which a dying driver could lose and calls
        in flight are never more than the sweep's concurrency.
        """
        with self._lock:
            self._free_place(self._untaken.popleft())
            self._wake_leader()

    def close(self) -> None:
        """Count calls still in flight at their worst case, and end the stream of outcomes."""
        with self._lock:
            self.stop("interrupted")
            self._desk.waste_all()
            self._held.clear()
            if self.reason in ("done", "budget") and self._watch.verdict():
                self._stops.reason = "max_failed"
            self._outcomes.put(None)

    def lose(self, worker: str) -> None:
        """A worker died: its calls may have been billed, its trials go back into the line."""
        with self._lock:
            numbers = [number for number, held in self._held.items() if held.worker == worker]
            for number in numbers:
                held = self._held[number]
                wasted = self._desk.waste(held.attempts, error_type="WorkerLost")
                self._release(number)
                self._free_place(held.has_place)
                held.waiting.carried = _after_loss(held.waiting.carried, wasted)
                self._line.put_back(held.waiting)
            self._wake_leader()

    def snapshot(self) -> Snapshot:
        """Where the sweep is now, for a live display."""
        with self._lock:
            return Snapshot(
                finished=self._watch.finished,
                failed=self._watch.failed,
                in_flight=self._desk.in_flight,
                held=max(0, len(self._held) - self._places.waiting),
                set_aside=self._line.set_aside,
                spent_usd=self._budget.spent,
                reserved_usd=self._budget.reserved,
                reason=self.reason,
                models=self._desk.snapshot(),
            )

    # -- handing out ---------------------------------------------------------------------------

    def _dispatch(self) -> float | None:
        """Hand trials to idle workers; seconds until a limit lets more through, if one does."""
        if self._stops.is_over:
            return None
        due: dict[str, float | None] = {}

        def is_open(model_key: str) -> bool:
            if model_key not in due:
                due[model_key] = self._desk.seconds_until_open(model_key, self._held.values())
            return due[model_key] == 0.0

        while self._idle and self._has_room():
            waiting = self._line.pop(is_open, self._budget.fits)
            if waiting is None:
                break
            self._hand_out(waiting, self._idle.popleft())
            due.pop(self._model_of[waiting.trial.cell], None)
        if self._idle:
            self._finish_if_done()
        waits = [seconds for seconds in due.values() if seconds]
        return min(1.0, *waits) if waits else None

    def _hand_out(self, waiting: Waiting, seat: _Seat) -> None:
        model_key = self._model_of[waiting.trial.cell]
        held = Held(seat.worker, waiting, model_key)
        if not self._ahead:
            self._places.take(model_key)
            held.has_place = True
        if waiting.worst_usd is not None:
            held.reservation = self._budget.reserve(
                model_key, waiting.trial.cell, waiting.worst_usd
            )
        limits = self._desk.limits_of(model_key)
        limits.under_way += 1
        limits.ahead += 1
        self._last_ticket += 1
        self._held[self._last_ticket] = held
        since = seat.since if self._room_since is None else max(seat.since, self._room_since)
        waited = waiting.carried.waited_seconds + self._clock() - since
        seat.ticket = Ticket(
            number=self._last_ticket,
            trial=waiting.trial,
            carried=replace(waiting.carried, waited_seconds=waited),
        )
        seat.wake.notify()
        self._wake_leader()

    def _release(self, ticket: int) -> Held | None:
        held = self._held.pop(ticket, None)
        if held is not None:
            limits = self._desk.limits_of(held.model_key)
            limits.under_way -= 1
            limits.ahead -= held.is_ahead
            if held.has_place:
                self._places.leave(held.model_key)
            if held.reservation is not None:
                self._budget.settle(held.reservation, Decimal(0))
        return held

    def _free_place(self, had_place: bool) -> None:
        if had_place:
            self._places.free()

    def _finish_if_done(self) -> None:
        if self._held or self._desk.in_flight or self._budget.in_flight:
            return
        self._line.close_unaffordable(self._budget.could_fit)
        if self._line.is_empty():
            self.stop("budget" if self._line.unaffordable else "done")

    def _wake_leader(self) -> None:
        """Free places go to calls that are ready; then the longest idle worker may have a trial.

        It watches the clock for all; where no trial may be handed out, in vain.
        """
        self._places.let_in()
        if not self._has_room():
            self._room_since = None
            return
        if self._room_since is None:
            self._room_since = self._clock()
        if self._idle:
            self._idle[0].wake.notify()

    def _has_room(self) -> bool:
        return len(self._held) + len(self._untaken) < self._concurrency + self._ahead

    def _wake_all(self) -> None:
        self._places.wake_all()
        for seat in self._idle:
            seat.wake.notify()

    def _let_go_of_model(self, model_key: str) -> None:
        self._line.close_model(model_key)
        self._watch.stop_model(model_key)
        self._places.wake_all()
        self._wake_leader()


def floor_usd(cell: Cell) -> Decimal:
    """The least that one call of any trial of a cell can have as its worst case."""
    return worst_case_usd(cell.model, len(cell.prompts.system_text.encode(errors="replace")))


def _after_loss(carried: Carried, wasted_usd: Decimal) -> Carried:
    return replace(
        carried,
        losses=carried.losses + 1,
        retries=carried.retries + 1,
        wasted_usd=carried.wasted_usd + wasted_usd,
    )
