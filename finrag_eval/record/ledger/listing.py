"""One line about one sweep, cheaply: what a listing shows and what ``run`` decides by.

Enters: a sweep's folder. Leaves: a ``SweepListing``, from the ledger or, once that was pruned,
from the summary that stayed.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from finrag_eval.errors import LedgerUnreadable
from finrag_eval.record.ledger import books, finding
from finrag_eval.record.ledger.connections import ReadOnly
from finrag_eval.record.ledger.lock import holder_of

SUMMARY_FILE = "summary.json"

#: Exit codes of sweeps that ``run`` does not go on with (contract, section 2).
_FINISHED_CODES = frozenset({0, 4, 6})


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepListing:
    """What is known of a sweep without reading its trials.

    ``status`` is the contract's, or ``unreadable`` with the reason in ``problem``. ``exit_code``
    is None while it runs, and where it died. ``ended_at`` is None until it ended properly.
    """

    folder: Path
    sweep_id: str
    name: str
    status: str
    trials_planned: int = 0
    succeeded: int = 0
    failed: int = 0
    spent_usd: Decimal = Decimal(0)
    started_at: float | None = None
    ended_at: float | None = None
    last_active_at: float | None = None
    exit_code: int | None = None
    running_pid: int | None = None
    is_pruned: bool = False
    problem: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing to go on with: it ended with code 0, 4 or 6, or is pruned."""
        return self.is_pruned or self.exit_code in _FINISHED_CODES

    def as_json(self) -> dict[str, Any]:
        """The listing for machines: instants in ISO 8601 with ``Z``, USD as a number."""
        return {
            "sweep_id": self.sweep_id,
            "name": self.name,
            "status": self.status,
            "trials_planned": self.trials_planned,
            "trials_succeeded": self.succeeded,
            "trials_failed": self.failed,
            "spent_usd": float(self.spent_usd),
            "started_at": _iso(self.started_at),
            "ended_at": _iso(self.ended_at),
            "exit_code": self.exit_code,
            "running_pid": self.running_pid,
            "pruned": self.is_pruned,
            "problem": self.problem,
        }


def listing_of(folder: Path) -> SweepListing:
    """The sweep of a folder that holds a ledger; ``unreadable`` where it cannot be read."""
    holder = holder_of(folder)
    try:
        opened = ReadOnly(folder)
    except LedgerUnreadable as error:
        return _unreadable(folder, str(error))
    try:
        return _read(opened.connection, folder, holder is not None, holder.pid if holder else None)
    except (sqlite3.Error, ValueError, KeyError) as error:
        return _unreadable(folder, str(error))
    finally:
        opened.close()


def pruned_listing(folder: Path) -> SweepListing:
    """The sweep of a folder whose ledger is gone, from its summary."""
    try:
        summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
        totals, budget = summary["totals"], summary["budget"]
        return SweepListing(
            folder=folder,
            sweep_id=folder.name,
            name=summary["name"],
            status=summary["status"],
            trials_planned=totals["trials_planned"],
            succeeded=totals["trials_succeeded"],
            failed=totals["trials_failed"],
            spent_usd=Decimal(repr(budget["spent_usd"])),
            started_at=_instant(summary["started_at"]),
            ended_at=_instant(summary["ended_at"]),
            last_active_at=_instant(summary["ended_at"]),
            is_pruned=True,
        )
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        return _unreadable(folder, f"its ledger was removed, and its summary is broken: {error}")


def _read(
    connection: sqlite3.Connection, folder: Path, is_running: bool, pid: int | None
) -> SweepListing:
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    (last,) = connection.execute(
        "SELECT max(t) FROM (SELECT max(coalesce(ended_at, started_at)) AS t FROM sessions "
        "UNION ALL SELECT * FROM (SELECT scored_at FROM scores ORDER BY scores DESC LIMIT 1))"
    ).fetchone()
    row = connection.execute(
        "SELECT started_at, ended_at, status, exit_code FROM sessions "
        "WHERE kind = 'run' ORDER BY session DESC LIMIT 1"
    ).fetchone()
    _, ended, status, exit_code = row or (None, None, None, None)
    planned, succeeded, failed, spent = _totals(connection, is_running)
    created = float(meta["created_at"])
    return SweepListing(
        folder=folder,
        sweep_id=meta["sweep_id"],
        name=meta["name"],
        status="running" if is_running else status or "interrupted",
        trials_planned=planned,
        succeeded=succeeded,
        failed=failed,
        spent_usd=spent,
        started_at=created,
        ended_at=None if is_running else ended,
        last_active_at=last or created,
        exit_code=None if is_running else exit_code,
        running_pid=pid,
    )


def _totals(connection: sqlite3.Connection, is_running: bool) -> tuple[int, int, int, Decimal]:
    """What the newest session noted when it ended; counted anew where it did not."""
    row = connection.execute("SELECT totals FROM sessions ORDER BY session DESC LIMIT 1").fetchone()
    if row is not None and row[0] is not None and not is_running:
        known: dict[str, Any] = json.loads(row[0])
        return (
            known["planned"],
            known["succeeded"],
            known["failed"],
            Decimal(known["spent_usd"]),
        )
    counts = finding.trial_counts(connection)
    spent = books.spent(connection).total
    return counts.planned, counts.succeeded, counts.failed, spent


def _unreadable(folder: Path, problem: str) -> SweepListing:
    return SweepListing(
        folder=folder, sweep_id=folder.name, name="", status="unreadable", problem=problem
    )


def _instant(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


def _iso(instant: float | None) -> str | None:
    if instant is None:
        return None
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="seconds")[:-6] + "Z"
