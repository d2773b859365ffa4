"""Several figures in one answer: which of them answers the question?"""

from __future__ import annotations

import pytest

from finrag_eval.domain import Query
from finrag_eval.score.numeric import numeric
from finrag_eval.score.verdicts import Unscored, Verdict


def chosen(query: Query, answer: str) -> str | None:
    verdict = numeric(query, {"answer": answer})
    assert isinstance(verdict, Verdict)
    return verdict.explanation["chosen"] if verdict.value else None


BACKLOG = Query(
    id="b",
    query="what was the percentage change in the backlog from 2013 to 2014",
    expected_answer="8.3%",
    expected_value=0.08333,
    alt_values=(8.333,),
    unit="ratio",
    tolerance=0.01,
)
RESERVE = Query(
    id="r",
    query="what was the net change in the repurchase reserve between 2008 and 2009 , in millions?",
    expected_answer="407",
    expected_value=407.0,
    unit="number",
    tolerance=0.01,
)
ASSETS = Query(
    id="a",
    query="What was Microsoft's total assets in fiscal 2019?",
    expected_value=286_556_000_000.0,
    unit="USD",
    tolerance=0.01,
)
AVERAGE = Query(
    id="v",
    query="What is the average net income for fiscal years 2019 and 2018?",
    expected_value=57_362.5,
    unit="thousands",
    tolerance=0.01,
)

DIFFERENCE = Query(
    id="d",
    query="What was the difference between Amazon.com's total revenue and NVIDIA's in FY2022?",
    expected_answer="$487,069 million",
    expected_value=487_069_000_000.0,
    unit="USD",
    tickers=("AMZN", "NVDA"),
)
HIGHEST = Query(
    id="h",
    query="What were the highest annual net earnings that Meta reported between 2020 and 2023?",
    expected_value=39_370_000_000.0,
    unit="USD",
    tickers=("META",),
)
LARGER = Query(
    id="l",
    query="Of GOOGL and MSFT, which reported the higher total assets for fiscal 2023, and what "
    "was the amount?",
    expected_value=411_976_000_000.0,
    unit="USD",
    tickers=("GOOGL", "MSFT"),
)
TIMES = Query(
    id="t",
    query="How many times as large as MSFT's total revenue was AAPL's in fiscal year 2018?",
    expected_answer="2.41",
    expected_value=2.406624,
    unit="ratio",
    tickers=("MSFT", "AAPL"),
)


@pytest.mark.parametrize(
    ("query", "answer", "expected"),
    [
        (
            BACKLOG,
            "The backlog was $10,800 million in 2013 and $11,700 million in 2014.\n\n"
            "Change = (11,700 - 10,800) / 10,800 = 0.0833 = 8.33%",
            "8.33%",
        ),
        (
            BACKLOG,
            "Step 1: 11,700 - 10,800 = 900. Step 2: 900 / 10,800 = 8.3%.\n\nTherefore, the "
            "backlog increased by 8.3%, while orders grew by 12.5%.",
            "8.3%",
        ),
        (
            RESERVE,
            "The reserve was $75 million in 2008 and $482 million in 2009. "
            "The net change was $407 million.",
            "$407 million",
        ),
        (
            RESERVE,
            "The repurchase reserve increased from $75 million to $482 million, a change of "
            "$407 million.",
            "$407 million",
        ),
        (
            RESERVE,
            "It rose by 407 (in millions), from 75 at the end of 2008 to 482 a year later.",
            "407",
        ),
        (
            ASSETS,
            "**Microsoft (KPI Snapshot):**\n- **2018:** Total Assets $258.8B | Net Income $8.9B\n"
            "- **2019:** Total Assets $286.6B | Net Income $13.2B\n"
            "- **2020:** Total Assets $301.3B | Net Income $11.2B",
            "$286.6B",
        ),
        (
            ASSETS,
            "Total assets grew from $258.8 billion in 2018 to $286.6 billion in 2019 and "
            "$301.3 billion in 2020.",
            "$286.6 billion",
        ),
        (
            ASSETS,
            "# Assets\n\n## Direct Answer\n\nTotal assets were $286.6 billion.\n\n"
            "## Details\n\nThey were $301.3 billion a year later.",
            "$286.6 billion",
        ),
        (
            ASSETS,
            "Microsoft Corporation (MSFT) total assets FY2019: USD 286,556 million "
            "[KPI:MSFT:2019:total_assets]\nMicrosoft Corporation (MSFT) total assets FY2018: "
            "USD 258,848 million [KPI:MSFT:2018:total_assets]",
            "USD 286,556 million",
        ),
        (
            DIFFERENCE,
            "- AMZN FY2022 revenue: $513,983 million\n- NVDA FY2022 revenue: $26,914 million\n"
            "- AMZN minus NVDA FY2022 revenue: $487,069 million\n\nAmazon (AMZN) had the higher "
            "revenue in FY2022, by $487,069 million: $513,983 million against $26,914 million of "
            "NVIDIA (NVDA).",
            "$487,069 million",
        ),
        (
            HIGHEST,
            "- META FY2020 net income: $29,146 million\n- META FY2021 net income: $39,370 million\n"
            "- META FY2022 net income: $23,200 million\n\nThe highest net income of Meta in FY2020 "
            "to FY2023 was $39,370 million, in FY2021.",
            "$39,370 million",
        ),
        (
            LARGER,
            "- GOOGL FY2023 total assets: $402,392 million\n- MSFT FY2023 total assets: $411,976 "
            "million\n\nMicrosoft (MSFT) had the higher total assets in FY2023: $411,976 million, "
            "against $402,392 million of Alphabet (GOOGL).",
            "$411,976 million",
        ),
        (
            TIMES,
            "- MSFT FY2018 revenue: $110,360 million\n- AAPL FY2018 revenue: $265,595 million\n\n"
            "Apple (AAPL) had the higher revenue in FY2018, 2.41 times as much: $265,595 million "
            "against $110,360 million of Microsoft (MSFT).",
            "2.41 times",
        ),
        (
            AVERAGE,
            "Net income was $53,294 thousand in 2019 and $61,431 thousand in 2018; the average "
            "is $57,362.5 thousand.",
            "$57,362.5 thousand",
        ),
    ],
)
def test_the_figure_that_answers_is_chosen(query: Query, answer: str, expected: str) -> None:
    assert chosen(query, answer) == expected


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (ASSETS, "Total assets were $301.3 billion, up from $286.6 billion."),
        (ASSETS, "Total assets were $258.8 billion in 2019 and $286.6 billion in 2020."),
        (ASSETS, "Net income was $286.6 billion and total assets were $301.3 billion."),
        (RESERVE, "The net change was $482 million, of which $407 million came late."),
        (BACKLOG, "Orders grew by 8.3%. Answer: the backlog grew by 12.5%."),
        (AVERAGE, "The average is $61,431 thousand; the median is $57,362.5 thousand."),
    ],
)
def test_a_right_figure_in_another_place_does_not_count(query: Query, answer: str) -> None:
    assert chosen(query, answer) is None


