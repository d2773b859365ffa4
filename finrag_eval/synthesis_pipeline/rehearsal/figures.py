"""Answers from the KPI snapshot: look-ups, comparisons, changes, extremes, margins.

Enters: what the snapshot holds and what the question asks. Leaves: an ``Answer``, one that declines
where the figures for it are not there. It reads and orders figures, and computes none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from finrag_eval.synthesis_pipeline.entities import Entities
from finrag_eval.synthesis_pipeline.rehearsal.answers import Answer, Evidence
from finrag_eval.synthesis_pipeline.rehearsal.reading import (
    DerivedFigure,
    Figure,
    Material,
    amount,
)

_CHANGE = re.compile(
    r"^(?P<ticker>\S+) (?P<name>.+) change FY(?P<first>\d{4}) to FY(?P<last>\d{4})$"
)
_OF_YEAR = re.compile(r"^(?P<ticker>\S+) FY(?P<year>\d{4}) (?P<name>.+)$")
_PERCENT = re.compile(r"(?P<sign>[+-])(?P<size>[\d,.]+%)")
_TIMES = re.compile(r"; \S+ is ([\d,.]+) times ")
_THRESHOLD = re.compile(
    r"\b(?P<side>exceed\w*|above|over|more\s+than|greater\s+than|higher\s+than|at\s+least|surpass\w*"
    r"|top(?:ped)?|below|under|less\s+than|lower\s+than)\s+(?P<amount>(?:USD|US\$|\$)?\s?\d[\d,.]*"
    r"\s*(?P<scale>thousand|million|billion|trillion|%|percent)?)",
    re.IGNORECASE,
)
_BELOW = ("below", "under", "less", "lower")
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_AMOUNT_ASKED = re.compile(
    r"\bhow\s+(?:much|many\s+dollars)\b|\bin\s+(?:USD|US\$|\$|dollars)|\bamount\b", re.IGNORECASE
)
_PERCENT_ASKED = re.compile(r"%|\bper\s?cent|\brate\b|\bgrowth\b", re.IGNORECASE)
_TIMES_ASKED = re.compile(r"\bhow\s+many\s+times\b|\btimes\s+as\b", re.IGNORECASE)


def answer_from_figures(material: Material, asked: Entities, question: str) -> Answer:
    """The answer; it declines where the snapshot lacks what the question turns on."""
    is_of_a_part = asked.metrics.part is not None or "part_year" in asked.asks
    if is_of_a_part or not (material.figures or material.derived):
        return Answer(missing=material.gaps)
    return _Snapshot(material, asked, question).answer(question) or Answer(missing=material.gaps)


@dataclass(frozen=True, slots=True)
class _Value:
    """One figure that was asked for, and not only an input of another one."""

    ticker: str
    year: int
    name: str
    text: str
    evidence: Evidence
    notes: str = ""

    @property
    def size(self) -> Decimal:
        return amount(self.text) or Decimal(0)


@dataclass(frozen=True, slots=True)
class _Change:
    """One change line; ``size`` is its percentage where it has one."""

    ticker: str
    name: str
    first: int
    last: int
    line: DerivedFigure

    @property
    def size(self) -> Decimal:
        percent = _PERCENT.search(self.line.text)
        return (amount(percent.group() if percent else self.line.text.lstrip("+"))) or Decimal(0)


class _Snapshot:
    """One snapshot, with the question that is put to it."""

    def __init__(self, material: Material, asked: Entities, question: str) -> None:
        self.material, self.asked, self.asks = material, asked, asked.asks
        self.years = material.years
        self.changes = [
            _Change(found["ticker"], found["name"], int(found["first"]), int(found["last"]), line)
            for line in material.derived
            if (found := _CHANGE.match(line.subject))
        ]
        self.values = self._values()
        self.tells_restatements = "restate" in question.lower()
        self.wants_times = _TIMES_ASKED.search(question) is not None
        self.wants_amount = bool(
            _AMOUNT_ASKED.search(question) and not _PERCENT_ASKED.search(question)
        )

    def answer(self, question: str) -> Answer | None:
        return (
            self._computed_for_the_question()
            or self._choice()
            or self._threshold(question)
            or self._listed()
        )

    def _computed_for_the_question(self) -> Answer | None:
        for ask, tell in (
            ("difference", self._differences),
            ("cagr", lambda: self._derived_with(" compound annual growth rate ")),
            ("average", lambda: self._derived_with(" average ")),
            ("sum", lambda: self._derived_with(" sum of ")),
        ):
            if ask in self.asks and (told := tell()):
                return told
        return None

    def _choice(self) -> Answer | None:
        """Comparisons, changes and extremes; an empty answer where one is asked and not there."""
        asks = self.asks
        of_several = len(self.material.companies) > 1 or bool(self.asked.strangers)
        if of_several and asks & {"which", "compare"}:
            return self._which_change() if "change" in asks and self.changes else self._which()
        if "when" in asks or ("which" in asks and len(self.years) > 1):
            return self._extreme_change() if "change" in asks and self.changes else self._extreme()
        if "change" in asks or ("difference" in asks and self.changes):
            return self._change()
        return None

    def _values(self) -> list[_Value]:
        wanted = {name: place for place, name in enumerate(self.material.metrics)}
        of_year = [
            _Value(found["ticker"], int(found["year"]), found["name"], line.text, _computed(line))
            for line in self.material.derived
            if " minus " not in line.subject and (found := _OF_YEAR.match(line.subject))
        ]
        if self.asked.metrics.ratios:
            return of_year
        plain = [_value(figure) for figure in self.material.figures]
        places = list(self.material.companies)
        return sorted(
            (each for each in plain + of_year if each.name in wanted and each.year in self.years),
            key=lambda each: (wanted[each.name], places.index(each.ticker), each.year),
        )

    def _listed(self) -> Answer | None:
        groups: dict[tuple[str, str], list[str]] = {}
        for each in self.values:
            told = f"{each.text} in FY{each.year}"
            if self.tells_restatements:
                told += each.notes
            groups.setdefault((each.ticker, each.name), []).append(told)
        clauses = [
            f"the {name} of {self._who(ticker)} {_was(name)} {_joined(texts)}"
            for (ticker, name), texts in groups.items()
        ]
        return self._told(clauses, self.values)

    def _change(self) -> Answer:
        ends = (min(self.years), max(self.years))
        spans = [each for each in self.changes if (each.first, each.last) == ends]
        wanted = self.changes if "each_year" in self.asks or not spans else spans
        clauses = [self._change_clause(each) for each in wanted]
        if clauses and self.asks & {"each_year", "explain", "overview"}:
            listed = self._listed()
            clauses = [*(listed.clauses if listed else ()), *clauses]
        return self._told(clauses, [*self.values, *wanted]) or _nothing(self.material)

    def _change_clause(self, each: _Change) -> str:
        what = f"the {each.name} of {self._who(each.ticker)}"
        span = f"from FY{each.first} to FY{each.last}"
        told, percent = each.line.text, _PERCENT.search(each.line.text)
        if percent is None:
            return f"{what} changed by {told} {span}"
        verb = "rose" if percent["sign"] == "+" else "fell"
        if self.wants_amount:
            size = told.split(", ")[0].lstrip("+-")
            return f"{what} {verb} by {size} {span} ({percent.group()})"
        return f"{what} {verb} by {percent['size']} {span} (a change of {told})"

    def _differences(self) -> Answer | None:
        lines = [line for line in self.material.derived if " minus " in line.subject]
        clauses = [self._difference_clause(line) for line in lines]
        return self._told(clauses, [*self.values, *lines])

    def _difference_clause(self, line: DerivedFigure) -> str:
        high, _, rest = line.subject.partition(" minus ")
        low, year, name = rest.split(" ", 2)
        told = {each.ticker: each.text for each in self.values if f"FY{each.year}" == year}
        times = _TIMES.search(line.formula)
        by = f"by {line.text}"
        if self.wants_times and times:
            by = f"{times[1]} times as much"
        return (
            f"{self._who(high)} had the higher {name} in {year}, {by}: {told.get(high)} against "
            f"{told.get(low)} of {self._who(low)}"
        )

    def _derived_with(self, words: str) -> Answer | None:
        lines = [line for line in self.material.derived if words in line.subject]
        clauses = [f"the {self._named(line.subject)} was {line.text}" for line in lines]
        return self._told(clauses, lines)

    def _named(self, subject: str) -> str:
        ticker, _, rest = subject.partition(" ")
        if ticker not in self.material.companies or rest.startswith("+ "):
            return subject
        return f"{rest} of {self._who(ticker)}"

    def _which(self) -> Answer:
        """Who has the highest, or lowest, figure; nothing where one of the named has none."""
        clauses = []
        kinds = dict.fromkeys((each.name, each.year) for each in self.values)
        for name, year in kinds:
            rivals = [each for each in self.values if (each.name, each.year) == (name, year)]
            if self._are_complete(each.ticker for each in rivals):
                clauses.append(self._ranking(f"{name} in FY{year}", rivals))
        if clauses and ("which" not in self.asks or len(kinds) > 1):
            listed = self._listed()
            clauses = [*(listed.clauses if listed else ()), *clauses]
        return self._told(clauses, self.values) or _nothing(self.material)

    def _which_change(self) -> Answer:
        spans: dict[tuple[str, int, int], list[_Change]] = {}
        for each in self.changes:
            spans.setdefault((each.name, each.first, each.last), []).append(each)
        widest = max((last - first for _, first, last in spans), default=0)
        clauses = [
            self._ranking(f"{name} change from FY{first} to FY{last}", rivals)
            for (name, first, last), rivals in spans.items()
            if last - first == widest and self._are_complete(each.ticker for each in rivals)
        ]
        return self._told(clauses, [*self.values, *self.changes]) or _nothing(self.material)

    def _are_complete(self, tickers: Iterable[str]) -> bool:
        return not self.asked.strangers and set(tickers) >= set(self.asked.tickers)

    def _ranking(self, what: str, rivals: Sequence[_Value | _Change]) -> str:
        is_lower = "lower" in self.asks
        first, *rest = sorted(rivals, key=lambda each: each.size, reverse=not is_lower)
        ending = "er" if len(rest) == 1 else "est"
        told = [f"{_text(each)} of {self._who(each.ticker)}" for each in rest[:4]]
        against = f", against {_joined(told)}" if told else ""
        word = ("low" if is_lower else "high") + ending
        return f"{self._who(first.ticker)} had the {word} {what}: {_text(first)}{against}"

    def _extreme(self) -> Answer:
        is_lower = "lower" in self.asks
        clauses = []
        for ticker, name in dict.fromkeys((each.ticker, each.name) for each in self.values):
            own = [each for each in self.values if (each.ticker, each.name) == (ticker, name)]
            top = sorted(own, key=lambda each: each.size, reverse=not is_lower)[0]
            word, span = "lowest" if is_lower else "highest", f"FY{own[0].year} to FY{own[-1].year}"
            what = f"the {word} {name} of {self._who(ticker)} in {span}"
            clauses.append(f"{what} was {top.text}, in FY{top.year}")
        return self._told(clauses, self.values) or _nothing(self.material)

    def _extreme_change(self) -> Answer:
        yearly = [each for each in self.changes if each.last == each.first + 1]
        is_lower = bool(self.asks & {"lower"})
        clauses = []
        for ticker, name in dict.fromkeys((each.ticker, each.name) for each in yearly):
            own = [each for each in yearly if (each.ticker, each.name) == (ticker, name)]
            top = sorted(own, key=lambda each: each.size, reverse=not is_lower)[0]
            word = "smallest" if is_lower else "largest"
            what = f"the {word} yearly growth of {name} of {self._who(ticker)}"
            clauses.append(f"{what} was {top.line.text}, in FY{top.last}")
        return self._told(clauses, [*self.values, *yearly]) or _nothing(self.material)

    def _threshold(self, question: str) -> Answer | None:
        limit = _THRESHOLD.search(question) if "boolean" in self.asks else None
        bar = amount(limit["amount"]) if limit else None
        if limit is None or bar is None:
            return None
        bar *= _SCALES.get((limit["scale"] or "").lower(), 1)
        is_below = limit["side"].lower().startswith(_BELOW)
        clauses = [
            f"{'Yes' if (each.size < bar if is_below else each.size > bar) else 'No'}: "
            f"the {each.name} of {self._who(each.ticker)} {_was(each.name)} {each.text} "
            f"in FY{each.year}"
            for each in self.values
        ]
        return self._told(clauses, self.values)

    def _told(
        self, clauses: Iterable[str], of: Iterable[_Value | _Change | DerivedFigure]
    ) -> Answer | None:
        upper = tuple(clause[:1].upper() + clause[1:] for clause in clauses)
        evidence = dict.fromkeys(map(_evidence_of, of))
        gaps = self.material.gaps
        return Answer(clauses=upper, evidence=tuple(evidence), missing=gaps) if upper else None

    def _who(self, ticker: str) -> str:
        name = self.material.companies.get(ticker, ticker)
        return f"{name} ({ticker})" if name != ticker else ticker


def _nothing(material: Material) -> Answer:
    return Answer(missing=material.gaps)


def _text(each: _Value | _Change) -> str:
    return each.text if isinstance(each, _Value) else each.line.text


def _evidence_of(each: _Value | _Change | DerivedFigure) -> Evidence:
    if isinstance(each, _Value):
        return each.evidence
    return _computed(each.line if isinstance(each, _Change) else each)


def _value(figure: Figure) -> _Value:
    notes = f" {figure.notes}" if figure.notes else ""
    line = f"{figure.ticker} FY{figure.year} {figure.name}: {figure.text}{notes}"
    evidence = Evidence(line=line, cites=(figure.cite,))
    return _Value(figure.ticker, figure.year, figure.name, figure.text, evidence, notes)


def _computed(line: DerivedFigure) -> Evidence:
    told = f"{line.subject}: {line.text}"
    return Evidence(line=told, cites=line.cites, formula=line.formula)


def _was(name: str) -> str:
    is_one = name.startswith("return ") or not name.endswith("s") or " as a share " in name
    return "was" if is_one else "were"


def _joined(parts: Iterable[str]) -> str:
    told = list(parts)
    return f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else "".join(told)
