"""What batch jobs need of others: a vendor's service, and the ledger's book of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

from finrag_eval.domain import BatchJob, BatchStatus, ModelConfig, ModelReply, ModelRequest
from finrag_eval.errors import ModelFault
from finrag_eval.execute.doorways import Reservations

#: A record's id, its reply or what went wrong with it, and the seconds that the model took.
RecordAnswer = tuple[str, ModelReply | ModelFault, float | None]


class BatchService(Protocol):
    """A vendor's batch inference. Calls raise ModelFault; ``send`` makes a job once a token."""

    def record_id(self, trial_key: str) -> str: ...
    def line(self, trial_key: str, request: ModelRequest) -> bytes: ...
    def send(self, job: BatchJob, model: ModelConfig, lines: Path) -> str: ...
    def find(self, job: BatchJob, model: ModelConfig) -> str | None: ...
    def look(self, job_id: str, model: ModelConfig) -> BatchStatus: ...
    def fetch(self, job: BatchJob, model: ModelConfig, to: Path) -> None: ...
    def answers(self, fetched: Path) -> Iterator[RecordAnswer]: ...
    def renew(self) -> None: ...


class BatchBooks(Reservations, Protocol):
    """The ledger, as far as batch jobs go."""

    def plan_job(self, job: BatchJob) -> BatchJob:
        """The job with its attempts numbered, once all of it is reserved on disk."""
        ...

    def note_job(
        self,
        token: str,
        state: Literal["sent", "collected", "dropped"],
        job_id: str | None = None,
    ) -> None:
        """Put down what became of a job; behind all that was written before."""
        ...

    def batch_jobs(self) -> tuple[BatchJob, ...]:
        """The jobs of all sessions that are not collected yet."""
        ...

    def batch_job_count(self) -> int:
        """How many jobs the sweep ever planned."""
        ...
