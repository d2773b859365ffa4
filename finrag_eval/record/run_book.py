"""Which run of which store holds which trial: the recorder's own memory, ``recording.sqlite``.

Enters: run ids as they come to be. Leaves: what is done, and what was begun and may be done. It
has one writer, the recorder of the sweep; the driver reads it. It may be lost: all of it can be
found again in the store, by the tags of the runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finrag_eval.record.store_uri import mask_uri, sqlite_path

BOOK_FILE = "recording.sqlite"
_FORMAT = 1
_BEGUN = -1

_TABLES = """
CREATE TABLE stores (store INTEGER PRIMARY KEY, target TEXT UNIQUE NOT NULL, uri TEXT NOT NULL,
    experiment TEXT NOT NULL, experiment_id TEXT, parent_run_id TEXT, parent_url TEXT,
    position INTEGER NOT NULL DEFAULT 0, trace_position INTEGER NOT NULL DEFAULT 0,
    is_level INTEGER NOT NULL DEFAULT 0, used_at REAL);
CREATE TABLE runs (store INTEGER NOT NULL, trial_key TEXT NOT NULL, run_id TEXT,
    scores_id INTEGER NOT NULL, refused TEXT, PRIMARY KEY (store, trial_key)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A trial's run: ``scores_id`` is the recorded state of the trial, -1 where only begun."""

    run_id: str | None
    scores_id: int
    refused: str | None

    @property
    def is_begun(self) -> bool:
        return self.scores_id == _BEGUN


class RunBook:
    """The pages of one store in ``recording.sqlite``; for one thread of one process."""

    def __init__(self, folder: Path, uri: str, experiment: str) -> None:
        self._database = _open(folder / BOOK_FILE)
        target = _target(uri, experiment)
        self._database.execute(
            "INSERT INTO stores (target, uri, experiment) VALUES (?, ?, ?) "
            "ON CONFLICT (target) DO NOTHING",
            (target, mask_uri(uri), experiment),
        )
        self._store: int = self._database.execute(
            "SELECT store FROM stores WHERE target = ?", (target,)
        ).fetchone()[0]
        self._set(used_at=time.time())

    def close(self) -> None:
        self._database.close()

    # -- the store and the parent

    @property
    def position(self) -> int:
        """The ledger's newest ``scores_id`` up to which all is recorded."""
        return int(self._get("position"))

    @property
    def trace_position(self) -> int:
        """The ledger's newest ``scores_id`` up to which every trial has its trace."""
        return int(self._get("trace_position"))

    @property
    def was_level(self) -> bool:
        """True where the last recorder of this store ended in order, with nothing left over."""
        return bool(self._get("is_level"))

    @property
    def parent_run_id(self) -> str | None:
        found = self._get("parent_run_id")
        return None if found is None else str(found)

    def set_parent(self, run_id: str, url: str, experiment_id: str) -> None:
        self._set(parent_run_id=run_id, parent_url=url, experiment_id=experiment_id)

    def set_level(self, is_level: bool) -> None:
        self._set(is_level=int(is_level))

    # -- trials

    def entries(self, trial_keys: Sequence[str]) -> dict[str, Entry]:
        """What is known of these trials."""
        marks = ", ".join("?" * len(trial_keys))
        rows = self._database.execute(
            f"SELECT trial_key, run_id, scores_id, refused FROM runs "
            f"WHERE store = ? AND trial_key IN ({marks})",
            (self._store, *trial_keys),
        )
        return {key: Entry(run_id=r, scores_id=s, refused=why) for key, r, s, why in rows}

    def begin(self, trial_keys: Iterable[str]) -> None:
        """Notes that runs of these trials may come to be from now on."""
        self._many(
            "INSERT INTO runs (store, trial_key, scores_id) VALUES (?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            [(self._store, key, _BEGUN) for key in trial_keys],
        )

    def note(self, done: Iterable[tuple[str, str, int]], begun: Iterable[tuple[str, str]]) -> None:
        """Notes runs that are complete (trial key, run id, state), and runs that exist."""
        self._many(
            _UPSERT, [(self._store, key, run_id, state, None) for key, run_id, state in done]
        )
        self._many(
            "UPDATE runs SET run_id = ?, scores_id = ? WHERE store = ? AND trial_key = ?",
            [(run_id, _BEGUN, self._store, key) for key, run_id in begun],
        )

    def refuse(self, refused: Iterable[tuple[str, str | None, int, str]]) -> None:
        """Notes trials that the store refuses (trial key, run id, state, why)."""
        self._many(
            _UPSERT, [(self._store, key, run, state, why) for key, run, state, why in refused]
        )

    def advance(self, position: int) -> None:
        """All of the ledger up to this ``scores_id`` is dealt with."""
        self._set(position=position)

    def advance_traces(self, position: int) -> None:
        """Every trial of the ledger up to this ``scores_id`` has its trace."""
        self._set(trace_position=position)

    def adopt(self, runs: Mapping[str, str]) -> None:
        """Notes runs that the store has (trial key -> run id), as begun: to be completed."""
        self._many(
            _UPSERT, [(self._store, key, run_id, _BEGUN, None) for key, run_id in runs.items()]
        )

    def forget(self, trial_keys: Iterable[str]) -> None:
        """Forgets runs that are in the store no more."""
        self._many(
            "DELETE FROM runs WHERE store = ? AND trial_key = ?",
            [(self._store, key) for key in trial_keys],
        )

    def doubt_all(self) -> None:
        """Has every trial looked at again: each known run is brought up to date."""
        with self._database:
            self._database.execute(
                "UPDATE runs SET scores_id = ?, refused = NULL WHERE store = ?",
                (_BEGUN, self._store),
            )

    def all_entries(self) -> Iterator[tuple[str, Entry]]:
        """Every trial that is known, in the order of the keys."""
        after = ""
        while True:
            rows = self._database.execute(
                "SELECT trial_key, run_id, scores_id, refused FROM runs "
                "WHERE store = ? AND trial_key > ? ORDER BY trial_key LIMIT 5000",
                (self._store, after),
            ).fetchall()
            for key, run_id, scores_id, why in rows:
                yield key, Entry(run_id=run_id, scores_id=scores_id, refused=why)
            if not rows:
                return
            after = rows[-1][0]

    def counts(self) -> tuple[int, int]:
        """How many trials are recorded, and how many the store refused."""
        row = self._database.execute(
            "SELECT count(*) FILTER (WHERE refused IS NULL), count(refused) FROM runs "
            "WHERE store = ? AND scores_id > ?",
            (self._store, _BEGUN),
        ).fetchone()
        return int(row[0]), int(row[1])

    def why_refused(self) -> str | None:
        """The reason of one of the refusals; None where nothing was refused."""
        row = self._database.execute(
            "SELECT trial_key, refused FROM runs WHERE store = ? AND refused IS NOT NULL LIMIT 1",
            (self._store,),
        ).fetchone()
        return None if row is None else f"trial {row[0]}: {row[1]}"

    # -- inside

    def _get(self, column: str) -> Any:
        return self._database.execute(
            f"SELECT {column} FROM stores WHERE store = ?", (self._store,)
        ).fetchone()[0]

    def _set(self, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        with self._database:
            self._database.execute(
                f"UPDATE stores SET {columns} WHERE store = ?", (*values.values(), self._store)
            )

    def _many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            with self._database:
                self._database.executemany(statement, rows)


_UPSERT = (
    "INSERT INTO runs (store, trial_key, run_id, scores_id, refused) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (store, trial_key) DO UPDATE SET run_id = coalesce(excluded.run_id, run_id), "
    "scores_id = excluded.scores_id, refused = excluded.refused"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a sweep's newest store has: the parent's run, and trial key -> run id."""

    uri: str
    experiment: str
    parent_run_id: str | None
    parent_url: str | None
    run_ids: Mapping[str, str]


def recorded(folder: Path) -> Recorded | None:
    """What was recorded in the store that was used last; None where nothing was, or is known.

    Runs that were only begun are left out.
    """
    path = folder / BOOK_FILE
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as database:
        if database.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
            return None  # it is being made just now
        row = database.execute(
            "SELECT store, uri, experiment, parent_run_id, parent_url FROM stores "
            "ORDER BY used_at DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        runs = database.execute(
            "SELECT trial_key, run_id FROM runs "
            "WHERE store = ? AND scores_id > ? AND run_id IS NOT NULL",
            (row[0], _BEGUN),
        )
        return Recorded(
            uri=row[1],
            experiment=row[2],
            parent_run_id=row[3],
            parent_url=row[4],
            run_ids=dict(runs),
        )


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        os.replace(path, path.with_name(f"{path.name}.broken"))
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=10)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found not in (0, _FORMAT):
            raise sqlite3.DatabaseError(f"format {found}")
        if found == 0:
            database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_FORMAT}; COMMIT;")
    except BaseException:
        database.close()
        raise
    return database


def _target(uri: str, experiment: str) -> str:
    """Names a store by where it is, whoever logs in; a SQLite file by its whole path."""
    path = sqlite_path(uri)
    place = str(path.absolute()) if path is not None else re.sub(r"//[^/@]*@", "//", uri)
    return hashlib.sha256(json.dumps([place.rstrip("/"), experiment]).encode()).hexdigest()[:32]
