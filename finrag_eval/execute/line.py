"""Trials in line: drawn lazily, queued by cell, set aside when they do not fit the budget.

Enters: an iterator of trials, and questions to the budget and the limits. Leaves: the next trial
that may be prepared. One cell's limits never hold up another's trials. Knows no thread.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from finrag_eval.domain import Trial
from finrag_eval.execute.doorways import Carried

#: How many drawn trials may stand in line: a model that is ten times slower than another must
#: not stop it, and a hundred thousand trials must not be in memory.
LOOK_AHEAD = 10_000
#: Once that many trials of a cell were prepared and did not fit, those not prepared yet are taken
#: to be no smaller than the smallest of them.
_PREPARED_AT_MOST = 500

Fits = Callable[[str, str, Decimal], bool]
IsOpen = Callable[[str], bool]


@dataclass(slots=True, order=True)
class Waiting:
    """A trial in line; ``worst_usd`` None was never prepared."""

    position: int
    trial: Trial = field(compare=False)
    carried: Carried = field(compare=False, default=Carried())
    worst_usd: Decimal | None = field(compare=False, default=None)


class _Queue:
    """One cell's trials: ``fresh`` in order, ``aside`` by worst case."""

    def __init__(self, cell: str, model_key: str, floor_usd: Decimal) -> None:
        self.cell, self.model_key, self.floor_usd = cell, model_key, floor_usd
        self.fresh: deque[Waiting] = deque()
        self.aside: list[tuple[Decimal, Waiting]] = []

    def least_usd(self) -> Decimal:
        """A lower bound of what the next fresh trial needs."""
        if len(self.aside) < _PREPARED_AT_MOST:
            return self.floor_usd
        return self.aside[0][0]


class TrialLine:
    """All trials that no worker holds.

    ``models`` names each cell's model key; ``floors_usd`` bounds from below what any trial of a
    cell can need, so that trials which cannot fit are not even prepared.
    """

    def __init__(
        self,
        trials: Iterator[Trial],
        models: Mapping[str, str],
        floors_usd: Mapping[str, Decimal],
        look_ahead: int = LOOK_AHEAD,
    ) -> None:
        self._trials = trials
        self._queues = {
            cell: _Queue(cell, model_key, floors_usd.get(cell, Decimal(0)))
            for cell, model_key in models.items()
        }
        self._closed: dict[str, bool] = {}
        self._look_ahead = look_ahead
        self._drawn = 0
        self._queued = 0
        self._is_drawn_out = False
        self.unaffordable = 0

    @property
    def set_aside(self) -> int:
        """How many trials were prepared and wait for money."""
        return sum(len(queue.aside) for queue in self._queues.values())

    @property
    def queued(self) -> int:
        """How many drawn trials wait for a worker or a limit."""
        return self._queued

    def waiting_models(self) -> set[str]:
        """The model keys of all trials in line."""
        return {queue.model_key for queue in self._queues.values() if queue.fresh or queue.aside}

    def pop(self, is_open: IsOpen, fits: Fits) -> Waiting | None:
        """The next trial whose model is open and that may fit; None where there is none now."""
        return self._pop_aside(is_open, fits) or self._pop_fresh(is_open, fits)

    def put_back(self, waiting: Waiting) -> None:
        """Put a trial back to where it stood."""
        queue = self._queues[waiting.trial.cell]
        if queue.cell in self._closed:
            return
        queue.fresh.appendleft(waiting)
        self._queued += 1

    def put_aside(self, waiting: Waiting, worst_usd: Decimal) -> None:
        """Keep a prepared trial until ``worst_usd`` fits."""
        queue = self._queues[waiting.trial.cell]
        if queue.cell not in self._closed:
            waiting.worst_usd = worst_usd
            heapq.heappush(queue.aside, (worst_usd, waiting))

    def close_model(self, model_key: str) -> None:
        """Let go of all trials of a model, those not drawn yet included."""
        for queue in self._queues.values():
            if queue.model_key == model_key:
                self._close(queue, is_for_money=False)

    def close_unaffordable(self, could_fit: Fits) -> None:
        """Let go of trials that can never fit any more, and count them."""
        for queue in self._queues.values():
            kept = [entry for entry in queue.aside if self._could(could_fit, queue, entry[0])]
            self.unaffordable += len(queue.aside) - len(kept)
            heapq.heapify(kept)
            is_too_dear = not self._could(could_fit, queue, queue.least_usd())
            queue.aside = kept
            if is_too_dear and not kept and queue.cell not in self._closed:
                self.unaffordable += len(queue.fresh)
                self._close(queue, is_for_money=True)

    def has_more(self) -> bool:
        """Whether a trial is in line, or can still be drawn."""
        return bool(self._queued or self.set_aside) or self._draw() is not None

    def is_empty(self) -> bool:
        """Whether no trial is left that could still be handed out."""
        if self._queued or self.set_aside:
            return False
        if len(self._closed) == len(self._queues):
            self._draw()
        return self._is_drawn_out

    def _could(self, could_fit: Fits, queue: _Queue, usd: Decimal) -> bool:
        return could_fit(queue.model_key, queue.cell, usd)

    def _close(self, queue: _Queue, *, is_for_money: bool) -> None:
        self._queued -= len(queue.fresh)
        queue.fresh.clear()
        queue.aside.clear()
        self._closed[queue.cell] = is_for_money

    def _pop_aside(self, is_open: IsOpen, fits: Fits) -> Waiting | None:
        for queue in self._queues.values():
            if (
                queue.aside
                and is_open(queue.model_key)
                and fits(queue.model_key, queue.cell, queue.aside[0][0])
            ):
                return heapq.heappop(queue.aside)[1]
        return None

    def _pop_fresh(self, is_open: IsOpen, fits: Fits) -> Waiting | None:
        ready = [
            queue
            for queue in self._queues.values()
            if queue.fresh and self._may_start(queue, is_open, fits)
        ]
        if ready:
            return self._pop_from(min(ready, key=lambda queue: queue.fresh[0]))
        if not any(self._may_start(queue, is_open, fits) for queue in self._queues.values()):
            return None
        while (drawn := self._draw()) is not None:
            if self._may_start(drawn, is_open, fits):
                return self._pop_from(drawn)
        return None

    def _may_start(self, queue: _Queue, is_open: IsOpen, fits: Fits) -> bool:
        return (
            queue.cell not in self._closed
            and is_open(queue.model_key)
            and fits(queue.model_key, queue.cell, queue.least_usd())
        )

    def _pop_from(self, queue: _Queue) -> Waiting:
        self._queued -= 1
        return queue.fresh.popleft()

    def _draw(self) -> _Queue | None:
        """The queue of the next trial that was drawn; None where no more may be drawn."""
        while not self._is_drawn_out and self._queued < self._look_ahead:
            trial = next(self._trials, None)
            if trial is None:
                self._is_drawn_out = True
                break
            self._drawn += 1
            queue = self._queues[trial.cell]
            if queue.cell in self._closed:
                self.unaffordable += self._closed[queue.cell]
                continue
            queue.fresh.append(Waiting(self._drawn, trial))
            self._queued += 1
            return queue
        return None
