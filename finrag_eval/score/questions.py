"""What a question asks of a number: years, scale, unit, direction, and the words that matter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from finrag_eval.score.quantities import Quantity, read
from finrag_eval.score.scales import declared_scales

_WORD = re.compile(r"[a-z&]{2,}")
_STOP = frozenset(
    {
        *("what", "which", "how", "much", "many", "was", "were", "is", "are", "did", "does", "do"),
        *("the", "a", "an", "of", "in", "for", "from", "to", "and", "or", "by", "at", "as", "on"),
        *("its", "it", "their", "this", "that", "with", "be", "been", "has", "have", "had", "s"),
        *("fiscal", "year", "years", "fy", "report", "reported", "company", "please", "give"),
        *("than", "between", "during", "ended", "end", "there", "respective", "respectively"),
        *("million", "millions", "billion", "billions", "thousand", "thousands", "us", "usd", "we"),
        *("approximately", "about", "nearly", "roughly", "around", "total", "answer", "based"),
    }
)
#: What a question has computed, and the stems that name it in an answer.
_OPERATIONS = {
    "change": "chang|increas|decreas|declin|grew|grow|rose|fell|drop",
    "difference": "differ|more|less|higher|lower|exceed|greater",
    "average": "averag|mean",
    "sum": "sum|total|combin|altogether",
    "ratio": "ratio|percent|share|portion|proportion|times",
    "extreme": "high|low|maxim|minim|larg|small|peak|great|most|least",
}
_CHANGE = re.compile(
    r"\b(?:chang|increas|decreas|declin|grow|grew|rose|rise|fell|fall|drop|return|roi\b)", re.I
)
_DIFFERENCE = re.compile(
    r"\b(?:differ|exceed|by how much|how much (?:more|less|higher|lower|larger|greater)"
    r"|more than|less than|longer)",
    re.I,
)
_EXTREME = re.compile(
    r"\b(?:(?:high|low|large?|small|great)(?:er|r|est|st)|maximum|minimum|peak)\b", re.I
)
_AVERAGE = re.compile(r"\b(?:average|mean)\b", re.I)
_SUM = re.compile(r"\b(?:sum of|total of|combined|altogether)\b", re.I)
_SHARE = re.compile(
    r"\b(?:percent\w*|share of|portion|proportion|ratio|margin|rate|yield|growth|in percent)\b|%",
    re.I,
)
_PERCENT = re.compile(r"\b(?:percent\w*|margin|growth|rate)\b|%", re.I)
_BASIS_POINTS = re.compile(r"\bbasis points?\b|\bbps\b", re.I)
_ASKS_DECREASE = re.compile(
    r"\b(?:decreas\w*|declin\w*|drop(?:ped)?|fall|fell|shrink|shrank|reduced)\b", re.I
)
_ASKS_RISE = re.compile(
    r"\b(?:increas\w*|chang\w*|grow\w*|grew|gain\w*|ris\w+|rose|higher|differ\w*)\b", re.I
)
_ASKS_LOSS = re.compile(
    r"\b(?:net|operating|pre-?tax|the|a|its|'s) loss(?:es)?\b(?! carry)|\bloss per share"
    r"|\bused (?:in|for)\b|\boutflows?\b|\bdeficit\b",
    re.I,
)
_ASKS_YEAR = re.compile(
    r"\b(?:which|what) (?:\w+ )?years?\b|\bwhen\b|\byear (?:with|of|in)\b", re.I
)
_SPAN = re.compile(
    r"\b(?P<first>(?:19|20)[0-9]{2})(?:[-–]|,? (?:and|to|through|until) )"
    r"(?:fiscal (?:year )?|FY ?)?(?P<last>(?:19|20)[0-9]{2})\b"
)
_SHORT_YEAR = re.compile(r"\bFY ?'?([0-9]{2})\b(?![0-9])|\bF([0-9]{2})\b(?![0-9])")
_QUARTER = re.compile(
    r"\bQ(?P<number>[1-4])\b|\b(?P<word>first|second|third|fourth)[ -](?:fiscal )?quarter\b", re.I
)
_QUARTERS = {"first": 1, "second": 2, "third": 3, "fourth": 4}
_EFFECT = re.compile(r"\b(?:impact|effect|affect|contribut|reduc|benefit|sav(?:e|ing)|add)", re.I)
_NAME = re.compile(r"\b[A-Z][A-Za-z0-9&.-]*[A-Za-z0-9]\b")
_NOT_NAMES = frozenset(
    {
        *("what", "which", "how", "for", "in", "was", "were", "is", "are", "did", "does", "when"),
        *("by", "list", "fy", "the", "who", "where", "why", "if", "based", "according", "over"),
        *("eps", "roa", "roe", "ebitda", "ebit", "mda", "form", "item", "between", "from", "gaap"),
        *("usd", "us", "r&d", "sg&a", "january", "february", "march", "april", "may", "june"),
        *("july", "august", "september", "october", "november", "december", "q1", "q2", "q3", "q4"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the words of a question say about the number that answers it."""

    words: frozenset[str]
    operation: re.Pattern[str] | None
    years: frozenset[int]
    quarters: frozenset[int]
    quantities: tuple[Quantity, ...]
    scales: frozenset[float]
    names: frozenset[str]
    asks_share: bool
    asks_percent: bool
    asks_basis_points: bool
    asks_change: bool
    asks_difference: bool
    asks_effect: bool
    asks_decrease: bool
    asks_loss: bool
    asks_year: bool


