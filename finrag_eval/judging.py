"""Judges: models that score answers, run as a fan-out of their own behind the answers.

Enters: a ledger whose answers are scored by everything but judges. Leaves: their scores in it. A
judge's calls go through the same limits, retries, ledger and budget as any call; an answer that no
judge got to keeps its other scores, and the next session goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from threading import Lock
from typing import Any, cast

from finrag_eval.domain import (
    Cell,
    ExecutionSpec,
    ModelConfig,
    ModelReply,
    ModelRequest,
    Outcome,
    PromptTexts,
    PromptVersion,
    Query,
    Score,
    Trial,
)
from finrag_eval.execute.doorways import CallFor, GateDoor, ModelClient, Ticket
from finrag_eval.execute.fanout import fan_out
from finrag_eval.execute.gate import Gate
from finrag_eval.execute.retries import Called, ask_model
from finrag_eval.job import SweepJob
from finrag_eval.record.ledger import Ledger, LedgerReader
from finrag_eval.score.scorers import JudgeScorer, build_scorers
from finrag_eval.scoring import NOT_KEPT, lacks_text
from finrag_eval.synthesis_pipeline.clients import Clients

#: Where a judge's score says which judge gave it: another rubric or model judges anew.
_JUDGED_BY = "judged_by"
_OpenGate = Callable[[Sequence[Trial], Sequence[Cell]], Gate]


def judges_of(job: SweepJob) -> tuple[JudgeScorer, ...]:
    """The job's judges, in the order of the spec. Raises InvalidInput for rubrics that are none."""
    judges = [one for one in job.spec.scorers if one.kind == "judge"]
    built = build_scorers(judges, rubrics=job.prompts_folder)
    return tuple(one for one in built if isinstance(one, JudgeScorer))


def judge_answers(job: SweepJob, ledger: Ledger, open_gate: _OpenGate) -> Iterator[Gate | int]:
    """Judge every answer that has no verdict yet of this model and rubric, judge by judge.

    Yields each judge's gate when it opens, and after every verdict how many it has given. Out of
    money, the next judge may be cheaper; whatever else stops one judge stops all.
    """
    for judge in judges_of(job):
        waiting = _waiting(judge, ledger)
        if not waiting:
            continue
        model = job.judges[judge.model_key]
        gate = open_gate(
            [one.trial for one in waiting.values()],
            [_as_judged(cell, model, judge) for cell in job.plan.cells],
        )
        yield gate
        build = _JudgeRecipe(job, ledger, judge, waiting)
        execution = replace(job.spec.execution, backend="threading")
        for done, outcome in enumerate(fan_out(gate, build, execution), 1):
            _write(ledger, waiting[outcome.trial.key].outcome_id, outcome)
            yield done
        ledger.flush()
        if gate.reason not in ("done", "budget"):
            return


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An answer that a judge has to look at."""

    outcome_id: int
    trial: Trial


@dataclass(frozen=True, slots=True)
class _JudgedCell:
    """A cell as its judge's gate sees it: the cell's name, the judge's model and prompt."""

    name: str
    model: ModelConfig
    prompts: PromptTexts


def _as_judged(cell: Cell, model: ModelConfig, judge: JudgeScorer) -> Cell:
    rubric = PromptTexts(
        version=PromptVersion(system=judge.rubric.version, query=judge.rubric.version),
        system_text=judge.rubric.system,
        query_text="",
        digest=judge.digest,
    )
    return cast("Cell", _JudgedCell(cell.name, model, rubric))


def _waiting(judge: JudgeScorer, ledger: Ledger) -> dict[str, _Waiting]:
    """Successful answers without this judge's verdict, by trial key."""
    ledger.flush()
    with LedgerReader.open(ledger.folder) as reader:
        return {
            record.trial.key: _Waiting(record.outcome_id, record.trial)
            for record in reader.final_records()
            if record.status == "success" and not _has_verdict(record.scores, judge)
        }


def _has_verdict(scores: Sequence[Score], judge: JudgeScorer) -> bool:
    return any(
        score.name == judge.name and score.explanation.get(_JUDGED_BY) == judge.digest
        for score in scores
    )


def _write(ledger: Ledger, outcome_id: int, outcome: Outcome) -> None:
    """Put the verdict beside the answer's other scores."""
    verdict: Score = outcome.result["verdict"]
    with LedgerReader.open(ledger.folder) as reader:
        others = [one for one in reader.record(outcome_id).scores if one.name != verdict.name]
    ledger.append_scores(outcome_id, [*others, verdict], verdict.cost_usd)


