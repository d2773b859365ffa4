"""Bedrock's listings of models and profiles, from a programme.

Keys of the programme:
  models     {bare id: {lifecycle, inference, outputs, access: {...}}}: what there is; all optional
  profiles   [{id, models: [bare ids], regions, type, arn}]: inference profiles
  page       how many profiles stand on one page (2)
"""

from __future__ import annotations

from typing import Any

from loopback.refusals import Refused, invalid

_ACCOUNT = "111122223333"


class ControlPlane:
    """Answers of the service ``bedrock`` that are no jobs."""

    def __init__(self, programme: dict[str, Any]) -> None:
        self.programme = programme

    def _model(self, model_id: str) -> dict[str, Any]:
        models: dict[str, dict[str, Any]] = self.programme.get("models", {})
        if model_id not in models:
            # AWS knows no profile ids here: those are refused like any other unknown id.
            raise Refused(
                404, "ResourceNotFoundException", "Could not resolve the foundation model"
            )
        return models[model_id]

    def GetFoundationModel(self, asked: dict[str, Any], note: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        model_id = note["model_id"] = asked["model_id"]
        told = self._model(model_id)
        lifecycle = {"status": "ACTIVE", **told.get("lifecycle", {})}
        return {
            "modelDetails": {
                "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model_id}",
                "modelId": model_id,
                "modelName": model_id,
                "outputModalities": told.get("outputs", ["TEXT"]),
                "inferenceTypesSupported": told.get("inference", ["ON_DEMAND"]),
                "modelLifecycle": lifecycle,
            }
        }

    def GetFoundationModelAvailability(  # noqa: N802
        self, asked: dict[str, Any], note: dict[str, Any]
    ) -> dict[str, Any]:
        model_id = note["model_id"] = asked["model_id"]
        access = self._model(model_id).get("access", {})
        return {
            "modelId": model_id,
            "agreementAvailability": {"status": access.get("agreement", "AVAILABLE")},
            "authorizationStatus": access.get("authorization", "AUTHORIZED"),
            "entitlementAvailability": access.get("entitlement", "AVAILABLE"),
            "regionAvailability": access.get("region", "AVAILABLE"),
        }

    def ListInferenceProfiles(self, asked: dict[str, Any], note: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        kind = note["type"] = asked.get("type", "SYSTEM_DEFINED")
        profiles = [
            profile
            for profile in self.programme.get("profiles", ())
            if profile.get("type", "SYSTEM_DEFINED") == kind
        ]
        try:
            first = int(asked.get("nextToken", 0))
        except ValueError:
            raise invalid("no such page") from None
        last = first + self.programme.get("page", 2)
        answer: dict[str, Any] = {
            "inferenceProfileSummaries": [_summary(one) for one in profiles[first:last]]
        }
        if last < len(profiles):
            answer["nextToken"] = str(last)
        return answer


def _summary(profile: dict[str, Any]) -> dict[str, Any]:
    kind = profile.get("type", "SYSTEM_DEFINED")
    path = "inference-profile" if kind == "SYSTEM_DEFINED" else "application-inference-profile"
    arn = f"arn:aws:bedrock:us-east-1:{_ACCOUNT}:{path}/{profile['id']}"
    return {
        "inferenceProfileName": profile["id"],
        "inferenceProfileId": profile["id"],
        "inferenceProfileArn": profile.get("arn", arn),
        "status": "ACTIVE",
        "type": kind,
        "models": [
            {"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model_id}"}
            for model_id in profile["models"]
            for region in profile.get("regions", ["us-east-1"])
        ],
    }
