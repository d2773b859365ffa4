"""What this room needs of others, and what passes between workers and the driver's gate.

Everything that crosses is a plain value that pickles: workers may be threads, processes or
machines. Knows no implementation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Protocol

from finrag_eval.domain import (
    ModelConfig,
    ModelReply,
    ModelRequest,
    Outcome,
    Purpose,
    Trial,
    Usage,
)

#: What became of an attempt: its answer was kept, or paid for in vain, or it cost nothing.
AttemptState = Literal["kept", "wasted", "free"]


class Refusal(StrEnum):
    """Why a call may not start."""

    BUDGET = "budget"
    MODEL_STOPPED = "model_stopped"
    STOPPING = "stopping"
    LATER = "later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a trial has been through before it was handed out (again).

    ``active_seconds`` counts towards ``timeout_s``; ``waited_seconds`` does not all.
    """

    retries: int = 0
    losses: int = 0
    waited_seconds: float = 0.0
    active_seconds: float = 0.0
    wasted_usd: Decimal = Decimal(0)
    retrieval_cost_usd: Decimal = Decimal(0)
    faults: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One trial in a worker's hands. The worker delivers its outcome or gives it back."""

    number: int
    trial: Trial
    carried: Carried


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSize:
    """What decides whether a call may start: its worst case, and its weight for the limits."""

    worst_usd: Decimal
    prompt_bytes: int
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFor:
    """Whom a call is for; ``ticket`` None is a call beside the trials, such as a judge's."""

    trial_key: str
    cell: str
    model_key: str
    purpose: Purpose = "target"
    ticket: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Leave to send one call, now: its reservation is on disk.

    ``waited_seconds`` for limits, pauses and the disk; ``queued_seconds`` more until a call before
    it was done. ``renewal`` grows when credentials have to be read anew before the call.
    """

    attempt: int
    waited_seconds: float
    queued_seconds: float = 0.0
    renewal: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What came of an attempt; ``fault`` is the class of its fault, None of an answer."""

    billed_usd: Decimal
    state: AttemptState
    usage: Usage | None = None
    fault: str | None = None
    error_type: str | None = None
    message: str = ""


class GateDoor(Protocol):
    """The gate as workers see it, in the driver's process or through a connection."""

    def next_trial(self, worker: str) -> Ticket | None: ...
    def admit(
        self, call: CallFor, size: CallSize, *, delay_seconds: float = 0.0
    ) -> Admission | Refusal: ...
    def settle(self, attempt: int, settlement: Settlement) -> bool: ...
    def give_back(
        self, ticket: int, refusal: Refusal, carried: Carried, worst_usd: Decimal | None = None
    ) -> None: ...
    def deliver(self, ticket: int, outcome: Outcome) -> None: ...
    def stop_model(self, model_key: str, reason: str) -> None: ...
    def fail(self, reason: str) -> None: ...
    def notice(self, line: str) -> None: ...


class Target(Protocol):
    """What is evaluated. Delivers an outcome, or gives the ticket back, for every ticket."""

    def answer(self, ticket: Ticket, gate: GateDoor) -> None: ...


class ModelClient(Protocol):
    """Who answers a model request; raises ``ModelFault``.

    A client with credentials also has ``renew(renewal: int)``, which reads them anew once for
    each greater number; one that is slow to make has ``prepare(model)``, called before each call.
    """

    def converse(
        self, request: ModelRequest, *, timeout_s: float, deadline: float | None = None
    ) -> ModelReply: ...


class Reservations(Protocol):
    """The ledger, as far as money in flight goes."""

    def reserve(
        self, *, trial_key: str, cell: str, model_key: str, purpose: Purpose, usd: Decimal
    ) -> int:
        """The number of a new attempt, once it is on disk; raises FinragEvalError."""
        ...

    def settle(
        self,
        attempt_id: int,
        *,
        billed_usd: Decimal,
        state: AttemptState,
        error_type: str | None = None,
    ) -> None:
        """Put down what the attempt came to; does not wait for the disk."""
        ...

    def flush(self) -> None:
        """Return when all that was put down before is on disk; raises FinragEvalError."""
        ...


class ClientFor(Protocol):
    """Picks the client of a model."""

    def __call__(self, model: ModelConfig) -> ModelClient: ...