@lru_cache(maxsize=1024)
def question(text: str) -> Question:
    """What the question asks; kept for the last questions, since cells share them."""
    reading = read(text)
    is_change = _CHANGE.search(text) is not None
    is_difference = not is_change and _DIFFERENCE.search(text) is not None
    return Question(
        words=content_words(reading.text),
        operation=_operation(text, is_change, is_difference),
        years=_asked_years(reading.text),
        quarters=quarters_in(reading.text),
        quantities=reading.quantities,
        scales=declared_scales(text),
        names=frozenset(name.lower() for name in _NAME.findall(text)) - _NOT_NAMES,
        asks_share=_SHARE.search(text) is not None,
        asks_percent=_PERCENT.search(text) is not None,
        asks_basis_points=_BASIS_POINTS.search(text) is not None,
        asks_change=is_change,
        asks_difference=is_difference,
        asks_effect=_EFFECT.search(text) is not None,
        asks_decrease=_ASKS_DECREASE.search(text) is not None and not _ASKS_RISE.search(text),
        asks_loss=_ASKS_LOSS.search(text) is not None,
        asks_year=_ASKS_YEAR.search(text) is not None,
    )


def content_words(text: str) -> frozenset[str]:
    """The words that carry meaning, in lower case and without a plural s."""
    return frozenset({word.rstrip("s") for word in {*_WORD.findall(text.lower())} - _STOP})


def years_in(text: str) -> frozenset[int]:
    """Every year that the text names, also as FY20."""
    years = {
        int(year) for year in re.findall(r"(?<![0-9,.$])(?:19|20)[0-9]{2}(?![0-9,]?[0-9%])", text)
    }
    for long, short in _SHORT_YEAR.findall(text):
        years.add(2000 + int(long or short))
    return frozenset(years)


def quarters_in(text: str) -> frozenset[int]:
    """Every quarter (1 to 4) that the text names."""
    return frozenset(
        int(found["number"] or _QUARTERS[found["word"].lower()])
        for found in _QUARTER.finditer(text)
    )


def _asked_years(text: str) -> frozenset[int]:
    """Every year that the question names, and those within a span ("between 2017 and 2020")."""
    years = set(years_in(text))
    for span in _SPAN.finditer(text):
        first, last = int(span["first"]), int(span["last"])
        if first < last <= first + 30:
            years.update(range(first, last + 1))
    return frozenset(years)


def _operation(text: str, is_change: bool, is_difference: bool) -> re.Pattern[str] | None:
    """What an answer's statement holds when it names the computation that was asked for."""
    asked = {
        "change": is_change,
        "difference": is_difference,
        "extreme": _EXTREME.search(text) is not None,
        "average": _AVERAGE.search(text) is not None,
        "sum": _SUM.search(text) is not None,
        "ratio": not is_change and _SHARE.search(text) is not None,
    }
    stems = "|".join(_OPERATIONS[name] for name, is_asked in asked.items() if is_asked)
    if not stems:
        return None
    return re.compile(rf"\b(?:{stems}){'|%' if asked['ratio'] else ''}", re.IGNORECASE)
