"""``contains``, ``exact``, ``regex``, ``boolean``, ``list`` and ``refusal``."""

from __future__ import annotations

from typing import Any

import pytest

from finrag_eval.domain import Query
from finrag_eval.score.listing import listing
from finrag_eval.score.matching import boolean, contains, exact, key_strings, regex
from finrag_eval.score.normal import normal
from finrag_eval.score.refusal import declines, refusal
from finrag_eval.score.verdicts import Unscored, Verdict


def query(text: str = "What was it?", **fields: Any) -> Query:
    return Query(id="q", query=text, **fields)


def value(found: Verdict | Unscored) -> float:
    assert isinstance(found, Verdict)
    return found.value


def test_texts_become_comparable() -> None:
    assert normal("  $25,094 Million\n") == normal("25.094 billion") == "25094000000"
    assert normal("5 percent") == normal("5.0%") == "5%"
    assert normal("Net **Loss**: (2.3)%.") == "net loss: -2.3%"


@pytest.mark.parametrize(
    ("expected", "answer", "share"),
    [
        ("Exxon Mobil (XOM)", "Exxon Mobil had the higher cash flow.", 1),
        ("Exxon Mobil (XOM)", "XOM", 1),
        ("Exxon Mobil (XOM)", "Amazon (AMZN)", 0),
        ("Automated Packaging", "it bought AUTOMATED   packaging in 2019", 1),
        ("axiom", "the axioms", 0),
        ("$6,030 million", "It was $6,029.901 million.", 1),
        ("$6,030 million", "It was $6.0 billion.", 0),
        ("-$664 million", "It was $664.254 million.", 0),
        (("Services", "Software and other"), "Software and other; hardware", 0.5),
        (("2022: $25,094 million", "2023: $24,932 million"), "2022: $25.094 billion", 0.5),
        (("$0.8 million", "$0.6 million"), "$0.8 million in 2018 and $600,000 in 2019", 1),
        (
            "Baby Care franchise sales of $1.6 billion increased 3.2%, driven by Asia Pacific.",
            "Sales of 1,600 million rose 3.2%, mostly in Asia Pacific (Care franchise).",
            0.75,
        ),
    ],
)
def test_contains_is_the_share_of_key_strings(expected: Any, answer: str, share: float) -> None:
    found = contains(query(expected_answer=expected), {"answer": answer})
    assert value(found) == pytest.approx(share), found


def test_a_query_may_name_its_own_key_strings() -> None:
    asked = query(expected_answer="x", metadata={"key_strings": ["profit", "margin"]})
    assert key_strings(asked) == ["profit", "margin"]
    assert value(contains(asked, {"answer": "Profit fell."})) == 0.5


def test_without_a_reference_nothing_is_scored() -> None:
    none = Unscored("the query has no expected answer")
    assert contains(query(), {"answer": "x"}) == none
    assert exact(query(), {"answer": "x"}) == none
    assert listing(query(), {"answer": "x"}) == Unscored("the query has no list as its reference")
    assert boolean(query(expected_answer="maybe"), {"answer": "yes"}) == Unscored(
        "the query's expected answer is neither yes nor no"
    )
    assert regex(query(), {"answer": "x"}, pattern=None, ignore_case=False) == Unscored(
        "neither the scorer nor the query has a pattern"
    )


@pytest.mark.parametrize(
    ("expected", "answer", "same"),
    [
        ("$497 million", "497 million USD.", 1),
        ("operations", "Operations", 1),
        ("operations", "Operations and more", 0),
        (("2019", "2018"), "2018 and 2019", 1),
        (("2019", "2018"), "2019, 2018, 2017", 0),
        (("2,458", "2,261"), "2,261; 2,458", 1),
    ],
)
def test_exact_is_the_same_text_in_other_clothes(expected: Any, answer: str, same: int) -> None:
    assert value(exact(query(expected_answer=expected), {"answer": answer})) == same


def test_a_pattern_is_looked_for_in_the_answer() -> None:
    asked = query(expected_answer=r"\bNVDA\b")
    assert value(regex(asked, {"answer": "NVDA won"}, pattern=None, ignore_case=False)) == 1
    assert value(regex(asked, {"answer": "nvda won"}, pattern=None, ignore_case=False)) == 0
    assert value(regex(asked, {"answer": "nvda won"}, pattern=None, ignore_case=True)) == 1
    assert value(regex(asked, {"answer": "x1"}, pattern=r"\d", ignore_case=False)) == 1


def test_a_broken_pattern_of_a_query_is_unscored() -> None:
    found = regex(query(expected_answer="("), {"answer": "x"}, pattern=None, ignore_case=False)
    assert isinstance(found, Unscored)
    assert found.reason.startswith("the query's pattern is no regular expression")


