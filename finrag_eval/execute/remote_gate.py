"""The gate across process borders: workers elsewhere call it through a connection.

Enters: connections that know the key. Leaves: answers of the gate. A worker's trials are lost
with its connection, so that a process killed in the middle is noticed at once. Each worker thread
has a connection of its own, since ``next_trial`` and ``admit`` block.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from multiprocessing.connection import Client, Connection, Listener
from threading import Thread
from typing import Any

from finrag_eval.domain import Outcome
from finrag_eval.execute.doorways import (
    Admission,
    CallFor,
    CallSize,
    Carried,
    GateDoor,
    Refusal,
    Settlement,
    Ticket,
)
from finrag_eval.turns import TURNS

_METHODS = frozenset(
    {
        "next_trial",
        "admit",
        "settle",
        "give_back",
        "deliver",
        "stop_model",
        "fail",
        "notice",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateAddress:
    """Where a served gate is, and the key that opens it. Keep it off disk and logs."""

    host: str
    port: int
    key: bytes


class ServedGate:
    """A gate that other processes can reach while this context lasts."""

    def __init__(self, gate: GateDoor, lose: Callable[[str], None], host: str) -> None:
        self._gate, self._lose = gate, lose
        self._key = secrets.token_bytes(32)
        self._listener = Listener((host, 0), backlog=128, authkey=self._key)
        self._is_open = True
        name, port = self._listener.address[:2]
        self.address = GateAddress(host=str(name), port=int(port), key=self._key)

    def __enter__(self) -> ServedGate:
        Thread(target=self._accept, name="finrag-eval-gate", daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_open = False
        with suppress(OSError):  # wakes the accepting thread, which closing alone does not
            socket.create_connection((self.address.host, self.address.port), 1.0).close()
        self._listener.close()

    def _accept(self) -> None:
        number = 0
        while self._is_open:
            try:
                connection = self._listener.accept()
            except Exception:
                # A caller without the key, one that left in the middle, or the listener's end.
                continue
            number += 1
            worker = f"remote-{number}"
            Thread(target=self._serve, args=(connection, worker), daemon=True).start()

    def _serve(self, connection: Connection[Any, Any], worker: str) -> None:
        try:
            with connection:
                while True:
                    method, arguments, named = connection.recv()
                    answer = self._answer(worker, method, arguments, named)
                    if isinstance(answer, Ticket) and connection.poll():
                        # Who waits for an answer sends nothing: its process died in the queue,
                        # and the trial did not die with it.
                        self._gate.give_back(answer.number, Refusal.LATER, answer.carried)
                        return
                    connection.send(answer)
        except (EOFError, OSError):
            pass
        finally:
            self._lose(worker)

    def _answer(
        self, worker: str, method: str, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        if method not in _METHODS:
            raise EOFError(method)
        if method == "next_trial":
            arguments = (worker,)
        return getattr(self._gate, method)(*arguments, **named)


class RemoteGate:
    """The gate as a worker thread in another process has it."""

    def __init__(self, address: GateAddress) -> None:
        self._connection = Client((address.host, address.port), authkey=address.key)

    def close(self) -> None:
        """Leave: trials still held are handed to others."""
        self._connection.close()

    def _ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        self._connection.send((method, arguments, named))
        return self._connection.recv()

    def next_trial(self, worker: str) -> Ticket | None:
        ticket: Ticket | None = self._ask("next_trial", worker)
        return ticket

    def admit(
        self, call: CallFor, size: CallSize, *, delay_seconds: float = 0.0
    ) -> Admission | Refusal:
        with TURNS.away():
            admission: Admission | Refusal = self._ask(
                "admit", call, size, delay_seconds=delay_seconds
            )
        return admission

    def settle(self, attempt: int, settlement: Settlement) -> bool:
        is_starved: bool = self._ask("settle", attempt, settlement)
        return is_starved

    def give_back(
        self, ticket: int, refusal: Refusal, carried: Carried, worst_usd: Decimal | None = None
    ) -> None:
        self._ask("give_back", ticket, refusal, carried, worst_usd)

    def deliver(self, ticket: int, outcome: Outcome) -> None:
        self._ask("deliver", ticket, outcome)

    def stop_model(self, model_key: str, reason: str) -> None:
        self._ask("stop_model", model_key, reason)

    def fail(self, reason: str) -> None:
        self._ask("fail", reason)

    def notice(self, line: str) -> None:
        self._ask("notice", line)
