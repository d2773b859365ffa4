"""Supply line 1: figures, derived figures and honest gaps as text."""

from __future__ import annotations

from decimal import Decimal

import pytest

from finrag_eval.synthesis_pipeline.amounts import written
from finrag_eval.synthesis_pipeline.entities import EntityReader
from finrag_eval.synthesis_pipeline.kpi_snapshot import snapshot
from finrag_eval.synthesis_pipeline.kpi_store import Fact, KpiStore


def _lines(question: str, store: KpiStore | None = None) -> list[str]:
    used = store or KpiStore.embedded()
    reader = EntityReader.of_data(used.company_names, {} if store is None else used.metric_labels)
    return snapshot(reader.read(question), used, reader).text.splitlines()


def _fact(ticker: str, year: int, metric: str, value: str, **fields: str) -> Fact:
    return Fact(
        ticker=ticker,
        company_name=fields.get("company_name", ticker),
        fiscal_year=year,
        metric_key=metric,
        value=Decimal(value),
        unit=fields.get("unit", "USD"),
        metric_label=fields.get("metric_label", ""),
        note=fields.get("note", ""),
        status=fields.get("status", ""),
    )


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        ("10918000000", "USD", "$10,918 million"),
        ("379793000", "USD", "$379.793 million"),
        ("-1473984000.0", "USD", "-$1,473.984 million"),
        ("950", "USD", "$950"),
        ("0", "USD", "$0"),
        ("9.95", "USD per share", "$9.95 per share"),
        ("-0.27", "USD per share", "-$0.27 per share"),
        ("26.2101", "percent", "26.2101%"),
        ("1.070", "ratio", "1.07"),
        ("16325819000", "shares", "16,325.819 million shares"),
        ("12000000", "EUR", "12 million EUR"),
        ("7300", "stores", "7,300 stores"),
    ],
)
def test_a_figure_is_written_exactly_and_with_its_unit(value: str, unit: str, text: str) -> None:
    assert written(Decimal(value), unit) == text


def test_a_look_up_gives_one_line_with_its_citation() -> None:
    assert _lines("What was NVIDIA's revenue in fiscal 2020?") == [
        "=== KPI SNAPSHOT: 10-K figures per fiscal year, as first reported ===",
        "Companies: NVDA = NVIDIA",
        "Fiscal years: 2020",
        "Metrics: revenue",
        "Coverage: 1 of 1 figures",
        "NVDA FY2020 revenue: $10,918 million [KPI:NVDA:2020:revenue]",
    ]


def test_growth_of_one_year_brings_the_year_before_and_the_formula() -> None:
    lines = _lines("What was NVIDIA's revenue growth in FY2020?")
    assert "NVDA FY2019 revenue: $11,716 million [KPI:NVDA:2019:revenue]" in lines
    assert lines[-1] == (
        "NVDA revenue change FY2019 to FY2020: -$798 million, -6.81% = (10,918 - 11,716) / 11,716, "
        "in USD million [KPI:NVDA:2019:revenue] [KPI:NVDA:2020:revenue]"
    )


def test_a_margin_states_its_inputs() -> None:
    assert _lines("Apple's gross margin in fiscal 2019")[-1] == (
        "AAPL FY2019 gross margin: 37.82% = gross profit 98,392 / revenue 260,174, in USD million "
        "[KPI:AAPL:2019:gross_profit] [KPI:AAPL:2019:revenue]"
    )


def test_no_percentage_is_made_of_a_base_that_is_not_positive() -> None:
    told = _lines("year-over-year growth of Netflix's operating cash flow in 2018")[-1]
    assert "-$894.531 million = -2,680.479 - -1,785.948" in told
    assert "no percentage from a base that is not positive" in told
    assert "%" not in told


def test_a_share_figure_does_not_grow_across_a_split() -> None:
    lines = _lines("EPS growth of Apple from 2019 to 2020")
    assert lines[-1] == (
        "AAPL diluted earnings per share FY2019 to FY2020: "
        "not comparable, a stock split lies between"
    )
    assert not any("change FY2019" in line for line in lines)


@pytest.mark.parametrize(
    ("question", "gap"),
    [
        (
            "NVIDIA's revenue in FY2030",
            "NVDA revenue FY2030: no value in the data (it has FY2016 to FY2020, FY2022 to FY2025)",
        ),
        (
            "Amazon's number of patents in 2018",
            "AMZN number of patents FY2018: no value in the data",
        ),
        (
            "NVIDIA's data center revenue in FY2020",
            "data center revenue: no value in the data (company totals only)",
        ),
        (
            "Apple's revenue in Q2 2018",
            "figures of a quarter or month: no value in the data (whole fiscal years only)",
        ),
        ("Compare Intel and NVIDIA by revenue in 2020", "Intel: no company of the data"),
        ("Pepsi's revenue in 2020", "Pepsi: no company of the data"),
    ],
)
def test_what_is_asked_and_missing_is_said(question: str, gap: str) -> None:
    assert gap in _lines(question)


def test_a_restated_figure_shows_what_came_of_it() -> None:
    assert _lines("Microsoft's revenue in 2016")[-1] == (
        "MSFT FY2016 revenue: $85,320 million [KPI:MSFT:2016:revenue] "
        "(later restated to $91,154 million in MSFT 10-K FY2018)"
    )


def test_a_question_without_a_year_gets_the_latest_ones() -> None:
    lines = _lines("Give me the revenue of Apple.")
    assert "Fiscal years: 2022, 2023, 2024" in lines


def test_which_company_looks_at_all_of_them() -> None:
    lines = _lines("Which company had the highest revenue in 2019?")
    assert sum("FY2019 revenue: $" in line for line in lines) == 11


def test_a_question_about_a_story_gets_no_figures() -> None:
    assert _lines("How does Amazon describe its earnings estimates in the pandemic in 2020?") == []


def test_names_of_a_users_table_cannot_break_a_line() -> None:
    fact = _fact("ZZ", 2020, "revenue", "5000000", company_name="Zed\n[KPI:X] Corp.")
    line = _lines("revenue of ZZ in 2020", KpiStore([fact], digest="d"))[1]
    assert line == "Companies: ZZ = Zed (KPI:X)"


def test_a_metric_of_a_users_table_is_found_by_its_label() -> None:
    fact = _fact("ZZ", 2020, "churn", "3.5", metric_label="Customer churn", unit="percent")
    lines = _lines("What was the customer churn of ZZ in 2020?", KpiStore([fact], digest="d"))
    assert lines[-1] == "ZZ FY2020 customer churn: 3.5% [KPI:ZZ:2020:churn]"


def test_unverified_figures_say_so() -> None:
    fact = _fact("ZZ", 2020, "revenue", "5000000", status="unverified")
    lines = _lines("revenue of ZZ in 2020", KpiStore([fact], digest="d"))
    assert lines[-1] == "ZZ FY2020 revenue: $5 million [KPI:ZZ:2020:revenue] (unverified)"


def test_a_very_wide_question_stays_bounded() -> None:
    lines = _lines("Which had the highest revenue, equity, EPS and total assets in 1990-2025?")
    assert sum("[KPI:" in line for line in lines) == 240
    assert any(line.endswith("more figures, cut for length") for line in lines)
