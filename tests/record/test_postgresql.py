"""Recording straight into a real PostgreSQL server; skipped where none is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from tracking_parts import SPEC, SweepInLedger, record_here

from benchmarks.torture.tracking import TrackingServer
from finrag_eval.record.recording import RecorderHandle
from finrag_eval.record.store import open_store

NewSweep = Callable[..., SweepInLedger]

_FOLDERS = [*map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([*_FOLDERS, os.environ.get("PATH", "")]))


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of an empty database on a server of this test."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL is not installed")
    as_user: list[str] = []
    folder = tmp_path_factory.mktemp("postgresql")
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        if shutil.which("setpriv") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no setpriv")
        as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        for parent in (folder, *folder.parents[:2]):
            parent.chmod(0o755)
        os.chown(folder, 65534, 65534)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(folder / "data")
    run = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "timeout": 120}
    subprocess.run(
        [*as_user, initdb, "-D", data, "-U", "tests", "-A", "trust", "--no-sync"],
        **run,  # type: ignore[call-overload]
    )
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -k {folder}"
    control = [*as_user, pg_ctl, "-D", data, "-l", str(folder / "log"), "-w", "-t", "100"]
    subprocess.run([*control, "-o", options, "start"], **run)  # type: ignore[call-overload]
    try:
        yield f"postgresql://tests@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(
            [*control, "-m", "immediate", "stop"],
            **run,  # type: ignore[call-overload]
        )


def runs_of(uri: str, experiment: str, kind: str) -> list[Any]:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    where = f"tags.`finrag_eval.kind` = '{kind}'"
    return list(client.search_runs([found.experiment_id], where, max_results=5000))


def look(run: Any) -> dict[str, Any]:
    """What MLflow shows of a run, less what names it and its parent."""
    own = ("mlflow.parentRunId", "finrag_eval.sweep_id")
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "user": run.info.user_id,
        "params": run.data.params,
        "tags": {key: value for key, value in run.data.tags.items() if key not in own},
        "metrics": {
            metric.key: (repr(metric.value), metric.timestamp, metric.step)
            for metric in run.data._metric_objs
        },
    }


def test_both_lanes_write_the_same_runs_into_postgresql(
    new_sweep: NewSweep, postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # artifacts of a database without a server lie here
    looks = []
    for lane in ("public", "bulk"):
        sweep = new_sweep(
            spec={**SPEC, "experiment": lane, "tracking": {"lane": lane}}, sweep_id=f"sweep-{lane}"
        )
        sweep.answer(sweep.trials(), failing=lambda place: place == 4)
        sweep.end()
        said = record_here(sweep.folder, postgresql, status="partial")
        assert [event["lane"] for event in said["parent"]] == [lane]
        assert said["finished"][0]["level"]
        assert record_here(sweep.folder, postgresql, verify=True)["finished"][0]["level"]
        runs = {run.info.run_name: run for run in runs_of(postgresql, lane, "trial")}
        assert len(runs) == 10
        client = MlflowClient(postgresql)
        for run in list(runs.values())[:2]:
            files = [file.path for file in client.list_artifacts(run.info.run_id, "prompts")]
            assert files == ["prompts/original_query.txt", "prompts/system_prompt.txt"]
        (parent,) = runs_of(postgresql, lane, "sweep")
        assert parent.info.status == "FINISHED"
        looks.append({name: look(run) for name, run in runs.items()})
    assert looks[0] == looks[1]
    open_store(postgresql, "bulk").engine.dispose()


def test_four_sweeps_at_once_through_a_server_of_two_processes_are_not_mixed_up(
    new_sweep: NewSweep, postgresql: str, tmp_path: Path
) -> None:
    server = TrackingServer(tmp_path / "server", store_uri=postgresql, workers=2)
    server.start()
    try:
        sweeps = [
            new_sweep(spec={**SPEC, "experiment": "Shared"}, sweep_id=f"sweep-{number}", queries=6)
            for number in range(4)
        ]
        with ExitStack() as recorders:
            recording = [
                recorders.enter_context(RecorderHandle.start(sweep.folder, uri=server.uri))
                for sweep in sweeps
            ]
            for sweep in sweeps:
                sweep.answer(sweep.trials())
                sweep.end()
            levels = [one.finish("completed") for one in recording]
        assert [level.is_level for level in levels] == [True] * 4
        parents = runs_of(server.uri, "Shared", "sweep")
        children = runs_of(server.uri, "Shared", "trial")
        path = "context/assembled_context.txt"
        kept = MlflowClient(server.uri).download_artifacts(children[0].info.run_id, path)
    finally:
        server.kill()
    by_sweep = {run.data.tags["finrag_eval.sweep_id"]: run.info.run_id for run in parents}
    assert len(by_sweep) == len(parents) == 4
    for sweep in sweeps:
        own = [run for run in children if run.data.tags["finrag_eval.sweep_id"] == sweep.sweep_id]
        keys = [run.data.tags["finrag_eval.trial_key"] for run in own]
        assert sorted(keys) == sorted(trial.key for trial in sweep.trials())
        assert {run.data.tags["mlflow.parentRunId"] for run in own} == {by_sweep[sweep.sweep_id]}
        assert {run.info.status for run in own} == {"FINISHED"}
        assert all(len(run.data.params) == 12 for run in own)
    assert len(children) == 4 * 12
    assert Path(kept).stat().st_size > 0
