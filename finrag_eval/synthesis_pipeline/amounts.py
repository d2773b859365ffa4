"""How a figure is written: exact, readable, with its unit.

Enters: a decimal and a unit of the facts. Leaves: text such as ``$10,918 million``.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

_MILLION = Decimal(1_000_000)
_HUNDREDTH = Decimal("0.01")


def written(value: Decimal, unit: str) -> str:
    """The figure with its unit and every digit: ``-$1.5 million``, ``$9.95 per share``, ``26%``."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    match unit:
        case "USD":
            return f"{sign}${in_millions(size)}"
        case "USD per share":
            return f"{sign}${plain(size)} per share"
        case "percent":
            return f"{sign}{plain(size)}%"
        case "ratio" | "number" | "":
            return sign + plain(size)
        case _:
            return f"{sign}{in_millions(size)} {unit}"


def in_millions(size: Decimal) -> str:
    """``10,918 million`` from a million on, else the plain number."""
    return f"{plain(size / _MILLION)} million" if size >= _MILLION else plain(size)


def plain(value: Decimal) -> str:
    """The number with thousands separators and without trailing zeros."""
    text = format(value, ",f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def scaled(value: Decimal, unit: str) -> str:
    """The bare number as formulas show it: whole millions' sizes in millions."""
    return plain(value / _MILLION if unit in {"USD", "shares"} else value)


def scale_note(unit: str) -> str:
    """What the numbers of a formula are in; empty where they are bare."""
    return {
        "USD": "USD million",
        "shares": "million shares",
        "USD per share": "USD per share",
        "percent": "percent",
    }.get(unit, unit if unit not in {"ratio", "number"} else "")


def percent(share: Decimal) -> str:
    """A share of 1 in percent, to two decimals: ``26.07%``."""
    return f"{hundredths(share * 100)}%"


def hundredths(value: Decimal) -> str:
    """The number to two decimals, halves away from zero; never a negative zero."""
    rounded = value.quantize(_HUNDREDTH, ROUND_HALF_UP)
    return format(rounded if rounded else abs(rounded), ",f")
