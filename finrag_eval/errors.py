"""All that can go wrong, as one tree. Classes take fields and build their own sentence.

``cli/`` alone turns these into the contract's exit codes; anything else that escapes is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from finrag_eval.domain import Usage


class FinragEvalError(Exception):
    """Any error that this program foresaw. ``exit_code`` is the contract's."""

    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with what the user gave, and what to do about it."""

    file: str
    message: str
    fix: str
    line: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [place, self.key, f"{self.message}; {self.fix}" if self.fix else self.message]
        return ": ".join(part for part in parts if part)

    def as_json(self) -> dict[str, object]:
        """The contract's shape: file, line, key, message, fix."""
        return {
            "file": self.file,
            "line": self.line,
            "key": self.key,
            "message": self.message,
            "fix": self.fix,
        }


class InvalidInput(FinragEvalError):
    """Something the user wrote is wrong. Carries every problem found; nothing was sent."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SweepInUse(FinragEvalError):
    """Another process has the sweep's ledger open."""

    exit_code = 2

    def __init__(self, sweep_id: str, pid: int | None, host: str | None) -> None:
        self.sweep_id, self.pid, self.host = sweep_id, pid, host
        super().__init__(
            f"sweep {sweep_id} is being run by process {pid or 'unknown'} on {host or 'unknown'}; "
            "wait for it to end, or stop it"
        )


class StoppedAtOnce(FinragEvalError):
    """A second signal came before all of a sweep was written down."""

    def __init__(self, sweep_id: str, exit_code: int) -> None:
        self.sweep_id, self.exit_code = sweep_id, exit_code
        super().__init__(
            f"stopped at once; every answer is in the ledger, and `finrag-eval resume {sweep_id}` "
            "writes down the rest"
        )


class LedgerUnwritable(FinragEvalError):
    """The ledger could not be written: the sweep stops, and what is on disk is whole."""

    exit_code = 1

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"{path}: the ledger cannot be written ({reason}); the sweep was stopped and every "
            "answer before this is on disk. Make room, then run `finrag-eval resume`"
        )


class LedgerUnreadable(FinragEvalError):
    """The ledger is not one, or is of a newer format."""

    exit_code = 2

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: not a readable ledger ({reason})")


class StoreUnreachable(FinragEvalError):
    """The tracking store did not answer; the ledger has everything."""

    exit_code = 6

    def __init__(self, uri: str, reason: str) -> None:
        self.uri, self.reason = uri, reason
        super().__init__(f"the tracking store {uri} could not be reached: {reason}")


class ModelFault(FinragEvalError):
    """One model call gave no usable answer.

    ``retry`` is the fault's class: ``throttle`` (wait long, slow the model down), ``transient``
    (a few more tries), ``never`` (this trial), ``stop_model`` (every trial of the model) or
    ``credentials`` (everything waits for fresh ones). ``may_be_billed`` says whether the vendor
    may charge for the call although no usage arrived. Where the usage did arrive, ``usage`` is
    what was billed (by the prices of ``service_tier``), though the answer is of no use, and
    ``stop_reason`` is why it ended; ``billed_usd`` is set where that is known in USD.
    """

    billed_usd: Decimal | None = None

    def __init__(
        self,
        error_type: str,
        message: str,
        *,
        retry: str,
        may_be_billed: bool,
        http_status: int | None = None,
        usage: Usage | None = None,
        service_tier: str | None = None,
        stop_reason: str | None = None,
    ) -> None:
        self.error_type, self.message, self.retry = error_type, message, retry
        self.may_be_billed, self.http_status = may_be_billed, http_status
        self.usage, self.service_tier, self.stop_reason = usage, service_tier, stop_reason
        super().__init__(f"{error_type}: {message}")
