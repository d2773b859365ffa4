"""The result in words says what the comparisons say, and no more."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from sample_sweep import ARMS, make_sweep

from finrag_eval.report.sheet import read_sheet
from finrag_eval.report.verdicts import verdict

BASE, CANDIDATE = ARMS[0].cell, ARMS[1].cell


def compared(*verdicts: tuple[str, str], cost_ratio: float = 1.13) -> dict[str, Any]:
    """A summary of two cells with these (metric, verdict) comparisons."""
    summary, _ = make_sweep(queries=10, arms=ARMS[:2])
    model = copy.deepcopy(summary["comparisons"][0])
    summary["gates"] = []
    summary["comparisons"] = [
        model | {"metric": metric, "verdict": said} for metric, said in verdicts
    ]
    for one in summary["comparisons"]:
        if one["metric"] == "cost_usd":
            one["ratio"], one["ratio_ci_low"], one["ratio_ci_high"] = cost_ratio, 1.1, 1.2
    return summary


def headline(summary: dict[str, Any]) -> str:
    return verdict(read_sheet(summary)).headline


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (
            [("score.numeric", "better"), ("cost_usd", "worse")],
            f"{CANDIDATE} answers better than {BASE}, at 1.13× the cost.",
        ),
        ([("score.numeric", "worse")], f"{CANDIDATE} answers worse than {BASE}."),
        (
            [("score.numeric", "equivalent"), ("cost_usd", "better")],
            f"{CANDIDATE} answers as well as {BASE}, at 1.13× the cost.",
        ),
        (
            [("score.numeric", "inconclusive")],
            f"No candidate could be told from {BASE} by the quality of its answers.",
        ),
        (
            [("score.numeric", "equivalent"), ("score.citation", "inconclusive")],
            f"No candidate could be told from {BASE} by the quality of its answers.",
        ),
        (
            [("score.numeric", "better"), ("score.citation", "worse")],
            f"{CANDIDATE} answers differently from {BASE}.",
        ),
        (
            [("cost_usd", "better")],
            f"No candidate could be told from {BASE} by the quality of its answers.",
        ),
    ],
)
def test_the_headline_follows_the_verdicts(verdicts: list[tuple[str, str]], said: str) -> None:
    assert headline(compared(*verdicts)) == said


def several(better: int) -> dict[str, Any]:
    """A summary in which so many candidates answer better, at 1.5 times the cost."""
    summary = compared(("score.numeric", "better"), ("cost_usd", "worse"), cost_ratio=1.5)
    summary["comparisons"] = [
        one | {"candidate": f"m.v{at}-v1"} for at in range(better) for one in summary["comparisons"]
    ]
    return summary


def test_two_better_candidates_are_named_with_their_prices() -> None:
    assert headline(several(2)) == (
        f"m.v0-v1 (at 1.50× the cost) and m.v1-v1 (at 1.50× the cost) answer better than {BASE}."
    )


def test_many_better_candidates_are_counted() -> None:
    assert headline(several(3)) == f"3 of 3 candidates answer better than {BASE}."


def test_without_a_baseline_no_cell_is_called_better() -> None:
    summary, _ = make_sweep(queries=10)
    summary["comparisons"] = []
    said = verdict(read_sheet(summary))
    assert said.headline.startswith("4 cells ran and none was compared")
    assert said.findings == ()


def test_a_cell_that_is_alone_is_described_by_its_figures() -> None:
    summary, _ = make_sweep(queries=20, arms=ARMS[:1])
    said = verdict(read_sheet(summary))
    cell = summary["cells"][0]
    assert said.headline == f"{BASE} answered {cell['succeeded']} of 20 questions."
    assert [one.metric for one in said.findings[0].statements] == [
        *cell["scores"],
        "cost",
        "time to an answer",
    ]


def test_a_failed_gate_is_in_the_headline() -> None:
    summary = compared(("score.numeric", "inconclusive"))
    gate = {"sentence": "cost_usd of a cell: total in USD 3, must be at most 2"}
    summary["gates"] = [gate | {"passed": False}, gate | {"passed": True}]
    assert headline(summary).endswith(" 1 gate of 2 failed.")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("", "x of c: mean 0.5, must be at least 0.6"),
        ("the mean is 0.5, and must be at least 0.6", "x of c: mean 0.5, must be at least 0.6"),
        (
            "3% of trials are missing",
            "x of c: mean 0.5, must be at least 0.6 (3% of trials are missing)",
        ),
    ],
)
def test_a_gate_gives_a_reason_that_its_sentence_lacks(reason: str, words: str) -> None:
    gate = {"sentence": "x of c: mean 0.5, must be at least 0.6", "passed": False, "reason": reason}
    assert read_sheet({"gates": [gate]}).gates[0].words == words


def test_a_gate_without_a_sentence_still_says_what_it_is() -> None:
    gate = {"metric": "cost_usd", "cell": "c", "rule": "max_usd", "bound": 2, "figure": 3}
    assert read_sheet({"gates": [gate]}).gates[0].words == "cost_usd c max_usd 2: 3.0"


def test_an_undecided_comparison_says_what_it_could_have_missed() -> None:
    summary = compared(("score.numeric", "inconclusive"))
    summary["comparisons"][0] |= {"mde": 0.08, "queries_needed": 420, "n_pairs": 118}
    statement = verdict(read_sheet(summary)).findings[0].statements[0]
    assert "true differences under 0.080 are easily missed" in statement.detail
    assert "about 420 questions would settle a difference of this size" in statement.detail
    assert statement.sentence.startswith("numeric: inconclusive, ")


@pytest.mark.parametrize("mde", [None, 0.0])
def test_nothing_is_said_of_differences_too_small_to_show(mde: float | None) -> None:
    summary = compared(("score.numeric", "inconclusive"), ("total_tokens", "worse"))
    summary["comparisons"][0] |= {"mde": mde, "queries_needed": None}
    finding = verdict(read_sheet(summary)).findings[0]
    assert [one.metric for one in finding.statements] == ["numeric"]
    assert "missed" not in finding.statements[0].detail


def test_failures_and_trials_that_never_ran_are_cautions() -> None:
    summary, _ = make_sweep(queries=10)
    summary["status"] = "budget_stopped"
    summary["totals"] |= {
        "trials_planned": 40,
        "trials_succeeded": 27,
        "trials_failed": 3,
        "trials_not_run": 10,
    }
    cautions = verdict(read_sheet(summary)).cautions
    assert cautions[:3] == (
        "The sweep was stopped by its budget: these are the figures of what was done until then.",
        "10 trials of 40 never ran.",
        "3 trials of 30 failed (10%): 1 EmptyAnswer, 1 ReadTimeoutError; they count as failures, "
        "not as wrong answers.",
    )


def test_many_kinds_of_failures_are_named_by_the_most_frequent() -> None:
    summary, _ = make_sweep(queries=10, arms=ARMS[:2])
    summary["totals"] |= {"trials_succeeded": 4, "trials_failed": 16}
    summary["cells"][0]["errors"] = {"A": 5, "B": 1}
    summary["cells"][1]["errors"] = {"B": 6, "C": 2, "D": 1, "E": 1}
    assert verdict(read_sheet(summary)).cautions[0] == (
        "16 trials of 20 failed (80%): 7 B, 5 A, 2 C, 2 of other kinds; they count as failures, "
        "not as wrong answers."
    )


def test_where_nothing_was_answered_the_headline_says_why() -> None:
    summary = compared(("score.numeric", "inconclusive"))
    summary["totals"] |= {"trials_succeeded": 0, "trials_failed": 20}
    for cell in summary["cells"]:
        cell["errors"] = {"KeyError": 10}
    assert headline(summary) == "Nothing was answered: 20 trials failed, most often with KeyError."


def test_the_price_of_baseline_and_candidate_is_said_in_words() -> None:
    summary = compared(("score.numeric", "worse"))
    for cell, usd in zip(summary["cells"], (1.53, 0.042), strict=True):
        cell["cost_usd"]["per_1000_queries"] = usd
    summary["baseline"] = BASE
    said = verdict(read_sheet(summary)).price
    assert said == f"1,000 questions cost $1.53 with {BASE} and $0.042 with {CANDIDATE}."


def test_without_prices_nothing_is_said_of_them() -> None:
    summary = compared(("score.numeric", "worse"))
    for cell in summary["cells"]:
        cell["cost_usd"]["per_1000_queries"] = None
    assert verdict(read_sheet(summary)).price == ""


def test_scores_that_do_not_differ_anywhere_are_called_the_same() -> None:
    summary = compared(("score.numeric", "inconclusive"))
    nothing = {"delta": 0.0, "ci_low": 0.0, "ci_high": 0.0, "mde": None, "queries_needed": None}
    means = {"baseline_mean": 1.0, "candidate_mean": 1.0, "n_improved": 0, "n_worsened": 0}
    summary["comparisons"][0] |= {**nothing, **means, "n_pairs": 40, "n_missing": 0}
    statement = verdict(read_sheet(summary)).findings[0].statements[0]
    assert statement.interval == ""
    assert statement.detail == "1.000 → 1.000; the same on each of 40 questions"


def test_a_comparison_without_pairs_says_so() -> None:
    summary = compared(("score.judge", "inconclusive"))
    unknown = dict.fromkeys(("delta", "ci_low", "ci_high", "mde", "baseline_mean", "p_adjusted"))
    summary["comparisons"][0] |= {**unknown, "n_pairs": 0, "n_missing": 60}
    statement = verdict(read_sheet(summary)).findings[0].statements[0]
    assert statement.detail.endswith("no question has it in both cells, 60 left out")


def test_warnings_are_shown_once_and_as_sentences() -> None:
    summary, _ = make_sweep(queries=10)
    summary["warnings"] = ["only 6 clusters", "only 6 clusters", "Prices are old."]
    summary["cells"][0]["flags"] = ["2 of 10 answers ended with max_tokens"]
    cautions = verdict(read_sheet(summary)).cautions
    assert cautions[-3:] == (
        "Only 6 clusters.",
        "Prices are old.",
        f"{BASE}: 2 of 10 answers ended with max_tokens.",
    )


def test_rehearsal_costs_are_said_to_be_no_real_money() -> None:
    summary, _ = make_sweep(queries=10)
    for cell in summary["cells"]:
        cell["cost_basis"] = "rehearsal"
    assert any("nothing was billed" in text for text in verdict(read_sheet(summary)).cautions)


def test_the_decisive_finding_comes_first() -> None:
    summary, _ = make_sweep(queries=10)
    model = summary["comparisons"][0]
    summary["comparisons"] = [
        model | {"candidate": arm.cell, "metric": "score.numeric", "verdict": said}
        for arm, said in zip(ARMS[1:], ("worse", "inconclusive", "better"), strict=True)
    ]
    findings = verdict(read_sheet(summary)).findings
    assert [finding.tone for finding in findings] == ["better", "inconclusive", "worse"]
    assert findings[0].cell == ARMS[3].cell


def test_a_summary_with_nothing_in_it_still_has_a_headline() -> None:
    assert headline({"sweep_id": "S"}) == "No cell has a result yet."


def test_the_models_own_noise_is_said_where_questions_were_repeated() -> None:
    summary, _ = make_sweep(queries=10)
    assert not any("noise" in told for told in verdict(read_sheet(summary)).cautions)
    for place, cell in enumerate(summary["cells"]):
        cell["scores"]["numeric"]["repeat_variance_share"] = 0.4 + 0.1 * place
    most = f"{40 + 10 * (len(summary['cells']) - 1)}%"
    assert (
        f"40% to {most} of the variance of numeric is the models' own noise: the same question, "
        "asked again."
    ) in verdict(read_sheet(summary)).cautions


def test_the_cost_of_a_right_answer_stands_beside_the_cost() -> None:
    summary = compared(("score.numeric", "better"), ("cost_usd", "worse"))
    for place, cell in enumerate(summary["cells"]):
        cell["usd_per_correct"] = {"numeric": 0.02 + 0.01 * place}
    finding = verdict(read_sheet(summary)).findings[0]
    (cost,) = [one for one in finding.statements if one.metric == "cost"]
    assert "$0.020 → $0.030 per answer right by numeric" in cost.detail
