"""The page's tables, shaped for its template: text, numbers to sort by, and small bars.

Enters: a ``Sheet`` and what was gathered from the trials. Leaves: rows in which every figure is
already written out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from finrag_eval.report.bars import Scale, change_scale, interval_bar, score_scale
from finrag_eval.report.charts import Mark
from finrag_eval.report.figures import (
    MISSING,
    change,
    count,
    in_unit,
    money,
    plain,
    probability,
    ratio,
    score,
    seconds,
)
from finrag_eval.report.sample import Gathered
from finrag_eval.report.sheet import CellFigures, ComparisonFigures, Sheet, SliceFigures

#: A question with fewer passages than this is listed among the gaps.
FEW_PASSAGES = 3
_MOST_GAPS = 200
_SHADES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A table cell: its text, a number to sort by, a note below it, and a bar beside it."""

    text: str
    sort: float | None = None
    note: str = ""
    bar: str = ""
    shade: int | None = None
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A table row: the cell that it is about, its heading where it has another, and figures."""

    figures: tuple[Figure, ...]
    mark: Mark | None = None
    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Column titles and rows. A title ending in ``|`` is a column of words, not of figures."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    left_out: int = 0
    scales: Mapping[str, str] = field(default_factory=dict)


def marks_of(sheet: Sheet, *, others: Iterable[str] = ()) -> dict[str, Mark]:
    """A mark per cell: letters in the summary's order, colours by model, shapes by prompts."""
    models: dict[str, int] = {}
    prompts: dict[str, int] = {}
    marks = {}
    for at, cell in enumerate(sheet.cells):
        colour = models.setdefault(cell.model_key, len(models))
        shape = prompts.setdefault(cell.prompts, len(prompts))
        marks[cell.name] = Mark(letter=_letter(at), name=cell.name, colour=colour, shape=shape)
    for name in others:
        if name not in marks:
            at = len(marks)
            marks[name] = Mark(letter=_letter(at), name=name, colour=at, shape=0)
    return marks


def _letter(number: int) -> str:
    """A, B, ... Z, AA, AB: as spreadsheets count columns."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def cells_table(sheet: Sheet, marks: Mapping[str, Mark]) -> Table:
    """The cells with their scores as bars, their money and their times."""
    names = sheet.score_names
    scales = {name: score_scale(_ends(sheet.cells, name)) for name in names}
    rows = [
        Row(
            mark=marks[cell.name],
            note=_cell_note(sheet, cell),
            figures=(
                _answered(cell),
                *(_score(cell, name, scales[name]) for name in names),
                _figure(cell.cost.get("per_1000_queries"), money),
                _figure(cell.latency.get("p50"), seconds),
                _figure(cell.latency.get("p95"), seconds),
                _figure(cell.cost.get("total"), money),
            ),
        )
        for cell in sheet.cells
    ]
    columns = ("answered", *names, "USD per 1,000", "p50", "p95", "USD")
    scaled = {
        name: f"{plain(one.low, 1)} to {plain(one.high, 1)}"
        for name, one in scales.items()
        if any(end is not None for end in _ends(sheet.cells, name))
    }
    return Table(columns=columns, rows=tuple(rows), scales=scaled)


def _ends(cells: Iterable[CellFigures], name: str) -> list[float | None]:
    found = [cell.scores[name] for cell in cells if name in cell.scores]
    return [end for one in found for end in (one.mean, one.low, one.high)]


def _cell_note(sheet: Sheet, cell: CellFigures) -> str:
    words = ["baseline"] if cell.name == sheet.baseline else []
    words += ["rehearsal"] if cell.is_rehearsal else []
    return ", ".join([*words, cell.model_id] if cell.model_id else words)


def _answered(cell: CellFigures) -> Figure:
    failed = f"{count(cell.failed)} failed" if cell.failed else ""
    not_run = f"{count(cell.not_run)} not run" if cell.not_run else ""
    return Figure(
        text=f"{count(cell.succeeded)}/{count(cell.trials)}",
        sort=float(cell.succeeded),
        note=", ".join(part for part in (failed, not_run) if part),
    )


def _score(cell: CellFigures, name: str, scale: Scale) -> Figure:
    one = cell.scores.get(name)
    if one is None or one.mean is None:
        return Figure(text=MISSING)
    interval = "" if one.low is None else f"{score(one.low)} to {score(one.high)}"
    return Figure(
        text=score(one.mean),
        sort=one.mean,
        note=", ".join(part for part in (interval, _fewer(one.n, cell)) if part),
        bar=interval_bar(one.mean, one.low, one.high, scale),
    )


def _fewer(n: int, cell: CellFigures) -> str:
    """How many answers a score is the mean of, where that is not all of them."""
    return "" if n == cell.succeeded else f"n {count(n)}"


def _figure(value: float | None, write: Any) -> Figure:
    return Figure(text=write(value), sort=value)


def comparison_tables(sheet: Sheet, marks: Mapping[str, Mark]) -> list[tuple[Mark, Mark, Table]]:
    """A group of rows per pair of cells: (candidate, baseline, a row per metric)."""
    scales = {
        is_score: change_scale(
            end
            for one in sheet.comparisons
            if one.is_score == is_score
            for end in _relative_ends(one)
        )
        for is_score in (True, False)
    }
    found = []
    columns = ("change", "95% interval", "pairs", "adjusted p", "verdict|", "would find")
    pairs = groupby(sheet.comparisons, key=lambda one: (one.candidate, one.baseline))
    for (candidate, baseline), metrics in pairs:
        rows = tuple(_comparison(one, scales[one.is_score]) for one in metrics)
        table = Table(columns=columns, rows=rows)
        found.append((marks[candidate], marks[baseline], table))
    return found


def _relative_ends(one: ComparisonFigures) -> tuple[float | None, ...]:
    """The change's ends: as they are for scores, as ratio less 1 for money and time."""
    if one.ratio is None:
        return (one.delta, one.low, one.high)
    ends = (one.ratio, one.ratio_low, one.ratio_high)
    return tuple(None if end is None else min(2.0, end - 1) for end in ends)


