"""``validate``: every problem at once, before anything is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from finrag_eval.cli import options

if TYPE_CHECKING:
    from finrag_eval.errors import Problem
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
    """List every problem of a sweep at once. Sends nothing.

    Reads the spec, the model config, the prompts and the query set.
    """
    from finrag_eval.errors import InvalidInput
    from finrag_eval.ground import scorer_problems
    from finrag_eval.job import known_prompts
    from finrag_eval.spec.sweeps import read_everything

    asked = read_everything(sweep, config=config, overrides=set_ or [], known_prompts=known_prompts)
    spec = asked.spec
    if faulty := scorer_problems(spec, asked.ml_config.pipeline.prompts_folder):
        raise InvalidInput(faulty)
    findings, problems = _ask_bedrock(asked) if online else ([], [])
    cells = len(spec.models) * len(spec.prompts)
    trials = cells * len(asked.query_set.queries) * spec.repeats
    if output is options.Format.json:
        document = {
            "errors": [problem.as_json() for problem in problems],
            "warnings": list(asked.warnings),
            "online": [finding.as_json() for finding in findings],
            "sweep": spec.name,
            "cells": cells,
            "queries": len(asked.query_set.queries),
            "trials": trials,
        }
        typer.echo(json.dumps(document, indent=2))
        return 2 if problems else 0
    for warning in asked.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for finding in findings:
        typer.echo(str(finding), err=True)
    if problems:
        typer.echo(f"{sweep}: {len(problems)} of {len(findings)} models cannot be used")
        return 2
    typer.echo(
        f"{sweep}: ok. {cells} cells x {len(asked.query_set.queries)} queries"
        f" x {spec.repeats} = {trials} trials"
    )
    return 0


def _ask_bedrock(asked: Asked) -> tuple[list[Finding], list[Problem]]:
    """One finding a Bedrock model: whether it exists, is current, and may be used; and the
    problems among them, at the models' entries."""
    from finrag_eval.job import job_of
    from finrag_eval.synthesis_pipeline.bedrock.preflight import find_out

    models = job_of(asked).models
    findings = find_out(models.values())
    return findings, [
        finding.as_problem(models[finding.model_key].where)
        for finding in findings
        if finding.is_problem
    ]
