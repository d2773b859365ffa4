"""Shapes of values: each reads a located value into plain data and says its JSON Schema.

Enters: a ``Value``. Leaves: plain data (text, numbers, lists, dicts; money as ``Decimal``), or
``WRONG`` and a problem. Knows how values are written, not what a sweep is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

from finrag_eval.errors import Problem
from finrag_eval.spec.located import Value, describe, plain, plain_number
from finrag_eval.spec.suggest import did_you_mean, nearest

#: Significant digits of money: all of them survive JSON's floats.
_MONEY_DIGITS = 15


class _Wrong:
    """The mark of a value that was not readable; its problem is already told."""

    def __repr__(self) -> str:
        return "WRONG"


WRONG: Final = _Wrong()


@dataclass(frozen=True, slots=True)
class Reading:
    """One pass over a file: gathers the problems."""

    problems: list[Problem] = field(default_factory=list)

    def wrong(self, value: Value, at: str, message: str, fix: str) -> _Wrong:
        """Tells a problem at the value's place, and gives ``WRONG``."""
        self.problems.append(
            Problem(
                file=value.source.shown, line=value.line, key=at or None, message=message, fix=fix
            )
        )
        return WRONG


class Shape(Protocol):
    """How a value is written."""

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        """Plain data, or ``WRONG`` after telling a problem. ``at`` is the value's key path."""

    def schema(self) -> dict[str, Any]:
        """The shape as JSON Schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text that is not empty, quoted where YAML would read it as something else."""

    pattern: str | None = None
    pattern_says: str = ""
    fix: str = ""
    longest: int = 4000

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        content = _text_of(value, at, reading)
        if content is WRONG:
            return WRONG
        if not content.strip():
            return reading.wrong(value, at, "is empty", "write text")
        if len(content) > self.longest:
            message = f"has {len(content):,} characters"
            return reading.wrong(value, at, message, f"write at most {self.longest:,}")
        if self.pattern is not None and not re.fullmatch(self.pattern, content):
            return reading.wrong(value, at, f"{content!r} {self.pattern_says}", self.fix)
        return content

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": self.longest}
        if self.pattern is not None:
            schema["pattern"] = f"^(?:{self.pattern})$"
        return schema


def name(longest: int = 100) -> Text:
    """Text that may stand in folder names, metric names and cells."""
    return Text(
        pattern=r"[A-Za-z0-9_][A-Za-z0-9._-]*",
        pattern_says="cannot stand in file and metric names",
        fix="use letters, digits, '.', '_' and '-'",
        longest=longest,
    )


