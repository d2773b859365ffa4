"""A planted regression is found, named and fails the gate; the same against itself passes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from finrag_eval.cli.main import main

MODELS = """
serving_models:
  reader: {provider: rehearsal, variant: kpi, model_id: reader, max_tokens: 50,
           cost_per_1k_input: 0.001, cost_per_1k_output: 0.005}
"""
TARGET = """
def answer(query, prompt_versions, model_config):
    number = int(query.split()[1])
    broken = prompt_versions["system"] == "v2" and number % 100 < 8
    value = number + (1000 if broken else 0)
    return {
        "query": query, "answer": f"It was ${value} million.", "context": "",
        "metadata": {
            "llm": {"model_id": "reader", "input_tokens": 100, "output_tokens": 10,
                    "total_tokens": 110, "cost": 0.00015, "stop_reason": "end_turn"},
            "context": {}, "retrieval": {},
        },
    }
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of 200 questions over two prompt versions, with a target of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "regressing", raising=False)
    (tmp_path / "ml_config.yaml").write_text(MODELS, encoding="utf-8")
    (tmp_path / "regressing.py").write_text(TARGET, encoding="utf-8")
    rows = (
        {
            "id": f"q{number}",
            "query": f"Question {number} on the amount",
            "expected_value": number * 1e6,
            "expected_answer": f"${number} million",
            "unit": "USD",
        }
        for number in range(200, 400)
    )
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "q.jsonl").write_text(text, encoding="utf-8")
    spec = {
        "name": "ab",
        "experiment": "AB",
        "models": ["reader"],
        "prompts": [{"system": "v1", "query": "v1"}, {"system": "v2", "query": "v1"}],
        "query_set": {"path": "q.jsonl"},
        "scorers": ["numeric"],
        "target": "regressing:answer",
        "baseline": {"model": "reader", "system": "v1", "query": "v1"},
        "gate": {"score.numeric": {"min_delta": -0.02}},
    }
    (tmp_path / "ab.yaml").write_text(json.dumps(spec), encoding="utf-8")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> Any:
    assert main([*arguments, "--format", "json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_planted_regression_fails_the_gate_and_names_its_questions(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit, page = here / "gates.xml", here / "summary.md"
    written = ["--no-tracking", "--quiet", "--junit", str(junit), "--markdown", str(page)]
    summary = run(capsys, "run", "ab.yaml", *written, code=4)
    (found,) = [one for one in summary["comparisons"] if one["metric"] == "score.numeric"]
    assert found["verdict"] == "worse"
    assert found["delta"] == pytest.approx(-0.08)
    planted = {f"q{number}" for number in range(200, 400) if number % 100 < 8}
    assert set(found["worsened"]) == planted
    (gate,) = summary["gates"]
    assert not gate["passed"]
    suite = ElementTree.parse(junit).getroot()
    assert suite.get("failures") == "1"
    assert "score.numeric" in page.read_text(encoding="utf-8").replace("\\", "")
    shown = run(capsys, "compare", "--show", "2", code=4)
    assert {one["query_id"] for one in shown["queries"]} <= planted
    assert len(shown["queries"]) == 2
    power = run(capsys, "plan", "ab.yaml", "--detect", "0.03", code=0)["power"]
    (numeric,) = power["metrics"]
    assert numeric["spread"] == pytest.approx(np.sqrt(0.08 * 0.92 * 200 / 199))
    assert numeric["spread_from"] == "1 sweep of these cells"
    assert power["detect"]["usd"] == pytest.approx(
        power["detect"]["queries_needed"] * 2 * 0.00015, rel=0.2
    )
    assert [gate["gate"] for gate in power["tight_gates"]] == ["score.numeric min_delta -0.02"]


def test_the_same_sweep_against_itself_passes(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "run", "ab.yaml", "--no-tracking", "--quiet", code=4)
    run(capsys, "run", "ab.yaml", "--no-tracking", "--quiet", "--fresh", code=4)
    report = run(
        capsys,
        "compare",
        "--baseline-sweep",
        min(path.name for path in (here / "sweep_results").iterdir() if path.is_dir()),
        "--baseline",
        "reader.v1-v1",
        "--fail-on",
        "score.numeric < -0.02",
        "--strict",
        code=0,
    )
    verdicts = {one["metric"]: one["verdict"] for one in report["comparisons"]}
    # How fast this machine was in either sweep is no property of the cell.
    del verdicts["latency_total_seconds"]
    assert set(verdicts) == {"score.numeric", "cost_usd", "total_tokens"}
    assert set(verdicts.values()) == {"inconclusive"}
    assert report["differences"] == []
    assert all(gate["passed"] for gate in report["gates"])


def test_a_sweep_that_was_stopped_passes_no_gate(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "run", "ab.yaml", "--no-tracking", "--quiet", "--max-usd", "0.22", code=3)
    report = run(capsys, "compare", "--fail-on", "score.numeric.mean < 0.1", code=4)
    assert [gate["passed"] for gate in report["gates"]] == [False, False]
    # Near the cap, a trial of the other cell may be what still fits.
    none, too_few = "no trial of reader.v2-v1 ran", "are missing, and at most 2% may be"
    assert all(gate["reason"].endswith((none, too_few)) for gate in report["gates"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fail-on", "score.numerc < -0.1"], "the sweep has no metric 'score.numerc'"),
        (["--candidate-sweep", "latest"], "there is no baseline to compare it with"),
        (
            ["--sweep", "latest", "--baseline-sweep", "latest"],
            "compares within a sweep, and the other options between two",
        ),
    ],
)
def test_compare_refuses_what_it_cannot_do(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    gateless = ["--set", "gate={}", "--limit", "2", "--no-tracking", "--quiet"]
    run(capsys, "run", "ab.yaml", *gateless, code=0)
    (told,) = run(capsys, "compare", *options, code=2)["errors"]
    assert told["message"] == message


def test_files_for_ci_are_written_with_their_folders_or_refused_at_once(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateless = ["--set", "gate={}", "--limit", "2", "--no-tracking", "--quiet"]
    (here / "file").write_text("", encoding="utf-8")
    for option in ("--junit", "--markdown"):
        (told,) = run(capsys, "run", "ab.yaml", *gateless, option, "file/x", code=2)["errors"]
        assert "no file can be written at file/x" in told["message"]
    assert not (here / "sweep_results").exists()
    run(capsys, "run", "ab.yaml", *gateless, code=0)
    written = ["--junit", "new/folder/x.xml", "--markdown", "new/x.md"]
    run(capsys, "compare", *written, code=0)
    assert ElementTree.parse(here / "new" / "folder" / "x.xml").getroot().get("failures") == "0"
    assert (here / "new" / "x.md").read_text(encoding="utf-8").startswith("# Sweep")


OWN_SCORER = "def judge(query, result):\n    return len(result['answer']) > {least}\n"


def test_answers_scored_by_other_code_are_told_apart(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--no-tracking", "--quiet", "--limit", "12"]
    (here / "own_scorer.py").write_text(OWN_SCORER.format(least=1), encoding="utf-8")
    scorers = 'scorers=[{name: own, kind: python, function: "own_scorer:judge"}]'
    sweep = ["run", "ab.yaml", "--set", scorers, "--set", "gate={}", *options]
    run(capsys, *sweep, code=0)
    first = run(capsys, "summary", "latest", code=0)["sweep_id"]
    (here / "own_scorer.py").write_text(OWN_SCORER.format(least=5), encoding="utf-8")
    monkey = sys.modules.pop("own_scorer")
    run(capsys, *sweep, "--fresh", code=0)
    assert sys.modules.pop("own_scorer") is not monkey
    report = run(capsys, "compare", "--baseline-sweep", first, code=0)
    assert [(one["what"], one["matters"]) for one in report["differences"]] == [
        ("scorer_code.own", True)
    ]
    run(capsys, "score", first, "--no-tracking", "--quiet", code=0)
    assert run(capsys, "compare", "--baseline-sweep", first, code=0)["differences"] == []


def test_validate_finds_a_rubric_that_is_none_and_takes_ones_own(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = 'scorers=[{name: judge, model: reader, rubric: "mine"}]'
    asked = ["validate", "ab.yaml", "--set", judge, "--set", "gate={}"]
    (told,) = run(capsys, *asked, code=2)["errors"]
    assert told["file"] == "ab.yaml"
    assert told["message"] == "there is no rubric 'mine'; known: v1, v2"
    (here / "rubric_mine.yaml").write_text(
        'version: "mine"\ndescription: d\nlowest: 0\nhighest: 1\nneeds: []\n'
        'system: s\nquestion: "{query} {answer}"\n',
        encoding="utf-8",
    )
    config = here / "ml_config.yaml"
    config.write_text(MODELS + "finrag_eval: {prompts_folder: .}\n", encoding="utf-8")
    assert run(capsys, *asked, code=0)["errors"] == []
