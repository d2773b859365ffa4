"""docs/dask.md does what it says: a scheduler and two workers as processes, and its sweep."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import PROJECT, blocks

from benchmarks.torture.ground import settled


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with two workers, each a process of its own."""
    distributed = pytest.importorskip("distributed", reason="needs dask: pip install -e .[dask]")
    file = tmp_path / "scheduler.json"
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}

    def start(kind: str, *options: str) -> subprocess.Popen[bytes]:
        module = f"distributed.cli.dask_{kind}"
        command = [sys.executable, "-m", module, "--no-dashboard", "--scheduler-file", str(file)]
        with (tmp_path / f"{kind}.log").open("ab") as log:
            return subprocess.Popen([*command, *options], stdout=log, stderr=log, env=env)

    processes = [start("scheduler", "--host", "127.0.0.1", "--port", "0")]
    processes += [start("worker", "--no-nanny", "--nthreads", "1") for _ in range(2)]
    try:
        with distributed.Client(
            scheduler_file=str(file), set_as_default=False, timeout=90
        ) as client:
            client.wait_for_workers(2, timeout=90)
            address: str = client.scheduler.address
        yield address
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_its_sweep_runs_on_a_scheduler_and_two_workers(
    cluster: str, workplace: Path, tmp_path: Path
) -> None:
    place = tmp_path / "project"
    shutil.copytree(workplace, place)
    (sweep,) = [one for one in blocks(PROJECT / "docs" / "dask.md") if one.language == "yaml"]
    assert sweep.file == "sweeps/on_dask.yaml"
    (place / sweep.file).write_text(
        sweep.text.replace("tcp://127.0.0.1:8786", cluster), encoding="utf-8"
    )
    command = [sys.executable, "-m", "finrag_eval", "run", sweep.file, "--no-tracking", "--fresh"]

    def summary_of(*options: str) -> dict[str, Any]:
        ran = subprocess.run(
            [*command, *options, "--format", "json"],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stderr
        summary: dict[str, Any] = json.loads(ran.stdout)
        return summary

    on_dask = summary_of()
    on_threads = summary_of("--set", "execution={backend: threading, concurrency: 4}")
    assert on_dask["totals"]["trials_succeeded"] == 12
    assert settled(on_dask) == settled(on_threads)
