"""Numbers in sentences: written forms that are right, and ones that are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from finrag_eval.domain import Query
from finrag_eval.score.numeric import numeric
from finrag_eval.score.verdicts import Verdict

REVENUE: dict[str, Any] = {
    "query": "What was NVIDIA's revenue in fiscal 2020?",
    "expected_value": 10_918_000_000.0,
    "unit": "USD",
    "tolerance": 0.01,
}
OUTFLOW: dict[str, Any] = {
    "query": "What was Assured Guaranty's operating cash flow in fiscal 2019?",
    "expected_value": -509_000_000.0,
    "unit": "USD",
    "tolerance": 0.01,
}
GROWTH: dict[str, Any] = {
    "query": "By what percentage did Amazon's revenue change from fiscal 2009 to fiscal 2010?",
    "expected_value": 39.5569,
    "unit": "percent",
    "tolerance": 0.0013,
}
FALL: dict[str, Any] = {
    "query": "What is the percentage change in finished goods between 2018 and 2019?",
    "expected_answer": "-6.7 percent",
    "expected_value": -6.7,
    "unit": "percent",
    "tolerance": 0.01,
}
SHARE: dict[str, Any] = {
    "query": "what percent of total operating revenues in 2018 were industrial?",
    "expected_answer": "25%",
    "expected_value": 0.24873,
    "alt_values": (24.873,),
    "unit": "ratio",
    "tolerance": 0.01,
}
EPS: dict[str, Any] = {
    "query": "How much diluted earnings per share did Netflix report for FY2022?",
    "expected_answer": "$9.95",
    "expected_value": 9.95,
    "unit": "USD per share",
    "tolerance": 0.000503,
}
THOUSANDS: dict[str, Any] = {
    "query": "What was the net sales in 2019 for EMEA?",
    "expected_answer": "315,535 thousand",
    "expected_value": 315_535.0,
    "unit": "thousands",
    "tolerance": 0.01,
}
COUNT: dict[str, Any] = {
    "query": "How many years did total services exceed $5,000 million?",
    "expected_answer": "2",
    "expected_value": 2.0,
    "unit": "number",
    "tolerance": 0.01,
}
YEAR: dict[str, Any] = {
    "query": "In which year is the amortization of purchased intangibles larger?",
    "expected_value": 2018.0,
    "unit": "number",
    "tolerance": 0.01,
}
IN_MILLIONS: dict[str, Any] = {
    "query": "in millions for 2017 , 2016 , and 2015 , what was the minimum amount of equity?",
    "expected_answer": "2573",
    "expected_value": 2573.0,
    "unit": "number",
    "tolerance": 0.01,
}
RATIO: dict[str, Any] = {
    "query": "what was the ratio of the pension trust assets for 2017 to 2018",
    "expected_answer": "1.16",
    "expected_value": 1.15663,
    "unit": "number",
    "tolerance": 0.01,
}
POINTS: dict[str, Any] = {
    "query": "What was the change in percentage of sales represented by gross profit?",
    "expected_value": -10.9,
    "unit": "percent",
    "tolerance": 0.01,
}
BASIS_POINTS: dict[str, Any] = {
    "query": "what was the gross margin change in basis points for south america?",
    "expected_value": 80.0,
    "unit": "number",
    "tolerance": 0.01,
}
DECREASE: dict[str, Any] = {
    "query": "by how much did inventories decrease in 2019?",
    "expected_value": 48_000_000.0,
    "unit": "USD",
}
EUROS: dict[str, Any] = {
    "query": "What was the revenue from the UK in 2019?",
    "expected_value": 83.2,
    "unit": "EUR millions",
}
NOTHING: dict[str, Any] = {
    "query": "What is the asset impairment loss recognised between 2017 and 2019?",
    "expected_answer": "0",
    "expected_value": 0.0,
    "unit": "number",
}

CASES: list[tuple[dict[str, Any], str, int]] = [
    # scales
    (REVENUE, "$10.918 billion", 1),
    (REVENUE, "$10.9 billion", 1),
    (REVENUE, "10.9 billion", 1),
    (REVENUE, "$10.92B", 1),
    (REVENUE, "$10.92 B", 1),
    (REVENUE, "10.92bn", 1),
    (REVENUE, "$10.92 bn.", 1),
    (REVENUE, "10.9 bln dollars", 1),
    (REVENUE, "$10,918 million", 1),
    (REVENUE, "$10,918M", 1),
    (REVENUE, "10,918 mn USD", 1),
    (REVENUE, "USD 10,918 MM", 1),
    (REVENUE, "US$10,918mm", 1),
    (REVENUE, "10918 mln", 1),
    (REVENUE, "10,918,000 thousand", 1),
    (REVENUE, "$10,918,000K", 1),
    (REVENUE, "$0.0109 trillion", 1),
    (REVENUE, "0.010918tn", 1),
    (REVENUE, "$10,918,000,000", 1),
    (REVENUE, "10918000000", 1),
    (REVENUE, "1.0918e10", 1),
    (REVENUE, "about eleven billion dollars", 1),
    (REVENUE, "$10.9 million", 0),
    (REVENUE, "$10.9 trillion", 0),
    (REVENUE, "$10,918", 0),
    (REVENUE, "10,918", 0),
    (REVENUE, "$10.9", 0),
    (REVENUE, "10,918 billion", 0),
    (REVENUE, "$10,918 thousand", 0),
    (REVENUE, "$10.9K", 0),
    (REVENUE, "$1.0918 billion", 0),
    (REVENUE, "$109.18 billion", 0),
    (REVENUE, "$10.5 billion", 0),
    (REVENUE, "$11.2 billion", 0),
    (REVENUE, "10.918%", 0),
    # currencies before and after
    (REVENUE, "USD 10.9 billion", 1),
    (REVENUE, "USD10.9bn", 1),
    (REVENUE, "US$ 10.9 billion", 1),
    (REVENUE, "10.9 billion US dollars", 1),
    (REVENUE, "10.9 billion U.S. dollars", 1),
    (REVENUE, "10,918 million USD", 1),
    (REVENUE, "$ 10.9 billion", 1),
    (REVENUE, "\uff0410.9 billion", 1),
    (REVENUE, "€10.9 billion", 0),
    (REVENUE, "10.9 billion euros", 0),
    (REVENUE, "£10.9bn", 0),
    (REVENUE, "C$10.9 billion", 0),
    (REVENUE, "¥10.9 billion", 0),
    (EUROS, "€83.2 million", 1),
    (EUROS, "EUR 83.2m", 1),
    (EUROS, "83.2 million euros", 1),
    (EUROS, "83,200,000 €", 1),
    (EUROS, "$83.2 million", 0),
    (EUROS, "€83.2 billion", 0),
    # thousands separators and spaces
    (REVENUE, "10 918 million dollars", 1),
    (REVENUE, "$10\u00a0918 million", 1),
    (REVENUE, "10\u202f918\u202fmillion", 1),
    (REVENUE, "$10\u2009918\u2009million", 1),
    (REVENUE, "$10'918 million", 1),
    (REVENUE, "10.918.000.000 dollars", 1),
    (REVENUE, "$10,918.0\u00a0million", 1),
    (REVENUE, "$10{,}918$ million", 1),
    # emphasis, LaTeX, HTML, citations
    (REVENUE, "**$10.9 billion**", 1),
    (REVENUE, "$**10.9** billion", 1),
    (REVENUE, "`$10.9 billion`", 1),
    (REVENUE, r"\$10.9 \text{ billion}", 1),
    (REVENUE, r"\boxed{\$10.9 \text{ billion}}", 1),
    (REVENUE, "&#36;10.9&nbsp;billion", 1),
    (REVENUE, "Revenue was $10.9 billion [KPI:NVDA:2020:revenue] (10-K, Item 7).", 1),
    (REVENUE, "Revenue was $10.9 billion [1], see Note 17 on page 32.", 1),
    (REVENUE, "[$10.9 billion]", 1),
    # ranges and about
    (REVENUE, "nearly $11 billion", 1),
    (REVENUE, "approximately $10.9 billion", 1),
    (REVENUE, "roughly $10.9bn", 1),
    (REVENUE, "~$10.9B", 1),
    (REVENUE, "≈ $10.9B", 1),
    (REVENUE, "just over $10.9 billion", 1),
    (REVENUE, "between $10.9 and $10.95 billion", 1),
    (REVENUE, "$10.9-11.0 billion", 1),
    (REVENUE, "$10.9–$11.0 billion", 1),
    (REVENUE, "10.9 to 11.0 billion", 1),
    (REVENUE, "$9-12 billion", 0),
    (REVENUE, "between $10.9 and $14 billion", 0),
    (REVENUE, "about $12 billion", 0),
    # the year trap, dates, names and what merely repeats the question
    (REVENUE, "In fiscal 2020, revenue was $10,918 million.", 1),
    (REVENUE, "Revenue for 2020: 10,918 million (FY2020, ended January 26, 2020).", 1),
    (REVENUE, "In fiscal 2020, NVIDIA (fiscal 2020) reported its revenue.", 0),
    (REVENUE, "See Form 10-K, Item 7, page 35, and Note 17.", 0),
    (REVENUE, "1. Revenue: $10.9 billion\n2. Net income: $2.8 billion", 1),
    (REVENUE, "I could not find the figure.", 0),
    (REVENUE, "", 0),
    (YEAR, "2018", 1),
    (YEAR, "It was larger in 2018.", 1),
    (YEAR, "In fiscal 2018, with $20.8 million.", 1),
    (YEAR, "2019", 0),
    (YEAR, "2,018", 0),
    (YEAR, "$2018", 0),
    (YEAR, "20.8 million", 0),
    # several candidates
    (REVENUE, "Revenue was $10.9 billion, down 7% from $11.7 billion in fiscal 2019.", 1),
    (REVENUE, "Revenue was $11.7 billion in fiscal 2019 and $10.9 billion in fiscal 2020.", 1),
    (REVENUE, "In 2019 it was $10.9 billion; in 2020 it was $11.7 billion.", 0),
    (REVENUE, "Revenue was $11.7 billion, compared with $10.9 billion the year before.", 0),
    (REVENUE, "NVIDIA had revenue of $10.9 billion and net income of $2.8 billion.", 1),
    (REVENUE, "Net income was $2.8 billion on revenue of $10.9 billion.", 1),
    (REVENUE, "Net income was $10.9 billion on revenue of $2.8 billion.", 0),
    (REVENUE, "Intel's revenue was $72.0 billion, while NVIDIA's was $10.9 billion.", 1),
    (REVENUE, "NVIDIA's revenue was $72.0 billion, while Intel's was $10.9 billion.", 0),
    (REVENUE, "Revenue was $10,918 million ($10.9 billion).", 1),
    (REVENUE, "| Year | Revenue |\n|---|---|\n| 2019 | $11,716M |\n| 2020 | $10,918M |", 1),
    (REVENUE, "| Year | Revenue |\n|---|---|\n| 2019 | $10,918M |\n| 2020 | $11,716M |", 0),
    (REVENUE, "| | 2019 | 2020 |\n|---|---|---|\n| Revenue ($M) | 11,716 | 10,918 |", 1),
    (REVENUE, "| | 2019 | 2020 |\n|---|---|---|\n| Revenue ($M) | 10,918 | 11,716 |", 0),
    (REVENUE, "Revenue (in millions): 10,918", 1),
    (REVENUE, "Figures in millions of dollars:\n\n| Revenue | 10,918 |", 1),
    (REVENUE, "Revenue: 10,918 (in millions)", 1),
    (REVENUE, "Revenue (in thousands): 10,918", 0),
    (REVENUE, "Data center was $3.0 billion.\n\nAnswer: total revenue was $10.9 billion.", 1),
    (REVENUE, "- Gaming: $5.5 billion\n- Total revenue: $10.9 billion", 1),
    # signs of amounts
    (OUTFLOW, "-$509 million", 1),
    (OUTFLOW, "$-509 million", 1),
    (OUTFLOW, "\u2212$509 million", 1),
    (OUTFLOW, "–$509M", 1),
    (OUTFLOW, "($509) million", 1),
    (OUTFLOW, "$(509) million", 1),
    (OUTFLOW, "($509 million)", 1),
    (OUTFLOW, "(509) million USD", 1),
    (OUTFLOW, "USD (509) million", 1),
    (OUTFLOW, "negative $509 million", 1),
    (OUTFLOW, "minus 509 million dollars", 1),
    (OUTFLOW, "Net cash used in operating activities was $509 million.", 1),
    (OUTFLOW, "There was a cash outflow of $509 million.", 1),
    (OUTFLOW, "$509 million", 0),
    (OUTFLOW, "Operating cash flow was $509 million.", 0),
    (OUTFLOW, "-$509 billion", 0),
    (OUTFLOW, "-$590 million", 0),
    (REVENUE, "-$10.9 billion", 0),
    (REVENUE, "($10.9 billion)", 0),
    (REVENUE, "a net loss of $10.9 billion", 0),
    # percentages, ratios, points
    (GROWTH, "39.6%", 1),
    (GROWTH, "39.6 percent", 1),
    (GROWTH, "39.6 per cent", 1),
    (GROWTH, "39.56 pct", 1),
    (GROWTH, "39.6\u2009%", 1),
    (GROWTH, "Revenue grew by 39.6%.", 1),
    (GROWTH, "39.6% growth, from $24.5 billion to $34.2 billion", 1),
    (GROWTH, "(34,204 - 24,509) / 24,509 = 39.6%", 1),
    (GROWTH, "0.3956", 1),
    (GROWTH, "39.56", 1),
    (GROWTH, "3,956 basis points", 1),
    (GROWTH, "3956 bps", 1),
    (GROWTH, "Revenue fell by 39.6%.", 0),
    (GROWTH, "a decline of 39.6%", 0),
    (GROWTH, "-39.6%", 0),
    (GROWTH, "(39.6)%", 0),
    (GROWTH, "0.396%", 0),
    (GROWTH, "3,956%", 0),
    (GROWTH, "39.6 bps", 0),
    (GROWTH, "$39.6 million", 0),
    (GROWTH, "40%", 0),
    (GROWTH, "36.9%", 0),
    (FALL, "-6.7%", 1),
    (FALL, "\u22126.7%", 1),
    (FALL, "(6.7)%", 1),
    (FALL, "(6.7%)", 1),
    (FALL, "a 6.7% decrease", 1),
    (FALL, "a decline of 6.7%", 1),
    (FALL, "Finished goods decreased by 6.7 percent.", 1),
    (FALL, "Finished goods fell from $716 million to $668 million, or 6.7%.", 1),
    (FALL, "Finished goods were 6.7% lower.", 1),
    (FALL, "decreased by -6.7%", 1),
    (FALL, "-0.067", 1),
    (FALL, "6.7%", 0),
    (FALL, "an increase of 6.7%", 0),
    (FALL, "grew 6.7 percent", 0),
    (FALL, "Costs fell, but finished goods rose 6.7%.", 0),
    (FALL, "-67%", 0),
    (SHARE, "25%", 1),
    (SHARE, "24.87%", 1),
    (SHARE, "24.9 percent", 1),
    (SHARE, "0.2487", 1),
    (SHARE, "24.87", 1),
    (SHARE, "5,679 / 22,832 = 0.2487, or 24.87%", 1),
    (SHARE, "2.487%", 0),
    (SHARE, "0.25%", 0),
    (SHARE, "-24.9%", 0),
    (SHARE, "75.1%", 0),
    (SHARE, "$24.87", 0),
    (POINTS, "-10.9 percentage points", 1),
    (POINTS, "a decline of 10.9 pp", 1),
    (POINTS, "down 10.9 %-points", 1),
    (POINTS, "down 1,090 basis points", 1),
    (POINTS, "up 10.9 percentage points", 0),
    (POINTS, "down 10.9 basis points", 0),
    (BASIS_POINTS, "80 basis points", 1),
    (BASIS_POINTS, "80bps", 1),
    (BASIS_POINTS, "an increase of 80 bps", 1),
    (BASIS_POINTS, "800 basis points", 0),
    (RATIO, "1.16", 1),
    (RATIO, "1.16x", 1),
    (RATIO, "1.157 times", 1),
    (RATIO, "1.16:1", 1),
    (RATIO, "115.7%", 1),
    (RATIO, "480 / 415 = 1.157", 1),
    (RATIO, "0.86", 0),
    (RATIO, "1.16%", 0),
    # per share, own scale of a table, counts, nothing
    (EPS, "$9.95", 1),
    (EPS, "$9.95 per diluted share", 1),
    (EPS, "Diluted EPS was 9.95 dollars per share.", 1),
    (EPS, "995 cents per share", 1),
    (EPS, "$9.59", 0),
    (EPS, "$9.95 million", 0),
    (THOUSANDS, "315,535 thousand", 1),
    (THOUSANDS, "$315,535 thousand", 1),
    (THOUSANDS, "$315.5 million", 1),
    (THOUSANDS, "$315,535,000", 1),
    (THOUSANDS, "315,535", 1),
    (THOUSANDS, "$315,535 (in thousands)", 1),
    (THOUSANDS, "315,535 million", 0),
    (THOUSANDS, "$315.5 thousand", 0),
    (THOUSANDS, "351,535 thousand", 0),
    (COUNT, "2", 1),
    (COUNT, "Two.", 1),
    (COUNT, "In two years, 2019 and 2020, they exceeded $5,000 million.", 1),
    (COUNT, "2 years", 1),
    (COUNT, "Three years", 0),
    (COUNT, "It exceeded $5,000 million in 2019.", 0),
    (COUNT, "2 million", 0),
    (IN_MILLIONS, "2573", 1),
    (IN_MILLIONS, "$2,573 million", 1),
    (IN_MILLIONS, "$2.573 billion", 1),
    (IN_MILLIONS, "2,573 thousand", 0),
    (IN_MILLIONS, "$2.573 million", 0),
    (DECREASE, "They decreased by $48 million.", 1),
    (DECREASE, "-$48 million", 1),
    (DECREASE, "$48 million", 1),
    (DECREASE, "$84 million", 0),
    (NOTHING, "0", 1),
    (NOTHING, "$0", 1),
    (NOTHING, "Zero", 1),
    (NOTHING, "nil", 1),
    (NOTHING, "$5 million", 0),
]


def test_there_are_at_least_150_written_forms() -> None:
    assert len({(case[0]["query"], case[1]) for case in CASES}) >= 150


@pytest.mark.parametrize(("asked", "answer", "expected"), CASES)
def test_a_written_form_is_read_as_it_is_meant(
    asked: dict[str, Any], answer: str, expected: int
) -> None:
    verdict = numeric(Query(id="q", **asked), {"answer": answer})
    assert isinstance(verdict, Verdict)
    assert verdict.value == expected, verdict.explanation


@pytest.mark.parametrize(
    ("asked", "answer", "expected"), [case for case in CASES if "\n" not in case[1]]
)
def test_a_sentence_around_it_changes_nothing(
    asked: dict[str, Any], answer: str, expected: int
) -> None:
    sentence = f"According to the filing, the answer is {answer}"
    verdict = numeric(Query(id="q", **asked), {"answer": sentence})
    assert isinstance(verdict, Verdict)
    assert verdict.value == expected, verdict.explanation
