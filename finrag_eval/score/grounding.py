"""``citation`` and ``grounded``: do the answer's figures stand in the assembled context?

A figure stands there when the context has its value, rounded as the answer writes it, or the same
digits in a table whose scale is said elsewhere. Signs are not compared: "a loss of $5 million"
and "(5)" are the same figure. Years, dates, item numbers, citations, and numbers that repeat the
question are no figures.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from finrag_eval.domain import Query
from finrag_eval.score.quantities import Quantity, read
from finrag_eval.score.questions import question
from finrag_eval.score.verdicts import Unscored, Verdict, answer_of, context_of

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class _Shelf:
    """A context's figures: all sizes, and the digits of those without a scale, both sorted."""

    sizes: tuple[float, ...]
    bare: tuple[float, ...]
    faces: tuple[float, ...]


def citation(query: Query, result: Mapping[str, Any]) -> Verdict | Unscored:
    """The share of the answer's figures that stand in the context; unscored without figures."""
    standing = _standing(query, result)
    if isinstance(standing, Unscored):
        return standing
    figures, missing = standing
    value = (len(figures) - len(missing)) / len(figures)
    return Verdict(value, {"figures": len(figures), "not_in_context": missing[:_SHOWN]})


def grounded(query: Query, result: Mapping[str, Any]) -> Verdict | Unscored:
    """1 when all of the answer's figures stand in the context, else 0."""
    standing = _standing(query, result)
    if isinstance(standing, Unscored):
        return standing
    figures, missing = standing
    explanation = {"figures": len(figures), "not_in_context": missing[:_SHOWN]}
    return Verdict(float(not missing), explanation)


def _standing(
    query: Query, result: Mapping[str, Any]
) -> tuple[list[Quantity], list[str]] | Unscored:
    context = context_of(result)
    if not context:
        return Unscored("the trial had no context")
    asked = {quantity.size for quantity in question(query.query).quantities}
    figures = [
        quantity
        for quantity in read(answer_of(result)).quantities
        if quantity.form != "year" and quantity.size not in asked
    ]
    if not figures:
        return Unscored("the answer holds no figure")
    shelf = _shelf(context)
    missing = [figure.text for figure in figures if not _stands(figure, shelf)]
    return figures, missing


@lru_cache(maxsize=64)
def _shelf(context: str) -> _Shelf:
    figures = [one for one in read.__wrapped__(context).quantities if one.form != "year"]
    return _Shelf(
        sizes=tuple(sorted({figure.size for figure in figures})),
        bare=tuple(sorted({figure.face for figure in figures if figure.is_bare})),
        faces=tuple(sorted({figure.face for figure in figures})),
    )


def _stands(figure: Quantity, shelf: _Shelf) -> bool:
    if _has(shelf.sizes, figure.size, 0.5 * figure.ulp):
        return True
    if figure.is_bare:
        return _has(shelf.faces, figure.face, 0.0)
    return figure.scale != 1 and _has(shelf.bare, figure.face, 0.0)


def _has(ordered: Sequence[float], value: float, reach: float) -> bool:
    """Whether a value within reach is among the ordered ones."""
    reach += 1e-9 * abs(value)
    place = bisect_left(ordered, value - reach)
    return place < len(ordered) and ordered[place] <= value + reach
