"""Supply line 1: the figures that a question asks for, as compact text.

Enters: what was read from the question, and the facts. Leaves: one line a figure with its citation
id, lines for figures that follow from them, and a line for everything asked that the data lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from finrag_eval.synthesis_pipeline.amounts import written
from finrag_eval.synthesis_pipeline.derived_figures import (
    FORMULAS,
    Derived,
    are_comparable,
    average,
    change,
    change_of_derived,
    compound_growth,
    difference,
    from_formula,
    name_of,
    ratio,
    total,
)
from finrag_eval.synthesis_pipeline.entities import Entities, EntityReader, label
from finrag_eval.synthesis_pipeline.kpi_store import Fact, KpiStore

HEADER = "=== KPI SNAPSHOT: 10-K figures per fiscal year, as first reported ==="
DERIVED_HEADER = "--- derived from these figures ---"
GAPS_HEADER = "--- asked for and not in the data ---"
NO_VALUE = "no value in the data"

#: Without a year in the question, so many of the latest ones are given.
_LATEST = 3
_MOST_LINES = 240
_OVERVIEW = ("revenue", "net_income", "operating_income")

_Figure = TypeVar("_Figure", Fact, Derived)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The snapshot's text, and what stands in it; the text is empty where no figure was asked."""

    text: str = ""
    lines: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    tickers: tuple[str, ...] = ()
    years: tuple[int, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass
class _Draft:
    """One snapshot in the making."""

    store: KpiStore
    reader: EntityReader
    asked: Entities
    tickers: tuple[str, ...]
    metrics: tuple[str, ...]
    facts: dict[str, Fact] = field(default_factory=dict)
    derived: dict[str, None] = field(default_factory=dict)
    gaps: dict[str, None] = field(default_factory=dict)
    years: set[int] = field(default_factory=set)
    found: int = 0
    wanted: int = 0

    def snapshot(self) -> Snapshot:
        for ticker in self.tickers:
            for metric in self.metrics:
                self._add_metric(ticker, metric)
            self._add_ratios(ticker)
        self._add_across_companies()
        self._add_gaps_of_the_question()
        years = self._all_years()
        ordered = self._in_order()
        shown = ordered[:_MOST_LINES]
        lines = tuple(map(_line, shown))
        if len(ordered) > len(shown):
            self.gaps[f"{len(ordered) - len(shown)} more figures, cut for length"] = None
        return Snapshot(
            text=self._text(lines, years or self.asked.years.named),
            lines=lines,
            facts=tuple(shown),
            tickers=self.tickers,
            years=years,
            metrics=self.metrics,
        )

    def _all_years(self) -> tuple[int, ...]:
        return tuple(sorted(self.years))

    def _years_of(self, ticker: str, metric: str) -> tuple[int, ...]:
        """The years to tell of: those asked for, else the latest that there are."""
        asked, have = self.asked.years, self._years_of_data(ticker, metric)
        if asked.open_from is not None:
            last = max(have, default=asked.open_from)
            years = (*asked.named, *range(asked.open_from, max(last, asked.open_from) + 1))
            return tuple(sorted(set(years)))
        return asked.named or tuple(have[-(asked.recent or _LATEST) :])

    def _years_of_data(self, ticker: str, metric: str) -> Sequence[int]:
        """Years with the figure or with what it follows from; without any, the company's own."""
        years = set(self.store.years(ticker, metric))
        if formula := FORMULAS.get(metric):
            inputs = [set(self.store.years(ticker, key)) for key in formula.inputs]
            years |= set.intersection(*inputs)
        return sorted(years) or self.store.years(ticker)

    def _add_metric(self, ticker: str, metric: str) -> None:
        asked = self._years_of(ticker, metric)
        self.years.update(asked)
        years = self._with_year_before(ticker, metric, asked)
        told = {year: self._figure(ticker, year, metric) for year in years}
        missing = [year for year in asked if told[year] is None]
        self.wanted += len(asked)
        self.found += len(asked) - len(missing)
        if missing:
            self._add_gap(ticker, metric, missing)
        have = [figure for figure in told.values() if figure is not None]
        facts = [figure for figure in have if isinstance(figure, Fact)]
        if len(facts) == len(have):
            self._add_over_time(name=label(metric, self.store.metric_labels), facts=facts)
        else:
            self._add_derived_over_time(metric, have)

    def _with_year_before(
        self, ticker: str, metric: str, years: tuple[int, ...]
    ) -> tuple[int, ...]:
        """The years asked for; of one year's growth, the year before it, too, if there is one."""
        if len(years) != 1 or "change" not in self.asked.asks:
            return years
        before = years[0] - 1
        return (before, *years) if before in self._years_of_data(ticker, metric) else years

    def _figure(self, ticker: str, year: int, metric: str) -> Fact | Derived | None:
        """The figure by formula for margins and the like, else the fact, else by formula."""
        formula = FORMULAS.get(metric)
        fact = self.store.fact(ticker, year, metric)
        if fact is not None and (formula is None or formula.kind in {"minus", "same"}):
            return self._keep(fact)
        if formula is not None:
            inputs = self._inputs(ticker, year, formula.inputs)
            name = label(metric, self.store.metric_labels)
            derived = from_formula(name, formula, inputs) if inputs else None
            if derived is not None:
                self._keep_derived(derived)
                return derived
        return self._keep(fact) if fact is not None else None

    def _inputs(self, ticker: str, year: int, keys: Iterable[str]) -> list[Fact]:
        facts = [self.store.fact(ticker, year, key) for key in keys]
        return [fact for fact in facts if fact is not None] if None not in facts else []

    def _keep(self, fact: Fact) -> Fact:
        self.facts[fact.fact_id] = fact
        return fact

    def _keep_derived(self, derived: Derived | None) -> None:
        if derived is not None:
            for fact in derived.inputs:
                self._keep(fact)
            self.derived[derived.line] = None

    def _add_over_time(self, name: str, facts: list[Fact]) -> None:
        asks = self.asked.asks
        if len(facts) < 2:
            return
        if "change" in asks or "difference" in asks:
            for first, last in _pairs(facts):
                self._keep_derived(change(name, first, last))
        if not are_comparable(facts[0], facts[-1]):
            span = f"FY{facts[0].fiscal_year} to FY{facts[-1].fiscal_year}"
            told = f"{facts[0].ticker} {name} {span}: not comparable, a stock split lies between"
            self.gaps[told] = None
        if "cagr" in asks:
            self._keep_derived(compound_growth(name, facts[0], facts[-1]))
        if "average" in asks:
            self._keep_derived(average(name, facts))
        if "sum" in asks and len(self.tickers) == 1:
            self._keep_derived(total(name, facts))

    def _add_derived_over_time(self, metric: str, figures: Sequence[Fact | Derived]) -> None:
        if not self.asked.asks & {"change", "difference"}:
            return
        kind, name = FORMULAS[metric].kind, label(metric, self.store.metric_labels)
        derived = [
            Derived(line="", inputs=(each,), value=each.value) if isinstance(each, Fact) else each
            for each in figures
        ]
        for first, last in _pairs(derived):
            self._keep_derived(change_of_derived(name, first, last, kind))

    def _add_ratios(self, ticker: str) -> None:
        for part, whole in self.asked.metrics.ratios:
            for year in self._all_years():
                inputs = self._inputs(ticker, year, (part, whole))
                if inputs:
                    names = [name_of(fact) for fact in inputs]
                    self._keep_derived(ratio(names[0], names[1], inputs))

    def _add_across_companies(self) -> None:
        if len(self.tickers) < 2 or not self.asked.asks & {"difference", "sum"}:
            return
        years = self._all_years()
        for metric in self.metrics:
            name = label(metric, self.store.metric_labels)
            for year in years:
                of_year = (self.store.fact(ticker, year, metric) for ticker in self.tickers)
                facts = [fact for fact in of_year if fact is not None]
                if "difference" in self.asked.asks and len(facts) == 2:
                    self._keep_derived(difference(name, *facts))
                if "sum" in self.asked.asks and len(facts) == len(self.tickers):
                    self._keep_derived(total(name, facts))

    def _add_gap(self, ticker: str, metric: str, years: Sequence[int]) -> None:
        name = label(metric, self.store.metric_labels)
        have = self.store.years(ticker, metric)
        held = f" (it has {_years_told(have)})" if have else ""
        when = _years_told(years)
        self.gaps[f"{ticker} {name} {when}: {NO_VALUE}{held}"] = None

    def _add_gaps_of_the_question(self) -> None:
        asked = self.asked
        for name in asked.strangers:
            self.gaps[f"{_one_line(name)}: no company of the data"] = None
        if asked.metrics.part and self.metrics:
            names = ", ".join(label(key, self.store.metric_labels) for key in self.metrics)
            told = f"{_one_line(asked.metrics.part)} {names}: {NO_VALUE} (company totals only)"
            self.gaps[told] = None
        if "part_year" in asked.asks:
            self.gaps[f"figures of a quarter or month: {NO_VALUE} (whole fiscal years only)"] = None
        if not self.tickers:
            self.gaps["the question names no company of the data"] = None

    def _in_order(self) -> list[Fact]:
        places = {ticker: place for place, ticker in enumerate(self.tickers)}
        metrics = {key: place for place, key in enumerate(self.metrics)}
        return sorted(
            self.facts.values(),
            key=lambda fact: (
                places.get(fact.ticker, len(places)),
                metrics.get(fact.metric_key, len(metrics)),
                fact.metric_key,
                fact.fiscal_year,
            ),
        )

    def _text(self, lines: Sequence[str], years: Sequence[int]) -> str:
        names = (f"{ticker} = {_one_line(self._name(ticker))}" for ticker in self.tickers)
        metrics = (label(key, self.store.metric_labels) for key in self.metrics)
        parts = [
            HEADER,
            f"Companies: {'; '.join(names) or 'none of the data'}",
            f"Fiscal years: {', '.join(map(str, years)) or 'none named'}",
            f"Metrics: {'; '.join(map(_one_line, metrics))}",
            f"Coverage: {self.found} of {self.wanted} figures",
            *lines,
        ]
        if self.derived:
            parts += [DERIVED_HEADER, *list(self.derived)[:_MOST_LINES]]
        if self.gaps:
            parts += [GAPS_HEADER, *list(self.gaps)[:_MOST_LINES]]
        return "\n".join(parts) + "\n"

    def _name(self, ticker: str) -> str:
        known = self.reader.companies.companies.get(ticker)
        return known.name if known else self.store.company_names.get(ticker, ticker)


def snapshot(asked: Entities, store: KpiStore, reader: EntityReader) -> Snapshot:
    """The figures for a question; an empty text where it asks for none."""
    metrics = _metrics(asked)
    if not metrics:
        return Snapshot()
    tickers = asked.tickers
    if not tickers and not asked.strangers and asked.asks & {"which", "compare"}:
        tickers = tuple(store.tickers)
    return _Draft(store, reader, asked, tickers, metrics).snapshot()


def _metrics(asked: Entities) -> tuple[str, ...]:
    """The metrics to show: those named, less story words; an overview where only that is asked."""
    keys = list(asked.metrics.keys)
    if "explain" in asked.asks:
        keys = [key for key in keys if key not in asked.metrics.weak]
    if not keys and asked.tickers and ("overview" in asked.asks) and not asked.metrics.keys:
        keys = list(_OVERVIEW)
    return tuple(keys)


def _line(fact: Fact) -> str:
    value = written(fact.value, fact.unit)
    line = f"{fact.ticker} FY{fact.fiscal_year} {_one_line(name_of(fact))}: {value}"
    return f"{line} [KPI:{fact.fact_id}]{''.join(f' ({note})' for note in _notes(fact))}"


def _notes(fact: Fact) -> Iterator[str]:
    if fact.restated_value is not None:
        where = f" in {_one_line(fact.restated_in)}" if fact.restated_in else ""
        yield f"later restated to {written(fact.restated_value, fact.unit)}{where}"
    if fact.note:
        yield _one_line(fact.note)
    if fact.level == "B":
        yield "not read in the filing itself; its totals agree"
    elif fact.status == "unverified":
        yield "unverified"


def _pairs(figures: Sequence[_Figure]) -> Iterator[tuple[_Figure, _Figure]]:
    """First to last, then each to the next where there are more than two."""
    if len(figures) > 1:
        yield figures[0], figures[-1]
    if len(figures) > 2:
        yield from pairwise(figures)


def _years_told(years: Sequence[int]) -> str:
    """``FY2018, FY2020 to FY2022``."""
    runs: list[list[int]] = []
    for year in sorted(years):
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return ", ".join(
        f"FY{run[0]} to FY{run[-1]}" if len(run) > 2 else ", ".join(f"FY{year}" for year in run)
        for run in runs
    )


def _one_line(text: str) -> str:
    """Text of a user's file or question that can neither break a line nor pass for a citation."""
    return " ".join(text.split()).replace("[", "(").replace("]", ")")[:120]
