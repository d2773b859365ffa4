"""Answers from passages: the sentences that share most of the question's telling words.

Enters: passages and a question. Leaves: sentences as they stand, never a new one; none where too
little of the question is met. A rare word weighs more: log(1 + N/n) over the passages' sentences.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from finrag_eval.synthesis_pipeline.entities import Entities
from finrag_eval.synthesis_pipeline.entities.companies import known_companies
from finrag_eval.synthesis_pipeline.entities.metrics import known_metrics
from finrag_eval.synthesis_pipeline.entities.vocabulary import NAMES
from finrag_eval.synthesis_pipeline.rehearsal.answers import Answer, Quote
from finrag_eval.synthesis_pipeline.rehearsal.reading import Material, Source
from finrag_eval.synthesis_pipeline.rehearsal.words import telling_words, words_of

_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\bInc\.)(?<!\bCorp\.)(?<!\bU\.S\.)(?<!\bNo\.)(?<!\bCo\.)\s+(?=[A-Z“\"•(\d])|\n+"
)
_CAUSE = re.compile(
    r"\b(?:because|since|due\s+to|as\s+a\s+result|driven\s+by|reflect|caused|led\s+to|owing|after"
    r"|lifted|hurt|when|as|helped|thanks)\b",
    re.IGNORECASE,
)
_WHY = re.compile(
    r"\b(?:why|reasons?|explain|what\s+(?:made|reduced|lifted|helped|caused))\b", re.I
)
_AMOUNT_ASKED = re.compile(
    r"\bhow\s+(?:much|many)\b|\bwhat\s+(?:\w+\s+){0,2}price\b|\bwhat\s+did\b.{0,40}\bpay\b"
    r"|\bwhat\s+(?:percentage|share)\b",
    re.IGNORECASE,
)
_PART_YEAR = re.compile(r"\bquarter|\bmonth|\bhalf\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d")
_PERCENT = re.compile(r"\d\s?%|\bper\s?cent\b", re.IGNORECASE)
_TO_BE_COMPUTED = frozenset({"cagr", "average", "sum"})
_YEAR_ALONE = re.compile(r"\b(?:19|20)\d\d\b")
_PROPER = re.compile(r"(?<![.?!]\s)(?<!^)\b(?:[A-Z][a-z]+|[A-Z]{2,}|i[A-Z][a-z]+)\b")

#: The share of the question's weight that a sentence with its passage must meet.
_LEAST_MET = 0.42
_MOST_QUOTES = 3


@dataclass(frozen=True, slots=True)
class _Sentence:
    source: Source | None
    text: str
    position: int

    @property
    def words(self) -> frozenset[str]:
        return words_of(self.text)


def answer_from_sentences(
    material: Material, asked: Entities, question: str, *, needs_number: bool = False
) -> Answer:
    """The best-matching sentences; declines where the passages do not meet the question.

    With ``needs_number`` only sentences with a figure count, and where the question names metrics,
    only those that name one of them, too.
    """
    sources = _eligible(material, asked)
    sentences = [each for source in sources for each in _sentences(source)]
    if not material.sources and material.loose:
        sentences = list(_loose_sentences(material.loose))
    if "part_year" in asked.asks:
        sentences = [each for each in sentences if _PART_YEAR.search(each.text)]
    if needs_number and asked.metrics.part is None:
        return _with_metric(sentences, asked) if asked.tickers or material.loose else Answer()
    terms = _terms(question, asked)
    if not sentences or not terms:
        return Answer()
    needs_number = needs_number or _AMOUNT_ASKED.search(question) is not None
    part = (asked.metrics.part or "") if needs_number else ""
    return _Ranking(sentences, terms, question, part).answer(asked, needs_number=needs_number)


def _with_metric(sentences: Sequence[_Sentence], asked: Entities) -> Answer:
    """Sentences with a figure of the metrics; nothing where that alone would not be the answer."""
    if asked.strangers or asked.metrics.ratios or asked.asks & _TO_BE_COMPUTED:
        return Answer()
    wanted = frozenset(asked.metrics.keys)
    names = _names_of(wanted)
    met = [
        (len(wanted & _metrics_told(each.text)), each)
        for each in sentences
        if names.search(each.text)
        and ("change" not in asked.asks or _PERCENT.search(each.text) is not None)
    ]
    ranked = sorted((pair for pair in met if pair[0]), key=lambda pair: -pair[0])
    kept = _spread([(float(count), each) for count, each in ranked], asked)
    if len(asked.tickers) > len({each.source.ticker for each in kept if each.source}) > 0:
        return Answer()
    return Answer(quotes=tuple(Quote(sentence=e.text, source=e.source) for e in kept))


@lru_cache(maxsize=512)
def _names_of(metrics: frozenset[str]) -> re.Pattern[str]:
    """A quick look for any name of the metrics; the finder then tells apart what it met."""
    names = [re.escape(name) for key in metrics for name in NAMES.get(key, key).split("|")]
    return re.compile("|".join(names), re.IGNORECASE)


@lru_cache(maxsize=8192)
def _metrics_told(sentence: str) -> frozenset[str]:
    """The company-wide metrics that the sentence gives a figure for."""
    if not _NUMBER.search(_YEAR_ALONE.sub("", sentence)):
        return frozenset()
    found, _ = known_metrics().read(sentence)
    return frozenset() if found.part else frozenset(found.keys)


class _Ranking:
    """All sentences by how much of the question they meet."""

    def __init__(
        self, sentences: Sequence[_Sentence], terms: Sequence[str], question: str, part: str
    ) -> None:
        self.sentences, self.question = sentences, question
        self.must_hold = words_of(part)
        counts = Counter(word for each in sentences for word in each.words)
        total = len(sentences)
        self.weights = {term: math.log(1 + total / max(1, counts[term])) for term in terms}
        self.all_weight = sum(self.weights.values())
        self.asks_why = _WHY.search(question) is not None
        self.around = _passage_words(sentences)

    def answer(self, asked: Entities, *, needs_number: bool) -> Answer:
        if not asked.tickers and self._lacks_a_name():
            return Answer()
        scored = sorted(
            ((self._score(each), each) for each in self.sentences),
            key=lambda pair: (-pair[0], pair[1].position),
        )
        best = [
            (score, each)
            for score, each in scored
            if score >= _LEAST_MET
            and (not needs_number or _NUMBER.search(_YEAR_ALONE.sub("", each.text)))
        ]
        if not best:
            return Answer()
        kept = _spread([pair for pair in scored if pair[0] >= 0.6 * best[0][0]], asked)
        return Answer(quotes=tuple(Quote(sentence=e.text, source=e.source) for e in kept))

    def _score(self, each: _Sentence) -> float:
        """The share of the question's weight met: in full by the sentence, half by its passage."""
        around = self.around[id(each.source)]
        met = sum(
            weight if term in each.words else weight / 2 if term in around else 0.0
            for term, weight in self.weights.items()
        )
        direct = sum(term in each.words for term in self.weights)
        if direct < min(2, len(self.weights)) or not self.must_hold <= each.words:
            return 0.0
        bonus = 0.15 if self.asks_why and _CAUSE.search(each.text) else 0.0
        return met / self.all_weight + bonus

    def _lacks_a_name(self) -> bool:
        names = set(telling_words(" ".join(_PROPER.findall(self.question))))
        words = set().union(*(each.words for each in self.sentences))
        return bool(names - words)


