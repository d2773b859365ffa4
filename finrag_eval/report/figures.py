"""How numbers are written for people: money, seconds, counts, scores; ``–`` where unknown.

Enters: a figure or None. Leaves: text. Rounds for the eye alone; nothing here is summed.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal

Figure = float | int | Decimal | None

#: What stands where a figure is not known. A measured zero is written as a zero.
MISSING = "–"

_MINUS = "−"


def is_missing(value: Figure) -> bool:
    """Whether there is no figure: None, or a float that is no number."""
    return value is None or not math.isfinite(value)


def money(value: Figure) -> str:
    """USD as ``$1,234.50``, ``$0.0042``: two decimals from a dollar up, two digits below.

    An exact zero is ``$0``, so that "cost nothing" cannot be mistaken for "too small to show".
    """
    if value is None or is_missing(value):
        return MISSING
    amount = Decimal(str(value))
    if amount == 0:
        return "$0"
    sign = _MINUS if amount < 0 else ""
    size = abs(amount)
    if size >= 1:
        return f"{sign}${size:,.2f}"
    places = max(2, 1 - size.adjusted())
    rounded = size.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
    return f"{sign}${rounded:f}"


def seconds(value: Figure) -> str:
    """A time as ``840 ms``, ``3.2 s``, ``1 min 15 s``, ``2 h 05 min``."""
    if value is None or is_missing(value):
        return MISSING
    whole = float(value)
    if whole < 0:
        return _MINUS + seconds(-whole)
    if whole == 0:
        return "0 s"
    if whole < 0.9995:
        return f"{max(1, round(whole * 1000))} ms"
    if whole < 59.95:
        return f"{whole:.1f} s"
    total = round(whole)
    minutes, rest = divmod(total, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def count(value: Figure) -> str:
    """A number of things with thousands separators; a mean count keeps one decimal."""
    if value is None or is_missing(value):
        return MISSING
    number = float(value)
    return f"{int(number):,}" if number == int(number) else f"{number:,.1f}"


def plain(value: Figure, digits: int = 2) -> str:
    """A number with that many decimals and no unit."""
    if value is None or is_missing(value):
        return MISSING
    return _typographic(f"{float(value):,.{digits}f}")


def score(value: Figure) -> str:
    """A score with three decimals, and fewer where it is larger than 100."""
    if value is None or is_missing(value):
        return MISSING
    return plain(value, 3 if abs(float(value)) < 100 else 1)


def change(value: Figure, digits: int = 3) -> str:
    """A difference with its sign: ``+0.062``, ``−0.010``, ``0.000``."""
    if value is None or is_missing(value):
        return MISSING
    text = plain(value, digits)
    return f"+{text}" if float(value) > 0 and text.strip("0.,") else text


def share(value: Figure) -> str:
    """A share as percent: ``8%``, ``0.4%``."""
    if value is None or is_missing(value):
        return MISSING
    percent = float(value) * 100
    digits = 0 if percent == 0 or abs(percent) >= 10 else 1
    return _typographic(f"{percent:.{digits}f}%")


def ratio(value: Figure) -> str:
    """A ratio of two costs or times: ``1.13×``, ``0.053×``."""
    if value is None or is_missing(value):
        return MISSING
    size = abs(float(value))
    digits = 2 if size >= 0.1 or size == 0 else 1 - math.floor(math.log10(size))
    return f"{float(value):,.{digits}f}×"


def probability(value: Figure) -> str:
    """A p-value: ``0.004``, ``< 0.001``; never an exact nought."""
    if value is None or is_missing(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{float(value):.3f}"


def in_unit(metric: str, value: Figure) -> str:
    """A figure of the metric in the metric's own unit: USD, a time, whole tokens, or a number."""
    if metric.endswith("usd"):
        return money(value)
    if metric.endswith("tokens"):
        return count(None if value is None or is_missing(value) else round(value))
    return seconds(value) if metric.endswith("seconds") else score(value)


def plural(number: int, one: str, many: str | None = None) -> str:
    """The number with its noun: ``1 question``, ``12 questions``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _typographic(text: str) -> str:
    """The same text with a minus sign for a hyphen, and no minus on a shown zero."""
    if not text.startswith("-"):
        return text
    return _MINUS + text[1:] if text.strip("-0.,%") else text[1:]
