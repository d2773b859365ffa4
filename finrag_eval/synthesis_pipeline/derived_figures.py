"""Figures that follow from facts: ratios, changes, averages, each with its inputs and formula.

Enters: facts. Leaves: one line each, to stand in the KPI snapshot; None where an input is missing
or the result would mean nothing. Formulas: plain arithmetic; the compound annual growth rate is
(last / first) ^ (1 / years) - 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from finrag_eval.synthesis_pipeline.amounts import (
    hundredths,
    percent,
    scale_note,
    scaled,
    written,
)
from finrag_eval.synthesis_pipeline.entities import label
from finrag_eval.synthesis_pipeline.kpi_store import Fact

_POINTS = {"percent", "ratio"}
_OF_RATIOS = "(difference of ratios)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A figure from two others of the same company and year.

    ``kind``: ``share`` (first / second, in percent), ``ratio`` (first / second), ``minus``, or
    ``same`` (the first under its other name; the second is empty).
    """

    first: str
    second: str
    kind: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The metrics that it needs."""
        return (self.first, self.second) if self.second else (self.first,)


FORMULAS: Mapping[str, Formula] = {
    key: Formula(first=first, second=second, kind=kind)
    for key, first, second, kind in (
        ("gross_margin", "gross_profit", "revenue", "share"),
        ("operating_margin", "operating_income", "revenue", "share"),
        ("net_profit_margin", "net_income", "revenue", "share"),
        ("pretax_margin", "pretax_income", "revenue", "share"),
        ("fcf_margin", "free_cash_flow", "revenue", "share"),
        ("roa", "net_income", "total_assets", "share"),
        ("roe", "net_income", "equity", "share"),
        ("effective_tax_rate", "income_tax", "pretax_income", "share"),
        ("research_intensity", "rnd", "revenue", "share"),
        ("current_ratio", "current_assets", "current_liabilities", "ratio"),
        ("liabilities_to_assets", "total_liabilities", "total_assets", "ratio"),
        ("asset_turnover", "revenue", "total_assets", "ratio"),
        ("working_capital", "current_assets", "current_liabilities", "minus"),
        ("free_cash_flow", "cfo", "capex", "minus"),
        ("gross_profit", "revenue", "cost_of_revenue", "minus"),
        ("total_assets", "liabilities_and_equity", "", "same"),
        ("liabilities_and_equity", "total_assets", "", "same"),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A derived figure: its line, its value, and the facts that went into it."""

    line: str
    inputs: tuple[Fact, ...]
    value: Decimal | None = None


def name_of(fact: Fact) -> str:
    """What to call the fact's metric."""
    return label(fact.metric_key, {fact.metric_key: fact.metric_label})


def from_formula(name: str, formula: Formula, facts: Sequence[Fact]) -> Derived | None:
    """The figure ``name`` of one company and year; None where it cannot be told."""
    first = facts[0]
    head = f"{first.ticker} FY{first.fiscal_year} {name}"
    if formula.kind == "same":
        told = f"{written(first.value, first.unit)} = {name_of(first)}"
        return _derived(f"{head}: {told}", facts, first.value)
    second = facts[1]
    if first.unit != second.unit:
        return None
    if formula.kind == "minus":
        value = first.value - second.value
        told = f"{written(value, first.unit)} = {_terms(facts, ' - ')}"
        return _derived(f"{head}: {told}", facts, value)
    if second.value <= 0:
        return None
    share = first.value / second.value
    told = percent(share) if formula.kind == "share" else hundredths(share)
    return _derived(f"{head}: {told} = {_terms(facts, ' / ')}", facts, share)


def ratio(part: str, whole: str, facts: Sequence[Fact]) -> Derived | None:
    """One figure as a share of another, in percent and as a ratio."""
    first, second = facts
    if second.value <= 0 or first.unit != second.unit:
        return None
    share = first.value / second.value
    head = f"{first.ticker} FY{first.fiscal_year} {part} as a share of {whole}"
    told = f"{percent(share)} (ratio {share:.4f}) = {_terms(facts, ' / ')}"
    return _derived(f"{head}: {told}", facts, share)


def are_comparable(first: Fact, last: Fact) -> bool:
    """Whether two years' figures stand on one basis: no stock split between them, one unit."""
    is_split = first.note != last.note and "split" in first.note + last.note
    return first.unit == last.unit and not is_split


def change(name: str, first: Fact, last: Fact) -> Derived | None:
    """From one year's figure to a later one's: absolute, and in percent where that has a meaning.

    None for per-share figures on the two sides of a stock split, which do not compare.
    """
    if not are_comparable(first, last):
        return None
    head = f"{first.ticker} {name} change FY{first.fiscal_year} to FY{last.fiscal_year}"
    if first.unit in _POINTS:
        a, b = scaled(first.value, first.unit), scaled(last.value, last.unit)
        unit = "percentage points" if first.unit == "percent" else _OF_RATIOS
        told = f"{_signed(hundredths(last.value - first.value))} {unit} = {b} - {a}"
    else:
        told = _change_told(first.value, last.value, first.unit)
    return _derived(f"{head}: {told}", (first, last))


