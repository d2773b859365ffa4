"""``costs``: what was spent over time, set against budgets."""

from __future__ import annotations

import json
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finrag_eval.cli import options

if TYPE_CHECKING:
    import pandas as pd

    from finrag_eval.costs.budgets import BudgetStatus


class CostsFormat(StrEnum):
    """How a cost report is printed."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"


def register(app: typer.Typer) -> None:
    app.command("costs")(costs)


def costs(
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="YYYY-MM-DD", help="First day. Default: the first of the month."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="YYYY-MM-DD", help="Last day, included.")
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="A,B",
            help="day, week, month, model_key, prompt_version, environment, experiment, sweep, "
            "sweep_id, query_tag; several with commas.",
        ),
    ] = "day,model_key",
    experiment: Annotated[
        list[str] | None,
        typer.Option("--experiment", "-e", metavar="NAME", help="Only this one. Repeatable."),
    ] = None,
    budget: Annotated[
        Path | None,
        typer.Option("--budget", metavar="BUDGET.yaml", help="Set spending against these budgets."),
    ] = None,
    enforce: Annotated[
        bool, typer.Option("--enforce", help="Exit with 3 where a budget is passed.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png|.html", help="A chart of the spending by day."),
    ] = None,
    tz: Annotated[str, typer.Option("--tz", metavar="ZONE", help="Where days begin.")] = "UTC",
    tracking_uri: options.TrackingUri = None,
    output: Annotated[
        CostsFormat, typer.Option("--format", help="Table, CSV, JSON or Markdown.")
    ] = CostsFormat.table,
) -> int:
    """What was spent over time, read from the tracking store.

    Real money and rehearsal figures are never added to each other. Each trial counts with the
    price that was recorded with it.
    """
    if enforce and budget is None:
        raise typer.BadParameter("--enforce: there is no budget to enforce; name --budget, too")
    if plot is not None:
        from finrag_eval.costs.plot import check_chart

        check_chart(plot)
    from finrag_eval.costs import day_end, day_start
    from finrag_eval.costs.report import check_dimensions, check_zone, group_spend, total_by_basis
    from finrag_eval.costs.spend import read_spend
    from finrag_eval.record.store_uri import resolve_tracking_uri
    from finrag_eval.record.tracked import TrackedStore

    dimensions = check_dimensions([name.strip() for name in by.split(",") if name.strip()])
    zone = check_zone(tz)
    first, last = _days(since, until, datetime.now(zone).date())
    store = TrackedStore(uri=resolve_tracking_uri(tracking_uri))
    spend = read_spend(
        store,
        since=day_start(first, zone),
        until=day_end(last, zone),
        experiments=experiment or (),
    )
    groups = group_spend(spend, dimensions, zone=zone)
    statuses = _statuses(budget, store)
    _print(groups, total_by_basis(spend), statuses, output)
    if plot is not None:
        from finrag_eval.costs.plot import plot_spend

        plot_spend(spend, plot, zone=zone)
        typer.echo(f"chart: {plot}", err=True)
    return 3 if enforce and any(status.is_passed for status in statuses) else 0


def _statuses(budget: Path | None, store: Any) -> list[BudgetStatus]:
    if budget is None:
        return []
    from finrag_eval.costs.budget_file import read_budgets
    from finrag_eval.costs.budgets import budget_status
    from finrag_eval.costs.spend import read_spend
    from finrag_eval.provenance import utc_now

    budgets = read_budgets(budget)
    now = utc_now()
    spend = read_spend(store, since=min(one.needs_since(now) for one in budgets))
    for one in budgets:
        for warning in one.scope.unknown_names(spend):
            typer.echo(f"warning: budget {one.name!r}: {warning}", err=True)
    return [budget_status(one, spend, now) for one in budgets]


def _print(
    groups: pd.DataFrame,
    totals: pd.DataFrame,
    statuses: list[BudgetStatus],
    output: CostsFormat,
) -> None:
    from finrag_eval.cli.display import has_colour, width
    from finrag_eval.costs.report import records
    from finrag_eval.report.spend_tables import (
        budget_sentence,
        budgets_table,
        spend_csv,
        spend_markdown,
        spend_table,
    )

    rows, sums = records(groups), records(totals)
    plain = [status.as_json() for status in statuses]
    if output is CostsFormat.json:
        typer.echo(json.dumps({"groups": rows, "totals": sums, "budgets": plain}, indent=2))
    elif output is CostsFormat.csv:
        typer.echo(spend_csv(rows), nl=False)
        for row in plain:  # rows of another shape would break the table
            typer.echo(f"{row['name']}: {budget_sentence(row)}", err=True)
    elif output is CostsFormat.markdown:
        typer.echo(spend_markdown(rows, sums, plain))
    else:
        typer.echo(spend_table(rows, sums, width=width(), colour=has_colour()))
        if plain:
            typer.echo("\n" + budgets_table(plain, width=width(), colour=has_colour()))


def _days(since: str | None, until: str | None, today: date) -> tuple[date, date | None]:
    """The first and the last day asked for; from the first of this month by default."""
    last = None if until is None else _day("--until", until)
    if since is not None:
        first = _day("--since", since)
    else:
        first = (today if last is None else last).replace(day=1)
    if last is not None and last < first:
        raise typer.BadParameter(f"--until: {last} is before {first}")
    return first, last


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{option}: {text!r} is not a day; write it like 2026-01-31"
        ) from None
