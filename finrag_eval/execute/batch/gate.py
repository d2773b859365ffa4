"""The gate of a sweep whose calls are records of batch jobs.

Enters and leaves: as at any gate. Trials are drawn without waiting for limits, a record's money is
reserved in memory while its job is being made, and calls in flight outlive the session: when it
ends, records of jobs stay open for the next one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from threading import Condition
from typing import Any

from finrag_eval.domain import BatchRecord, Cell, Trial
from finrag_eval.execute.budget import Budget
from finrag_eval.execute.doorways import Refusal, Reservations, Settlement, Ticket
from finrag_eval.execute.gate import Gate, _Seat
from finrag_eval.execute.line import Waiting
from finrag_eval.execute.snapshots import Snapshot

_WORKER = "batch"
_NOTHING = Decimal(0)


class BatchGate(Gate):
    """A gate for ``batch_out``; trials that an earlier session put into a job are adopted."""

    def __init__(
        self,
        trials: Iterable[Trial],
        cells: Iterable[Cell],
        *,
        budget: Budget,
        reservations: Reservations,
        **others: Any,
    ) -> None:
        self._adopted: set[str] = set()
        fresh = (trial for trial in trials if trial.key not in self._adopted)
        super().__init__(fresh, cells, budget=budget, reservations=reservations, **others)
        self._reservations = reservations
        self._submitted: dict[int, int] = {}
        self._unplanned: set[int] = set()

    def adopt(self, model_key: str, record: BatchRecord, trial: Trial | None) -> Ticket | None:
        """The ticket of a trial that is in a job already; None where it is planned no more.

        Its reservation counts either way. To be called before anything is drawn.
        """
        with self._lock:
            self._submitted[record.attempt] = self._budget.adopt(
                model_key, record.cell, record.reserved_usd
            )
            if trial is None:
                self._unplanned.add(record.attempt)
                return None
            self._adopted.add(trial.key)
            return self._ticket_of(Waiting(0, trial))

    def draw(self) -> Ticket | None:
        """The next trial that may be prepared; None where there is none now. Does not block."""
        with self._lock:
            if self._stops.is_over:
                return None
            waiting = self._line.pop(lambda model_key: True, self._budget.fits)
            if waiting is None:
                self._finish_if_done()
                return None
            return self._ticket_of(waiting)

    def is_short_of_money(self) -> bool:
        """Whether trials are left that ``draw`` does not give: nothing but money holds them."""
        with self._lock:
            return self._line.has_more()

    def reserve(self, ticket: int, usd: Decimal) -> Refusal | None:
        """Reserve a record's worst case, in memory; why not, where it may not go."""
        with self._lock:
            held = self._held.get(ticket)
            if held is None or self._stops.is_over:
                return Refusal.STOPPING
            if held.model_key in self._stops.models:
                return Refusal.MODEL_STOPPED
            if held.reservation is not None:
                self._budget.settle(held.reservation, _NOTHING)
            cell = held.waiting.trial.cell
            held.reservation = self._budget.reserve(held.model_key, cell, usd)
            return Refusal.BUDGET if held.reservation is None else None

    def submitted(self, ticket: int, attempt: int) -> None:
        """The trial is in a job, as that attempt: its reservation is on disk now."""
        with self._lock:
            held = self._held[ticket]
            assert held.reservation is not None
            self._submitted[attempt], held.reservation = held.reservation, None

    def settle_record(self, attempt: int, settlement: Settlement) -> None:
        """Put what a record came to in its reservation's place."""
        with self._lock:
            reservation = self._submitted.pop(attempt, None)
            self._unplanned.discard(attempt)
            if reservation is None:
                return
            is_bounded = self._budget.settle(reservation, settlement.billed_usd)
            self._reservations.settle(
                attempt,
                billed_usd=settlement.billed_usd,
                state=settlement.state,
                error_type=settlement.error_type,
            )
        if not is_bounded:
            self.notice(f"a record cost {settlement.billed_usd} USD, more than its worst case")

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or when the gate is over."""
        ends = self._clock() + seconds
        changed: Condition = self._stops.changed
        with changed:
            while not self.is_over and (left := ends - self._clock()) > 0:
                changed.wait(left)

    def snapshot(self) -> Snapshot:
        """Where the sweep is now; its trials at the vendor are in flight."""
        with self._lock:
            now = super().snapshot()
            at_vendor = len(self._submitted) - len(self._unplanned)
            return replace(now, in_flight=now.in_flight + at_vendor)

    def _ticket_of(self, waiting: Waiting) -> Ticket:
        seat = _Seat(_WORKER, self._clock(), Condition(self._lock))
        self._hand_out(waiting, seat)
        assert seat.ticket is not None
        return seat.ticket
