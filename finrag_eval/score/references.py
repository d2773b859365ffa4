"""What counts as the right number: the reference's value in every form that it may be written in.

Enters: a query. Leaves: a ``Reference``, or the reason why the query has none.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from finrag_eval.domain import Query
from finrag_eval.score.quantities import Quantity, read
from finrag_eval.score.questions import Question, question
from finrag_eval.score.scales import declared_scales
from finrag_eval.score.writing import CURRENCIES, SCALES

Kind = Literal["money", "relative", "number", "scaled", "face", "year"]

LEAST_TOLERANCE = 0.005

#: An expected answer with more words than these beside its figure is a text, not a number.
_FEW_WORDS = 3

_MONEY_UNIT = re.compile(r"usd|eur|gbp|jpy|chf|cny|cad|aud|inr|krw|\$|€|£|¥|dollar|euro|pound|yen")
_SCALE_UNIT = re.compile(r"(thousand|million|billion|trillion|\bmn\b|\bbn\b|\bm\b|\bk\b)")
_PERCENT_UNITS = frozenset(
    {"percent", "%", "percentage", "per cent", "pct", "percentage points", "percent points", "pp"}
)
_BASIS_POINT_UNITS = frozenset({"bps", "bp", "basis points", "basis point"})
_RATIO_UNITS = frozenset({"ratio", "fraction", "share", "proportion"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One right value and the forms it may be written in.

    ``value`` is signed: shares for ``relative``, whole units of currency for ``money``. ``scale``
    is that of a table's own figures, of which ``scaled`` and ``number`` also take the bare one; of
    ``relative``, how many of the reference's unit make 1.
    """

    kind: Kind
    value: float
    tolerance: float
    scale: float = 1.0
    currency: str | None = None
    per_share: bool = False

    def fits(self, quantity: Quantity, asked: Question) -> bool:
        """Whether the quantity is written in a form that this value could be written in."""
        form = quantity.form
        if self.kind == "year":
            return form == "year"
        if self.kind == "relative":
            return quantity.is_relative or form == "multiple" or _is_digits(quantity)
        if self.kind == "face":
            return quantity.is_relative or _is_digits(quantity)
        if form in ("percent", "points", "bps"):
            return self.kind == "number"
        if form in ("time", "multiple"):
            return self.kind == "number"
        if self.currency and quantity.currency not in (None, self.currency):
            return False
        return self.per_share or not quantity.per_share

    def sizes(self, quantity: Quantity, asked: Question) -> tuple[float, ...]:
        """The quantity's unsigned readings, in the unit of this value."""
        size, face = quantity.size, quantity.face
        if self.kind in ("year", "face"):
            return (face,) if self.kind == "year" else (face, size)
        if self.kind == "relative":
            if quantity.is_relative or quantity.form == "multiple":
                return (size,)
            if self.scale != 1:
                return (size, face / self.scale)
            return (size, face / 100) if asked.asks_percent else (size,)
        if quantity.is_relative:
            named = asked.asks_basis_points if quantity.form == "bps" else asked.asks_percent
            return (size, face) if named else (size,)
        if self.kind == "number":
            # The reference is in the question's own scale, or in that of the query's context.
            if quantity.scale != 1 and asked.scales:
                return tuple(size / scale for scale in asked.scales)
            return (size, size / self.scale) if quantity.scale != 1 else (size,)
        if quantity.scale != 1:
            return (size,)
        own = (self.scale,) if self.kind == "scaled" else ()
        return (size, *(face * scale for scale in (*asked.scales, *own)))

    def equals(self, size: float) -> bool:
        """Whether an unsigned reading is this value, within the tolerance."""
        aim = abs(self.value)
        if self.kind == "year":
            return size == aim
        return abs(size - aim) <= self.tolerance * aim * (1 + 1e-9) + 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Every right value of a query; the first is the expected one."""

    targets: tuple[Target, ...]
    tolerance: float

    @property
    def kind(self) -> Kind:
        return self.targets[0].kind

    @property
    def is_small_count(self) -> bool:
        """Whether it is a whole number that is often written as a word."""
        value = self.targets[0].value
        return self.kind == "number" and value == int(value) and 0 <= value < 100

    @property
    def takes_years(self) -> bool:
        """Whether four digits that look like a year may be the answer."""
        return any(
            1900 <= abs(target.value) / (target.scale if target.kind == "scaled" else 1) <= 2100
            for target in self.targets
        )


def reference(query: Query, fallback: float | None = None) -> Reference | str:
    """The query's right values, or a sentence that says why it has none.

    ``fallback`` is the relative tolerance of a query without its own; None takes the precision
    that its expected answer is written in, at least 0.5%.
    """
    given = fallback if query.tolerance is None else query.tolerance
    asked = question(query.query)
    printed = _printed(query)
    value = query.expected_value
    if value is None:
        alone = _printed_alone(query, printed)
        if alone is None or query.answer_type in ("list", "boolean") or query.should_refuse:
            return "the query has no numeric reference"
        reach = max(LEAST_TOLERANCE, _written_precision(alone)) if given is None else given
        return Reference(targets=(_target_of(alone, reach),), tolerance=reach)
    if not math.isfinite(value):
        return "the query's expected_value is not a finite number"
    if asked.asks_year and value == int(value) and 1900 <= value <= 2100:
        targets = [Target(kind="year", value=value, tolerance=0.0)]
        targets += [_target_of(quantity, 0.0) for quantity in printed if quantity.is_relative]
        return Reference(targets=tuple(targets), tolerance=0.0)
    consistent = [quantity for quantity in printed if _agrees(quantity, value, query.unit)]
    tolerance = given
    if tolerance is None:
        tolerance = max([LEAST_TOLERANCE, *map(_written_precision, consistent)])
    targets = [_main_target(value, query, asked, tolerance)]
    targets += [_alternative(other, query, asked, tolerance) for other in query.alt_values]
    targets += [
        _main_target(quantity.value, query, asked, tolerance)
        if quantity.is_bare
        else _target_of(quantity, tolerance)
        for quantity in consistent
    ]
    return Reference(targets=tuple(targets), tolerance=tolerance)


def _printed(query: Query) -> list[Quantity]:
    """The figures of the expected answer, where that is a text; years only if nothing else."""
    if not isinstance(query.expected_answer, str):
        return []
    found = read(query.expected_answer).quantities
    figures = [quantity for quantity in found if quantity.form != "year"]
    return figures or list(found)


def _printed_alone(query: Query, printed: list[Quantity]) -> Quantity | None:
    """The one figure that the expected answer consists of, but for a few words; else None."""
    if len(printed) != 1 or printed[0].form == "year" or not isinstance(query.expected_answer, str):
        return None
    text = read(query.expected_answer).text
    rest = f"{text[: printed[0].start]} {text[printed[0].end :]}"
    return printed[0] if len(re.findall(r"\w+", rest)) <= _FEW_WORDS else None


def _written_precision(quantity: Quantity) -> float:
    """Half a unit of the last digit written, relative; 0 for whole numbers that are counts."""
    if quantity.size == 0 or (quantity.is_bare and quantity.face == int(quantity.face)):
        return 0.0
    return 0.5 * quantity.ulp / quantity.size


def _target_of(quantity: Quantity, tolerance: float) -> Target:
    kind: Kind = "number"
    if quantity.is_relative:
        kind = "relative"
    elif quantity.currency or quantity.scale != 1:
        kind = "money"
    return Target(kind=kind, value=quantity.value, tolerance=tolerance, currency=quantity.currency)


def _main_target(value: float, query: Query, asked: Question, tolerance: float) -> Target:
    unit = (query.unit or "").strip().lower()
    if unit in _PERCENT_UNITS:
        return Target(kind="relative", value=value / 100, tolerance=tolerance, scale=100)
    if unit in _BASIS_POINT_UNITS:
        return Target(kind="relative", value=value / 10_000, tolerance=tolerance, scale=10_000)
    if unit in _RATIO_UNITS:
        return Target(kind="relative", value=value, tolerance=tolerance)
    scaled = _SCALE_UNIT.search(unit)
    factor = SCALES[scaled.group(1)] if scaled else 1.0
    if _MONEY_UNIT.search(unit):
        return Target(
            kind="money" if factor == 1 else "scaled",
            value=value * factor,
            tolerance=tolerance,
            scale=factor,
            currency=_currency(unit),
            per_share="share" in unit,
        )
    if scaled:
        return Target(kind="scaled", value=value * factor, tolerance=tolerance, scale=factor)
    return Target(
        kind="number",
        value=value,
        tolerance=tolerance,
        scale=_context_scale(query, asked),
        per_share=True,
    )


def _currency(unit: str) -> str | None:
    name: str
    for name in re.findall(r"[a-z]+\$?|[$€£¥]", unit):
        if name in CURRENCIES or name.upper() in CURRENCIES.values():
            return CURRENCIES.get(name, name.upper())
    return None


def _context_scale(query: Query, asked: Question) -> float:
    """The one scale that the query's own context is in, where its question names none; else 1."""
    if asked.scales or asked.asks_share or not query.context:
        return 1.0
    scales = declared_scales(query.context)
    return next(iter(scales)) if len(scales) == 1 else 1.0


def _alternative(value: float, query: Query, asked: Question, tolerance: float) -> Target:
    """An equally right number; beside a ratio it is the same share in percent, as it stands."""
    if (query.unit or "").strip().lower() in _RATIO_UNITS:
        return Target(kind="face", value=value, tolerance=tolerance)
    return _main_target(value, query, asked, tolerance)


def _agrees(quantity: Quantity, value: float, unit: str | None) -> bool:
    """Whether a printed figure is the expected value, rounded as printed, whatever its unit."""
    if (quantity.sign is not None) != (value < 0) and value != 0:
        return False
    factors = [1.0, 100.0, 0.01]
    scaled = _SCALE_UNIT.search((unit or "").lower())
    if scaled:
        factors.append(SCALES[scaled.group(1)])
    reach = 0.5 * quantity.ulp * (1 + 1e-6)
    return any(abs(quantity.size - abs(value) * factor) <= reach for factor in factors)


def _is_digits(quantity: Quantity) -> bool:
    return quantity.is_bare and quantity.form != "year"
