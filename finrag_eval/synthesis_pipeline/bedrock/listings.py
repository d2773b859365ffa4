"""What Bedrock's control plane says of models and inference profiles; no call here is billed.

Enters: model ids. Leaves: what Bedrock told, or why it did not (``Untold``): a listing that may
not be read says nothing about the model. Each call is made once an account.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, TypeVar

from finrag_eval.errors import ModelFault
from finrag_eval.synthesis_pipeline.bedrock.accounts import AwsAccount
from finrag_eval.synthesis_pipeline.bedrock.faults import fault_of

T = TypeVar("T")

#: What the id of a system-defined profile has before the model's own.
GEOGRAPHY = re.compile(r"^(?:us-gov|global|us|eu|apac|au|jp|ca)\.(?=[a-z0-9-]+\.)")
#: Codes that say that there is no such thing, and not that something went wrong.
_NO_SUCH_THING = frozenset({"ResourceNotFoundException", "ValidationException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """Bedrock did not say; ``kind`` is why."""

    kind: Literal["absent", "denied", "credentials", "failed"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundationModel:
    """A model as GetFoundationModel has it; a date of None was not given."""

    model_id: str
    is_legacy: bool
    inference_types: tuple[str, ...]
    outputs: tuple[str, ...]
    legacy_on: datetime | None
    extended_access_on: datetime | None
    ends_on: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """An inference profile: its id and ARN, and the ids and regions of what is behind it."""

    profile_id: str
    arn: str
    status: str
    model_ids: tuple[str, ...]
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What GetFoundationModelAvailability says; every field is Bedrock's own word."""

    authorization: str
    entitlement: str
    agreement: str
    region: str
    agreement_error: str | None = None


@dataclass
class Listings:
    """The listings of one account and region."""

    account: AwsAccount
    _models: dict[str, FoundationModel | Untold] = field(default_factory=dict)
    _access: dict[str, Access | Untold] = field(default_factory=dict)

    @property
    def region(self) -> str:
        """The region that is asked."""
        return str(self.account.client("bedrock").meta.region_name)

    @cached_property
    def profiles(self) -> tuple[Profile, ...] | Untold:
        """The system-defined inference profiles of the region."""
        return self._told(lambda: self._listed("SYSTEM_DEFINED"))

    @cached_property
    def own_profiles(self) -> tuple[Profile, ...] | Untold:
        """The account's application inference profiles in the region."""
        return self._told(lambda: self._listed("APPLICATION"))

    def model(self, model_id: str) -> FoundationModel | Untold:
        """The foundation model of that id (no profile's)."""
        if model_id not in self._models:
            self._models[model_id] = self._told(lambda: self._model(model_id))
        return self._models[model_id]

    def access(self, model_id: str) -> Access | Untold:
        """Whether the account has been granted the foundation model of that id."""
        if model_id not in self._access:
            self._access[model_id] = self._told(lambda: self._availability(model_id))
        return self._access[model_id]

    def _listed(self, kind: str) -> tuple[Profile, ...]:
        pages = self.account.client("bedrock").get_paginator("list_inference_profiles")
        return tuple(
            _profile(summary)
            for page in pages.paginate(typeEquals=kind)
            for summary in page.get("inferenceProfileSummaries", ())
        )

    def _model(self, model_id: str) -> FoundationModel:
        answer = self.account.client("bedrock").get_foundation_model(modelIdentifier=model_id)
        told: Mapping[str, Any] = answer["modelDetails"]
        life: Mapping[str, Any] = told.get("modelLifecycle") or {}
        return FoundationModel(
            model_id=told["modelId"],
            is_legacy=life.get("status") == "LEGACY",
            inference_types=tuple(told.get("inferenceTypesSupported") or ()),
            outputs=tuple(told.get("outputModalities") or ()),
            legacy_on=life.get("legacyTime"),
            extended_access_on=life.get("publicExtendedAccessTime"),
            ends_on=life.get("endOfLifeTime"),
        )

    def _availability(self, model_id: str) -> Access:
        client = self.account.client("bedrock")
        told = client.get_foundation_model_availability(modelId=model_id)
        agreement = told.get("agreementAvailability") or {}
        return Access(
            authorization=told.get("authorizationStatus", ""),
            entitlement=told.get("entitlementAvailability", ""),
            agreement=agreement.get("status", ""),
            region=told.get("regionAvailability", ""),
            agreement_error=agreement.get("errorMessage"),
        )

    def _told(self, ask: Callable[[], T]) -> T | Untold:
        try:
            return ask()
        except Exception as error:
            return _untold(fault_of(error))


def _profile(summary: Mapping[str, Any]) -> Profile:
    arns = [model["modelArn"] for model in summary.get("models", ()) if "modelArn" in model]
    return Profile(
        profile_id=summary["inferenceProfileId"],
        arn=summary["inferenceProfileArn"],
        status=summary.get("status", ""),
        model_ids=tuple(dict.fromkeys(arn.rpartition("/")[2] for arn in arns)),
        regions=tuple(dict.fromkeys(region for arn in arns if (region := arn.split(":")[3]))),
    )


def _untold(fault: ModelFault) -> Untold:
    if fault.error_type in _NO_SUCH_THING:
        return Untold(kind="absent", reason=fault.message)
    if fault.retry == "credentials":
        return Untold(kind="credentials", reason=fault.message)
    if fault.error_type == "AccessDeniedException":
        return Untold(kind="denied", reason=fault.message)
    return Untold(kind="failed", reason=f"{fault.error_type}: {fault.message}")
