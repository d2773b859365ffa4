"""A plan learns from the sweeps before it, and says from what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finrag_eval.cli.main import main

SWEEP = {
    "name": "taught",
    "experiment": "E",
    "models": ["rehearsal_kpi", "rehearsal_narrative"],
    "prompts": [{"system": "v1", "query": "v1"}],
    "scorers": ["citation"],
}


@pytest.fixture
def here(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    config = (project / "ml_config.yaml").read_text(encoding="utf-8")
    (tmp_path / "ml_config.yaml").write_text(config, encoding="utf-8")
    questions = project / "query_sets" / "core_kpi.jsonl"
    spec = {**SWEEP, "query_set": {"path": str(questions), "limit": 30}}
    (tmp_path / "taught.yaml").write_text(json.dumps(spec), encoding="utf-8")
    return tmp_path


def plan(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["plan", "taught.yaml", "--format", "json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_first_plan_rests_on_a_prior_and_the_next_on_what_was_seen(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = plan(capsys)
    assert {cell["fitted_on"] for cell in before["cells"]} == {"prior, no recorded trials"}
    run = ["run", "taught.yaml", "--no-tracking", "--quiet", "--format", "json"]
    assert main(run) == 0
    summary = json.loads(capsys.readouterr().out)
    after = plan(capsys)
    assert {cell["fitted_on"] for cell in after["cells"]} == {"30 recorded trials of this cell"}
    true = summary["totals"]["cost_usd"]
    assert after["usd"]["low"] <= true <= after["usd"]["high"]
    assert after["usd"]["expected"] == pytest.approx(true, rel=0.05)
    assert after["calibration"] == {
        "sweeps": 1,
        "inside_range": 1,
        "last": {
            "sweep_id": summary["sweep_id"],
            "expected_usd": pytest.approx(before["usd"]["expected"], rel=0.05),
            "true_usd": pytest.approx(true),
        },
    }


def test_a_plan_for_more_scales_with_its_trials(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = plan(capsys)
    thrice = plan(capsys, "--repeats", "3")
    assert thrice["matrix"]["trials"] == 3 * once["matrix"]["trials"]
    assert thrice["usd"]["expected"] == pytest.approx(3 * once["usd"]["expected"])
    halved = plan(capsys, "--price-change", "rehearsal_kpi=0.5x", "--models", "rehearsal_kpi")
    alone = plan(capsys, "--models", "rehearsal_kpi")
    assert halved["usd"]["expected"] == pytest.approx(alone["usd"]["expected"] / 2)
    assert halved["usd"]["worst"] == pytest.approx(alone["usd"]["worst"] / 2)


def test_a_plan_over_the_limit_given_exits_with_3(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    high = plan(capsys)["usd"]["high"]
    assert main(["plan", "taught.yaml", "--fail-over", str(high * 1.01)]) == 0
    assert main(["plan", "taught.yaml", "--fail-over", str(high * 0.99)]) == 3


def test_what_a_stopped_sweep_recorded_is_not_planned_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cap = f"{plan(capsys)['usd']['worst'] / 20:.6f}"
    run = ["run", "taught.yaml", "--no-tracking", "--quiet", "--format", "json"]
    assert main([*run, "--max-usd", cap]) == 3
    done = json.loads(capsys.readouterr().out)["totals"]["trials_succeeded"]
    matrix = plan(capsys)["matrix"]
    assert 0 < done < matrix["trials"]
    assert (matrix["recorded"], matrix["left"]) == (done, matrix["trials"] - done)
