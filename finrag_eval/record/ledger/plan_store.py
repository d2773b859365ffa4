"""The plan inside the ledger: written whole with each session, read back as the same words.

Enters: cells, queries and trial keys. Leaves: rows, and cells and queries again, those of today
or those that an old outcome was made with.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from finrag_eval.domain import Cell, PromptTexts, PromptVersion, Query, QuerySet, Trial
from finrag_eval.record.ledger import texts
from finrag_eval.record.ledger.plan_rows import model_json, model_of, query_json, query_of
from finrag_eval.record.ledger.rows import insert_rows
from finrag_eval.record.ledger.trial_rows import PackedText, pack_text

_CELL_COLUMNS = (
    "cell, position, model_key, system_version, query_version, system_text, query_text, "
    "prompts_digest, cell_digest"
)


@dataclass(frozen=True, slots=True)
class _CellRow:
    name: str
    model_key: str
    row: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class PackedPlan:
    """Cells and queries ready to be stored."""

    cells: tuple[_CellRow, ...]
    models: dict[str, str]
    queries: tuple[tuple[str, str, str | None], ...]
    texts: tuple[PackedText, ...]
    about: dict[str, Any]


def pack_plan(
    cells: Iterable[Cell], query_set: QuerySet, *, redact_context: bool, known: texts.KnownTexts
) -> PackedPlan:
    """The rows of a plan; questions' own contexts become markers where ``redact_context``."""
    packed: dict[str, PackedText] = {}

    def name_of(text: str) -> str:
        found = pack_text(text, known)
        packed.setdefault(found.digest, found)
        return found.digest

    models: dict[str, str] = {}
    cell_rows = []
    for position, cell in enumerate(cells):
        models.setdefault(cell.model.key, model_json(cell.model))
        cell_rows.append(_cell_row(position, cell, name_of))
    queries = []
    for query in query_set.queries:
        context = query.context
        if context is not None and redact_context:
            context = texts.marker(context)
        queries.append(
            (
                str(texts.column_text(query.id)),
                query_json(query),
                None if context is None else name_of(context),
            )
        )
    return PackedPlan(
        cells=tuple(cell_rows),
        models=models,
        queries=tuple(queries),
        texts=tuple(packed.values()),
        about={
            "query_set_digest": query_set.digest,
            "query_set_source": query_set.source,
            "cells": len(cell_rows),
            "queries": len(queries),
        },
    )


def _cell_row(position: int, cell: Cell, name_of: Callable[[str], str]) -> _CellRow:
    prompts = cell.prompts
    row = (
        cell.name,
        position,
        cell.model.key,
        prompts.version.system,
        prompts.version.query,
        name_of(prompts.system_text),
        name_of(prompts.query_text),
        prompts.digest,
        cell.digest,
    )
    return _CellRow(cell.name, cell.model.key, row)


def store(
    connection: sqlite3.Connection, plan: PackedPlan, trials: Iterable[Trial], session: int
) -> int:
    """Write the plan as that of ``session``; returns how many trials it has."""
    store_texts(connection, plan.texts)
    connection.executemany(
        "INSERT OR REPLACE INTO models VALUES (?, ?, ?)",
        ((key, session, config) for key, config in plan.models.items()),
    )
    connection.execute("DELETE FROM cells WHERE session = ?", (session,))
    connection.executemany(
        f"INSERT INTO cells (session, {_CELL_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((session, *cell.row) for cell in plan.cells),
    )
    _store_queries(connection, plan, session)
    connection.execute("DELETE FROM planned")
    connection.executemany(
        "INSERT INTO planned VALUES (?, ?, ?, ?, ?)",
        (
            (position, trial.key, trial.cell, texts.column_text(trial.query_id), trial.repeat)
            for position, trial in enumerate(trials)
        ),
    )
    (count,) = connection.execute("SELECT count(*) FROM planned").fetchone()
    connection.execute(
        "UPDATE sessions SET plan = ? WHERE session = ?",
        (texts.strict_json({**plan.about, "trials": count}), session),
    )
    return int(count)


