"""How a sweep ended: its status and exit code, by the contract's sections 2 and 7."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finrag_eval.domain import SweepStatus
from finrag_eval.errors import LedgerUnwritable
from finrag_eval.execute.gates import Gates
from finrag_eval.stopping import Stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A session's end, at ``ended_at`` (epoch seconds).

    ``stopped_models`` are model keys with the reason why nothing more was sent to them.
    """

    status: SweepStatus
    exit_code: int
    ended_at: float = field(default_factory=time.time)
    stopped_models: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Values for JSON; ``Ending(**values)`` is this ending again."""
        return {
            "status": self.status,
            "exit_code": self.exit_code,
            "ended_at": self.ended_at,
            "stopped_models": dict(self.stopped_models),
        }


def ending_of(
    gates: Gates,
    ledger_failure: LedgerUnwritable | None,
    stopping: Stopping,
    *,
    failed: int,
) -> Ending:
    """The end of a session: interrupted, failed, out of budget, partial or completed.

    ``failed`` is the number of trials without an answer.

    Raises what made the ledger unwritable: then nothing more can be said for sure.
    """
    if ledger_failure is not None:
        raise ledger_failure
    if stopping.exit_code is not None:
        return Ending(status="interrupted", exit_code=stopping.exit_code)
    stopped = gates.stopped_models
    match gates.reason:
        case None | "interrupted" | "credentials":
            return Ending(status="interrupted", exit_code=130, stopped_models=stopped)
        case "max_failed":
            return Ending(status="failed", exit_code=5, stopped_models=stopped)
        case "budget":
            return Ending(status="budget_stopped", exit_code=3, stopped_models=stopped)
    is_partial = failed > 0 or bool(stopped)
    return Ending(
        status="partial" if is_partial else "completed", exit_code=0, stopped_models=stopped
    )
