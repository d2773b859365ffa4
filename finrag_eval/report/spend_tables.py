"""Spend and budgets as text: terminal tables, CSV and Markdown; and tables of any runs.

Enters: rows as plain mappings. Leaves: text that is safe where it goes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from finrag_eval.report.figures import MISSING, count, money, plain, plural, seconds, share
from finrag_eval.report.grid import Column, Paint, grid, grid_width, wrapped
from finrag_eval.report.safe_text import csv_safe, markdown_safe

Row = Mapping[str, Any]

#: The figures of a group with their titles, in the order in which they stand in a table.
_FIGURES: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "runs": ("runs", count),
    "failed": ("failed", count),
    "input_tokens": ("tokens in", count),
    "cache_read_tokens": ("cache read", count),
    "cache_write_tokens": ("written", count),
    "output_tokens": ("out", count),
    "cache_share": ("cached", share),
    "target_usd": ("target", money),
    "judge_usd": ("judge", money),
    "retrieval_usd": ("retrieval", money),
    "wasted_usd": ("wasted", money),
    "saved_usd": ("saved", money),
    "spent_usd": ("spent", money),
    "usd_per_run": ("a run", money),
}
#: Which of them go first where a table has no room for all; the first two always stand.
_WORTH = (
    "spent_usd",
    "runs",
    "target_usd",
    "judge_usd",
    "retrieval_usd",
    "wasted_usd",
    "failed",
    "saved_usd",
    "output_tokens",
    "input_tokens",
    "cache_share",
    "usd_per_run",
)
_ALWAYS = 2

_BUDGET_COLUMNS = (
    Column(title="budget", is_name=True),
    Column(title="since", is_left=True),
    Column(title="limit"),
    Column(title="spent"),
    Column(title="left"),
    Column(title="a day"),
    Column(title="forecast"),
)

#: Shorter titles of what views of runs show.
_TITLES = {
    "metrics.cost_usd": "cost",
    "metrics.latency_total_seconds": "latency",
    "metrics.rag_chunks_count": "passages",
    "metrics.kpi_matches_count": "figures",
    "params.query_preview": "question",
}


def spend_table(
    rows: Sequence[Row], totals: Sequence[Row], *, width: int = 80, colour: bool = False
) -> str:
    """Groups with their sums, then a line per cost basis.

    Columns without any figure are left out, and those that the width has no room for.
    """
    if not rows:
        return "nothing was spent in that time"
    dimensions = [name for name in rows[0] if name not in _FIGURES]
    if len({row["cost_basis"] for row in rows}) == 1:
        dimensions.remove("cost_basis")
    names, left_out = _fitting(rows, dimensions, width)
    columns, body = _laid_out(rows, dimensions, names)
    lines = [*grid(columns, body, width, Paint(on=colour)), ""] if dimensions else []
    lines += [wrapped(_total_line(total), width, indent="  ", first="") for total in totals]
    if "query_tag" in dimensions:
        lines.append("A query with several tags counts in the group of each.")
    if left_out and dimensions:
        titles = ", ".join(_FIGURES[name][0] for name in left_out)
        lines.append(wrapped(f"No room for: {titles} (--format csv has all).", width))
    return "\n".join(lines)


def spend_csv(rows: Sequence[Row]) -> str:
    """The groups as CSV, figures in full; what is not known is empty."""
    page = io.StringIO(newline="")
    writer = csv.writer(page)
    if rows:
        writer.writerow(list(rows[0]))
        writer.writerows([csv_safe(value) for value in row.values()] for row in rows)
    return page.getvalue()


def spend_markdown(rows: Sequence[Row], totals: Sequence[Row], budgets: Sequence[Row]) -> str:
    """Groups, totals and budgets as GitHub-flavoured Markdown."""
    blocks = []
    if rows:
        dimensions = [name for name in rows[0] if name not in _FIGURES]
        names = [name for name in _FIGURES if any(row[name] for row in rows)]
        blocks.append(_markdown_grid(*_laid_out(rows, dimensions, names)))
    sentences = [_total_line(total) for total in totals] or ["nothing was spent in that time"]
    blocks.append(_markdown_list(sentences))
    if budgets:
        blocks.append(_markdown_grid(_BUDGET_COLUMNS, [_budget_row(row) for row in budgets]))
        blocks.append(_markdown_list(f"{row['name']}: {budget_sentence(row)}" for row in budgets))
    return "\n\n".join(blocks)


def _markdown_grid(columns: Sequence[Column], body: Sequence[Sequence[str]]) -> str:
    sides = ["---" if column.is_name or column.is_left else "---:" for column in columns]
    table = [[column.title for column in columns], sides]
    table += [[markdown_safe(text) for text in line] for line in body]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def _markdown_list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {markdown_safe(sentence)}" for sentence in sentences)


def budgets_table(budgets: Sequence[Row], *, width: int = 80, colour: bool = False) -> str:
    """Where every budget stands, a line each, and a sentence on how it will end."""
    rows = [_budget_row(row) for row in budgets]
    styles = {(at, 4): "bad" for at, row in enumerate(budgets) if row["passed"]}
    lines = grid(_BUDGET_COLUMNS, rows, width, Paint(on=colour), styles)
    lines += ["", *(wrapped(f"{row['name']}: {budget_sentence(row)}", width) for row in budgets)]
    return "\n".join(lines)


def _budget_row(row: Row) -> list[str]:
    figures = ("limit_usd", "spent_usd", "left_usd", "run_rate_usd_per_day", "forecast_usd")
    return [row["name"], row["start"][:10], *(money(row[name]) for name in figures)]


def budget_sentence(row: Row) -> str:
    """How a budget's period will end, in a sentence."""
    limit, left = money(row["limit_usd"]), row["left_usd"]
    until = f"the {row['period']}'s end"
    if row["passed"]:
        return f"passed on {row['runs_out_on']}, by {money(-left)} so far."
    if row["runs_out_on"] and left < 1e-9:
        return f"used up on {row['runs_out_on']}."
    if row["forecast_usd"] is None:
        return f"{money(left)} left; a forecast needs two whole days with spending before today."
    forecast = (
        f"forecast {money(row['forecast_usd'])} at {until} "
        f"({money(row['forecast_low_usd'])} to {money(row['forecast_high_usd'])})"
    )
    if row["runs_out_on"]:
        return f"runs out on {row['runs_out_on']} at this rate; {forecast} of {limit}."
    if row["forecast_high_usd"] > row["limit_usd"]:
        return f"lasts as expected, but not for certain; {forecast} of {limit}."
    return f"lasts; {forecast} of {limit}."


