"""``sync``: the tracking store brought level with the ledger."""

from __future__ import annotations

import json

import typer

from finrag_eval.cli import options


def register(app: typer.Typer) -> None:
    app.command("sync")(sync)


def sync(
    sweep_id: options.SweepId,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR,
    output: options.Output = options.Format.table,
    quiet: options.Quiet = False,
) -> int:
    """Bring the tracking store level with a sweep's ledger. Run it as often as you like.

    Exactly one finished child run a trial, whatever the store missed while it was away.
    """
    from finrag_eval.again import sync_again
    from finrag_eval.cli.display import Watch

    level = sync_again(
        sweep_id,
        output_dir=output_dir,
        tracking_uri=tracking_uri,
        experiment=experiment,
        watch=Watch(quiet=quiet),
    )
    if output is options.Format.json:
        document = {
            "level": level.is_level,
            "recorded": level.recorded,
            "behind": level.behind,
            "reason": level.reason,
        }
        typer.echo(json.dumps(document, indent=2))
    elif level.is_level:
        typer.echo(f"level: {level.recorded} trials are recorded")
    else:
        typer.echo(
            f"not level yet: {level.recorded} recorded, {level.behind} behind; {level.reason}"
        )
    return 0 if level.is_level else 6
