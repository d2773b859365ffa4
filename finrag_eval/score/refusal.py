"""``refusal``: did the answer decline, and should it have?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from finrag_eval.domain import Query
from finrag_eval.score.quantities import read
from finrag_eval.score.questions import question
from finrag_eval.score.typography import plain
from finrag_eval.score.verdicts import Unscored, Verdict, answer_of

_OPENING = 500
_NEAR = 40
#: What an answer rests on, as it may be called where it is said to lack something.
_SOURCES = re.compile(
    r"\b(?:data|context|information|documents?|filings?|passages?|sources?|materials?|excerpts?"
    r"|snapshot|text|10-k|knowledge|records?|tables?|facts)\b"
)
_NOT = r"(?: not|n't)"
_VERB = r"(?:answer|provide|determine|find|give|calculate|compute|locate|identify|confirm|tell|say)"
#: Declines whatever else the opening says. All patterns expect lower case.
_OUTRIGHT = re.compile(
    rf"\bi(?: am|'m)? ?(?:can(?:not|'t| not)|could{_NOT}|unable to|not able to|won't|will not"
    rf"|must decline|have to decline|decline|do{_NOT} (?:have|know|find|see)|found no)\b"
    rf"|\bwe (?:can(?:not|'t| not)|are unable to|are not able to) {_VERB}\b"
    r"|\b(?:unable|not able|impossible|not possible) to (?:\w+ )?"
    r"(?:answer|provide|determine|give|calculate|compute|locate)\b"
    r"|\b(?:cannot|can not|can't|could not|couldn't) be (?:\w+ )?"
    r"(?:answered|determined|provided|calculated|computed|found|established|derived)\b"
    r"|\boutside (?:of )?(?:the|my) (?:scope|data|provided|available)"
)
#: Said of a source: it declines outright.
_HAS_NO_ANSWER = re.compile(
    rf"\b(?:does|do|did){_NOT} (?:contain|include|hold|give) (?:the|an) answer\b"
    r"|\b(?:cannot|can't) answer\b"
)
#: Said of a source: it declines where the opening holds no figure.
_DOES_NOT_HAVE = re.compile(
    rf"\b(?:does|do|did){_NOT} (?:\w+ )?(?:contain|include|provide|have|cover|mention|disclose"
    r"|state|specify|report|give|address|hold|show|say)\b"
)
_NOT_IN = re.compile(
    r"\bnot (?:\w+ )?(?:in|part of|covered by|available in) (?P<after>[^.;\n]{0,60})"
)
#: Declines where the opening holds no figure.
_LACKING = re.compile(
    r"^\W*(?:not available|unavailable|n/a|unknown|no answer|not applicable)\b"
    r"|\b(?:is|are|was|were|been|be|it's) (?:\w+ )?not (?:\w+ )?(?:available|provided|included"
    r"|disclosed|contained|present|reported|given|specified|stated|mentioned|found|covered)\b"
    r"|\b(?:no|without) (?:\w+ )?(?:values?|data|information|figures?|answer|records?|mention"
    r"|passages?|facts?)\b"
    r"|\b(?:insufficient|not enough|not sufficient|missing) (?:\w+ )?"
    r"(?:information|data|context|evidence|detail)\b"
    r"|\b(?:data|information|figures?|values?) (?:is|are) (?:unavailable|missing|unknown)\b"
)
#: One of these is in every text that declines; looking for them first is ten times faster.
_HINT = re.compile(
    r"\b(?:not|cannot|no|without|unable|impossible|decline|outside|n/a|insufficient|missing"
    r"|unavailable|unknown)\b|n't\b"
)
_SECOND_SENTENCE = re.compile(r"[.!?]\s+\S[^.!?]*[.!?]\s")
_HEADING = re.compile(r"^#.*$|^\s*(?:\*\*)?(?:direct )?answer:?(?:\*\*)?\s*$", re.I | re.M)


def refusal(query: Query, result: Mapping[str, Any]) -> Verdict | Unscored:
    """1 when the answer declines where it should, and answers where it should; else 0."""
    declined = declines(query, answer_of(result))
    value = float(declined == query.should_refuse)
    return Verdict(value, {"declined": declined, "should_refuse": query.should_refuse})


def declines(query: Query, answer: str) -> bool:
    """Whether the answer declines: its opening says that it cannot answer, or that data lack.

    The opening is the first paragraph below any heading; data must be lacking in its first two
    sentences. A remark on what is lacking does not decline where the opening gives a figure that
    the question does not hold. An empty answer declines.
    """
    text = _HEADING.sub("", plain(answer)).strip()
    opening = text.partition("\n\n")[0][:_OPENING]
    if not opening:
        return True
    lowered = opening.lower()
    if not _HINT.search(lowered):
        return False
    if _OUTRIGHT.search(lowered) or _of_a_source(_HAS_NO_ANSWER, lowered):
        return True
    two = _SECOND_SENTENCE.search(lowered)
    first = lowered[: two.end()] if two else lowered
    return _is_lacking(first) and not _gives_figure(query, opening)


def _is_lacking(text: str) -> bool:
    if _LACKING.search(text) or _of_a_source(_DOES_NOT_HAVE, text):
        return True
    return any(_SOURCES.search(found["after"]) for found in _NOT_IN.finditer(text))


def _of_a_source(pattern: re.Pattern[str], text: str) -> bool:
    """Whether the pattern is found right after a word for a source of the answer."""
    return any(
        _SOURCES.search(text, max(0, found.start() - _NEAR), found.start())
        for found in pattern.finditer(text)
    )


def _gives_figure(query: Query, opening: str) -> bool:
    asked = {quantity.size for quantity in question(query.query).quantities}
    return any(
        quantity.form != "year" and quantity.size not in asked
        for quantity in read(opening).quantities
    )
