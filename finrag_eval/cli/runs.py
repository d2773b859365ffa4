"""``runs``: child runs by MLflow's filter language, dear, slow and poorly retrieved ones first."""

from __future__ import annotations

import csv
import io
import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from finrag_eval.cli import options


class View(StrEnum):
    """Questions that users ask most often of their runs."""

    slow = "slow"
    dear = "dear"
    poor_retrieval = "poor-retrieval"
    no_kpi = "no-kpi"
    failed = "failed"


#: Filter, order and columns of each view.
_VIEWS: dict[View, tuple[str, str, tuple[str, ...]]] = {
    View.slow: (
        "metrics.latency_total_seconds > 30",
        "-metrics.latency_total_seconds",
        ("params.model_key", "metrics.latency_total_seconds", "params.query_preview"),
    ),
    View.dear: (
        "metrics.cost_usd > 0.01",
        "-metrics.cost_usd",
        ("params.model_key", "metrics.cost_usd", "params.query_preview"),
    ),
    View.poor_retrieval: (
        "metrics.rag_chunks_count < 3",
        "metrics.rag_chunks_count",
        ("metrics.rag_chunks_count", "metrics.kpi_matches_count", "params.query_preview"),
    ),
    View.no_kpi: (
        "metrics.kpi_matches_count = 0",
        "metrics.rag_chunks_count",
        ("metrics.rag_chunks_count", "metrics.kpi_matches_count", "params.query_preview"),
    ),
    View.failed: (
        "tags.status = 'failed'",
        "-attributes.start_time",
        ("params.model_key", "tags.error_type", "tags.error_message", "params.query_preview"),
    ),
}
_COLUMNS = (
    "params.model_key",
    "metrics.cost_usd",
    "metrics.latency_total_seconds",
    "params.query_preview",
)


def register(app: typer.Typer) -> None:
    app.command("runs")(runs)


class RunsFormat(StrEnum):
    """How runs are printed."""

    table = "table"
    csv = "csv"
    json = "json"


def runs(
    where: Annotated[
        str | None,
        typer.Option(
            "--where", metavar="FILTER", help="As in MLflow: metrics.latency_total_seconds > 30"
        ),
    ] = None,
    view: Annotated[View | None, typer.Option("--view", help="A filter made ready.")] = None,
    sweep: Annotated[
        str | None, typer.Option("--sweep", metavar="SWEEP_ID", help="Only this sweep's trials.")
    ] = None,
    experiment: Annotated[
        list[str] | None,
        typer.Option("--experiment", "-e", metavar="NAME", help="Only this one. Repeatable."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="A,B", help="Like metrics.cost_usd,tags.status"),
    ] = None,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="COLUMN", help="A minus sorts downwards.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most N runs.")] = 20,
    output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR,
    tracking_uri: options.TrackingUri = None,
    output: Annotated[RunsFormat, typer.Option("--format", help="Table, CSV or JSON.")] = (
        RunsFormat.table
    ),
) -> int:
    """Search the recorded trials; --view slow|dear|poor-retrieval|no-kpi|failed."""
    from finrag_eval.record.store_uri import resolve_tracking_uri
    from finrag_eval.record.tracked import TrackedStore

    ready, order, shown = _VIEWS[view] if view else ("", "-attributes.start_time", _COLUMNS)
    conditions = ["tags.`finrag_eval.kind` = 'trial'", ready, where or ""]
    if sweep is not None:
        conditions.append(f"tags.`finrag_eval.sweep_id` = '{_full_id(sweep, output_dir)}'")
    names = [name.strip() for name in columns.split(",")] if columns else list(shown)
    found = TrackedStore(uri=resolve_tracking_uri(tracking_uri)).search(
        " and ".join(condition for condition in conditions if condition),
        experiments=experiment or (),
        order_by=[_order(sort or order)],
        limit=limit,
    )
    rows = [{"run_id": run.run_id, **{name: _value(run, name) for name in names}} for run in found]
    _print(rows, ["run_id", *names], output)
    return 0


def _full_id(sweep: str, output_dir: Any) -> str:
    from finrag_eval.record.ledger import find_sweep

    return find_sweep(output_dir, sweep).name


def _order(sort: str) -> str:
    """``-metrics.cost_usd`` as MLflow writes it: ``metrics.cost_usd DESC``."""
    return f"{sort[1:]} DESC" if sort.startswith("-") else f"{sort} ASC"


def _value(run: Any, column: str) -> Any:
    kind, _, name = column.partition(".")
    name = name.strip("`")
    places = {"metrics": run.metrics, "params": run.params, "tags": run.tags}
    if kind in places:
        return places[kind].get(name)
    known = {"run_name": run.name, "start_time": run.started_at, "end_time": run.ended_at}
    return known.get(name or kind, getattr(run, name or kind, None))


def _print(rows: list[dict[str, Any]], names: list[str], output: RunsFormat) -> None:
    if output is RunsFormat.json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if output is RunsFormat.csv:
        from finrag_eval.report.safe_text import csv_safe

        page = io.StringIO(newline="")
        writer = csv.writer(page)
        writer.writerow(names)
        writer.writerows([csv_safe(row[name]) for name in names] for row in rows)
        typer.echo(page.getvalue(), nl=False)
        return
    if not rows:
        typer.echo("no such runs")
        return
    from finrag_eval.cli.display import width
    from finrag_eval.report.spend_tables import plain_table

    typer.echo(plain_table(rows, names, width=width()))
