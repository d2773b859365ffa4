"""``validate``: every problem at once, before anything is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from finrag_eval.cli import options

if TYPE_CHECKING:
    from finrag_eval.spec.sweeps import Asked
    from finrag_eval.synthesis_pipeline.bedrock.preflight import Finding


def register(app: typer.Typer) -> None:
    app.command("validate")(validate)


def validate(
    sweep: options.SweepFile,
    config: options.Config = None,
    set_: options.Settings = None,
    online: Annotated[
        bool,
        typer.Option("--online", help="Also ask Bedrock whether each model can be used."),
    ] = False,
    output: options.Output = options.Format.table,
) -> int:
    """List every problem of spec, config, prompts and query set at once; send nothing."""
    from finrag_eval.job import known_prompts
    from finrag_eval.spec.sweeps import read_everything

    asked = read_everything(sweep, config=config, overrides=set_ or [], known_prompts=known_prompts)
    spec = asked.spec
    findings = _ask_bedrock(asked) if online else []
    cells = len(spec.models) * len(spec.prompts)
    trials = cells * len(asked.query_set.queries) * spec.repeats
    if output is options.Format.json:
        document = {
            "errors": [],
            "warnings": list(asked.warnings),
            "online": [finding.as_json() for finding in findings],
            "sweep": spec.name,
            "cells": cells,
            "queries": len(asked.query_set.queries),
            "trials": trials,
        }
        typer.echo(json.dumps(document, indent=2))
        return _code(findings)
    for warning in asked.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for finding in findings:
        typer.echo(str(finding), err=True)
    typer.echo(
        f"{sweep}: ok. {cells} cells x {len(asked.query_set.queries)} queries"
        f" x {spec.repeats} = {trials} trials"
    )
    return _code(findings)


def _ask_bedrock(asked: Asked) -> list[Finding]:
    """One finding a Bedrock model: whether it exists, is current, and may be used."""
    from finrag_eval.job import job_of
    from finrag_eval.synthesis_pipeline.bedrock.preflight import find_out

    return find_out(job_of(asked).models.values())


def _code(findings: list[Finding]) -> int:
    return 2 if any(finding.is_problem for finding in findings) else 0
