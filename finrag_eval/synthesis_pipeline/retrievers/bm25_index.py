"""The BM25 index of a corpus: built once, kept on disk by digest, loaded memory-mapped.

Enters: a corpus and a cache folder. Leaves: an ``Index`` that any number of threads may read.
The folder of an index is made beside its place and renamed into it, so that another process sees
the whole of it or nothing; a lock file lets one process build while the others wait.
"""

from __future__ import annotations

import fcntl
import json
import logging
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finrag_eval.synthesis_pipeline.retrievers.corpus import (
    MAX_PIECE_CHARS,
    Corpus,
    Piece,
    content_digest,
)
from finrag_eval.synthesis_pipeline.retrievers.words import WORDS_VERSION, words

#: Names what a cached index holds: raise its first number with any change of it.
INDEX_VERSION = f"v2w{WORDS_VERSION}c{MAX_PIECE_CHARS}b{version('bm25s')}"

#: Robertson & Zaragoza 2009 give 1.2-2 and 0.5-0.8 as the useful range; Lucene's values.
_K1, _B = 1.2, 0.75

_ARRAYS = ("company", "year", "section", "group", "offset")
_RANKING_ARRAYS = ("starts", "positions", "weights")
_TEXTS = "pieces.jsonl"
_WORDS = "words.json"
_META = "meta.json"
#: Pieces kept after they were read: some 10 MB.
_PIECES_KEPT = 5_000
_LOG = logging.getLogger(__name__)

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What bm25s worked out: for every word the pieces that hold it, and what it adds to each.

    Word ``n`` of ``words`` has the ``positions`` and ``weights`` from ``starts[n]`` to
    ``starts[n + 1]``. Reading needs numpy alone: bm25s takes half a second to load.
    """

    words: Mapping[str, int]
    starts: NDArray[np.integer]
    positions: NDArray[np.integer]
    weights: NDArray[np.float32]

    def known(self, question: Sequence[str]) -> list[int]:
        """The numbers of the question's words that any piece holds."""
        return [self.words[word] for word in question if word in self.words]

    def scores(self, question: Sequence[str], size: int) -> NDArray[np.float32]:
        """The score of each of ``size`` pieces: the sum over the question's different words."""
        scores = np.zeros(size, dtype=np.float32)
        for word in self.known(list(dict.fromkeys(question))):
            span = slice(self.starts[word], self.starts[word + 1])
            scores[self.positions[span]] += self.weights[span]
        return scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Pieces in reading order, their BM25 scores by word, and what they can be filtered by.

    ``company``, ``section`` and ``group`` hold, per piece, a place in ``companies`` and
    ``sections``, and the number of its filing's section: neighbours share it.
    """

    corpus_digest: str
    companies: Mapping[str, tuple[str, ...]]
    sections: tuple[str, ...]
    company: Ints
    year: Ints
    section: Ints
    group: Ints
    offset: Ints
    texts: bytes | mmap.mmap
    ranking: Ranking
    read: dict[int, Piece] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.year)

    def knows(self, question: Sequence[str]) -> bool:
        """Whether any piece holds one of the words."""
        return bool(self.ranking.known(question))

    def piece(self, position: int) -> Piece:
        """The piece at a position in reading order; questions ask for the same few often."""
        known = self.read.get(position)
        if known is None:
            line = self.texts[self.offset[position] : self.offset[position + 1]]
            fields = json.loads(line)
            known = Piece(**fields | {"sentence_ids": tuple(fields["sentence_ids"])})
            if len(self.read) >= _PIECES_KEPT:
                self.read.clear()
            self.read[position] = known
        return known

    def scores(self, question: Sequence[str]) -> NDArray[np.float32]:
        """The BM25 score of every piece for a question's words; 0 where it has none of them."""
        return self.ranking.scores(question, len(self))


def open_index(corpus: Corpus, cache_folder: Path | None) -> Index:
    """The corpus' index, from the cache where it is there, else built and put there.

    None, or a folder that cannot be written, builds it in memory. Raises InvalidInput where the
    corpus is wrong.
    """
    if cache_folder is None:
        return build_index(corpus)
    home = cache_folder / f"bm25-{INDEX_VERSION}-{corpus.source_digest[:32]}"
    try:
        return _load(home) or _build_into(home, corpus)
    except OSError as error:
        _LOG.warning("no index is kept in %s (%s); it is built in memory", cache_folder, error)
        return build_index(corpus)


