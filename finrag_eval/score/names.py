"""Digits that are no figures: dates, item numbers, citations, versions, list marks.

Enters: a text in plain spelling and where a number stands in it. Leaves: where the name that the
number belongs to ends, or 0 when it is a figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from finrag_eval.score.writing import RIGHT

_APART = re.compile(r"https?://\S+|\[[^\[\]\n]{0,300}\]")
_BARE_QUANTITY = re.compile(
    r"\[[ ]?[-(]?[ ]?(?:[$€£¥]|US\$|USD ?)?[ ]?[-(]?[0-9][0-9,.]*\)?[ ]?"
    r"(?:%|percent|thousand|million|billion|trillion|[kKmMbBT]|bn|mn)?\)?[ ]?\]"
)
_REFERENCE = re.compile(r"\[\(?[0-9]{1,3}\]")
_FORM_NAME = re.compile(r"-?(?:K|Q|F)(?:/A)?\b")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b")
_MONTH_AFTER = re.compile(
    r"(?:st|nd|rd|th)?[ \u00a0](?:of )?"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"[0-9]{1,4}/[0-9]{1,2}/(?:[0-9]{4}|[0-9]{2})(?![0-9])"
    r"|(?:19|20)[0-9]{2}-[0-9]{2}(?:-[0-9]{2})?(?![0-9])"
    r"|(?:19|20)[0-9]{2}/(?:[0-9]{4}|[0-9]{2})(?![0-9])"
)
_SPLIT = re.compile(r"-(?:for|to)-(?:[0-9]+|one|two)\b")
_LIST_MARK = re.compile(r"(?:[.)]|\.\))[ \u00a0]+\S")

_MONTHS = frozenset(
    {
        *("jan", "january", "feb", "february", "mar", "march", "apr", "april", "may"),
        *("jun", "june", "jul", "july", "aug", "august", "sep", "sept", "september"),
        *("oct", "october", "nov", "november", "dec", "december"),
    }
)
#: Words whose following number is a name, not a quantity.
_NAMED = frozenset(
    {
        *("item", "items", "note", "notes", "form", "forms", "section", "sections", "sec", "part"),
        *("parts", "page", "pages", "exhibit", "exhibits", "table", "tables", "figure", "fig"),
        *("step", "steps", "topic", "topics", "subtopic", "asc", "asu", "ifrs", "ias", "sfas"),
        *("fas", "level", "levels", "tier", "rule", "rules", "chapter", "chapters", "covid"),
        *("basel", "s&p", "p", "fortune", "russell", "nasdaq", "ftse", "nikkei", "phase"),
        *("version", "windows", "office", "xbox", "no", "nos", "chunk", "doc", "passage"),
        *("passages", "source", "sources", "ref", "q", "fy", "cy", "quarter", "quarters"),
        *("footnote", "appendix", "schedule", "paragraph", "line", "row", "column", "question"),
        *("example", "option", "scenario", "class", "series"),
    }
)
_FORMS = frozenset(("6", "8", "10", "20", "40"))


def spans_apart(text: str) -> Iterator[tuple[int, int]]:
    """The spans of links and bracketed citations: no number in them is a figure."""
    for span in _APART.finditer(text):
        written = span.group()
        if _REFERENCE.fullmatch(written) or not _BARE_QUANTITY.fullmatch(written):
            yield span.span()


def end_of_name(text: str, start: int, end: int) -> int:
    """Where the date, version, item or name around the digits ends; 0 where they are a figure."""
    following = text[end : end + 2]
    first = following[:1]
    if first in ("/", "-"):
        date = _DATE.match(text, start) or _SPLIT.match(text, end)
        if date:
            return date.end()
    elif first == "_" or (first in (".", ":") and following[1:].isalnum()):
        is_ratio = first == ":" and text[end + 1 : end + 3].strip(" .,;)\n|") == "1"
        if not is_ratio:
            return _run_end(text, end)
    digits = text[start:end]
    if not digits.isdigit():
        return end if len(digits) <= 5 and _is_numbered(text, start) else 0
    return end if _is_named(text, start, end, digits) else 0


def _is_numbered(text: str, start: int) -> bool:
    """Whether the word before is one that numbers follow as names: "Exhibit 21.1"."""
    return _word_before(text, start) in _NAMED


def _word_before(text: str, start: int) -> str:
    """The word right before ``start``, in lower case; empty where something else stands there."""
    before = text[max(0, start - 14) : start]
    word = before.rstrip(" \u00a0").rstrip("#-–").rstrip(".")
    if len(before) - len(word) > 2:
        return ""
    return word.replace("\n", " ").rpartition(" ")[2].lstrip("(\"'").lower()


def _run_end(text: str, end: int) -> int:
    while end < len(text) and (text[end].isalnum() or text[end] in "_.:-"):
        end += 1
    return end


def _is_named(text: str, start: int, end: int, digits: str) -> bool:
    """Whether whole digits are part of a date, a list mark, or the name of something."""
    if text[end : end + 1].isalpha() and _ORDINAL.match(text, end):
        return True
    if digits in _FORMS and _FORM_NAME.match(text, end):
        return not text[start - 2 : start].rstrip().endswith("$")
    if digits == "000":
        return True
    if digits == "401" and text[end : end + 3].lower() in ("(k)", "k)"):
        return True
    small = len(digits) <= 2
    if small and _MONTH_AFTER.match(text, end):
        return True
    if len(digits) > 6 or (len(digits) == 4 and "1900" <= digits <= "2100"):
        return False
    if _is_name_of(_word_before(text, start), digits):
        right = RIGHT.match(text, end)
        return right is None or right.end() == end
    return small and _LIST_MARK.match(text, end) is not None and _starts_line(text, start)


def _is_name_of(word: str, digits: str) -> bool:
    if word in _MONTHS:
        return len(digits) <= 2 or len(digits) in (5, 6)  # "june 302008" is a day and a year
    return word in _NAMED and len(digits) <= 4


def _starts_line(text: str, start: int) -> bool:
    before = text[max(0, start - 6) : start]
    first_line = start <= 6
    return (first_line or "\n" in before) and not before.rpartition("\n")[2].strip(" \t(-*")
