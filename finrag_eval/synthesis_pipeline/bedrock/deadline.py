"""A deadline for a whole HTTP exchange, which no socket timeout gives.

A read timeout bounds the silence between two reads; a server that drips a byte a second stays
under it for ever. Here one thread per process watches the sockets of all calls and shuts down
those past their deadline, which wakes whoever reads from them.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from finrag_eval.turns import TURNS


class WatchedCall:
    """One call under a deadline (``time.monotonic``); ``is_cut`` once it was shut down.

    ``is_unsent`` where it was over before anything was sent.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_cut = self.is_unsent = False
        self._connection: Any = None
        self._socket: Any = None

    def uses(self, connection: Any) -> None:
        """The call goes over this connection from here on; TimeoutError where it is too late."""
        self._connection, self._socket = connection, connection.sock
        connection.watched_call = self
        if self.is_cut:  # while it was not on any socket yet, so that nothing was shut down
            self.is_unsent = True
            raise TimeoutError("the call's deadline passed before it was sent")

    def cut(self) -> None:
        """Shut the call's socket down, unless another call has it by now."""
        self.is_cut = True
        if self._socket is None or self._connection.watched_call is not self:
            return
        with suppress(OSError, ValueError):
            if isinstance(self._socket, socket.socket):
                # Not SSLSocket's own method: that one would unwrap TLS under the reader's feet.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            else:
                self._socket.close()


class Watchdog:
    """Cuts calls that are past their deadline; its thread runs while there are any."""

    def __init__(self) -> None:
        self._calls: set[WatchedCall] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0
        self._current = threading.local()

    @contextmanager
    def watching(self, deadline: float | None) -> Iterator[WatchedCall | None]:
        """Cut what this thread sends while the context lasts, when ``deadline`` has passed."""
        if deadline is None:
            yield None
            return
        call = WatchedCall(deadline)
        self._add(call)
        self._current.call = call
        try:
            yield call
        finally:
            self._current.call = None
            with self._changed:
                self._calls.discard(call)

    def current(self) -> WatchedCall | None:
        """The call that this thread is making."""
        call: WatchedCall | None = getattr(self._current, "call", None)
        return call

    def _add(self, call: WatchedCall) -> None:
        with self._changed:
            self._calls.add(call)
            if self._thread is None or not self._thread.is_alive():
                self._wakes_at = call.deadline
                self._thread = threading.Thread(
                    target=self._watch, name="finrag-eval-deadlines", daemon=True
                )
                self._thread.start()
            elif call.deadline < self._wakes_at:
                self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for call in [call for call in self._calls if call.deadline <= now]:
                    self._calls.discard(call)
                    call.cut()
                soonest = min((call.deadline for call in self._calls), default=now + 60.0)
                self._wakes_at = soonest
                self._changed.wait(max(0.0, soonest - now))


_WATCHDOG = Watchdog()


def watching(deadline: float | None) -> Any:
    """``Watchdog.watching`` of this process."""
    return _WATCHDOG.watching(deadline)


def watch_connections(client: Any) -> None:
    """Make a boto3 client's connections known to the watchdog.

    boto3 has no public place for this: its HTTP session takes its pool classes from two
    attributes. Should they ever move, calls go on without a deadline of their own (the read
    timeout holds), and tests/synthesis_pipeline/test_bedrock_deadline.py fails.
    """
    with suppress(AttributeError):
        session = client._endpoint.http_session
        classes = _watched_pools(session._pool_classes_by_scheme)
        session._pool_classes_by_scheme = classes
        session._manager.pool_classes_by_scheme = classes


def _watched_pools(classes: dict[str, Any]) -> dict[str, Any]:
    return {scheme: _watched_pool(pool) for scheme, pool in classes.items()}


def _watched_pool(pool: Any) -> Any:
    connection = pool.ConnectionCls

    def connect(self: Any) -> Any:
        with TURNS.away():
            made = connection.connect(self)
        if (call := _WATCHDOG.current()) is not None:
            call.uses(self)
        return made

    def request(self: Any, *arguments: Any, **named: Any) -> Any:
        if (call := _WATCHDOG.current()) is not None:
            call.uses(self)
        try:
            return connection.request(self, *arguments, **named)
        finally:
            TURNS.give()  # the answer is waited for

    watched = type(
        f"Watched{connection.__name__}",
        (connection,),
        {"connect": connect, "request": request, "watched_call": None},
    )
    return type(f"Watched{pool.__name__}", (pool,), {"ConnectionCls": watched})