def build_index(corpus: Corpus) -> Index:
    """The corpus' index in memory. Raises InvalidInput where the corpus is wrong."""
    pieces = corpus.pieces()
    companies = _names_by_ticker(pieces)
    sections = tuple(dict.fromkeys(piece.section for piece in pieces))
    groups = {key: number for number, key in enumerate(dict.fromkeys(map(_group, pieces)))}
    lines = [json.dumps(asdict(piece)).encode() + b"\n" for piece in pieces]
    tickers = list(companies)
    return Index(
        corpus_digest=content_digest(pieces),
        companies=companies,
        sections=sections,
        company=np.array([tickers.index(piece.ticker) for piece in pieces]),
        year=np.array([piece.fiscal_year for piece in pieces]),
        section=np.array([sections.index(piece.section) for piece in pieces]),
        group=np.array([groups[_group(piece)] for piece in pieces]),
        offset=np.cumsum([0, *map(len, lines)]),
        texts=b"".join(lines),
        ranking=_ranking(pieces),
    )


def _ranking(pieces: Sequence[Piece]) -> Ranking:
    import bm25s

    made = bm25s.BM25(k1=_K1, b=_B, method="lucene", backend="numpy", csc_backend="numpy")
    made.index([words(piece.text) for piece in pieces], show_progress=False)
    return Ranking(
        words={str(word): int(number) for word, number in made.vocab_dict.items()},
        starts=made.scores["indptr"],
        positions=made.scores["indices"],
        weights=made.scores["data"],
    )


def _names_by_ticker(pieces: Sequence[Piece]) -> dict[str, tuple[str, ...]]:
    """The words that only name a company, its ticker among them, by ticker."""
    names: dict[str, dict[str, None]] = {}
    for piece in pieces:
        known = names.setdefault(piece.ticker, {})
        known.update(dict.fromkeys(words(f"{piece.ticker} {piece.company_name}")))
    return {ticker: tuple(known) for ticker, known in names.items()}


def _group(piece: Piece) -> tuple[str, int, str, str]:
    return (piece.ticker, piece.fiscal_year, piece.doc_id, piece.section)


def _build_into(home: Path, corpus: Corpus) -> Index:
    home.parent.mkdir(parents=True, exist_ok=True)
    with _locked(home.parent / f"{home.name}.lock"):
        found = _load(home)
        if found is None:
            built = build_index(corpus)
            _save(built, home)
            found = _load(home) or built
    return found


def _save(index: Index, home: Path) -> None:
    """Puts the index at its place, whole; what lay there was unreadable and goes."""
    made = Path(tempfile.mkdtemp(prefix=".making-", dir=home.parent))
    try:
        for name in _ARRAYS:
            np.save(made / f"{name}.npy", getattr(index, name))
        for name in _RANKING_ARRAYS:
            np.save(made / f"{name}.npy", getattr(index.ranking, name))
        (made / _WORDS).write_text(json.dumps(dict(index.ranking.words)), encoding="utf-8")
        (made / _TEXTS).write_bytes(index.texts)
        sizes = {path.name: path.stat().st_size for path in sorted(made.iterdir())}
        meta = {
            "corpus_digest": index.corpus_digest,
            "companies": index.companies,
            "sections": index.sections,
            "sizes": sizes,
        }
        (made / _META).write_text(json.dumps(meta), encoding="utf-8")
        made.chmod(0o755)
        shutil.rmtree(home, ignore_errors=True)
        made.rename(home)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _load(home: Path) -> Index | None:
    """The index at that place; None where there is none, or where files were cut or lost."""
    try:
        meta = json.loads((home / _META).read_text(encoding="utf-8"))
        if any((home / name).stat().st_size != size for name, size in meta["sizes"].items()):
            return None
        arrays = {name: np.load(home / f"{name}.npy") for name in _ARRAYS}
        return Index(
            corpus_digest=meta["corpus_digest"],
            companies={ticker: tuple(names) for ticker, names in meta["companies"].items()},
            sections=tuple(meta["sections"]),
            texts=_mapped(home / _TEXTS),
            ranking=Ranking(
                words=json.loads((home / _WORDS).read_text(encoding="utf-8")),
                **{name: np.load(home / f"{name}.npy", mmap_mode="r") for name in _RANKING_ARRAYS},
            ),
            **arrays,
        )
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock file; the system lets go of it when the process ends, however it ends."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
