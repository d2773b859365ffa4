"""Numbers as people write them: every quantity of a text, with its scale, unit and sign.

Enters: any text. Leaves: ``Quantity`` values in the order of the text; what only looks like a
quantity (dates, item numbers, citations, names such as 10-K) is left out, years are marked.
It does not know what was asked. The grammar is written down in ``docs/numeric.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from finrag_eval.score.names import end_of_name, spans_apart
from finrag_eval.score.scales import share_scales
from finrag_eval.score.typography import plain
from finrag_eval.score.words import scaled_words
from finrag_eval.score.writing import (
    CENTS,
    CODE_BEFORE,
    COMMON_RIGHT,
    DOLLAR_LETTERS,
    FACTORS,
    LEADS,
    MONEY_SIGNS,
    NEGATIVE_WORD,
    NUMBER,
    RIGHT,
    RIGHT_IN_BRACKETS,
    SCALES,
    SPACED_GROUPS,
    TIME,
    UNIT_STARTS,
    Form,
    currency_of,
    form_of,
    scale_of,
    value_of,
)

Sign = Literal["minus", "brackets"]

_PLAIN: Form = "plain"

_CLOSES = ("close", "close2", "close3", "close4")


@dataclass(slots=True, kw_only=True)
class Quantity:
    """One number of a text. ``face`` is what the digits say, unsigned; ``scale`` multiplies it.

    ``start`` and ``end`` enclose all that was read, in the text as ``plain`` spells it. ``sign``
    is None where the writing carries no minus. ``ulp`` is one unit of the last digit written.
    """

    text: str
    start: int
    end: int
    face: float
    ulp: float
    scale: float = 1.0
    form: Form = "plain"
    currency: str | None = None
    sign: Sign | None = None
    per_share: bool = False
    in_words: bool = False
    range_to: Quantity | None = None

    @property
    def size(self) -> float:
        """The unsigned value: percentages as shares, money in whole units of its currency."""
        return self.face * self.scale * FACTORS.get(self.form, 1.0)

    @property
    def value(self) -> float:
        return -self.size if self.sign else self.size

    @property
    def is_relative(self) -> bool:
        """Whether it is written as a percentage, in percentage points or in basis points."""
        return self.form in FACTORS

    @property
    def is_bare(self) -> bool:
        """Whether it is digits alone: no scale, unit or currency."""
        return self.form in ("plain", "year") and self.scale == 1.0 and self.currency is None


@dataclass(frozen=True, slots=True)
class Reading:
    """A text in plain spelling and its quantities; years are among them."""

    text: str
    quantities: tuple[Quantity, ...]


@lru_cache(maxsize=256)
def read(text: str) -> Reading:
    """Every quantity of the text, in order; kept for the last texts, since cells share contexts."""
    spelled = f" {plain(text)}  "  # so that something stands around every number
    found = [*_in_digits(spelled), *scaled_words(spelled)]
    found.sort(key=lambda quantity: quantity.start)
    share_scales(spelled, found)
    return Reading(spelled, tuple(found))


def _in_digits(text: str) -> Iterator[Quantity]:
    apart = list(spans_apart(text)) if "[" in text or "http" in text else []
    apart.reverse()
    read_until = 0
    for number in NUMBER.finditer(text):
        start, end = number.span()
        while apart and apart[-1][1] <= start:
            apart.pop()
        if start < read_until or (apart and apart[-1][0] <= start):
            continue
        quantity = _year(text, start, end) or _common(text, start, end)
        if quantity is not None:
            read_until = quantity.end
            yield quantity
            continue
        if text[start - 1] == "." and not (text[start - 2].isalnum() or text[start - 2] == "."):
            start -= 1
        name_end = end_of_name(text, start, end)
        if name_end:
            read_until = name_end
            continue
        quantity = _quantity(text, start, end)
        if quantity is not None:
            read_until = quantity.end
            yield quantity


def _year(text: str, start: int, end: int) -> Quantity | None:
    """A year beyond doubt, as most numbers of a filing are, also as FY2020 or FY20."""
    digits, before = text[start:end], text[start - 1]
    if before in "YF" and text[start - 2 : start] in ("FY", "CY", " F"):
        if end - start not in (2, 4) or not digits.isdigit() or text[end].isalnum():
            return None
        begin = start - 1 if text[start - 2] == " " else start - 2
        year = float(digits) if end - start == 4 else 2000 + float(digits)
        return Quantity(text=text[begin:end], start=begin, end=end, face=year, ulp=1.0, form="year")
    if end - start != 4 or before not in " (\n|" or not _looks_like_year(digits):
        return None
    after, further = text[end], text[start - 2]
    if after not in ",.;:)?!|\n" and (
        after != " " or text[end + 1 : end + 3].lower() in UNIT_STARTS
    ):
        return None
    if text[end + 1].isdigit() or further in LEADS or further.isupper():
        return None
    return Quantity(text=digits, start=start, end=end, face=float(digits), ulp=1.0, form="year")


def _common(text: str, start: int, end: int) -> Quantity | None:
    """A quantity in one of the plainest forms ($5, $5 million, 5 million, 5%), read at once.

    Most are; None leaves the rest to the whole grammar, which reads these forms alike.
    """
    before, begin, currency = text[start - 1], start, None
    if before == "$":
        begin, currency = start - 1, "USD"
        before = text[begin - 1]
    if before not in " \n" or (currency is None and _may_end_code(text, begin)):
        return None
    if text[begin - 2] in LEADS:
        return None
    right = COMMON_RIGHT.match(text, end)
    if right is None or (currency is None and right["scale"] is None and right["unit"] is None):
        return None
    finish = right.end()
    form: Form = "percent" if right["unit"] else "plain"
    scale = SCALES[right["scale"].lower()] if right["scale"] else 1.0
    face, decimals = value_of(text[start:end])
    return Quantity(
        text=text[begin:finish],
        start=begin,
        end=finish,
        face=face,
        ulp=10.0**-decimals * scale * FACTORS.get(form, 1.0),
        scale=scale,
        form=form,
        currency=currency,
        sign="minus" if _is_called_negative(text, begin) else None,
    )


@dataclass(slots=True)
class _Lead:
    """What stands before the digits and belongs to them, from ``begin`` on."""

    begin: int
    currency: str | None = None
    minus: bool = False
    opened: bool = False


def _quantity(text: str, start: int, end: int) -> Quantity | None:
    """The quantity whose digits stand between start and end; None where they are part of a word."""
    lead = _lead(text, start)
    if lead is None:
        return None
    if lead.currency is not None:
        spaced = SPACED_GROUPS.match(text, end)
        end = spaced.end() if spaced else end
    right = (RIGHT_IN_BRACKETS if lead.opened else RIGHT).match(text, end)
    closed = lead.opened and right is not None and any(right[name] for name in _CLOSES)
    if lead.opened and not closed:
        right = RIGHT.match(text, end)
        lead = _Lead(text.rfind("(", lead.begin, start) + 1, lead.currency, lead.minus)
    return _assemble(text, start, end, lead, right, closed)


def _lead(text: str, start: int) -> _Lead | None:
    """The currency, minus and bracket before the digits; None where a word runs into them."""
    begin = start
    while text[begin - 1] in LEADS or (text[begin - 1] in " \u00a0" and _joins(text, begin)):
        begin -= 1
    run = text[begin:start]
    before = text[begin - 1]
    currency = next((sign for sign in run if sign in MONEY_SIGNS), None)
    if currency == "$" and before.isupper():
        letters = DOLLAR_LETTERS.search(text, max(0, begin - 3), begin)
        if letters and run[0] == "$":
            currency, begin = letters.group() + "$", letters.start()
    elif currency is None and _may_end_code(text, begin):
        code = CODE_BEFORE.search(text, max(0, begin - 5), begin)
        if code:
            currency, begin = code.group().strip(), code.start()
    if currency and not run.startswith(("-", "–", "(")):
        while text[begin - 1] in "-–(":
            begin -= 1
        run = text[begin:start]
        before = text[begin - 1]
    if not run and currency is None:
        return None if before.isalpha() or before in "_#@" else _Lead(start)
    minus = _is_minus(text, begin, run, currency)
    if "-" in run or "–" in run:
        if not minus and currency is None and _is_word(before) and run[-1] in "-–":
            return None
        if not minus and run[0] in "-–":
            begin += 1
    return _Lead(begin, currency, minus, "(" in run)


def _joins(text: str, place: int) -> bool:
    """Whether the blank before ``place`` stands between a currency or bracket and the rest."""
    sign = text[place - 2]
    return sign in MONEY_SIGNS or (sign == "(" and text[place].isdigit())


def _may_end_code(text: str, begin: int) -> bool:
    """Whether a currency's code may end right before ``begin``, with or without a blank."""
    last = text[begin - 1]
    if last in " \u00a0":
        last = text[begin - 2]
    return last.isupper() or last in ".s"


