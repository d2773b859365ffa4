"""``plan --exact-tokens``: Bedrock counts what it can, and the rest is said to be estimated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from loopback.fixture import LoopbackBedrock

from finrag_eval.cli.main import main

MODELS = """
serving_models:
  default_serving_model: claude
  claude: {provider: bedrock, model_id: us.anthropic.claude-haiku-4-5-20251001-v1:0,
           max_tokens: 200, cost_per_1k_input: 0.001, cost_per_1k_output: 0.005}
  nova: {provider: bedrock, model_id: us.amazon.nova-lite-v1:0, max_tokens: 200,
         cost_per_1k_input: 0.0005, cost_per_1k_output: 0.0025}
"""
SWEEP = {
    "name": "counted",
    "experiment": "E",
    "models": ["claude", "nova"],
    "prompts": [{"system": "v1", "query": "v1"}, {"system": "v2", "query": "v1"}],
    "retrieval": {"include_rag": False},
    "scorers": ["refusal"],
}


@pytest.fixture
def here(
    tmp_path: Path, project: Path, bedrock: LoopbackBedrock, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ml_config.yaml").write_text(MODELS, encoding="utf-8")
    questions = project / "query_sets" / "core_kpi.jsonl"
    spec = {**SWEEP, "query_set": {"path": str(questions), "limit": 12}}
    (tmp_path / "counted.yaml").write_text(json.dumps(spec), encoding="utf-8")
    return tmp_path


def plan(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["plan", "counted.yaml", "--format", "json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_prompts_that_bedrock_counts_are_known_to_the_token(
    here: Path, bedrock: LoopbackBedrock, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = plan(capsys, "--exact-tokens")
    assert bedrock.stats()["requests"] == 0, "no model is called"
    counted = bedrock.stats()["counted"]
    assert counted == 2 * 12 + 1, "the first refusal of a model is its last"
    assert planned["not_counted"] == {
        "nova": "ValidationException: The provided model doesn't support counting tokens."
    }
    assert plan(capsys, "--exact-tokens")["cells"][0] == planned["cells"][0]
    assert bedrock.stats()["counted"] == counted + 1, "counts are kept; a refusal is asked again"

    run = ["run", "counted.yaml", "--no-tracking", "--quiet", "--format", "json"]
    assert main(run) == 0
    summary = json.loads(capsys.readouterr().out)
    for cell, ran in zip(planned["cells"], summary["cells"], strict=True):
        assert cell["cell"] == ran["cell"]
        tokens = cell["input_tokens"]
        if cell["model_key"] == "claude":
            assert tokens["low"] == tokens["expected"] == tokens["high"]
            assert tokens["expected"] == pytest.approx(ran["input_tokens"])
            assert cell["fitted_on"] == "prior, no recorded trials; prompts by CountTokens"
        else:
            assert tokens["low"] < tokens["expected"] < tokens["high"]
            assert cell["fitted_on"] == "prior, no recorded trials"


def test_a_plan_without_credentials_estimates_and_says_so(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert main(["plan", "counted.yaml", "--exact-tokens"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "claude: prompt tokens are estimated, not counted (NoCredentialsError:" in said
    assert "nova: prompt tokens are estimated, not counted (NoCredentialsError:" in said
