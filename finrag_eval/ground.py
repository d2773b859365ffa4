"""Can this sweep start? Everything that can be known to be wrong before the first call.

Enters: a job and how it is to be run. Leaves: the store to record in, or InvalidInput with every
problem at once. Nothing is sent and nothing is written.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from finrag_eval.batching import batch_problems
from finrag_eval.domain import BUILT_IN_TARGET, SweepSpec
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.job import SweepJob
from finrag_eval.progress import Watch
from finrag_eval.provenance import utc_now
from finrag_eval.record.ground import tracking_problems
from finrag_eval.record.store_uri import mask_uri, resolve_tracking_uri
from finrag_eval.score.scorers import build_scorers
from finrag_eval.session import RunOptions
from finrag_eval.spec.files import shown

if TYPE_CHECKING:
    from finrag_eval.costs.caps import Cap


def check_ground(
    job: SweepJob, options: RunOptions, *, folder: Path | None, watch: Watch
) -> str | None:
    """The store to record in, None for none; raises InvalidInput with all that forbids to start.

    ``folder`` is that of a sweep to be gone on with, None of a new one.
    """
    problems = [*scorer_problems(job.spec, job.prompts_folder), *credential_problems(job)]
    problems += batch_problems(job, folder, retry_failed=options.retry_failed)
    uri: str | None = None
    if options.tracking:
        uri = resolve_tracking_uri(options.tracking_uri)
        more, away = tracking_problems(
            uri,
            experiment=job.spec.experiment,
            tracking=job.spec.tracking,
            resumed=folder is not None,
            results_folder=options.output_dir,
        )
        problems += more
        if away is not None:
            watch.notice(
                f"the tracking store {mask_uri(uri)} is away ({away}); answers go into the "
                "ledger, and recording is tried again"
            )
    if problems:
        raise InvalidInput(problems)
    return uri


def period_caps(job: SweepJob, options: RunOptions, folder: Path | None) -> list[Cap]:
    """What the budgets of ``--budget-file`` leave to this sweep; none without a file."""
    if options.budget_file is None:
        return []
    from finrag_eval.costs.caps import budget_caps

    return budget_caps(
        options.budget_file,
        job.spec,
        job.models,
        tracking_uri=resolve_tracking_uri(options.tracking_uri),
        now=utc_now(),
        output_dir=options.output_dir,
        sweep_id=None if folder is None else folder.name,
    )


def budgets_turn(options: RunOptions) -> AbstractContextManager[None]:
    """The output folder's turn at the budgets of ``--budget-file``; nothing without a file."""
    if options.budget_file is None:
        return nullcontext()
    from finrag_eval.costs.caps import budget_turn

    return budget_turn(options.output_dir)


def scorer_problems(spec: SweepSpec, rubrics: Path | None) -> list[Problem]:
    """What is wrong with scorers of the user's own: modules, functions, rubrics."""
    try:
        build_scorers(spec.scorers, rubrics=rubrics)
    except InvalidInput as error:
        file = "scorers" if spec.source is None else shown(spec.source)
        return [replace(problem, file=file) for problem in error.problems]
    return []


def credential_problems(job: SweepJob) -> list[Problem]:
    """What is missing to call the sweep's Bedrock models; nothing is sent to find out."""
    models = [model for model in job.models.values() if model.provider == "bedrock"]
    if not models or job.spec.target != BUILT_IN_TARGET:
        return []
    from finrag_eval.synthesis_pipeline.bedrock import credentials_problem

    found = (credentials_problem(model) for model in models)
    return list(dict.fromkeys(problem for problem in found if problem is not None))