def test_a_query_without_a_number_is_unscored() -> None:
    query = Query(id="q", query="Why did revenue fall?", expected_answer="Because of crypto.")
    assert numeric(query, {"answer": "5"}) == Unscored("the query has no numeric reference")


def test_a_number_in_the_expected_answer_is_a_reference() -> None:
    query = Query(id="q", query="What was the free cash flow?", expected_answer="$497 million")
    assert numeric(query, {"answer": "$0.497 billion"}) == Verdict(
        1.0,
        {
            "expected": "$497 million",
            "unit": None,
            "tolerance": 0.005,
            "found": ["$0.497 billion"],
            "chosen": "$0.497 billion",
        },
    )
    wrong = numeric(query, {"answer": "$497 thousand"})
    assert isinstance(wrong, Verdict)
    assert wrong.value == 0


@pytest.mark.parametrize(
    "text",
    [
        "See the statements of February 27, 2009, and Note 18: Taxes.",
        "2009",
        "Sales of $1.6 billion increased by 3.2%.",
        "Growth was driven by the purchase of Momenta for $6.1 billion.",
    ],
)
def test_a_text_that_holds_numbers_is_no_numeric_reference(text: str) -> None:
    query = Query(id="q", query="How is revenue described?", expected_answer=text)
    assert numeric(query, {"answer": "2008"}) == Unscored("the query has no numeric reference")


def test_the_default_tolerance_is_the_precision_of_the_expected_answer() -> None:
    query = Query(
        id="q",
        query="What share was it?",
        expected_answer="9%",
        expected_value=9.0,
        unit="percent",
    )

    def value(answer: str) -> float:
        verdict = numeric(query, {"answer": answer})
        assert isinstance(verdict, Verdict)
        return verdict.value

    assert [value("8.6%"), value("9.4%"), value("8.4%"), value("9.6%")] == [1, 1, 0, 0]


def test_the_scorers_own_tolerance_stands_in_for_the_querys() -> None:
    query = Query(id="q", query="How many?", expected_value=100.0)
    near = {"answer": "103"}
    strict, loose = numeric(query, near), numeric(query, near, tolerance=0.05)
    assert isinstance(strict, Verdict)
    assert isinstance(loose, Verdict)
    assert (strict.value, loose.value) == (0, 1)


def test_alternative_values_are_equally_right() -> None:
    query = Query(
        id="q",
        query="What was Microsoft's revenue in fiscal 2016?",
        expected_value=85_320_000_000.0,
        alt_values=(91_154_000_000.0,),
        unit="USD",
    )
    for answer, expected in (("$85.3 billion", 1), ("$91.2 billion", 1), ("$88 billion", 0)):
        verdict = numeric(query, {"answer": answer})
        assert isinstance(verdict, Verdict)
        assert verdict.value == expected


def test_a_table_in_millions_may_be_named_by_the_querys_own_context() -> None:
    query = Query(
        id="q",
        query="what is the difference between the two goodwill balances?",
        expected_value=1503.0,
        unit="number",
        context="| (in millions) | a | b |\n| goodwill | 1,801 | 298 |",
    )
    for answer, expected in (("1,503", 1), ("$1,503 million", 1), ("$1,503 billion", 0)):
        verdict = numeric(query, {"answer": answer})
        assert isinstance(verdict, Verdict)
        assert verdict.value == expected
