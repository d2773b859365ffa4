"""Parts for the tests of batch jobs: a sweep in sessions, on a real ledger, S3 and job service."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from execute_parts import SmallContext, SmallPipeline, cell, model, queries, trials
from loopback.aws_fixture import LoopbackAws

from finrag_eval.domain import (
    BudgetSpec,
    Cell,
    ExecutionSpec,
    MaxFailed,
    Outcome,
    Prices,
    Query,
    QuerySet,
)
from finrag_eval.execute.batch import BatchGate, BatchTarget, BatchWork, batch_out
from finrag_eval.execute.batch.pantry import Pantry
from finrag_eval.execute.budget import Budget
from finrag_eval.record.ledger import Ledger, LedgerReader
from finrag_eval.synthesis_pipeline.bedrock.batch_service import BedrockBatches

ROLE = "arn:aws:iam::111122223333:role/batch"
BATCH_PRICES = Prices(cost_per_1k_input=Decimal("0.0005"), cost_per_1k_output=Decimal("0.0025"))
SETTINGS = {"min_records": 2, "poll_s": 0.02}

#: One for all tests: making its clients costs more than most of them.
SERVICE = BedrockBatches(s3_uri="s3://sweeps/evals/nightly", role_arn=ROLE, sweep_id="sweep-1")


def batch_cell(key: str = "m", **changes: Any) -> Cell:
    """A cell of a model at batch prices."""
    return cell(model(key, prices=BATCH_PRICES, **changes))


@dataclass
class Session:
    """What one session came to."""

    outcomes: dict[str, Outcome]
    gate: BatchGate
    notices: list[str]

    @property
    def failures(self) -> dict[str, str]:
        """The error types of failed trials, by query."""
        return {
            outcome.trial.query_id: outcome.failure.error_type
            for outcome in self.outcomes.values()
            if outcome.failure is not None
        }


@dataclass
class BatchSweep:
    """A sweep of small prompts that can be run session by session."""

    folder: Path
    cells: Sequence[Cell]
    count: int = 6
    settings: Mapping[str, Any] = field(default_factory=lambda: SETTINGS)
    pipeline: SmallPipeline = field(default_factory=SmallPipeline)
    budget: BudgetSpec = field(default_factory=BudgetSpec)
    max_failed: MaxFailed = field(default_factory=MaxFailed)
    asked: Mapping[str, Query] | None = None

    def run(
        self,
        *,
        during: Callable[[BatchGate, str], None] = lambda gate, notice: None,
        after: Callable[[BatchGate, Outcome], None] = lambda gate, outcome: None,
        ends: bool = True,
        retry_failed: bool = False,
    ) -> Session:
        """One session. ``during`` hears every notice; without ``ends`` the session dies."""
        asked = self.asked or queries(self.count)
        planned = trials(self.cells, asked)
        execution = ExecutionSpec(concurrency=4, settings=self.settings, grace_s=5.0)
        notices: list[str] = []
        outcomes: dict[str, Outcome] = {}
        with self._ledger() as ledger:
            ledger.begin_session({}, {})
            query_set = QuerySet(queries=tuple(asked.values()), digest="d", source="s")
            ledger.store_plan(cells=self.cells, query_set=query_set, trials=planned)
            done = {
                key
                for key, (_, status) in ledger.answers().items()
                if status == "success" or not retry_failed
            }
            spent = ledger.spent()

            def notice(line: str) -> None:
                notices.append(line)
                during(gate, line)

            gate = BatchGate(
                (trial for trial in planned if trial.key not in done),
                self.cells,
                budget=Budget(
                    self.budget,
                    spent=spent.total,
                    spent_per_model=spent.per_model,
                    spent_per_cell=spent.per_cell,
                ),
                reservations=ledger,
                concurrency=execution.concurrency,
                max_failed=self.max_failed,
                finished=len(done),
                on_notice=notice,
            )
            work = self._work(ledger, asked, planned, execution)
            for outcome in batch_out(gate, work, execution):
                assert outcome.trial.key not in outcomes, "delivered twice"
                outcomes[outcome.trial.key] = outcome
                ledger.append_outcome(
                    outcome, lambda outcome_id: ledger.append_scores(outcome_id, ())
                )
                after(gate, outcome)
            ledger.flush()
            if ends:
                ledger.end_session("completed", 0)
        return Session(outcomes, gate, notices)

    def reader(self) -> LedgerReader:
        return LedgerReader.open(self.folder / "sweep-1")

    def spent(self) -> Decimal:
        with self.reader() as reader:
            return reader.spent().total

    def told(self) -> Decimal:
        """What all finished trials say that they cost."""
        with self.reader() as reader:
            return sum(
                (
                    (record.cost_usd or Decimal(0)) + record.wasted_usd + record.retrieval_cost_usd
                    for record in reader.final_records()
                ),
                Decimal(0),
            )

    def _ledger(self) -> Ledger:
        folder = self.folder / "sweep-1"
        if folder.exists():
            return Ledger.open(folder)
        return Ledger.create(folder, sweep_id="sweep-1", name="nightly")

    def _work(
        self,
        ledger: Ledger,
        asked: Mapping[str, Query],
        planned: Sequence[Any],
        execution: ExecutionSpec,
    ) -> BatchWork:
        pantry = Pantry(ledger.folder / "batch" / "contexts.sqlite")
        return BatchWork(
            sweep_id="sweep-1",
            target=BatchTarget(
                self.pipeline,
                queries=asked,
                cells={one.name: one for one in self.cells},
                execution=execution,
                pantry=pantry,
                name_of=lambda query: query.id,
                dump=_dump,
                load=_load,
            ),
            service=SERVICE,
            books=ledger,
            folder=ledger.folder / "batch",
            models={one.model.key: one.model for one in self.cells},
            trials=lambda: planned,
            close=lambda has_jobs: pantry.close(remove=not has_jobs),
        )


def _dump(context: SmallContext) -> str:
    return json.dumps({**asdict(context), "cost_usd": str(context.cost_usd)})


def _load(text: str) -> SmallContext:
    told = json.loads(text)
    return SmallContext(**{**told, "cost_usd": Decimal(told["cost_usd"])})


def job_bodies(aws: LoopbackAws) -> list[dict[str, Any]]:
    """What jobs were made of, each once."""
    made = aws.ledger("CreateModelInvocationJob")
    return [call["body"] for call in made if call["status"] == 200 and not call.get("again")]


def records_of(s3: Any, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of a job's input."""
    place = body["inputDataConfig"]["s3InputDataConfig"]["s3Uri"].removeprefix("s3://")
    bucket, _, key = place.partition("/")
    content = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    return [json.loads(line) for line in content.splitlines()]
