"""Texts made comparable: one case, one spacing, one way to write a number."""

from __future__ import annotations

import re
from functools import lru_cache

from finrag_eval.score.quantities import Quantity, read

_SPACE = re.compile(r"\s+")
_EDGES = " \t\n.,;:!?\"'()[]*#-–"


@lru_cache(maxsize=512)
def normal(text: str) -> str:
    """The text in lower case with single blanks; numbers in full, without currency or separators.

    ``$25,094 million`` and ``25.094 billion`` both become ``25094000000``; ``5 percent`` and
    ``5.0%`` become ``5%``; ``(2.3)%`` becomes ``-2.3%``.
    """
    reading = read(text)
    parts, done = [], 0
    for quantity in reading.quantities:
        if quantity.start < done:
            continue
        parts += [reading.text[done : quantity.start], f" {_digits(quantity)} "]
        done = quantity.end
    parts.append(reading.text[done:])
    return _SPACE.sub(" ", "".join(parts).casefold()).strip(_EDGES)


def _digits(quantity: Quantity) -> str:
    sign = "-" if quantity.sign else ""
    if quantity.is_relative:
        return f"{sign}{quantity.size * 100:.10g}%"
    suffix = "x" if quantity.form == "multiple" else ""
    return f"{sign}{quantity.face * quantity.scale:.15g}{suffix}"


def holds(text: str, part: str) -> bool:
    """Whether a normal text holds a normal part as whole words."""
    if not part:
        return False
    return re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None
