"""The rows of a corpus file, one at a time, each field checked as it is taken.

Enters: the bytes of a JSONL or Parquet file. Leaves: rows, and a problem with file and line for
every line that is none. A Parquet row's line is its number, counted from 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finrag_eval.errors import InvalidInput, Problem

#: Control characters (form feeds, escapes) say nothing to a reader and harm a terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Row:
    """One row; a field that is wrong is noted in ``problems`` and comes back empty."""

    fields: Mapping[str, Any]
    file: str
    line: int
    problems: list[Problem]
    is_wrong: bool = False

    def refuse(self, key: str, message: str, fix: str) -> None:
        """Notes a problem of this row."""
        self.is_wrong = True
        self.problems.append(
            Problem(file=self.file, line=self.line, key=key, message=message, fix=fix)
        )

    def lacks(self, key: str) -> bool:
        return self.fields.get(key) is None

    def text(self, key: str) -> str:
        """The field's text without control characters."""
        if self.lacks(key):
            self.refuse(key, "is missing", "give every passage one")
            return ""
        return self._clean(key, self.fields[key])

    def label(self, key: str, *, default: str | None = None) -> str:
        """The field's text on one line; the default where there is none."""
        if default is not None and self.lacks(key):
            return default
        return " ".join(self.text(key).split())

    def labels(self, key: str) -> tuple[str, ...]:
        """The field's list of labels; empty where there is none."""
        value = () if self.lacks(key) else self.fields[key]
        if not isinstance(value, list | tuple):
            self.refuse(key, "is not a list", 'write a list of texts, as in ["a", "b"]')
            return ()
        return tuple(" ".join(self._clean(key, item).split()) for item in value)

    def year(self, key: str) -> int:
        """The field's fiscal year."""
        value = self.fields.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 1900 <= value <= 2100:
            return value
        self.refuse(key, f"is not a year: {value!r:.40}", "write a whole number, as in 2020")
        return 0

    def _clean(self, key: str, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            self.refuse(key, f"is not a text: {value!r:.40}", "write it as text, in quotes")
            return ""
        if _HALF_CHARACTER.search(value):
            self.refuse(key, "holds half a character", "mend its \\u escapes")
            return ""
        return _CONTROL.sub(" ", value.replace("\r\n", "\n")).strip()


def jsonl_rows(content: bytes, file: str, problems: list[Problem]) -> Iterator[Row]:
    """The objects of a JSONL file; blank lines are passed over, a BOM is not data."""
    for line, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            fields = json.loads(raw.decode("utf-8"))
            message = None if isinstance(fields, dict) else "not a JSON object"
        except UnicodeDecodeError as error:
            message = f"not UTF-8 at byte {error.start + 1} of the line"
        except json.JSONDecodeError as error:
            message = f"not JSON at character {error.colno}: {error.msg}"
        except (ValueError, RecursionError):
            message = "not JSON: too large a number, or nested too deep"
        if message is None:
            yield Row(fields, file, line, problems)
        else:
            fix = "write one JSON object a line, in UTF-8"
            problems.append(Problem(file=file, line=line, message=message, fix=fix))


def parquet_rows(content: bytes, file: str, problems: list[Problem]) -> Iterator[Row]:
    """The rows of a Parquet file. Raises InvalidInput where it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(pa.BufferReader(content)).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise refused(file, "not a readable Parquet file", "write it anew") from error
    for line, fields in enumerate(rows, start=1):
        yield Row(fields, file, line, problems)


def refused(file: str, message: str, fix: str) -> InvalidInput:
    """The one problem of a file that cannot be used at all."""
    return InvalidInput([Problem(file=file, message=message, fix=fix)])
