"""Foreign text made harmless for the place where it will stand: terminal, CSV, Markdown, HTML.

Enters: text that a model, a filing or a config wrote. Leaves: text that does nothing. HTML's
own escaping is the template's (autoescape) and the script's (``textContent``); here is what
those two do not cover: control characters, script data and links.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any
from urllib.parse import urlsplit

#: Characters that turn, hide or reorder what stands around them and show nothing themselves.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\U000e0000-\U000e007f]"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ANSI = re.compile(
    "\x1b(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)|[ -/]*[0-~])"
    "|\x9b[0-?]*[ -/]*[@-~]"
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: ASCII that ``csv_safe`` leaves as it is, at a glance.
_ORDINARY = re.compile(r"[A-Za-z0-9][^\x00]*\Z")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_SPACE = re.compile(r"\s")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~$&])")
_MARKDOWN_START = re.compile(r"^([#+=-]|\d+(?=[.)]))")


def terminal_safe(text: str, *, keep_lines: bool = True) -> str:
    """The text without escape sequences, control and invisible characters.

    Nothing that comes back can move a cursor, set a colour, rename a window or turn the line's
    direction. Line ends and tabs stay (as one line each, tabs as a space) unless ``keep_lines``
    is false, which gives a single line.
    """
    clean = _INVISIBLE.sub("", _ANSI.sub("", text.replace("\r\n", "\n")))
    clean = _CONTROL.sub("", clean.replace("\r", "\n")).replace("\t", " ")
    clean = _without_surrogates(clean)
    return clean if keep_lines else " ".join(clean.split())


def csv_safe(value: Any) -> Any:
    """The cell's value; text that a spreadsheet would run as a formula gets a leading ``'``.

    Formulas begin with ``=``, ``+``, ``-``, ``@``, a tab or a line end (OWASP, "CSV Injection"),
    also behind blanks. Numbers stay as they are, and so does text that is nothing but a number.
    NUL and lone surrogates, which break readers of CSV, are taken out.
    """
    if not isinstance(value, str) or (value.isascii() and _ORDINARY.match(value)):
        return value
    clean = _without_surrogates(value.replace("\x00", ""))
    if _NUMBER.fullmatch(clean):
        return clean
    starts = clean.startswith(_FORMULA_STARTS) or clean.lstrip().startswith(_FORMULA_STARTS)
    return f"'{clean}" if starts else clean


def markdown_safe(text: str) -> str:
    """The text on one line with every character that Markdown or HTML gives a meaning escaped."""
    line = terminal_safe(text, keep_lines=False)
    escaped = _MARKDOWN.sub(r"\\\1", line)
    escaped = _MARKDOWN_START.sub(_escaped_start, escaped)
    return escaped.replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")


def visible(text: str) -> str:
    """The text with control and invisible characters shown by symbols or code points.

    For fixed parts of a page; the trial view does the same in the browser. Line ends and tabs
    stay as they are.
    """
    shown = _CONTROL.sub(_symbol, text.replace("\r\n", "\n"))
    return _without_surrogates(_INVISIBLE.sub(lambda hit: f"⟨{ord(hit[0]):04X}⟩", shown))


def one_line(text: str, length: int) -> str:
    """The text on one line, cut to that many characters with an ellipsis."""
    line = " ".join(visible(text[: length * 4 + 64]).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def script_json(value: Any) -> str:
    """JSON that may stand inside ``<script type="application/json">``: nothing can end it.

    ``<``, ``>``, ``&`` and the two line separators of JavaScript are written as escapes.
    ValueError where a figure is NaN or infinite: JSON has no such number.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def safe_link(url: str | None) -> str | None:
    """The address where it is an http, https or file one, else None: no script can be a link."""
    if not url or _CONTROL.search(url) or _SPACE.search(url):
        return None
    try:
        scheme = urlsplit(url).scheme.lower()
    except ValueError:
        return None
    return url if scheme in {"http", "https", "file"} else None


def display_width(text: str) -> int:
    """Columns that a terminal gives the text: two for wide characters, none for combining ones."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _escaped_start(hit: re.Match[str]) -> str:
    """A line's beginning that would make it a list, a heading or a rule, made plain."""
    return f"{hit[1]}\\" if hit[1].isdigit() else f"\\{hit[1]}"


def _symbol(hit: re.Match[str]) -> str:
    """A control character's picture: U+2400 and on for ASCII, else its code point."""
    code = ord(hit[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"⟨{code:04X}⟩"


def _without_surrogates(text: str) -> str:
    """The text with lone surrogates replaced: they cannot be written as UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")