@dataclass(frozen=True, slots=True)
class Label:
    """Text, or a whole number taken as it is written (an id, a version of a guardrail)."""

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        if value.kind == "number" and value.content.isdigit():
            return value.content
        return Text().read(value, at, reading)

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "integer"]}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        content = _text_of(value, at, reading)
        if content is WRONG or content in self.words:
            return content
        fix = did_you_mean(content, self.words)
        return reading.wrong(value, at, f"{content!r} is not one of its values", fix)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        if value.truth is None:
            return reading.wrong(value, at, f"is {describe(value)}", "write true or false")
        return value.truth

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number within bounds; ``above`` is a bound that it may not reach."""

    low: float | None = None
    above: float | None = None
    high: float | None = None
    whole: bool = False

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        number = _number_of(value, at, reading, "a whole number" if self.whole else "a number")
        if number is WRONG:
            return WRONG
        if self.whole and number != number.to_integral_value():
            return reading.wrong(value, at, f"{value.content} is not whole", "write a whole number")
        if not self._holds(number):
            return reading.wrong(
                value, at, f"{value.content} is impossible", f"write {self._said()}"
            )
        return int(number) if self.whole else float(number)

    def _holds(self, number: Decimal) -> bool:
        return (
            (self.low is None or number >= Decimal(str(self.low)))
            and (self.above is None or number > Decimal(str(self.above)))
            and (self.high is None or number <= Decimal(str(self.high)))
        )

    def _said(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        bounds = []
        if self.low is not None:
            bounds.append(f"at least {self.low:,}")
        if self.above is not None:
            bounds.append(f"above {self.above:,}")
        if self.high is not None:
            bounds.append(f"at most {self.high:,}")
        return f"{kind} {' and '.join(bounds)}"

    def schema(self) -> dict[str, Any]:
        bounds = {"minimum": self.low, "exclusiveMinimum": self.above, "maximum": self.high}
        kept = {key: bound for key, bound in bounds.items() if bound is not None}
        return {"type": "integer" if self.whole else "number", **kept}


def whole(low: int = 1, high: int | None = None) -> Number:
    """A whole number within bounds."""
    return Number(low=low, high=high, whole=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """USD as the exact ``Decimal`` that was written, never through a float; 0 where allowed."""

    zero: bool = True

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        amount = _number_of(value, at, reading, "an amount in USD, as in 5.00")
        if amount is WRONG:
            return WRONG
        if amount < 0 or (amount == 0 and not self.zero):
            bound = "at least 0" if self.zero else "above 0"
            return reading.wrong(
                value, at, f"{value.content} is impossible", f"write an amount {bound}"
            )
        if len(amount.normalize().as_tuple().digits) > _MONEY_DIGITS:
            fix = f"write at most {_MONEY_DIGITS} digits"
            return reading.wrong(value, at, f"{value.content} has too many digits", fix)
        return amount

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum" if self.zero else "exclusiveMinimum": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePath:
    """A path, made absolute from the folder of the file it is written in.

    ``words`` are no paths and stay as they are; so do ``s3://`` addresses where they are allowed.
    """

    words: tuple[str, ...] = ()
    s3: bool = False

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        content = Text().read(value, at, reading)
        if content is WRONG or content in self.words:
            return content
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", content):
            if self.s3 and content.startswith("s3://"):
                return content
            return reading.wrong(value, at, f"{content!r} is no path", "name a file or folder")
        return str((value.source.folder / Path(content).expanduser()).resolve())

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOf:
    """A list of one shape; items that are wrong stay in it as ``WRONG``, so that others keep
    their positions.
    """

    item: Shape
    fewest: int = 1

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        if value.kind != "list":
            message = f"is {describe(value)}, where a list is wanted"
            fix = f"write [{value.content}]" if is_scalar(value) else "start each item with '- '"
            return reading.wrong(value, at, message, fix)
        if len(value.content) < self.fewest:
            return reading.wrong(value, at, "is an empty list", f"name at least {self.fewest}")
        return [
            self.item.read(item, f"{at}[{position}]", reading)
            for position, item in enumerate(value.content)
        ]

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(), "minItems": self.fewest}


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOf:
    """A mapping of the user's own keys to one shape; entries that are wrong are left out."""

    item: Shape
    keys: Shape | None = None

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        if value.kind != "mapping":
            message = f"is {describe(value)}, where a mapping is wanted"
            return reading.wrong(value, at, message, "write each entry as 'key: value'")
        entries = {}
        for key, item in value.content.items():
            place = f"{at}.{key}"
            if self.keys is not None:
                key_value = item._replace(kind="text", content=key)
                if self.keys.read(key_value, place, reading) is WRONG:
                    continue
            content = self.item.read(item, place, reading)
            if content is not WRONG:
                entries[key] = content
        return entries

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object", "additionalProperties": self.item.schema()}
        if self.keys is not None:
            schema["propertyNames"] = self.keys.schema()
        return schema


