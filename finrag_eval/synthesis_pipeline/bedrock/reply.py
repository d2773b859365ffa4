"""Answers checked, not assumed: a 200 may lack anything.

Enters: what boto3 made of a response, and its raw body. Leaves: a ``ModelReply``, or a
``ModelFault`` with an error type of its own for each way of being broken. boto3 passes truncated,
malformed and empty bodies on as a dict without output (measured on 1.44.5).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finrag_eval.domain import ModelReply, Usage
from finrag_eval.errors import ModelFault

#: Answers that would be the same again: trying once more only costs more.
_FINAL_STOPS = frozenset(
    {"guardrail_intervened", "content_filtered", "max_tokens", "model_context_window_exceeded"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawBody:
    """A response as it came: its bytes, and how many were announced (None: not said).

    ``came_at`` is by ``time.perf_counter``.
    """

    status: int
    content: bytes
    announced: int | None
    came_at: float


def read_reply(
    response: Mapping[str, Any],
    raw: RawBody | None,
    latency_seconds: float,
    *,
    cache_ttl: str = "5m",
) -> ModelReply:
    """The checked reply; raises ModelFault.

    ``cache_ttl`` is that of writes of which the answer does not say for how long they are.
    """
    if "output" not in response and "usage" not in response:
        raise body_fault(raw)
    tier = _text_or_none(_mapping(response.get("serviceTier")).get("type"))
    usage = _usage(response, cache_ttl)
    stop_reason = _text_or_none(response.get("stopReason")) or "unknown"
    message = _mapping(_mapping(response.get("output")).get("message"))
    if not message:
        raise _useless("MissingOutput", "the answer has no message", usage, tier)
    blocks = message.get("content")
    if not isinstance(blocks, list) or not blocks:
        raise _useless("EmptyContent", "the answer has no content", usage, tier, stop_reason)
    text, reasoning = _texts(blocks)
    if not text.strip():
        kinds = ", ".join(sorted({kind for block in blocks for kind in _mapping(block)}))
        raise _useless("NoText", f"the answer has no text, only {kinds}", usage, tier, stop_reason)
    return ModelReply(
        text=text,
        usage=usage,
        stop_reason=stop_reason,
        latency_seconds=latency_seconds,
        reasoning=reasoning,
        service_tier=tier,
    )


def body_fault(raw: RawBody | None) -> ModelFault:
    """What is wrong with a body that boto3 could make nothing of."""
    if raw is None or not raw.content:
        return _broken("EmptyBody", "the answer was empty")
    if raw.announced is not None and len(raw.content) < raw.announced:
        return _broken(
            "TruncatedBody", f"{len(raw.content)} of {raw.announced} bytes of the answer came"
        )
    try:
        parsed = json.loads(raw.content.decode("utf-8"))
    except UnicodeDecodeError:
        return _broken("InvalidUtf8", "the answer is not valid UTF-8")
    except ValueError:
        return _broken("MalformedJson", "the answer is not valid JSON")
    blocks = _mapping(_mapping(_mapping(parsed).get("output")).get("message")).get("content")
    if isinstance(blocks, list) and any(
        isinstance(block, dict) and block.get("text", "") is None for block in blocks
    ):
        return _broken("NullText", "the answer has a text block without text")
    return _broken("UnexpectedShape", "the answer has not the shape of Converse's")


def _texts(blocks: Sequence[Any]) -> tuple[str, str | None]:
    """All text of an answer in its order, and all reasoning apart."""
    texts: list[str] = []
    reasoning: list[str] = []
    for block in map(_mapping, blocks):
        texts.append(_text_or_none(block.get("text")) or "")
        for cited in _mapping(block.get("citationsContent")).get("content") or ():
            texts.append(_text_or_none(_mapping(cited).get("text")) or "")
        thought = _mapping(_mapping(block.get("reasoningContent")).get("reasoningText"))
        reasoning.append(_text_or_none(thought.get("text")) or "")
    return "".join(texts), "".join(reasoning) or None


def _usage(response: Mapping[str, Any], cache_ttl: str) -> Usage:
    """Tokens as billed. Bedrock's input tokens exclude cached ones; 1 h writes are among writes."""
    told = response.get("usage")
    if not isinstance(told, Mapping):
        raise _broken("MissingUsage", "the answer does not say what it used")
    writes = _count(told, "cacheWriteInputTokens")
    details = told.get("cacheDetails") or [{"ttl": cache_ttl, "inputTokens": writes}]
    long_writes = sum(
        _count(detail, "inputTokens")
        for detail in map(_mapping, details)
        if detail.get("ttl") == "1h"
    )
    return Usage(
        input_tokens=_count(told, "inputTokens", required=True),
        output_tokens=_count(told, "outputTokens", required=True),
        cache_read_tokens=_count(told, "cacheReadInputTokens"),
        cache_write_tokens=writes,
        cache_write_1h_tokens=min(long_writes, writes),
    )


def _count(told: Mapping[str, Any], name: str, *, required: bool = False) -> int:
    count = told.get(name)
    if count is None and not required:
        return 0
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise _broken("MalformedUsage", f"usage.{name} is {count!r:.40}, not a count")
    return count


def _broken(error_type: str, message: str) -> ModelFault:
    return ModelFault(error_type, message, retry="transient", may_be_billed=True, http_status=200)


def _useless(
    error_type: str,
    message: str,
    usage: Usage,
    service_tier: str | None,
    stop_reason: str | None = None,
) -> ModelFault:
    """A fault of an answer that was billed by a usage we know."""
    return ModelFault(
        error_type,
        f"{message} (stop reason {stop_reason})" if stop_reason else message,
        retry="never" if stop_reason in _FINAL_STOPS else "transient",
        may_be_billed=True,
        http_status=200,
        usage=usage,
        service_tier=service_tier,
        stop_reason=stop_reason,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
