"""Query sets: which questions are asked, and a digest that names them.

Enters: a file and what to choose from it. Leaves: a ``QuerySet`` in the file's order, or
problems. Knows nothing of models and answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from finrag_eval.domain import Location, Query, QuerySet
from finrag_eval.errors import Problem
from finrag_eval.spec.fields import QUERY_FIELDS
from finrag_eval.spec.files import shown
from finrag_eval.spec.query_fields import Wrong, from_cells, query_of, with_lists
from finrag_eval.spec.query_rows import CSV, PARQUET, Row, read_rows
from finrag_eval.spec.suggest import did_you_mean

#: Problems of one file that are listed; the rest is counted.
_LISTED = 20


def read_query_set(
    path: Path,
    *,
    problems: list[Problem],
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Collection[Any]] | None = None,
    ids: Sequence[str] | None = None,
    sample: Mapping[str, int] | None = None,
    limit: int | None = None,
    asked_at: Location | None = None,
) -> QuerySet | None:
    """The chosen queries of a file; None after telling what is wrong.

    Chosen in this order: ``where`` (field to values, any of which will do), ``ids``, ``sample``
    (``n`` by ``seed``), ``limit``. ``asked_at`` is where the choice was written: problems of the
    choice are told there, those of the file at their line in it.
    """
    told = len(problems)
    tally = _Tally(shown(path))
    queries = _read(path, columns or {}, tally, problems)
    problems.extend(tally.problems())
    if len(problems) > told:
        return None
    choice = _Choice(asked_at or Location(file=shown(path)), problems)
    chosen = choice.of(queries, where or {}, ids, sample, limit)
    if chosen is None:
        return None
    return QuerySet(queries=tuple(chosen), digest=digest_of(chosen), source=str(path))


def digest_of(queries: Sequence[Query]) -> str:
    """A digest of the queries' content, whatever their order and the format of their file."""
    every = hashlib.blake2b(digest_size=16)
    for content in sorted(_content(query) for query in queries):
        every.update(hashlib.blake2b(content, digest_size=16).digest())
    return every.hexdigest()


def _content(query: Query) -> bytes:
    content = {name: getattr(query, name) for name in _FIELDS}
    kept = {name: item for name, item in content.items() if _is_said(item)}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False).encode()


def _is_said(item: Any) -> bool:
    return not (item is None or item is False or item == () or item == {})


_FIELDS = tuple(field.name for field in fields(Query))


class _Tally:
    """Problems of one file: the first ones told, all of them counted."""

    def __init__(self, file: str) -> None:
        self.count = 0
        self._file = file
        self._first: list[Problem] = []

    def tell(self, line: int | None, message: str, fix: str, field: str | None = None) -> None:
        self.count += 1
        if len(self._first) < _LISTED:
            self._first.append(
                Problem(file=self._file, line=line, key=field, message=message, fix=fix)
            )

    def problems(self) -> list[Problem]:
        more = self.count - len(self._first)
        in_order = sorted(self._first, key=lambda problem: problem.line or 0)
        if not more:
            return in_order
        message = f"{more:,} more problems like these"
        return [*in_order, Problem(file=self._file, message=message, fix="mend these first")]


_PLAIN_BY_ENDING: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    CSV: from_cells,
    PARQUET: with_lists,
}


def _read(
    path: Path, columns: Mapping[str, str], tally: _Tally, problems: list[Problem]
) -> list[Query]:
    rows = list(read_rows(path, tally.tell, problems))
    names = list(dict.fromkeys(name for row in rows for name in row.content))
    if rows and not _are_there(columns, names, tally):
        return []
    as_plain = _PLAIN_BY_ENDING.get(path.suffix.lower(), dict)
    queries: list[Query] = []
    first_line: dict[str, int] = {}
    for row in rows:
        content = _renamed(row.content, columns)
        query = query_of(as_plain(content))
        if not isinstance(query, Query):
            _tell_wrongs(query, row, columns, names, tally)
        elif query.id in first_line:
            message = f"the id '{query.id}' is that of line {first_line[query.id]}, too"
            if "id" not in content:
                message = f"the same question as in line {first_line[query.id]}, without an id"
            tally.tell(row.line, message, "give each query an id of its own", "id")
        elif not _is_sound(query):
            tally.tell(row.line, "holds half a character (a lone surrogate)", "mend the text")
        else:
            first_line[query.id] = row.line
            queries.append(query)
    return queries


