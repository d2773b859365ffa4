"""A corpus: passages of filing text, read from a file and checked.

Enters: JSONL or Parquet with the fields ``chunk_id, ticker, fiscal_year, section, text`` and,
where there are any, ``company_name, section_title, doc_id, sentence_ids, fiscal_year_actual``.
Leaves: ``Piece`` rows in reading order, each short enough for a prompt.

``fiscal_year_actual`` wins over ``fiscal_year``: some sources label a filing by the calendar year
in which its fiscal year ends, and the figures go by the company's own label.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path

from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.synthesis_pipeline.retrievers.rows import Row, jsonl_rows, parquet_rows, refused

#: Longer passages are split at sentence ends, so that one hit cannot fill a prompt by itself.
MAX_PIECE_CHARS = 2_000

_MOST_PROBLEMS = 20
_EMBEDDED = "narrative.jsonl"
_BREAKS = (re.compile(r"\n\s*\n"), re.compile(r"(?<=[.!?;:])\s+"), re.compile(r"\s+"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A passage, or a part of a long one, as the index keeps it.

    Parts of one passage share its sentence ids and carry ``#2``, ``#3`` ... behind its id.
    """

    chunk_id: str
    ticker: str
    company_name: str
    fiscal_year: int
    section: str
    section_title: str
    doc_id: str
    text: str
    sentence_ids: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """A corpus by the bytes of its file; the passages are read and checked on first use."""

    name: str
    content: bytes
    is_embedded: bool = False

    @classmethod
    def embedded(cls) -> Corpus:
        """The summaries that come with the package."""
        folder = resources.files("finrag_eval.synthesis_pipeline") / "embedded"
        content = (folder / _EMBEDDED).read_bytes()
        return cls(name=f"embedded/{_EMBEDDED}", content=content, is_embedded=True)

    @classmethod
    def from_file(cls, path: Path) -> Corpus:
        """The user's corpus, JSONL or Parquet. Raises InvalidInput where it cannot be read."""
        if path.suffix.lower() not in {".jsonl", ".parquet"}:
            raise refused(
                str(path), "a corpus is .jsonl or .parquet", "convert it, or name another file"
            )
        try:
            return cls(name=str(path), content=path.read_bytes())
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise refused(
                str(path), f"cannot be read ({reason})", "check the path of the corpus"
            ) from error

    @cached_property
    def source_digest(self) -> str:
        """Names the file's bytes: the key of the cached index."""
        return hashlib.sha256(self.content).hexdigest()

    def pieces(self) -> tuple[Piece, ...]:
        """All pieces in reading order. Raises InvalidInput with the faults found, 20 at most."""
        problems: list[Problem] = []
        lines: dict[str, int] = {}
        pieces: list[Piece] = []
        for row in self._rows(problems):
            piece = _piece(row)
            if piece is None:
                continue
            if piece.chunk_id in lines:
                message = f"{piece.chunk_id!r:.80} stands on line {lines[piece.chunk_id]}, too"
                row.refuse("chunk_id", message, "give every passage its own")
            lines[piece.chunk_id] = row.line
            pieces.append(piece)
        if not pieces and not problems:
            raise refused(self.name, "the corpus is empty", "add passages to it")
        if problems:
            raise InvalidInput(_first_few(problems, self.name))
        pieces.sort(key=_reading_order)
        return tuple(part for piece in pieces for part in split(piece, MAX_PIECE_CHARS))

    @cached_property
    def digest(self) -> str:
        """See ``content_digest``. Raises InvalidInput where the corpus is wrong."""
        return content_digest(self.pieces())

    def _rows(self, problems: list[Problem]) -> Iterator[Row]:
        if self.name.lower().endswith(".parquet"):
            return parquet_rows(self.content, self.name, problems)
        return jsonl_rows(self.content, self.name, problems)


def content_digest(pieces: Iterable[Piece]) -> str:
    """Names what the passages say, whatever the file's format, line ends or order of filings."""
    told = hashlib.sha256()
    for piece in pieces:
        told.update(_canonical(piece))
    return told.hexdigest()


def split(piece: Piece, limit: int) -> Iterator[Piece]:
    """The piece itself, or its parts of at most ``limit`` characters, cut where a reader would."""
    for number, text in enumerate(_parts(piece.text, limit), start=1):
        chunk_id = piece.chunk_id if number == 1 else f"{piece.chunk_id}#{number}"
        yield replace(piece, text=text, chunk_id=chunk_id)


def _parts(text: str, limit: int) -> Iterator[str]:
    while len(text) > limit:
        cut = _cut(text, limit)
        yield text[:cut].rstrip()
        text = text[cut:].lstrip()
    yield text


def _cut(text: str, limit: int) -> int:
    """The last paragraph end in the second half, else the last sentence end, space, or limit."""
    for pattern in _BREAKS:
        ends = [match.end() for match in pattern.finditer(text, limit // 2, limit)]
        if ends:
            return ends[-1]
    return limit


def _piece(row: Row) -> Piece | None:
    """The row as a piece; None, with its problems noted, where a field is wrong."""
    chunk_id, ticker = row.label("chunk_id"), row.label("ticker").upper()
    section, text = row.label("section"), row.text("text")
    year = row.year("fiscal_year" if row.lacks("fiscal_year_actual") else "fiscal_year_actual")
    company_name = row.label("company_name", default=ticker)
    section_title = row.label("section_title", default=section)
    doc_id = row.label("doc_id", default=f"{ticker}:{year}")
    sentence_ids = row.labels("sentence_ids")
    if row.is_wrong:
        return None
    return Piece(
        chunk_id=chunk_id,
        ticker=ticker,
        company_name=company_name,
        fiscal_year=year,
        section=section,
        section_title=section_title,
        doc_id=doc_id,
        text=text,
        sentence_ids=sentence_ids,
    )


def _reading_order(piece: Piece) -> tuple[object, ...]:
    """Company, year, filing, section as filings have them (1, 1A, 7, 8, 15); file order within."""
    parts = re.split(r"(\d+)", piece.section)
    section = [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
    return (piece.ticker, piece.fiscal_year, piece.doc_id, section)


def _canonical(piece: Piece) -> bytes:
    fields = [piece.chunk_id, piece.ticker, piece.company_name, piece.fiscal_year, piece.section]
    fields += [piece.section_title, piece.doc_id, piece.text, list(piece.sentence_ids)]
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _first_few(problems: list[Problem], file: str) -> list[Problem]:
    if len(problems) <= _MOST_PROBLEMS:
        return problems
    more = f"{len(problems) - _MOST_PROBLEMS} more problems in this file"
    return [*problems[:_MOST_PROBLEMS], Problem(file=file, message=more, fix="mend these first")]
