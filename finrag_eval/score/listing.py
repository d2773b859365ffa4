"""``list``: F1 over the items of a reference list.

Items that are figures are looked for among the answer's figures, each under its year where the
reference gives one; items that are words among the items of the answer's own list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finrag_eval.domain import Query
from finrag_eval.score.normal import holds, normal
from finrag_eval.score.periods import years_by_figure
from finrag_eval.score.quantities import Quantity, Reading, read
from finrag_eval.score.questions import question, years_in
from finrag_eval.score.references import LEAST_TOLERANCE
from finrag_eval.score.rouge import words_of
from finrag_eval.score.verdicts import Unscored, Verdict, answer_of

_ENOUGH_ALIKE = 0.6
_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s+(?P<item>\S.*)$", re.M)
_SEPARATOR = re.compile(r"\s*(?:;|,(?!\d{3}\b)|\n|\band\b|&)\s*", re.IGNORECASE)
_LEAD = re.compile(
    r"^.*?(?::|\b(?:are|were|is|was|includes?|included|comprises?|comprised|consists? of))\s",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure item of the reference: its quantity, and the years it is said to be of."""

    item: str
    quantity: Quantity
    years: frozenset[int]


def listing(query: Query, result: Mapping[str, Any]) -> Verdict | Unscored:
    """F1 of the answer's items against the reference's, each counted once."""
    items = _items_of(query)
    if not items:
        return Unscored("the query has no list as its reference")
    answer = answer_of(result)
    figures = [_figure_of(item) for item in items]
    if all(figures):
        return _over_figures([one for one in figures if one], read(answer), query)
    return _over_words(items, answer)


def _items_of(query: Query) -> list[str]:
    expected = query.expected_answer
    if expected is None:
        return []
    if isinstance(expected, str):
        if query.answer_type != "list":
            return []
        expected = tuple(_SEPARATOR.split(expected))
    return list(dict.fromkeys(item.strip() for item in expected if item.strip()))


def _figure_of(item: str) -> _Figure | None:
    """The item as a figure; None where it holds none, or is a text that happens to hold one."""
    reading = read(item)
    figures = [one for one in reading.quantities if one.form != "year"]
    years = [one for one in reading.quantities if one.form == "year"]
    if not figures and len(years) == 1 and len(item.strip()) == 4:
        return _Figure(item, years[0], frozenset())
    if len(figures) != 1:
        return None
    rest = reading.text[: figures[0].start] + reading.text[figures[0].end :]
    if len(words_of(rest)) > 3:
        return None
    return _Figure(item, figures[0], years_in(rest))


def _over_figures(wanted: Sequence[_Figure], reading: Reading, query: Query) -> Verdict:
    tolerance = query.tolerance if query.tolerance is not None else LEAST_TOLERANCE
    are_years = wanted[0].quantity.form == "year"
    asked = {one.size for one in question(query.query).quantities}
    years_of = {} if are_years else years_by_figure(reading)
    given: list[tuple[Quantity, frozenset[int]]] = []
    for one in reading.quantities:
        wrong_kind = one.is_relative != wanted[0].quantity.is_relative
        if (one.form == "year") != are_years or wrong_kind:
            continue
        if one.size in asked and not any(_is_same(one, want.quantity, 0) for want in wanted):
            continue
        years = years_of.get(one.start, frozenset())
        if not any(_is_same(one, other, 0) and years == when for other, when in given):
            given.append((one, years))
    left = list(given)
    matched = []
    for want in wanted:
        for place, (one, years) in enumerate(left):
            fits = not want.years or not years or not want.years.isdisjoint(years)
            if fits and _is_same(one, want.quantity, tolerance):
                matched.append(want.item)
                del left[place]
                break
    return _verdict([want.item for want in wanted], matched, [one.text for one, _ in left])


def _is_same(one: Quantity, wanted: Quantity, tolerance: float) -> bool:
    """Whether a figure is the wanted one; digits without a scale may be a table's own."""
    reach = tolerance + 1e-9
    if bool(one.sign) == bool(wanted.sign) and abs(one.size - wanted.size) <= reach * wanted.size:
        return True
    same_digits = abs(one.face - wanted.face) <= reach * wanted.face
    return wanted.scale == 1 and not wanted.is_relative and tolerance > 0 and same_digits


def _over_words(items: Sequence[str], answer: str) -> Verdict:
    given = _answer_items(answer)
    matched, left = [], list(given)
    for item in items:
        for place, one in enumerate(left):
            if _is_alike(item, one):
                matched.append(item)
                del left[place]
                break
        else:
            if holds(normal(answer), normal(item)):  # told in passing, beside another item
                matched.append(item)
    return _verdict(items, matched, left)


def _answer_items(answer: str) -> list[str]:
    """The items of the answer: its bullets, else what commas and "and" part in its sentence."""
    bullets = [found["item"] for found in _BULLET.finditer(answer)]
    if len(bullets) > 1:
        return bullets
    sentence = _LEAD.sub("", answer.strip(), count=1) if len(answer.split()) > 3 else answer
    return [item for item in _SEPARATOR.split(sentence) if normal(item)]


def _is_alike(item: str, given: str) -> bool:
    wanted, said = normal(item), normal(given)
    if wanted == said or holds(said, wanted) or (len(said) > 3 and holds(wanted, said)):
        return True
    first, second = set(words_of(wanted)), set(words_of(said))
    if not first or not second:
        return False
    return 2 * len(first & second) / (len(first) + len(second)) >= _ENOUGH_ALIKE


def _verdict(items: Sequence[str], matched: Sequence[str], extra: Sequence[str]) -> Verdict:
    hits = len(matched)
    f1 = 2 * hits / (len(items) + hits + len(extra)) if items else 0.0
    missing = [item for item in items if item not in matched]
    return Verdict(f1, {"matched": list(matched), "missing": missing, "extra": list(extra)[:20]})
