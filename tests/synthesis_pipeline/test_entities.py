"""What is read from a question: companies, fiscal years, metrics, sections, asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.synthesis_pipeline.entities import EntityReader, read_entities
from finrag_eval.synthesis_pipeline.entities.metrics import MetricFinder, known_metrics
from finrag_eval.synthesis_pipeline.entities.vocabulary import NAMES


@pytest.mark.parametrize(
    ("question", "tickers"),
    [
        ("Compare Google with GOOGL, GOOG and Alphabet Inc.", ["GOOGL"]),
        ("Facebook's and Meta Platforms' revenue", ["META"]),
        ("J&J, Johnson & Johnson and Johnson and Johnson", ["JNJ"]),
        ("What was NVDA’s revenue?", ["NVDA"]),
        ("nvidia against microsoft corporation", ["NVDA", "MSFT"]),
        ("Exxon  Mobil, ExxonMobil and Exxon", ["XOM"]),
        ("Wal-Mart Stores, Inc. and WALMART", ["WMT"]),
        ("V and MA in 2019", ["V", "MA"]),
        ("visa's revenue", ["V"]),
        ("How did H-1B visa rules change?", []),
        ("travel visa requirements", []),
        ("a V-shaped recovery in Massachusetts", []),
        ("offices in Boston, MA", []),
        ("Visa, MA and COST", ["V", "MA", "COST"]),
        ("the cost of revenue, long ago, was higher", []),
        ("the oracle of Omaha on a meta-analysis of the alphabet", []),
        ("rest assured", []),
        ("Amazon.com, Inc. and the Amazon rainforest", ["AMZN"]),
        ("MBIA and Icahn Enterprises L.P.", ["MBI", "IEP"]),
        ("pineapples and visas", []),
    ],
)
def test_companies_are_found_by_name_ticker_and_nickname(question: str, tickers: list[str]) -> None:
    assert list(read_entities(question).tickers) == tickers


@pytest.mark.parametrize(
    ("question", "years"),
    [
        ("in each year from 2018 to 2020", [2018, 2019, 2020]),
        ("FY20", [2020]),
        ("FY 2019 and FY'18", [2018, 2019]),
        ("between 2017 and 2019", [2017, 2018, 2019]),
        ("between fiscal 2017 and fiscal 2019", [2017, 2018, 2019]),
        ("2018-2020", [2018, 2019, 2020]),
        ("2018–20", [2018, 2019, 2020]),
        ("from FY18 through FY20", [2018, 2019, 2020]),
        ("the last three years before 2020", [2017, 2018, 2019]),
        ("the three years ended January 2020", [2018, 2019, 2020]),
        ("three years through fiscal 2020", [2018, 2019, 2020]),
        ("in 2020 and the two prior years", [2018, 2019, 2020]),
        ("the year before 2020", [2019]),
        ("the two years after 2018", [2019, 2020]),
        ("fiscal 2018, 2019 and 2020", [2018, 2019, 2020]),
        ("FY2020 vs. FY2018", [2018, 2020]),
        ("fiscal year ended January 26, 2020", [2020]),
        ("FY1999 and fiscal 2032", [1999, 2032]),
        ("$2,018 million", []),
        ("$2018", []),
        ("2018 million dollars, 2020 employees, 2019%", []),
        ("10,918 and 2.018 and 1.2018", []),
        ("0000789019_10-K_2018_section_7_155", []),
        ("COVID-19", []),
    ],
)
def test_years_are_read_in_all_their_wordings(question: str, years: list[int]) -> None:
    assert list(read_entities(question).years.named) == years


def test_years_that_only_the_data_can_settle_are_kept_as_such() -> None:
    assert read_entities("Apple's revenue over the last three years").years.recent == 3
    assert read_entities("Apple's latest annual revenue").years.recent == 1
    assert read_entities("Apple's revenue since 2021").years.open_from == 2021
    assert read_entities("Apple's revenue").years.recent is None


@pytest.mark.parametrize(
    ("question", "metrics"),
    [
        ("top line and bottom line", ["revenue", "net_income"]),
        ("sales, turnover, net sales", ["revenue"]),
        ("operating profit, EBIT, income from operations", ["operating_income"]),
        ("cost of sales", ["cost_of_revenue"]),
        ("shareholders' equity", ["equity"]),
        ("stockholders’ equity", ["equity"]),
        ("R&D spending", ["rnd"]),
        ("EPS", ["eps_diluted"]),
        ("cash from operations", ["cfo"]),
        ("operating margin", ["operating_margin"]),
        ("gross profit margin", ["gross_margin"]),
        ("net cash used in financing activities", ["cff"]),
        ("long-term debt", ["long_term_debt_noncurrent"]),
        ("employee turnover", ["turnover_rate"]),
        ("margins", ["gross_margin", "operating_margin", "net_profit_margin"]),
    ],
)
def test_metrics_are_found_by_their_many_names(question: str, metrics: list[str]) -> None:
    assert list(read_entities(question).metrics.keys) == metrics


@pytest.mark.parametrize("change", [str, str.upper, str.title])
def test_every_name_of_a_metric_is_found_by_itself(change: Callable[[str], str]) -> None:
    names = {name: key for key, told in NAMES.items() for name in told.split("|")}
    found = {name: known_metrics().read(f"The {change(name)}, if any.") for name in names}
    assert {name: metrics.keys[:1] for name, (metrics, _) in found.items()} == {
        name: (key,) for name, key in names.items()
    }
    blank = {name: rest for name, (_, rest) in found.items()}
    assert blank == {name: f"The {' ' * len(name)}, if any." for name in names}


@pytest.mark.parametrize("name", ["401(k) costs", "% of floor space", "Übrige Erträge", "(other)"])
def test_a_users_metric_may_begin_with_any_character(name: str) -> None:
    metrics, rest = MetricFinder({"own": name}).read(f"What were {name} in 2020?")
    assert metrics.keys == ("own",)
    assert name not in rest


@pytest.mark.parametrize(
    ("question", "ratio"),
    [
        ("R&D as a share of revenue", ("rnd", "revenue")),
        ("net income as a percentage of year-end total assets", ("net_income", "total_assets")),
        ("the ratio of operating income to total assets", ("operating_income", "total_assets")),
        ("What share of revenue did Meta spend on R&D?", ("rnd", "revenue")),
    ],
)
def test_ratios_name_their_part_and_their_whole(question: str, ratio: tuple[str, str]) -> None:
    assert read_entities(question).metrics.ratios == (ratio,)


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("NVIDIA's data center revenue", "data center"),
        ("AWS revenue in 2018", "AWS"),
        ("How much revenue did AWS bring in?", "AWS"),
        ("Apple's sales in China", "China"),
        ("Microsoft Dynamics revenue", "Dynamics"),
        ("revenue by segment", "segment"),
        ("Apple's total net sales in 2019", None),
        ("Report revenue in USD for Visa", None),
    ],
)
def test_a_part_of_a_company_is_not_taken_for_the_whole(question: str, part: str | None) -> None:
    assert read_entities(question).metrics.part == part


@pytest.mark.parametrize(
    ("question", "strangers"),
    [
        ("What was Pepsi's revenue in 2019?", ("Pepsi",)),
        ("How much equity did Spotify report for FY2020?", ("Spotify",)),
        ("Compare Intel and NVIDIA by revenue", ("Intel",)),
        ("IBM revenue FY2019", ("IBM",)),
        ("What was Apple's revenue?", ()),
        ("How does Microsoft describe its AI strategy in the MD&A?", ()),
    ],
)
def test_names_that_stand_for_companies_outside_the_data_are_told(
    question: str, strangers: tuple[str, ...]
) -> None:
    assert read_entities(question).strangers == strangers


def test_sections_are_read_by_name_and_number() -> None:
    question = "In Item 7 and the Risk Factors, and in the legal proceedings"
    assert set(read_entities(question).sections) == {"ITEM_7", "ITEM_1A", "ITEM_3"}
    assert read_entities("in the MD&A").sections == ("ITEM_7",)
    assert read_entities("What was Apple's revenue?").sections == ()


@pytest.mark.parametrize(
    ("question", "ask"),
    [
        ("Should I buy NVIDIA shares?", "advice"),
        ("What will revenue be in 2030?", "forecast"),
        ("Why did sales fall?", "explain"),
        ("By how much did revenue exceed that of Visa?", "difference"),
        ("revenue growth", "change"),
        ("in Q3 2020", "part_year"),
        ("the average over five years", "average"),
        ("in which year was it highest", "when"),
    ],
)
def test_asks_are_read_from_the_wording(question: str, ask: str) -> None:
    assert ask in read_entities(question).asks


def test_a_users_own_companies_and_metrics_are_known_too() -> None:
    reader = EntityReader.of_data({"GAP": "Gap Inc."}, {"store_count": "Stores open"})
    found = reader.read("The gap between Gap and Apple by store count in 2020")
    assert found.tickers == ("GAP", "AAPL")
    assert "stores" in found.metrics.keys or "store_count" in found.metrics.keys


def test_real_questions_give_the_companies_that_they_are_about(shared_data: Path) -> None:
    path = shared_data / "query_sets" / "kpi_generated_120.jsonl"
    wrong = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found = read_entities(row["query"])
        if set(found.tickers) != set(row["tickers"]) or not set(found.years.named) <= set(
            row["years"]
        ):
            wrong.append(row["query"])
    assert wrong == []


@given(st.text(max_size=400))
def test_any_text_can_be_read(text: str) -> None:
    found = read_entities(text)
    assert found == read_entities(text)
    assert all(1900 <= year <= 2099 for year in found.years.named)
