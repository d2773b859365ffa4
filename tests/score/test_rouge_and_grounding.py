"""``rouge_l`` against the reference implementation; ``citation`` and ``grounded``."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer

from finrag_eval.domain import Query
from finrag_eval.score.grounding import citation, grounded
from finrag_eval.score.rouge import rouge_l, rouge_l_of
from finrag_eval.score.verdicts import Unscored, Verdict

WORDS = [
    *("revenue", "Revenue", "net", "income", "10.9", "$5,000", "the", "The", "of", "in", "FY2020"),
    *("2,5%", "co-op", "naïve", "Ünïcode", "U.S.", "—", "…", "and/or", "R&D", "it's", "a_b", "ß"),
]


def test_rouge_l_is_that_of_the_reference_implementation() -> None:
    reference = RougeScorer(["rougeL"], use_stemmer=False)
    chance = random.Random(6)
    for _ in range(500):
        first = " ".join(chance.choices(WORDS, k=chance.randrange(0, 60)))
        second = " ".join(chance.choices(WORDS, k=chance.randrange(0, 60)))
        expected = reference.score(first, second)["rougeL"]
        assert rouge_l_of(first, second) == pytest.approx(tuple(expected), abs=1e-12)


def test_rouge_l_agrees_on_recorded_answers(shared_data: Path) -> None:
    reference = RougeScorer(["rougeL"], use_stemmer=False)
    answers = [
        json.loads(path.read_text(encoding="utf-8"))["answer"][:900]
        for path in sorted((shared_data / "recorded_responses").glob("response_*.json"))
    ]
    for first, second in pairwise(answers):
        expected = reference.score(first, second)["rougeL"]
        assert rouge_l_of(first, second) == pytest.approx(tuple(expected), abs=1e-12)


def test_the_items_of_a_list_are_one_reference_text() -> None:
    query = Query(id="q", query="?", expected_answer=("a b", "c"))
    assert rouge_l(query, {"answer": "a b c"}) == Verdict(1.0, {"precision": 1.0, "recall": 1.0})
    assert isinstance(rouge_l(Query(id="q", query="?"), {"answer": "a"}), Unscored)


CONTEXT = (
    "NVIDIA revenue FY2020: 10,918 million USD [KPI:NVDA:2020:revenue]. Operating loss was (505) "
    "million. Margin 62.0%.\n\n(in thousands)\n| EMEA | 315,535 |\n| Headcount | 18,100 |\n\n"
    "There were three segments and 13.2 per share."
)


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("Revenue was $10,918 million.", 1),
        ("Revenue was $10.9 billion in fiscal 2020 [1].", 1),
        ("Revenue was $10.92 billion.", 1),
        ("Revenue was $10.8 billion.", 0),
        ("Revenue was $10.9 million.", 0),
        ("The loss was $505 million, the margin 62%.", 1),
        ("The margin was 62.4%.", 0),
        ("EMEA had $315.5 million.", 1),
        ("EMEA had 315,535.", 1),
        ("$10.9 billion of $20 billion", 0.5),
        ("$13.2 per share, 13.3 per share", 0.5),
    ],
)
def test_citation_is_the_share_of_figures_in_the_context(answer: str, share: float) -> None:
    result = {"answer": answer, "context": CONTEXT}
    query = Query(id="q", query="What was the revenue?")
    cited, whole = citation(query, result), grounded(query, result)
    assert isinstance(cited, Verdict)
    assert isinstance(whole, Verdict)
    assert cited.value == share, cited
    assert whole.value == float(share == 1)


def test_figures_of_the_question_need_no_source() -> None:
    query = Query(id="q", query="Did it exceed $5,000 million?")
    result = {"answer": "It exceeded $5,000 million with $10.9 billion.", "context": CONTEXT}
    assert grounded(query, result) == Verdict(1.0, {"figures": 1, "not_in_context": []})


def test_without_figures_or_context_nothing_is_scored() -> None:
    query = Query(id="q", query="Why?")
    assert citation(query, {"answer": "Demand, in 2019.", "context": CONTEXT}) == Unscored(
        "the answer holds no figure"
    )
    assert grounded(query, {"answer": "$5", "context": None}) == Unscored(
        "the trial had no context"
    )
