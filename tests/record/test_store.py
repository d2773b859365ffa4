"""Where runs go: which URI, what is wrong with it, and stores that are made on first use."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from finrag_eval.errors import InvalidInput, StoreUnreachable
from finrag_eval.record.store import (
    check_store,
    mask_uri,
    open_store,
    resolve_tracking_uri,
    store_problems,
    why_unreachable,
)


def said(uri: str, *, experiment: str | None = None) -> str:
    return "\n".join(str(problem) for problem in store_problems(uri, experiment=experiment))


@pytest.mark.parametrize(
    ("flag", "env", "uri"),
    [
        ("http://flag", {"MLFLOW_TRACKING_URI": "http://env"}, "http://flag"),
        (None, {"MLFLOW_TRACKING_URI": "http://env"}, "http://env"),
        (None, {"MLFLOW_TRACKING_URI": ""}, "sqlite:///mlflow.db"),
        (None, {}, "sqlite:///mlflow.db"),
    ],
)
def test_the_flag_wins_then_the_environment(
    flag: str | None, env: dict[str, str], uri: str
) -> None:
    assert resolve_tracking_uri(flag, env) == uri


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://ann:p%40ss@host/db", "postgresql://ann:***@host/db"),
        ("postgresql://ann:a:b@c@host/db", "postgresql://ann:***@host/db"),
        ("http://ann:secret@host:5000/x failed", "http://ann:***@host:5000/x failed"),
        (
            "postgresql://host/db?user=a&password=b&x=1",
            "postgresql://host/db?user=a&password=***&x=1",
        ),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_passwords_are_never_shown(text: str, masked: str) -> None:
    assert mask_uri(text) == masked


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlite://mlflow.db", "has too few slashes; write sqlite:///mlflow.db"),
        ("sqlite:///:memory:", "a database in memory is lost at once"),
        ("mlflow.db", "'mlflow.db' is a path; write sqlite:///mlflow.db"),
        ("ftp://host/x", "no MLflow store has the scheme 'ftp'"),
        ("http://", "'http://' names no host"),
        ("http://host:port", "is not a URI"),
        ("mysql+pymysql://host/db", "needs the Python package pymysql; pip install pymysql"),
        ("mlruns", "mlflow migrate-filestore --source mlruns --target sqlite:///mlflow.db"),
        ("file:///old/mlruns", "or set MLFLOW_ALLOW_FILE_STORE=true"),
    ],
)
def test_a_wrong_uri_is_told_with_what_to_do(
    uri: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    assert message in said(uri)
    with pytest.raises(InvalidInput):
        check_store(uri)


def test_a_file_store_may_be_used_where_mlflow_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert said("mlruns") == ""


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "text.db", tmp_path / "other.db"
    text.write_text("not a database, but long enough to have a header of a hundred bytes " * 9)
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE mine (x)")
    assert "is not a SQLite database" in said(f"sqlite:///{text}")
    assert "is a database of something else" in said(f"sqlite:///{other}")
    assert "is a folder" in said(f"sqlite:///{tmp_path}")
    assert f"there is no folder {tmp_path}/no" in said(f"sqlite:///{tmp_path}/no/m.db")
    assert said(f"sqlite:///{tmp_path}/new.db") == ""


def test_a_store_of_another_mlflow_is_told_how_to_come_along(
    template_store: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old.db"
    shutil.copy(template_store, old)
    with closing(sqlite3.connect(old)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'abc'")
    assert f"run: mlflow db upgrade sqlite:///{old}" in said(f"sqlite:///{old}")


def test_a_deleted_experiment_is_found_before_anything_is_sent(store_uri: str) -> None:
    store = open_store(store_uri, "Gone")
    store.client.delete_experiment(store.experiment_id)
    store.engine.dispose()
    message = (
        "tracking URI: the experiment 'Gone' was deleted in MLflow; restore it "
        f"(mlflow experiments restore --experiment-id {store.experiment_id}) "
        "or choose another name"
    )
    assert said(store_uri, experiment="Gone") == message
    assert said(store_uri, experiment="Another") == ""
    with pytest.raises(InvalidInput, match="was deleted in MLflow"):
        open_store(store_uri, "Gone")


def test_a_server_that_is_not_there_is_unreachable_and_not_wrong() -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        uri = f"http://ann:secret@127.0.0.1:{port}"
        assert store_problems(uri) == ()
        with pytest.raises(StoreUnreachable) as caught:
            check_store(uri)
    assert str(caught.value) == (
        f"the tracking store http://ann:***@127.0.0.1:{port} could not be reached: "
        "Connection refused"
    )


class _Answers(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "reason"), [(200, None), (404, None), (401, None), (503, "it answers with HTTP 503")]
)
def test_a_server_that_answers_with_errors_is_unreachable(status: int, reason: str | None) -> None:
    handler = type("Handler", (_Answers,), {"status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert why_unreachable(f"http://127.0.0.1:{server.server_port}/sub") == reason
        server.shutdown()


def test_a_new_store_is_made_once_by_two_processes_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from finrag_eval.record.store import open_store; "
        "store = open_store(sys.argv[1], 'E', own_process=True, on_create=lambda: print('made'));"
        "store.client.create_run(store.experiment_id)"
    )
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    started = [
        subprocess.Popen([sys.executable, "-c", code, uri], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said_by_all = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert sorted(said_by_all) == ["", "made\n"]
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


_LOADED_AHEAD = """
import sys
from finrag_eval.record.mlflow_loading import load_mlflow
from finrag_eval.record.store import open_store, prepare_environment

prepare_environment(recorder=True)
load_mlflow()
assert "mlflow.store.tracking.sqlalchemy_store" in sys.modules
print(*sorted({"pandas", "scipy"} & set(sys.modules)), sep=",")
store = open_store(sys.argv[1], "Ahead", own_process=True)
run = store.client.create_run(store.experiment_id)
store.client.log_metric(run.info.run_id, "one", 1.0)
import pandas
import scipy.sparse
frame = pandas.DataFrame([store.client.get_run(run.info.run_id).data.metrics])
print(scipy.sparse.csr_matrix(frame.to_numpy()).sum())
"""


def test_a_recorder_loads_mlflow_without_libraries_that_others_can_still_load(
    store_uri: str,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED_AHEAD, store_uri], capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["", "1.0"], done.stderr


def test_artifacts_lie_beside_the_database_in_a_folder_of_the_experiment(
    store_uri: str, tmp_path: Path
) -> None:
    plain, strange = open_store(store_uri, "Plain-1"), open_store(store_uri, "a/b ü")
    assert plain.artifact_location == str(tmp_path / "mlartifacts" / "Plain-1")
    assert strange.artifact_location.startswith(str(tmp_path / "mlartifacts" / "a-b-"))
    assert open_store(store_uri, "a/b ü").experiment_id == strange.experiment_id
    plain.engine.dispose()


def test_a_run_is_shown_by_the_server_or_by_the_ui_command(store_uri: str) -> None:
    store = open_store(store_uri, "E")
    assert (
        store.run_url("abc")
        == f"http://127.0.0.1:5000/#/experiments/{store.experiment_id}/runs/abc"
    )
    store.engine.dispose()
