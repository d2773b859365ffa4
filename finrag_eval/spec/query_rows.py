"""Rows of a query set's file, in any of its five formats.

Enters: a path. Leaves: rows of plain data with their line (a row's number, in Parquet), and
problems. Knows no field.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from finrag_eval.errors import Problem
from finrag_eval.spec.files import decode, read_bytes, shown
from finrag_eval.spec.located import Source, describe, load, plain

#: Endings of the formats whose rows are not plain data yet: CSV has text cells alone, and Parquet
#: may have lists that were written as text.
CSV, PARQUET = ".csv", ".parquet"

#: CSV's own limit on a cell is 128 KiB; contexts are longer.
_LONGEST_CELL = 1 << 28


class Row(NamedTuple):
    """One row; ``lines`` has the line of each field where the format can tell."""

    line: int
    content: Mapping[str, Any]
    lines: Mapping[str, int | None] = {}


Tell = Callable[[int | None, str, str], None]
"""Tells a problem: line, message, fix."""


def read_rows(path: Path, tell: Tell, problems: list[Problem]) -> Iterator[Row]:
    """The rows of the file. What is wrong with one is told, and the next one is read."""
    ending = path.suffix.lower()
    if ending == PARQUET:
        yield from _parquet(path, tell, problems)
        return
    if ending not in _READERS:
        fix = f"use one of {', '.join((*_READERS, PARQUET))}"
        tell(None, f"the ending {ending!r} names no format", fix)
        return
    raw = read_bytes(path, "query set", problems)
    text = None if raw is None else decode(raw, shown(path), problems)
    if text is not None:
        yield from _READERS[ending](text, path, tell)


class _Repeated(ValueError):
    """A key stands twice in a JSON object."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Repeated(f"the key {twice!r} stands twice")
    return content


def _constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _jsonl(text: str, path: Path, tell: Tell) -> Iterator[Row]:
    # Not str.splitlines: it also splits at U+2028 and others that JSON text may hold as they are.
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if not line.strip():
            continue
        try:
            content = _DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            tell(number, f"not readable as JSON: {_said(error)}", "write one JSON object a line")
            continue
        yield from _mapping(content, number, tell)


def _json(text: str, path: Path, tell: Tell) -> Iterator[Row]:
    """A list's items one by one, so that each has its line."""
    position = _after_space(text, 0)
    if text[position : position + 1] != "[":
        tell(1, "not a JSON list", "write [{...}, {...}], or name the file .jsonl")
        return
    position = _after_space(text, position + 1)
    line, counted = 1, 0
    while text[position : position + 1] != "]":
        line, counted = line + text.count("\n", counted, position), position
        try:
            content, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            tell(_line_of(error, line), f"not readable as JSON: {_said(error)}", "mend it")
            return
        yield from _mapping(content, line, tell)
        position = _after_space(text, position)
        if text[position : position + 1] == ",":
            position = _after_space(text, position + 1)
        elif text[position : position + 1] != "]":
            line = 1 + text.count("\n", 0, position)
            tell(line, "the JSON list is not closed here", "separate items by ',', end with ']'")
            return
    if text[_after_space(text, position + 1) :]:
        tell(1 + text.count("\n", 0, position), "there is more after the list", "remove it")


def _yaml(text: str, path: Path, tell: Tell) -> Iterator[Row]:
    faults: list[Any] = []
    root = load(text, Source(shown(path), path.parent), faults)
    for fault in faults:
        tell(fault.problem.line, fault.problem.message, fault.problem.fix)
    if root is None or root.kind == "null":
        return
    if root.kind != "list":
        tell(root.line, f"is {describe(root)}, not a list", "write each query as '- query: ...'")
        return
    for item in root.content:
        if item.kind != "mapping":
            tell(item.line, f"is {describe(item)}, not a query", "write '- query: ...'")
            continue
        yield Row(
            item.line or 0, plain(item), {key: value.line for key, value in item.content.items()}
        )


def _csv(text: str, path: Path, tell: Tell) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        for name in sorted({name for name in header if header.count(name) > 1}):
            tell(1, f"two columns are named {name!r}", "rename one of them")
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if len(cells) > len(header):
                message = f"{len(cells)} cells under {len(header)} column names"
                tell(line, message, "quote cells that contain a comma")
            elif any(cell.strip() for cell in cells):
                yield Row(line, dict(zip(header, cells, strict=False)))
    except csv.Error as error:
        tell(line, f"not readable as CSV: {error}", "quote cells; write a quote in one as two")


def _parquet(path: Path, tell: Tell, problems: list[Problem]) -> Iterator[Row]:
    if not path.is_file():
        read_bytes(path, "query set", problems)
        return
    import pyarrow
    import pyarrow.parquet

    try:
        batches = pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=4096)
        rows = (row for batch in batches for row in batch.to_pylist())
        for number, row in enumerate(rows, start=1):
            yield Row(number, {key: _plain_cell(cell) for key, cell in row.items()})
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        tell(None, f"not readable as Parquet: {_said(error)}", "write the file again")


_READERS: dict[str, Callable[[str, Path, Tell], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    CSV: _csv,
    ".yaml": _yaml,
    ".yml": _yaml,
}


def _plain_cell(cell: Any) -> Any:
    """A Parquet cell as plain data; NaN, which pandas writes for nothing, is nothing."""
    if isinstance(cell, float) and cell != cell:
        return None
    if isinstance(cell, Decimal):
        return float(cell)
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    if isinstance(cell, list):
        return [_plain_cell(item) for item in cell]
    if isinstance(cell, dict):
        return {key: _plain_cell(item) for key, item in cell.items()}
    return cell


def _mapping(content: Any, line: int, tell: Tell) -> Iterator[Row]:
    if isinstance(content, dict):
        yield Row(line, content)
    else:
        tell(line, f"is a {type(content).__name__}, not an object", 'write {"query": "..."}')


_SPACE = re.compile(r"[ \t\r\n]*")


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return position if found is None else found.end()


def _line_of(error: Exception, line: int) -> int:
    return error.lineno if isinstance(error, json.JSONDecodeError) else line


def _said(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, at column {error.colno}"
    return "nested too deep" if isinstance(error, RecursionError) else str(error).split("\n")[0]
