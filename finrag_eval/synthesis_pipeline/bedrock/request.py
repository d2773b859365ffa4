"""What is sent to Converse: only what the model's entry names, and the prompt.

Enters: a model request. Leaves: the keyword arguments of ``converse``. Knows no network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from finrag_eval.domain import ModelConfig, ModelRequest

_METADATA_MOST = 16
_METADATA_CHARS = 256
_NOT_METADATA = re.compile(r"[^a-zA-Z0-9\s:_@$#=/+,\-.]")


def converse_arguments(request: ModelRequest) -> dict[str, Any]:
    """The arguments of one ``converse`` call.

    Sampling keys are sent where the entry has them, and never otherwise: newer models refuse
    some. With ``cache_point: true`` the prompt's prefix, and the system prompt before it, is
    marked to be cached; the question comes last.
    """
    model = request.model
    settings = model.settings
    arguments: dict[str, Any] = {
        "modelId": model.model_id,
        "messages": [{"role": "user", "content": _content(request)}],
        "inferenceConfig": _inference(model),
    }
    if request.system_text.strip():
        arguments["system"] = [{"text": request.system_text}]
    if metadata := request_metadata(request.metadata):
        arguments["requestMetadata"] = metadata
    if tier := settings.get("service_tier"):
        arguments["serviceTier"] = {"type": tier}
    if guardrail := settings.get("guardrail"):
        arguments["guardrailConfig"] = {
            "guardrailIdentifier": str(guardrail["id"]),
            "guardrailVersion": str(guardrail["version"]),
        }
    if more := settings.get("additional_model_request_fields"):
        arguments["additionalModelRequestFields"] = dict(more)
    return arguments


def request_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as Bedrock's invocation log takes it: other characters become ``_``."""
    clean = {}
    for name, value in list(metadata.items())[:_METADATA_MOST]:
        if key := _NOT_METADATA.sub("_", name)[:_METADATA_CHARS]:
            clean[key] = _NOT_METADATA.sub("_", value)[:_METADATA_CHARS]
    return clean


def _inference(model: ModelConfig) -> dict[str, Any]:
    inference: dict[str, Any] = {"maxTokens": model.max_tokens}
    if model.temperature is not None:
        inference["temperature"] = model.temperature
    if model.top_p is not None:
        inference["topP"] = model.top_p
    if stops := model.settings.get("stop_sequences"):
        inference["stopSequences"] = [str(stop) for stop in stops]
    return inference


def _content(request: ModelRequest) -> list[dict[str, Any]]:
    """One text block, or prefix, cache point and question; Bedrock refuses blank blocks."""
    settings = request.model.settings
    is_split = request.prefix_text.strip() and request.question_text.strip()
    if not settings.get("cache_point") or not is_split:
        return [{"text": request.user_text}]
    point: dict[str, Any] = {"type": "default"}
    if ttl := settings.get("cache_ttl"):
        point["ttl"] = str(ttl)
    return [
        {"text": request.prefix_text},
        {"cachePoint": point},
        {"text": request.question_text},
    ]
