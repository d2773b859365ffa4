"""What a command prints for people: tables that fit 80 columns and use more where there is more.

Enters: a summary or a result, a width, and whether colour is wanted. Leaves: text without a
line end. Nothing that a model or a filing wrote reaches the terminal unfiltered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finrag_eval.report.cautions import status_words
from finrag_eval.report.figures import (
    MISSING,
    change,
    count,
    is_missing,
    money,
    plain,
    probability,
    ratio,
    score,
    seconds,
    share,
)
from finrag_eval.report.grid import Column, Paint, grid, grid_width, wrapped
from finrag_eval.report.safe_text import one_line, terminal_safe
from finrag_eval.report.sheet import CellFigures, ComparisonFigures, read_sheet
from finrag_eval.report.verdicts import verdict

__all__ = [
    "budget_line",
    "cells_table",
    "comparisons_table",
    "gates_table",
    "query_report",
    "run_report",
    "terminal_safe",
    "where_next",
]

_VERDICT_STYLES = {"better": "good", "worse": "bad", "equivalent": "strong", "inconclusive": "dim"}


def run_report(
    summary: Mapping[str, Any],
    *,
    folder: Path | str | None = None,
    width: int = 80,
    colour: bool = False,
) -> str:
    """All that the end of a run says: result, cells, comparisons, gates, money, where to look."""
    sheet = read_sheet(summary)
    paint = Paint(on=colour)
    said = verdict(sheet)
    blocks = [
        wrapped(f"Sweep {sheet.sweep_id} {status_words(sheet)}.", width),
        cells_table(summary, width, colour=colour),
        comparisons_table(summary, width, colour=colour),
        gates_table(summary, width, colour=colour),
        paint(wrapped(said.headline, width), "strong"),
        "\n".join(wrapped(text, width, indent="  ", first="! ") for text in said.cautions),
        budget_line(summary, width),
        where_next(summary, folder, width),
    ]
    return "\n\n".join(block for block in blocks if block)


def cells_table(summary: Mapping[str, Any], width: int = 80, *, colour: bool = False) -> str:
    """The cells with trials, money, time and scores; scores apart where the width is short."""
    sheet = read_sheet(summary)
    if not sheet.cells:
        return ""
    paint = Paint(on=colour)
    name = Column(title="cell", is_name=True)
    names = [[cell.name] for cell in sheet.cells]
    figures = [_cell_figures(cell) for cell in sheet.cells]
    figure_columns = [
        Column(title=title) for title in ("answered", "failed", "USD", "USD/1k", "p50", "p95")
    ]
    scores = [[_score_text(cell, one) for one in sheet.score_names] for cell in sheet.cells]
    score_columns = [Column(title=one) for one in sheet.score_names]
    styles = {(at, 2): "bad" for at, cell in enumerate(sheet.cells) if cell.failed}
    whole = _beside(names, figures, scores)
    columns = [name, *figure_columns, *score_columns]
    if grid_width(columns, whole) <= width:
        return "\n".join(grid(columns, whole, width, paint, styles))
    lines = grid([name, *figure_columns], _beside(names, figures), width, paint, styles)
    for part in _parts(score_columns, scores, width):
        taken = [[row[index] for index in part] for row in scores]
        chosen = [name, *(score_columns[index] for index in part)]
        lines += ["", *grid(chosen, _beside(names, taken), width, paint)]
    return "\n".join(lines)


def comparisons_table(
    summary: Mapping[str, Any],
    width: int = 80,
    *,
    colour: bool = False,
    title: str | None = None,
) -> str:
    """Every candidate against its baseline, a line per metric; empty without comparisons."""
    sheet = read_sheet(summary)
    if not sheet.comparisons:
        return ""
    rows: list[list[str]] = []
    styles: dict[tuple[int, int], str] = {}
    pair = None
    for one in sheet.comparisons:
        if (one.baseline, one.candidate) != pair:
            pair = (one.baseline, one.candidate)
            is_plain = one.baseline in (sheet.baseline, one.candidate)
            rows.append([one.candidate if is_plain else " vs ".join(pair[::-1])] + [""] * 5)
        styles[(len(rows), 5)] = _VERDICT_STYLES.get(one.verdict, "dim")
        rows.append(_comparison_row(one))
    columns = [
        Column(title="candidate", is_name=True),
        Column(title="pairs"),
        Column(title="delta"),
        Column(title="95% interval"),
        Column(title="p adj"),
        Column(title="verdict", is_left=True),
    ]
    head = wrapped(title or f"Against {sheet.baseline}:", width)
    return "\n".join([head, *grid(columns, rows, width, Paint(on=colour), styles)])


def gates_table(summary: Mapping[str, Any], width: int = 80, *, colour: bool = False) -> str:
    """Every gate with its figure, its bound and pass or fail; empty without gates."""
    gates = read_sheet(summary).gates
    if not gates:
        return ""
    paint = Paint(on=colour)
    lines = []
    for gate in gates:
        text = wrapped(gate.words, width - 6, indent="      ", first="")
        mark = paint("pass", "good") if gate.passed else paint("FAIL", "bad")
        lines.append(f"{mark}  {text}")
    return "\n".join(lines)


def budget_line(summary: Mapping[str, Any], width: int = 80) -> str:
    """What was spent of what cap, what of it was wasted, and what reuse saved."""
    sheet = read_sheet(summary)
    budget = sheet.budget
    spent, cap = budget.get("spent_usd"), budget.get("max_usd")
    text = f"Spent {money(spent)}"
    if not is_missing(cap):
        part = f" ({share(spent / cap)})" if cap and spent is not None else ""
        text += f" of {money(cap)}{part}, {money(budget.get('left_usd'))} left"
    for key, words in (("wasted_usd", "wasted on attempts without an answer"),):
        if budget.get(key):
            text += f"; {money(budget[key])} {words}"
    if budget.get("saved_usd"):
        text += f"; {money(budget['saved_usd'])} saved by reused answers"
    if sheet.is_rehearsal:
        text += "; rehearsal: nothing was billed"
    return wrapped(f"{text}. Took {seconds(sheet.wall_seconds)}.", width)


def where_next(
    summary: Mapping[str, Any], folder: Path | str | None = None, width: int = 80
) -> str:
    """What to open or to type next; lines with a path or a command are never broken."""
    sheet = read_sheet(summary)
    lines = []
    if folder is not None:
        lines.append(("report", str(Path(folder) / "report.html")))
        lines.append(("trials", str(Path(folder) / "trials.csv")))
    if sheet.tracking_uri:
        lines.append(("runs", "finrag-eval ui"))
    if sheet.status in {"budget_stopped", "interrupted", "failed"}:
        lines.append(("go on", f"finrag-eval resume {sheet.sweep_id}"))
    if sheet.failed:
        lines.append(("again", f"finrag-eval resume {sheet.sweep_id} --retry-failed"))
    if not lines:
        return ""
    return "\n".join(f"{word:<8}{terminal_safe(what, keep_lines=False)}" for word, what in lines)


def query_report(result: Mapping[str, Any], *, run_url: str | None = None, width: int = 80) -> str:
    """One answered question: the answer, then a line of figures; or what went wrong, and where."""
    if result.get("error"):
        kind, stage = result.get("error_type") or "error", result.get("stage") or "unknown stage"
        text = wrapped(f"No answer: {kind} in {stage}: {result['error']}", width)
    else:
        answer = terminal_safe(str(result.get("answer") or ""))
        lines = [wrapped(line, width) if line.strip() else "" for line in answer.split("\n")]
        text = "\n".join([*lines, "", _query_figures(result, width)])
    return text if not run_url else f"{text}\n{terminal_safe(run_url, keep_lines=False)}"


def _query_figures(result: Mapping[str, Any], width: int) -> str:
    metadata = result.get("metadata") or {}
    llm, retrieval = metadata.get("llm") or {}, metadata.get("retrieval") or {}
    took = metadata.get("processing_time_ms")
    parts = [
        one_line(str(llm.get("model_id") or MISSING), 60),
        f"{count(llm.get('input_tokens'))} tokens in, {count(llm.get('output_tokens'))} out",
        money(llm.get("cost")),
        seconds(None if took is None else took / 1000),
        f"{count(retrieval.get('kpi_count'))} KPI figures",
        f"{count(retrieval.get('rag_count'))} passages",
    ]
    return wrapped(" · ".join(parts), width)


def _cell_figures(cell: CellFigures) -> list[str]:
    return [
        f"{count(cell.succeeded)}/{count(cell.trials)}",
        count(cell.failed),
        money(cell.cost.get("total")),
        money(cell.cost.get("per_1000_queries")),
        seconds(cell.latency.get("p50")),
        seconds(cell.latency.get("p95")),
    ]


def _score_text(cell: CellFigures, name: str) -> str:
    one = cell.scores.get(name)
    if one is None or is_missing(one.mean):
        return MISSING
    interval = "" if is_missing(one.low) else f" {plain(one.low)}–{plain(one.high)}"
    return f"{score(one.mean)}{interval}"


def _comparison_row(one: ComparisonFigures) -> list[str]:
    if is_missing(one.ratio):
        delta, low, high = change(one.delta), change(one.low), change(one.high)
    else:
        delta, low, high = ratio(one.ratio), ratio(one.ratio_low), ratio(one.ratio_high)
    interval = MISSING if MISSING in (low, high) else f"{low} … {high}"
    p = probability(one.p_adjusted)
    pairs = count(one.n_pairs)
    if one.n_missing:
        pairs += f"/{count(one.n_pairs + one.n_missing)}"
    return [f"  {one.label}", pairs, delta, interval, p, one.verdict]


def _beside(*blocks: Sequence[Sequence[str]]) -> list[list[str]]:
    """Blocks of columns joined row by row."""
    return [[text for part in parts for text in part] for parts in zip(*blocks, strict=True)]


def _parts(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[list[int]]:
    """Column numbers in groups, each of which fits beside a cell's name."""
    room = width - min(28, width // 3)
    parts: list[list[int]] = []
    used = room
    for index, column in enumerate(columns):
        need = grid_width([column], [[row[index]] for row in rows]) + 2
        if used + need > room or not parts:
            parts.append([])
            used = 0
        parts[-1].append(index)
        used += need
    return parts
