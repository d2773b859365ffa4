"""``plan``: what a sweep will cost and take, and what it can find out; calls no model."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from finrag_eval.cli import options


def register(app: typer.Typer) -> None:
    app.command("plan")(plan)


def plan(
    sweep: options.SweepFile,
    config: options.Config = None,
    output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR,
    set_: options.Settings = None,
    limit: options.Limit = None,
    models: Annotated[
        str | None, typer.Option("--models", metavar="A,B,C", help="What if: these models.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", min=1, metavar="N", help="What if: N repeats.")
    ] = None,
    price_change: Annotated[
        list[str] | None,
        typer.Option("--price-change", metavar="MODEL=0.5x", help="What if: other prices."),
    ] = None,
    every_query: Annotated[
        bool,
        typer.Option("--every-query", help="Measure every prompt, not a sample of 1,000 queries."),
    ] = False,
    exact_tokens: Annotated[
        bool,
        typer.Option(
            "--exact-tokens",
            help="Have Bedrock count the prompts' tokens, where a model can be counted (free).",
        ),
    ] = False,
    detect: Annotated[
        float | None,
        typer.Option("--detect", min=1e-6, metavar="D", help="Queries it takes to find D."),
    ] = None,
    fail_over: Annotated[
        float | None,
        typer.Option(
            "--fail-over",
            min=0,
            metavar="USD",
            help="Exit with 3 where the 95th percentile of the cost is above USD.",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Plan a new sweep, even if the last did not finish.")
    ] = False,
    output: options.Output = options.Format.table,
) -> int:
    """Say what a sweep will cost and take, with a range. Sends nothing.

    Shows the matrix, too, and what differences its questions can find.

    Retrieval and prompts are real. Costs are fitted on this output folder's recorded trials, where
    there are any.
    """
    from finrag_eval.cli.display import Watch, width
    from finrag_eval.job import job_of, known_prompts
    from finrag_eval.planning import plan_report, price_factor
    from finrag_eval.report.plan_text import plan_text
    from finrag_eval.spec.sweeps import read_everything
    from finrag_eval.sweep import unfinished_sweep

    what_if = [f"models={json.dumps([one.strip() for one in models.split(',')])}"] if models else []
    if repeats is not None:
        what_if.append(f"repeats={repeats}")
    if limit is not None:
        what_if.append(f"query_set.limit={limit}")
    asked = read_everything(
        sweep, config=config, overrides=[*(set_ or ()), *what_if], known_prompts=known_prompts
    )
    for warning in asked.warnings:
        typer.echo(f"warning: {warning}", err=True)
    job = job_of(asked)
    report = plan_report(
        job,
        output_dir=output_dir,
        unfinished=None if fresh else unfinished_sweep(output_dir, asked.spec.name),
        price_factors=dict(price_factor(text) for text in price_change or ()),
        every_query=every_query,
        detect=detect,
        exact_tokens=exact_tokens,
        watch=Watch(),
    )
    if output is options.Format.json:
        typer.echo(json.dumps(report, indent=2))
    else:
        typer.echo(plan_text(report, width=width()))
    return 3 if fail_over is not None and report["usd"]["high"] > fail_over else 0
