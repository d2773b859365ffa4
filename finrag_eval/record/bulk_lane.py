"""The lane for SQL stores: many runs in one transaction, in MLflow's own tables.

Enters: jobs. Leaves: the rows that MLflow's public calls would have written, ids and times apart:
the run, its params, its tags, its metrics and their newest values. Used only with a version and
a schema of MLflow that the tests have verified, on SQLite and PostgreSQL. A run's id follows from
its sweep and its trial, so that a batch that was cut off can simply be written again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finrag_eval.record.artifacts import local_folder, write_files
from finrag_eval.record.changes import Changes, ExistingRun, changes
from finrag_eval.record.lanes import Job, StoreAway, Written, is_refusal, one_line
from finrag_eval.record.payload import RunPayload
from finrag_eval.record.store import Store
from finrag_eval.record.verified import VERIFIED_SCHEMAS

_DIALECTS = ("sqlite", "postgresql")
_Row = tuple[Any, ...]
_RUN = (
    "run_uuid",
    "name",
    "source_type",
    "source_name",
    "entry_point_name",
    "user_id",
    "status",
    "start_time",
    "end_time",
    "deleted_time",
    "source_version",
    "lifecycle_stage",
    "artifact_uri",
    "experiment_id",
)
_PAIR = ("key", "value", "run_uuid")
_METRIC = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
_ANY_RUN = "0123456789abcdef0123456789abcdef"


def why_not_bulk(store: Store) -> str | None:
    """Why the bulk lane may not be used on this store, in a few words; None where it may."""
    if store.engine is None:
        return "the store is not a database of its own"
    if store.engine.dialect.name not in _DIALECTS:
        return f"not verified on {store.engine.dialect.name}"
    version = importlib.metadata.version("mlflow")
    if version not in VERIFIED_SCHEMAS:
        return f"not verified with MLflow {version}"
    with store.engine.connect() as connection:
        schema = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        workspace = connection.exec_driver_sql(
            f"SELECT workspace FROM experiments WHERE experiment_id = {int(store.experiment_id)}"
        ).scalar()
    if schema != VERIFIED_SCHEMAS[version]:
        return f"not verified with schema {schema}"
    return None if workspace == "default" else "not verified with workspaces"


def run_id_for(sweep_id: str, trial_key: str, position: int) -> str:
    """The id of a trial's run in this lane: 32 hexadecimal characters, always the same.

    ``position`` is the trial's place in the ledger. Ids that grow with it are added at the end of
    each index of the database: half the CPU and a third of the time of ids that are spread out
    (100 to 400 runs a transaction, SQLite, 2026-11-22).
    """
    sweep = hashlib.sha256(sweep_id.encode()).hexdigest()[:12]
    trial = hashlib.sha256(trial_key.encode()).hexdigest()[:12]
    return f"{sweep}{position % 2**32:08x}{trial}"


class BulkLane:
    """Runs as rows, a batch in one transaction."""

    name = "bulk"

    def __init__(self, store: Store, sweep_id: str) -> None:
        self._store, self._sweep_id = store, sweep_id
        self._tables = _Tables(store)

    def write(self, jobs: Sequence[Job], written: Written) -> None:
        """Records the batch, or, where a row is refused, each job by itself."""
        try:
            self._write(jobs)
        except Exception as error:
            if not _is_refused_row(error):
                raise StoreAway(one_line(error)) from error
            if len(jobs) == 1:
                written.refused.append((jobs[0], one_line(error)))
                return
            for job in jobs:
                self.write([job], written)
        else:
            written.done.extend(jobs)

    def close(self) -> None:
        self._store.engine.dispose()

    def _write(self, jobs: Sequence[Job]) -> None:
        ids = [job.run_id or self._new_id(job) for job in jobs]
        with self._store.engine.connect() as connection:
            existing = self._tables.existing(connection, ids)
        fresh = [(i, job) for i, job in zip(ids, jobs, strict=True) if i not in existing]
        known = [(i, job) for i, job in zip(ids, jobs, strict=True) if i in existing]
        # A run that nobody can see yet gets its files first: what is visible is complete.
        local = local_folder(self._store.artifact_location) is not None
        if local:
            for run_id, job in fresh:
                self._files(run_id, job, is_visible=False)
        now_ms = int(time.time() * 1000)
        with self._store.engine.begin() as connection:
            self._tables.insert(connection, fresh)
            for run_id, job in known:
                run = existing[run_id]
                change = changes(run, job.payload, now_ms=now_ms)
                self._tables.update(connection, run, change)
        for run_id, job in known if local else [*fresh, *known]:
            self._files(run_id, job, is_visible=True)
        for run_id, job in zip(ids, jobs, strict=True):
            job.run_id = run_id

    def _new_id(self, job: Job) -> str:
        return run_id_for(self._sweep_id, job.trial_key, job.scores_id)

    def _files(self, run_id: str, job: Job, *, is_visible: bool) -> None:
        write_files(
            self._store.client,
            run_id,
            self._tables.artifact_uri(run_id),
            job.payload.artifacts,
            is_visible=is_visible,
        )


class _Tables:
    """MLflow's tables of runs, and what its public calls do to them."""

    def __init__(self, store: Store) -> None:
        from mlflow.store.tracking.dbmodels import models
        from mlflow.utils import uri

        join: Any = uri.append_to_uri_path
        self._experiment_id = int(store.experiment_id)
        self._artifacts: str = join(store.artifact_location, _ANY_RUN, "artifacts")
        self.runs = models.SqlRun.__table__
        self.params = models.SqlParam.__table__
        self.tags = models.SqlTag.__table__
        self.metrics = models.SqlMetric.__table__
        self.latest = models.SqlLatestMetric.__table__

    def existing(self, connection: Any, run_ids: Sequence[str]) -> dict[str, ExistingRun]:
        """Those of the runs that the store has, deleted ones included."""
        from sqlalchemy import select

        rows = connection.execute(select(self.runs).where(self.runs.c.run_uuid.in_(run_ids))).all()
        if not rows:
            return {}
        found = [row.run_uuid for row in rows]
        params = self._values(connection, self.params, found)
        tags = self._values(connection, self.tags, found)
        metrics: dict[str, dict[str, tuple[float, int]]] = {run_id: {} for run_id in found}
        latest = self.latest
        for row in connection.execute(select(latest).where(latest.c.run_uuid.in_(found))):
            value = math.nan if row.is_nan else row.value
            metrics[row.run_uuid][row.key] = (value, row.timestamp)
        return {
            row.run_uuid: ExistingRun(
                run_id=row.run_uuid,
                status=row.status,
                artifact_uri=row.artifact_uri,
                end_ms=row.end_time,
                is_deleted=row.lifecycle_stage == "deleted",
                params=params[row.run_uuid],
                metrics=metrics[row.run_uuid],
                tags=tags[row.run_uuid],
            )
            for row in rows
        }

    def artifact_uri(self, run_id: str) -> str:
        """Where the files of a run are, as MLflow would say it."""
        return self._artifacts.replace(_ANY_RUN, run_id)

    def insert(self, connection: Any, runs: Iterable[tuple[str, Job]]) -> None:
        """Adds whole runs."""
        made: list[_Row] = []
        params: list[_Row] = []
        tags: list[_Row] = []
        metrics: list[_Row] = []
        for run_id, job in runs:
            payload = job.payload
            made.append(self._run_row(run_id, payload))
            params += _pairs(run_id, payload.params)
            tags += _pairs(run_id, payload.tags)
            tags.append(("mlflow.runName", payload.name, run_id))
            end_ms = payload.start_ms if payload.end_ms is None else payload.end_ms
            metrics += _metric_rows(run_id, {k: (v, end_ms) for k, v in payload.metrics.items()})
        self._add(connection, self.runs, _RUN, made)
        self._add(connection, self.params, _PAIR, params)
        self._add(connection, self.tags, _PAIR, tags)
        self._add(connection, self.metrics, _METRIC, metrics)
        self._add(connection, self.latest, _METRIC, metrics)

    def update(self, connection: Any, run: ExistingRun, change: Changes) -> None:
        """Changes a run into its newer state."""
        tags, run_id = self.tags, run.run_id
        self._add(connection, self.params, _PAIR, _pairs(run_id, change.params))
        gone = [*change.stale_tags, *(tag for tag in change.tags if tag in run.tags)]
        if gone:
            connection.execute(tags.delete().where(tags.c.run_uuid == run_id, tags.c.key.in_(gone)))
        self._add(connection, tags, _PAIR, _pairs(run_id, change.tags))
        if change.metrics:
            latest, rows = self.latest, _metric_rows(run_id, change.metrics)
            self._add(connection, self.metrics, _METRIC, rows)
            connection.execute(
                latest.delete().where(
                    latest.c.run_uuid == run_id, latest.c.key.in_(list(change.metrics))
                )
            )
            self._add(connection, latest, _METRIC, rows)
        runs = self.runs
        state: dict[str, Any] = {
            "status": change.status,
            "lifecycle_stage": "active",
            "deleted_time": None,
        }
        if change.status != "RUNNING":
            state["end_time"] = change.end_ms
        connection.execute(runs.update().where(runs.c.run_uuid == run_id).values(state))

    def _run_row(self, run_id: str, payload: RunPayload) -> _Row:
        user = payload.tags.get("mlflow.user", "unknown")
        times = (payload.start_ms, payload.end_ms, None)
        place = (self.artifact_uri(run_id), self._experiment_id)
        return (
            *(run_id, payload.name, "UNKNOWN", "", "", user, payload.status),
            *times,
            *("", "active"),
            *place,
        )

    @staticmethod
    def _add(connection: Any, table: Any, columns: Sequence[str], rows: Sequence[_Row]) -> None:
        """Inserts the rows as the driver takes them: SQLAlchemy's own way costs twice as much."""
        if rows:
            mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
            names = ", ".join(table.c[name].name for name in columns)
            marks = ", ".join([mark] * len(columns))
            connection.exec_driver_sql(
                f"INSERT INTO {table.name} ({names}) VALUES ({marks})", list(rows)
            )

    @staticmethod
    def _values(connection: Any, table: Any, run_ids: list[str]) -> dict[str, dict[str, str]]:
        from sqlalchemy import select

        values: dict[str, dict[str, str]] = {run_id: {} for run_id in run_ids}
        for row in connection.execute(select(table).where(table.c.run_uuid.in_(run_ids))):
            values[row.run_uuid][row.key] = row.value
        return values


def _is_refused_row(error: Exception) -> bool:
    from sqlalchemy.exc import DataError, IntegrityError

    return is_refusal(error) or isinstance(
        error, (DataError, IntegrityError, OverflowError, UnicodeError)
    )


def _pairs(run_id: str, items: Mapping[str, str]) -> list[_Row]:
    return [(key, value, run_id) for key, value in items.items()]


def _metric_rows(run_id: str, metrics: Mapping[str, tuple[float, int]]) -> list[_Row]:
    return [
        (name, 0.0 if value != value else value, at, 0, value != value, run_id)
        for name, (value, at) in metrics.items()
    ]