@pytest.mark.parametrize(
    ("expected", "answer", "score"),
    [
        ("yes", "Yes, it was greater.", 1),
        ("yes", "**No.** It was smaller.", 0),
        ("no", "No", 1),
        ("no", "Answer: no, it spent less.", 1),
        ("Yes. Meta attributes it to remeasurement.", "Yes.", 1),
        ("no", "It spent 5 on one and 7 on the other. Therefore, no.", 1),
        ("yes", "Revenue rose from 5 to 7, so the answer is yes.", 1),
        ("no", "I cannot answer this question.", 0),
    ],
)
def test_yes_and_no_are_read(expected: str, answer: str, score: int) -> None:
    assert value(boolean(query(expected_answer=expected), {"answer": answer})) == score


def test_neither_yes_nor_no_is_unscored() -> None:
    found = boolean(query(expected_answer="yes"), {"answer": "Revenue rose faster there."})
    assert isinstance(found, Unscored)
    assert found.reason == "the answer says neither yes nor no"


SERIES = ("2022: $25,094 million", "2023: $24,932 million", "2024: $26,097 million")


@pytest.mark.parametrize(
    ("expected", "answer", "f1"),
    [
        (SERIES, "\n".join(SERIES), 1),
        (SERIES, "$25.1 billion (2022), $24.9 billion (2023) and $26.1 billion (2024)", 1),
        (SERIES, "| Year | SG&A |\n|---|---|\n| 2022 | $25,094M |\n| 2023 | $24,932M |", 0.8),
        (("2022: $5m", "2023: $6m"), "2022: $6 million, 2023: $5 million", 0),
        (("2022: $5m", "2023: $6m"), "$5 million in 2022 and $6 million in 2023", 1),
        (SERIES, "nothing at all", 0),
        (("2,458", "2,261"), "$2,458 thousand in 2018 and $2,261 thousand in 2019", 1),
        (("2,458", "2,261"), "2,458 and 9,999", 0.5),
        (("50%", "43%"), "50% in 2018 and 43% in 2019", 1),
        (("50%", "43%"), "50% of $5 million in 2018", 2 / 3),
        (("2019", "2018"), "For 2018 and 2019.", 1),
        (("2019", "2018", "2017"), "2019", 0.5),
        (("Services", "Software and other"), "The segments are services, software and other", 0.8),
        (("tax law", "one-time charge"), "- a tax law led to a one-time charge\n- x", 0.8),
        (("Services", "Software and other"), "- Services\n- Software and other", 1),
        (("Services", "Software and other"), "- Hardware\n- Services\n- Software and other", 0.8),
    ],
)
def test_lists_are_scored_by_f1(expected: Any, answer: str, f1: float) -> None:
    asked = query("List them.", expected_answer=expected, answer_type="list", tolerance=0.01)
    found = listing(asked, {"answer": answer})
    assert value(found) == pytest.approx(f1), found


DECLINES = [
    "The provided context does not contain the answer to this question.",
    "I cannot answer this question based on the provided data. The context covers 2016 to 2020.",
    "I cannot fully answer this question based on the provided data. Here's what I can address:",
    "Not available.",
    "That figure is not available in the filings.",
    "There is no data for fiscal 1999.",
    "The 10-K filings do not report a forecast for 2032.",
    "I'm unable to provide investment advice.",
    "Unfortunately, the value cannot be determined from the given context.",
    "The KPI snapshot has no value for Pepsi, and the passages do not mention it.",
    "# Answer\n\nI don't have information about Spotify.",
    "",
]
ANSWERS = [
    "Revenue was $10.9 billion in fiscal 2020.",
    "Revenue was $10.9 billion; the segment split is not disclosed.",
    "I can provide net income for both companies, but revenue data has significant gaps.",
    "Walmart cites a lack of supply and missing parts as drivers.",
    'Management warns: "we cannot assure you that demand will last".',
    "The company was unable to predict the duration of the pandemic.",
    "Exxon Mobil (XOM)",
    "Revenue fell because of lower gaming sales.\n\nNo information on 2021 is available.",
]


@pytest.mark.parametrize("answer", DECLINES)
def test_a_refusal_is_seen(answer: str) -> None:
    assert declines(query("What was Spotify's equity in fiscal 2020?"), answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_not_a_refusal(answer: str) -> None:
    assert not declines(query("What was Spotify's equity in fiscal 2020?"), answer)


@pytest.mark.parametrize(
    ("answer", "should_refuse", "score"),
    [
        (DECLINES[0], True, 1),
        (DECLINES[0], False, 0),
        (ANSWERS[0], True, 0),
        (ANSWERS[0], False, 1),
    ],
)
def test_declining_is_right_where_it_should(answer: str, should_refuse: bool, score: int) -> None:
    assert value(refusal(query(should_refuse=should_refuse), {"answer": answer})) == score
