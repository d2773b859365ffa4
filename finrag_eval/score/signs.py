"""Which way a number points: minus signs, brackets, and words such as "decline" and "net loss"."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache

from finrag_eval.score.quantities import Quantity, Reading
from finrag_eval.score.questions import Question

PLUS, MINUS = frozenset({1}), frozenset({-1})
EITHER = PLUS | MINUS

_DOWN = (
    r"decreas(?:e[sd]?|ing)|declin(?:e[sd]?|ing)|fell|fall(?:s|en|ing)?|drop(?:s|ped|ping)?|down"
    r"|lower(?:ed)?|reduc(?:ed|tion|es|ing)|shr(?:ank|unk|inking|inkage)|contract(?:ed|ion)|lost"
    r"|less|fewer|slipped|slid|tumbled|plunged|plummeted|sank|dipped|worsened"
    r"|deteriorated|narrowed"
)
_UP = (
    r"increas(?:e[sd]?|ing)|gr(?:ew|ow|ows|owing|owth|own)|rose|ris(?:e[sn]?|ing)|up|higher"
    r"|gain(?:s|ed)?|climb(?:s|ed|ing)?|jump(?:s|ed)?|surg(?:e|ed|ing)|improv(?:e[sd]?|ement|ing)"
    r"|expan(?:ded|sion)|advanced|soared|more|greater"
)
_DIRECTION = re.compile(rf"(?<![\w-])(?:(?P<down>{_DOWN})|(?P<up>{_UP}))(?![\w-])", re.IGNORECASE)
_RIGHT_AFTER = re.compile(
    rf"[ \u00a0,(:–]*(?:(?:[a-z-]+[ ])?(?P<down>{_DOWN})|(?:[a-z-]+[ ])?(?P<up>{_UP}))(?![\w-])",
    re.IGNORECASE,
)
_BOTH_WAYS = re.compile(
    r"\(?(?:increase[sd]?|growth|rise|gain)[ ]?(?:/|or)?[ ]?\(?(?:decrease[sd]?|decline|loss)\)?"
    r"|\(?(?:decrease[sd]?|decline)[ ]?(?:/|or)[ ]?\(?(?:increase[sd]?|growth)\)?",
    re.IGNORECASE,
)
_LOSS = re.compile(
    r"(?:\b(?:net|operating|pre-?tax|comprehensive|a|an)[ ]loss(?:es)?(?!\))|\bloss(?:es)? of"
    r"|\blost|\bdeficit(?: of)?|\b(?:cash )?(?:used (?:in|for|by))|\boutflows?)\b[^.;|\n]{0,60}$",
    re.IGNORECASE,
)
_GAIN = re.compile(r"\b(?:income|profit|gain|earnings|provided by|inflows?)\b", re.IGNORECASE)
#: A name, a label or a year right before brackets: "Apple ($274.5 billion)", "2020 ($10.9B)".
_NAMED_BEFORE = re.compile(r"(?P<word>[A-Za-z]+|(?:19|20)[0-9]{2})[ \u00a0]$")
#: Words after which brackets are no aside, since a figure is what they lead to.
_LEADS_TO = frozenset(
    {
        *("is", "was", "were", "are", "be", "been", "of", "at", "to", "by", "from", "and", "or"),
        *("than", "about", "approximately", "roughly", "nearly", "totaled", "totalled", "reached"),
        *("had", "has", "have", "reported", "recorded", "posted", "minus", "negative", "as", "in"),
    }
)
_OPERATOR_BEFORE = re.compile(r"[/×+*÷=][ \u00a0]?$")
_OPERATOR_AFTER = re.compile(r"[ \u00a0]?[/×+*÷-][ \u00a0]?[$(\d]")
_STATEMENT_END = re.compile(r"\n|[.;!?] ")
_ABBREVIATION = re.compile(
    r"(?:\b[A-Z]|\b(?:Inc|Corp|Co|Ltd|vs|No|approx|Jan|Feb|Aug|Sept|Oct|Nov|Dec))$"
)


def signs_of(
    quantity: Quantity, reading: Reading, asked: Question, *, is_relative: bool
) -> frozenset[int]:
    """The signs under which the quantity may be meant: one of them, or either.

    A written minus or negative brackets decide. Words decide where nothing is written: a loss, a
    deficit or cash used is negative; in answers about a change, a fall is negative. Where the
    question itself names the decrease or the loss, its size may be given either way.
    """
    if quantity.form == "year":
        return MINUS if quantity.sign else PLUS
    if asked.asks_decrease or (asked.asks_loss and not is_relative):
        return EITHER
    if quantity.sign and not _is_aside(quantity, reading):
        if not _may_be_aside(quantity, reading):
            return MINUS
        return MINUS | _said_sign(quantity, reading, asked, is_relative=is_relative)
    return _said_sign(quantity, reading, asked, is_relative=is_relative)


def _said_sign(
    quantity: Quantity, reading: Reading, asked: Question, *, is_relative: bool
) -> frozenset[int]:
    """The signs that the words around the quantity give it."""
    before = reading.text[statement_start(reading.text, quantity.start) : quantity.start]
    if not is_relative and not quantity.is_relative and _names_loss(before):
        return MINUS
    if not (asked.asks_change or asked.asks_difference or asked.asks_effect):
        return PLUS
    direction = _direction(before, reading.text[quantity.end : quantity.end + 40])
    if not asked.asks_change:
        return EITHER if direction < 0 else PLUS
    return MINUS if direction < 0 else PLUS


def statement_start(text: str, place: int) -> int:
    """Where the sentence, line or clause after a semicolon around ``place`` begins."""
    starts = _statement_starts(text)
    return starts[bisect_right(starts, place) - 1]


@lru_cache(maxsize=64)
def _statement_starts(text: str) -> tuple[int, ...]:
    starts = [0]
    for end in _STATEMENT_END.finditer(text):
        if text[end.start()] == "." and _ABBREVIATION.search(
            text, max(0, end.start() - 8), end.start()
        ):
            continue
        starts.append(end.end() - (text[end.start()] != "\n"))
    return tuple(starts)


def _is_aside(quantity: Quantity, reading: Reading) -> bool:
    """Whether brackets enclose a restatement or an operand rather than a negative number."""
    if quantity.sign != "brackets":
        return False
    before = reading.text[max(0, quantity.start - 4) : quantity.start]
    if _OPERATOR_BEFORE.search(before) or _OPERATOR_AFTER.match(reading.text, quantity.end):
        return True
    return any(
        0 <= quantity.start - other.end <= 2
        and not reading.text[other.end : quantity.start].strip()
        for other in reading.quantities
        if other is not quantity and other.form != "year"
    )


def _may_be_aside(quantity: Quantity, reading: Reading) -> bool:
    """Whether brackets with unit and figure may as well just stand behind what they are of."""
    if quantity.sign != "brackets" or quantity.is_bare or not quantity.text.endswith(")"):
        return False
    before = reading.text[max(0, quantity.start - 24) : quantity.start]
    found = _NAMED_BEFORE.search(before)
    return found is not None and found["word"].lower() not in _LEADS_TO


def _names_loss(before: str) -> bool:
    found = _LOSS.search(before)
    return found is not None and not _GAIN.search(before, found.start())


def _direction(before: str, after: str) -> int:
    """1 up, -1 down, 0 unsaid: the word right after the number, else the last one before it."""
    following = _RIGHT_AFTER.match(after)
    if following:
        return -1 if following["down"] else 1
    last = None
    for last in _DIRECTION.finditer(_BOTH_WAYS.sub(" ", before)):  # noqa: B007
        pass
    if last is None:
        return 0
    return -1 if last["down"] else 1
