"""Makes core_kpi.jsonl from the figures that come with the package; the same file every time.

    python query_sets/make_core_kpi.py

Every question can be answered exactly from its evidence: ``KPI:TICKER:YEAR:METRIC`` facts, in the
order in which the operation (the second tag) takes them. Which facts and which wording are taken
is decided by digests of their names, so that new facts shift little.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from itertools import combinations, product
from pathlib import Path

from core_kpi_words import (
    AVERAGE,
    BALANCES,
    CAGR,
    CALENDAR_YEARS,
    CHANGE,
    CORE,
    DIFFERENCES,
    FALL,
    FLOWS,
    GROWTH,
    HIGHEST,
    LARGER,
    LOOKUPS,
    METRICS,
    NAMES,
    OLD_NAMES,
    PER_SHARE,
    PLURAL_ENDINGS,
    RATIO_QUESTIONS,
    RATIOS,
    RISE,
    SUM,
    TIMES,
)

HERE = Path(__file__).resolve().parent
FACTS = HERE.parent / "finrag_eval" / "synthesis_pipeline" / "embedded" / "kpi_facts.csv"
OUTPUT = HERE / "core_kpi.jsonl"

Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One figure of the package."""

    ticker: str
    year: int
    metric: str
    value: Decimal
    unit: str
    restated: Decimal | None

    @property
    def evidence(self) -> str:
        return f"KPI:{self.ticker}:{self.year}:{self.metric}"


Facts = Mapping[tuple[str, int, str], Fact]
Run = tuple[Fact, ...]


def read_facts(path: Path) -> Facts:
    """All facts of the table, by ticker, fiscal year and metric."""
    facts = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            fact = Fact(
                ticker=row["ticker"],
                year=int(row["fiscal_year"]),
                metric=row["metric_key"],
                value=Decimal(row["value"]),
                unit=row["unit"],
                restated=Decimal(row["restated_value"]) if row["restated_value"] else None,
            )
            facts[fact.ticker, fact.year, fact.metric] = fact
    return facts


def build(facts: Facts) -> list[Row]:
    """All questions, numbered in their order."""
    asked = [*_lookups(facts), *_comparisons(facts), *_trends(facts), *_ratios(facts)]
    return [{"id": f"core-{number:03d}", **row} for number, row in enumerate(asked, start=1)]


