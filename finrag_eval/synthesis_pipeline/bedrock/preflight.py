"""Can each Bedrock model be used? Asked of Bedrock itself, before a sweep spends anything.

Enters: models. Leaves: one ``Finding`` a model: whether it exists, needs an inference profile, is
legacy or past its end, and whether the account has been granted it. Sends control-plane calls
alone (GetFoundationModel, ListInferenceProfiles, GetFoundationModelAvailability): none is billed,
and what they cannot tell is said to be unchecked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Literal

from finrag_eval.domain import Location, ModelConfig
from finrag_eval.errors import Problem
from finrag_eval.synthesis_pipeline.bedrock.accounts import AwsAccount
from finrag_eval.synthesis_pipeline.bedrock.credentials import credentials_problem
from finrag_eval.synthesis_pipeline.bedrock.listings import (
    GEOGRAPHY,
    Access,
    FoundationModel,
    Listings,
    Profile,
    Untold,
)

Verdict = Literal[
    "ok",
    "legacy",
    "unchecked",
    "end_of_life",
    "needs_profile",
    "no_such_model",
    "no_such_profile",
    "no_access",
    "wrong_region",
    "not_text",
    "no_credentials",
]
_NO_PROBLEMS: frozenset[Verdict] = frozenset({"ok", "legacy", "unchecked"})

_NEVER_CHECKED = (
    "not checked, since only a billed call shows it: this identity's bedrock:InvokeModel"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found out about one model; ``fix`` is empty where nothing is to be done."""

    model_key: str
    model_id: str
    verdict: Verdict
    message: str
    fix: str = ""
    is_problem: bool = False

    def __str__(self) -> str:
        word = self.verdict.replace("_", " ")
        text = f"{self.model_key} ({self.model_id}): {word}: {self.message}"
        return f"{text}; {self.fix}" if self.fix else text

    def as_json(self) -> dict[str, Any]:
        """The finding as one JSON object."""
        return asdict(self)

    def as_problem(self, where: Location | None) -> Problem:
        """The finding as a problem of the model's entry, which stands at ``where``."""
        return Problem(
            file="ml_config.yaml" if where is None else where.file,
            line=None if where is None else where.line,
            key=f"serving_models.{self.model_key}",
            message=self.message,
            fix=self.fix,
        )


def find_out(models: Iterable[ModelConfig]) -> list[Finding]:
    """One finding for each Bedrock model, in their order; other providers' are passed over."""
    listings: dict[tuple[str | None, str | None], Listings] = {}
    findings = []
    for model in models:
        if model.provider != "bedrock":
            continue
        place = (model.settings.get("region"), model.settings.get("profile"))
        missing = credentials_problem(model)
        if missing is not None:
            findings.append(_finding(model, "no_credentials", missing.message, missing.fix))
            continue
        if place not in listings:
            listings[place] = Listings(AwsAccount(*place))
        findings.append(_Check(model, listings[place]).finding())
    return findings


