"""``sweeps``: what the output folder holds; ``sweeps prune`` removes old ones."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from finrag_eval.cli import options

_DAY_SECONDS = 86_400


def register(app: typer.Typer) -> None:
    verbs = typer.Typer(
        help="The sweeps of the output folder. With id, name, status, trials done, USD and age.",
        invoke_without_command=True,
        rich_markup_mode=None,
    )
    verbs.callback()(sweeps)
    verbs.command("prune")(prune)
    verbs.command("export")(export)
    app.add_typer(verbs, name="sweeps")


def sweeps(
    context: typer.Context,
    output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR,
    output: options.Output = options.Format.table,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from finrag_eval.record.ledger import list_sweeps

    found = list_sweeps(output_dir)
    if output is options.Format.json:
        typer.echo(json.dumps([listing.as_json() for listing in found], indent=2))
        return
    if not found:
        typer.echo(f"no sweeps in {output_dir}; `finrag-eval run sweeps/quickstart.yaml` makes one")
        return
    from finrag_eval.cli.display import has_colour, width
    from finrag_eval.report.listings import sweeps_table

    typer.echo(sweeps_table(found, now=time.time(), width=width(), colour=has_colour()))


def prune(
    older_than_days: Annotated[
        float, typer.Option("--older-than", min=0, metavar="DAYS", help="Age of the last change.")
    ],
    output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, only say what.")] = False,
) -> None:
    """Remove the ledgers and trial texts of old sweeps; their summaries stay.

    A sweep that has no summary of all that it did yet is left alone.
    """
    from finrag_eval.record.ledger import prune as prune_sweeps

    age = older_than_days * _DAY_SECONDS
    gone = prune_sweeps(output_dir, older_than_seconds=age, dry_run=not yes)
    for pruned in gone:
        typer.echo(f"{pruned.sweep_id}  {pruned.freed_bytes / 1e6:.1f} MB")
    verb = "removed" if yes else "would be removed (add --yes)"
    typer.echo(f"{len(gone)} sweeps {verb}; their summaries stay", err=True)
    for sweep_id in _unsummarised(output_dir, before=time.time() - age):
        typer.echo(
            f"{sweep_id} has no summary of all that it did and is left alone; "
            f"`finrag-eval summary {sweep_id}` makes one",
            err=True,
        )


def _unsummarised(output_dir: Path, *, before: float) -> list[str]:
    from finrag_eval.record.ledger import lacks_summary, list_sweeps

    return [
        one.sweep_id
        for one in list_sweeps(output_dir)
        if one.running_pid is None and (one.last_active_at or before) < before
        if lacks_summary(one)
    ]


def export(
    sweep_id: options.SweepId, output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR
) -> None:
    """Print a sweep's whole ledger as JSON lines, answers and contexts included, as jq reads them.

    Each line has a `type`: sweep, session, cell, query, attempt or trial.
    """
    from finrag_eval.record.ledger import export_jsonl, find_sweep

    export_jsonl(find_sweep(output_dir, sweep_id), sys.stdout)