def _store_queries(connection: sqlite3.Connection, plan: PackedPlan, session: int) -> None:
    """Only what is new or changed is written again: a set may have 10,000 questions."""
    known = {
        query_id: (content, context)
        for query_id, content, context, _ in connection.execute(
            "SELECT query_id, query, context, max(session) FROM queries GROUP BY query_id"
        )
    }
    connection.executemany(
        "INSERT OR REPLACE INTO queries (query_id, session, query, context) VALUES (?, ?, ?, ?)",
        (
            (query_id, session, content, context)
            for query_id, content, context in plan.queries
            if known.get(query_id) != (content, context)
        ),
    )
    connection.execute("DELETE FROM planned_queries")
    connection.executemany(
        "INSERT INTO planned_queries VALUES (?, ?)",
        ((position, query_id) for position, (query_id, _, _) in enumerate(plan.queries)),
    )


def store_texts(connection: sqlite3.Connection, packed: Iterable[PackedText]) -> None:
    """Store texts under their digests, unless they are there."""
    rows = [(text.digest, text.size, text.data) for text in packed if text.data is not None]
    insert_rows(connection, "texts", "digest, bytes, data", rows, or_ignore=True)


def learn_digests(connection: sqlite3.Connection, known: texts.KnownTexts) -> None:
    """Tell ``known`` the newest digests that are stored, so that none is compressed again."""
    rows = connection.execute(
        "SELECT digest FROM texts ORDER BY rowid DESC LIMIT ?", (known.limit,)
    ).fetchall()
    for (digest,) in reversed(rows):
        known.add(digest)


def read_text(connection: sqlite3.Connection, digest: str) -> str:
    """The text of that digest. KeyError where there is none."""
    row = connection.execute("SELECT data, bytes FROM texts WHERE digest = ?", (digest,)).fetchone()
    if row is None:
        raise KeyError(digest)
    return texts.unpack(*row)


def read_cells(connection: sqlite3.Connection, session: int) -> tuple[Cell, ...]:
    """The cells that a session planned, in their order."""
    rows = connection.execute(
        f"SELECT {_CELL_COLUMNS}, config FROM cells JOIN models USING (model_key, session) "
        "WHERE session = ? ORDER BY position",
        (session,),
    ).fetchall()
    return tuple(_cell_of(connection, row) for row in rows)


def _cell_of(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Cell:
    _, _, _, system, query, system_text, query_text, prompts_digest, cell_digest, config = row
    prompts = PromptTexts(
        version=PromptVersion(system=system, query=query),
        system_text=read_text(connection, system_text),
        query_text=read_text(connection, query_text),
        digest=prompts_digest,
    )
    return Cell(model=model_of(config), prompts=prompts, digest=cell_digest)


def read_queries(connection: sqlite3.Connection) -> tuple[Query, ...]:
    """The queries of the plan of today, in their order."""
    rows = connection.execute(
        "SELECT q.query, q.context FROM planned_queries p JOIN queries q "
        "ON q.query_id = p.query_id AND q.session = "
        "(SELECT max(n.session) FROM queries n WHERE n.query_id = p.query_id) "
        "ORDER BY p.position"
    ).fetchall()
    return tuple(_query_of(connection, *row) for row in rows)


def read_query(connection: sqlite3.Connection, query_id: str, session: int) -> Query | None:
    """The query of that id as it was in a session; None where it was not planned by then."""
    row = connection.execute(
        "SELECT query, context FROM queries WHERE query_id = ? AND session <= ? "
        "ORDER BY session DESC LIMIT 1",
        (texts.column_text(query_id), session),
    ).fetchone()
    return None if row is None else _query_of(connection, *row)


def _query_of(connection: sqlite3.Connection, content: str, context: str | None) -> Query:
    return query_of(content, None if context is None else read_text(connection, context))
