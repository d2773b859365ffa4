"""``models`` and ``prompts``: what the config and the prompt folders offer."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finrag_eval.cli import options

if TYPE_CHECKING:
    from finrag_eval.spec.ml_config import MlConfig
    from finrag_eval.synthesis_pipeline.prompt_library import Prompt


def register(app: typer.Typer) -> None:
    app.command("models")(models)
    verbs = typer.Typer(
        help="Prompt versions: system prompts and query templates.",
        invoke_without_command=True,
        rich_markup_mode=None,
    )
    verbs.callback()(prompts)
    verbs.command("show")(show)
    verbs.command("diff")(diff)
    app.add_typer(verbs, name="prompts")


def models(
    config: options.Config = None,
    check_prices: Annotated[
        bool,
        typer.Option(
            "--check-prices",
            help="Set the configured prices against the genai-prices package (extra `prices`).",
        ),
    ] = False,
    output: options.Output = options.Format.table,
) -> int:
    """The models of ml_config.yaml with their prices. In USD per 1,000 tokens."""
    from finrag_eval.cli.display import width
    from finrag_eval.report.listings import models_table, prices_table

    found = _read_config(config)
    if check_prices:
        from finrag_eval.price_check import check_prices as check

        drifts = check(found.models.values())
        if output is options.Format.json:
            typer.echo(json.dumps([drift.as_json() for drift in drifts], indent=2))
        else:
            typer.echo(prices_table(drifts, width=width()))
        return 0
    if output is options.Format.json:
        from finrag_eval.spec.model_entries import entry_of

        entries = {key: entry_of(model) for key, model in found.models.items()}
        document = {"default": found.default_model, "models": entries, "broken": list(found.broken)}
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(
            models_table(
                found.models.values(),
                default=found.default_model,
                broken=found.broken,
                width=width(),
            )
        )
    return 0


def prompts(
    context: typer.Context,
    config: options.Config = None,
    output: options.Output = options.Format.table,
) -> None:
    if context.invoked_subcommand is not None:
        return
    listing = [
        {"kind": text.kind, "version": text.version, "description": text.description}
        for text in _prompts(config)
    ]
    if output is options.Format.json:
        typer.echo(json.dumps(listing, indent=2))
        return
    from finrag_eval.report.terminal import terminal_safe

    for row in listing:
        typer.echo(terminal_safe(f"{row['kind']:<7} {row['version']:<6} {row['description']}"))


def show(version: str, config: options.Config = None) -> None:
    """Print the system prompt and the query template of a version."""
    from finrag_eval.report.terminal import terminal_safe

    for text in _prompts(config, version):
        typer.echo(
            terminal_safe(f"--- {text.kind} {text.version}: {text.description}\n{text.text}")
        )


def diff(before: str, after: str, config: options.Config = None) -> None:
    """What changed from one version to another, line by line."""
    from finrag_eval.report.terminal import terminal_safe

    olds = {text.kind: text for text in _prompts(config, before)}
    news = {text.kind: text for text in _prompts(config, after)}
    for kind in sorted(olds.keys() & news.keys()):
        lines = difflib.unified_diff(
            olds[kind].text.splitlines(),
            news[kind].text.splitlines(),
            f"{kind} {before}",
            f"{kind} {after}",
            lineterm="",
        )
        for line in lines:
            typer.echo(terminal_safe(line))


def _read_config(config: Path | None) -> MlConfig:
    from finrag_eval.errors import InvalidInput, Problem
    from finrag_eval.spec.ml_config import find_ml_config, read_ml_config

    problems: list[Problem] = []
    found = read_ml_config(find_ml_config(config), problems=problems)
    if found is None:
        raise InvalidInput(problems)
    return found


def _prompts(config: Path | None, version: str | None = None) -> list[Prompt]:
    """All prompts, or those of one version; InvalidInput where there is none."""
    from finrag_eval.errors import InvalidInput, Problem
    from finrag_eval.synthesis_pipeline.prompt_library import PromptLibrary

    library = PromptLibrary(_read_config(config).pipeline.prompts_folder)
    every = library.texts()
    chosen = [one for one in every if version in (None, one.version)]
    if not chosen:
        known = ", ".join(dict.fromkeys(one.version for one in every))
        raise InvalidInput(
            [
                Problem(
                    file="command line",
                    message=f"no prompt version {version!r}",
                    fix=f"known: {known}",
                )
            ]
        )
    return chosen
