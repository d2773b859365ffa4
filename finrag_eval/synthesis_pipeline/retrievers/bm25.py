"""BM25 retrieval: the passages of the companies and years that a question names.

Enters: a question, and what the entity step read from it. Leaves: passages in reading order.

The filter decides first and the score second: every piece is scored, and only those of the right
company and year are ranked. Where fewer than ``min_hits`` pieces of a company come of that, more
are looked for, in this order: in any section (where sections were asked for), then in any year.
A company that the corpus has nothing of gives nothing; only where it has none of those named
(labels may differ: GOOG, GOOGL) are all companies searched, by the question's every word.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from functools import cached_property
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.synthesis_pipeline.models import Passage
from finrag_eval.synthesis_pipeline.retrievers.corpus import Corpus, Piece
from finrag_eval.synthesis_pipeline.retrievers.words import WORDS_VERSION, words

if TYPE_CHECKING:
    from finrag_eval.synthesis_pipeline.retrievers.bm25_index import Index

#: Raise it with any change of what a search gives back for the same corpus and options.
SEARCH_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bm25Options:
    """How the BM25 retriever searches; each is a key of ``retriever_options``."""

    #: Pieces before and after a hit, of the same filing and section, that come with it.
    window: int = 1
    #: Neighbours come only while all passages together stay below this many characters.
    max_chars: int = 16_000
    #: With fewer hits of a company than this, its other sections and years are searched, too.
    min_hits: int = 2

    @classmethod
    def read(cls, options: Mapping[str, Any], file: str) -> Bm25Options:
        """The options as written. Raises InvalidInput for unknown keys and impossible values."""
        known = [option.name for option in fields(cls)]
        problems = [_unknown(key, known, file) for key in options if key not in known]
        problems += [
            Problem(
                file=file,
                key=f"retriever_options.{key}",
                message=f"is not a count: {value!r:.40}",
                fix="write a whole number, 0 or more",
            )
            for key, value in options.items()
            if key in known and not _is_count(value)
        ]
        if problems:
            raise InvalidInput(problems)
        return cls(**options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search gave: passages in reading order, and how they came to be chosen."""

    passages: tuple[Passage, ...] = ()
    hits: int = 0
    neighbours: int = 0
    #: What was let go of to find enough: ``sections``, ``years``, ``companies``.
    relaxed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bm25Retriever:
    """Passages by BM25. Opening it is cheap; the index is opened, or built, on first use.

    ``cache_folder`` None keeps the index in memory alone. Threads share one retriever; a pickled
    one takes its corpus along and opens the index where it arrives.
    """

    corpus: Corpus
    cache_folder: Path | None = None
    options: Bm25Options = field(default_factory=Bm25Options)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "index"}

    @cached_property
    def index(self) -> Index:
        """The corpus' index. Raises InvalidInput where the corpus is wrong."""
        from finrag_eval.synthesis_pipeline.retrievers.bm25_index import open_index

        return open_index(self.corpus, self.cache_folder)

    @property
    def digest(self) -> str:
        """Names all that decides what a search finds: the corpus' content and the options."""
        told = [SEARCH_VERSION, WORDS_VERSION, self.index.corpus_digest, asdict(self.options)]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def search(
        self,
        query: str,
        *,
        tickers: Sequence[str] = (),
        years: Sequence[int] = (),
        sections: Sequence[str] = (),
        top_k: int = 8,
    ) -> list[Passage]:
        """At most ``top_k`` hits and their neighbours, in reading order; see ``find``."""
        found = self.find(query, tickers=tickers, years=years, sections=sections, top_k=top_k)
        return list(found.passages)

    def find(
        self,
        query: str,
        *,
        tickers: Sequence[str] = (),
        years: Sequence[int] = (),
        sections: Sequence[str] = (),
        top_k: int = 8,
    ) -> Found:
        """The best passages, the companies named getting equal shares and so their years.

        Reading order: companies as the question names them; within one by year, filing, section
        and place. Empty filters filter nothing. Nothing is found where no word is.
        """
        return _Search(self.index, self.options, query, tickers, years, sections).run(top_k)