def runs_table(rows: Sequence[Row], names: Sequence[str], *, width: int = 80) -> str:
    """Runs with the columns of these names, made safe and cut to the width."""
    written = {name: [_written(name, row.get(name)) for row in rows] for name in names}
    columns = [Column(title=_title(name), is_name=not _is_figure(name, rows)) for name in names]
    body = [list(line) for line in zip(*written.values(), strict=True)]
    return "\n".join(grid(columns, body, width, Paint()))


def _fitting(
    rows: Sequence[Row], dimensions: Sequence[str], width: int
) -> tuple[list[str], list[str]]:
    """The figures that a table of that width has room for, in their order, and those left out."""
    wanted = [
        name
        for at, name in enumerate(_WORTH)
        if at < _ALWAYS or (any(row[name] for row in rows) and not _is_plain(name, rows))
    ]
    kept: list[str] = []
    for at, name in enumerate(wanted):
        names = [one for one in _FIGURES if one in {*kept, name}]
        if at < _ALWAYS or grid_width(*_laid_out(rows, dimensions, names)) <= width:
            kept.append(name)
    return [name for name in _FIGURES if name in kept], [
        name for name in wanted if name not in kept
    ]


def _is_plain(name: str, rows: Sequence[Row]) -> bool:
    """Whether a column says the same as another: the target's cost where nothing else cost."""
    return name == "target_usd" and all(row["target_usd"] == row["spent_usd"] for row in rows)


def _laid_out(
    rows: Sequence[Row], dimensions: Sequence[str], names: Sequence[str]
) -> tuple[list[Column], list[list[str]]]:
    columns = [Column(title=name.replace("_", " "), is_name=True) for name in dimensions]
    columns += [Column(title=_FIGURES[name][0]) for name in names]
    body = [
        [
            *(str(row[name]) or MISSING for name in dimensions),
            *(_FIGURES[name][1](row[name]) for name in names),
        ]
        for row in rows
    ]
    return columns, body


def _total_line(total: Row) -> str:
    """What was spent of one kind of money, and on what."""
    what = "billed" if total["cost_basis"] == "billed" else "rehearsal, no real money"
    parts = [
        f"{name.removesuffix('_usd')} {money(total[name])}"
        for name in ("target_usd", "judge_usd", "retrieval_usd", "wasted_usd")
        if total[name]
    ]
    line = f"{what}: {money(total['spent_usd'])} in {plural(total['runs'], 'run')}"
    if len(parts) > 1:
        line += f" ({', '.join(parts)})"
    return line + (f"; {money(total['saved_usd'])} saved by reuse" if total["saved_usd"] else "")


def _title(name: str) -> str:
    own = name.partition(".")[2] or name
    return _TITLES.get(name, own.removeprefix("finrag_eval."))


def _is_figure(name: str, rows: Sequence[Row]) -> bool:
    return any(isinstance(row.get(name), int | float) for row in rows)


def _written(name: str, value: Any) -> str:
    """A value of any column, by its name's unit."""
    if value is None or value == "":
        return MISSING
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if name.endswith("_usd"):
        return money(value)
    if name.endswith("_seconds"):
        return seconds(value)
    return count(value) if float(value).is_integer() else plain(value, 3)
