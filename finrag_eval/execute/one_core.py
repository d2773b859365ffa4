"""This process's threads on one core, while they do nothing but wait for calls.

Under Python's one lock no two of them run at once, so that a second core brings them nothing; but
to wake a thread on another core costs 110 to 200 us in a virtual machine, and 20 us on the same
one. With 16 calls at once that take no time, a trial takes 4.4 ms of CPU on one core and 5.0 ms on
two (2026-11-29). Other processes, such as the recorder, have the other cores to themselves.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")
_THIS_THREAD = Path("/proc/thread-self/stat")
#: The core that a thread ran on last, counted behind its name (proc(5), field 39).
_CORE_FIELD = 36


@contextmanager
def on_one_core(claim: str = "finrag-eval core") -> Iterator[int | None]:
    """Keep all threads of this process, and those that they start, on one core; which one.

    None, and nothing is changed, where there is no choice: on systems other than Linux, with one
    core, or where other sweeps of this machine (or of this container), which ``claim`` by the same
    name, have all cores already. For threads that compute outside of Python's lock this is a loss.
    """
    with ExitStack() as claims:
        core = _claimed_core(claim, claims) if sys.platform == "linux" else None
        if core is None:
            yield None
            return
        before = os.sched_getaffinity(0)
        try:
            _keep_on({core})
            yield core
        finally:
            _keep_on(before)


def _claimed_core(name: str, claims: ExitStack) -> int | None:
    """The core this thread is on, or another one, that nobody has claimed yet."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return None
    with suppress(OSError, ValueError, IndexError):
        here = int(_THIS_THREAD.read_text().rpartition(")")[2].split()[_CORE_FIELD])
        allowed.sort(key=lambda core: core != here)
    for core in allowed:
        with suppress(OSError), ExitStack() as attempt:
            claim = attempt.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            # A name without a file: it is gone with its process, however that ends.
            claim.bind(f"\0{name} {core}")
            claims.push(attempt.pop_all())
            return core
    return None


def _keep_on(cores: set[int]) -> None:
    with suppress(OSError):  # no /proc
        for thread in _THREADS.iterdir():
            with suppress(OSError):  # it has ended
                os.sched_setaffinity(int(thread.name), cores)
