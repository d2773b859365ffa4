"""Text tables that fit a width: columns aligned, names cut in their middle, colour if asked.

Enters: titles, rows of text and a width in columns. Leaves: lines. Text is made safe for the
terminal here, so that nothing printed through a table can be an escape sequence.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finrag_eval.report.safe_text import display_width, terminal_safe

_CODES = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "strong": "1"}
_GAP = "  "
_LEAST_NAME = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    """Puts colour around text, or leaves it alone where ``on`` is false."""

    on: bool = False

    def __call__(self, text: str, style: str | None) -> str:
        """The text in that style: good, bad, warn, dim or strong; None is no style."""
        if not self.on or style is None or not text:
            return text
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: names stand left and may be cut in their middle; figures stand right."""

    title: str
    is_name: bool = False
    is_left: bool = False


def grid(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int,
    paint: Paint,
    styles: Mapping[tuple[int, int], str] | None = None,
) -> list[str]:
    """The table's lines, header first, none wider than ``width`` if cutting names can do it.

    ``styles`` maps (row, column) to a style of ``Paint``.
    """
    cells = [[_safe(text) for text in row] for row in rows]
    widths = _fitted(columns, cells, width)
    lines = [paint(_line(columns, [column.title for column in columns], widths), "dim")]
    for at, row in enumerate(cells):
        padded = _padded(columns, row, widths)
        padded[-1] = padded[-1].rstrip()
        painted = [
            paint(text, (styles or {}).get((at, index))) for index, text in enumerate(padded)
        ]
        lines.append(_GAP.join(painted).rstrip())
    return lines


def grid_width(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> int:
    """The columns that the table takes when nothing is cut."""
    cells = [[_safe(text) for text in row] for row in rows]
    return sum(_natural(columns, cells)) + len(_GAP) * (len(columns) - 1)


def wrapped(text: str, width: int, *, indent: str = "", first: str | None = None) -> str:
    """The text made safe and broken into lines of at most ``width`` columns."""
    return textwrap.fill(
        terminal_safe(text, keep_lines=False),
        width=max(20, width),
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def middle_cut(text: str, width: int) -> str:
    """The text with its middle replaced by an ellipsis where it is wider than ``width``."""
    if display_width(text) <= width:
        return text
    head = (width - 1) // 2
    tail = width - 1 - head
    return f"{_take(text, head)}…{_take(text[::-1], tail)[::-1]}"


def _safe(text: str) -> str:
    """One safe line; blanks that indent it stay."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    return indent + terminal_safe(text, keep_lines=False)


def _take(text: str, width: int) -> str:
    taken, room = "", width
    for char in text:
        room -= display_width(char)
        if room < 0:
            break
        taken += char
    return taken


def _natural(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(display_width(text) for text in (column.title, *(row[index] for row in rows)))
        for index, column in enumerate(columns)
    ]


def _fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Column widths; the widest name column gives way first."""
    widths = _natural(columns, rows)
    names = [index for index, column in enumerate(columns) if column.is_name]
    excess = sum(widths) + len(_GAP) * (len(columns) - 1) - width
    while excess > 0 and names:
        widest = max(names, key=lambda index: widths[index])
        if widths[widest] <= _LEAST_NAME:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _padded(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> list[str]:
    padded = []
    for column, text, width in zip(columns, row, widths, strict=True):
        shown = middle_cut(text, width)
        space = " " * (width - display_width(shown))
        is_left = column.is_name or column.is_left
        padded.append(shown + space if is_left else space + shown)
    return padded


def _line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(_padded(columns, row, widths)).rstrip()