class _JudgeRecipe:
    """Makes the target that asks a judge."""

    def __init__(
        self,
        job: SweepJob,
        ledger: Ledger,
        judge: JudgeScorer,
        waiting: Mapping[str, _Waiting],
    ) -> None:
        self._job, self._ledger, self._judge, self._waiting = job, ledger, judge, waiting

    def __call__(self) -> _JudgeTarget:
        execution = self._job.spec.execution
        clients = Clients(
            workers=execution.concurrency, attempt_timeout_s=execution.attempt_timeout_s
        )
        model = self._job.judges[self._judge.model_key]
        return _JudgeTarget(
            self._judge,
            model,
            clients.client_for(model),
            execution,
            queries={query.id: query for query in self._job.plan.query_set.queries},
            result_of=_Results(self._ledger, self._waiting),
        )


class _Results:
    """Recorded results by trial key; many threads may ask, one reads at a time."""

    def __init__(self, ledger: Ledger, waiting: Mapping[str, _Waiting]) -> None:
        self._folder, self._waiting = ledger.folder, waiting
        self._lock = Lock()

    def __call__(self, trial_key: str) -> Mapping[str, Any]:
        with self._lock, LedgerReader.open(self._folder) as reader:
            return reader.result(self._waiting[trial_key].outcome_id)


class _JudgeTarget:
    """Asks the judge about one recorded answer at a time."""

    def __init__(
        self,
        judge: JudgeScorer,
        model: ModelConfig,
        client: ModelClient,
        execution: ExecutionSpec,
        *,
        queries: Mapping[str, Query],
        result_of: Callable[[str], Mapping[str, Any]],
    ) -> None:
        self._judge, self._model, self._client = judge, model, client
        self._execution = execution
        self._queries, self._result_of = queries, result_of

    def answer(self, ticket: Ticket, gate: GateDoor) -> None:
        """Deliver the verdict, or give the ticket back."""
        trial = ticket.trial
        result = self._result_of(trial.key)
        asked = self._asked(self._queries[trial.query_id], result)
        if isinstance(asked, Score):
            self._deliver(ticket, gate, asked)
            return
        request = ModelRequest(
            model=self._model,
            system_text=asked[0],
            prefix_text="",
            question_text=asked[1],
            metadata={"trial_key": trial.key, "judge": self._judge.name},
        )
        called = ask_model(
            request,
            self._client,
            gate,
            call=CallFor(
                trial_key=trial.key,
                cell=trial.cell,
                model_key=self._model.key,
                purpose="judge",
                ticket=ticket.number,
            ),
            execution=self._execution,
            carried=ticket.carried,
        )
        self._conclude(ticket, gate, called, result, request)

    def _asked(self, query: Query, result: Mapping[str, Any]) -> tuple[str, str] | Score:
        """What to ask the judge; the score that says why not where it could not see the texts."""
        reads = ("answer", "context") if self._judge.rubric.reads_context else ("answer",)
        if lacks_text(result, *reads):
            return Score(name=self._judge.name, unscored=NOT_KEPT)
        return self._judge.prompt(query, result)

    def _conclude(
        self,
        ticket: Ticket,
        gate: GateDoor,
        called: Called[ModelReply],
        result: Mapping[str, Any],
        request: ModelRequest,
    ) -> None:
        if called.answer is not None:
            verdict = self._judge.read(result, called.answer.text, called.cost_usd)
            self._deliver(ticket, gate, verdict)
        elif called.refusal is not None:
            from finrag_eval.money import worst_case_usd

            worst = worst_case_usd(self._model, request.prompt_bytes)
            gate.give_back(ticket.number, called.refusal, called.carried, worst)
        else:
            why = "no reply" if called.fault is None else str(called.fault)
            error = Score(name=self._judge.name, error=f"the judge could not be asked: {why}")
            self._deliver(ticket, gate, error)

    def _deliver(self, ticket: Ticket, gate: GateDoor, verdict: Score) -> None:
        explanation = {**verdict.explanation, "model": self._model.key}
        if verdict.error is None:
            explanation[_JUDGED_BY] = self._judge.digest
        now = time.time()
        outcome = Outcome(
            trial=ticket.trial,
            result={"verdict": replace(verdict, explanation=explanation)},
            started_at=now,
            ended_at=now,
            cost_usd=verdict.cost_usd or Decimal(0),
        )
        gate.deliver(ticket.number, outcome)
