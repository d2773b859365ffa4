"""How a sweep ended: its status and exit code, by the contract's sections 2 and 7."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from finrag_eval.domain import SweepStatus
from finrag_eval.errors import LedgerUnwritable
from finrag_eval.execute.gate import Gate
from finrag_eval.stopping import Stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A session's end. ``stopped_models`` are model keys with the reason why nothing was sent."""

    status: SweepStatus
    exit_code: int
    stopped_models: Mapping[str, str] = field(default_factory=dict)
    spent_usd: Decimal | None = None


def ending_of(
    gate: Gate | None, ledger_failure: LedgerUnwritable | None, stopping: Stopping
) -> Ending:
    """The end of a session: interrupted, failed, out of budget, partial or completed.

    Raises what made the ledger unwritable: then nothing more can be said for sure.
    """
    if ledger_failure is not None:
        raise ledger_failure
    if gate is None or stopping.exit_code is not None:
        return Ending(status="interrupted", exit_code=stopping.exit_code or 130)
    stopped = dict(gate.stopped_models)
    now = gate.snapshot()
    match gate.reason:
        case "interrupted" | "credentials":
            return Ending(status="interrupted", exit_code=130, stopped_models=stopped)
        case "max_failed":
            return Ending(status="failed", exit_code=5, stopped_models=stopped)
        case "budget":
            return Ending(status="budget_stopped", exit_code=3, stopped_models=stopped)
    is_partial = now.failed > 0 or bool(stopped)
    return Ending(
        status="partial" if is_partial else "completed", exit_code=0, stopped_models=stopped
    )