def as_jsonl(rows: Iterable[Row]) -> str:
    """The file's text."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _lookups(facts: Facts) -> Iterator[Row]:
    for fact in _spread_over(facts):
        kind = (
            "flow"
            if fact.metric in FLOWS
            else "balance"
            if fact.metric in BALANCES
            else "share"
            if fact.metric in PER_SHARE
            else "other"
        )
        text = _worded(LOOKUPS[kind], fact.evidence, fact.metric, [fact.ticker], [fact.year])
        alternatives = [fact.restated] if fact.restated is not None else []
        if fact.unit == "percent":
            alternatives.append(fact.value / 100)
        yield _row(text, [fact], "lookup", fact.value, fact.unit, alternatives)


def _spread_over(facts: Facts) -> list[Fact]:
    """Two facts of every metric and more of the core ones, companies and years taking turns."""
    taken: list[Fact] = []
    companies: Counter[str] = Counter()
    years: Counter[int] = Counter()

    def take(metric: str, count: int, among: Sequence[int]) -> None:
        for _ in range(count):
            rest = [
                fact
                for fact in facts.values()
                if fact.metric == metric and fact.year in among and fact not in taken
            ]
            if rest:
                best = min(
                    rest,
                    key=lambda fact: (
                        companies[fact.ticker],
                        years[fact.year],
                        _order(fact.evidence),
                    ),
                )
                taken.append(best)
                companies[best.ticker] += 1
                years[best.year] += 1

    for metric in METRICS:
        take(metric, 2, range(2009, 2026))
    for metric in CORE:
        take(metric, 4, range(2016, 2021))
    return taken


def _comparisons(facts: Facts) -> Iterator[Row]:
    def choices(metric: str) -> list[tuple[Fact, Fact]]:
        found = [
            (facts[a, year, metric], facts[b, year, metric])
            for (a, b), year in product(combinations(NAMES, 2), range(2016, 2025))
            if (a, year, metric) in facts and (b, year, metric) in facts
        ]
        plain = [pair for pair in found if all(fact.restated is None for fact in pair)]
        larger_first = [
            tuple(sorted(pair, key=lambda fact: fact.value, reverse=True)) for pair in plain
        ]
        return [
            (a, b) for a, b in larger_first if b.value > 0 and a.value > b.value * Decimal("1.02")
        ]

    plans: Sequence[tuple[str, str, Sequence[str], int]] = (
        *((metric, "difference", DIFFERENCES, 3) for metric in CORE),
        *((metric, "larger", LARGER, 1) for metric in CORE),
        *((metric, "times", TIMES, 1) for metric in ("revenue", "rnd", "total_assets", "cfo")),
    )
    used: Counter[str] = Counter()
    for metric, operation, wordings, count in plans:
        for a, b in _least_used(choices(metric), count, used):
            tickers, seed = [a.ticker, b.ticker], operation + a.evidence + b.evidence
            text = _worded(wordings, seed, metric, tickers, [a.year])
            value, unit = {
                "difference": (a.value - b.value, a.unit),
                "larger": (a.value, a.unit),
                "times": (a.value / b.value, "ratio"),
            }[operation]
            yield _row(text, [a, b], "comparison", value, unit, (), operation)


def _trends(facts: Facts) -> Iterator[Row]:
    plans: Sequence[tuple[str, Sequence[str], int, int, Sequence[str]]] = (
        ("growth", GROWTH, 1, 10, ("revenue", "net_income", "operating_income", "cfo", "rnd")),
        ("growth", GROWTH, 3, 6, ("revenue", "total_assets", "rnd")),
        ("change", CHANGE, 1, 4, ("revenue", "net_income", "operating_income", "total_assets")),
        ("fall", FALL, 1, 3, ("revenue", "net_income", "cfo")),
        ("rise", RISE, 1, 4, ("revenue", "operating_income", "cfo", "total_assets")),
        ("rise", RISE, 2, 4, ("revenue", "net_income", "rnd", "total_assets")),
        ("sum", SUM, 2, 4, ("revenue", "net_income", "rnd", "cfo")),
        ("average", AVERAGE, 2, 4, ("revenue", "operating_income", "rnd", "net_income")),
        ("cagr", CAGR, 3, 3, ("revenue", "rnd", "total_assets")),
        ("highest", HIGHEST, 3, 3, ("net_income", "operating_income", "revenue")),
    )
    used: Counter[str] = Counter()
    for operation, wordings, span, count, metrics in plans:
        for place in range(count):
            metric = metrics[place % len(metrics)]
            for series in _least_used(_series(facts, metric, span, operation), 1, used):
                seed = operation + series[0].evidence + str(span)
                years = [series[0].year, series[-1].year]
                text = _worded(wordings, seed, metric, [series[0].ticker], years)
                used_facts = list(series)
                if operation not in {"sum", "average", "highest"}:
                    used_facts = [series[0], series[-1]]
                value, unit = _trend(operation, series)
                others = [value / 100] if unit == "percent" else []
                if operation == "fall":
                    others += [-value, -value / 100]
                yield _row(text, used_facts, "trend", value, unit, others, operation)


def _series(facts: Facts, metric: str, span: int, operation: str) -> list[tuple[Fact, ...]]:
    """Runs of years of one company, positive and never restated, that suit the operation."""
    found = []
    for ticker, first in product(NAMES, range(2015, 2025)):
        keys = [(ticker, year, metric) for year in range(first, first + span + 1)]
        run = tuple(facts[key] for key in keys if key in facts)
        if len(run) <= span or any(fact.restated is not None or fact.value <= 0 for fact in run):
            continue
        change = run[-1].value / run[0].value - 1
        if operation in {"change", "fall"} and change > Decimal("-0.02"):
            continue
        if operation in {"growth", "rise", "cagr"} and not Decimal("0.02") < change < 9:
            continue
        found.append(run)
    return found


def _trend(operation: str, series: Sequence[Fact]) -> tuple[Decimal, str]:
    first, last, unit = series[0].value, series[-1].value, series[0].unit
    years = len(series) - 1
    if operation in {"growth", "change"}:
        return (last / first - 1) * 100, "percent"
    if operation == "fall":
        return (1 - last / first) * 100, "percent"
    if operation == "cagr":
        return ((last / first) ** (Decimal(1) / years) - 1) * 100, "percent"
    values = [fact.value for fact in series]
    amounts: Mapping[str, Callable[[], Decimal]] = {
        "rise": lambda: last - first,
        "sum": lambda: sum(values, Decimal(0)),
        "average": lambda: sum(values, Decimal(0)) / len(values),
        "highest": lambda: max(values),
    }
    return amounts[operation](), unit


def _ratios(facts: Facts) -> Iterator[Row]:
    used: Counter[str] = Counter()
    for place in range(26):
        wordings, part, whole, is_percent = RATIOS[place % len(RATIOS)]
        pairs = [
            (fact, facts[fact.ticker, fact.year, whole])
            for fact in facts.values()
            if fact.metric == part and (fact.ticker, fact.year, whole) in facts and fact.value > 0
        ]
        plain = [
            pair
            for pair in pairs
            if pair[0].year >= 2015 and all(fact.restated is None for fact in pair)
        ]
        for pair in _least_used(plain, 1, used):
            seed = "ratio" + pair[0].evidence + pair[1].evidence
            metric = _pick(wordings, seed)
            wordings = [
                wording.replace("{percent}", ", in percent" if is_percent else "")
                for wording in RATIO_QUESTIONS
            ]
            text = _worded(wordings, seed, metric, [pair[0].ticker], [pair[0].year])
            quotient = pair[0].value / pair[1].value
            if is_percent:
                yield _row(text, pair, "ratio", quotient * 100, "percent", [quotient], "percent_of")
            else:
                yield _row(text, pair, "ratio", quotient, "ratio", [quotient * 100], "quotient")


def _least_used(runs: Sequence[Run], count: int, used: Counter[str]) -> list[Run]:
    """Runs of the companies, years and metrics that came up least so far; none twice."""
    taken: list[Run] = []
    for _ in range(count):
        rest = [run for run in runs if not used[_name(run)]]
        if not rest:
            break
        best = min(rest, key=lambda run: (_uses(run, used), _order(_name(run))))
        taken.append(best)
        used.update({_name(best): 1, str(best[0].year): 1})
        used.update(fact.ticker for fact in best if fact is best[0] or fact is best[-1])
    return taken


def _name(run: Sequence[Fact]) -> str:
    return "|".join(fact.evidence for fact in run)


def _uses(run: Sequence[Fact], used: Counter[str]) -> int:
    tickers = {run[0].ticker, run[-1].ticker}
    return sum(used[ticker] for ticker in tickers) * 2 // len(tickers) + used[str(run[0].year)]


def _worded(
    wordings: Sequence[str], seed: str, metric: str, tickers: Sequence[str], years: Sequence[int]
) -> str:
    """One of the wordings with names, metric and fiscal years in it."""
    known = NAMES if years[0] > 2020 else {**NAMES, **OLD_NAMES}
    names = [_pick(known[ticker], seed + ticker) for ticker in tickers]
    what = _pick(METRICS.get(metric, (metric,)), seed + "metric")
    forms = ["fiscal {}", "FY{}", "fiscal year {}", "FY {}"]
    if set(tickers) <= CALENDAR_YEARS:
        forms.append("{}")
    form = _pick(forms, seed + "year")
    return _pick(wordings, seed + "wording").format(
        name=names[0],
        other=names[-1],
        c=_possessive(names[0]),
        d=_possessive(names[-1]),
        m=what,
        was="were" if what.endswith(PLURAL_ENDINGS) else "was",
        y=form.format(years[0]),
        fy=f"FY{years[0] % 100:02d}" if _order(seed) % 2 else f"FY{years[0]}",
        y0=form.format(years[0]),
        y1=form.format(years[-1]),
    )


def _possessive(name: str) -> str:
    return f"{name}'" if name.endswith("s") else f"{name}'s"


def _row(
    text: str,
    evidence: Sequence[Fact],
    kind: str,
    value: Decimal,
    unit: str,
    alternatives: Iterable[Decimal] = (),
    operation: str = "value",
) -> Row:
    tickers = list(dict.fromkeys(fact.ticker for fact in evidence))
    hard = kind == "trend" and operation in {"sum", "average", "cagr", "highest"}
    return {
        "query": text,
        "answer_type": "numeric",
        "expected_answer": _shown(value, unit),
        "expected_value": _rounded(value, unit),
        "alt_values": [_rounded(other, unit) for other in alternatives],
        "unit": unit,
        "tolerance": _tolerance(value, unit),
        "tickers": tickers,
        "years": list(range(evidence[0].year, evidence[-1].year + 1)),
        "evidence_ids": [fact.evidence for fact in evidence],
        "cluster": f"{tickers[0]}:{evidence[-1].year}",  # the newest filing that it is read in
        "difficulty": "easy" if kind == "lookup" else "hard" if hard else "medium",
        "tags": [kind, operation, *dict.fromkeys(fact.metric for fact in evidence)],
    }


def _tolerance(value: Decimal, unit: str) -> float:
    """1 %, or what rounding to one decimal (percent) or to the cent (per share) does."""
    step = {"percent": Decimal("0.06"), "USD per share": Decimal("0.006")}.get(unit, Decimal(0))
    return float(round(max(Decimal("0.01"), step / abs(value)), 6))


def _rounded(value: Decimal, unit: str) -> float | int:
    return round(value) if unit in {"USD", "shares"} else float(round(value, 6))


def _shown(value: Decimal, unit: str) -> str:
    sign, size = "-" if value < 0 else "", abs(value)
    if unit == "USD":
        return f"{sign}${size / 10**6:,.0f} million"
    if unit == "USD per share":
        return f"{sign}${size:.2f}" if size == round(size, 2) else f"{sign}${size.normalize()}"
    if unit == "percent":
        return f"{sign}{size:.1f}%"
    return f"{size / 10**6:,.0f} million shares" if unit == "shares" else f"{value:.2f}"


def _pick(choices: Sequence[str], seed: str) -> str:
    return choices[_order(seed) % len(choices)]


def _order(seed: str) -> int:
    return int.from_bytes(sha256(seed.encode()).digest()[:8], "big")


if __name__ == "__main__":
    OUTPUT.write_text(as_jsonl(build(read_facts(FACTS))), encoding="utf-8", newline="\n")
