"""Where a running sweep is, and who looks on.

Enters: the gate's snapshots. Leaves: ``Progress``, four times a second, to a ``Watch``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from threading import Event, Thread
from typing import Protocol

from finrag_eval.execute.snapshots import Snapshot

_EVERY_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a running sweep is; ``done`` counts what earlier sessions did, too."""

    done: int
    total: int
    snapshot: Snapshot
    max_usd: Decimal | None

    def line(self) -> str:
        """The state beside a progress bar: failures, calls in flight, money, waits."""
        now = self.snapshot
        money = f"${now.spent_usd:.4f}" + (f" of ${self.max_usd}" if self.max_usd else "")
        parts = [f"{now.failed} failed"] if now.failed else []
        parts += [f"{now.in_flight} in flight", money]
        if waiting := now.held - now.in_flight:
            parts.append(f"{waiting} waiting")
        if now.set_aside:
            parts.append(f"{now.set_aside} set aside")
        return ", ".join(parts)


class Watch(Protocol):
    """Who looks on: a terminal, a log, or nobody."""

    def notice(self, line: str) -> None: ...
    def start(self, what: str, *, total: int, done: int, unit: str = "trial") -> None: ...
    def progress(self, now: Progress) -> None: ...
    def advance(self, done: int) -> None: ...
    def close(self) -> None: ...


@contextmanager
def shown_live(watch: Watch, state: Callable[[], Progress]) -> Iterator[None]:
    """Show the state while the body runs, whether trials finish or not, and once at its end.

    It is taken by a thread of its own: calls, ledger and scores never wait for a display.
    """
    is_over = Event()

    def show() -> None:
        while not is_over.wait(_EVERY_S):
            watch.progress(state())

    shower = Thread(target=show, name="progress", daemon=True)
    shower.start()
    try:
        yield
    finally:
        is_over.set()
        shower.join()
        watch.progress(state())
