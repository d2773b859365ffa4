"""Gates, conditions of the command line, and what CI gets to read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from finrag_eval.compare.columns import CellColumns
from finrag_eval.compare.comparing import compare_cells
from finrag_eval.compare.fail_on import parse_condition
from finrag_eval.compare.gates import GateResult, evaluate_gates
from finrag_eval.compare.junit import junit_xml
from finrag_eval.domain import GateSpec
from finrag_eval.errors import InvalidInput

SIZE = 200


def cell(name: str, *, failed: int = 0, **values: Any) -> CellColumns:
    columns = {
        key.replace("score_", "score."): np.array(column, dtype=float)
        for key, column in values.items()
    }
    lost = np.arange(SIZE) < failed
    for column in columns.values():
        column[lost] = np.nan
    queries = np.array([f"q{place:03}" for place in range(SIZE)], dtype=object)
    return CellColumns(
        cell=name,
        query_ids=queries,
        clusters=queries,
        repeats=np.ones(SIZE, dtype=np.intp),
        failed=lost,
        values=columns,
    )


RIGHT = np.r_[np.ones(150), np.zeros(50)]
SECONDS = np.random.default_rng(0).lognormal(size=SIZE)


def regressed(share: float) -> Any:
    column = RIGHT.copy()
    column[-50 - round(share * SIZE) : -50] = 0
    return column


def gate(metric: str, rule: str, bound: float) -> GateSpec:
    return GateSpec(metric=metric, rule=rule, bound=bound)


def judged(spec: GateSpec, baseline: CellColumns, candidate: CellColumns) -> GateResult:
    found = compare_cells(baseline, [candidate])
    (result,) = evaluate_gates([spec], found, [candidate])
    return result


NOT_WORSE = gate("score.s", "min_delta", -0.02)


def test_a_planted_regression_fails_the_gate() -> None:
    result = judged(NOT_WORSE, cell("a", score_s=RIGHT), cell("b", score_s=regressed(0.08)))
    assert not result.passed
    assert result.sentence == (
        "score.s of b against a: lower end of the difference's 95% interval -0.1179, "
        "must lie above -0.02"
    )
    assert result.reason == (
        "the lower end of the difference's 95% interval is -0.1179, and must lie above -0.02"
    )


def test_the_same_sweep_against_itself_passes() -> None:
    same = cell("a", score_s=RIGHT, cost_usd=SECONDS)
    assert judged(NOT_WORSE, same, cell("b", score_s=RIGHT)).passed
    assert judged(gate("cost_usd", "max_ratio", 1.2), same, cell("b", cost_usd=SECONDS)).passed


def test_a_difference_that_may_be_harm_fails_although_it_is_small() -> None:
    candidate = RIGHT.copy()
    candidate[:20], candidate[150:170] = 0, 1
    result = judged(NOT_WORSE, cell("a", score_s=RIGHT), cell("b", score_s=candidate))
    assert (result.figure, result.passed) == (pytest.approx(-0.0627, abs=1e-3), False)


def test_a_ratio_is_judged_by_its_upper_end() -> None:
    dear = cell("b", cost_usd=SECONDS * 1.3)
    result = judged(gate("cost_usd", "max_ratio", 1.2), cell("a", cost_usd=SECONDS), dear)
    assert (result.figure, result.passed) == (pytest.approx(1.3), False)
    assert judged(gate("cost_usd", "max_ratio", 1.4), cell("a", cost_usd=SECONDS), dear).passed


def test_no_arm_wins_by_not_answering() -> None:
    baseline = cell("a", score_s=RIGHT, cost_usd=SECONDS)
    borne = cell("b", failed=4, score_s=RIGHT, cost_usd=SECONDS)
    silent = cell("b", failed=5, score_s=RIGHT, cost_usd=SECONDS)
    assert judged(NOT_WORSE, baseline, borne).passed
    result = judged(NOT_WORSE, baseline, silent)
    assert not result.passed
    assert result.reason == "2.5% of the pairs are missing, and at most 2% may be"
    mean = judged(gate("score.s", "min_mean", 0.5), baseline, silent)
    assert mean.reason == "2.5% of the trials are missing, and at most 2% may be"


def test_questions_that_a_scorer_cannot_score_for_anyone_are_not_missing() -> None:
    unscored = RIGHT.copy()
    unscored[:60] = np.nan
    result = judged(NOT_WORSE, cell("a", score_s=unscored), cell("b", score_s=unscored))
    assert result.passed
    partly = unscored.copy()
    partly[60:70] = np.nan
    result = judged(NOT_WORSE, cell("a", score_s=unscored), cell("b", score_s=partly))
    assert result.reason == "7.1% of the pairs are missing, and at most 2% may be"


@pytest.mark.parametrize(
    ("spec", "figure", "passed"),
    [
        (gate("score.s", "min_mean", 0.75), 0.75, True),
        (gate("score.s", "min_mean", 0.76), 0.75, False),
        (gate("latency_total_seconds", "max_p95_seconds", 190.0), 189.05, True),
        (gate("latency_total_seconds", "max_p95_seconds", 189.0), 189.05, False),
        (gate("cost_usd", "max_usd", 20.0), 20.0, True),
        (gate("cost_usd", "max_usd", 19.99), 20.0, False),
    ],
)
def test_rules_on_a_single_cell(spec: GateSpec, figure: float, passed: bool) -> None:
    one = cell(
        "b",
        score_s=RIGHT,
        latency_total_seconds=np.arange(SIZE),
        cost_usd=np.full(SIZE, 0.1),
    )
    (result,) = evaluate_gates([spec], (), [one])
    assert (result.figure, result.passed) == (pytest.approx(figure), passed)


def test_money_is_judged_by_its_exact_sum() -> None:
    one = cell("b", cost_usd=np.full(SIZE, 0.1))
    exact = CellColumns(
        cell="b",
        query_ids=one.query_ids,
        clusters=one.clusters,
        repeats=one.repeats,
        failed=one.failed,
        values=one.values,
        total_usd=Decimal("20.5"),
    )
    (result,) = evaluate_gates([gate("cost_usd", "max_usd", 20.2)], (), [exact])
    assert (result.figure, result.passed) == (20.5, False)


def test_a_gate_on_nothing_fails() -> None:
    (result,) = evaluate_gates([NOT_WORSE], (), [])
    assert (result.passed, result.reason) == (False, "nothing was compared in score.s")
    empty = cell("b", failed=SIZE, score_s=RIGHT)
    (mean,) = evaluate_gates([gate("score.s", "min_mean", 0.1)], (), [empty])
    assert (mean.passed, mean.figure) == (False, None)


def test_trials_that_never_ran_are_missing() -> None:
    same = cell("a", score_s=RIGHT), cell("b", score_s=RIGHT)
    found = compare_cells(same[0], [same[1]])
    rules = [NOT_WORSE, gate("score.s", "min_mean", 0.5)]
    borne = evaluate_gates(rules, found, [same[1]], not_run={"b": 0.02})
    assert [result.passed for result in borne] == [True, True]
    stopped = evaluate_gates(rules, found, [same[1]], not_run={"b": 0.5})
    assert [result.reason for result in stopped] == [
        "50.0% of the pairs are missing, and at most 2% may be",
        "50.0% of the trials are missing, and at most 2% may be",
    ]


def test_a_cell_that_never_ran_fails_every_gate() -> None:
    same = cell("a", score_s=RIGHT), cell("b", score_s=RIGHT)
    found = compare_cells(same[0], [same[1]])
    held, never = evaluate_gates([NOT_WORSE], found, [same[1]], not_run={"b": 0.0, "c": 1.0})
    assert (held.cell, held.passed) == ("b", True)
    assert (never.cell, never.passed, never.reason) == ("c", False, "no trial of c ran")


@pytest.mark.parametrize(
    ("text", "metric", "rule", "bound"),
    [
        ("score.numeric < -0.02", "score.numeric", "min_delta", -0.02),
        ("score.numeric.delta<-0.02", "score.numeric", "min_delta", -0.02),
        ("score.numeric.mean < 0.8", "score.numeric", "min_mean", 0.8),
        ("cost_usd.ratio > 1.2", "cost_usd", "max_ratio", 1.2),
        ("latency_total_seconds.ratio >= 1.5", "latency_total_seconds", "max_ratio", 1.5),
        ("latency_total_seconds.p95 > 30", "latency_total_seconds", "max_p95_seconds", 30),
        ("cost_usd.total > 5", "cost_usd", "max_usd", 5),
        ("score.mean < -0.1", "score.mean", "min_delta", -0.1),
    ],
)
def test_conditions_are_gates(text: str, metric: str, rule: str, bound: float) -> None:
    assert parse_condition(text) == GateSpec(metric=metric, rule=rule, bound=bound)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score.numeric", "'score.numeric' is no condition"),
        ("score.numeric < much", "'score.numeric < much' 'much' is no number"),
        ("score.numeric < nan", "'score.numeric < nan' 'nan' is no number"),
        (
            "score.numeric > 0.1",
            "'score.numeric > 0.1' asks whether delta is too high, and delta is judged with '<'",
        ),
        (
            "cost_usd < -0.1",
            "'cost_usd < -0.1' min_delta can only be asked of scores",
        ),
        (
            "score.numeric.ratio > 1",
            "'score.numeric.ratio > 1' max_ratio can only be asked of cost, latency and tokens",
        ),
        ("cost_usd.p95 > 1", "'cost_usd.p95 > 1' max_p95_seconds cannot be asked of cost_usd"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_condition(text)
    assert [problem.message for problem in caught.value.problems] == [message]


HOSTILE = "x]]><b>|`*_[a](http://e.org)\x00\x1b[31m\ud800\u202e\n# y"


def test_junit_says_what_held_and_what_did_not() -> None:
    summary = {
        "name": HOSTILE,
        "sweep_id": "s1",
        "status": "completed",
        "wall_seconds": 12.5,
        "gates": [
            {"metric": "score.s", "rule": "min_delta", "bound": -0.02, "cell": "b",
             "passed": True, "sentence": "fine"},
            {"metric": "cost_usd", "rule": "max_ratio", "bound": 1.2, "cell": HOSTILE,
             "passed": False, "sentence": "dear", "reason": HOSTILE},
        ],
    }  # fmt: skip
    text = junit_xml(summary)
    text.encode("utf-8")
    root = ElementTree.fromstring(text)
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    cases = root.findall("./testsuite/testcase")
    assert cases[0].get("name") == "score.s min_delta -0.02 b"
    assert [len(case.findall("failure")) for case in cases] == [0, 1]
    assert cases[0].findtext("system-out") == "fine"
    assert cases[1].findtext("failure") == "dear"
    assert root.find("./testsuite").get("time") == "12.500"  # type: ignore[union-attr]


def test_junit_without_gates_is_a_suite_without_tests() -> None:
    root = ElementTree.fromstring(junit_xml({"name": "n", "gates": None}))
    assert (root.get("tests"), root.findall(".//testcase")) == ("0", [])
