"""Records of a batch job in Converse format: a prompt as a line of JSON, and an answer read back.

Enters: requests, and lines of a job's output. Leaves: lines, and checked replies or faults: a
record's answer is checked like any other, and what went wrong with it has the same error types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finrag_eval.domain import ModelReply, ModelRequest
from finrag_eval.errors import ModelFault
from finrag_eval.synthesis_pipeline.bedrock.reply import read_reply
from finrag_eval.synthesis_pipeline.bedrock.request import converse_arguments

#: What is no part of a record: the job names the model; a batch has no tier and no log entries.
_NOT_IN_RECORDS = ("modelId", "requestMetadata", "serviceTier")
_NOT_ALPHANUMERIC = re.compile(r"[^a-zA-Z0-9]")

#: A record's id, its reply or what went wrong with it, and the seconds that the model took.
RecordAnswer = tuple[str, ModelReply | ModelFault, float | None]


def record_id_of(trial_key: str) -> str:
    """The trial's key as Bedrock takes ids of records: letters and digits alone."""
    return _NOT_ALPHANUMERIC.sub("x", trial_key)


def record_line(trial_key: str, request: ModelRequest) -> bytes:
    """One line of a job's input. Cache points are left out: a batch has no order to cache in."""
    arguments = converse_arguments(request)
    for name in _NOT_IN_RECORDS:
        arguments.pop(name, None)
    for message in arguments["messages"]:
        message["content"] = [block for block in message["content"] if "cachePoint" not in block]
    record = {"recordId": record_id_of(trial_key), "modelInput": arguments}
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a job says that it used in all; None where it does not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None

    @classmethod
    def read(cls, content: bytes) -> Manifest:
        """The manifest of ``manifest.json.out``; an unreadable one says nothing."""
        try:
            told = json.loads(content)
        except ValueError:
            return cls()
        told = told if isinstance(told, dict) else {}
        return cls(
            input_tokens=_count(told.get("inputTokenCount")),
            output_tokens=_count(told.get("outputTokenCount")),
        )


def read_records(lines: Iterable[bytes], manifest: Manifest) -> Iterator[RecordAnswer]:
    """Every record's answer; errors come last, since the others tell what those cost.

    Where the answers used all the tokens that the manifest counts, errors cost nothing. Else one
    that is not the request's own fault may have been billed. Lines that are no records are passed
    over: their trials are missing then.
    """
    errors: list[tuple[str, Mapping[str, Any]]] = []
    inputs = outputs = 0
    for line in lines:
        record = _record(line)
        if record is None:
            continue
        record_id = str(record["recordId"])
        if record.get("error") is not None:
            errors.append((record_id, _mapping(record["error"])))
            continue
        answer = _mapping(record.get("modelOutput"))
        usage = _mapping(answer.get("usage"))
        inputs += _count(usage.get("inputTokens")) or 0
        outputs += _count(usage.get("outputTokens")) or 0
        yield record_id, *_answer(answer)
    are_free = (inputs, outputs) == (manifest.input_tokens, manifest.output_tokens)
    for record_id, error in errors:
        yield record_id, _fault(error, are_free=are_free), None


def _record(line: bytes) -> Mapping[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "recordId" in record else None


def _answer(answer: Mapping[str, Any]) -> tuple[ModelReply | ModelFault, float | None]:
    milliseconds = _count(_mapping(answer.get("metrics")).get("latencyMs"))
    latency = None if milliseconds is None else milliseconds / 1000
    try:
        return read_reply(answer, None, latency or 0.0), latency
    except ModelFault as fault:
        return fault, latency


def _fault(error: Mapping[str, Any], *, are_free: bool) -> ModelFault:
    code = error.get("errorCode")
    is_its_own = isinstance(code, int) and 400 <= code < 500 and code not in (408, 429)
    return ModelFault(
        f"BatchError{code}" if isinstance(code, int) else "BatchError",
        str(error.get("errorMessage") or "the record was not answered"),
        retry="never",
        may_be_billed=not (are_free or is_its_own),
        http_status=code if isinstance(code, int) else None,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
