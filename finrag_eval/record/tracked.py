"""Reading back what was recorded: sweeps, their trials and single queries, from any MLflow store.

Enters: a tracking URI. Leaves: plain rows. The only reader of MLflow's own API; a SQLite store of
a verified schema is read without it, which takes a fraction of the time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from finrag_eval.errors import InvalidInput, Problem, StoreUnreachable
from finrag_eval.record.store_uri import check_store, mask_uri, sqlite_path
from finrag_eval.record.tracked_run import TrackedRun
from finrag_eval.record.tracked_sqlite import SqliteRuns, is_verified

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TrackedRun", "TrackedStore"]

_PAGE = 5_000
_TRIALS_FILE = "summary/trials.parquet"

#: What MLflow says of a filter or an order that it cannot read.
_NOT_UNDERSTOOD = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST"})


class TrackedStore:
    """A tracking store, opened for reading; nothing is made where there is none.

    Raises InvalidInput where the URI is wrong or names a store that is not there, and
    StoreUnreachable where it does not answer.
    """

    def __init__(self, *, uri: str, direct: bool = True) -> None:
        check_store(uri)
        path = sqlite_path(uri)
        if path is not None and not path.is_file():
            raise InvalidInput([_no_store(path)])
        self.uri = uri
        is_known = direct and path is not None and is_verified(path)
        self._tables = SqliteRuns(path) if is_known and path is not None else None
        self._client: Any = None
        self._experiments: dict[str, str] | None = None

    def sweeps(
        self,
        *,
        experiments: Sequence[str] = (),
        since: float | None = None,
        until: float | None = None,
    ) -> list[TrackedRun]:
        """Parent runs of sweeps that were under way between the two instants, oldest first."""
        chosen = self._chosen(experiments)
        if self._tables is not None:
            found: list[TrackedRun] = self._tables.sweeps(chosen, until=until)
        else:
            where = ["tags.`finrag_eval.kind` = 'sweep'", *_before(until)]
            found = list(self._pages(" and ".join(where), chosen))
        under_way = (
            run
            for run in found
            if since is None or run.is_running or run.ended_at is None or run.ended_at >= since
        )
        return sorted(under_way, key=lambda run: (run.started_at, run.run_id))

    def single_queries(
        self,
        *,
        experiments: Sequence[str] = (),
        since: float | None = None,
        until: float | None = None,
    ) -> list[TrackedRun]:
        """Runs with a cost that belong to no sweep: those of ``query`` and of older programs."""
        chosen = self._chosen(experiments)
        if self._tables is not None:
            return self._tables.single_queries(chosen, since=since, until=until)
        where = [
            "metrics.cost_usd >= 0",
            "tags.`finrag_eval.sweep_id` IS NULL",
            *_after(since),
            *_before(until),
        ]
        return list(self._pages(" and ".join(where), chosen))

    def children(self, sweep: TrackedRun) -> list[TrackedRun]:
        """The child runs of one sweep."""
        chosen = self._chosen([sweep.experiment])
        if self._tables is not None:
            return self._tables.children(sweep.run_id, chosen)
        return list(self._pages(f"tags.`mlflow.parentRunId` = '{sweep.run_id}'", chosen))

    def search(
        self,
        where: str,
        *,
        experiments: Sequence[str] = (),
        order_by: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[TrackedRun]:
        """Runs by MLflow's filter language, page by page; InvalidInput where it is wrong."""
        chosen = self._chosen(experiments)
        if self._tables is not None and chosen:
            tables = self._tables
            found = self._answer_of(
                "search_runs", lambda: tables.search(where, chosen, order_by=order_by, limit=limit)
            )
            if found is not None:
                return iter(found)
        return self._pages(where, chosen, order_by=order_by, limit=limit)

    def trials_table(self, sweep: TrackedRun, columns: Sequence[str]) -> pa.Table | None:
        """Those of the columns that the sweep's trials have; None where it has no such file."""
        local = local_artifacts(sweep.artifact_uri)
        if local is not None:
            return _read_parquet(local / _TRIALS_FILE, columns)
        import mlflow

        with tempfile.TemporaryDirectory(prefix="finrag-eval-") as folder:
            try:
                path = mlflow.artifacts.download_artifacts(
                    run_id=sweep.run_id,
                    artifact_path=_TRIALS_FILE,
                    dst_path=folder,
                    tracking_uri=self.uri,
                )
            except (mlflow.exceptions.MlflowException, OSError):
                return None
            return _read_parquet(Path(path), columns)

    def _chosen(self, names: Sequence[str]) -> dict[str, str]:
        """Experiments by id: all of them, or those that are named."""
        if self._experiments is None:
            self._experiments = self._all_experiments()
        held = self._experiments
        if not names:
            return held
        unknown = [name for name in names if name not in held.values()]
        if unknown:
            known = ", ".join(sorted(held.values()))
            raise InvalidInput(
                Problem(
                    file=mask_uri(self.uri),
                    key="--experiment",
                    message=f"there is no experiment {name!r}",
                    fix=f"known: {known}",
                )
                for name in unknown
            )
        return {key: name for key, name in held.items() if name in names}

    def _all_experiments(self) -> dict[str, str]:
        if self._tables is not None:
            return self._tables.experiments()
        found: dict[str, str] = {}
        token: str | None = None
        while True:
            page = self._asked("search_experiments", max_results=1_000, page_token=token)
            found |= {one.experiment_id: one.name for one in page}
            token = page.token
            if not token:
                return found

    def _pages(
        self,
        where: str,
        experiments: dict[str, str],
        *,
        order_by: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[TrackedRun]:
        token: str | None = None
        left = limit
        while experiments and (left is None or left > 0):
            page = self._asked(
                "search_runs",
                list(experiments),
                where,
                max_results=min(_PAGE, left or _PAGE),
                order_by=list(order_by) or None,
                page_token=token,
            )
            yield from (_plain(run, experiments) for run in page)
            left = None if left is None else left - len(page)
            token = page.token
            if not token:
                return

    def _asked(self, method: str, *arguments: Any, **named: Any) -> Any:
        """What MLflow's client answers."""
        if self._client is None:
            from finrag_eval.record.store import quiet_client

            self._client = quiet_client(self.uri)
        return self._answer_of(method, partial(getattr(self._client, method), *arguments, **named))

    def _answer_of(self, method: str, ask: Callable[[], Any]) -> Any:
        """What MLflow answers; its errors as ours."""
        from finrag_eval.record.store import prepare_environment

        prepare_environment()
        from mlflow.exceptions import MlflowException

        try:
            return ask()
        except MlflowException as error:
            if error.error_code in _NOT_UNDERSTOOD and method == "search_runs":
                raise InvalidInput([_wrong_filter(error.message)]) from None
            raise StoreUnreachable(mask_uri(self.uri), mask_uri(error.message)) from error


def local_artifacts(uri: str) -> Path | None:
    """The folder behind a run's artifact URI; None where it is not on this machine."""
    parsed = urlparse(uri)
    if parsed.scheme == "":
        return Path(uri)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else None


def _read_parquet(path: Path, columns: Sequence[str]) -> pa.Table | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            held = set(file.schema_arrow.names)
            return file.read([name for name in columns if name in held], use_threads=False)
    except (OSError, pa.ArrowException):
        return None


def _plain(run: Any, experiments: dict[str, str]) -> TrackedRun:
    return TrackedRun(
        run_id=run.info.run_id,
        experiment=experiments[run.info.experiment_id],
        name=run.info.run_name,
        status=run.info.status,
        started_at=run.info.start_time / 1000,
        ended_at=None if run.info.end_time is None else run.info.end_time / 1000,
        params=run.data.params,
        metrics=run.data.metrics,
        tags=run.data.tags,
        artifact_uri=run.info.artifact_uri,
    )


def _after(instant: float | None) -> list[str]:
    return [] if instant is None else [f"attributes.start_time >= {int(instant * 1000)}"]


def _before(instant: float | None) -> list[str]:
    return [] if instant is None else [f"attributes.start_time < {int(instant * 1000)}"]


def _no_store(path: Path) -> Problem:
    return Problem(
        file="tracking URI",
        message=f"there is no store at {path}",
        fix="run a sweep first, or name another one with --tracking-uri",
    )


def _wrong_filter(reason: str) -> Problem:
    return Problem(
        file="command line",
        message=f"MLflow does not understand this search: {' '.join(reason.split())}",
        fix="write filters like metrics.latency_total_seconds > 30 and params.model_key = 'KEY'; "
        "conditions are joined by `and`, text is quoted",
    )
