"""One row of a query set as a ``Query``.

Enters: a row as plain data, or of text cells (CSV). Leaves: a ``Query``, or what is wrong with
the row. Knows no file format.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from finrag_eval.domain import Query

_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})
_LONGEST_ID = 250
_NEVER_EMPTY = frozenset({"id", "query"})


class Wrong(NamedTuple):
    """What is wrong with a row: the field, and what to do about it."""

    field: str
    message: str
    fix: str


class _WrongField(Exception):
    def __init__(self, message: str, fix: str) -> None:
        self.message, self.fix = message, fix


def query_of(row: Mapping[str, Any]) -> Query | list[Wrong]:
    """The query that a row of plain data says, or all that is wrong with it."""
    values: dict[str, Any] = {}
    wrongs = []
    for field, read in _READERS.items():
        content = row.get(field)
        if content is None or (content == "" and field not in _NEVER_EMPTY):
            continue
        try:
            values[field] = read(content)
        except _WrongField as wrong:
            wrongs.append(Wrong(field, wrong.message, wrong.fix))
    if row.get("query") is None:
        wrongs.append(Wrong("query", "has no query", "every row needs its question"))
    if wrongs:
        return wrongs
    if "id" not in values:
        values["id"] = id_of(values["query"])
    metadata = {
        key: content
        for key, content in row.items()
        if key not in _READERS and content is not None and content != ""
    }
    return Query(**values, metadata=metadata)


def id_of(query: str) -> str:
    """The id of a query that has none: a hash of its text."""
    digest = hashlib.blake2b(query.encode(), digest_size=6).hexdigest()
    return f"q-{digest}"


def from_cells(cells: Mapping[str, str]) -> dict[str, Any]:
    """A row of text cells as plain data. Empty cells are missing; metadata stays text.

    Lists are JSON, or items between ``;`` (for tickers, years and tags between ``,``, too).
    """
    row: dict[str, Any] = {}
    for field, cell in cells.items():
        text = cell.strip()
        if text:
            row[field] = _CELLS[field](text) if field in _CELLS else cell
    return row


def with_lists(content: Mapping[str, Any]) -> dict[str, Any]:
    """The row with lists that were written as text taken apart, as in ``from_cells``."""
    return {
        field: _CELLS[field](cell) if field in _LISTS and isinstance(cell, str) else cell
        for field, cell in content.items()
    }


def _text(content: Any) -> str:
    if not isinstance(content, str):
        raise _WrongField(f"is {_said(content)}, not text", "write it in quotes")
    if not content.strip():
        raise _WrongField("is empty", "write text, or leave the field out")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise _WrongField("holds half a character (a lone surrogate)", "mend the text") from None
    return content


def _id(content: Any) -> str:
    if isinstance(content, int) and not isinstance(content, bool):
        return str(content)
    text = _text(content)
    if len(text) > _LONGEST_ID or not text.isprintable():
        raise _WrongField(
            "is too long, or not printable", f"use at most {_LONGEST_ID} printable characters"
        )
    return text


def _number(content: Any) -> float:
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise _WrongField(f"is {_said(content)}, not a number", "write digits: 10918000000")
    try:
        number = float(content)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _WrongField("is not a finite number", "write digits: 10918000000")
    return number


def _tolerance(content: Any) -> float:
    number = _number(content)
    if not 0 <= number <= 1:
        raise _WrongField(f"{number} is impossible", "it is relative: 0.01 is one percent")
    return number


def _flag(content: Any) -> bool:
    if not isinstance(content, bool):
        raise _WrongField(f"is {_said(content)}", "write true or false")
    return content


def _year(content: Any) -> int:
    if isinstance(content, str) or not _number(content).is_integer():
        raise _WrongField(f"is {_said(content)}, not a year", "write years as numbers: [2020]")
    return int(content)


def _list(item: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def read(content: Any) -> tuple[Any, ...]:
        if not isinstance(content, list | tuple):
            raise _WrongField(f"is {_said(content)}, not a list", f"write [{content}]")
        return tuple(item(part) for part in content)

    return read


def _answer(content: Any) -> str | tuple[str, ...]:
    return _texts(content) if isinstance(content, list | tuple) else _text(content)


_texts = _list(_text)

#: How each field of ``QUERY_FIELDS`` is read.
_READERS: dict[str, Callable[[Any], Any]] = {
    "id": _id,
    "query": _text,
    "expected_answer": _answer,
    "expected_value": _number,
    "alt_values": _list(_number),
    "unit": _text,
    "tolerance": _tolerance,
    "should_refuse": _flag,
    "answer_type": _text,
    "tickers": _texts,
    "years": _list(_year),
    "evidence_ids": _texts,
    "context": _text,
    "cluster": _text,
    "difficulty": _text,
    "tags": _texts,
}

#: Fields that hold lists, or may.
_LISTS = frozenset({"alt_values", "tickers", "years", "evidence_ids", "tags", "expected_answer"})


def _said(content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _number_cell(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _year_cell(text: str) -> Any:
    return int(text) if text.isdigit() else text


def _flag_cell(text: str) -> Any:
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else text


def _list_cell(separators: str, item: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        listed = _json_list(text)
        if listed is not None:
            return listed
        parts = re.split(f"[{separators}]", text)
        return [item(part.strip()) for part in parts if part.strip()]

    return read


def _answer_cell(text: str) -> Any:
    return _json_list(text) or text


def _json_list(text: str) -> list[Any] | None:
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, list) else None


_CELLS: dict[str, Callable[[str], Any]] = {
    "expected_answer": _answer_cell,
    "expected_value": _number_cell,
    "alt_values": _list_cell(";", _number_cell),
    "tolerance": _number_cell,
    "should_refuse": _flag_cell,
    "tickers": _list_cell(";,", str),
    "years": _list_cell(";,", _year_cell),
    "evidence_ids": _list_cell(";", str),
    "tags": _list_cell(";,", str),
}
