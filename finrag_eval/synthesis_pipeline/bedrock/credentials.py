"""Whether AWS credentials and a region are there at all, before anything is sent.

Enters: a model's entry. Leaves: a problem with what to set, or None. Reads AWS's own places
(variables, profiles, SSO caches, container and instance roles); sends nothing to Bedrock.
"""

from __future__ import annotations

import os

from finrag_eval.domain import ModelConfig
from finrag_eval.errors import Problem

_WAYS = (
    "set AWS_PROFILE (or `profile:` in the model's entry) to a profile that is logged in "
    "(`aws sso login`), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
    "AWS_BEARER_TOKEN_BEDROCK; without an account, use models whose provider is rehearsal, as "
    "sweeps/quickstart.yaml does"
)
_REGION = "set AWS_REGION, or `region:` in its entry"


def credentials_problem(
    model: ModelConfig, *, region: str | None = None, profile: str | None = None
) -> Problem | None:
    """What is missing to call this model; None where all is there (though it may be expired)."""
    import botocore.session
    from botocore.exceptions import BotoCoreError

    chosen = model.settings.get("profile") or profile
    try:
        session = botocore.session.Session(profile=chosen)
        has_region = model.settings.get("region") or region or session.get_config_variable("region")
        has_credentials = (
            os.environ.get("AWS_BEARER_TOKEN_BEDROCK") or session.get_credentials() is not None
        )
    except BotoCoreError as error:
        return _problem(model, f"AWS credentials cannot be read ({error})", _WAYS)
    if has_credentials:
        return None if has_region else _problem(model, "no AWS region is set", _REGION)
    if has_region:
        return _problem(model, "no AWS credentials were found", _WAYS)
    message = "no AWS region is set, and no AWS credentials were found"
    return _problem(model, message, f"{_REGION}; {_WAYS}")


def _problem(model: ModelConfig, message: str, fix: str) -> Problem:
    where = model.where
    return Problem(
        file="ml_config.yaml" if where is None else where.file,
        line=None if where is None else where.line,
        key=f"serving_models.{model.key}",
        message=message,
        fix=fix,
    )
