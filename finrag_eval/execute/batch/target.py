"""A trial's two halves: its prompt before the job, its outcome when the job is over.

Enters: tickets, and records' answers. Leaves: records that are reserved for, and outcomes. What
lies between, hours and perhaps another process, is in the record and in the pantry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from finrag_eval.domain import (
    BatchRecord,
    BatchStatus,
    Cell,
    ExecutionSpec,
    ModelConfig,
    ModelReply,
    ModelRequest,
    Query,
)
from finrag_eval.errors import ModelFault
from finrag_eval.execute.batch.gate import BatchGate
from finrag_eval.execute.batch.pantry import Pantry
from finrag_eval.execute.doorways import Carried, ModelClient, Settlement, Ticket
from finrag_eval.execute.outcomes import Timing, failed, failure_of
from finrag_eval.execute.target import (
    Answerer,
    GatheredContext,
    GaveBack,
    PipelineTarget,
    TrialRun,
)
from finrag_eval.money import cost_usd, worst_case_usd

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A trial whose prompt is made and whose worst case is reserved in memory."""

    ticket: Ticket
    model_key: str
    record: BatchRecord


class BatchTarget(PipelineTarget):
    """The FinRAG pipeline in two halves; threads share it.

    ``name_of`` names a query's context in the pantry; ``dump`` and ``load`` make text of a context
    and a context of text.
    """

    def __init__(
        self,
        pipeline: Answerer,
        *,
        queries: Mapping[str, Query],
        cells: Mapping[str, Cell],
        execution: ExecutionSpec,
        pantry: Pantry,
        name_of: Callable[[Query], str],
        dump: Callable[[Any], str],
        load: Callable[[str], GatheredContext],
    ) -> None:
        super().__init__(
            pipeline, queries=queries, cells=cells, client_for=_nobody, execution=execution
        )
        self._pantry, self._name_of = pantry, name_of
        self._dump, self._load = dump, load

    def prepare(self, ticket: Ticket, gate: BatchGate) -> tuple[Prepared, ModelRequest] | None:
        """The trial as a record, and its prompt.

        None where it failed, or may not go now; the gate is told.
        """
        run = self._run(ticket, gate)
        try:
            prompt = self._prompt(run)
        except GaveBack as back:
            gate.give_back(ticket.number, back.refusal, back.carried, back.worst_usd)
            return None
        if prompt is None:
            return None
        model = run.cell.model
        worst = worst_case_usd(model, prompt.request.prompt_bytes)
        refusal = gate.reserve(ticket.number, worst)
        if refusal is not None:
            gate.give_back(ticket.number, refusal, run.carried, worst)
            return None
        record = BatchRecord(
            trial_key=ticket.trial.key,
            cell=ticket.trial.cell,
            reserved_usd=worst,
            carried=_plain(run.carried) | {"prompt_seconds": prompt.seconds},
        )
        prepared = Prepared(ticket=ticket, model_key=model.key, record=record)
        return prepared, prompt.request

    def collect(
        self,
        ticket: Ticket,
        record: BatchRecord,
        answer: ModelReply | ModelFault,
        latency_seconds: float | None,
        status: BatchStatus,
        gate: BatchGate,
    ) -> None:
        """Settle a record and deliver its trial's outcome."""
        run = self._run(ticket, gate)
        run.carried = _carried(record)
        waited = _between(status.submitted_at, status.ended_at) - (latency_seconds or 0.0)
        run.carried = replace(
            run.carried, waited_seconds=run.carried.waited_seconds + max(0.0, waited)
        )
        timing = Timing(
            started_at=status.submitted_at or run.started_at,
            ended_at=status.ended_at or run.started_at,
            llm=latency_seconds,
        )
        settlement = settlement_of(answer, record, run.cell.model)
        if isinstance(answer, ModelFault):
            gate.settle_record(record.attempt, settlement)
            run.waste(settlement.billed_usd)
            self._fail(run, answer, "llm_invocation", timing)
            return
        try:
            context = self._context(run)
        except Exception as error:
            gate.settle_record(record.attempt, replace(settlement, state="wasted"))
            run.waste(settlement.billed_usd)
            self._fail(run, error, "context_building", timing)
            return
        gate.settle_record(record.attempt, settlement)
        timing = replace(timing, retrieval=context.seconds)
        if latency_seconds is not None:
            prompt_seconds = float(record.carried.get("prompt_seconds", 0.0))
            timing = replace(timing, total=context.seconds + prompt_seconds + latency_seconds)
        self._package(run, context, answer, settlement.billed_usd, timing)

    def _fail(self, run: TrialRun, error: Exception, stage: str, timing: Timing) -> None:
        trial, text = run.ticket.trial, run.query.query
        failure = failure_of(error, stage)
        run.gate.deliver(run.ticket.number, failed(trial, text, failure, run.carried, timing))

    def _gather(self, run: TrialRun) -> GatheredContext:
        """What was gathered before, by whichever session, else what is gathered now."""
        name = self._name_of(run.query)
        kept = self._pantry.get(name)
        if kept is not None:
            return self._load(kept)
        context = super()._gather(run)
        self._pantry.put(name, self._dump(context))
        return context


def settlement_of(
    answer: ModelReply | ModelFault, record: BatchRecord, model: ModelConfig
) -> Settlement:
    """What a record came to. A fault that may have been billed counts at its worst case."""
    if not isinstance(answer, ModelFault):
        billed = cost_usd(answer.usage, model)
        return Settlement(billed_usd=billed, state="kept", usage=answer.usage)
    if answer.usage is not None:
        billed = cost_usd(answer.usage, model)
    else:
        billed = record.reserved_usd if answer.may_be_billed else _NOTHING
    return Settlement(
        billed_usd=billed,
        state="wasted" if billed else "free",
        usage=answer.usage,
        error_type=answer.error_type,
    )


def _nobody(model: ModelConfig) -> ModelClient:
    raise AssertionError(f"{model.key} is asked through jobs alone")


def _plain(carried: Carried) -> dict[str, Any]:
    """What a trial went through, as JSON values."""
    told = asdict(carried)
    money = {name: str(told[name]) for name in ("wasted_usd", "retrieval_cost_usd")}
    return {**told, "faults": dict(carried.faults), **money}


def _carried(record: BatchRecord) -> Carried:
    told = {name: told for name, told in record.carried.items() if name != "prompt_seconds"}
    money = {name: Decimal(told[name]) for name in ("wasted_usd", "retrieval_cost_usd")}
    return Carried(**{**told, **money})


def _between(begin: float | None, end: float | None) -> float:
    return 0.0 if begin is None or end is None else end - begin
