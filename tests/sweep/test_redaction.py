"""Texts that are not kept: their scores stay true, and nothing is made of what is left of them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from sweep_place import Place

from finrag_eval.cli.main import main
from finrag_eval.scoring import NOT_KEPT


@pytest.fixture
def redacted(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A sweep that keeps no answers and no contexts."""
    monkeypatch.chdir(place.folder)
    place.sweep(models=["rehearsal_kpi"], redact=["answer", "context"])
    return place


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    talk = () if arguments[0] == "summary" else ("--no-tracking", "--quiet")
    assert main([*arguments, *talk, "--format", "json"]) == code
    return json.loads(capsys.readouterr().out)


def scores_of(summary: Any) -> list[Any]:
    return [cell["scores"] for cell in summary["cells"]]


def test_scoring_again_leaves_the_scores_of_the_true_texts(
    redacted: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    first = scores_of(told(capsys, "run", "small.yaml"))
    assert all(cell["numeric"]["mean"] > 0 for cell in first)
    assert scores_of(told(capsys, "score", "latest")) == first
    again = scores_of(told(capsys, "score", "latest", "--scorer", "refusal"))
    for before, after in zip(first, again, strict=True):
        assert after["numeric"] == before["numeric"]
        assert after["refusal"]["mean"] is None
        assert after["refusal"]["unscored_reasons"] == {NOT_KEPT: 5}


def test_an_answer_that_died_before_its_scores_says_that_it_has_none(
    redacted: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = told(capsys, "run", "small.yaml")
    with closing(sqlite3.connect(redacted.results / ended["sweep_id"] / "ledger.sqlite")) as ledger:
        ledger.execute("DELETE FROM scores")
        ledger.commit()
    for cell in scores_of(told(capsys, "resume", "latest")):
        assert cell["numeric"]["unscored_reasons"] == {NOT_KEPT: 5}


def test_a_judge_of_answers_that_are_not_kept_is_refused(
    redacted: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = 'scorers=[{"name": "judge", "model": "rehearsal_kpi"}]'
    (error,) = told(capsys, "run", "small.yaml", "--set", judge, code=2)["errors"]
    assert error["message"] == "the judge 'judge' reads recorded answers, and none is kept"
    assert not redacted.results.exists()


def test_questions_whose_contexts_were_not_kept_are_not_asked_without_them(
    redacted: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    question = {"id": "q", "query": "Which figure?", "context": "The figure is 7."}
    redacted.write("questions.jsonl", json.dumps(question) + "\n")
    ended = told(capsys, "run", "small.yaml")
    (error,) = told(capsys, "resume", "latest", code=2)["errors"]
    assert error["message"] == "the questions' own contexts were not kept (redact)"
    assert told(capsys, "summary", "latest")["totals"] == ended["totals"]