class _Search:
    """One search over an index."""

    def __init__(
        self,
        index: Index,
        options: Bm25Options,
        query: str,
        tickers: Sequence[str],
        years: Sequence[int],
        sections: Sequence[str],
    ) -> None:
        self.index, self.options = index, options
        self.known = [ticker for ticker in dict.fromkeys(tickers) if ticker in index.companies]
        self.years, self.sections = tuple(years), tuple(sections)
        self.relaxed: dict[str, None] = {}
        if tickers and not self.known:
            self.relaxed["companies"] = None
        self.scores = index.scores(self._telling(words(query)))
        self.pieces: dict[int, Piece] = {}

    def run(self, top_k: int) -> Found:
        share = -(-top_k // max(1, len(self.known)))
        companies: Sequence[str | None] = self.known or [None]
        per_company = [self._of_company(ticker, top_k, share) for ticker in companies]
        hits = list(islice(_in_turn(per_company), top_k))
        self.pieces = {position: self.pieces[position] for position in hits}
        self._add_neighbours(hits)
        order = sorted(self.pieces, key=self._reading_order)
        return Found(
            passages=tuple(self._passage(position) for position in order),
            hits=len(hits),
            neighbours=len(order) - len(hits),
            relaxed=tuple(self.relaxed),
        )

    def _telling(self, question: list[str]) -> list[str]:
        """The question's words without those that only repeat the filter, if any are left."""
        naming = {str(year) for year in self.years} | {f"fy{year}" for year in self.years}
        naming.update(*(self.index.companies[ticker] for ticker in self.known))
        rest = [word for word in question if word not in naming]
        return rest if self.index.knows(rest) else question

    def _of_company(self, ticker: str | None, top_k: int, share: int) -> list[int]:
        """The company's best positions, the strict filter's first; None is any company."""
        chosen = list(islice(self._new(self._ranked(ticker, self.years, self.sections)), top_k))
        dropped: list[str] = []
        for name, asked in (("sections", self.sections), ("years", self.years)):
            if not asked:
                continue
            if len(chosen) >= min(self.options.min_hits, share):
                break
            dropped.append(name)
            years = () if "years" in dropped else self.years
            added = list(islice(self._new(self._ranked(ticker, years, ())), share - len(chosen)))
            if added:
                self.relaxed.update(dict.fromkeys(dropped))
            chosen += added
        return chosen

    def _ranked(
        self, ticker: str | None, years: Sequence[int], sections: Sequence[str]
    ) -> Iterator[int]:
        """All positions that pass the filter and hold a word of the question, best first.

        Equal scores go by reading order; several years take turns.
        """
        import numpy as np

        index, passes = self.index, self.scores > 0
        if ticker is not None:
            passes &= index.company == list(index.companies).index(ticker)
        if years:
            passes &= np.isin(index.year, years)
        if sections:
            wanted = [place for place, name in enumerate(index.sections) if name in sections]
            passes &= np.isin(index.section, wanted)
        positions = np.flatnonzero(passes)
        best_first = positions[np.argsort(-self.scores[positions], kind="stable")]
        if len(years) < 2:
            return iter(best_first.tolist())
        of_year = index.year[best_first]
        return _in_turn([best_first[of_year == year].tolist() for year in dict.fromkeys(years)])

    def _new(self, positions: Iterable[int]) -> Iterator[int]:
        """The positions whose text is not yet there for that company and year; kept as found."""
        for position in positions:
            if position not in self.pieces and self._is_new(piece := self.index.piece(position)):
                self.pieces[position] = piece
                yield position

    def _is_new(self, piece: Piece) -> bool:
        return not any(
            piece.text in known.text
            and (piece.ticker, piece.fiscal_year) == (known.ticker, known.fiscal_year)
            for known in self.pieces.values()
        )

    def _add_neighbours(self, hits: Sequence[int]) -> None:
        """What stands before and after the hits, nearest first, while there is room."""
        room = self.options.max_chars - sum(len(piece.text) for piece in self.pieces.values())
        for distance in range(1, self.options.window + 1):
            for hit, place in ((hit, hit + step) for hit in hits for step in (-distance, distance)):
                if not 0 <= place < len(self.index) or place in self.pieces:
                    continue
                piece = self.index.piece(place)
                is_near = self.index.group[place] == self.index.group[hit]
                if is_near and len(piece.text) <= room and self._is_new(piece):
                    self.pieces[place] = piece
                    room -= len(piece.text)

    def _reading_order(self, position: int) -> tuple[int, int]:
        ticker = self.pieces[position].ticker
        return (self.known.index(ticker) if self.known else 0, position)

    def _passage(self, position: int) -> Passage:
        piece = self.pieces[position]
        return Passage(
            chunk_id=piece.chunk_id,
            ticker=piece.ticker,
            company_name=piece.company_name,
            fiscal_year=piece.fiscal_year,
            section=piece.section,
            section_title=piece.section_title,
            text=piece.text,
            sentence_ids=piece.sentence_ids,
            score=float(self.scores[position]),
        )


def _in_turn(lists: Iterable[Iterable[int]]) -> Iterator[int]:
    """The first of each list, then the second of each, and so on."""
    nothing = object()
    rounds = zip_longest(*lists, fillvalue=nothing)
    return (item for item in chain.from_iterable(rounds) if isinstance(item, int))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _unknown(key: str, known: list[str], file: str) -> Problem:
    near = get_close_matches(key, known, n=1)
    return Problem(
        file=file,
        key=f"retriever_options.{key}",
        message="the bm25 retriever has no such option",
        fix=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}",
    )
