"""One writer a sweep: ``ledger.lock``, held by flock, with the holder's pid and host inside.

Enters: a sweep's folder. Leaves: a held lock, or who holds it. The kernel lets go of the lock
when its process ends, however it ends, so a lock file without a holder means nothing.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

from finrag_eval.errors import SweepInUse

LOCK_FILE = "ledger.lock"

# A listing that looks who holds the lock holds it, too, for some microseconds.
_TRIES, _PAUSE_SECONDS = 10, 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who wrote the lock file last; None where it cannot be read."""

    pid: int | None
    host: str | None


class SweepLock:
    """The right to write one sweep, from ``acquire`` to ``release``."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor
        _held.add(self)

    @classmethod
    def acquire(cls, folder: Path) -> SweepLock:
        """The lock of this folder's sweep; SweepInUse with the holder's pid and host."""
        path = folder / LOCK_FILE
        for attempt in range(_TRIES):
            descriptor = _try(path)
            if descriptor is not None:
                _write_holder(descriptor)
                return cls(path, descriptor)
            if attempt + 1 < _TRIES:
                time.sleep(_PAUSE_SECONDS)
        holder = _read_holder(path)
        raise SweepInUse(folder.name, holder.pid, holder.host)

    def release(self, *, remove: bool = False) -> None:
        """Let go of the lock, and of its file where ``remove``; a second call does nothing."""
        if self._descriptor is None:
            return
        if remove:
            self._path.unlink(missing_ok=True)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


_held: weakref.WeakSet[SweepLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    """A forked child shares the lock; unless it closes it, a dead parent still holds it."""
    for lock in list(_held):
        lock._close()


os.register_at_fork(after_in_child=_forget_in_child)


def holder_of(folder: Path) -> Holder | None:
    """Who is writing this folder's sweep now; None where nobody is."""
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(path)
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(descriptor)


def _try(path: Path) -> int | None:
    """A locked descriptor of the file that has this path now; None where another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        here, there = os.fstat(descriptor), os.stat(path)
        if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _write_holder(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)


def _read_holder(path: Path) -> Holder:
    try:
        pid, _, host = path.read_text(encoding="utf-8").strip().partition(" ")
        return Holder(pid=int(pid), host=host or None)
    except (OSError, ValueError):
        return Holder(pid=None, host=None)
