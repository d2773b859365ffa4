"""The words that BM25 counts, of a passage and of a question alike.

Enters: text. Leaves: lower-case words with their plural ending off. Any change here changes what
is found: raise ``WORDS_VERSION`` with it, so that old indexes and old trial keys do not match.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

WORDS_VERSION = 1

#: A number with its separators, letters joined by "&" (R&D), or a run of letters and digits.
_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:&[^\W_]+)*")

_COMMON_WORDS = (
    "a about all also an and any are as at be been but by can could did do does for from had has "
    "have how if in into is it its me more most no nor not of on or our over said say should so "
    "some such tell than that the their them then there these they this those to under up was we "
    "were what when where which who why will with would you your"
)
_COMMON = frozenset(_COMMON_WORDS.split())


def words(text: str) -> list[str]:
    """The words of a text in their order, without the most common ones and single letters."""
    found = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    return [_stem(word) for word in found if _counts(word)]


def _counts(word: str) -> bool:
    return word not in _COMMON and (len(word) > 1 or word.isdigit())


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    """The word without its plural ending (the S stemmer of Harman 1991), numbers without commas."""
    if word[0].isdigit():
        return word.replace(",", "")
    if len(word) < 4 or word.endswith(("us", "ss", "is")):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    return word[:-1] if word.endswith("s") else word
