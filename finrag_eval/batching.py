"""A sweep by Bedrock's batch jobs: what they are made of, and what must hold before they are.

Enters: a job and its ledger. Leaves: outcomes, as ``fan_out`` gives them, or problems. Knows the
order of the rooms, like ``sweep``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from finrag_eval.domain import Outcome, Query
from finrag_eval.errors import Problem
from finrag_eval.execute.gate import Gate
from finrag_eval.job import SweepJob
from finrag_eval.plan import query_digest

if TYPE_CHECKING:
    from finrag_eval.execute.batch import BatchWork
    from finrag_eval.record.ledger import Ledger

#: The folder, in a sweep's own, of what its jobs need until they are collected.
FOLDER = "batch"
_PANTRY = "contexts.sqlite"


def is_by_batch(job: SweepJob) -> bool:
    """Whether the sweep's answers come from batch jobs."""
    return job.spec.execution.mode == "bedrock_batch"


def gate_kind(job: SweepJob) -> type[Gate]:
    """The gate that the sweep's trials pass."""
    if not is_by_batch(job):
        return Gate
    from finrag_eval.execute.batch import BatchGate

    return BatchGate


def batch_outcomes(gate: Gate, job: SweepJob, ledger: Ledger) -> Iterator[Outcome]:
    """Outcomes as the sweep's batch jobs end; ``gate`` is of this job's kind."""
    from finrag_eval.execute.batch import BatchGate, batch_out

    assert isinstance(gate, BatchGate)
    return batch_out(gate, _work(job, ledger), job.spec.execution)


def batch_problems(
    job: SweepJob, folder: Path | None, *, retry_failed: bool = False
) -> list[Problem]:
    """Why the sweep cannot be run so: too few trials for a job, or jobs that wait to be collected.

    ``folder`` is that of a sweep to be gone on with, None of a new one. Sends nothing.
    """
    done, in_jobs = _known(folder, retry_failed=retry_failed)
    if not is_by_batch(job):
        return [_uncollected(job, len(in_jobs))] if in_jobs else []
    from finrag_eval.execute.batch import BatchSettings

    models = {cell.name: cell.model.key for cell in job.plan.cells}
    counts = Counter(models[trial.cell] for trial in job.plan.without(done | in_jobs))
    fewest = BatchSettings.of(job.spec.execution).min_records
    return [
        _problem(
            job,
            "execution.mode",
            f"{key} has {count} trials to send, and a batch job needs {fewest} records",
            "send them on demand (`--set execution.mode=on_demand`), or set "
            "execution.min_records to what the account's quota says",
        )
        for key, count in counts.items()
        if count < fewest
    ]


def _known(folder: Path | None, *, retry_failed: bool) -> tuple[set[str], set[str]]:
    """Keys of trials that are not sent again, and of those that are in jobs."""
    if folder is None:
        return set(), set()
    from finrag_eval.record.ledger import LedgerReader

    with LedgerReader.open(folder) as reader:
        answers = reader.answers()
        in_jobs = {one.trial_key for job in reader.batch_jobs() for one in job.records}
    done = {key for key, (_, status) in answers.items() if status == "success" or not retry_failed}
    return done, in_jobs


def _uncollected(job: SweepJob, count: int) -> Problem:
    return _problem(
        job,
        "execution.mode",
        f"{count} trials of this sweep are in batch jobs, and would be paid for twice",
        "collect them first (`--set execution.mode=bedrock_batch`), or start anew with --fresh",
    )


def _problem(job: SweepJob, key: str, message: str, fix: str) -> Problem:
    source = job.spec.source
    return Problem(
        file=job.spec.name if source is None else str(source), key=key, message=message, fix=fix
    )


def _work(job: SweepJob, ledger: Ledger) -> BatchWork:
    from finrag_eval.execute.batch import BatchTarget, BatchWork
    from finrag_eval.execute.batch.pantry import Pantry
    from finrag_eval.synthesis_pipeline.bedrock.batch_service import BedrockBatches
    from finrag_eval.synthesis_pipeline.kept_contexts import context_of_text, context_to_text
    from finrag_eval.synthesis_pipeline.orchestrator import Pipeline
    from finrag_eval.synthesis_pipeline.supply_lines import SupplyLines

    spec, plan = job.spec, job.plan
    settings = spec.execution.settings
    folder = ledger.folder / FOLDER
    pantry = Pantry(folder / _PANTRY)

    def name_of(query: Query) -> str:
        return f"{plan.retrieval_digest}/{query_digest(query)}"

    def close(has_jobs: bool) -> None:
        pantry.close(remove=not has_jobs)
        if not has_jobs and not any(folder.iterdir()):
            folder.rmdir()

    target = BatchTarget(
        Pipeline(SupplyLines(spec.retrieval, cache_folder=job.cache_folder)),
        queries={query.id: query for query in plan.query_set.queries},
        cells={cell.name: cell for cell in plan.cells},
        execution=spec.execution,
        pantry=pantry,
        name_of=name_of,
        dump=context_to_text,
        load=context_of_text,
    )
    service = BedrockBatches(
        s3_uri=settings["s3_uri"],
        role_arn=settings["role_arn"],
        sweep_id=ledger.folder.name,
        job_hours=settings.get("job_hours", 24),
    )
    return BatchWork(
        sweep_id=ledger.folder.name,
        target=target,
        service=service,
        books=ledger,
        folder=folder,
        models={cell.model.key: cell.model for cell in plan.cells},
        trials=plan.trials,
        close=close,
    )
