"""The corridor: a sweep from what was asked to its summary.

what was asked -> job -> ground -> ledger -> session -> result. Each step is a room of its own; this
module knows their order, and which sweep is meant.
"""

from __future__ import annotations

from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.ground import budgets_turn, check_ground, period_caps
from finrag_eval.job import SweepJob, job_of, job_of_ledger
from finrag_eval.progress import Watch
from finrag_eval.provenance import new_sweep_id, utc_now
from finrag_eval.record.ledger import Ledger, LedgerReader, find_sweep, is_redacted, list_sweeps
from finrag_eval.record.recording import EarlyRecorder
from finrag_eval.session import RunOptions, Session, SweepResult
from finrag_eval.spec.sweeps import Asked


def run_sweep(
    asked: Asked, options: RunOptions, watch: Watch, early: EarlyRecorder | None = None
) -> SweepResult:
    """Run a sweep, or go on with the newest one of its name that did not finish.

    ``early`` is a recorder's process that loads MLflow already. Raises InvalidInput before anything
    is sent, SweepInUse where another process runs it, and LedgerUnwritable where the disk gives
    out.
    """
    job = job_of(asked)
    folder = None if options.fresh else unfinished_sweep(options.output_dir, job.spec.name)
    uri = check_ground(job, options, folder=folder, watch=watch)
    if folder is not None:
        watch.notice(f"going on with {folder.name}, which did not finish (--fresh starts anew)")
    return _ran(job, options, watch, uri, folder, early)


def resume_sweep(
    sweep_id: str,
    options: RunOptions,
    watch: Watch,
    *,
    max_usd: Decimal | None = None,
    concurrency: int | None = None,
    early: EarlyRecorder | None = None,
) -> SweepResult:
    """Finish a stopped sweep by the spec in its ledger, with another cap where one is given."""
    folder = find_sweep(options.output_dir, sweep_id)
    with LedgerReader.open(folder) as reader:
        job = job_of_ledger(reader, max_usd=max_usd, concurrency=concurrency)
    _check_contexts(job, folder)
    uri = check_ground(job, options, folder=folder, watch=watch)
    return _ran(job, options, watch, uri, folder, early)


def _ran(
    job: SweepJob,
    options: RunOptions,
    watch: Watch,
    uri: str | None,
    folder: Path | None,
    early: EarlyRecorder | None,
) -> SweepResult:
    """The sweep's end; with budgets over time, its caps are in its ledger before others look."""
    with ExitStack() as until_the_end:
        with budgets_turn(options):
            caps = period_caps(job, options, folder)
            ledger = until_the_end.enter_context(_ledger(job, options, folder))
            session = Session(job, ledger, options, watch, uri, caps, early)
            session.begin()
        return session.result()


def _ledger(job: SweepJob, options: RunOptions, folder: Path | None) -> Ledger:
    """The ledger of the sweep in that folder, or of a new one."""
    redact = frozenset(job.spec.redact)
    if folder is not None:
        return Ledger.open(folder, redact=redact)
    sweep_id = new_sweep_id(job.spec.name, utc_now())
    folder = options.output_dir / sweep_id
    return Ledger.create(folder, sweep_id=sweep_id, name=job.spec.name, redact=redact)


def _check_contexts(job: SweepJob, folder: Path) -> None:
    """Questions whose own contexts were not kept cannot be asked from the ledger."""
    if any(is_redacted(query.context or "") for query in job.plan.query_set.queries):
        problem = Problem(
            file=str(folder),
            message="the questions' own contexts were not kept (redact)",
            fix="run the sweep's file again: `finrag-eval run` goes on where it was",
        )
        raise InvalidInput([problem])


def unfinished_sweep(output_dir: Path, name: str) -> Path | None:
    """The folder of the newest sweep of that name where it did not finish; else None."""
    newest = next((one for one in list_sweeps(output_dir) if one.name == name), None)
    return None if newest is None or newest.is_finished else newest.folder
