"""Every way of going wrong that the loopback server knows, by name.

HTTP errors are (status, AWS error code, message). Bodies are made from the right answer. What
happens on the connection itself is in ``server``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

_WAIT = "please wait before trying again."

HTTP_ERRORS: dict[str, tuple[int, str, str]] = {
    "throttle": (429, "ThrottlingException", f"Too many requests, {_WAIT}"),
    "throttle_tokens": (429, "ThrottlingException", f"Too many tokens, {_WAIT}"),
    "daily_tokens": (429, "ThrottlingException", f"Too many tokens per day, {_WAIT}"),
    "not_ready": (429, "ModelNotReadyException", "The model is not ready to serve yet."),
    "unavailable": (503, "ServiceUnavailableException", "The service is unavailable."),
    "internal": (500, "InternalServerException", "An internal server error occurred."),
    "model_timeout": (408, "ModelTimeoutException", "Processing took longer than the limit."),
    "model_error": (424, "ModelErrorException", "The model could not process the request."),
    "model_error_400": (424, "ModelErrorException", "The model refused the request."),
    "validation": (400, "ValidationException", "Input is too long for requested model."),
    "context_limit": (
        400,
        "ValidationException",
        "input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000, decrease "
        "input length or `max_tokens` and try again",
    ),
    "sampling": (
        400,
        "ValidationException",
        "`temperature` and `top_p` cannot both be specified for this model.",
    ),
    "profile_only": (
        400,
        "ValidationException",
        "Invocation of model ID x with on-demand throughput isn\u2019t supported. Retry your "
        "request with the ID or ARN of an inference profile that contains this model.",
    ),
    "access_denied": (
        403,
        "AccessDeniedException",
        "You don't have access to the model with the specified model ID.",
    ),
    "expired_token": (
        403,
        "ExpiredTokenException",
        "The security token included in the request is expired",
    ),
    "bad_token": (
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
    "bad_api_key": (
        403,
        "AccessDeniedException",
        "Authentication failed: Please make sure your API Key is valid.",
    ),
    "end_of_life": (
        404,
        "ResourceNotFoundException",
        "This model version has reached the end of its life.",
    ),
    "service_quota": (400, "ServiceQuotaExceededException", "You exceeded your service quota."),
}

_HTML = b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"
#: Answers of something in between that is not AWS: status, content type, body.
PAGES: dict[str, tuple[int, str, bytes]] = {
    "html_503": (503, "text/html", _HTML),
    "html_502": (502, "text/html", _HTML.replace(b"503", b"502")),
    "html_200": (200, "text/html", b"<html><body>Sign in to the network</body></html>"),
    "bare_429": (429, "text/plain", b""),
}

#: What the server does on the connection instead of answering, or while it does.
CONNECTION_FAULTS = frozenset(
    {"reset", "reset_in_body", "close", "truncated", "hang", "drip", "drip_headers"}
)


def error_body(name: str) -> dict[str, Any]:
    """The JSON of an AWS error."""
    body: dict[str, Any] = {"message": HTTP_ERRORS[name][2]}
    if name.startswith("model_error"):
        body |= {"originalStatusCode": 400 if name.endswith("400") else 500, "resourceName": "m"}
    return body


def _without(*names: str) -> Callable[[dict[str, Any]], bytes]:
    def change(answer: dict[str, Any]) -> bytes:
        return _json({key: value for key, value in answer.items() if key not in names})

    return change


def _content(*blocks: dict[str, Any], stop: str | None = None) -> Callable[[dict[str, Any]], bytes]:
    def change(answer: dict[str, Any]) -> bytes:
        changed = copy.deepcopy(answer)
        changed["output"]["message"]["content"] = list(blocks)
        if stop is not None:
            changed["stopReason"] = stop
        return _json(changed)

    return change


def _stopped(reason: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda answer: _json({**answer, "stopReason": reason})


def _blocks(answer: dict[str, Any]) -> bytes:
    """The same text over three blocks, after a thought, with a citation."""
    text = answer["output"]["message"]["content"][0]["text"]
    third = len(text) // 3
    thought = {"reasoningText": {"text": "Let me look that up.", "signature": "s"}}
    cited = {"content": [{"text": text[2 * third :]}], "citations": []}
    return _content(
        {"reasoningContent": thought},
        {"text": text[:third]},
        {"text": text[third : 2 * third]},
        {"citationsContent": cited},
    )(answer)


def _usage(**changes: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda answer: _json({**answer, "usage": {**answer["usage"], **changes}})


#: Bodies of status 200 that are not what they should be, made from the right answer; the first
#: of them are right, and unusual.
BODIES: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "many_blocks": _blocks,
    "max_tokens": _stopped("max_tokens"),
    "guardrail": _stopped("guardrail_intervened"),
    "filtered": _stopped("content_filtered"),
    "unknown_block": lambda answer: _content(
        {"hologram": {}}, *answer["output"]["message"]["content"]
    )(answer),
    "bad_json": lambda answer: b'{"output": {"message": ' + b"#" * 40,
    "bad_utf8": lambda answer: _json(answer).replace(b"Net", b"\xff\xfe"),
    "empty_body": lambda answer: b"",
    "null_text": _content({"text": None}),
    "empty_content": _content(),
    "blank_text": _content({"text": " \n"}),
    "thought_only": _content(
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s"}}},
        stop="max_tokens",
    ),
    "tool_only": _content({"toolUse": {"toolUseId": "1", "name": "f", "input": {}}}),
    "no_output": _without("output"),
    "no_usage": _without("usage"),
    "no_cache_details": lambda answer: _json(
        {**answer, "usage": {**answer["usage"], "cacheDetails": None}}
    ),
    "no_stop_reason": _without("stopReason"),
    "half_usage": _usage(outputTokens=None),
    "negative_usage": _usage(inputTokens=-5),
    "list_body": lambda answer: b"[1, 2, 3]",
    "empty_object": lambda answer: b"{}",
}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