@dataclass(frozen=True, slots=True)
class Anything:
    """A mapping that is passed on as it is, for someone else to check."""

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        if value.kind != "mapping":
            message = f"is {describe(value)}, where a mapping is wanted"
            return reading.wrong(value, at, message, "write each entry as 'key: value'")
        return plain(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One key of a section. Without a default, a key that is not written is left out."""

    name: str
    shape: Shape
    doc: str
    required: bool = False
    default: Any = None

    def default_content(self) -> Any:
        """What is meant where the key is not written; a section has its own defaults."""
        return self.shape.defaults() if isinstance(self.shape, Section) else self.default


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A mapping with known keys.

    ``open`` ones are written by other programs, too: unknown keys are kept as plain data, and a
    known key without a value counts as not written.
    """

    fields: tuple[Field, ...]
    open: bool = False
    what: str = "key"

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        if value.kind != "mapping":
            message = f"is {describe(value)}, where a mapping is wanted"
            names = ", ".join(field.name for field in self.fields)
            return reading.wrong(value, at, message, f"its keys are: {names}")
        content: dict[str, Any] = {}
        for each in self.fields:
            self._read_field(each, value, at, reading, content)
        known = {each.name for each in self.fields}
        for key, item in value.content.items():
            if key not in known:
                self._read_unknown(key, item, at, reading, content)
        return content

    def _read_field(
        self, each: Field, value: Value, at: str, reading: Reading, content: dict[str, Any]
    ) -> None:
        item = value.content.get(each.name)
        if item is not None and item.kind == "null" and self.open:
            item = None
        if item is not None:
            found = each.shape.read(item, f"{at}.{each.name}".lstrip("."), reading)
            if found is not WRONG:
                content[each.name] = found
        elif each.required and not self._is_misspelt(each, value):
            fix = f"write '{each.name}: ...' ({each.doc})"
            reading.wrong(value, at, f"has no {each.name}", fix)
        elif each.default is not None:
            content[each.name] = each.default_content()

    def _is_misspelt(self, each: Field, value: Value) -> bool:
        """Whether a key is there that will be told of as nearly this one."""
        names = [field.name for field in self.fields]
        unknown = [key for key in value.content if key not in names]
        return not self.open and any(nearest(key, names) == each.name for key in unknown)

    def defaults(self) -> dict[str, Any]:
        """The section's content where nothing is written."""
        return {
            each.name: each.default_content() for each in self.fields if each.default is not None
        }

    def _read_unknown(
        self, key: str, item: Value, at: str, reading: Reading, content: dict[str, Any]
    ) -> None:
        if self.open:
            content[key] = plain(item)
            return
        fix = did_you_mean(key, (each.name for each in self.fields))
        reading.wrong(item, f"{at}.{key}".lstrip("."), f"there is no {self.what} '{key}'", fix)

    def schema(self) -> dict[str, Any]:
        properties = {}
        for each in self.fields:
            described = {**each.shape.schema(), "description": each.doc}
            if each.default is not None:
                described["default"] = as_json(each.default)
            properties[each.name] = described
        required = [each.name for each in self.fields if each.required]
        return {
            "type": "object",
            "properties": properties,
            **({"required": required} if required else {}),
            "additionalProperties": self.open,
        }


def as_json(content: Any) -> Any:
    """Plain data with money as JSON numbers, exactly (``Money`` bounds the digits)."""
    if isinstance(content, Mapping):
        return {key: as_json(item) for key, item in content.items()}
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return [as_json(item) for item in content]
    return plain_number(content) if isinstance(content, Decimal) else content


def is_scalar(value: Value) -> bool:
    return value.kind not in ("list", "mapping")


def _text_of(value: Value, at: str, reading: Reading) -> Any:
    if value.kind in ("text", "word", "date") or (value.source.typed and is_scalar(value)):
        return value.content
    if value.kind in ("number", "boolean"):
        message = f"{value.content} is read as {describe(value)}"
        return reading.wrong(value, at, message, f"quote it: '{value.content}'")
    if value.kind == "null":
        return reading.wrong(value, at, "is empty", "write text")
    return reading.wrong(value, at, f"is {describe(value)}, where text is wanted", "write text")


def _number_of(value: Value, at: str, reading: Reading, wanted: str) -> Any:
    number = value.number
    if number is not None:
        return number
    if value.kind == "text" and value._replace(kind="number").number is not None:
        fix = f"take away the quotes: {value.content}"
        return reading.wrong(value, at, f"'{value.content}' is quoted, so it is text", fix)
    if value.kind == "number":
        message = f"{value.content} can be read in two ways, or is not finite"
        return reading.wrong(value, at, message, f"write {wanted} in decimal digits")
    return reading.wrong(value, at, f"is {describe(value)}", f"write {wanted}")
