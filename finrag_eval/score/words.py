"""Numbers in words: "two", "twenty-five percent", "half a billion dollars"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from finrag_eval.score.writing import FACTORS, RIGHT, TIME, currency_of, form_of, scale_of

if TYPE_CHECKING:
    from finrag_eval.score.quantities import Quantity

_UNITS = {
    "zero": 0.0,
    "nil": 0.0,
    "one": 1.0,
    "two": 2.0,
    "three": 3.0,
    "four": 4.0,
    "five": 5.0,
    "six": 6.0,
    "seven": 7.0,
    "eight": 8.0,
    "nine": 9.0,
    "ten": 10.0,
    "eleven": 11.0,
    "twelve": 12.0,
    "thirteen": 13.0,
    "fourteen": 14.0,
    "fifteen": 15.0,
    "sixteen": 16.0,
    "seventeen": 17.0,
    "eighteen": 18.0,
    "nineteen": 19.0,
}
_TENS = {
    "twenty": 20.0,
    "thirty": 30.0,
    "forty": 40.0,
    "fifty": 50.0,
    "sixty": 60.0,
    "seventy": 70.0,
    "eighty": 80.0,
    "ninety": 90.0,
}
_VALUES = {**_UNITS, **_TENS}
_FRACTIONS = {"half": 0.5, "quarter": 0.25}
_NAMES = "|".join([*sorted(_UNITS, key=len, reverse=True), *_TENS])
_NUMBER = rf"(?:{_NAMES})(?:[ -](?:{_NAMES}))?(?: hundred(?: and (?:{_NAMES})(?:-(?:{_NAMES}))?)?)?"
_DIGITS = "|".join(name for name, value in _UNITS.items() if value < 10 and name != "nil")
_SCALE = re.compile(r"(?<=[a-z][ -])(?:thousand|million|billion|trillion|percent)\b", re.IGNORECASE)
_BEFORE_SCALE = re.compile(
    rf"\b(?:(?P<number>{_NUMBER})(?:[ -]and[ -](?:a[ -]|one[ -])?(?P<extra>half|quarter)"
    rf"| point (?P<decimals>(?:{_DIGITS})(?: (?:{_DIGITS}))*))?"
    r"|(?P<fraction>half|quarter) (?:of )?an?|(?P<article>an?))[ -]$",
    re.IGNORECASE,
)
_COUNT = re.compile(rf"\b(?P<number>{_NUMBER})\b(?!-)", re.IGNORECASE)


def scaled_words(text: str) -> Iterator[Quantity]:
    """Every quantity in words with a scale or percent behind: "half a billion", "five percent"."""
    read_until = 0
    for scale in _SCALE.finditer(text.lower()):
        place = scale.start()
        if place < read_until or text[place - 1] not in " -" or not text[place - 2].isalpha():
            continue
        words = _BEFORE_SCALE.search(text, max(0, place - 40), place)
        if words is None or (words["article"] and text[scale.end()] == "-"):
            continue
        quantity = _quantity(text, words, place - 1)
        if quantity is not None:
            read_until = quantity.end
            yield quantity


def counts_in_words(text: str) -> Iterator[Quantity]:
    """Every whole number in words, without those that ``scaled_words`` gives."""
    for words in _COUNT.finditer(text):
        quantity = _quantity(text, words, words.end())
        if quantity is not None and quantity.scale == 1 and not quantity.is_relative:
            yield quantity


def _quantity(text: str, words: re.Match[str], end: int) -> Quantity | None:
    from finrag_eval.score.quantities import Quantity

    right = RIGHT.match(text, end)
    assert right is not None  # every part of it may be absent
    face, finish = _face(words.groupdict()), right.end()
    scale, form = scale_of(right), form_of(right["unit"])
    if finish == end and (time := TIME.match(text, end)):
        form, finish = "time", time.end()
    after = right["after"]
    return Quantity(
        text=text[words.start() : finish].strip(),
        start=words.start(),
        end=finish,
        face=face,
        ulp=scale * FACTORS.get(form, 1.0) * (1.0 if face == int(face) else 0.1),
        scale=scale,
        form=form,
        currency=None if after is None else currency_of(after),
        per_share=right["share"] is not None,
        in_words=True,
    )


def _face(words: dict[str, str | None]) -> float:
    fraction, number = words.get("fraction"), words.get("number")
    if fraction:
        return _FRACTIONS[fraction.lower()]
    if number is None:
        return 1.0
    total = 0.0
    for word in re.split(r"[ -]+", number.lower()):
        total = total * 100 if word == "hundred" else total + _VALUES.get(word, 0.0)
    decimals = (words.get("decimals") or "").lower().split()
    total += sum(_UNITS[digit] * 10.0**-place for place, digit in enumerate(decimals, 1))
    return total + _FRACTIONS.get((words.get("extra") or "").lower(), 0.0)
