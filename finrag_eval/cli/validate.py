"""``validate``: every problem at once, before anything is sent."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from finrag_eval.cli import options


def register(app: typer.Typer) -> None:
    app.command("validate")(validate)


def validate(
    sweep: options.SweepFile,
    config: options.Config = None,
    tracking_uri: options.TrackingUri = None,
    set_: options.Settings = None,
    online: Annotated[
        bool,
        typer.Option("--online", help="Also ask Bedrock whether each model can be used."),
    ] = False,
    output: options.Output = options.Format.table,
) -> int:
    """List every problem of spec, config, prompts and query set at once; send nothing."""
    from finrag_eval.spec.sweeps import read_everything
    from finrag_eval.sweep import known_prompts, preflight

    asked = read_everything(sweep, config=config, overrides=set_ or [], known_prompts=known_prompts)
    findings = preflight(asked, tracking_uri=tracking_uri, online=online)
    spec = asked.spec
    cells = len(spec.models) * len(spec.prompts)
    trials = cells * len(asked.query_set.queries) * spec.repeats
    if output is options.Format.json:
        document = {
            "errors": [],
            "warnings": list(asked.warnings),
            "findings": [finding.as_json() for finding in findings],
            "sweep": spec.name,
            "cells": cells,
            "queries": len(asked.query_set.queries),
            "trials": trials,
        }
        typer.echo(json.dumps(document, indent=2))
        return 0
    for warning in asked.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for finding in findings:
        typer.echo(str(finding), err=True)
    typer.echo(
        f"{sweep}: ok. {cells} cells x {len(asked.query_set.queries)} queries"
        f" x {spec.repeats} = {trials} trials"
    )
    return 0
