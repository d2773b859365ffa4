"""Fiscal years that a question asks for.

Enters: text. Leaves: years, and what only the data can settle ("the last three years", "since
2018"). A number with a unit is no year: $2,018 million, 2020 employees.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

_LONGEST_RANGE = 40

_COUNTS = {
    word: number
    for number, word in enumerate(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], start=1
    )
}
_COUNT = rf"(?P<count>\d{{1,2}}|{'|'.join(_COUNTS)})"
_LABEL = r"(?:(?:fiscal|financial|calendar)(?:\s+years?)?|FY|FYE|years?)"
_FULL = r"(?:19|20)\d\d"
_SHORT = r"(?:(?:FY|fiscal(?:\s+year)?)\s?['’]?|['’])\d{2}"
_UNIT = (
    r"(?!\s*(?:%|percent|per\s?cent|basis|bps|thousand|million|billion|trillion|mn\b|bn\b|dollars?"
    r"|usd|shares|employees|people|stores|patents|vehicles|units|customers|square|pages|words"
    r"|countries|times))"
)
_YEAR = rf"(?:(?:the\s+)?{_LABEL}\s*['’]?)?(?:(?<![\d$€£.,#]){_FULL}(?![\d]|[.,]\d)|{_SHORT})(?!\d)"
_JOINED = (
    r"(?:\s*(?:-|–|—|‑|−)\s*"
    r"|\s+(?:up\s+)?(?:to|through|thru|until|till)\s+(?:and\s+including\s+)?)"
)
_SINCE = (
    rf"\b(?:(?:since|from)\s+)?(?P<anchor>{_YEAR})\s+(?:onwards?|on|to\s+(?:date|now|today))\b"
    rf"|\bsince\s+(?P<plain>{_YEAR})"
)
_SINGLE = rf"(?<!\w)(?:{_LABEL}\s*)?['’]?{_YEAR}{_UNIT}"
_RECENT = (
    rf"\b(?:last|past|latest|most\s+recent|recent|previous)\s+(?:{_COUNT}\s+)?"
    r"(?:(?:fiscal|full|reported|available|financial)\s+)*(?P<noun>years?|10-K|annual\s+report)"
    r"|\b(?:latest|newest|most\s+recent)\b(?!\s+quarter)"
)
_DIGITS = re.compile(r"\d{4}|\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Years:
    """Years as asked for: ``named`` ascending; the rest is for the data to settle.

    ``recent`` is a number of latest years, ``open_from`` a first year without a last one; None
    where the question says no such thing. ``is_span`` says that only a range was named.
    """

    named: tuple[int, ...] = ()
    recent: int | None = None
    open_from: int | None = None
    is_span: bool = False


def read_years(text: str) -> tuple[Years, str]:
    """The years, and the text with every mention of one blanked out."""
    found: set[int] = set()
    spans = 0
    if not _DIGITS.search(text):
        return Years(recent=_recent(text)), text
    lowered = text.lower()
    for rule in _RULES:
        if not any(word in lowered for word in rule.needs):
            continue
        for match in _compiled(rule.pattern).finditer(text):
            years = rule.years(match)
            found.update(years)
            spans += len(years) > 1
            text = _blanked(text, match) if years else text
    open_from, text = _open(text, lowered)
    singles = [_year(match.group()) for match in _compiled(_SINGLE).finditer(text)]
    found.update(singles)
    years_named = Years(
        named=tuple(sorted(found)),
        recent=None if found or open_from else _recent(text),
        open_from=open_from,
        is_span=spans == 1 and not singles,
    )
    return years_named, _compiled(_SINGLE).sub(_spaces, text)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, compiled when first needed: all at once would slow every start."""
    return re.compile(pattern, re.IGNORECASE)


def _recent(text: str) -> int | None:
    match = _compiled(_RECENT).search(text)
    if match is None:
        return None
    if match["count"]:
        return _count(match["count"])
    return 3 if (match["noun"] or "").lower() == "years" else 1


def _open(text: str, lowered: str) -> tuple[int | None, str]:
    if not any(word in lowered for word in ("since", " on", " to date", " to now", " to today")):
        return None, text
    match = _compiled(_SINCE).search(text)
    if match is None:
        return None, text
    return _year(match["anchor"] or match["plain"]), _blanked(text, match)


def _range(match: re.Match[str]) -> range:
    first, last = _year(match["first"]), match["last"]
    end = first // 100 * 100 + int(last) if last.isdigit() and len(last) == 2 else _year(last)
    low, high = min(first, end), max(first, end)
    return range(low, high + 1) if high - low < _LONGEST_RANGE else range(0)