@dataclass
class _Check:
    """The check of one model: the first fault found is the finding, else all that was told."""

    model: ModelConfig
    listings: Listings
    told: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def finding(self) -> Finding:
        name = self.model.model_id
        if name.startswith("arn:"):
            if ":foundation-model/" in name:
                return self._of_model(name.rpartition("/")[2])
            if "inference-profile/" in name:
                return self._of_profile(name)
            kind = name.split(":", 5)[-1].partition("/")[0]
            return self._end("unchecked", f"nothing is listed for a {kind}")
        profiles = self.listings.profiles
        if isinstance(profiles, Untold):
            return self._of_unlisted(name, profiles)
        if any(profile.profile_id == name for profile in profiles) or GEOGRAPHY.match(name):
            return self._of_profile(name)
        return self._of_model(name)

    def _of_unlisted(self, name: str, profiles: Untold) -> Finding:
        if profiles.kind == "credentials":
            return self._end("no_credentials", profiles.reason, _LOG_IN)
        self._could_not("its inference profile", "bedrock:ListInferenceProfiles", profiles)
        bare = GEOGRAPHY.sub("", name)
        return self._of_model(bare, is_behind_profile=bare != name)

    def _of_profile(self, name: str) -> Finding:
        is_own = ":application-inference-profile/" in name
        profiles = self.listings.own_profiles if is_own else self.listings.profiles
        if isinstance(profiles, Untold):
            if profiles.kind == "credentials":
                return self._end("no_credentials", profiles.reason, _LOG_IN)
            self._could_not("its inference profile", "bedrock:ListInferenceProfiles", profiles)
            return self._end("unchecked", "the model behind the profile is not known")
        wanted = name.rpartition("/")[2]
        profile = next((one for one in profiles if wanted == one.profile_id), None)
        if profile is None:
            message = f"{self.listings.region} has no inference profile {wanted}"
            return self._end("no_such_profile", message, self._profile_fix(wanted, profiles))
        regions = ", ".join(profile.regions) or "every commercial region"
        self.told.append(f"runs through a profile in {regions}")
        if not profile.model_ids:
            return self._end("unchecked", "the profile does not say which model is behind it")
        return self._of_model(profile.model_ids[0], is_behind_profile=True)

    def _of_model(self, bare: str, *, is_behind_profile: bool = False) -> Finding:
        model = self.listings.model(bare)
        if isinstance(model, Untold):
            if model.kind == "credentials":
                return self._end("no_credentials", model.reason, _LOG_IN)
            if model.kind == "absent" and not is_behind_profile:
                message = f"{self.listings.region} has no model {bare} ({model.reason})"
                return self._end("no_such_model", message, self._model_fix(bare))
            if model.kind == "absent":
                self.unchecked.append(f"its life cycle ({self.listings.region} does not list it)")
            else:
                self._could_not("its life cycle", "bedrock:GetFoundationModel", model)
            return self._of_access(bare, is_behind_profile, is_legacy=False)
        fault = self._fault_of(model, is_behind_profile)
        if fault is not None:
            return fault
        self.told.append(_life(model))
        return self._of_access(bare, is_behind_profile, is_legacy=model.is_legacy)

    def _fault_of(self, model: FoundationModel, is_behind_profile: bool) -> Finding | None:
        if model.ends_on is not None and model.ends_on <= datetime.now(UTC):
            message = f"Bedrock retired it on {_day(model.ends_on)}: every call is refused"
            return self._end("end_of_life", message, "take a successor of it")
        if model.outputs and "TEXT" not in model.outputs:
            message = f"it gives {', '.join(model.outputs).lower()}, not text"
            return self._end("not_text", message, "name a model that writes text")
        if not is_behind_profile and "ON_DEMAND" not in model.inference_types:
            message = "it can be called through an inference profile alone"
            return self._end("needs_profile", message, self._prefix_fix(model.model_id))
        return None

    def _of_access(self, bare: str, is_behind_profile: bool, *, is_legacy: bool) -> Finding:
        access = self.listings.access(bare)
        if isinstance(access, Untold):
            self._could_not("access", "bedrock:GetFoundationModelAvailability", access)
        else:
            refused = list(_refusals(access, is_behind_profile))
            if refused:
                verdict: Verdict = "no_access"
                if access.region == "NOT_AVAILABLE" and not is_behind_profile:
                    verdict = "wrong_region"
                where = self.listings.region
                fix = f"ask for it on Bedrock's page of models in {where}, or have it granted"
                return self._end(verdict, f"in {where}, {'; '.join(refused)}", fix)
            self.told.append("the account has access")
        if is_legacy:
            return self._end("legacy", fix="plan for its successor")
        is_whole = not isinstance(access, Untold) and not self.unchecked
        return self._end("ok" if is_whole else "unchecked")

    def _could_not(self, what: str, permission: str, untold: Untold) -> None:
        reason = f"{permission} is not allowed" if untold.kind == "denied" else untold.reason
        self.unchecked.append(f"{what} ({reason})")

    def _end(self, verdict: Verdict, message: str = "", fix: str = "") -> Finding:
        told = [message] if verdict not in _NO_PROBLEMS else [*self.told, message]
        if self.unchecked:
            told.append(f"could not be checked: {', '.join(self.unchecked)}")
        if verdict in ("ok", "legacy"):
            told.append(_NEVER_CHECKED)
        return _finding(self.model, verdict, "; ".join(part for part in told if part), fix)

    def _prefix_fix(self, bare: str) -> str:
        profiles = self.listings.profiles
        known = [] if isinstance(profiles, Untold) else list(_profiles_of(bare, profiles))
        if not known:
            return f"write its profile's id for model_id, as in us.{bare} or global.{bare}"
        return f"write its profile's id for model_id: {' or '.join(known)}"

    def _profile_fix(self, wanted: str, profiles: tuple[Profile, ...]) -> str:
        same = list(_profiles_of(GEOGRAPHY.sub("", wanted), profiles))
        if same:
            return f"this region offers {' and '.join(same)}; or set `region:` in the entry"
        return _near(wanted, [profile.profile_id for profile in profiles])

    def _model_fix(self, bare: str) -> str:
        profiles = self.listings.profiles
        known = (
            []
            if isinstance(profiles, Untold)
            else [model_id for profile in profiles for model_id in profile.model_ids]
        )
        return _near(bare, known)


_LOG_IN = "log in anew, for example with `aws sso login`"


def _finding(model: ModelConfig, verdict: Verdict, message: str, fix: str) -> Finding:
    return Finding(
        model_key=model.key,
        model_id=model.model_id,
        verdict=verdict,
        message=message,
        fix=fix,
        is_problem=verdict not in _NO_PROBLEMS,
    )


def _refusals(access: Access, is_behind_profile: bool) -> Iterator[str]:
    """What keeps the account from the model. A profile may run where its own region does not."""
    if access.authorization == "NOT_AUTHORIZED":
        yield "the account is not authorized to use it"
    if access.entitlement == "NOT_AVAILABLE":
        yield "access to it was not granted"
    if access.agreement in ("NOT_AVAILABLE", "PENDING", "ERROR"):
        state = {"PENDING": "is pending", "ERROR": "failed"}.get(access.agreement, "is missing")
        reason = f" ({access.agreement_error})" if access.agreement_error else ""
        yield f"the agreement with its provider {state}{reason}"
    if access.region == "NOT_AVAILABLE" and not is_behind_profile:
        yield "it is not offered"


def _life(model: FoundationModel) -> str:
    parts = ["legacy" if model.is_legacy else "active"]
    if model.is_legacy and model.legacy_on is not None:
        parts = [f"legacy since {_day(model.legacy_on)}"]
    if model.is_legacy and model.extended_access_on is not None:
        parts.append(f"extended access, at a higher price, from {_day(model.extended_access_on)}")
    if model.ends_on is not None:
        parts.append(f"end of life {_day(model.ends_on)}")
    return ", ".join(parts)


def _profiles_of(bare: str, profiles: Iterable[Profile]) -> Iterator[str]:
    return (profile.profile_id for profile in profiles if bare in profile.model_ids)


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(dict.fromkeys(known)), n=1)
    return f"did you mean {near[0]}?" if near else "check the id, and the region of its entry"


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d")
