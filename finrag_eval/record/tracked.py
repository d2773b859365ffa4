"""Reading back what was recorded: sweeps, their trials and single queries, from any MLflow store.

Enters: a tracking URI. Leaves: plain rows. The only reader of MLflow's own API; a sweep's trials
are taken from its ``summary/trials.parquet`` where it has one, and run by run where it has not.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from finrag_eval.errors import InvalidInput, Problem, StoreUnreachable

_PAGE = 5_000
_TRIALS_FILE = "summary/trials.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """One run as the store has it; instants are epoch seconds, None while it is running."""

    run_id: str
    experiment: str
    name: str
    status: str
    started_at: float
    ended_at: float | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifact_uri: str = ""


@dataclass(slots=True, kw_only=True)
class TrackedStore:
    """A tracking store, opened for reading; experiments are found once."""

    uri: str
    _client: Any = None
    _experiments: dict[str, str] = field(default_factory=dict)

    def sweeps(
        self,
        *,
        experiments: Sequence[str] = (),
        since: float | None = None,
        until: float | None = None,
    ) -> list[TrackedRun]:
        """Parent runs of sweeps that were under way between the two instants, oldest first."""
        where = ["tags.`finrag_eval.kind` = 'sweep'", *_before(until)]
        found = self.search(" and ".join(where), experiments=experiments)
        return sorted(
            (
                run
                for run in found
                if since is None or run.ended_at is None or run.ended_at >= since
            ),
            key=lambda run: run.started_at,
        )

    def single_queries(
        self,
        *,
        experiments: Sequence[str] = (),
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[TrackedRun]:
        """Runs with a cost that belong to no sweep: those of ``query`` and of older programs."""
        where = [
            "metrics.cost_usd >= 0",
            "tags.`finrag_eval.sweep_id` IS NULL",
            *_after(since),
            *_before(until),
        ]
        return self.search(" and ".join(where), experiments=experiments)

    def children(self, parent_run_id: str, *, experiment: str) -> Iterator[TrackedRun]:
        """The child runs of one sweep."""
        return self.search(
            f"tags.`mlflow.parentRunId` = '{parent_run_id}'", experiments=[experiment]
        )

    def search(
        self,
        where: str = "",
        *,
        experiments: Sequence[str] = (),
        order_by: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[TrackedRun]:
        """Runs by MLflow's filter language, page by page; a wrong filter is InvalidInput."""
        ids = self._experiment_ids(experiments)
        if not ids:
            return
        token: str | None = None
        left = limit
        while left is None or left > 0:
            page = self._page(ids, where, order_by, min(_PAGE, left or _PAGE), token)
            for run in page:
                yield self._plain(run)
            left = None if left is None else left - len(page)
            token = page.token
            if not token:
                return

    def trials_file(self, sweep: TrackedRun) -> Path | None:
        """The sweep's trials as Parquet, on local disk; None where it has none (yet)."""
        local = local_artifacts(sweep.artifact_uri)
        if local is not None:
            path = local / _TRIALS_FILE
            return path if path.is_file() else None
        import mlflow

        folder = Path(tempfile.gettempdir()) / f"finrag-eval-{os.getuid()}" / sweep.run_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return Path(
                mlflow.artifacts.download_artifacts(
                    run_id=sweep.run_id,
                    artifact_path=_TRIALS_FILE,
                    dst_path=str(folder),
                    tracking_uri=self.uri,
                )
            )
        except mlflow.exceptions.MlflowException:
            return None

    def _page(
        self, ids: list[str], where: str, order_by: Sequence[str], size: int, token: str | None
    ) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._opened().search_runs(
                ids, where, max_results=size, order_by=list(order_by) or None, page_token=token
            )
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":
                raise InvalidInput([_wrong_filter(where, order_by, error.message)]) from None
            raise StoreUnreachable(self.uri, error.message) from error

    def _experiment_ids(self, names: Sequence[str]) -> list[str]:
        if not self._experiments:
            for experiment in self._opened().search_experiments(max_results=50_000):
                self._experiments[experiment.experiment_id] = experiment.name
        if not names:
            return list(self._experiments)
        unknown = [name for name in names if name not in self._experiments.values()]
        if unknown:
            known = ", ".join(sorted(self._experiments.values()))
            raise InvalidInput(
                Problem(file=self.uri, message=f"no experiment {name!r}", fix=f"known: {known}")
                for name in unknown
            )
        return [key for key, name in self._experiments.items() if name in names]

    def _opened(self) -> Any:
        if self._client is None:
            from finrag_eval.record.store import quiet_client

            self._client = quiet_client(self.uri)
        return self._client

    def _plain(self, run: Any) -> TrackedRun:
        return TrackedRun(
            run_id=run.info.run_id,
            experiment=self._experiments[run.info.experiment_id],
            name=run.info.run_name,
            status=run.info.status,
            started_at=run.info.start_time / 1000,
            ended_at=None if run.info.end_time is None else run.info.end_time / 1000,
            params=run.data.params,
            metrics=run.data.metrics,
            tags=run.data.tags,
            artifact_uri=run.info.artifact_uri,
        )


def local_artifacts(uri: str) -> Path | None:
    """The folder behind a run's artifact URI; None where it is not on this machine."""
    parsed = urlparse(uri)
    if parsed.scheme == "":
        return Path(uri)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else None


def _after(instant: float | None) -> list[str]:
    return [] if instant is None else [f"attributes.start_time >= {int(instant * 1000)}"]


def _before(instant: float | None) -> list[str]:
    return [] if instant is None else [f"attributes.start_time < {int(instant * 1000)}"]


def _wrong_filter(where: str, order_by: Sequence[str], reason: str) -> Problem:
    asked = f"{where} {' '.join(order_by)}".strip()
    return Problem(
        file="command line",
        key="--where",
        message=f"MLflow does not understand {asked!r}: {reason}",
        fix="write it like metrics.latency_total_seconds > 30 and params.model_key = 'KEY'",
    )
