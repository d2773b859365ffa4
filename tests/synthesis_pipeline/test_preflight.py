"""What ``validate --online`` finds out, from a server that speaks Bedrock's control plane."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from loopback.aws_fixture import LoopbackAws

from finrag_eval.domain import ModelConfig, Prices
from finrag_eval.synthesis_pipeline.bedrock.preflight import Finding, find_out

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-pro-v1:0"
NEVER = "not checked, since only a billed call shows it: this identity's bedrock:InvokeModel"
PROFILES: list[dict[str, Any]] = [
    {"id": f"us.{HAIKU}", "models": [HAIKU], "regions": ["us-east-1", "us-west-2"]},
    {"id": f"us.{NOVA}", "models": [NOVA]},
    {"id": f"global.{HAIKU}", "models": [HAIKU], "regions": [""]},
    {"id": "sales-team", "models": [NOVA], "type": "APPLICATION"},
]
MODELS: dict[str, Any] = {
    HAIKU: {"inference": ["INFERENCE_PROFILE"]},
    NOVA: {},
}
DENIED = [403, "AccessDeniedException", "not authorized to perform this action"]


def a_model(model_id: str, **settings: Any) -> ModelConfig:
    return ModelConfig(
        key="one",
        provider="bedrock",
        model_id=model_id,
        display_name="One",
        max_tokens=100,
        prices=Prices(cost_per_1k_input=Decimal(1), cost_per_1k_output=Decimal(1)),
        settings=settings,
    )


def found(aws: LoopbackAws, model_id: str, **programme: Any) -> Finding:
    aws.programme(**{"models": MODELS, "profiles": PROFILES, **programme})
    (finding,) = find_out([a_model(model_id)])
    return finding


def test_a_model_that_can_be_used_is_ok_and_says_what_was_not_checked(aws: LoopbackAws) -> None:
    finding = found(aws, NOVA)
    assert str(finding) == (f"one ({NOVA}): ok: active; the account has access; {NEVER}")
    assert finding.as_json() == {
        "model_key": "one",
        "model_id": NOVA,
        "verdict": "ok",
        "message": f"active; the account has access; {NEVER}",
        "fix": "",
        "is_problem": False,
    }


def test_a_profile_is_followed_to_the_model_behind_it(aws: LoopbackAws) -> None:
    finding = found(aws, f"us.{HAIKU}")
    assert (finding.verdict, finding.is_problem) == ("ok", False)
    assert finding.message == (
        f"runs through a profile in us-east-1, us-west-2; active; the account has access; {NEVER}"
    )
    asked = [call["model_id"] for call in aws.ledger() if "model_id" in call]
    assert asked == [HAIKU, HAIKU]


def test_every_page_of_profiles_is_read(aws: LoopbackAws) -> None:
    finding = found(aws, f"global.{HAIKU}", page=1)
    assert finding.message.startswith("runs through a profile in every commercial region;")
    assert len(aws.ledger("ListInferenceProfiles")) == 3


def test_an_application_profile_is_found_by_its_arn(aws: LoopbackAws) -> None:
    arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/sales-team"
    finding = found(aws, arn)
    assert finding.verdict == "ok"
    assert [call["type"] for call in aws.ledger("ListInferenceProfiles")] == ["APPLICATION"]


@pytest.mark.parametrize(
    ("model_id", "programme", "verdict", "message", "fix"),
    [
        (
            HAIKU,
            {},
            "needs_profile",
            "it can be called through an inference profile alone",
            f"write its profile's id for model_id: us.{HAIKU} or global.{HAIKU}",
        ),
        (
            f"eu.{HAIKU}",
            {},
            "no_such_profile",
            f"us-east-1 has no inference profile eu.{HAIKU}",
            f"this region offers us.{HAIKU} and global.{HAIKU}; or set `region:` in the entry",
        ),
        (
            "us.amazon.nova-prp-v1:0",
            {},
            "no_such_profile",
            "us-east-1 has no inference profile us.amazon.nova-prp-v1:0",
            f"did you mean us.{NOVA}?",
        ),
        (
            "amazon.nova-prp-v1:0",
            {},
            "no_such_model",
            "us-east-1 has no model amazon.nova-prp-v1:0 (Could not resolve the foundation model)",
            f"did you mean {NOVA}?",
        ),
        (
            NOVA,
            {"models": {NOVA: {"lifecycle": {"endOfLifeTime": "2026-06-19T00:00:00Z"}}}},
            "end_of_life",
            "Bedrock retired it on 2026-06-19: every call is refused",
            "take a successor of it",
        ),
        (
            NOVA,
            {"models": {NOVA: {"outputs": ["EMBEDDING"]}}},
            "not_text",
            "it gives embedding, not text",
            "name a model that writes text",
        ),
        (
            NOVA,
            {"models": {NOVA: {"access": {"entitlement": "NOT_AVAILABLE"}}}},
            "no_access",
            "in us-east-1, access to it was not granted",
            "ask for it on Bedrock's page of models in us-east-1, or have it granted",
        ),
        (
            f"us.{NOVA}",
            {
                "models": {
                    NOVA: {
                        "access": {
                            "authorization": "NOT_AUTHORIZED",
                            "agreement": "PENDING",
                            "region": "NOT_AVAILABLE",
                        }
                    }
                }
            },
            "no_access",
            "in us-east-1, the account is not authorized to use it; the agreement with its "
            "provider is pending",
            "ask for it on Bedrock's page of models in us-east-1, or have it granted",
        ),
        (
            NOVA,
            {"models": {NOVA: {"access": {"region": "NOT_AVAILABLE"}}}},
            "wrong_region",
            "in us-east-1, it is not offered",
            "ask for it on Bedrock's page of models in us-east-1, or have it granted",
        ),
        (
            NOVA,
            {
                "faults": [
                    {
                        "operation": "GetFoundationModel",
                        "error": [403, "ExpiredTokenException", "the token is expired"],
                    }
                ]
            },
            "no_credentials",
            "AWS refused the credentials (ExpiredTokenException)",
            "log in anew, for example with `aws sso login`",
        ),
    ],
)
def test_what_keeps_a_model_from_being_used_is_a_problem_with_a_fix(
    aws: LoopbackAws,
    model_id: str,
    programme: dict[str, Any],
    verdict: str,
    message: str,
    fix: str,
) -> None:
    finding = found(aws, model_id, **programme)
    assert (finding.verdict, finding.message, finding.fix) == (verdict, message, fix)
    assert finding.is_problem
    assert str(finding) == f"one ({model_id}): {verdict.replace('_', ' ')}: {message}; {fix}"


def test_a_legacy_model_is_told_with_its_dates_and_is_no_problem_yet(aws: LoopbackAws) -> None:
    lifecycle = {
        "status": "LEGACY",
        "legacyTime": "2026-01-10T00:00:00Z",
        "publicExtendedAccessTime": "2026-08-01T00:00:00Z",
        "endOfLifeTime": "2099-02-03T00:00:00Z",
    }
    finding = found(aws, NOVA, models={NOVA: {"lifecycle": lifecycle}})
    assert (finding.verdict, finding.is_problem) == ("legacy", False)
    assert finding.message.startswith(
        "legacy since 2026-01-10, extended access, at a higher price, from 2026-08-01, "
        "end of life 2099-02-03; "
    )
    assert finding.fix == "plan for its successor"


@pytest.mark.parametrize(
    ("operation", "what", "still_told"),
    [
        ("ListInferenceProfiles", "its inference profile", "active; the account has access; "),
        ("GetFoundationModel", "its life cycle", "runs through a profile in us-east-1; "),
        ("GetFoundationModelAvailability", "access", "runs through a profile in us-east-1; active"),
    ],
)
def test_a_listing_that_may_not_be_read_is_unchecked_and_no_problem(
    aws: LoopbackAws, operation: str, what: str, still_told: str
) -> None:
    finding = found(aws, f"us.{NOVA}", faults=[{"operation": operation, "error": DENIED}])
    assert (finding.verdict, finding.is_problem) == ("unchecked", False)
    assert finding.message.startswith(still_told)
    assert finding.message.endswith(
        f"could not be checked: {what} (bedrock:{operation} is not allowed)"
    )


def test_a_fault_that_passes_is_tried_again(aws: LoopbackAws) -> None:
    busy = [503, "ServiceUnavailableException", "busy"]
    faults = [{"operation": "GetFoundationModel", "error": busy, "times": 2}]
    assert found(aws, NOVA, faults=faults).verdict == "ok"


def test_a_fault_that_stays_leaves_the_model_unchecked(aws: LoopbackAws) -> None:
    broken = [500, "InternalServerException", "broken"]
    finding = found(aws, NOVA, faults=[{"operation": "GetFoundationModel", "error": broken}])
    assert finding.verdict == "unchecked"
    assert finding.message.endswith(
        "could not be checked: its life cycle (InternalServerException: broken)"
    )


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("provisioned-model/abcdefghijkl", "nothing is listed for a provisioned-model"),
        ("prompt/ABCDEFGHIJ", "nothing is listed for a prompt"),
    ],
)
def test_an_arn_that_no_listing_has_is_unchecked(aws: LoopbackAws, kind: str, told: str) -> None:
    finding = found(aws, f"arn:aws:bedrock:us-east-1:111122223333:{kind}")
    assert (finding.verdict, finding.message) == ("unchecked", told)
    assert aws.ledger() == []


def test_without_credentials_nothing_is_asked(
    aws: LoopbackAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    finding = found(aws, NOVA)
    assert (finding.verdict, finding.is_problem) == ("no_credentials", True)
    assert finding.message == "no AWS credentials were found"
    assert aws.ledger() == []


def test_models_of_one_region_share_their_listings(aws: LoopbackAws) -> None:
    aws.programme(models=MODELS, profiles=PROFILES, page=100)
    one = a_model(NOVA)
    other = replace(a_model(f"us.{NOVA}"), key="other")
    rehearsal = replace(one, key="rehearsal", provider="rehearsal")
    findings = find_out([one, rehearsal, other])
    assert [finding.model_key for finding in findings] == ["one", "other"]
    assert sorted(call["operation"] for call in aws.ledger()) == [
        "GetFoundationModel",
        "GetFoundationModelAvailability",
        "ListInferenceProfiles",
    ]
