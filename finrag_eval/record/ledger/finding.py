"""Which trials have an answer: by key, newest first, and how many.

Enters: a connection. Leaves: ids and counts. One covering index answers all of it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialCounts:
    """The trials of the plan of today, and how the newest outcome of each one ended."""

    planned: int
    succeeded: int
    failed: int


def newest_outcomes(connection: sqlite3.Connection) -> dict[str, tuple[int, str]]:
    """For each trial key that has an outcome: the newest one's id and status."""
    rows = connection.execute(
        "SELECT trial_key, max(outcome), status FROM outcomes GROUP BY trial_key"
    )
    return {key: (outcome, status) for key, outcome, status in rows}


def recorded_answer(connection: sqlite3.Connection, trial_key: str) -> int | None:
    """The newest outcome with a whole answer for that key; None where there is none."""
    row = connection.execute(
        "SELECT max(outcome) FROM outcomes "
        "WHERE trial_key = ? AND status = 'success' AND redacted = 0",
        (trial_key,),
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def recorded_answers(connection: sqlite3.Connection) -> dict[str, int]:
    """For each trial key with a whole answer: the newest such outcome."""
    rows = connection.execute(
        "SELECT trial_key, max(outcome) FROM outcomes "
        "WHERE status = 'success' AND redacted = 0 GROUP BY trial_key"
    )
    return dict(rows)


def trial_counts(connection: sqlite3.Connection) -> TrialCounts:
    """Planned, succeeded and failed trials of the plan of today."""
    (planned,) = connection.execute("SELECT count(*) FROM planned").fetchone()
    ended = dict(
        connection.execute(
            "SELECT status, count(*) FROM (SELECT trial_key, max(outcome), status FROM outcomes "
            "GROUP BY trial_key) JOIN planned USING (trial_key) GROUP BY status"
        )
    )
    return TrialCounts(
        planned=planned, succeeded=ended.get("success", 0), failed=ended.get("failed", 0)
    )
