"""``rouge_l``: F1 over the longest common subsequence of words (Lin 2004).

The same figures as the rouge-score package gives for rougeL without its stemmer: words are runs
of a-z and 0-9 in lower case, everything else parts them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from finrag_eval.domain import Query
from finrag_eval.score.matching import NO_TEXT
from finrag_eval.score.verdicts import Unscored, Verdict, answer_of

_WORD = re.compile("[a-z0-9]+")


def rouge_l(query: Query, result: Mapping[str, Any]) -> Verdict | Unscored:
    """F1 of the answer against the expected answer; the items of a list are joined by blanks."""
    expected = query.expected_answer
    if expected is None:
        return Unscored(NO_TEXT)
    reference = expected if isinstance(expected, str) else " ".join(expected)
    precision, recall, f1 = rouge_l_of(reference, answer_of(result))
    return Verdict(f1, {"precision": precision, "recall": recall})


def rouge_l_of(reference: str, answer: str) -> tuple[float, float, float]:
    """Precision, recall and F1; all 0 where either text has no word."""
    wanted, given = _words(reference), words_of(answer)
    if not wanted or not given:
        return 0.0, 0.0, 0.0
    common = longest_common_subsequence(wanted, given)
    precision, recall = common / len(given), common / len(wanted)
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total > 0 else 0.0


def words_of(text: str) -> tuple[str, ...]:
    """The words of the text, as the reference implementation parts them."""
    return tuple(_WORD.findall(text.lower()))


@lru_cache(maxsize=256)
def _words(text: str) -> tuple[str, ...]:
    return words_of(text)


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Its length, in one pass over ``second`` with a bit for each word of ``first``.

    Bit-parallel (Hyyro 2004): whole rows of the usual table are added as one big integer.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(first)) - 1
    row = everything
    for word in second:
        matches = row & places.get(word, 0)
        row = (row + matches | row - matches) & everything
    return len(first) - row.bit_count()
