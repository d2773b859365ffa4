"""``runs``: child runs by MLflow's filter language, dear, slow and poorly retrieved ones first."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finrag_eval.cli import options
from finrag_eval.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from finrag_eval.record.tracked import TrackedRun, TrackedStore


class View(StrEnum):
    """Questions that users ask most often of their runs."""

    slow = "slow"
    dear = "dear"
    poor_retrieval = "poor-retrieval"
    no_kpi = "no-kpi"
    failed = "failed"


class RunsFormat(StrEnum):
    """How runs are printed."""

    table = "table"
    csv = "csv"
    json = "json"


_WHO = ("tags.finrag_eval.query_id", "params.model_key")
_QUESTION = "params.query_preview"

#: Filter, order and columns of each view.
_VIEWS: dict[View, tuple[str, str, tuple[str, ...]]] = {
    View.slow: (
        "metrics.latency_total_seconds > 30",
        "-metrics.latency_total_seconds",
        (*_WHO, "metrics.latency_total_seconds", _QUESTION),
    ),
    View.dear: (
        "metrics.cost_usd > 0.01",
        "-metrics.cost_usd",
        (*_WHO, "metrics.cost_usd", _QUESTION),
    ),
    View.poor_retrieval: (
        "metrics.rag_chunks_count < 3",
        "metrics.rag_chunks_count",
        (*_WHO, "metrics.rag_chunks_count", "metrics.kpi_matches_count", _QUESTION),
    ),
    View.no_kpi: (
        "metrics.kpi_matches_count = 0",
        "metrics.rag_chunks_count",
        (*_WHO, "metrics.rag_chunks_count", _QUESTION),
    ),
    View.failed: (
        "tags.status = 'failed'",
        "-attributes.start_time",
        (*_WHO, "tags.error_type", "tags.error_message"),
    ),
}
_COLUMNS = (*_WHO, "metrics.cost_usd", "metrics.latency_total_seconds", _QUESTION)
_ATTRIBUTES = ("run_id", "run_name", "status", "start_time", "end_time", "experiment")
_KINDS = ("metrics", "params", "tags", "attributes")


def register(app: typer.Typer) -> None:
    app.command("runs")(runs)


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
        str | None,
        typer.Option("--sort", metavar="COLUMN", help="Like -metrics.cost_usd: - is downwards."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most N runs.")] = 20,
    output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR,
    tracking_uri: options.TrackingUri = None,
    output: Annotated[RunsFormat, typer.Option("--format", help="Table, CSV or JSON.")] = (
        RunsFormat.table
    ),
) -> int:
    """Search the recorded trials and queries of all sweeps, or of one.

    Views: slow (above 30 s), dear (above $0.01), poor-retrieval (fewer than 3 passages), no-kpi
    (no figure found) and failed. A view, --where and --sweep hold together.
    """
    from finrag_eval.record.store_uri import resolve_tracking_uri
    from finrag_eval.record.tracked import TrackedStore

    ready, order, shown = _VIEWS[view] if view else ("", "-attributes.start_time", _COLUMNS)
    conditions = ["tags.`finrag_eval.kind` = 'trial'", ready, where or ""]
    if sweep is not None:
        conditions.append(f"tags.`finrag_eval.sweep_id` = '{_full_id(sweep, output_dir)}'")
        whose = conditions[-1]
    names = _checked("--columns", columns.split(",") if columns else shown)
    (sorting,) = _checked("--sort", [(sort or order).removeprefix("-")])
    store = TrackedStore(uri=resolve_tracking_uri(tracking_uri))
    found = list(
        store.search(
            " and ".join(condition for condition in conditions if condition),
            experiments=experiment or (),
            order_by=[_order(sorting, is_downwards=(sort or order).startswith("-"))],
            limit=limit,
        )
    )
    if sweep is not None and not found and not any(store.search(whose, limit=1)):
        raise InvalidInput([_no_sweep(sweep, store)])
    for name in dict.fromkeys([sorting, *names]) if sort or columns else ():
        if found and all(_value(run, name) is None for run in found):
            typer.echo(f"note: no run that is shown has {name}{_near(name, found)}", err=True)
    rows = [{"run_id": run.run_id, **{name: _value(run, name) for name in names}} for run in found]
    _print(rows, ["run_id", *names], output, limit)
    return 0


def _full_id(sweep: str, output_dir: Path) -> str:
    """The whole id where the sweep is in the output folder, else the id as it was given."""
    from finrag_eval.record.ledger import LATEST, find_sweep

    try:
        return find_sweep(output_dir, sweep).name
    except InvalidInput:
        if sweep == LATEST or "'" in sweep:
            raise
        return sweep


def _no_sweep(sweep: str, store: TrackedStore) -> Problem:
    known = [run.tags.get("finrag_eval.sweep_id", "") for run in store.sweeps()]
    near = difflib.get_close_matches(sweep, known, n=1, cutoff=0.3)
    return Problem(
        file="command line",
        key="--sweep",
        message=f"neither the output folder nor the store has a sweep {sweep!r}",
        fix=f"did you mean {near[0]}?" if near else "see `finrag-eval sweeps`",
    )


def _checked(option: str, names: Sequence[str]) -> list[str]:
    """Column names without backticks and blanks; InvalidInput names every wrong one."""
    clean = [name.strip().replace("`", "") for name in names if name.strip()]
    problems = [_wrong_column(option, name) for name in clean if not _is_column(name)]
    if not clean:
        problems = [_wrong_column(option, "")]
    if problems:
        raise InvalidInput(problems)
    return clean


def _near(name: str, found: Sequence[TrackedRun]) -> str:
    """The name that was meant, perhaps, out of those that the runs have."""
    known = {
        f"{kind}.{key}"
        for run in found
        for kind, held in (("metrics", run.metrics), ("params", run.params), ("tags", run.tags))
        for key in held
    }
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _is_column(name: str) -> bool:
    kind, _, key = name.partition(".")
    return kind in _KINDS and bool(key) and (kind != "attributes" or key in _ATTRIBUTES)


def _wrong_column(option: str, name: str) -> Problem:
    bare = name.rpartition(".")[2]
    near = [f"{kind}.{bare}" for kind in _KINDS[:3] if bare] + [
        f"attributes.{bare}" for _ in (0,) if bare in _ATTRIBUTES
    ]
    fix = f"write {', '.join(near[:-1])} or {near[-1]}" if near else "name one"
    if name.startswith("attributes."):
        fix = "known attributes: " + ", ".join(_ATTRIBUTES)
    return Problem(
        file="command line", key=option, message=f"{name!r} names no column of runs", fix=fix
    )


def _order(name: str, *, is_downwards: bool) -> str:
    """A column and a direction as MLflow writes them."""
    kind, _, key = name.partition(".")
    return f"{kind}.`{key}` {'DESC' if is_downwards else 'ASC'}"


def _value(run: TrackedRun, column: str) -> Any:
    kind, _, key = column.partition(".")
    match kind:
        case "metrics":
            return run.metrics.get(key)
        case "params":
            return run.params.get(key)
        case "tags":
            return run.tags.get(key)
    known = {
        "run_id": run.run_id,
        "run_name": run.name,
        "status": run.status,
        "start_time": _iso(run.started_at),
        "end_time": _iso(run.ended_at),
        "experiment": run.experiment,
    }
    return known[key]


def _iso(instant: float | None) -> str | None:
    if instant is None:
        return None
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _print(
    rows: Sequence[dict[str, Any]], names: Sequence[str], output: RunsFormat, limit: int
) -> None:
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
    from finrag_eval.report.spend_tables import runs_table

    # Ids of the bulk lane grow: their ends are what differs.
    short = [{**row, "run_id": f"…{row['run_id'][-8:]}"} for row in rows]
    typer.echo(runs_table(short, names, width=width()))
    if len(rows) == limit:
        typer.echo(f"\nthe first {limit}; --limit shows more, --format csv has whole run ids")
