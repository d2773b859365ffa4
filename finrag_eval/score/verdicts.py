"""What a kind of scorer returns: a value with its explanation, or the reason for giving none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """A score's value and what it was judged by: what was found, what was expected."""

    value: float
    explanation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unscored:
    """Why no value can be given."""

    reason: str
    explanation: Mapping[str, Any] = field(default_factory=dict)


def answer_of(result: Mapping[str, Any]) -> str:
    """The answer's text; empty where there is none."""
    answer = result.get("answer")
    return answer if isinstance(answer, str) else ""


def context_of(result: Mapping[str, Any]) -> str:
    """The assembled context's text; empty where there is none."""
    context = result.get("context")
    return context if isinstance(context, str) else ""
