"""Which year and which quarter each figure of an answer is of.

Enters: a reading. Leaves: the periods by where the figure starts. What stands right behind a
figure goes first, then lists in the same order ("$5 and $6 billion in 2019 and 2020"), then its
table column's header, then what was named last before it in its statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from finrag_eval.score.quantities import Quantity, Reading
from finrag_eval.score.questions import quarters_in, years_in
from finrag_eval.score.signs import statement_start

Periods = dict[int, frozenset[int]]

_DAY = r"(?:[A-Z][a-z]+ \d{1,2}, )?"
#: What may stand between a figure and the year that it is of.
_BEFORE_ITS_YEAR = re.compile(
    r"[ \u00a0]?\(?(?:,? ?(?:in|for|during|at|as of|at the end of|of|by|on) )?(?:the )?"
    rf"(?:fiscal(?: year)? |year |calendar(?: year)? )?(?:ended )?{_DAY}"
    r"|[ ](?:[A-Za-z-]+ ){1,4}[Dd]ue(?: in)? "
)
_BETWEEN_YEARS = re.compile(
    rf"(?:,|,? (?:and|or|&)|/) ?(?:fiscal(?: years?)? |(?:the )?years? )?(?:ended )?{_DAY}"
)
_BETWEEN_FIGURES = re.compile(r"(?:,|,? (?:and|or|&)|/) ?(?:to )?")
_QUARTER = re.compile(
    r"\bQ[1-4]\b|\b(?:first|second|third|fourth|full)[ -](?:fiscal )?(?:quarter|year)\b"
    r"|\bannual\b|\btotal (?:FY|fiscal|for the (?:fiscal )?year)",
    re.IGNORECASE,
)
_BEFORE_ITS_QUARTER = re.compile(
    r"[ \u00a0]?\(?(?:(?:in|for|during) )?(?:the |its )?(?:fiscal )?$", re.IGNORECASE
)
_REACH = 30


def years_by_figure(reading: Reading) -> Periods:
    """The years that each figure belongs to, by where the figure starts; empty where unsaid."""
    text = reading.text
    found: Periods = {}
    named, pending = frozenset[int](), set[int]()
    start = -1
    last: Quantity | None = None
    for quantity in reading.quantities:
        if (current := statement_start(text, quantity.start)) != start:
            start, named, pending, last = current, frozenset(), set(), None
        if quantity.form == "year":
            if last is not None and _is_year_of(quantity, last, text):
                found[last.start] = frozenset({int(quantity.face)})
            else:
                pending.add(int(quantity.face))
            last = None
            continue
        named = frozenset(pending) or named
        pending = set()
        found[quantity.start] = _years_above(text, quantity) or named
        last = quantity
    return found | _in_step(reading)


def _is_year_of(year: Quantity, figure: Quantity, text: str) -> bool:
    """Whether the year right behind the figure is the figure's, and not the next one's label."""
    return text[year.end] not in ":=" and bool(
        _BEFORE_ITS_YEAR.fullmatch(text, figure.end, year.start)
    )


def _years_above(text: str, figure: Quantity) -> frozenset[int]:
    """The years in the figure's column of the table's header, else in its row's label."""
    for header in headers_above(text, figure):
        if years := years_in(header):
            return years
    line_start = text.rfind("\n", 0, figure.start) + 1
    row = text[line_start : figure.start].split("|")
    return years_in(row[1]) if len(row) > 2 and not row[0].strip() else frozenset()


def headers_above(text: str, figure: Quantity) -> Iterator[str]:
    """The cells above the figure in its table, from the top; none outside of a table."""
    line_start = text.rfind("\n", 0, figure.start) + 1
    column = text.count("|", line_start, figure.start)
    if not column:
        return
    block_start = max(text.rfind("\n\n", 0, line_start) + 2, 0)
    for line in text[block_start:line_start].splitlines():
        cells = line.strip().split("|")
        if line.strip().startswith("|") and column < len(cells):
            yield cells[column]


def _in_step(reading: Reading) -> Periods:
    """The years of figures that are listed in the order in which as many years are listed."""
    runs = [run for run in _runs(reading) if len(run) > 1]
    years = [run for run in runs if run[0].form == "year"]
    found: Periods = {}
    for run in runs if years else ():
        beside = [other for other in years if _belong_together(run, other, reading.text)]
        if run[0].form != "year" and beside:
            nearest = min(beside, key=lambda other: abs(other[0].start - run[0].start))
            found |= {
                figure.start: frozenset({int(year.face)})
                for figure, year in zip(run, nearest, strict=True)
            }
    return found


def _belong_together(run: Sequence[Quantity], years: Sequence[Quantity], text: str) -> bool:
    same = statement_start(text, run[0].start) == statement_start(text, years[0].start)
    return same and len(run) == len(years)


def _runs(reading: Reading) -> Iterator[list[Quantity]]:
    """Years, or figures, that nothing but commas and "and" parts."""
    run: list[Quantity] = []
    for quantity in reading.quantities:
        is_year = quantity.form == "year"
        between = _BETWEEN_YEARS if is_year else _BETWEEN_FIGURES
        if run and (
            (run[-1].form == "year") != is_year
            or not between.fullmatch(reading.text, run[-1].end, quantity.start)
        ):
            yield run
            run = []
        run.append(quantity)
    if run:
        yield run


def quarters_by_figure(reading: Reading) -> Periods:
    """The quarters (1 to 4) that each figure belongs to; empty for a year's, and where unsaid."""
    text = reading.text
    marks = list(_QUARTER.finditer(text))
    return {
        figure.start: _quarter_of(figure, text, marks)
        for figure in (reading.quantities if marks else ())
        if figure.form != "year"
    }


def _quarter_of(figure: Quantity, text: str, marks: Sequence[re.Match[str]]) -> frozenset[int]:
    for mark in marks:
        if figure.end <= mark.start() <= figure.end + _REACH and _BEFORE_ITS_QUARTER.fullmatch(
            text, figure.end, mark.start()
        ):
            return quarters_in(mark.group())
    for header in headers_above(text, figure):
        if quarters := quarters_in(header):
            return quarters
    start = statement_start(text, figure.start)
    before = [mark for mark in marks if start <= mark.start() < figure.start]
    return quarters_in(before[-1].group()) if before else frozenset()
