"""The ledger's account books: what was spent, and what a session that died left open.

Enters: a connection. Leaves: exact sums in USD. A call that was sent and never settled may have
been billed, so it counts at its worst case, as wasted (METHODS, "The budget is a bound").
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from finrag_eval.money import exact_sum

#: What is noted as the error of a call whose session ended before the call was settled.
NEVER_SETTLED = "NeverSettled"

#: Batch jobs go on when a session ends: what they hold is neither lost nor settled yet.
_OF_OPEN_JOBS = "SELECT token FROM batch_jobs WHERE state IN ('planned', 'sent')"

#: Attempts of one session that were paid for, and that no outcome or scoring came of. (A session
#: answers a trial once, and scores it once.) What a trial paid before it went into a job that is
#: not collected yet is told with its outcome.
_ORPHANS = f"""
    SELECT a.attempt FROM attempts a
    WHERE a.session = :session AND a.trial_key IS NOT NULL AND a.orphan = 0
      AND a.state IN ('kept', 'wasted')
      AND NOT EXISTS (
          SELECT 1 FROM attempts b
          WHERE b.trial_key = a.trial_key AND b.batch IN ({_OF_OPEN_JOBS}))
      AND CASE a.purpose
          WHEN 'judge' THEN NOT EXISTS (
              SELECT 1 FROM outcomes o JOIN scores s ON s.outcome = o.outcome
              WHERE o.trial_key = a.trial_key AND s.session = :session)
          ELSE NOT EXISTS (
              SELECT 1 FROM outcomes o
              WHERE o.trial_key = a.trial_key AND o.session = :session)
          END"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """USD billed so far, settled calls and those of dead sessions alike; ``wasted`` is part."""

    total: Decimal
    per_model: Mapping[str, Decimal]
    per_cell: Mapping[str, Decimal]
    wasted: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptTotal:
    """Model calls of one purpose that ended alike, and what they were billed, in USD."""

    purpose: str
    state: str
    error_type: str | None
    attempts: int
    billed_usd: Decimal


def spent(connection: sqlite3.Connection) -> Spent:
    """All that was billed, by model and by cell; calls still open are not in it."""
    rows = connection.execute(
        "SELECT model_key, cell, state = 'wasted', billed_usd, count(*) FROM attempts "
        "WHERE state <> 'open' GROUP BY 1, 2, 3, 4"
    )
    per_model: dict[str, list[Decimal]] = defaultdict(list)
    per_cell: dict[str, list[Decimal]] = defaultdict(list)
    every, wasted = [], []
    for model_key, cell, is_wasted, billed, count in rows:
        amount = _times(billed, count)
        every.append(amount)
        per_model[model_key].append(amount)
        if cell is not None:
            per_cell[cell].append(amount)
        if is_wasted:
            wasted.append(amount)
    return Spent(
        total=exact_sum(every),
        per_model={key: exact_sum(amounts) for key, amounts in per_model.items()},
        per_cell={cell: exact_sum(amounts) for cell, amounts in per_cell.items()},
        wasted=exact_sum(wasted),
    )


def open_usd(connection: sqlite3.Connection) -> Decimal:
    """What calls that are open may yet be billed, at most."""
    rows = connection.execute(
        "SELECT reserved_usd, count(*) FROM attempts WHERE state = 'open' GROUP BY 1"
    )
    return exact_sum(_times(reserved, count) for reserved, count in rows)


def attempt_totals(connection: sqlite3.Connection) -> tuple[AttemptTotal, ...]:
    """Counts and sums by purpose, state and error type; open calls are billed 0 so far."""
    sums: dict[tuple[str, str, str | None], list[tuple[int, Decimal]]] = defaultdict(list)
    for purpose, state, error_type, billed, count in connection.execute(
        "SELECT purpose, state, error_type, coalesce(billed_usd, '0'), count(*) FROM attempts "
        "GROUP BY 1, 2, 3, 4"
    ):
        sums[purpose, state, error_type].append((count, _times(billed, count)))
    return tuple(
        AttemptTotal(
            purpose=purpose,
            state=state,
            error_type=error_type,
            attempts=sum(count for count, _ in parts),
            billed_usd=exact_sum(amount for _, amount in parts),
        )
        for (purpose, state, error_type), parts in sorted(sums.items(), key=str)
    )


def attempt_rows(connection: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """Every attempt with its columns by name, oldest first, in pages."""
    last = 0
    statement = "SELECT * FROM attempts WHERE attempt > ? ORDER BY attempt LIMIT 1000"
    while rows := (cursor := connection.execute(statement, (last,))).fetchall():
        names = [column[0] for column in cursor.description]
        yield from (dict(zip(names, row, strict=True)) for row in rows)
        last = rows[-1][0]


def close_books(connection: sqlite3.Connection, session: int, now: float) -> None:
    """Settle what a session leaves behind: open calls at their worst case, as wasted.

    What is in batch jobs that are not collected yet stays open. Calls that were paid for, and
    whose answer or scores never came to be written, become orphans: their cost is added to what
    their trial wasted, whenever the trial is answered.
    """
    connection.execute(
        "UPDATE attempts SET state = 'wasted', billed_usd = reserved_usd, settled_at = ?, "
        "error_type = ?, orphan = trial_key IS NOT NULL WHERE session = ? AND state = 'open' "
        f"AND (batch IS NULL OR batch NOT IN ({_OF_OPEN_JOBS}))",
        (now, NEVER_SETTLED, session),
    )
    connection.execute(
        f"UPDATE attempts SET orphan = 1, state = 'wasted' WHERE attempt IN ({_ORPHANS})",
        {"session": session},
    )


def close_dead_sessions(connection: sqlite3.Connection, now: float) -> None:
    """Close the books of every session that never said that it ended."""
    dead = connection.execute(
        "SELECT session FROM sessions WHERE ended_at IS NULL AND status IS NULL"
    ).fetchall()
    for (session,) in dead:
        close_books(connection, session, now)
        connection.execute(
            "UPDATE sessions SET status = 'interrupted' WHERE session = ?", (session,)
        )


def _times(amount: str, count: int) -> Decimal:
    with localcontext() as context:
        context.prec = 50
        return Decimal(amount) * count
