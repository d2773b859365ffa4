"""Contexts on disk: what a job's prompts were made of is needed again when it is collected.

Enters: contexts as text, under names. Leaves: the same text, hours and processes later. One
SQLite file in the sweep's folder; it goes when the last job is collected.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from pathlib import Path


class Pantry:
    """Texts by name. Threads share it; a name's first text is kept."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS texts (name TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID"
        )

    def get(self, name: str) -> str | None:
        """The text of that name; None where there is none."""
        with self._lock:
            row = self._connection.execute(
                "SELECT data FROM texts WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else zlib.decompress(row[0]).decode()

    def put(self, name: str, text: str) -> None:
        """Keep a text."""
        data = zlib.compress(text.encode(), 1)
        with self._lock:
            self._connection.execute("INSERT OR IGNORE INTO texts VALUES (?, ?)", (name, data))

    def close(self, *, remove: bool = False) -> None:
        """Let go of the file, and remove it where it is not needed any more."""
        with self._lock:
            self._connection.close()
        if remove:
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
