"""An MLflow store, open for writing: made where it is not there yet, tuned where it is SQLite.

Enters: a tracking URI and an experiment's name. Leaves: a ``Store``. MLflow is imported inside
``open_store`` alone, so that the driver may use the rules about URIs from here.

Artifacts of a SQLite store lie beside its file, in ``mlartifacts/EXPERIMENT/``; MLflow keeps that
path absolute, so a moved store finds old artifacts only where they were. Those of a PostgreSQL
store that is opened without a server lie in ``mlartifacts/`` of the current folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from finrag_eval.errors import InvalidInput
from finrag_eval.record.store_uri import (
    DEFAULT_TRACKING_URI,
    check_store,
    deleted_experiment_problem,
    is_http,
    mask_uri,
    resolve_tracking_uri,
    sqlite_path,
    store_problems,
    why_unreachable,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = [
    "DEFAULT_TRACKING_URI",
    "Store",
    "check_store",
    "is_http",
    "mask_uri",
    "open_store",
    "prepare_environment",
    "quiet_client",
    "resolve_tracking_uri",
    "sqlite_path",
    "store_problems",
    "why_unreachable",
]

#: How MLflow behaves in our processes, where the user has not said otherwise: it prints nothing,
#: sends nothing home, and reports a dead server after seconds, since the recorder itself retries.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_RECORDER_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}
_OPENING_TRIES = 3
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An open store with its experiment. ``engine`` is SQLAlchemy's, None behind a server."""

    client: MlflowClient
    uri: str
    experiment: str
    experiment_id: str
    artifact_location: str
    engine: Any = None

    @property
    def is_server(self) -> bool:
        return is_http(self.uri)

    def run_url(self, run_id: str) -> str:
        """Where a browser shows the run; for a local store, where ``finrag-eval ui`` shows it."""
        base = self.uri.rstrip("/") if self.is_server else "http://127.0.0.1:5000"
        base = re.sub(r"//[^/@]*@", "//", base)
        return f"{base}/#/experiments/{self.experiment_id}/runs/{run_id}"


def prepare_environment(*, recorder: bool = False) -> None:
    """Sets how MLflow behaves in this process; to be called before MLflow is imported."""
    for name, value in {**_ENVIRONMENT, **(_RECORDER_ENVIRONMENT if recorder else {})}.items():
        os.environ.setdefault(name, value)


def open_store(
    uri: str,
    experiment: str,
    *,
    own_process: bool = False,
    on_create: Callable[[], None] = lambda: None,
) -> Store:
    """The store, with the experiment in it; both are made where they are missing.

    ``on_create`` is called before a SQLite file is made, which takes seconds. In a process of its
    own, SQLite is set to ``synchronous=NORMAL`` for all connections. Raises InvalidInput where the
    experiment was deleted in MLflow, else what MLflow raises.
    """
    prepare_environment(recorder=own_process)
    if own_process:
        _relax_sqlite()
    path = sqlite_path(uri)
    if path is not None:
        _make_database(path, on_create)
        _use_wal(path)
    client = _patiently(lambda: _new_client(uri))
    found = _patiently(lambda: _experiment(client, uri, experiment))
    return Store(
        client=client,
        uri=uri,
        experiment=experiment,
        experiment_id=found.experiment_id,
        artifact_location=found.artifact_location,
        engine=_engine(client),
    )


def quiet_client(uri: str) -> MlflowClient:
    """A client for the store as it is; MLflow prints nothing and sends nothing home."""
    prepare_environment()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _new_client(uri: str) -> MlflowClient:
    client = quiet_client(uri)
    if not is_http(uri):
        client.get_experiment_by_name("Default")  # MLflow opens, and makes, a database on first use
    return client


def _engine(client: MlflowClient) -> Any:
    """SQLAlchemy's engine of a database store; None behind a server."""
    tracking: Any = getattr(client, "_tracking_client", None)
    return getattr(getattr(tracking, "store", None), "engine", None)


def _experiment(client: MlflowClient, uri: str, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            client.create_experiment(name, artifact_location=_artifact_location(uri, name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise InvalidInput(
            deleted_experiment_problem(name, found.experiment_id if found else "unknown")
        )
    return found


def _artifact_location(uri: str, experiment: str) -> str | None:
    """A folder of its own for the experiment; None leaves the choice to a tracking server."""
    if is_http(uri) or not uri.startswith(("sqlite", "postgresql")):
        return None
    path = sqlite_path(uri)
    root = (path.absolute().parent if path is not None else Path.cwd()) / "mlartifacts"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", experiment).strip("-.")[:60]
    if plain != experiment:
        plain = f"{plain}-{hashlib.sha256(experiment.encode()).hexdigest()[:8]}"
    return str(root / plain)


def _make_database(path: Path, on_create: Callable[[], None]) -> None:
    """Makes the file under another name, then puts it in its place: never half a schema.

    Two processes that open one fresh file at once would break each other's migrations, so one
    makes it while the others wait for its lock.
    """
    if _is_made(path):
        return
    with _creation_lock(path):
        if _is_made(path):
            return
        on_create()
        draft = path.with_name(f"{path.name}.new-{os.getpid()}")
        try:
            _engine(_new_client(f"sqlite:///{draft.absolute()}")).dispose()
            _use_wal(draft)
            os.replace(draft, path)
        finally:
            for leftover in path.parent.glob(f"{draft.name}*"):
                leftover.unlink(missing_ok=True)


def _is_made(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


@contextlib.contextmanager
def _creation_lock(path: Path) -> Iterator[None]:
    import fcntl

    name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:24]
    lock = Path(tempfile.gettempdir()) / f"finrag_eval-{os.getuid()}-{name}.lock"
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _use_wal(path: Path) -> None:
    """Lets readers (the UI) read while runs are written; a property of the file, set once."""
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as database:
        if database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            with contextlib.suppress(sqlite3.OperationalError):  # in use: the next opening sets it
                database.execute("PRAGMA journal_mode=WAL")


def _relax_sqlite() -> None:
    """``synchronous=NORMAL`` for each SQLite connection of this process: the ledger is the truth,
    and in WAL a power cut costs at most the newest transactions, which are recorded again."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def relax(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=NORMAL")

    if not getattr(_relax_sqlite, "done", False):
        event.listen(Engine, "connect", relax)
        _relax_sqlite.done = True  # type: ignore[attr-defined]


def _patiently(attempt: Callable[[], _T]) -> _T:
    """The result; tried again where another process is making the same database just now."""
    for _ in range(_OPENING_TRIES - 1):
        try:
            return attempt()
        except InvalidInput:
            raise
        except Exception:
            time.sleep(1.0)
    return attempt()
