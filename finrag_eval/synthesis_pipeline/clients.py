"""Who answers for a model: the client of its provider.

Enters: a checked model entry. Leaves: a client with ``converse``. Each
client is loaded only when a model of its provider is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Protocol

from finrag_eval.domain import Location, ModelConfig, ModelReply, ModelRequest
from finrag_eval.errors import InvalidInput, Problem

PROVIDERS = ("bedrock", "rehearsal")


class Client(Protocol):
    """Answers one request; raises ModelFault."""

    def converse(
        self, request: ModelRequest, *, timeout_s: float, deadline: float | None = None
    ) -> ModelReply: ...


class Clients:
    """One client a provider, made when first needed; threads share it.

    ``workers`` is how many calls there may be at once, ``aws`` the region and profile of models
    without their own.
    """

    def __init__(
        self,
        *,
        workers: int = 8,
        attempt_timeout_s: float = 300.0,
        aws: Mapping[str, str] | None = None,
    ) -> None:
        self._workers, self._attempt_timeout_s = workers, attempt_timeout_s
        self._aws = dict(aws or {})

    def client_for(self, model: ModelConfig) -> Client:
        """The model's client. Raises InvalidInput for a provider or a variant that is not known."""
        match model.provider:
            case "bedrock":
                return self._bedrock
            case "rehearsal":
                return _rehearsal(model)
            case unknown:
                raise InvalidInput([_unknown(model, "provider", unknown, PROVIDERS)])

    @cached_property
    def _bedrock(self) -> Client:
        from finrag_eval.synthesis_pipeline.bedrock.client import BedrockClient

        return BedrockClient(
            workers=self._workers,
            attempt_timeout_s=self._attempt_timeout_s,
            region=self._aws.get("region"),
            profile=self._aws.get("profile"),
        )


def _rehearsal(model: ModelConfig) -> Client:
    from finrag_eval.synthesis_pipeline.rehearsal_client import VARIANTS, RehearsalClient

    variant = model.settings.get("variant", VARIANTS[0])
    if variant not in VARIANTS:
        raise InvalidInput([_unknown(model, "variant", str(variant), VARIANTS)])
    return RehearsalClient(variant)


def client_for(model: ModelConfig) -> Client:
    """A client for one model, with the usual settings."""
    return Clients().client_for(model)


def _unknown(model: ModelConfig, key: str, value: str, known: tuple[str, ...]) -> Problem:
    where = model.where or Location(file="ml_config.yaml")
    near = get_close_matches(value, known, n=1)
    return Problem(
        file=where.file,
        line=where.line,
        key=f"serving_models.{model.key}.{key}",
        message=f"no {key} {value!r:.60}",
        fix=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}",
    )
