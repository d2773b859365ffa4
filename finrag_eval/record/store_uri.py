"""Where runs go: MLflow's tracking URI, what may be wrong with it, and how to show it.

Enters: a flag or the environment. Leaves: a URI, its problems, a reason why it does not answer.
Does not import MLflow: all of this happens before the first call is sent.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import socket
import sqlite3
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from finrag_eval.errors import InvalidInput, Problem, StoreUnreachable
from finrag_eval.record.verified import VERIFIED_SCHEMAS

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
PROBE_SECONDS = 10.0

_SQL_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql")
_HTTP_SCHEMES = ("http", "https")
_OTHER_SCHEMES = ("databricks", "databricks-uc")
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
_DRIVERS = {
    "postgresql": ("psycopg", "pip install 'finrag-eval[postgres]'"),
    "postgresql+psycopg": ("psycopg", "pip install 'finrag-eval[postgres]'"),
    "postgresql+psycopg2": ("psycopg2", "pip install psycopg2-binary"),
    "mysql+pymysql": ("pymysql", "pip install pymysql"),
    "mssql+pyodbc": ("pyodbc", "pip install pyodbc"),
}
_SECRET = re.compile(r"(?<=://)([^/\s@:]*):([^/\s]*)@(?=[^/\s@]*)")
_SECRET_OPTION = re.compile(r"(?i)\b((?:password|passwd|pwd|token|secret)[^=&\s]*=)[^&\s]+")


def resolve_tracking_uri(flag: str | None = None, env: Mapping[str, str] = os.environ) -> str:
    """The flag, else ``MLFLOW_TRACKING_URI``, else ``sqlite:///mlflow.db`` in this folder."""
    return flag or env.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI


def mask_uri(text: str) -> str:
    """The URI, or any text with URIs in it, with passwords and tokens as ``***``."""
    return _SECRET_OPTION.sub(r"\1***", _SECRET.sub(r"\1:***@", text))


def check_store(uri: str, *, experiment: str | None = None) -> None:
    """Nothing, where the store can be used; it is asked for at most ten seconds.

    Raises InvalidInput with every problem of the URI, StoreUnreachable where it does not answer.
    """
    if problems := store_problems(uri, experiment=experiment):
        raise InvalidInput(problems)
    if reason := why_unreachable(uri):
        raise StoreUnreachable(mask_uri(uri), reason)


def store_problems(uri: str, *, experiment: str | None = None) -> tuple[Problem, ...]:
    """What is wrong with the URI or the file that it names; nothing is sent anywhere.

    With ``experiment``, also whether that experiment is in the trash of a SQLite store.
    """
    try:
        parts = urllib.parse.urlsplit(uri)
        parts.port  # noqa: B018 - a port that is no number raises here
    except ValueError as error:
        return (_problem(f"{mask_uri(uri)!r} is not a URI ({error})", "write it like " + _LIKE),)
    scheme = _scheme_of(uri)
    if scheme == "sqlite":
        return _sqlite_problems(uri, experiment)
    if scheme in ("", "file"):
        return _file_store_problems(uri)
    if scheme in (*_SQL_SCHEMES, *_HTTP_SCHEMES):
        if not parts.hostname and not parts.query and not parts.path.strip("/"):
            return (_problem(f"{mask_uri(uri)!r} names no host", "write it like " + _LIKE),)
        return _driver_problems(parts.scheme)
    if scheme in _OTHER_SCHEMES or uri in _OTHER_SCHEMES or scheme in _plugin_schemes():
        return ()
    return (_problem(f"no MLflow store has the scheme {scheme!r}", "write it like " + _LIKE),)


