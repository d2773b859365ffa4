"""Scales that a number does not carry itself: ranges, lists, and tables "(in millions)"."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from finrag_eval.score.writing import FACTORS, MOVE_BEFORE

if TYPE_CHECKING:
    from finrag_eval.score.quantities import Quantity

_RANGE_GAP = re.compile(r"[ \u00a0]?[-–][ \u00a0]?|[ \u00a0]to[ \u00a0]")
_LIST_GAP = re.compile(r"[ \u00a0]?[-–/][ \u00a0]?|,?[ \u00a0](?:to|and|or|&)[ \u00a0]|,[ \u00a0]")
_APPROXIMATELY = r"(?:about |approximately |roughly |around )?$"
_FROM = re.compile(rf"\bfrom[ \u00a0]{_APPROXIMATELY}", re.IGNORECASE)
_BETWEEN = re.compile(rf"\bbetween[ \u00a0]{_APPROXIMATELY}", re.IGNORECASE)
_SIGN = r"(?:US\$|\$|USD|U\.S\.|US|€|EUR|£|GBP|dollars?)"
_DECLARED = re.compile(
    rf"\bin[ ](?:{_SIGN}[ ]?)*(?P<named>thousand|million|billion|trillion)s?\b"
    r"(?![ ]of\b(?![ ](?:dollars|U\.?S|USD|euros)))"
    rf"|\([ ]?(?:{_SIGN}[ ]?)?(?P<bracketed>thousand|million|billion)s?"
    rf"(?:[ ](?:of[ ])?(?:{_SIGN}[ ]?)+)?[ ]?\)"
    r"|(?:US\$|\$|\bUSD|€|\bEUR|£)[ ]?(?P<money>thousands|millions|billions|mn|mm|bn|m|b|k)\b"
    r"|(?:\$|USD |\()[ ]?(?P<zeros>'?000'?s?)\b",
    re.IGNORECASE,
)
#: What every declaration holds in lower case; looking for these first is many times faster.
_HINTS = (
    *("in thousand", "in million", "in billion", "in trillion", "in $", "in us", "in dollar"),
    *("$m", "$b", "$k", "$ m", "$ t", "$ b", "$t", "usd m", "usd t", "usd b", "usd k", "eur m"),
    *("€m", "€b", "€k", "£m", "£b", "(mill", "(thou", "(bill", "in eur", "in €", "in gbp", "in £"),
    *("000s", "000)", "'000", "($000", "$000"),
)
_SCALES = {"t": 1e3, "k": 1e3, "m": 1e6, "b": 1e9, "'": 1e3, "0": 1e3}
_PER_SHARE = re.compile(r"per[ -](?:\w+ )?share|\beps\b", re.IGNORECASE)


def share_scales(text: str, quantities: list[Quantity]) -> None:
    """Gives each number the scale that its range, its list or its table says, in place."""
    for place in range(len(quantities) - 2, -1, -1):
        quantity, following = quantities[place], quantities[place + 1]
        if following.start - quantity.end <= 6:
            _share_with_next(text, quantity, following)
    bare = [one for one in quantities if one.scale == 1 and one.form == "plain"]
    for first, last, factor in _declarations(text) if bare else ():
        for quantity in bare:
            if first <= quantity.start < last:
                _rescale(text, quantity, factor)


@lru_cache(maxsize=256)
def declared_scales(text: str) -> frozenset[float]:
    """Every scale that the text declares for its figures: {1e6} for "(in millions)"."""
    if not _may_declare(text):
        return frozenset()
    return frozenset(_factor(found) for found in _DECLARED.finditer(text))


def _may_declare(text: str) -> bool:
    lowered = text.lower()
    return any(hint in lowered for hint in _HINTS)


def _share_with_next(text: str, quantity: Quantity, following: Quantity) -> None:
    gap = text[quantity.end : following.start]
    if quantity.form not in ("plain", *FACTORS) or following.form in ("year", "time"):
        return
    if not _LIST_GAP.fullmatch(gap) or _is_restated(quantity, following):
        return
    if quantity.form == "plain" and quantity.scale == 1 and _is_alike(quantity, following):
        step = following.scale * FACTORS.get(following.form, 1.0)
        quantity.scale, quantity.form = following.scale, following.form
        quantity.ulp *= step
        quantity.currency = quantity.currency or following.currency
    if quantity.form == following.form and _is_range(text, quantity, gap):
        quantity.range_to = following


def _is_restated(quantity: Quantity, following: Quantity) -> bool:
    """Whether the second is the first again in percent: "0.25, or 25%"."""
    in_percent = quantity.face * 100
    return following.form == "percent" and abs(following.face - in_percent) <= 0.02 * in_percent


def _is_alike(quantity: Quantity, following: Quantity) -> bool:
    """Whether a number without a scale can share the next one's: "$1 to $2 billion", not "1, $2".

    A currency behind the next number ("1 to 2 billion dollars") belongs to both.
    """
    if quantity.currency is None:
        return following.currency is None or following.text[:1].isdigit()
    return following.currency in (None, quantity.currency) and following.form == "plain"


def _is_range(text: str, quantity: Quantity, gap: str) -> bool:
    before = text[max(0, quantity.start - 24) : quantity.start]
    if _BETWEEN.search(before):
        return gap.strip() in ("and", "-", "–")
    if gap.strip() == "to" and MOVE_BEFORE.search(before):  # "increased $2 billion to $5 billion"
        return False
    return bool(_RANGE_GAP.fullmatch(gap)) and not _FROM.search(before)


def _factor(found: re.Match[str]) -> float:
    word = found["named"] or found["bracketed"] or found["money"] or found["zeros"]
    return 1e12 if word.lower() == "trillion" else _SCALES[word[0].lower()]


def _declarations(text: str) -> list[tuple[int, int, float]]:
    """For each declaration the span of text that it holds for, and its factor."""
    if not _may_declare(text):
        return []
    found = []
    for match in _DECLARED.finditer(text):
        first, last = _reach(text, *match.span())
        found.append((first, last, _factor(match)))
    return found


def _reach(text: str, start: int, end: int) -> tuple[int, int]:
    """The span of text that a declaration holds for.

    After a figure on its line: that line. Before figures on its line: the rest of the line. On a
    line without figures, a heading or a table's header: the block that follows.
    """
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    if _has_figures(text[end:line_end]):
        return end, line_end
    if _has_figures(text[line_start:start]):
        return line_start, start
    return end, _block_end(text, line_end)


def _has_figures(text: str) -> bool:
    return any(not 1900 <= int(run) <= 2100 for run in re.findall(r"[0-9]+", text))


def _block_end(text: str, line_end: int) -> int:
    """The end of the block after a heading; one empty line between the two does not end it."""
    start = line_end
    while text[start : start + 1] in ("\n", " "):
        start += 1
    end = text.find("\n\n", start)
    return len(text) if end < 0 else end


def _rescale(text: str, quantity: Quantity, factor: float) -> None:
    if quantity.form != "plain" or quantity.scale != 1 or quantity.per_share:
        return
    line_start = text.rfind("\n", 0, quantity.start) + 1
    if not _PER_SHARE.search(text, line_start, quantity.start):
        quantity.scale = factor
        quantity.ulp *= factor
