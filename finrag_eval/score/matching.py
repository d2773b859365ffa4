"""``contains``, ``exact``, ``regex`` and ``boolean``: answers against reference texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from finrag_eval.domain import Query
from finrag_eval.score.normal import holds, normal
from finrag_eval.score.quantities import read
from finrag_eval.score.refusal import declines
from finrag_eval.score.verdicts import Unscored, Verdict, answer_of

NO_TEXT = "the query has no expected answer"

_SHORT = 8
_NAME = re.compile(r"\b[A-Z][\w&.-]*\w(?: [A-Z][\w&.-]*\w)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+)$")
_QUOTED = re.compile(r'"([^"\n]{2,80})"')
_ALIAS = re.compile(r"^(?P<long>.+?) \((?P<short>[^()]{1,12})\)$")
_YES = re.compile(r"\b(?:yes|true|correct|affirmative|indeed)\b", re.IGNORECASE)
_NO = re.compile(r"\b(?:no|false|incorrect|negative)\b(?! later| more| less)", re.IGNORECASE)
_LEADING = re.compile(r"^[\W_]*(?:answer|final answer)?[\W_]*(?P<word>yes|no|true|false)\b", re.I)
_CONCLUDING = re.compile(
    r"\b(?:answer is|answer:|therefore,?|thus,?|so,|hence,?)[\W_]*(?P<word>yes|no|true|false)\b",
    re.IGNORECASE,
)
_AFFIRMS = frozenset({"yes", "true", "correct", "affirmative", "indeed"})


def contains(query: Query, result: Mapping[str, Any]) -> Verdict | Unscored:
    """The share of the reference's key strings that the answer holds.

    Key strings are the query's own ``key_strings``, else the items of a list, else a short text as
    a whole, else the figures, names and quotations of a long one. "Exxon Mobil (XOM)" is there
    when either name is; "2022: $5 million" when both parts are; a figure when the answer has it,
    at least as exact as the key is.
    """
    keys = key_strings(query)
    if not keys:
        return Unscored(NO_TEXT)
    answer = answer_of(result)
    missing = [key for key in keys if not _holds_key(answer, key)]
    present = [key for key in keys if key not in missing]
    value = len(present) / len(keys)
    return Verdict(value, {"present": present, "missing": missing})


def key_strings(query: Query) -> list[str]:
    """What an answer must hold to be complete, each string once."""
    own = query.metadata.get("key_strings")
    if isinstance(own, (list, tuple)) and own:
        return list(dict.fromkeys(str(key) for key in own))
    expected = query.expected_answer
    if expected is None:
        return []
    if not isinstance(expected, str):
        return list(dict.fromkeys(item for item in expected if item.strip()))
    if len(expected.split()) <= _SHORT:
        return [expected] if expected.strip() else []
    figures = [quantity.text for quantity in read(expected).quantities]
    names = [found.group() for found in _NAME.finditer(expected) if _is_name(expected, found)]
    quoted = _QUOTED.findall(expected)
    return list(dict.fromkeys([*figures, *names, *quoted])) or [expected]


def _is_name(text: str, found: re.Match[str]) -> bool:
    """Whether capital letters make a name: not a sentence's first word alone."""
    starts_sentence = _SENTENCE_START.search(text, 0, found.start()) is not None
    return not starts_sentence or " " in found.group() or found.group().isupper()


def _holds_key(answer: str, key: str) -> bool:
    alias = _ALIAS.match(key.strip())
    if alias and not read(key).quantities:
        return any(_holds(answer, form) for form in (key, alias["long"], alias["short"]))
    label, colon, rest = key.partition(": ")
    parts = (label, rest) if colon and rest.strip() else (key,)
    return all(_holds(answer, part) for part in parts)


def _holds(answer: str, part: str) -> bool:
    """Whether the answer holds the words, or the figure rounded as the part writes it."""
    wanted = read(part)
    if len(wanted.quantities) == 1 and wanted.quantities[0].form != "year":
        figure = wanted.quantities[0]
        if not (wanted.text[: figure.start] + wanted.text[figure.end :]).strip(" .\u00a0"):
            reach = 0.5 * figure.ulp * (1 + 1e-9)
            return any(abs(one.value - figure.value) <= reach for one in read(answer).quantities)
    return holds(normal(answer), normal(part))


def exact(query: Query, result: Mapping[str, Any]) -> Verdict | Unscored:
    """1 when answer and reference are the same text, but for case, spacing and number format.

    The items of a list may stand in any order, parted by commas, semicolons, "and" or lines.
    """
    expected = query.expected_answer
    if expected is None:
        return Unscored(NO_TEXT)
    answer = answer_of(result)
    if isinstance(expected, str):
        same = normal(answer) == normal(expected)
    else:
        given = re.split(r"\s*(?:[;\n]|,(?!\d{3})|\band\b)\s*", answer)
        same = sorted(filter(None, map(normal, given))) == sorted(map(normal, expected))
    return Verdict(float(same), {"expected": expected})


def regex(
    query: Query, result: Mapping[str, Any], *, pattern: str | None, ignore_case: bool
) -> Verdict | Unscored:
    """1 when the pattern is found in the answer; without one the expected answer is the pattern."""
    own = query.metadata.get("pattern")
    wanted = pattern or (own if isinstance(own, str) else None) or query.expected_answer
    if not isinstance(wanted, str):
        return Unscored("neither the scorer nor the query has a pattern")
    try:
        found = re.search(wanted, answer_of(result), re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        return Unscored(f"the query's pattern is no regular expression: {error}")
    return Verdict(
        float(found is not None), {"pattern": wanted, "found": found and found.group()[:200]}
    )


def boolean(query: Query, result: Mapping[str, Any]) -> Verdict | Unscored:
    """1 when the answer says yes or no as the reference does; 0 also where it declines.

    The first word counts, else a conclusion ("the answer is no"), else the one of the two that the
    first sentence holds. Unscored where the answer says neither.
    """
    expected = query.expected_answer
    wanted = _says(expected) if isinstance(expected, str) else None
    if wanted is None:
        return Unscored("the query's expected answer is neither yes nor no")
    answer = answer_of(result)
    said = _says(answer)
    told = {True: "yes", False: "no", None: None}
    explanation = {"expected": told[wanted], "found": told[said]}
    if said is None:
        if declines(query, answer):
            return Verdict(0.0, explanation | {"reason": "the answer declines"})
        return Unscored("the answer says neither yes nor no", explanation)
    return Verdict(float(said == wanted), explanation)


def _says(text: str) -> bool | None:
    leading = _LEADING.match(text)
    if leading:
        return leading["word"].lower() in _AFFIRMS
    concluding = list(_CONCLUDING.finditer(text))
    if concluding:
        return concluding[-1]["word"].lower() in _AFFIRMS
    first = re.split(r"(?<=[.!?])\s|\n\n", text.strip(), maxsplit=1)[0]
    yes, no = bool(_YES.search(first)), bool(_NO.search(first))
    return yes if yes != no else None
