"""Many rows by one statement.

Enters: rows of one table, in their order. Leaves: the same rows in the table, and their ids.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

#: Values in one statement, at most: what every SQLite takes.
_MOST_VALUES = 999
#: From here on SQLite updates one table from another.
_UPDATES_FROM = (3, 33, 0)


def insert_rows(
    connection: sqlite3.Connection,
    table: str,
    columns: str,
    rows: Sequence[tuple[Any, ...]],
    *,
    or_ignore: bool = False,
) -> list[int]:
    """Insert the rows; their ids, in the order of the rows (of no use with ``or_ignore``).

    Within a transaction SQLite numbers the rows of one statement one after the other.
    """
    verb = "INSERT OR IGNORE" if or_ignore else "INSERT"
    ids: list[int] = []
    for some in _parts(rows):
        cursor = connection.execute(
            f"{verb} INTO {table} ({columns}) VALUES {_places(some)}", _flat(some)
        )
        last = cursor.lastrowid or 0
        ids.extend(range(last - len(some) + 1, last + 1))
    return ids


def update_rows(
    connection: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Set ``columns`` of the rows whose id each of ``rows`` has last, behind the values."""
    if sqlite3.sqlite_version_info < _UPDATES_FROM:
        sets = ", ".join(f"{column} = ?" for column in columns)
        connection.executemany(f"UPDATE {table} SET {sets} WHERE rowid = ?", rows)
        return
    sets = ", ".join(f"{column} = new.column{at}" for at, column in enumerate(columns, 1))
    key = f"new.column{len(columns) + 1}"
    for some in _parts(rows):
        connection.execute(
            f"UPDATE {table} SET {sets} FROM (VALUES {_places(some)}) AS new "
            f"WHERE {table}.rowid = {key}",
            _flat(some),
        )


def _parts(rows: Sequence[tuple[Any, ...]]) -> list[Sequence[tuple[Any, ...]]]:
    if not rows:
        return []
    size = _MOST_VALUES // len(rows[0])
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _places(rows: Sequence[tuple[Any, ...]]) -> str:
    one = f"({', '.join('?' * len(rows[0]))})"
    return ", ".join([one] * len(rows))


def _flat(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [value for row in rows for value in row]
