"""report.html: one self-contained page that shows a sweep and opens its trials.

Enters: a summary and trials. Leaves: HTML that asks nothing of any network: styles, script,
pictures and texts are inside, and its content security policy forbids the rest. Every foreign
text is escaped by the template or lies in data that the script shows as text alone.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrag_eval.report import page_tables
from finrag_eval.report.ahead import PackedAhead
from finrag_eval.report.beside import Beside
from finrag_eval.report.cautions import status_words
from finrag_eval.report.charts import (
    Chart,
    Mark,
    Point,
    cost_against_quality,
    cost_chart,
    front,
    latency_chart,
)
from finrag_eval.report.figures import count, money, plural, seconds, share
from finrag_eval.report.ink import Canvas, drawn
from finrag_eval.report.packs import pack
from finrag_eval.report.safe_text import one_line, safe_link, script_json, visible
from finrag_eval.report.sample import Gathered, gather
from finrag_eval.report.sheet import Sheet, read_sheet
from finrag_eval.report.trial_view import TrialView
from finrag_eval.report.verdicts import verdict

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

MAX_TRIALS = 2_000
MAX_CHARS = 80_000_000
_MOST_SCORE_CHARTS = 4
_SCRIPTS = ("page.js", "diff.js", "trials.js", "trial.js")


def make_ready() -> None:
    """Does what only a process's first report has to do, so that it comes sooner."""
    for name in _environment().list_templates(extensions=["j2"]):
        _environment().get_template(name)
    _script()
    drawn("nothing", Canvas(width=100, height=100), lambda axes: None)


