"""Metrics that a question names, by their many names.

Enters: text without companies and years. Leaves: metric keys of the facts, and pairs of a ratio.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from finrag_eval.synthesis_pipeline.entities.segments import REPORTED_BY_PART, part_of_company
from finrag_eval.synthesis_pipeline.entities.vocabulary import LABELS, NAMES, WEAK

_AS_SHARE_OF = re.compile(
    r"\s*(?:expenses?|spending|costs?)?,?\s*(?:expressed\s+|measured\s+)?"
    r"(?:as\s+(?:an?\s+|the\s+)?(?:share|percentage|percent|per\s?cent|proportion|fraction|%)"
    r"\s+of|divided\s+by|relative\s+to)\s+(?:(?:year[\s-]end|annual|total|net)\s+|the\s+|its\s+|their\s+|[\s§]|'s)*",
    re.IGNORECASE,
)
_TO = re.compile(r"\s*-?\s*to\s*-?\s*(?:the\s+|its\s+|their\s+)?", re.IGNORECASE)
_SHARE_OF_BEFORE = re.compile(
    r"(?:share|percentage|percent|per\s?cent|proportion|fraction|%)\s+of\s+"
    r"(?:the\s+|its\s+|their\s+|[\s§]|'s)*$",
    re.IGNORECASE,
)
_MARGINS = re.compile(r"\bmargins?\b", re.IGNORECASE)
_ALL_MARGINS = ("gross_margin", "operating_margin", "net_profit_margin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Metrics as asked for, in the order of the question.

    ``keys`` are single figures, ``ratios`` pairs (part, whole). ``part`` is the part of the company
    that is asked about ("data center"), None for the whole. ``weak`` are those of the keys whose
    only mention may belong to a story as well ("earnings", "inventory").
    """

    keys: tuple[str, ...] = ()
    ratios: tuple[tuple[str, str], ...] = ()
    part: str | None = None
    weak: frozenset[str] = frozenset()


def label(key: str, labels: Mapping[str, str] | None = None) -> str:
    """What to call the metric; ``labels`` are those of the data, for keys not known here."""
    known = LABELS.get(key)
    if known is not None:
        return known
    told = (labels or {}).get(key, "")
    return told[:1].lower() + told[1:] if told[1:2].islower() else told or key.replace("_", " ")


class MetricFinder:
    """Finds metrics in text; ``more`` are further metrics of the data, key and label."""

    def __init__(self, more: Mapping[str, str] | None = None) -> None:
        names = {name: key for key, told in NAMES.items() for name in told.split("|")}
        for key, told in (more or {}).items():
            for name in (told, key.replace("_", " ")):
                if len(name) > 4:
                    names.setdefault(name, key)
        self._keys = {_folded(name): key for name, key in reversed(names.items())}
        longest_first = dict.fromkeys(map(_flexible, sorted(names, key=len, reverse=True)))
        either = _by_first_letter(longest_first)
        self._pattern = re.compile(rf"(?<![\w&])(?:{either})(?![\w&])", re.IGNORECASE)

    def read(self, text: str) -> tuple[Metrics, str]:
        """The metrics, and the text with every mention of one blanked out."""
        mentions = [
            (self._keys[_folded(match.group())], match) for match in self._pattern.finditer(text)
        ]
        keys = dict.fromkeys(key for key, _ in mentions)
        parts = [
            part_of_company(text, match.start(), match.end())
            for key, match in mentions
            if key in REPORTED_BY_PART
        ]
        strong = {key for key, match in mentions if _folded(match.group()) not in WEAK}
        rest = text
        for _, match in mentions:
            rest = rest[: match.start()] + " " * len(match.group()) + rest[match.end() :]
        if not keys and _MARGINS.search(rest):
            keys = dict.fromkeys(_ALL_MARGINS)
            strong = set(keys)
        found = Metrics(
            keys=tuple(keys),
            ratios=_ratios(text, mentions),
            part=next(filter(None, parts), None),
            weak=frozenset(keys.keys() - strong),
        )
        return found, rest


@cache
def known_metrics() -> MetricFinder:
    """The finder for the metrics of ``vocabulary``, compiled when first needed."""
    return MetricFinder()


def _ratios(text: str, mentions: list[tuple[str, re.Match[str]]]) -> tuple[tuple[str, str], ...]:
    asks_for_ratio = re.search(r"\bratio\b", text, re.IGNORECASE) is not None
    pairs: dict[tuple[str, str], None] = {}
    for (first, here), (second, there) in pairwise(mentions):
        between = text[here.end() : there.start()]
        if _AS_SHARE_OF.fullmatch(between) or (asks_for_ratio and _TO.fullmatch(between)):
            pairs[first, second] = None
        elif _SHARE_OF_BEFORE.search(text, 0, here.start()) and len(between) < 40:
            pairs[second, first] = None
    return tuple(pair for pair in pairs if pair[0] != pair[1])


def _flexible(name: str) -> str:
    return r"[\s-]+".join(
        re.escape(word).replace("'", "['’]?") for word in re.split(r"[\s-]+", name)
    )


def _by_first_letter(patterns: Iterable[str]) -> str:
    """One pattern for all, by their first letters: most fail at one comparison, and not at each."""
    groups: dict[str, list[str]] = {}
    for pattern in patterns:
        first = pattern[0].lower()
        is_letter = first.isascii() and first.isalnum()
        groups.setdefault(first if is_letter else "", []).append(pattern[is_letter:])
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in groups.items())


def _folded(name: str) -> str:
    return " ".join(re.split(r"[\s-]+", name.lower().replace("'", "").replace("’", "")))
