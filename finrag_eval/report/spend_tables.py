"""Spend and budgets as text: terminal tables, CSV and Markdown.

Enters: rows as plain mappings. Leaves: text that is safe where it goes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from finrag_eval.report.figures import MISSING, count, money, share
from finrag_eval.report.grid import Column, Paint, grid, wrapped
from finrag_eval.report.safe_text import csv_safe, markdown_safe

Row = Mapping[str, Any]

_FIGURES = (
    ("runs", "runs", count),
    ("failed", "failed", count),
    ("input_tokens", "tokens in", count),
    ("output_tokens", "tokens out", count),
    ("cache_share", "cached", share),
    ("target_usd", "target", money),
    ("judge_usd", "judge", money),
    ("retrieval_usd", "retrieval", money),
    ("wasted_usd", "wasted", money),
    ("saved_usd", "saved", money),
    ("spent_usd", "spent", money),
)
_ALWAYS = {"runs", "spent_usd"}
_NAMES = {name for name, _, _ in _FIGURES} | {"usd_per_run"}


def spend_table(
    rows: Sequence[Row], totals: Sequence[Row], *, width: int = 80, colour: bool = False
) -> str:
    """Groups with their sums, then a line per cost basis; empty columns are left out."""
    if not rows:
        return "nothing was spent in that time"
    figures = [figure for figure in _FIGURES if figure[0] in _ALWAYS or _has_any(rows, figure[0])]
    dimensions = [name for name in rows[0] if name not in _NAMES]
    if len({row["cost_basis"] for row in rows}) == 1:
        dimensions.remove("cost_basis")
    columns = [Column(title=name, is_name=True) for name in dimensions]
    columns += [Column(title=title) for _, title, _ in figures]
    body = [
        [*(str(row[name]) for name in dimensions), *(write(row[key]) for key, _, write in figures)]
        for row in rows
    ]
    lines = grid(
        _fitting(columns, len(dimensions), width),
        _cut(body, columns, width),
        width,
        Paint(on=colour),
    )
    return "\n".join([*lines, "", *(_total_line(total) for total in totals)])


def spend_csv(rows: Sequence[Row]) -> str:
    """The groups as CSV, figures in full."""
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
        names = list(rows[0])
        blocks.append(
            "\n".join(
                [
                    "| " + " | ".join(names) + " |",
                    "|" + " --- |" * len(names),
                    *(
                        "| "
                        + " | ".join(markdown_safe(_written(name, row[name])) for name in names)
                        + " |"
                        for row in rows
                    ),
                ]
            )
        )
    blocks.append("\n".join(f"- {markdown_safe(_total_line(total))}" for total in totals))
    blocks.append("\n".join(f"- {markdown_safe(_budget_sentence(row))}" for row in budgets))
    return "\n\n".join(block for block in blocks if block)


def budgets_table(budgets: Sequence[Row], *, width: int = 80, colour: bool = False) -> str:
    """Where every budget stands, a line each, and a sentence on how it will end."""
    columns = [
        Column(title="budget", is_name=True),
        Column(title="from", is_left=True),
        Column(title="limit"),
        Column(title="spent"),
        Column(title="left"),
        Column(title="a day"),
        Column(title="forecast"),
    ]
    rows = [
        [
            row["name"],
            row["start"][:10],
            money(row["limit_usd"]),
            money(row["spent_usd"]),
            money(row["left_usd"]),
            money(row["run_rate_usd_per_day"]),
            money(row["forecast_usd"]),
        ]
        for row in budgets
    ]
    styles = {(at, 4): "bad" for at, row in enumerate(budgets) if row["passed"]}
    lines = grid(columns, rows, width, Paint(on=colour), styles)
    lines += [wrapped(_budget_sentence(row), width) for row in budgets]
    return "\n".join(lines)


def plain_table(rows: Sequence[Row], names: Sequence[str], *, width: int = 80) -> str:
    """Rows of anything under their column names, made safe and cut to the width."""
    columns = [Column(title=name.partition(".")[2] or name, is_name=True) for name in names]
    body = [[_plain(row.get(name)) for name in names] for row in rows]
    return "\n".join(grid(columns, body, width, Paint()))


def _budget_sentence(row: Row) -> str:
    if row["passed"]:
        return f"{row['name']}: passed by {money(-row['left_usd'])}."
    if row["forecast_usd"] is None:
        return f"{row['name']}: {money(row['left_usd'])} left; too few days for a forecast."
    end = (
        f"runs out on {row['runs_out_on']} at this rate"
        if row["runs_out_on"]
        else "lasts to the end of the period at this rate"
    )
    return (
        f"{row['name']}: {end}; forecast {money(row['forecast_usd'])} "
        f"({money(row['forecast_low_usd'])} to {money(row['forecast_high_usd'])}) "
        f"of {money(row['limit_usd'])}."
    )


def _total_line(total: Row) -> str:
    what = "billed" if total["cost_basis"] == "billed" else "rehearsal (not real money)"
    return (
        f"total, {what}: {money(total['spent_usd'])} in {count(total['runs'])} runs; "
        f"target {money(total['target_usd'])}, judge {money(total['judge_usd'])}, "
        f"retrieval {money(total['retrieval_usd'])}, wasted {money(total['wasted_usd'])}, "
        f"saved {money(total['saved_usd'])}"
    )


def _fitting(columns: Sequence[Column], dimensions: int, width: int) -> list[Column]:
    """The dimension columns and as many figures as a width holds, the last (spent) always."""
    return [columns[index] for index in _kept(columns, dimensions, width)]


def _cut(rows: list[list[str]], columns: Sequence[Column], width: int) -> list[list[str]]:
    dimensions = sum(column.is_name for column in columns)
    kept = _kept(columns, dimensions, width)
    return [[row[index] for index in kept] for row in rows]


def _kept(columns: Sequence[Column], dimensions: int, width: int) -> list[int]:
    room = max(2, (width - 14 * dimensions) // 10)
    figures = list(range(dimensions, len(columns)))
    if len(figures) > room:
        figures = [figures[0], *figures[-(room - 1) :]]
    return [*range(dimensions), *figures]


def _has_any(rows: Sequence[Row], name: str) -> bool:
    return any(row[name] for row in rows)


def _written(name: str, value: Any) -> str:
    if value is None:
        return MISSING
    return money(value) if name.endswith("_usd") or name == "usd_per_run" else _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return MISSING
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
