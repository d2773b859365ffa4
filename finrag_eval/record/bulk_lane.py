"""The lane for SQL stores: many runs in one transaction, in MLflow's own tables.

Enters: jobs. Leaves: the rows that MLflow's public calls would have written, ids and times apart:
the run, its params, its tags, its metrics and their newest values. Used only with a version and
a schema of MLflow that the tests have verified, on SQLite and PostgreSQL. A run's id follows from
its sweep and its trial, so that a batch that was cut off can simply be written again.
"""

from __future__ import annotations

import importlib.metadata
import math
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finrag_eval.record.artifacts import local_folder, write_files
from finrag_eval.record.changes import Changes, ExistingRun, changes
from finrag_eval.record.lanes import Job, StoreAway, Written, is_refusal, one_line
from finrag_eval.record.payload import RunPayload
from finrag_eval.record.store import Store
from finrag_eval.record.verified import VERIFIED_SCHEMAS

_DIALECTS = ("sqlite", "postgresql")
_ANY_RUN = "0123456789abcdef0123456789abcdef"
_NAMESPACE = uuid.UUID("4d1be7a0-6c06-5c9a-9b6f-6d0f3a1f8a11")


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


def run_id_for(sweep_id: str, trial_key: str) -> str:
    """The id of a trial's run in this lane: 32 hexadecimal characters, always the same."""
    return uuid.uuid5(_NAMESPACE, f"{sweep_id}\n{trial_key}").hex


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
        ids = [job.run_id or run_id_for(self._sweep_id, job.trial_key) for job in jobs]
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
        rows: dict[Any, list[dict[str, Any]]] = {
            table: [] for table in (self.runs, self.params, self.tags, self.metrics, self.latest)
        }
        for run_id, job in runs:
            payload = job.payload
            rows[self.runs].append(self._run_row(run_id, payload))
            rows[self.params] += _pairs(run_id, payload.params)
            rows[self.tags] += _pairs(run_id, {**payload.tags, "mlflow.runName": payload.name})
            end_ms = payload.start_ms if payload.end_ms is None else payload.end_ms
            metrics = _metric_rows(run_id, {k: (v, end_ms) for k, v in payload.metrics.items()})
            rows[self.metrics] += metrics
            rows[self.latest] += metrics
        for table, values in rows.items():
            if values:
                connection.execute(table.insert(), values)

    def update(self, connection: Any, run: ExistingRun, change: Changes) -> None:
        """Changes a run into its newer state."""
        params, tags, run_id = self.params, self.tags, run.run_id
        if change.params:
            connection.execute(params.insert(), _pairs(run_id, change.params))
        gone = [*change.stale_tags, *(tag for tag in change.tags if tag in run.tags)]
        if gone:
            connection.execute(tags.delete().where(tags.c.run_uuid == run_id, tags.c.key.in_(gone)))
        if change.tags:
            connection.execute(tags.insert(), _pairs(run_id, change.tags))
        if change.metrics:
            latest, rows = self.latest, _metric_rows(run_id, change.metrics)
            connection.execute(self.metrics.insert(), rows)
            connection.execute(
                latest.delete().where(
                    latest.c.run_uuid == run_id, latest.c.key.in_(list(change.metrics))
                )
            )
            connection.execute(latest.insert(), rows)
        runs = self.runs
        state: dict[str, Any] = {
            "status": change.status,
            "lifecycle_stage": "active",
            "deleted_time": None,
        }
        if change.status != "RUNNING":
            state["end_time"] = change.end_ms
        connection.execute(runs.update().where(runs.c.run_uuid == run_id).values(state))

    def _run_row(self, run_id: str, payload: RunPayload) -> dict[str, Any]:
        return {
            "run_uuid": run_id,
            "name": payload.name,
            "source_type": "UNKNOWN",
            "source_name": "",
            "entry_point_name": "",
            "user_id": payload.tags.get("mlflow.user", "unknown"),
            "status": payload.status,
            "start_time": payload.start_ms,
            "end_time": payload.end_ms,
            "deleted_time": None,
            "source_version": "",
            "lifecycle_stage": "active",
            "artifact_uri": self.artifact_uri(run_id),
            "experiment_id": self._experiment_id,
        }

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


def _pairs(run_id: str, items: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value, "run_uuid": run_id} for key, value in items.items()]


def _metric_rows(run_id: str, metrics: Mapping[str, tuple[float, int]]) -> list[dict[str, Any]]:
    return [
        {
            "key": name,
            "value": 0.0 if math.isnan(value) else value,
            "timestamp": at,
            "step": 0,
            "is_nan": math.isnan(value),
            "run_uuid": run_id,
        }
        for name, (value, at) in metrics.items()
    ]
