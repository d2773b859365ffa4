"""Work done in a process beside this one, while this one goes on; where that fails, here.

Enters: a function without arguments. Leaves: what it gives, which must pickle. The process is a
fork: all that is loaded is there at once, which is what makes it worth while for half a second of
drawing. It uses nothing that this process has open, and ends without tidying up.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")

#: Seconds that the process beside lives and is waited for at most; then the work is done here.
_PATIENCE_S = 30
_PIECE = 1 << 20


class Beside(Generic[T]):
    """A context manager in which work goes on beside; ``result`` gives what came of it.

    Only where it ``may_fork``, and on Linux: other systems' libraries do not bear a fork. Else the
    work is done when its result is asked for.
    """

    def __init__(self, work: Callable[[], T], *, may_fork: bool) -> None:
        self._work = work
        self._child: tuple[int, int] | None = None
        self._may_fork = may_fork and sys.platform == "linux"

    def __enter__(self) -> Self:
        if self._may_fork:
            self._child = _forked(self._work)
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is None:
            return
        (process, pipe), self._child = self._child, None
        os.close(pipe)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)

    def result(self) -> T:
        """What the work gave. Raises what the work raises."""
        if self._child is None:
            return self._work()
        try:
            found: T = pickle.loads(_read(self._child[1]))
        except (pickle.UnpicklingError, EOFError):
            return self._work()
        return found


def _forked(work: Callable[[], Any]) -> tuple[int, int] | None:
    """A process and the pipe that its answer comes by; None where the system has no room for it."""
    answer, telling = os.pipe()
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of threads: they are not in the fork, and drawing needs none.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
    except OSError:
        os.close(answer)
        os.close(telling)
        return None
    if process == 0:
        try:
            # It has whatever this process holds open, and must not outlive it for long.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_PATIENCE_S)
            os.close(answer)
            with os.fdopen(telling, "wb") as pipe:
                pickle.dump(work(), pipe)
        finally:
            os._exit(0)
    os.close(telling)
    return process, answer


def _read(pipe: int) -> bytes:
    """All that comes until the other end is closed, or until patience ends."""
    pieces: list[bytes] = []
    until = time.monotonic() + _PATIENCE_S
    while select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]:
        piece = os.read(pipe, _PIECE)
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)