def _comparison(one: ComparisonFigures, scale: Scale) -> Row:
    mean, low, high = _relative_ends(one)
    if one.ratio is None:
        shown, ends = change(one.delta), (change(one.low), change(one.high))
    else:
        shown, ends = ratio(one.ratio), (ratio(one.ratio_low), ratio(one.ratio_high))
    interval = MISSING if MISSING in ends else f"{ends[0]} to {ends[1]}"
    missing = f" ({count(one.n_missing)} left out)" if one.n_missing else ""
    return Row(
        title=one.label,
        figures=(
            Figure(text=shown, sort=mean, bar=interval_bar(mean, low, high, scale, one.verdict)),
            Figure(text=interval, sort=low),
            Figure(text=f"{count(one.n_pairs)}{missing}", sort=float(one.n_pairs)),
            Figure(text=probability(one.p_adjusted), sort=one.p_adjusted),
            Figure(text=one.verdict, tone=one.verdict),
            Figure(text=in_unit(one.metric, one.mde), sort=one.mde),
        ),
    )


def slice_tables(sheet: Sheet, marks: Mapping[str, Mark], name: str) -> list[Table]:
    """A table per way of slicing: mean scores of ``name``, a row per slice, a column per cell."""
    chosen = [one for one in sheet.slices if one.metric == name]
    scale = score_scale(one.mean for one in chosen)
    tables = []
    for by in dict.fromkeys(one.by for one in chosen):
        parts = [one for one in chosen if one.by == by]
        values = {
            value: {one.cell: one for one in parts if one.value == value}
            for value in dict.fromkeys(one.value for one in parts)
        }
        most = sorted(values.items(), key=lambda item: -max(one.n for one in item[1].values()))
        rows = tuple(_slice(value, found, marks, scale) for value, found in most)
        tables.append(Table(columns=tuple(marks), rows=rows, caption=by))
    return tables


def _slice(
    value: str, found: Mapping[str, SliceFigures], marks: Mapping[str, Mark], scale: Scale
) -> Row:
    figures = []
    for name in marks:
        one = found.get(name)
        if one is None or one.mean is None:
            figures.append(Figure(text=MISSING))
            continue
        part = (one.mean - scale.low) / (scale.high - scale.low or 1.0)
        ends = "" if one.low is None else f"{score(one.low)} to {score(one.high)}"
        figures.append(
            Figure(text=score(one.mean), sort=one.mean, note=ends, shade=round(part * _SHADES))
        )
    return Row(
        title=value,
        note=f"n {count(max(one.n for one in found.values()))}",
        figures=tuple(figures),
    )


