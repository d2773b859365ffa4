"""Shapes that only sweep files have: shares of failures, filters, and short forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from finrag_eval.spec.located import Value, describe, plain
from finrag_eval.spec.shapes import Reading, Shape, is_scalar


@dataclass(frozen=True, slots=True)
class MostFailed:
    """A count, or a share as a percentage: ``5%``."""

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        if value.number is not None and value.kind == "number":
            if value.number != value.number.to_integral_value() or value.number < 0:
                fix = "write a count, or a share with a percent sign, as in 5%"
                return reading.wrong(value, at, f"{value.content} is neither", fix)
            return int(value.number)
        content = value.content.replace(" ", "") if isinstance(value.content, str) else ""
        share = value._replace(kind="word", content=content[:-1]).number
        if not content.endswith("%") or share is None or not 0 <= share <= 100:
            fix = "write a count, or a share of finished trials from 0% to 100%"
            return reading.wrong(value, at, "is neither a count nor a share", fix)
        return content

    def schema(self) -> dict[str, Any]:
        share = {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$"}
        return {"anyOf": [{"type": "integer", "minimum": 0}, share]}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A scalar, or a list of scalars, that a field is compared with."""

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        items = value.content if value.kind == "list" else (value,)
        if not items or not all(is_scalar(item) and item.kind != "null" for item in items):
            return reading.wrong(
                value, at, f"is {describe(value)}", "write a value, or a list of values"
            )
        return [plain(item) for item in items]

    def schema(self) -> dict[str, Any]:
        scalar = {"type": ["string", "number", "boolean"]}
        return {"anyOf": [scalar, {"type": "array", "items": scalar, "minItems": 1}]}


def share_of(percentage: str) -> float:
    """The share that a percentage such as ``5%`` says."""
    return float(Decimal(percentage.rstrip("%")) / 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    """A full shape, or a short form that ``widen`` turns into the full one's value."""

    full: Shape
    short: Shape
    widen: Callable[[Value], Value | None]

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        return self.full.read(self.widen(value) or value, at, reading)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.short.schema(), self.full.schema()]}
