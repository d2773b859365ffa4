"""Words of questions and sentences, brought to one form so that they meet.

Enters: text. Leaves: rough stems; words of one meaning share one. English alone.
"""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[A-Za-z][A-Za-z&'’.-]*[A-Za-z]|[A-Za-z]|\d[\d,.]*\d|\d")

_NOT_TELLING = """
a an and are as at be by did do does for from had has have how in is it its of on or s so that the
their them then there these they this to was were what when where which who whom whose why will with
would say tell told describe name give according report section business risk factor factors fiscal
year years annual filing filings form company companies management discussion analysis md&a during
end million billion between more much many than about into one also any each other such not no may
might can could explain state mention main item fy 10-k 10k reason reasons way view happen happened
become became known part big own kind all some just only while over under after before through
"""
_OF_ONE_MEANING = """
buy bought purchase purchased acquire acquired acquisition acquisitions takeover
fall fell fallen decline declined decrease decreased drop dropped shrink shrank shrinking lower
 lowered lowest low reduce reduced weaken weakened suffer suffered
rise rose risen increase increased grow grew grown growth jump jumped climb climbed raise raised
 high higher highest
sue sued lawsuit lawsuits
earnings income profit profits
sales revenue revenues
pay paid payment payments
sell sold selling
make made making
begin began begun start started
choose chose chosen
lead led
ai artificial
supplier suppliers supply supplies
rival rivals competitor competitors compete competes competition competitive
"""
_STOP = frozenset(_NOT_TELLING.split())
_SAME = {
    word: group.split()[0]
    for group in _OF_ONE_MEANING.replace("\n ", " ").strip().split("\n")
    for word in group.split()
}
_ENDINGS = ("ies", "ing", "ed", "es", "s", "ly")


@lru_cache(maxsize=8_192)
def words_of(text: str) -> frozenset[str]:
    """The stems of all words."""
    return frozenset(_stem(word) for word in map(str.lower, _WORD.findall(text)))


def telling_words(text: str) -> list[str]:
    """The stems of the words that tell what a question is about, each once, in order."""
    words = (_without_owner(word.lower()) for word in _WORD.findall(text))
    return list(dict.fromkeys(_stem(word) for word in words if word not in _STOP))


@lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    """A rough stem: enough to let ``shipments`` meet ``shipment``."""
    plain = _without_owner(word)
    if plain in _SAME:
        return _SAME[plain]
    for ending in _ENDINGS:
        if plain.endswith(ending) and len(plain) - len(ending) > 3 and not plain.endswith("ss"):
            return (plain[: -len(ending)] + ("y" if ending == "ies" else "")).removesuffix("e")
    return plain.removesuffix("e") if len(plain) > 4 else plain


def _without_owner(word: str) -> str:
    return word.removesuffix("'s").removesuffix("’s")