def gaps_table(gathered: Gathered) -> Table | None:
    """Questions for which no KPI figure or few passages were found; None where nobody counted."""
    counted = {
        name: one
        for name, one in gathered.retrieval.items()
        if one.kpi is not None or one.passages is not None
    }
    if not counted:
        return None
    gaps = [
        (name, one)
        for name, one in counted.items()
        if one.kpi == 0 or (one.passages is not None and one.passages < FEW_PASSAGES)
    ]
    gaps.sort(key=lambda gap: ((gap[1].kpi or 0) + (gap[1].passages or 0), gap[0]))
    rows = [
        Row(
            title=name,
            note=one.question,
            figures=(
                Figure(text=count(one.kpi), sort=one.kpi, tone="worse" if one.kpi == 0 else ""),
                Figure(text=count(one.passages), sort=one.passages),
                Figure(text=f"{count(one.failed)}/{count(one.trials)}", sort=float(one.failed)),
            ),
        )
        for name, one in gaps[:_MOST_GAPS]
    ]
    without_kpi = sum(one.kpi == 0 for one in counted.values())
    return Table(
        columns=("KPI matches", "passages", "failed"),
        rows=tuple(rows),
        caption=(
            f"{count(without_kpi)} of {count(len(counted))} questions had no KPI match; "
            f"{count(sum((one.passages or 0) < FEW_PASSAGES for one in counted.values()))} "
            f"had fewer than {FEW_PASSAGES} passages."
        ),
        left_out=len(gaps) - len(rows),
    )


def failures_table(gathered: Gathered, marks: Mapping[str, Mark]) -> Table | None:
    """Failures by kind, most frequent first, a column per cell that has any; None without any."""
    if not gathered.failures:
        return None
    kinds = sorted(gathered.failures.values(), key=lambda kind: -kind.cells.total())
    failing = [name for name in marks if any(kind.cells[name] for kind in kinds)]
    rows = [
        Row(
            title=kind.error_type,
            note=" · ".join(part for part in (kind.stage, kind.message) if part),
            figures=(
                Figure(text=count(kind.cells.total()), sort=float(kind.cells.total())),
                *(
                    Figure(text=count(kind.cells[name]), sort=float(kind.cells[name]))
                    for name in failing
                ),
            ),
        )
        for kind in kinds
    ]
    return Table(columns=("trials", *failing), rows=tuple(rows))


def costs_by_purpose(
    sheet: Sheet, gathered: Gathered, marks: Sequence[str]
) -> dict[str, dict[str, float]]:
    """USD per cell and purpose: the summary's where it says it, else the sum over the trials."""
    cells = {cell.name: cell for cell in sheet.cells}
    found = {}
    for name in marks:
        summed = gathered.costs.get(name, {})
        known = cells[name].costs if name in cells else {}
        total = cells[name].cost.get("total") if name in cells else None
        by_purpose = {"answers": float(summed.get("answers", 0)) if total is None else total}
        for purpose in ("judge", "retrieval", "wasted"):
            by_purpose[purpose] = known.get(purpose, float(summed.get(purpose, 0)))
        found[name] = {purpose: usd for purpose, usd in by_purpose.items() if usd > 0}
    return found


def cost_table(costs: Mapping[str, Mapping[str, float]], marks: Mapping[str, Mark]) -> Table:
    """The costs of the chart as figures."""
    purposes = tuple(dict.fromkeys(purpose for parts in costs.values() for purpose in parts))
    rows = tuple(
        Row(
            mark=marks[name],
            figures=(
                *(_figure(parts.get(purpose), money) for purpose in purposes),
                _figure(sum(parts.values()), money),
            ),
        )
        for name, parts in costs.items()
    )
    return Table(columns=(*purposes, "all"), rows=rows)


def latency_table(sheet: Sheet, marks: Mapping[str, Mark]) -> Table:
    """Quantiles of the time to an answer."""
    names = ("mean", "p50", "p90", "p95", "p99", "max")
    rows = tuple(
        Row(
            mark=marks[cell.name],
            figures=tuple(_figure(cell.latency.get(name), seconds) for name in names),
        )
        for cell in sheet.cells
    )
    return Table(columns=names, rows=rows)
