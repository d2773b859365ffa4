"""The store away: refused, failing, locked, and replies that are lost on the way."""

from __future__ import annotations

import http.client
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from tracking_parts import SPEC, SweepInLedger, record_here

from benchmarks.torture.tracking import TrackingServer
from finrag_eval.record.recording import RecorderHandle

NewSweep = Callable[..., SweepInLedger]


@pytest.fixture(scope="session")
def server(
    template_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrackingServer]:
    started = TrackingServer(tmp_path_factory.mktemp("server"), template_store)
    started.start()
    yield started
    started.kill()


class Proxy:
    """A proxy before the server that spoils chosen requests.

    ``spoil`` gets the path of each request, and says ``drop`` (the server does its work, and its
    answer is lost), a status to answer instead of the server, or None.
    """

    def __init__(self, server: TrackingServer, spoil: Callable[[str], str | int | None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                spoiled = spoil(self.path)
                if isinstance(spoiled, int):
                    self.send_response(spoiled)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as line:
                    line.request(self.command, self.path, body, dict(self.headers))
                    answer = line.getresponse()
                    content = answer.read()
                if spoiled == "drop":
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler._pass_on)

        class Listening(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a dropped connection is what was asked for

        self._listening = Listening(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._listening.server_port}"
        threading.Thread(target=self._listening.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown()
        self._listening.server_close()


def a_spec(experiment: str) -> dict[str, Any]:
    return {**SPEC, "experiment": experiment}


def check(uri: str, sweep: SweepInLedger) -> list[Any]:
    """One whole child run a trial, nothing RUNNING, files where they belong."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(str(sweep.spec["experiment"]))
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    trials = [run for run in runs if run.data.tags["finrag_eval.kind"] == "trial"]
    keys = [run.data.tags["finrag_eval.trial_key"] for run in trials]
    assert sorted(keys) == sorted(trial.key for trial in sweep.trials())
    assert len(runs) == len(trials) + 1
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(len(run.data.params) == 12 for run in trials)
    assert all("score.numeric" in run.data.metrics for run in trials)
    response = client.list_artifacts(trials[0].info.run_id, "response")
    assert [file.path for file in response] == [
        "response/full_response.json",
        "response/scores.json",
    ]
    return trials


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_server_that_is_killed_and_comes_back_misses_nothing(
    new_sweep: NewSweep, server: TrackingServer
) -> None:
    sweep = new_sweep(spec=a_spec("Killed"))
    notices: list[str] = []
    trials = sweep.trials()
    with RecorderHandle.start(sweep.folder, uri=server.uri, on_notice=notices.append) as recorder:
        sweep.answer(trials[:3])
        assert recorder.drain().is_level
        assert recorder.lane == "public"
        server.kill()
        try:
            sweep.answer(trials[3:])  # answers go on into the ledger
            until(lambda: recorder.away is not None, "nobody saw that the server is away")
            gone = recorder.drain(patience_s=0.5)
            assert not gone.is_level
            assert gone.reason is not None
        finally:
            server.start()
        level = recorder.drain()
        sweep.end()
        assert recorder.finish("completed").is_level
    assert (level.is_level, level.recorded) == (True, 10)
    assert notices[0].startswith("the tracking store is away (")
    assert notices[0].endswith("answers go into the ledger, and recording is tried again")
    assert notices[1:] == ["the tracking store is back"]
    check(server.uri, sweep)


def test_a_lost_reply_leaves_no_second_run(new_sweep: NewSweep, server: TrackingServer) -> None:
    lock, seen = threading.Lock(), [0]

    def spoil(path: str) -> str | None:
        with lock:
            seen[0] += path.endswith("/runs/create")
            return "drop" if path.endswith("/runs/create") and seen[0] in (1, 3, 7) else None

    proxy = Proxy(server, spoil)
    try:
        sweep = new_sweep(spec=a_spec("Lost replies"))
        sweep.answer(sweep.trials())
        sweep.end()
        said = record_here(sweep.folder, proxy.uri, status="completed")
    finally:
        proxy.close()
    assert said["finished"][0]["level"]
    check(server.uri, sweep)


def test_answers_of_500_are_tried_again(new_sweep: NewSweep, server: TrackingServer) -> None:
    lock, spoiled = threading.Lock(), [0]

    def spoil(path: str) -> int | None:
        with lock:
            if path.endswith(("/runs/log-batch", "/runs/update")) and spoiled[0] < 12:
                spoiled[0] += 1
                return 500
            return None

    proxy = Proxy(server, spoil)
    try:
        sweep = new_sweep(spec=a_spec("Errors"), queries=2)
        sweep.answer(sweep.trials())
        sweep.end()
        said = record_here(sweep.folder, proxy.uri, status="completed")
    finally:
        proxy.close()
    assert said["away"]
    assert said["finished"][0]["level"]
    check(server.uri, sweep)


def test_a_store_that_never_comes_is_not_waited_for_and_sync_does_it_later(
    new_sweep: NewSweep, store_uri: str
) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        sweep = new_sweep(queries=1)
        with RecorderHandle.start(sweep.folder, uri=away) as recorder:
            sweep.answer(sweep.trials())
            until(lambda: recorder.away is not None, "nobody saw that the server is away")
            level = recorder.drain(patience_s=0.2)
            sweep.end()
    assert (level.is_level, recorder.parent_run_id, recorder.run_ids()) == (False, None, {})
    assert level.reason == "Connection refused"
    assert record_here(sweep.folder, store_uri, verify=True)["finished"][0]["level"]
    check(store_uri, sweep)


def test_a_database_server_that_is_away_is_known_to_be_away_at_once(new_sweep: NewSweep) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        uri = f"postgresql://ann:secret@127.0.0.1:{nobody.getsockname()[1]}/mlflow"
        with RecorderHandle.start(new_sweep(queries=1).folder, uri=uri) as recorder:
            level = recorder.drain(patience_s=0.2)
    assert (level.is_level, level.reason) == (False, "Connection refused")


def test_a_locked_database_holds_up_nothing_but_recording(
    new_sweep: NewSweep, store_uri: str
) -> None:
    sweep = new_sweep(queries=2)
    notices: list[str] = []
    with RecorderHandle.start(sweep.folder, uri=store_uri, on_notice=notices.append) as recorder:
        assert recorder.drain().is_level
        with closing(sqlite3.connect(store_uri.removeprefix("sqlite:///"))) as holder:
            holder.execute("BEGIN IMMEDIATE")
            sweep.answer(sweep.trials())
            until(lambda: recorder.away is not None, "nobody saw that the database is locked")
        level = recorder.drain()
        sweep.end()
        recorder.finish("completed")
    assert (level.is_level, level.recorded) == (True, 4)
    assert notices[0] == (
        "the tracking store is away (database is locked); "
        "answers go into the ledger, and recording is tried again"
    )
    assert notices[1:] == ["the tracking store is back"]
    check(store_uri, sweep)
