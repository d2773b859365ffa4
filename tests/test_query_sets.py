"""The query sets that come with the project: readable, exact, and true to facts and passages."""

from __future__ import annotations

import csv
import importlib
import json
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from finrag_eval.domain import Query
from finrag_eval.errors import Problem
from finrag_eval.spec.query_sets import read_query_set

SETS = ("core_kpi", "narrative", "unanswerable", "seed")
EMBEDDED = Path("finrag_eval/synthesis_pipeline/embedded")
NAMES = {
    "AAPL": "Apple|AAPL",
    "AMZN": "Amazon|AMZN",
    "GOOGL": "Alphabet|Google|GOOGL",
    "JNJ": r"Johnson & Johnson|J&J|JNJ",
    "META": "Meta|Facebook",
    "MSFT": "Microsoft|MSFT",
    "NFLX": "Netflix|NFLX",
    "NVDA": "NVIDIA|Nvidia|NVDA",
    "ORCL": "Oracle|ORCL",
    "TSLA": "Tesla|TSLA",
    "V": "Visa",
    "WMT": "Walmart|WMT",
}


def read(project: Path, name: str) -> tuple[Query, ...]:
    problems: list[Problem] = []
    query_set = read_query_set(project / "query_sets" / f"{name}.jsonl", problems=problems)
    assert problems == []
    assert query_set is not None
    return query_set.queries


@pytest.fixture(scope="module")
def core(project: Path) -> tuple[Query, ...]:
    return read(project, "core_kpi")


@pytest.fixture(scope="module")
def narrative(project: Path) -> tuple[Query, ...]:
    return read(project, "narrative")


@pytest.fixture(scope="module")
def unanswerable(project: Path) -> tuple[Query, ...]:
    return read(project, "unanswerable")


@pytest.fixture(scope="module")
def facts(project: Path) -> dict[str, dict[str, str]]:
    """The rows of the fact table by evidence id."""
    with (project / EMBEDDED / "kpi_facts.csv").open(encoding="utf-8", newline="") as file:
        return {
            f"KPI:{row['ticker']}:{row['fiscal_year']}:{row['metric_key']}": row
            for row in csv.DictReader(file)
        }


@pytest.fixture(scope="module")
def sentences(project: Path) -> dict[str, str]:
    """The sentences of the embedded passages by id."""
    found = {}
    text = (project / EMBEDDED / "narrative.jsonl").read_text(encoding="utf-8")
    for row in map(json.loads, text.splitlines()):
        parts = re.split(r'(?<=[.!?])\s+(?=[A-Z0-9"])', row["text"])
        found.update(zip(row["sentence_ids"], parts, strict=True))
    return found


def test_sets_are_as_large_as_promised(project: Path) -> None:
    sizes = {name: len(read(project, name)) for name in SETS}
    assert sizes["core_kpi"] >= 120
    assert sizes["narrative"] >= 40
    assert sizes["unanswerable"] >= 20
    assert sizes["seed"] == 1


def test_no_id_and_no_question_stands_twice_in_all_sets(project: Path) -> None:
    queries = [query for name in SETS for query in read(project, name)]
    assert Counter(query.id for query in queries).most_common(1)[0][1] == 1
    assert Counter(query.query.casefold() for query in queries).most_common(1)[0][1] == 1


def test_core_covers_every_company_and_metric_of_the_facts(
    core: tuple[Query, ...], facts: dict[str, dict[str, str]]
) -> None:
    rows = [facts[evidence] for query in core for evidence in query.evidence_ids]
    for column in ("ticker", "metric_key"):
        assert {row[column] for row in rows} == {row[column] for row in facts.values()}


def test_core_asks_for_one_year_two_companies_trends_and_ratios(core: tuple[Query, ...]) -> None:
    kinds = Counter(query.tags[0] for query in core)
    assert kinds.keys() == {"lookup", "comparison", "trend", "ratio"}
    assert min(kinds.values()) >= 20
    for query in core:
        assert query.tags[0] != "comparison" or len(query.tickers) == 2
        assert query.tags[0] != "trend" or len(query.years) > 1


def test_core_values_follow_exactly_from_their_evidence(
    core: tuple[Query, ...], facts: dict[str, dict[str, str]]
) -> None:
    for query in core:
        values = [Fraction(facts[evidence]["value"]) for evidence in query.evidence_ids]
        assert query.expected_value == pytest.approx(_worked_out(query, values), rel=1e-5), query.id


def test_core_alternatives_are_restated_values_or_other_forms_of_the_same(
    core: tuple[Query, ...], facts: dict[str, dict[str, str]]
) -> None:
    for query in core:
        assert query.expected_value is not None
        restated = {
            float(facts[evidence]["restated_value"])
            for evidence in query.evidence_ids
            if facts[evidence]["restated_value"]
        }
        if query.tags[0] == "lookup":
            assert restated <= set(query.alt_values)
        else:
            assert not restated, query.id
        for other in set(query.alt_values) - restated:
            factor = abs(other / query.expected_value)
            assert min(abs(factor - form) for form in (0.01, 1, 100)) < 0.01 * factor, query.id


