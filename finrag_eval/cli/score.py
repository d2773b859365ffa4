"""``score``: recorded answers scored again, with other scorers; no answer is paid for."""

from __future__ import annotations

from typing import Annotated

import typer

from finrag_eval.cli import options


def register(app: typer.Typer) -> None:
    app.command("score")(score)


def score(
    sweep_id: options.SweepId,
    scorers: Annotated[
        list[str] | None,
        typer.Option(
            "--scorer",
            metavar="NAME",
            help="A scorer, or a mapping such as '{name: exact, kind: exact}'. Repeatable. "
            "Default: the sweep's own.",
        ),
    ] = None,
    config: options.Config = None,
    output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR,
    tracking_uri: options.TrackingUri = None,
    no_tracking: options.NoTracking = False,
    output: options.Output = options.Format.table,
    quiet: options.Quiet = False,
) -> int:
    """Score a sweep's recorded answers again. Writes to the same child runs and the summary.

    No answer is paid for twice. Judges are asked for verdicts that are not there yet, within the
    sweep's budget.
    """
    from finrag_eval.again import score_again
    from finrag_eval.cli.display import Watch, show_result

    result = score_again(
        sweep_id,
        scorers=scorers,
        output_dir=output_dir,
        tracking_uri=tracking_uri,
        tracking=not no_tracking,
        watch=Watch(quiet=quiet),
        config=config,
    )
    return show_result(result, output)
