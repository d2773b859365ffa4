"""``numeric``: is the figure that the answer gives the right one?

1 when it is the reference's value (or an equally right one) within the tolerance, with its scale,
unit, currency and sign; else 0. The grammar of numbers, the forms of a reference and the rule that
picks one of several figures are written down in ``docs/numeric.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finrag_eval.domain import Query
from finrag_eval.score.quantities import Quantity, Reading, read
from finrag_eval.score.questions import Question, question
from finrag_eval.score.references import Reference, Target, reference
from finrag_eval.score.sieves import answering
from finrag_eval.score.signs import signs_of
from finrag_eval.score.verdicts import Unscored, Verdict, answer_of
from finrag_eval.score.words import counts_in_words

_SHOWN = 8


def numeric(
    query: Query, result: Mapping[str, Any], *, tolerance: float | None = None
) -> Verdict | Unscored:
    """1 or 0; unscored where the query has no numeric reference.

    ``tolerance`` is relative, for queries that have none of their own.
    """
    aim = reference(query, tolerance)
    if isinstance(aim, str):
        return Unscored(aim)
    asked = question(query.query)
    reading = read(answer_of(result))
    figures = _candidates(reading, aim, asked)
    if not figures:
        return Verdict(0.0, {**_expected(query, aim), "found": [], "reason": "no such figure"})
    found = [figure.text for figure in figures[:_SHOWN]]
    right = {id(figure) for figure in figures if _is_right(figure, reading, aim, asked)}
    if not right:
        return Verdict(0.0, {**_expected(query, aim), "found": found, "reason": "none is right"})
    chosen = figures[0]
    if len(right) < len(figures):
        chosen = answering(figures, reading, asked, query.tickers)[0]
    value = 1.0 if id(chosen) in right else 0.0
    return Verdict(value, {**_expected(query, aim), "found": found, "chosen": chosen.text})


def _expected(query: Query, aim: Reference) -> dict[str, Any]:
    expected: Any = query.expected_answer if query.expected_value is None else query.expected_value
    return {"expected": expected, "unit": query.unit, "tolerance": aim.tolerance}


def _candidates(reading: Reading, aim: Reference, asked: Question) -> list[Quantity]:
    """The answer's figures in a form that the reference could have, without the question's own."""
    found = list(reading.quantities)
    if aim.is_small_count:
        taken = {quantity.start for quantity in found}
        found += [count for count in counts_in_words(reading.text) if count.start not in taken]
        found.sort(key=lambda quantity: quantity.start)
    ends = {id(quantity.range_to) for quantity in found}
    fitting = [
        quantity
        for quantity in found
        if id(quantity) not in ends
        and (quantity.form != "year" or aim.takes_years)
        and any(target.fits(quantity, asked) for target in aim.targets)
    ]
    new = [quantity for quantity in fitting if not _repeats(quantity, aim, asked)]
    return _most_fitting(new, aim, asked)


def _repeats(quantity: Quantity, aim: Reference, asked: Question) -> bool:
    """Whether the figure merely repeats the question; the right value never does."""
    for other in asked.quantities:
        if other.form == quantity.form and abs(other.size - quantity.size) <= 1e-9 * other.size:
            break
    else:
        return False
    return not any(_equals(quantity, target, asked) for target in aim.targets)


def _most_fitting(figures: list[Quantity], aim: Reference, asked: Question) -> list[Quantity]:
    """Figures with the reference's kind of unit, where there are any, before bare digits."""
    if aim.kind == "money" and aim.targets[0].per_share:
        single = [figure for figure in figures if figure.scale == 1]
        return [figure for figure in single if figure.per_share] or single or figures
    if aim.kind == "money":
        marked = [figure for figure in figures if figure.currency or figure.scale != 1]
        return marked or figures
    if aim.kind == "relative":
        return [figure for figure in figures if figure.is_relative] or figures
    if aim.kind == "number" and not asked.asks_share:
        return [figure for figure in figures if not figure.is_relative] or figures
    return figures


def _is_right(quantity: Quantity, reading: Reading, aim: Reference, asked: Question) -> bool:
    """Whether the figure, or each end of the range that it begins, is one of the right values."""
    for target in aim.targets:
        if not _equals(quantity, target, asked) or not target.fits(quantity, asked):
            continue
        further = quantity.range_to
        if further is not None and not _equals(further, target, asked):
            continue
        signs = signs_of(quantity, reading, asked, is_relative=target.kind == "relative")
        if target.value == 0 or (1 if target.value > 0 else -1) in signs:
            return True
    return False


def _equals(quantity: Quantity, target: Target, asked: Question) -> bool:
    return any(target.equals(size) for size in target.sizes(quantity, asked))
