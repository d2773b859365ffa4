"""``batch_out``: trials in, batch jobs to the vendor, outcomes out when jobs are over.

All that fits the budget is prepared and put into jobs, one a model (more only where quotas want
it). A job and all of its reservations are on disk before it is sent; its token makes it one job
however often it is sent. Then jobs are looked at now and then; what a job leaves of its reservation
lets more trials in. When the sweep is stopped, jobs go on, and the next session collects them.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from finrag_eval.domain import (
    BatchJob,
    BatchRecord,
    BatchStatus,
    ExecutionSpec,
    ModelConfig,
    ModelReply,
    ModelRequest,
    Outcome,
    Trial,
)
from finrag_eval.errors import FinragEvalError, ModelFault
from finrag_eval.execute.batch.doorways import BatchBooks, BatchService
from finrag_eval.execute.batch.drafts import Draft
from finrag_eval.execute.batch.gate import BatchGate
from finrag_eval.execute.batch.target import BatchTarget, Prepared, settlement_of
from finrag_eval.execute.doorways import AttemptState, Refusal, Settlement, Ticket
from finrag_eval.execute.fanout import run_crew
from finrag_eval.money import exact_sum

#: What no job of the account has room for now, though it may later.
_NO_ROOM = frozenset({"ServiceQuotaExceededException"})
_NO_SUCH_JOB = "ResourceNotFoundException"
#: How often a job is looked for in vain before its output is all that is hoped for.
_LOOKS_FOR_IT = 5
#: Of a job's records, the share that must be done anew before it is told of again.
_TOLD_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """Quotas of jobs, and the seconds between two looks at them."""

    min_records: int = 100
    max_records: int = 50_000
    poll_s: float = 60.0

    @classmethod
    def of(cls, execution: ExecutionSpec) -> BatchSettings:
        """What the sweep says; the defaults for what it does not."""
        known = ("min_records", "max_records", "poll_s")
        return cls(
            **{name: execution.settings[name] for name in known if name in execution.settings}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWork:
    """What a sweep's jobs are made with. ``folder`` is for files of jobs, the sweep's own.

    ``trials`` gives all trials of the plan; ``close`` is called at the end with whether any job is
    left to be collected.
    """

    sweep_id: str
    target: BatchTarget
    service: BatchService
    books: BatchBooks
    folder: Path
    models: Mapping[str, ModelConfig]
    trials: Callable[[], Iterable[Trial]]
    close: Callable[[bool], None] = lambda has_jobs: None


def batch_out(gate: BatchGate, work: BatchWork, execution: ExecutionSpec) -> Iterator[Outcome]:
    """Outcomes as jobs end, until the gate has no more trials; as ``fan_out`` gives them.

    An outcome must be safe with the consumer when it asks for the next one: a job counts as
    collected then. Ctrl-C leaves jobs running.
    """
    sweeping = _Sweeping(gate, work, execution)
    try:
        for outcome in run_crew(gate, sweeping.run, execution.grace_s):
            yield outcome
            sweeping.recorded(outcome)
    finally:
        sweeping.close()


@dataclass(slots=True)
class _UnderWay:
    """A job that is not collected yet, with the tickets of its records by attempt."""

    job: BatchJob
    model: ModelConfig
    tickets: Mapping[int, Ticket | None]
    may_be_sent: bool = False
    told: tuple[str, int] = ("", 0)
    times_not_found: int = 0

    @property
    def name(self) -> str:
        return f"{self.model.key}: batch job {self.job.token[:8]}"


class _Sweeping:
    """The jobs of one session; ``run`` is the crew's thread, ``recorded`` the consumer's."""

    def __init__(self, gate: BatchGate, work: BatchWork, execution: ExecutionSpec) -> None:
        self._gate, self._work = gate, work
        self._settings = BatchSettings.of(execution)
        self._threads = execution.concurrency
        self._drafts: dict[str, Draft] = {}
        self._jobs: dict[str, _UnderWay] = {}
        self._job_of: dict[str, str] = {}
        self._unrecorded: dict[str, int] = {}
        self._recording = Lock()
        self._noticed: set[str] = set()

    def run(self) -> None:
        """Everything, until nothing is left or the gate is over."""
        try:
            self._adopt()
            while not self._gate.is_over:
                self._fill()
                if not self._jobs and not self._gate.is_over:
                    self._give_up_drafts()
                    break
                self._gate.wait(self._settings.poll_s)
                self._look()
        except FinragEvalError as error:
            self._gate.fail(str(error), error)
        self._say_what_goes_on()

    def recorded(self, outcome: Outcome) -> None:
        """The outcome is safe; after the last of a job the job is collected."""
        with self._recording:
            token = self._job_of.pop(outcome.trial.key, None)
            if token is not None:
                self._unrecorded[token] -= 1
                self._close_if_recorded(token)

    def close(self) -> None:
        """Remove what no later session needs."""
        for draft in self._drafts.values():
            draft.close()
        with suppress(FinragEvalError):
            self._work.close(bool(self._work.books.batch_jobs()))

    # -- making jobs ---------------------------------------------------------------------------

    def _fill(self) -> None:
        """Prepare every trial that fits now, and make jobs of them."""
        ticket = self._gate.draw()
        if ticket is None:
            return
        waiting: deque[Future[tuple[Prepared, ModelRequest] | None]] = deque()
        with ThreadPoolExecutor(self._threads, thread_name_prefix="prepare") as pool:
            while ticket is not None or waiting:
                if ticket is not None:
                    waiting.append(pool.submit(self._work.target.prepare, ticket, self._gate))
                if ticket is None or len(waiting) >= 2 * self._threads:
                    self._add(waiting.popleft().result())
                ticket = self._gate.draw()
        for model_key in self._drafts:
            self._make_jobs(model_key, is_whole=True)

    def _add(self, made: tuple[Prepared, ModelRequest] | None) -> None:
        if made is None:
            return
        prepared, request = made
        draft = self._drafts.get(prepared.model_key)
        if draft is None:
            settings = self._settings
            path = self._work.folder / f"draft-{len(self._drafts)}.jsonl"
            draft = Draft(path, fewest=settings.min_records, most=settings.max_records)
            self._drafts[prepared.model_key] = draft
        draft.add(prepared, self._work.service.line(prepared.record.trial_key, request))
        self._make_jobs(prepared.model_key, is_whole=False)

    def _make_jobs(self, model_key: str, *, is_whole: bool) -> None:
        draft = self._drafts[model_key]
        while count := draft.next_count(is_whole=is_whole):
            if self._gate.is_over:
                return
            made = self._work.folder / "next.jsonl"
            self._make_job(model_key, draft.cut(count, made), made)

    def _make_job(self, model_key: str, prepared: list[Prepared], lines: Path) -> None:
        """A job of these records: named, reserved on disk, sent."""
        work = self._work
        records = tuple(one.record for one in prepared)
        token = _token(work.sweep_id, model_key, records, work.books.batch_job_count())
        lines.rename(self._lines(token))
        job = work.books.plan_job(BatchJob(token=token, model_key=model_key, records=records))
        for one, record in zip(prepared, job.records, strict=True):
            self._gate.submitted(one.ticket.number, record.attempt)
        self._jobs[token] = _UnderWay(
            job=job,
            model=work.models[model_key],
            tickets={
                record.attempt: one.ticket
                for one, record in zip(prepared, job.records, strict=True)
            },
        )
        self._step(self._jobs[token])

    def _give_up_drafts(self) -> None:
        """What is too little for a job, and will not be more."""
        is_for_money = self._gate.is_short_of_money()
        for model_key, draft in self._drafts.items():
            left = draft.empty()
            if not left:
                continue
            say = f"{model_key}: {len(left)} trials are too few for a batch job (min_records "
            say += f"{self._settings.min_records}); `--set execution.mode=on_demand` sends them"
            if is_for_money:
                self._gate.notice(f"{say}, within the budget")
                self._gate.stop("budget")
                return
            self._gate.stop_model(model_key, say.removeprefix(f"{model_key}: "))
            for one in left:
                self._gate.give_back(one.ticket.number, Refusal.MODEL_STOPPED, one.ticket.carried)
        self._gate.draw()

    # -- jobs of earlier sessions --------------------------------------------------------------

    def _adopt(self) -> None:
        """Take up what earlier sessions sent, or had planned to send."""
        jobs = self._work.books.batch_jobs()
        keys = {record.trial_key for job in jobs for record in job.records}
        planned = {trial.key: trial for trial in self._work.trials() if trial.key in keys}
        for job in jobs:
            tickets = {
                record.attempt: self._gate.adopt(
                    job.model_key, record, planned.get(record.trial_key)
                )
                for record in job.records
            }
            model = self._work.models.get(job.model_key)
            if model is None:
                self._gate.notice(
                    f"{job.model_key}: batch job {job.token[:8]} is left alone: the model is "
                    "planned no more"
                )
            else:
                under_way = _UnderWay(job=job, model=model, tickets=tickets, may_be_sent=True)
                self._jobs[job.token] = under_way
        if self._jobs:
            self._gate.notice(f"going on with {_told(self._jobs.values())}")
            self._look()

    # -- looking at jobs -----------------------------------------------------------------------

    def _look(self) -> None:
        for under_way in list(self._jobs.values()):
            if self._gate.is_over:
                return
            self._step(under_way)

    def _step(self, under_way: _UnderWay) -> None:
        """Take a job one step on: send it, see how far it is, or collect it."""
        try:
            if under_way.job.job_id is None:
                self._send(under_way)
                return
            status = self._status(under_way, under_way.job.job_id)
            self._tell(under_way, status)
            if status.is_over:
                fetched = self._output(under_way.job.token)
                self._work.service.fetch(under_way.job, under_way.model, fetched)
                self._collect(under_way, status, fetched)
        except ModelFault as fault:
            self._bear(under_way, fault)

    def _status(self, under_way: _UnderWay, job_id: str) -> BatchStatus:
        """Where the job is; one that is not found again and again is over."""
        try:
            status = self._work.service.look(job_id, under_way.model)
        except ModelFault as fault:
            if fault.error_type != _NO_SUCH_JOB or under_way.times_not_found < _LOOKS_FOR_IT:
                under_way.times_not_found += fault.error_type == _NO_SUCH_JOB
                raise
            return BatchStatus(status="Lost", is_over=True, message=fault.message)
        under_way.times_not_found = 0
        return status

    def _send(self, under_way: _UnderWay) -> None:
        """Send the job, unless an earlier session did and could not put it down any more."""
        job, model, service = under_way.job, under_way.model, self._work.service
        job_id = service.find(job, model) if under_way.may_be_sent else None
        under_way.may_be_sent = True
        if job_id is None:
            if not self._lines(job.token).exists():
                self._drop(under_way, Refusal.LATER)
                return
            try:
                job_id = service.send(job, model, self._lines(job.token))
            except ModelFault as fault:
                is_for_good = fault.retry in ("never", "stop_model")
                if not is_for_good or fault.error_type in _NO_ROOM:
                    raise
                self._gate.stop_model(model.key, f"{fault.error_type}: {fault.message}")
                self._drop(under_way, Refusal.MODEL_STOPPED)
                return
        self._work.books.note_job(job.token, "sent", job_id)
        under_way.job = replace(job, job_id=job_id)
        self._gate.notice(f"{under_way.name} of {len(job.records):,} records is sent: {job_id}")

    def _drop(self, under_way: _UnderWay, refusal: Refusal) -> None:
        """A job that was never made: its records cost nothing, and may go another time."""
        job = under_way.job
        never = ModelFault("BatchNotSent", "", retry="never", may_be_billed=False)
        for record in job.records:
            self._gate.settle_record(record.attempt, settlement_of(never, record, under_way.model))
            ticket = under_way.tickets[record.attempt]
            if ticket is not None:
                self._gate.give_back(ticket.number, refusal, ticket.carried)
        self._work.books.note_job(job.token, "dropped")
        self._forget(job.token)

    def _bear(self, under_way: _UnderWay, fault: ModelFault) -> None:
        """Say once that a job cannot be reached now; the next look tries again."""
        if fault.retry == "credentials":
            self._work.service.renew()
            line = f"{fault.message}; waiting for fresh credentials (for example `aws sso login`)"
        else:
            line = f"{under_way.name}: {fault.error_type}: {fault.message}; trying again"
        if line not in self._noticed:
            self._noticed.add(line)
            self._gate.notice(line)

    def _tell(self, under_way: _UnderWay, status: BatchStatus) -> None:
        """Say where the job is, when that is news."""
        records = status.records or len(under_way.job.records)
        step = int((status.processed or 0) / max(1.0, records * _TOLD_SHARE))
        if (status.status, step) == under_way.told:
            return
        under_way.told = (status.status, step)
        counts = "" if status.processed is None else f", {status.processed:,} of {records:,} done"
        message = f" ({status.message})" if status.message else ""
        self._gate.notice(f"{under_way.name}: {status.status}{counts}{message}")

    # -- collecting ----------------------------------------------------------------------------

    def _collect(self, under_way: _UnderWay, status: BatchStatus, fetched: Path) -> None:
        """Deliver every record's outcome: answers, errors, and what came back without either."""
        job, service = under_way.job, self._work.service
        told = [record for record in job.records if under_way.tickets[record.attempt] is not None]
        with self._recording:
            self._unrecorded[job.token] = len(told)
            self._job_of.update({record.trial_key: job.token for record in told})
        left = {service.record_id(record.trial_key): record for record in job.records}
        for record_id, answer, latency in service.answers(fetched):
            record = left.pop(record_id, None)
            if record is not None:
                self._deliver(under_way, record, answer, latency, status)
        if status.status == "Failed":
            reason = status.message or "Bedrock does not say why"
            self._gate.stop_model(job.model_key, f"its batch job failed: {reason}")
        for record in left.values():
            self._deliver(under_way, record, _unanswered(status), None, status)
        with self._recording:
            del self._jobs[job.token]
            self._close_if_recorded(job.token)

    def _deliver(
        self,
        under_way: _UnderWay,
        record: BatchRecord,
        answer: ModelReply | ModelFault,
        latency: float | None,
        status: BatchStatus,
    ) -> None:
        ticket = under_way.tickets[record.attempt]
        if ticket is not None:
            self._work.target.collect(ticket, record, answer, latency, status, self._gate)
            return
        billed = settlement_of(answer, record, under_way.model).billed_usd
        state: AttemptState = "wasted" if billed else "free"
        self._gate.settle_record(
            record.attempt,
            Settlement(billed_usd=billed, state=state, error_type="NoLongerPlanned"),
        )

    def _close_if_recorded(self, token: str) -> None:
        if token not in self._jobs and self._unrecorded.get(token) == 0:
            del self._unrecorded[token]
            self._work.books.note_job(token, "collected")
            self._forget(token)

    def _forget(self, token: str) -> None:
        self._jobs.pop(token, None)
        output = self._output(token)
        for path in (self._lines(token), output, output.with_suffix(".manifest")):
            path.unlink(missing_ok=True)

    def _say_what_goes_on(self) -> None:
        if self._jobs:
            self._gate.notice(
                f"{_told(self._jobs.values())} go on at the vendor; `finrag-eval resume "
                f"{self._work.sweep_id}` collects them"
            )

    def _lines(self, token: str) -> Path:
        return self._work.folder / f"{token}.jsonl"

    def _output(self, token: str) -> Path:
        return self._work.folder / f"{token}.out"


