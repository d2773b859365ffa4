"""Judges in a sweep: their calls are bounded, counted apart, and not paid for twice."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from loopback.fixture import LoopbackBedrock
from sweep_place import Place

from finrag_eval.cli.main import main
from finrag_eval.reading_ahead import ReadingAhead

MODELS = """
serving_models:
  default_serving_model: loop
  loop: {provider: bedrock, model_id: loop.model-v1, display_name: Loop, max_tokens: 200,
         cost_per_1k_input: 0.001, cost_per_1k_output: 0.005}
  judge: {provider: bedrock, model_id: judge.model-v1, display_name: Judge, max_tokens: 100,
          cost_per_1k_input: 0.0001, cost_per_1k_output: 0.0005}
"""
VERDICT = '{"score": 4, "reason": "close"}'


@pytest.fixture
def judged(place: Place, bedrock: LoopbackBedrock) -> Place:
    """A sweep of ten trials with one judge, whose model always says the same."""
    place.env = dict(bedrock.env)
    place.write("ml_config.yaml", MODELS)
    place.sweep(
        models=["loop"],
        retrieval={"include_rag": False},
        scorers=["citation", {"name": "judge", "model": "judge"}],
    )
    bedrock.programme(answers=[{"match": '"reason"', "answer": VERDICT, "bare": True}])
    return place


def run(place: Place, *arguments: str, code: int = 0) -> dict[str, Any]:
    ran = place.run(*arguments, "--no-tracking", "--format", "json")
    assert ran.code == code, ran.err
    found: dict[str, Any] = ran.json
    return found


def trials_of(place: Place, summary: dict[str, Any]) -> pd.DataFrame:
    return pd.read_parquet(place.results / summary["sweep_id"] / "trials.parquet")


def test_a_judge_scores_every_answer_and_its_cost_stands_apart(
    judged: Place, bedrock: LoopbackBedrock
) -> None:
    summary = run(judged, "run", "small.yaml")
    trials = trials_of(judged, summary)
    assert trials["score.judge"].notna().all()
    assert (trials["judge_cost_usd"] > 0).all()
    served = [one for one in bedrock.ledger() if one["answered"]]
    assert sum(one["model"] == "judge.model-v1" for one in served) == 10
    judge_usd = sum(
        (one["input_tokens"] * 0.0001 + one["output_tokens"] * 0.0005) / 1000
        for one in served
        if one["model"] == "judge.model-v1"
    )
    assert summary["totals"]["judge_cost_usd"] == pytest.approx(judge_usd, abs=1e-9)
    total = summary["totals"]["cost_usd"] + summary["totals"]["judge_cost_usd"]
    assert summary["budget"]["spent_usd"] == pytest.approx(total, abs=1e-9)
    # Judges speak last, and change what every trial shows: such a report is not begun before.
    assert ReadingAhead.begun(judged.results / summary["sweep_id"]) is None


def test_judging_stops_at_the_budget_and_goes_on_without_paying_twice(
    judged: Place, bedrock: LoopbackBedrock
) -> None:
    cap = "budget.per_model.judge=0.0006"
    stopped = run(judged, "run", "small.yaml", "--set", cap, code=3)
    assert stopped["status"] == "budget_stopped"
    assert stopped["totals"]["trials_succeeded"] == 10
    assert 0 < stopped["totals"]["judge_cost_usd"] <= 0.0006
    assert trials_of(judged, stopped)["score.judge"].isna().any()
    ended = run(judged, "run", "small.yaml", "--max-usd", "1")
    assert trials_of(judged, ended)["score.judge"].notna().all()
    served = [one for one in bedrock.ledger() if one["answered"]]
    assert len(served) == 20


def test_an_unreadable_verdict_is_unscored_with_its_reason(
    judged: Place, bedrock: LoopbackBedrock
) -> None:
    bedrock.programme(answers=[{"match": '"reason"', "answer": "a fine answer, I think"}])
    summary = run(judged, "run", "small.yaml")
    (cell, _) = summary["cells"]
    assert cell["scores"]["judge"]["n"] == 0
    assert cell["scores"]["judge"]["mean"] is None
    assert cell["scores"]["judge"]["unscored"] == 5
    assert (
        "judge scored none of 10 answers; most often: the judge's reply is not one JSON object"
        in summary["warnings"]
    )


SECOND = "{name: second, kind: judge, model: judge, rubric: v2}"


def test_scoring_again_asks_for_verdicts_that_are_missing(
    judged: Place,
    bedrock: LoopbackBedrock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A new judge is asked once for each answer, one that was stopped keeps to its budget; other
    scorers ask nobody, and what they do not give stays.
    """
    monkeypatch.chdir(judged.folder)
    for name, value in judged.env.items():
        monkeypatch.setenv(name, value)

    def told(*arguments: str, code: int = 0) -> tuple[dict[str, Any], list[str]]:
        before = len(bedrock.ledger())
        assert main([*arguments, "--no-tracking", "--quiet", "--format", "json"]) == code
        models = [one["model"] for one in bedrock.ledger()[before:]]
        return json.loads(capsys.readouterr().out), models

    cap = "budget.per_model.judge=0.0006"
    stopped, _ = told("run", "small.yaml", "--set", cap, code=3)
    again, models = told("score", "latest", code=3)
    assert models == []
    assert again["budget"]["spent_usd"] == stopped["budget"]["spent_usd"]
    told("run", "small.yaml", "--max-usd", "1")
    summary, models = told("score", "latest", "--scorer", "refusal", "--scorer", "rouge_l")
    assert models == []
    trials = trials_of(judged, summary)
    assert trials[["score.judge", "score.refusal", "score.rouge_l"]].notna().all(axis=None)
    summary, models = told("score", "latest", "--scorer", SECOND)
    assert models == ["judge.model-v1"] * 10
    trials = trials_of(judged, summary)
    assert trials[["score.judge", "score.refusal", "score.second"]].notna().all(axis=None)
    assert summary["totals"]["judge_cost_usd"] == pytest.approx(trials["judge_cost_usd"].sum())
    assert told("score", "latest", "--scorer", SECOND)[1] == []
    assert main(["score", "latest", "--scorer", SECOND.replace("judge, rubric", "no, rubric")]) == 2
    assert "no model key 'no'" in capsys.readouterr().err
