"""What both lanes into MLflow have in common: jobs in, finished runs out, and how they fail."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from finrag_eval.record.payload import RunPayload
from finrag_eval.record.store_uri import mask_uri


@dataclass(slots=True, kw_only=True)
class Job:
    """One trial to be recorded. ``run_id`` is set where the trial has a run already.

    ``scores_id`` is the trial's state in the ledger. A job that failed half-way may be given to a
    lane again: what is there already is completed, not made twice.
    """

    trial_key: str
    scores_id: int
    payload: RunPayload
    run_id: str | None = None


@dataclass(slots=True)
class Written:
    """How far a batch came: jobs that are complete, and jobs that the store refuses for good."""

    done: list[Job] = field(default_factory=list)
    refused: list[tuple[Job, str]] = field(default_factory=list)


class StoreAway(Exception):
    """The store does not answer, or not as it should: to be tried again later."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Lane(Protocol):
    """A way into MLflow."""

    @property
    def name(self) -> str: ...

    def write(self, jobs: Sequence[Job], written: Written) -> None:
        """Records each job; ``written`` grows as they are done. Raises StoreAway."""

    def close(self) -> None: ...


#: What MLflow says of a request that will fail the same way for ever.
_REFUSALS = frozenset(
    {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_ALREADY_EXISTS"}
)


def is_refusal(error: Exception) -> bool:
    """True where the store will refuse the same again; False where it may be only away."""
    return getattr(error, "error_code", None) in _REFUSALS


def is_missing_run(error: Exception) -> bool:
    """True where the store does not have the run."""
    return getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"


def one_line(error: BaseException, *, limit: int = 200) -> str:
    """Why, in one short line without passwords: the cause that a client's words are wrapped in."""
    text = " ".join(mask_uri(str(error)).split()) or type(error).__name__
    for pattern, words in _CAUSES:
        if found := pattern.search(text):
            return words.format(found[1]) if found.groups() else words
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


_CAUSES = (
    (re.compile(r"database is locked"), "database is locked"),
    (re.compile(r"\[Errno -?\d+\] ([A-Z][A-Za-z ]+)"), "{}"),
    (re.compile(r"[Rr]ead timed out|timed out"), "no answer in time"),
    (re.compile(r"RemoteDisconnected|Connection aborted|Connection reset"), "connection lost"),
    (re.compile(r"too many (\d{3}) error responses"), "it answers with HTTP {}"),
    (re.compile(r"failed with error code (\d{3})"), "it answers with HTTP {}"),
)