def _renamed(content: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    if not columns:
        return content
    fields_of = {column: field for field, column in columns.items()}
    return {
        fields_of.get(name, name): cell
        for name, cell in content.items()
        if name in fields_of or name not in columns
    }


def _is_sound(query: Query) -> bool:
    try:
        json.dumps(query.metadata, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _tell_wrongs(
    wrongs: list[Wrong], row: Row, columns: Mapping[str, str], names: list[str], tally: _Tally
) -> None:
    for wrong in wrongs:
        column = columns.get(wrong.field, wrong.field)
        fix = wrong.fix
        if wrong.field == "query" and "query" not in columns and "query" not in names:
            fix = f"name its column: 'columns: {{query: ...}}'; there are {', '.join(names)}"
        tally.tell(row.lines.get(column) or row.line, wrong.message, fix, column)


def _are_there(columns: Mapping[str, str], names: list[str], tally: _Tally) -> bool:
    missing = {field: column for field, column in columns.items() if column not in names}
    for field, column in missing.items():
        message = f"there is no column '{column}' for {field}"
        tally.tell(None, message, did_you_mean(column, names), "columns")
    return not missing


class _Choice:
    """Chooses queries; problems are told where the choice was written."""

    def __init__(self, asked_at: Location, problems: list[Problem]) -> None:
        self._at = asked_at
        self._problems = problems

    def of(
        self,
        queries: list[Query],
        where: Mapping[str, Collection[Any]],
        ids: Sequence[str] | None,
        sample: Mapping[str, int] | None,
        limit: int | None,
    ) -> list[Query] | None:
        told = len(self._problems)
        if not queries:
            self._tell(None, "the query set has no queries", "write at least one")
        chosen = self._where(queries, where)
        chosen = self._ids(chosen, ids, queries)
        if queries and not chosen and len(self._problems) == told:
            said = f"none of the {len(queries)} queries is chosen"
            self._tell("where" if where else "ids", said, "choose less strictly")
        if sample is not None and len(self._problems) == told:
            chosen = self._sample(chosen, sample["n"], sample.get("seed", 0))
        return None if len(self._problems) > told else chosen[:limit]

    def _where(self, queries: list[Query], where: Mapping[str, Collection[Any]]) -> list[Query]:
        for field, wanted in where.items():
            known = {*QUERY_FIELDS, *(name for query in queries for name in query.metadata)}
            if queries and field not in known:
                said = f"no query has a field '{field}'"
                self._tell(f"where.{field}", said, did_you_mean(field, known))
                return queries
            words = {_word(item) for item in wanted}
            queries = [query for query in queries if words & _words(query, field)]
        return queries

    def _ids(
        self, queries: list[Query], ids: Sequence[str] | None, every: list[Query]
    ) -> list[Query]:
        if ids is None:
            return queries
        known = {query.id for query in every}
        for unknown in [wanted for wanted in ids if wanted not in known][:_LISTED]:
            self._tell("ids", f"no query has the id '{unknown}'", did_you_mean(unknown, known))
        wanted = set(ids)
        return [query for query in queries if query.id in wanted]

    def _sample(self, queries: list[Query], n: int, seed: int) -> list[Query]:
        """``n`` queries by a hash of seed and id: new queries displace few of the old ones."""
        if n > len(queries):
            said = f"a sample of {n} cannot be drawn from {len(queries)} queries"
            self._tell("sample.n", said, f"write at most {len(queries)}")
            return queries
        ranked = sorted(queries, key=lambda query: _rank(seed, query.id))
        drawn = {query.id for query in ranked[:n]}
        return [query for query in queries if query.id in drawn]

    def _tell(self, key: str | None, message: str, fix: str) -> None:
        place = f"query_set.{key}" if key else "query_set"
        self._problems.append(
            Problem(file=self._at.file, line=self._at.line, key=place, message=message, fix=fix)
        )


def _rank(seed: int, query_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{query_id}".encode(), digest_size=8).digest()


def _words(query: Query, field: str) -> set[str]:
    """A field's value, or each of a list's, as words to compare by."""
    content = getattr(query, field) if field in QUERY_FIELDS else query.metadata.get(field)
    items = content if isinstance(content, list | tuple) else (content,)
    return {_word(item) for item in items if item is not None}


def _word(content: Any) -> str:
    """A value as a word: 2020, 2020.0 and '2020' are one, so that formats do not matter."""
    if isinstance(content, bool):
        return str(content).lower()
    if isinstance(content, float) and content.is_integer():
        return str(int(content))
    return str(content)
