"""Ctrl-C, SIGTERM and SIGHUP: once stops cleanly, twice at once.

Enters: signals. Leaves: a stopped gate and the exit code to end with. Works in the main thread
alone, as Python's signals do; elsewhere it changes nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

#: By signal: Ctrl-C, a polite end, and a terminal that went away (unless under ``nohup``).
_EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


class StopAtOnce(BaseException):
    """A second signal came: leave now. What is on disk is whole."""


@dataclass(slots=True)
class Stopping:
    """Which signal came, if one did; ``exit_code`` is None while none has."""

    exit_code: int | None = None
    is_urgent: bool = False


@contextmanager
def stops_on_signals(stop: Callable[[], None]) -> Iterator[Stopping]:
    """While inside: the first signal calls ``stop``, the second one raises ``StopAtOnce``."""
    state = Stopping()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return

    def take(number: int, frame: FrameType | None) -> None:
        if state.exit_code is None:
            state.exit_code = _EXIT_CODES[signal.Signals(number)]
            stop()
        else:
            state.is_urgent = True
            raise StopAtOnce

    before: dict[int, Any] = {
        number: signal.signal(number, take)
        for number in _EXIT_CODES
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield state
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
