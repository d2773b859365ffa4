"""What is missing to call a model, told before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from finrag_eval.domain import Location, ModelConfig, Prices
from finrag_eval.synthesis_pipeline.bedrock import credentials_problem

MODEL = ModelConfig(
    key="haiku",
    provider="bedrock",
    model_id="us.anthropic.claude-haiku-4-5-20251001-v1:0",
    display_name="Haiku",
    max_tokens=200,
    prices=Prices(cost_per_1k_input=Decimal(1), cost_per_1k_output=Decimal(1)),
    where=Location(file="ml_config.yaml", line=7),
)


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No AWS set-up of any kind."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_BEARER_TOKEN_BEDROCK",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def test_nothing_set_says_what_to_set() -> None:
    problem = credentials_problem(MODEL, region="us-east-1")
    assert problem is not None
    assert (problem.file, problem.line, problem.key) == (
        "ml_config.yaml",
        7,
        "serving_models.haiku",
    )
    assert problem.message == "no AWS credentials were found"
    for way in ("AWS_PROFILE", "aws sso login", "AWS_BEARER_TOKEN_BEDROCK", "rehearsal"):
        assert way in problem.fix


def test_no_region_is_a_problem_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = credentials_problem(MODEL)
    assert problem is not None
    assert problem.message == "no AWS region is set, and no AWS credentials were found"
    assert "AWS_REGION" in problem.fix
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    problem = credentials_problem(MODEL)
    assert problem is not None
    assert problem.message == "no AWS region is set"


def test_a_profile_that_is_not_there_is_named() -> None:
    problem = credentials_problem(
        replace(MODEL, settings={"profile": "nightly", "region": "us-east-1"})
    )
    assert problem is not None
    assert "nightly" in problem.message


@pytest.mark.parametrize("way", ["keys", "bearer", "profile"])
def test_each_way_of_giving_credentials_is_found(
    way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = {"region": "us-east-1"}
    if way == "keys":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    elif way == "bearer":
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "x")
    else:
        settings["profile"] = "nightly"
        (tmp_path / "credentials").write_text(
            "[nightly]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = x\n"
        )
    assert credentials_problem(replace(MODEL, settings=settings)) is None


def test_region_and_profile_of_the_config_are_the_last_resort(
    tmp_path: Path,
) -> None:
    (tmp_path / "config").write_text(
        "[profile nightly]\nregion = eu-west-1\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n"
        "aws_secret_access_key = x\n"
    )
    assert credentials_problem(MODEL, profile="nightly") is None