def write_report_html(
    path: Path, summary: Mapping[str, Any], trials: Iterable[TrialView], **options: Any
) -> None:
    """Writes the report in one step: a reader never sees half of it. Options of report_html."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(report_html(summary, trials, **options), encoding="utf-8", newline="\n")
    draft.replace(path)


def report_html(
    summary: Mapping[str, Any],
    trials: Iterable[TrialView],
    *,
    max_trials: int = MAX_TRIALS,
    max_chars: int = MAX_CHARS,
    seed: int = 0,
    may_fork: bool = False,
    ahead: PackedAhead | None = None,
) -> str:
    """The report as one HTML document.

    Tallies and pictures are over all trials. When there are more than ``max_trials`` trials or
    ``max_chars`` characters of text, whole queries are drawn by ``seed`` for the trials that can
    be opened, and the page says so. The same input gives the same bytes. ``may_fork`` lets a
    process beside this one draw what needs no trial, while the trials are read; what was packed
    ``ahead`` need not be read again.
    """
    sheet = read_sheet(summary)
    with Beside(partial(_quality_charts, sheet), may_fork=may_fork) as quality_charts:
        gathered = gather(
            trials,
            max_trials=max_trials,
            max_chars=max_chars,
            seed=seed,
            known={} if ahead is None else ahead.texts,
        )
        marks = _marks(sheet, gathered.costs)
        packed = pack(gathered.kept, tuple(marks), None if ahead is None else ahead.packer)
        figures = _figures(sheet, gathered, marks)
        figures["quality_charts"] = quality_charts.result()
    table = {**packed.table, "cells": [_cell_data(mark) for mark in marks.values()]}
    script = _script()
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            **figures,
            styles=_resource("report.css"),
            script=script,
            script_hash=_hash(script),
            data=script_json(table),
            packs=packed.packs,
            prompts=packed.prompts,
        )
    )


def _figures(sheet: Sheet, gathered: Gathered, marks: Mapping[str, Mark]) -> dict[str, Any]:
    """What the template shows besides the trials and the charts of quality."""
    costs = page_tables.costs_by_purpose(sheet, gathered, tuple(marks))
    return {
        "sheet": sheet,
        "verdict": verdict(sheet),
        "status_words": status_words(sheet),
        "keys": _key_figures(sheet),
        "marks": marks,
        "gathered": gathered,
        "cells": page_tables.cells_table(sheet, marks),
        "comparisons": page_tables.comparison_tables(sheet, marks),
        "changed": [
            one for one in sheet.comparisons if one.is_score and (one.improved or one.worsened)
        ],
        "front": [marks[name] for name in sheet.pareto if name in marks],
        "latency_chart": latency_chart(gathered.latencies, list(marks.values())),
        "latency_table": page_tables.latency_table(sheet, marks),
        "cost_chart": cost_chart(costs, list(marks.values())),
        "cost_table": page_tables.cost_table(costs, marks),
        "slices": [
            (name, page_tables.slice_tables(sheet, marks, name))
            for name in sheet.score_names
            if any(one.metric == name for one in sheet.slices)
        ],
        "gaps": page_tables.gaps_table(gathered),
        "failures": page_tables.failures_table(gathered, marks),
    }


def _marks(sheet: Sheet, others: Iterable[str] = ()) -> dict[str, Mark]:
    """A mark for each cell of the summary, and after those for any other that trials have."""
    compared = (name for one in sheet.comparisons for name in (one.candidate, one.baseline))
    return page_tables.marks_of(sheet, others=(*compared, *others))


def _key_figures(sheet: Sheet) -> list[tuple[str, str, str]]:
    """Label, figure and note of the few figures at the top."""
    cap, spent = sheet.budget.get("max_usd"), sheet.budget.get("spent_usd")
    of_cap = "no cap"
    if cap is not None:
        of_cap = f"of {money(cap)}" + (
            f", {share(spent / cap)}" if spent is not None and cap else ""
        )
    notes = [("wasted", "wasted_usd"), ("saved by reuse", "saved_usd")]
    money_notes = [
        f"{money(sheet.budget[key])} {word}" for word, key in notes if sheet.budget.get(key)
    ]
    if sheet.is_rehearsal:
        money_notes.append("rehearsal: nothing was billed")
    failed = plural(sheet.failed, "failure") if sheet.failed else "no failures"
    per_second = None
    if sheet.wall_seconds:
        per_second = (sheet.succeeded + sheet.failed) / sheet.wall_seconds
    pace = "" if not per_second else f"{per_second:,.1f} trials a second"
    return [
        ("Answered", f"{count(sheet.succeeded)} of {count(sheet.planned)}", failed),
        ("Spent", money(spent), "; ".join([of_cap, *money_notes])),
        ("Took", seconds(sheet.wall_seconds), pace),
        ("Cells", count(len(sheet.cells)), _compared(sheet)),
    ]


def _compared(sheet: Sheet) -> str:
    return f"against {sheet.baseline}" if sheet.baseline else "no baseline"


def _quality_charts(sheet: Sheet) -> list[tuple[str, Chart]]:
    """Cost against quality for the first few scores."""
    marks = _marks(sheet)
    names = sheet.score_names[:_MOST_SCORE_CHARTS]
    charts = [
        (
            name,
            cost_against_quality(f"quality-{at}", _points(sheet, marks, name), one_line(name, 40)),
        )
        for at, name in enumerate(names)
    ]
    return [(name, chart) for name, chart in charts if chart is not None]


def _points(sheet: Sheet, marks: Mapping[str, Mark], name: str) -> Sequence[Point]:
    known = [
        (cell, cell.cost["per_1000_queries"], one.mean, one)
        for cell in sheet.cells
        if (one := cell.scores.get(name)) is not None
        and one.mean is not None
        and cell.cost.get("per_1000_queries") is not None
    ]
    best = front([(cell.name, usd or 0.0, mean) for cell, usd, mean, _ in known])
    return [
        Point(
            mark=marks[cell.name],
            usd=usd or 0.0,
            mean=mean,
            low=one.low,
            high=one.high,
            on_front=cell.name in best,
        )
        for cell, usd, mean, one in known
    ]


def _cell_data(mark: Mark) -> dict[str, Any]:
    return {"letter": mark.letter, "name": mark.name, "colour": mark.colour % 8}


@cache
def _environment() -> Environment:
    """The templates with autoescape on; undefined names are errors."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("finrag_eval.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=count, safe_link=safe_link, shown=_shown, unbroken=_unbroken)
    return environment


def _shown(text: object, length: int = 4_000) -> str:
    """Foreign text for a fixed part of the page: nothing invisible in it, and not endless."""
    return one_line(visible(str(text)[: length * 4]), length)


def _unbroken(text: str, names: Iterable[str]) -> Markup:
    """The text escaped, with the cell names in it kept on one line each where there is room."""
    from markupsafe import Markup, escape

    short = sorted((name for name in names if len(name) <= 40), key=len, reverse=True)
    if not short:
        return escape(text)
    whole = Markup('<span class="nb">{}</span>')
    named = re.compile("|".join(re.escape(name) for name in short))
    pieces, at = [], 0
    for hit in named.finditer(text):
        pieces += [escape(text[at : hit.start()]), whole.format(hit[0])]
        at = hit.end()
    return Markup("").join([*pieces, escape(text[at:])])


@cache
def _script() -> str:
    """The page's script in one strict function; it holds nothing foreign."""
    parts = "\n".join(_resource(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


@cache
def _resource(name: str) -> str:
    return files("finrag_eval.report").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """The script's hash as a content security policy names it: no other script may run."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
