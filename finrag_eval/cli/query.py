"""``query``: one question through the pipeline, tracked as one MLflow run."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from finrag_eval.cli import options
from finrag_eval.cli.options import EnvironmentName


def register(app: typer.Typer) -> None:
    app.command("query")(query)


def query(
    query: Annotated[
        str | None,
        typer.Option(
            "--query",
            "-q",
            metavar="TEXT",
            help="The question. Default: the seed question on NVIDIA and Microsoft 2018-2020.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="KEY", help="Model key. Default: the config's default model."
        ),
    ] = None,
    experiment: Annotated[
        str, typer.Option("--experiment", "-e", metavar="NAME", help="MLflow experiment.")
    ] = "FinRAG-Synthesis",
    environment: Annotated[
        EnvironmentName, typer.Option("--environment", help="Tag of the run.")
    ] = EnvironmentName.development,
    no_tracking: options.NoTracking = False,
    no_export_context: Annotated[
        bool, typer.Option("--no-export-context", help="Write no context file.")
    ] = False,
    export_response: Annotated[
        bool,
        typer.Option("--export-response/--no-export-response", help="Write the whole response."),
    ] = True,
    system_prompt_version: Annotated[
        str, typer.Option("--system-prompt-version", metavar="V", help="System prompt.")
    ] = "v1",
    query_template_version: Annotated[
        str, typer.Option("--query-template-version", metavar="V", help="Query template.")
    ] = "v1",
    no_kpi: Annotated[bool, typer.Option("--no-kpi", help="Leave out the KPI snapshot.")] = False,
    no_rag: Annotated[bool, typer.Option("--no-rag", help="Leave out the passages.")] = False,
    config: options.Config = None,
    tracking_uri: options.TrackingUri = None,
    output: options.Output = options.Format.table,
) -> int:
    """Ask one question; print the answer; record it as an MLflow run.

    Exit code 5 where no answer came, 6 where the store did not take the run.
    """
    from finrag_eval.tracked_query import ask

    asked = ask(
        query,
        model_key=model,
        include_kpi=not no_kpi,
        include_rag=not no_rag,
        export_context=not no_export_context,
        export_response=export_response,
        experiment_name=experiment,
        environment=environment.value,
        system_prompt_version=system_prompt_version,
        query_template_version=query_template_version,
        config=config,
        tracking_uri=tracking_uri,
        tracking=not no_tracking,
    )
    if output is options.Format.json:
        document = {"result": asked.result, "run_id": asked.run_id, "run_url": asked.run_url}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        from finrag_eval.cli.display import width
        from finrag_eval.report.terminal import query_report

        typer.echo(query_report(asked.result, run_url=asked.run_url, width=width()))
    if asked.not_tracked is not None:
        typer.echo(f"not tracked: {asked.not_tracked}", err=True)
    if asked.result.get("error"):
        return 5
    return 6 if asked.not_tracked is not None else 0