def _spread(ranked: Sequence[tuple[float, _Sentence]], asked: Entities) -> list[_Sentence]:
    """The first few, one at least of every company that has any; in reading order."""
    kept: list[_Sentence] = []
    for ticker in asked.tickers[:6] if len(asked.tickers) > 1 else ():
        own = [each for _, each in ranked if each.source and each.source.ticker == ticker]
        kept += own[:1]
    for _, each in ranked:
        if len(kept) >= _MOST_QUOTES:
            break
        if each not in kept:
            kept.append(each)
    return kept if len(asked.tickers) < 2 else sorted(kept, key=lambda each: each.position)


def _eligible(material: Material, asked: Entities) -> Sequence[Source]:
    """Passages of the companies and years that the question names; all where it names none."""
    sources: Sequence[Source] = material.sources
    if asked.tickers:
        sources = [source for source in sources if source.ticker in asked.tickers]
    if asked.years.named:
        sources = [source for source in sources if source.year in asked.years.named]
    return sources


@lru_cache(maxsize=4096)
def _sentences(source: Source) -> tuple[_Sentence, ...]:
    return tuple(_split(source.text, source))


def _loose_sentences(text: str) -> Iterable[_Sentence]:
    return _split(text, None)


def _split(text: str, source: Source | None) -> Iterable[_Sentence]:
    for position, piece in enumerate(_SENTENCE_END.split(text)):
        plain = " ".join(piece.split())
        if plain:
            yield _Sentence(source, plain, position)


def _passage_words(sentences: Sequence[_Sentence]) -> dict[int, frozenset[str]]:
    words: dict[int, set[str]] = {}
    for each in sentences:
        if each.source is not None:
            words.setdefault(id(each.source), set()).update(each.words)
    return {key: frozenset(value) for key, value in words.items()} | {id(None): frozenset()}


def _terms(question: str, asked: Entities) -> list[str]:
    """The question's telling words: no stop words, no years, no names of companies."""
    text = question
    for start, end, _ in known_companies().spans(text):
        text = text[:start] + " " * (end - start) + text[end:]
    return telling_words(_YEAR_ALONE.sub(" ", text))