def _before(match: re.Match[str]) -> range:
    anchor = _year(match["anchor"])
    return range(anchor - _count(match["count"]), anchor)


def _up_to(match: re.Match[str]) -> range:
    anchor = _year(match["anchor"])
    return range(anchor - _count(match["count"]) + 1, anchor + 1)


def _and_before(match: re.Match[str]) -> range:
    anchor = _year(match["anchor"])
    return range(anchor - _count(match["count"]), anchor + 1)


def _after(match: re.Match[str]) -> range:
    anchor = _year(match["anchor"])
    return range(anchor + 1, anchor + _count(match["count"]) + 1)


def _beside(match: re.Match[str]) -> range:
    anchor = _year(match["anchor"])
    year = anchor + 1 if match["side"].lower() in {"after", "following"} else anchor - 1
    return range(year, year + 1)


def _decade(match: re.Match[str]) -> range:
    first = int(match["first"])
    return range(first, first + 10)


@dataclass(frozen=True, slots=True)
class _Rule:
    """A wording of several years; looked for only where one of ``needs`` stands in the text."""

    pattern: str
    years: Callable[[re.Match[str]], range]
    needs: tuple[str, ...]


_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_EARLIER = r"(?:prior|previous|preceding)"
#: In this order: what an earlier rule took, a later one does not see.
_RULES = (
    # "the last three years before 2020": none of them is 2020 itself.
    _Rule(
        rf"(?:{_COUNT}\s+)(?:(?:fiscal|full|{_EARLIER})\s+)*years?\s+(?:immediately\s+)?"
        rf"(?:before|prior\s+to|preceding|leading\s+up\s+to)\s+(?P<anchor>{_YEAR})",
        _before,
        ("before", "prior", "preceding", "leading"),
    ),
    _Rule(
        rf"(?:{_COUNT}\s+)(?:(?:fiscal|full)\s+)*years?\s+(?:up\s+to|through|to|until"
        r"|ending(?:\s+in)?|ended(?:\s+in)?|ending\s+with|including)\s+"
        rf"(?:and\s+including\s+)?(?:{_MONTH}\s+(?:\d{{1,2}},?\s+)?)?(?P<anchor>{_YEAR})",
        _up_to,
        ("years ", "year "),
    ),
    _Rule(
        rf"(?P<anchor>{_YEAR})\s*,?\s+and\s+(?:(?:in|for|over|during)\s+)?(?:the\s+)?"
        rf"(?:{_COUNT}\s+)?(?:{_EARLIER}\s+(?:fiscal\s+)?years?"
        r"|(?:fiscal\s+)?years?\s+(?:before|earlier|prior))",
        _and_before,
        ("prior", "previous", "preceding", "before", "earlier"),
    ),
    _Rule(
        rf"(?:{_COUNT}\s+)(?:(?:fiscal|full)\s+)*years?\s+(?:after|following|since)\s+"
        rf"(?P<anchor>{_YEAR})",
        _after,
        ("after", "following", "since"),
    ),
    _Rule(
        r"\byear\s+(?:immediately\s+)?(?P<side>before|prior\s+to|preceding|after|following)\s+"
        rf"(?P<anchor>{_YEAR})",
        _beside,
        ("before", "prior", "preceding", "after", "following"),
    ),
    _Rule(rf"between\s+(?P<first>{_YEAR})\s+(?:and|to)\s+(?P<last>{_YEAR})", _range, ("between",)),
    _Rule(rf"(?P<first>{_YEAR}){_JOINED}(?P<last>{_YEAR}|\d{{2}}(?![\d%.,]))", _range, ("",)),
    _Rule(r"\b(?P<first>(?:19|20)\d0)s\b", _decade, ("0s",)),
)


def _count(text: str | None) -> int:
    return 1 if text is None else _COUNTS.get(text.lower()) or min(int(text), _LONGEST_RANGE)


def _year(text: str) -> int:
    digits = _DIGITS.findall(text)[-1]
    if len(digits) == 4:
        return int(digits)
    return int(digits) + (2000 if int(digits) < 50 else 1900)


def _blanked(text: str, match: re.Match[str]) -> str:
    return text[: match.start()] + _spaces(match) + text[match.end() :]


def _spaces(match: re.Match[str]) -> str:
    return " " * (match.end() - match.start())