def _is_word(character: str) -> bool:
    return character.isalpha() or character == "_"


def _is_minus(text: str, begin: int, run: str, currency: str | None) -> bool:
    """Whether a dash before a number is its minus: it touches the number, and nothing else."""
    place = max(run.find("-"), run.find("–"))
    if place < 0:
        return False
    if place > 0 or (currency and text[begin] not in "-–"):
        return True
    before = text[begin - 1]
    return not (before.isalnum() or before in ")%")


def _assemble(
    text: str, start: int, end: int, lead: _Lead, right: re.Match[str] | None, closed: bool
) -> Quantity | None:
    assert right is not None  # every part of it may be absent
    finish = right.end()
    if finish == end and lead.currency is None:
        following = text[end]
        if (
            following == " "
            and text[end + 1].isdigit()
            and (spaced := SPACED_GROUPS.match(text, end))
        ):
            further = RIGHT.match(text, spaced.end())
            if further is not None and further.end() > spaced.end() and end - start <= 3:
                return _assemble(text, start, spaced.end(), lead, further, closed)
        if _is_word(following):
            return None
    scale, form = (scale_of(right), form_of(right["unit"])) if finish > end else (1.0, _PLAIN)
    after = right["after"]
    written = lead.currency or after
    if after and after.lower() in CENTS:
        scale *= 0.01
    if finish == end and written is None:
        if not lead.minus and _looks_like_year(text[start:end]):
            form, closed = "year", False
        elif (
            text[end] in " -\u00a0"
            and text[end + 1] in "ymwdhqfc"
            and (time := TIME.match(text, end))
        ):
            form, finish = "time", time.end()
    begin = lead.begin
    minus = lead.minus or _is_called_negative(text, begin)
    face, decimals = value_of(text[start:end])
    return Quantity(
        text=text[begin:finish].strip(),
        start=begin,
        end=finish,
        face=face,
        ulp=10.0**-decimals * scale * FACTORS.get(form, 1.0),
        scale=scale,
        form=form,
        currency=None if written is None else currency_of(written),
        sign="minus" if minus else "brackets" if closed else None,
        per_share=right["share"] is not None,
    )


def _is_called_negative(text: str, begin: int) -> bool:
    """Whether "minus" or "negative" stands before the quantity."""
    if text[begin - 2] not in "esfty":
        return False
    before = text[max(0, begin - 24) : begin].lower()
    return ("minus" in before or "negative" in before) and bool(NEGATIVE_WORD.search(before))


def _looks_like_year(digits: str) -> bool:
    return len(digits) == 4 and digits.isdigit() and "1900" <= digits <= "2100"