def test_core_references_read_as_their_values(core: tuple[Query, ...]) -> None:
    for query in core:
        assert isinstance(query.expected_answer, str)
        assert query.expected_value is not None
        assert query.tolerance is not None
        number = float(re.sub(r"[^\d.-]", "", query.expected_answer))
        scale = 1e6 if "million" in query.expected_answer else 1
        assert number * scale == pytest.approx(query.expected_value, rel=query.tolerance), query.id
        assert query.tolerance <= 0.05


def test_core_questions_name_their_companies_and_years(core: tuple[Query, ...]) -> None:
    for query in core:
        for ticker in query.tickers:
            assert re.search(rf"(?<!\w)(?:{NAMES[ticker]})(?!\w)", query.query), query.id
        for year in (query.years[0], query.years[-1]):
            assert re.search(rf"\b(?:FY ?)?{year}\b|\bFY{year % 100:02d}\b", query.query), query.id
        assert query.cluster == f"{query.tickers[0]}:{max(query.years)}"


def test_core_file_is_what_its_script_makes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(project / "query_sets"))
    script = importlib.import_module("make_core_kpi")
    made = script.as_jsonl(script.build(script.read_facts(script.FACTS)))
    assert made == script.OUTPUT.read_text(encoding="utf-8")


def test_narrative_references_stand_in_their_evidence(
    narrative: tuple[Query, ...], sentences: dict[str, str]
) -> None:
    for query in narrative:
        told = " ".join(sentences[evidence] for evidence in query.evidence_ids)
        assert query.metadata["reference_answer"] == told
        keys = query.expected_answer
        for key in (keys,) if isinstance(keys, str) else keys or ():
            assert key.casefold() in told.casefold(), query.id
            assert key.casefold() not in query.query.casefold(), query.id


def test_narrative_questions_say_where_their_evidence_is(narrative: tuple[Query, ...]) -> None:
    assert len({ticker for query in narrative for ticker in query.tickers}) == 11
    for query in narrative:
        filings = {tuple(evidence.split(":")[:2]) for evidence in query.evidence_ids}
        assert {ticker for ticker, _ in filings} == set(query.tickers)
        assert {int(year) for _, year in filings} == set(query.years)
        assert query.cluster in {":".join(filing) for filing in filings}


def test_unanswerable_questions_must_be_declined_for_a_stated_reason(
    unanswerable: tuple[Query, ...],
) -> None:
    reasons = Counter(query.tags[1] for query in unanswerable)
    assert all(query.should_refuse and not query.evidence_ids for query in unanswerable)
    assert all(query.expected_answer is query.expected_value is None for query in unanswerable)
    assert {"outside_company", "outside_year", "forecast", "advice", "false_premise"} < set(reasons)
    assert min(reasons.values()) >= 3


def test_unanswerable_figures_are_not_in_the_facts(
    unanswerable: tuple[Query, ...], facts: dict[str, dict[str, str]]
) -> None:
    covered = {(row["ticker"], int(row["fiscal_year"])) for row in facts.values()}
    for query in unanswerable:
        filings = {(ticker, year) for ticker in query.tickers for year in query.years}
        if query.tags[1] in {"outside_year", "forecast"}:
            assert not filings & covered, query.id
        if query.tags[1] == "outside_company":
            assert not query.tickers
            assert not re.search("|".join(NAMES.values()), query.query), query.id


def test_seed_question_expects_the_eighteen_figures_of_the_facts(
    project: Path, facts: dict[str, dict[str, str]], sentences: dict[str, str]
) -> None:
    (seed,) = read(project, "seed")
    figures = [facts[evidence] for evidence in seed.evidence_ids if evidence.startswith("KPI:")]
    told = [f"${int(row['value']) // 10**6:,} million" for row in figures]
    assert isinstance(seed.expected_answer, tuple)
    assert sorted(told) == sorted(seed.expected_answer)
    assert len(set(told)) == 18
    assert {e for e in seed.evidence_ids if not e.startswith("KPI:")} <= sentences.keys()


def _worked_out(query: Query, values: list[Fraction]) -> float:
    """The operation that the second tag names, on the evidence in its order."""
    first, last = values[0], values[-1]
    years = query.years[-1] - query.years[0]
    results: dict[str, Any] = {
        "value": first,
        "difference": first - last,
        "larger": max(values),
        "times": first / last if last else None,
        "growth": (last - first) / first * 100,
        "change": (last - first) / first * 100,
        "fall": (first - last) / first * 100,
        "rise": last - first,
        "sum": sum(values),
        "average": sum(values) / len(values),
        "highest": max(values),
        "percent_of": first / last * 100,
        "quotient": first / last,
    }
    if query.tags[1] == "cagr":
        return (float(last / first) ** (1 / years) - 1) * 100
    if query.tags[1] in {"sum", "average", "highest"}:
        assert len(values) == years + 1
    return float(results[query.tags[1]])
