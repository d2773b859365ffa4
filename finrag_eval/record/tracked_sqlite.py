"""Runs read straight from the tables of a SQLite store: what MLflow's client would give, sooner.

Enters: a database that a verified MLflow made. Leaves: rows, equal to those of the public way (the
tests compare them). Saves the import of MLflow (two seconds) and a millisecond a run; opens the
file read-only, in one snapshot, beside whoever writes it.
"""

from __future__ import annotations

import importlib.metadata
import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from finrag_eval.record.tracked_run import TrackedRun
from finrag_eval.record.verified import VERIFIED_SCHEMAS

_CHUNK = 500
_PATIENCE_S = 20.0
_RUN_COLUMNS = "run_uuid, name, status, start_time, end_time, artifact_uri, experiment_id"

#: What the two tables of 100,000 runs' tags and metrics can tell from their indexes alone; only
#: what is left after it is looked up in the tables (measured: 0.15 s for 1.5 s, 2026-11).
_SWEEPS = """
    SELECT r.run_uuid FROM (
        SELECT run_uuid FROM tags WHERE key = 'finrag_eval.kind'
        EXCEPT SELECT run_uuid FROM tags WHERE key = 'finrag_eval.trial_key'
    ) JOIN runs r USING (run_uuid)
    JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'finrag_eval.kind' AND t.value = 'sweep'
    WHERE {active}"""
_SINGLES = """
    SELECT r.run_uuid FROM (
        SELECT run_uuid FROM latest_metrics WHERE key = 'cost_usd'
        EXCEPT SELECT run_uuid FROM tags WHERE key = 'finrag_eval.sweep_id'
    ) JOIN runs r USING (run_uuid)
    JOIN latest_metrics m ON m.run_uuid = r.run_uuid AND m.key = 'cost_usd'
    WHERE m.value >= 0 AND NOT m.is_nan AND {active}"""
_CHILDREN = """
    SELECT r.run_uuid FROM tags t JOIN runs r USING (run_uuid)
    WHERE t.key = 'mlflow.parentRunId' AND t.value = ? AND {active}"""


def is_verified(path: Path) -> bool:
    """Whether the file is a store whose tables are known: those of a verified MLflow."""
    if not path.is_file():
        return False
    try:
        with closing(_connect(path)) as database:
            revision = database.execute("SELECT version_num FROM alembic_version").fetchone()
            others = database.execute(
                "SELECT 1 FROM experiments WHERE workspace <> 'default' LIMIT 1"
            ).fetchone()
    except sqlite3.Error:
        return False
    version = importlib.metadata.version("mlflow")
    known = VERIFIED_SCHEMAS.get(version)
    return others is None and known is not None and revision == (known,)


class SqliteRuns:
    """The runs of one database."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def experiments(self) -> dict[str, str]:
        """Names of the experiments that were not deleted, by id."""
        with closing(_connect(self._path)) as database:
            rows = database.execute(
                "SELECT experiment_id, name FROM experiments WHERE lifecycle_stage = 'active'"
            )
            return {str(key): name for key, name in rows}

    def sweeps(self, experiments: dict[str, str], *, until: float | None) -> list[TrackedRun]:
        """Parent runs of sweeps that began before ``until``."""
        return self._runs(_SWEEPS, (), experiments, None, until)

    def single_queries(
        self, experiments: dict[str, str], *, since: float | None, until: float | None
    ) -> list[TrackedRun]:
        """Runs with a cost that belong to no sweep."""
        return self._runs(_SINGLES, (), experiments, since, until)

    def children(self, parent_run_id: str, experiments: dict[str, str]) -> list[TrackedRun]:
        """The child runs of one sweep."""
        return self._runs(_CHILDREN, (parent_run_id,), experiments, None, None)

    def search(
        self,
        where: str,
        experiments: dict[str, str],
        *,
        order_by: Sequence[str],
        limit: int | None,
    ) -> list[TrackedRun] | None:
        """Runs by MLflow's filter language; None where only MLflow itself can answer.

        Raises MlflowException where its parser does not understand the filter or the order.
        """
        from finrag_eval.record.tracked_search import search_statement

        found = search_statement(where, order_by, experiments, limit)
        if found is None:
            return None
        with closing(_connect(self._path)) as database:
            database.execute("PRAGMA case_sensitive_like = true")
            database.execute("BEGIN")
            ids = [row[0] for row in database.execute(*found)]
            runs = _all_whole(database, ids, experiments)
        return [runs[run_id] for run_id in ids]

    def _runs(
        self,
        statement: str,
        arguments: tuple[str, ...],
        experiments: dict[str, str],
        since: float | None,
        until: float | None,
    ) -> list[TrackedRun]:
        """The runs that a statement names, newest first as MLflow gives them."""
        active = ["r.lifecycle_stage = 'active'"]
        active.append(f"r.experiment_id IN ({', '.join(str(int(key)) for key in experiments)})")
        if since is not None:
            active.append(f"r.start_time >= {int(since * 1000)}")
        if until is not None:
            active.append(f"r.start_time < {int(until * 1000)}")
        with closing(_connect(self._path)) as database:
            database.execute("BEGIN")
            chosen = statement.format(active=" AND ".join(active))
            ids = [row[0] for row in database.execute(chosen, arguments)]
            found = _all_whole(database, ids, experiments)
        return sorted(found.values(), key=lambda run: (-run.started_at, run.run_id))


def _all_whole(
    database: sqlite3.Connection, ids: Sequence[str], experiments: dict[str, str]
) -> dict[str, TrackedRun]:
    """The runs of these ids with all that they hold, by id."""
    return {
        run.run_id: run for chunk in _chunks(ids) for run in _whole(database, chunk, experiments)
    }


def _whole(
    database: sqlite3.Connection, ids: Sequence[str], experiments: dict[str, str]
) -> Iterator[TrackedRun]:
    marks = ", ".join("?" * len(ids))
    params = _by_run(database, "key, value", "params", marks, ids)
    tags = _by_run(database, "key, value", "tags", marks, ids)
    metrics = _by_run(
        database, "key, CASE WHEN is_nan THEN NULL ELSE value END", "latest_metrics", marks, ids
    )
    rows = database.execute(f"SELECT {_RUN_COLUMNS} FROM runs WHERE run_uuid IN ({marks})", ids)
    for run_id, name, status, start_ms, end_ms, artifact_uri, experiment_id in rows:
        yield TrackedRun(
            run_id=run_id,
            experiment=experiments[str(experiment_id)],
            name=name,
            status=status,
            started_at=start_ms / 1000,
            ended_at=None if end_ms is None else end_ms / 1000,
            params=params.get(run_id, {}),
            metrics={
                key: math.nan if value is None else value
                for key, value in metrics.get(run_id, {}).items()
            },
            tags=tags.get(run_id, {}),
            artifact_uri=artifact_uri or "",
        )


def _by_run(
    database: sqlite3.Connection, columns: str, table: str, marks: str, ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    statement = f"SELECT run_uuid, {columns} FROM {table} WHERE run_uuid IN ({marks})"
    for run_id, key, value in database.execute(statement, ids):
        found.setdefault(run_id, {})[key] = value
    return found


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))


def _connect(path: Path) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=_PATIENCE_S, isolation_level=None)