def change_of_derived(name: str, first: Derived, last: Derived, kind: str) -> Derived | None:
    """How a derived figure moved: shares in percentage points, amounts as amounts do."""
    if first.value is None or last.value is None:
        return None
    start, end = first.inputs[0], last.inputs[0]
    head = f"{start.ticker} {name} change FY{start.fiscal_year} to FY{end.fiscal_year}"
    if kind in {"share", "ratio"}:
        factor, unit = (100, "percentage points") if kind == "share" else (1, _OF_RATIOS)
        a, b = hundredths(first.value * factor), hundredths(last.value * factor)
        told = f"{_signed(hundredths((last.value - first.value) * factor))} {unit} = {b} - {a}"
    else:
        told = _change_told(first.value, last.value, start.unit)
    return _derived(f"{head}: {told}", (*first.inputs, *last.inputs))


def compound_growth(name: str, first: Fact, last: Fact) -> Derived | None:
    """Compound annual growth rate; None unless both figures are positive and comparable."""
    years = last.fiscal_year - first.fiscal_year
    if years < 1 or first.value <= 0 or last.value <= 0 or not are_comparable(first, last):
        return None
    rate = (last.value / first.value) ** (Decimal(1) / years) - 1
    span = f"FY{first.fiscal_year} to FY{last.fiscal_year}"
    head = f"{first.ticker} {name} compound annual growth rate {span}"
    formula = (
        f"({scaled(last.value, last.unit)} / {scaled(first.value, first.unit)})^(1/{years}) - 1"
    )
    return _derived(f"{head}: {_signed(percent(rate))} = {formula}", (first, last), rate)


def average(name: str, facts: Sequence[Fact]) -> Derived:
    """The mean over the years of one company."""
    value = sum((fact.value for fact in facts), Decimal(0)) / len(facts)
    places = Decimal("0.01") if facts[0].unit != "USD" else Decimal(10_000)
    rounded = (value / places).quantize(Decimal(1)) * places
    terms = f"({' + '.join(scaled(fact.value, fact.unit) for fact in facts)}) / {len(facts)}"
    head = f"{facts[0].ticker} average {name} {_span(facts)}"
    told = f"{written(rounded, facts[0].unit)} = {terms}{_in(facts[0].unit)}"
    return _derived(f"{head}: {told}", facts, value)


def total(name: str, facts: Sequence[Fact]) -> Derived:
    """The sum over years of one company, or over companies of one year."""
    value = sum((fact.value for fact in facts), Decimal(0))
    tickers = " + ".join(dict.fromkeys(fact.ticker for fact in facts))
    terms = " + ".join(scaled(fact.value, fact.unit) for fact in facts)
    head = f"{tickers} sum of {name} {_span(facts)}"
    told = f"{written(value, facts[0].unit)} = {terms}{_in(facts[0].unit)}"
    return _derived(f"{head}: {told}", facts, value)


def difference(name: str, first: Fact, second: Fact) -> Derived | None:
    """The higher figure of two companies in one year minus the lower one."""
    if first.unit != second.unit:
        return None
    high, low = (first, second) if first.value >= second.value else (second, first)
    amount = high.value - low.value
    head = f"{high.ticker} minus {low.ticker} FY{first.fiscal_year} {name}"
    terms = f"{scaled(high.value, high.unit)} - {scaled(low.value, low.unit)}"
    told = f"{written(amount, high.unit)} = {terms}{_in(high.unit)}"
    if low.value > 0:
        told += f"; {high.ticker} is {hundredths(high.value / low.value)} times {low.ticker}"
    return _derived(f"{head}: {told}", (high, low), amount)


def _change_told(first: Decimal, last: Decimal, unit: str) -> str:
    a, b = scaled(first, unit), scaled(last, unit)
    told = _signed(written(last - first, unit))
    if first <= 0:
        return f"{told} = {b} - {a}{_in(unit)}; no percentage from a base that is not positive"
    growth = (last - first) / first
    return f"{told}, {_signed(percent(growth))} = ({b} - {a}) / {a}{_in(unit)}"


def _derived(line: str, inputs: Sequence[Fact], value: Decimal | None = None) -> Derived:
    cited = " ".join(f"[KPI:{fact.fact_id}]" for fact in inputs)
    return Derived(line=f"{line} {cited}", inputs=tuple(inputs), value=value)


def _terms(facts: Sequence[Fact], sign: str) -> str:
    told = [f"{name_of(fact)} {scaled(fact.value, fact.unit)}" for fact in facts]
    return sign.join(told) + _in(facts[0].unit)


def _in(unit: str) -> str:
    note = scale_note(unit)
    return f", in {note}" if note else ""


def _span(facts: Sequence[Fact]) -> str:
    years = sorted({fact.fiscal_year for fact in facts})
    first, last = years[0], years[-1]
    if first == last:
        return f"FY{first}"
    if len(years) == last - first + 1:
        return f"FY{first} to FY{last}"
    return ", ".join(f"FY{year}" for year in years)


def _signed(text: str) -> str:
    return text if text.startswith("-") else f"+{text}"