def _token(sweep_id: str, model_key: str, records: Iterable[BatchRecord], jobs_before: int) -> str:
    """Names a job by what is in it: the same job is never made twice, a new try is another one."""
    told = [sweep_id, model_key, str(jobs_before), *sorted(one.trial_key for one in records)]
    return hashlib.blake2b("\n".join(told).encode(), digest_size=20).hexdigest()


def _told(jobs: Iterable[_UnderWay]) -> str:
    held = list(jobs)
    records = [record for one in held for record in one.job.records]
    worst = exact_sum(record.reserved_usd for record in records)
    word = "batch job" if len(held) == 1 else "batch jobs"
    return f"{len(held)} {word} of {len(records):,} records (${worst:.4f} at most)"


_WHY = {
    "PartiallyCompleted": ("BatchNotProcessed", "the job's time was over before its turn"),
    "Expired": ("BatchExpired", "the job expired before its turn"),
    "Stopped": ("BatchStopped", "the job was stopped before its turn"),
    "Failed": ("BatchFailed", "the job failed"),
}


def _unanswered(status: BatchStatus) -> ModelFault:
    """Why a record has neither answer nor error. Of a complete job it may have been billed."""
    error_type, message = _WHY.get(
        status.status, ("BatchRecordMissing", "the job ended without an answer for it")
    )
    if status.message:
        message = f"{message}: {status.message}"
    return ModelFault(error_type, message, retry="never", may_be_billed=status.status not in _WHY)
