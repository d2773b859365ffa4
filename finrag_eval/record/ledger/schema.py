"""The ledger's tables, their format number, and the steps from older formats to this one.

Enters: an SQLite connection. Leaves: tables of format ``FORMAT``. Knows no trial and no sweep.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

#: The format that this program writes; a newer one is refused, an older one is brought up to it.
FORMAT = 1

#: From each older format, the statements that make the next one of it.
MIGRATIONS: Mapping[int, Sequence[str]] = {}

#: Bytes of a database page. Long texts fill whole pages, and the last one only in part: pages of
#: 1 KB leave 33 % of the raw bytes of 25 KB trials, 4 KB 36 %, 8 KB 41 %, for the same CPU
#: (2026-11-22).
PAGE_BYTES = 1024

TABLES: Sequence[str] = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE sessions (
        session INTEGER PRIMARY KEY, kind TEXT NOT NULL, started_at REAL NOT NULL, ended_at REAL,
        status TEXT, exit_code INTEGER, pid INTEGER, host TEXT,
        spec TEXT NOT NULL, facts TEXT NOT NULL, plan TEXT, totals TEXT)""",
    """CREATE TABLE texts (
        digest TEXT PRIMARY KEY, bytes INTEGER NOT NULL, data BLOB NOT NULL)""",
    """CREATE TABLE models (
        model_key TEXT NOT NULL, session INTEGER NOT NULL, config TEXT NOT NULL,
        PRIMARY KEY (model_key, session)) WITHOUT ROWID""",
    """CREATE TABLE cells (
        cell TEXT NOT NULL, session INTEGER NOT NULL, position INTEGER NOT NULL,
        model_key TEXT NOT NULL, system_version TEXT NOT NULL, query_version TEXT NOT NULL,
        system_text TEXT NOT NULL, query_text TEXT NOT NULL, prompts_digest TEXT NOT NULL,
        cell_digest TEXT NOT NULL, PRIMARY KEY (cell, session)) WITHOUT ROWID""",
    """CREATE TABLE queries (
        query_id TEXT NOT NULL, session INTEGER NOT NULL, query TEXT NOT NULL, context TEXT,
        PRIMARY KEY (query_id, session)) WITHOUT ROWID""",
    "CREATE TABLE planned_queries (position INTEGER PRIMARY KEY, query_id TEXT NOT NULL)",
    """CREATE TABLE planned (
        position INTEGER PRIMARY KEY, trial_key TEXT NOT NULL UNIQUE, cell TEXT NOT NULL,
        query_id TEXT NOT NULL, repeat INTEGER NOT NULL)""",
    """CREATE TABLE attempts (
        attempt INTEGER PRIMARY KEY, session INTEGER NOT NULL, trial_key TEXT, cell TEXT,
        model_key TEXT NOT NULL, purpose TEXT NOT NULL, reserved_usd TEXT NOT NULL,
        reserved_at REAL NOT NULL, settled_at REAL, billed_usd TEXT, state TEXT NOT NULL,
        error_type TEXT, orphan INTEGER NOT NULL DEFAULT 0, batch TEXT, carried TEXT)""",
    "CREATE INDEX attempts_orphan ON attempts(trial_key) WHERE orphan = 1",
    "CREATE INDEX attempts_batch ON attempts(trial_key, batch) WHERE batch IS NOT NULL",
    """CREATE TABLE batch_jobs (
        token TEXT PRIMARY KEY, model_key TEXT NOT NULL, planned_at REAL NOT NULL,
        state TEXT NOT NULL, job_id TEXT) WITHOUT ROWID""",
    """CREATE TABLE outcomes (
        outcome INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL,
        trial_key TEXT NOT NULL, cell TEXT NOT NULL, model_key TEXT, query_id TEXT NOT NULL,
        repeat INTEGER NOT NULL, status TEXT NOT NULL,
        started_at REAL NOT NULL, ended_at REAL NOT NULL,
        input_tokens INTEGER, output_tokens INTEGER, cache_read_tokens INTEGER,
        cache_write_tokens INTEGER, cache_write_1h_tokens INTEGER,
        cost_usd TEXT, wasted_usd TEXT NOT NULL, retrieval_cost_usd TEXT NOT NULL,
        saved_usd TEXT NOT NULL,
        latency_total_seconds REAL, latency_retrieval_seconds REAL, latency_llm_seconds REAL,
        latency_wait_seconds REAL NOT NULL, retries INTEGER NOT NULL,
        context_length_chars INTEGER, answer_length_chars INTEGER,
        kpi_matches_count INTEGER, rag_chunks_count INTEGER,
        tickers TEXT NOT NULL, years TEXT NOT NULL, stop_reason TEXT,
        error_type TEXT, error_message TEXT, stage TEXT, reused_from TEXT,
        redacted INTEGER NOT NULL, context TEXT, traceback TEXT)""",
    "CREATE INDEX outcomes_by_key ON outcomes(trial_key, outcome, status, redacted)",
    """CREATE TABLE results (
        outcome INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, data BLOB NOT NULL)""",
    """CREATE TABLE scores (
        scores INTEGER PRIMARY KEY AUTOINCREMENT, outcome INTEGER NOT NULL,
        session INTEGER NOT NULL, scored_at REAL NOT NULL, judge_cost_usd TEXT NOT NULL,
        scores_json TEXT NOT NULL)""",
    "CREATE INDEX scores_by_outcome ON scores(outcome)",
    # For people with an sqlite3 shell.
    """CREATE VIEW trials AS
        SELECT o.*, (SELECT s.scores_json FROM scores s WHERE s.outcome = o.outcome
                     ORDER BY s.scores DESC LIMIT 1) AS scores_json
        FROM outcomes o WHERE o.outcome =
            (SELECT max(n.outcome) FROM outcomes n WHERE n.trial_key = o.trial_key)""",
)


class FormatTooNew(Exception):
    """The ledger was written by a newer program."""

    def __init__(self, found: int) -> None:
        self.found = found
        super().__init__(f"its format is {found}, and this program reads up to {FORMAT}")


def create_tables(connection: sqlite3.Connection, meta: Mapping[str, str]) -> None:
    """Make an empty ledger with ``meta`` beside its format number, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in TABLES:
        connection.execute(statement)
    rows = {**meta, "format": str(FORMAT)}
    connection.executemany("INSERT INTO meta VALUES (?, ?)", rows.items())
    connection.execute("COMMIT")


def read_format(connection: sqlite3.Connection) -> int:
    """The ledger's format number; ``sqlite3.DatabaseError`` where this is no ledger."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    if row is None or not str(row[0]).isdecimal():
        raise sqlite3.DatabaseError("it names no format")
    return int(row[0])


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Migrate an older ledger step by step, all in one transaction; FormatTooNew for a newer."""
    found = read_format(connection)
    if found > FORMAT:
        raise FormatTooNew(found)
    if found == FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in range(found, FORMAT):
            if step not in MIGRATIONS:
                raise sqlite3.DatabaseError(f"no way leads from format {step} to {step + 1}")
            for statement in MIGRATIONS[step]:
                connection.execute(statement)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'format'", (str(FORMAT),))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
