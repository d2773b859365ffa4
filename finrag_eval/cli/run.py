"""``run`` and ``resume``: the main job."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finrag_eval.cli import options

if TYPE_CHECKING:
    from finrag_eval.record.recording import EarlyRecorder

RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Run failed trials again, too.")]
BudgetFile = Annotated[
    Path | None,
    typer.Option(
        "--budget-file",
        metavar="BUDGET.yaml",
        help="Take no more than what is left of its periods (see `costs --budget`).",
    ),
]


def register(app: typer.Typer) -> None:
    app.command("run")(run)
    app.command("resume")(resume)


def run(
    sweep: options.SweepFile,
    config: options.Config = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    environment: options.EnvironmentOption = None,
    limit: options.Limit = None,
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", metavar="X", help="Never spend more than X USD.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", metavar="N", help="Calls in flight at most.")
    ] = None,
    backend: Annotated[
        options.Backend | None, typer.Option("--backend", help="Workers of joblib.")
    ] = None,
    output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR,
    set_: options.Settings = None,
    no_tracking: options.NoTracking = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew, even if the last sweep did not finish.")
    ] = False,
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Take answers that earlier sweeps paid for already.")
    ] = False,
    retry_failed: RetryFailed = False,
    budget_file: BudgetFile = None,
    junit: options.JUnit = None,
    markdown: options.MarkdownPage = None,
    output: options.Output = options.Format.table,
    quiet: options.Quiet = False,
) -> int:
    """Validate, estimate, execute, record and summarise a sweep.

    If the newest sweep of that name did not finish, goes on with it by the spec as it is now;
    answers that are recorded are not paid for again. Ctrl-C once stops cleanly; run again to go on.
    """
    with _early_recorder(tracking=not no_tracking) as early:
        from finrag_eval.cli.display import Watch, show_result
        from finrag_eval.job import known_prompts
        from finrag_eval.session import RunOptions
        from finrag_eval.spec.sweeps import read_everything
        from finrag_eval.sweep import run_sweep

        asked = read_everything(
            sweep,
            config=config,
            overrides=_overrides(
                set_,
                experiment=experiment,
                environment=environment,
                limit=limit,
                max_usd=max_usd,
                concurrency=concurrency,
                backend=backend,
                reuse=reuse,
            ),
            known_prompts=known_prompts,
        )
        watch = Watch(quiet=quiet)
        for warning in asked.warnings:
            watch.notice(warning)
        result = run_sweep(
            asked,
            RunOptions(
                output_dir=output_dir,
                tracking_uri=tracking_uri,
                tracking=not no_tracking,
                fresh=fresh,
                retry_failed=retry_failed,
                budget_file=budget_file,
            ),
            watch,
            early,
        )
    return show_result(result, output, junit=junit, markdown=markdown)


def resume(
    sweep_id: options.SweepId,
    tracking_uri: options.TrackingUri = None,
    output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR,
    no_tracking: options.NoTracking = False,
    retry_failed: RetryFailed = False,
    budget_file: BudgetFile = None,
    max_usd: Annotated[
        float | None,
        typer.Option("--max-usd", min=0, metavar="X", help="A new cap for the sweep, in USD."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", min=1, metavar="N", help="Calls in flight at most."),
    ] = None,
    junit: options.JUnit = None,
    markdown: options.MarkdownPage = None,
    output: options.Output = options.Format.table,
    quiet: options.Quiet = False,
) -> int:
    """Finish a stopped sweep; nothing is paid for twice. It goes by the spec that it recorded."""
    with _early_recorder(tracking=not no_tracking) as early:
        from decimal import Decimal

        from finrag_eval.cli.display import Watch, show_result
        from finrag_eval.session import RunOptions
        from finrag_eval.sweep import resume_sweep

        result = resume_sweep(
            sweep_id,
            RunOptions(
                output_dir=output_dir,
                tracking_uri=tracking_uri,
                tracking=not no_tracking,
                retry_failed=retry_failed,
                budget_file=budget_file,
            ),
            Watch(quiet=quiet),
            max_usd=None if max_usd is None else Decimal(str(max_usd)),
            concurrency=concurrency,
            early=early,
        )
    return show_result(result, output, junit=junit, markdown=markdown)


def _early_recorder(*, tracking: bool) -> AbstractContextManager[EarlyRecorder | None]:
    """A recorder that loads MLflow while this process loads and reads everything else."""
    from finrag_eval.record.recording import EarlyRecorder

    return EarlyRecorder() if tracking else nullcontext()


_KEYS = {
    "experiment": "experiment",
    "environment": "environment",
    "limit": "query_set.limit",
    "max_usd": "budget.max_usd",
    "concurrency": "execution.concurrency",
    "backend": "execution.backend",
    "reuse": "reuse",
}


def _overrides(given: list[str] | None, **flags: Any) -> list[str]:
    """Flags as ``--set`` overrides; explicit ``--set`` values come last and win."""
    chosen = [
        f"{_KEYS[name]}={json.dumps(getattr(value, 'value', value))}"
        for name, value in flags.items()
        if value is not None and value is not False
    ]
    return chosen + list(given or ())
