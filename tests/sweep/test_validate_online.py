"""``validate --online`` by the real program, against a server of Bedrock's control plane."""

from __future__ import annotations

import pytest
from loopback.aws_fixture import LoopbackAws
from sweep_place import Place

NOVA = "amazon.nova-micro-v1:0"
LLAMA = "us.meta.llama3-1-70b-instruct-v1:0"


@pytest.fixture
def online(place: Place, aws: LoopbackAws) -> Place:
    """A place whose sweep asks two models of a server that has the first one alone."""
    aws.programme(models={NOVA: {}}, profiles=[{"id": f"us.{NOVA}", "models": [NOVA]}])
    place.env |= aws.env
    place.sweep(models=["production_budget", "open_weights", "rehearsal_kpi"])
    return place


def test_each_model_has_its_line_and_one_that_cannot_be_used_ends_with_2(online: Place) -> None:
    ran = online.run("validate", "small.yaml", "--online")
    lines = [line for line in ran.err.splitlines() if not line.startswith("warning: ")]
    assert ran.code == 2
    assert lines[0].startswith(f"production_budget ({NOVA}): ok: active; the account has access")
    assert lines[1].startswith(f"open_weights ({LLAMA}): no such profile: us-east-1 has no")
    assert len(lines) == 2, "a rehearsal asks nobody"
    assert ran.out == "small.yaml: 1 of 2 models cannot be used\n"


def test_as_json_what_cannot_be_used_is_an_error_with_its_place(online: Place) -> None:
    ran = online.run("validate", "small.yaml", "--online", "--format", "json")
    assert ran.code == 2
    assert [finding["verdict"] for finding in ran.json["online"]] == ["ok", "no_such_profile"]
    (error,) = ran.json["errors"]
    assert (error["file"], error["key"]) == ("ml_config.yaml", "serving_models.open_weights")
    assert error["line"] > 1
    assert error["message"] == f"us-east-1 has no inference profile {LLAMA}"
    assert error["fix"]


def test_where_all_can_be_used_it_is_said(online: Place, aws: LoopbackAws) -> None:
    online.sweep(models=["production_budget"])
    ran = online.run("validate", "small.yaml", "--online")
    assert (ran.code, ran.out.split(". ")[0]) == (0, "small.yaml: ok")
    assert {call["operation"] for call in aws.ledger()} == {
        "GetFoundationModel",
        "GetFoundationModelAvailability",
        "ListInferenceProfiles",
    }