def why_unreachable(uri: str, *, timeout_s: float = PROBE_SECONDS) -> str | None:
    """Why the store's server does not answer; None where it does, or where there is none."""
    parts = urllib.parse.urlsplit(uri)
    scheme = _scheme_of(uri)
    if scheme in _HTTP_SCHEMES:
        return _http_reason(parts, timeout_s)
    if scheme in _PORTS and parts.hostname:
        place = (parts.hostname, parts.port or _PORTS[scheme])
        try:
            socket.create_connection(place, timeout_s).close()
        except OSError as error:
            return _os_reason(error)
    return None


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite URI; None for other stores and for a database in memory."""
    if _scheme_of(uri) != "sqlite" or not (after := uri.partition("://")[2]).startswith("/"):
        return None
    path = after.partition("?")[0][1:]
    return None if path in ("", ":memory:") else Path(path)


def is_http(uri: str) -> bool:
    """True for a tracking server."""
    return _scheme_of(uri) in _HTTP_SCHEMES


_LIKE = "sqlite:///mlflow.db, postgresql://user@host/mlflow or http://host:5000"


def _scheme_of(uri: str) -> str:
    return urllib.parse.urlsplit(uri).scheme.partition("+")[0].lower()


def _problem(message: str, fix: str) -> Problem:
    return Problem(file="tracking URI", message=message, fix=fix)


def _sqlite_problems(uri: str, experiment: str | None) -> tuple[Problem, ...]:
    path = sqlite_path(uri)
    if path is None:
        name = uri.partition("://")[2].lstrip("/") or "mlflow.db"
        if name == ":memory:":
            return (_problem("a database in memory is lost at once", "name a file: " + _LIKE),)
        return (_problem(f"{uri!r} has too few slashes", f"write sqlite:///{name}"),)
    folder = path.absolute().parent
    if not folder.is_dir():
        return (_problem(f"{path}: there is no folder {folder}", f"make it: mkdir -p {folder}"),)
    if path.is_dir():
        return (_problem(f"{path} is a folder", "name a file in it"),)
    if not os.access(path if path.exists() else folder, os.W_OK):
        return (_problem(f"{path} cannot be written", "change its rights, or name another file"),)
    if not path.exists() or path.stat().st_size == 0:
        return ()
    return _database_problems(path, uri, experiment)


def _database_problems(path: Path, uri: str, experiment: str | None) -> tuple[Problem, ...]:
    another = "name another file; MLflow would make its tables in this one"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            names = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
            if names and not {"alembic_version", "experiments"} <= names:
                return (_problem(f"{path} is a database of something else", another),)
            revision = database.execute("SELECT version_num FROM alembic_version").fetchone()
            trashed = database.execute(
                "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage != ?",
                (experiment, "active"),
            ).fetchone()
    except sqlite3.OperationalError:
        return ()  # locked or being made by another process: it is there, and MLflow waits for it
    except sqlite3.DatabaseError:
        return (_problem(f"{path} is not a SQLite database", another),)
    version = importlib.metadata.version("mlflow")
    if revision and VERIFIED_SCHEMAS.get(version, revision[0]) != revision[0]:
        return (
            _problem(
                f"{path} was made by another version of MLflow (schema {revision[0]})",
                f"copy the file as a backup, then run: mlflow db upgrade {uri}",
            ),
        )
    return deleted_experiment_problem(str(experiment), str(trashed[0])) if trashed else ()


def deleted_experiment_problem(experiment: str, experiment_id: str) -> tuple[Problem, ...]:
    """The one problem of an experiment that is in MLflow's trash."""
    return (
        _problem(
            f"the experiment {experiment!r} was deleted in MLflow",
            f"restore it (mlflow experiments restore --experiment-id {experiment_id}) "
            "or choose another name",
        ),
    )


def _file_store_problems(uri: str) -> tuple[Problem, ...]:
    if uri.endswith((".db", ".sqlite", ".sqlite3")):
        return (_problem(f"{uri!r} is a path", f"write sqlite:///{uri}"),)
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").strip().lower() in ("true", "1"):
        return ()
    source = urllib.parse.urlsplit(uri).path or "mlruns"
    return (
        _problem(
            f"{uri!r} is a file store, which MLflow no longer opens by itself",
            f"move it to SQLite (mlflow migrate-filestore --source {source} "
            f"--target {DEFAULT_TRACKING_URI}) or set MLFLOW_ALLOW_FILE_STORE=true",
        ),
    )


def _driver_problems(scheme: str) -> tuple[Problem, ...]:
    module, install = _DRIVERS.get(scheme.lower(), ("", ""))
    if not module or importlib.util.find_spec(module) is not None:
        return ()
    return (_problem(f"{scheme}:// needs the Python package {module}", install),)


def _plugin_schemes() -> set[str]:
    return {point.name for point in importlib.metadata.entry_points(group="mlflow.tracking_store")}


def _http_reason(parts: urllib.parse.SplitResult, timeout_s: float) -> str | None:
    host = parts.hostname or ""
    place = f"[{host}]" if ":" in host else host
    place = place if parts.port is None else f"{place}:{parts.port}"
    url = f"{parts.scheme}://{place}{parts.path.rstrip('/')}/health"
    try:
        with urllib.request.urlopen(url, timeout=timeout_s):
            return None
    except urllib.error.HTTPError as error:
        return f"it answers with HTTP {error.code}" if error.code >= 500 else None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            return None  # it is there; MLflow's client has its own settings for certificates
        return _os_reason(error.reason) if isinstance(error.reason, OSError) else str(error.reason)
    except TimeoutError:
        return f"no answer within {timeout_s:.0f} s"
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__


def _os_reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or str(error)
