"""Threads, processes and a cluster: the same outcomes, and none lost with a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from execute_parts import MemoryLedger, cell, eventually, model, queries, trials

from finrag_eval.domain import BudgetSpec, ExecutionSpec, Outcome, Trial
from finrag_eval.execute.budget import Budget
from finrag_eval.execute.callable_target import CallableTarget
from finrag_eval.execute.fanout import WorkersFailed, fan_out
from finrag_eval.execute.gate import Gate
from finrag_eval.execute.remote_gate import RemoteGate, ServedGate

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Build:
    """Makes a target in any process; ``name`` is a callable of tests/execute/far_targets.py."""

    name: str
    count: int
    execution: ExecutionSpec

    def __call__(self) -> CallableTarget:
        sys.path.insert(0, str(HERE))
        chosen = cell(model(context_window=1000))
        return CallableTarget(
            f"far_targets:{self.name}",
            queries=queries(self.count),
            cells={chosen.name: chosen},
            execution=self.execution,
        )


def open_gate(count: int, concurrency: int, notices: list[str] | None = None) -> Gate:
    chosen = [cell(model(context_window=1000))]
    told: list[str] = [] if notices is None else notices
    return Gate(
        trials(chosen, queries(count)),
        chosen,
        budget=Budget(BudgetSpec()),
        reservations=MemoryLedger(),
        concurrency=concurrency,
        on_notice=told.append,
    )


def outcomes_of(
    name: str, count: int, execution: ExecutionSpec, notices: list[str] | None = None
) -> dict[str, Outcome]:
    gate = open_gate(count, execution.concurrency, notices)
    found: dict[str, Outcome] = {}
    for outcome in fan_out(gate, Build(name, count, execution), execution):
        assert outcome.trial.key not in found, "delivered twice"
        found[outcome.trial.key] = outcome
    assert gate.reason == "done"
    return found


def test_processes_answer_as_threads_do() -> None:
    def answers(backend: Any) -> dict[str, Any]:
        execution = ExecutionSpec(backend=backend, concurrency=6)
        found = outcomes_of("echo", 60, execution)
        return {key: outcome.result["answer"] for key, outcome in found.items()}

    by_threads = answers("threading")
    assert len(by_threads) == 60
    assert answers("loky") == by_threads


def test_a_killed_process_costs_what_was_in_flight_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAR_TARGETS_FOLDER", str(tmp_path))
    notices: list[str] = []
    execution = ExecutionSpec(backend="loky", concurrency=4)
    found = outcomes_of("kills_its_process_once", 30, execution, notices)
    assert len(found) == 30
    assert all(outcome.succeeded for outcome in found.values())
    calls = len(list(tmp_path.glob("call-*")))
    assert 30 < calls <= 30 + 4
    assert "a worker process died; starting the pool anew" in notices
    wasted = [outcome for outcome in found.values() if outcome.wasted_usd]
    # A trial may come back to a process that is ended with the dead one's pool: lost once more.
    assert 1 <= sum(outcome.retries for outcome in wasted) <= 4


def test_a_trial_that_kills_every_process_is_a_failed_one() -> None:
    execution = ExecutionSpec(backend="loky", concurrency=1)
    (outcome,) = outcomes_of("kills_its_process", 1, execution).values()
    assert outcome.failure is not None
    assert outcome.failure.error_type == "WorkerLost"
    assert outcome.failure.message == "the process that answered it died 3 times"


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_a_target_that_cannot_be_made_ends_the_sweep(backend: Any) -> None:
    execution = ExecutionSpec(backend=backend, concurrency=2)
    gate = open_gate(5, 2)
    with pytest.raises(Exception, match="no attribute 'nothing'"):
        list(fan_out(gate, Build("nothing", 5, execution), execution))


def test_an_exception_past_the_target_is_a_failed_trial() -> None:
    class Broken:
        def answer(self, ticket: Any, gate: Any) -> None:
            raise RuntimeError("bug")

    execution = ExecutionSpec(concurrency=2)
    outcomes = list(fan_out(open_gate(5, 2), Broken, execution))
    assert len(outcomes) == 5
    assert {one.failure.error_type for one in outcomes if one.failure} == {"RuntimeError"}


def test_a_reader_that_leaves_early_stops_the_sweep() -> None:
    execution = ExecutionSpec(concurrency=2)
    gate = open_gate(500, 2)
    stream = fan_out(gate, Build("echo", 500, execution), execution)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert gate.reason == "interrupted"
    assert gate.snapshot().finished < 500


def test_an_error_among_the_trials_ends_the_sweep() -> None:
    def broken() -> Iterator[Trial]:
        yield from trials([cell(model(context_window=1000))], ["q0"])
        raise ValueError("a plan that breaks")

    chosen = [cell(model(context_window=1000))]
    gate = Gate(
        broken(),
        chosen,
        budget=Budget(BudgetSpec()),
        reservations=MemoryLedger(),
        concurrency=2,
    )
    execution = ExecutionSpec(concurrency=2)
    with pytest.raises(WorkersFailed, match="a plan that breaks"):
        list(fan_out(gate, Build("echo", 1, execution), execution))


def test_only_who_has_the_key_gets_in() -> None:
    gate = open_gate(1, 1)
    with ServedGate(gate, gate.lose, "127.0.0.1") as served:
        from dataclasses import replace
        from multiprocessing import AuthenticationError

        with pytest.raises(AuthenticationError):
            RemoteGate(replace(served.address, key=b"guessed"))
        door = RemoteGate(served.address)
        ticket = door.next_trial("")
        assert ticket is not None
        assert ticket.trial.query_id == "q0"
        door.close()


def test_trials_of_a_closed_connection_are_handed_to_others() -> None:
    gate = open_gate(1, 2)
    with ServedGate(gate, gate.lose, "127.0.0.1") as served:
        first = RemoteGate(served.address)
        ticket = first.next_trial("")
        assert ticket is not None
        first.close()
        assert eventually(lambda: gate.snapshot().held == 0)
        again = RemoteGate(served.address).next_trial("")
        assert again is not None
        assert again.trial == ticket.trial
        assert again.carried.losses == 1


def test_a_worker_that_died_in_the_queue_cannot_lose_a_trial() -> None:
    gate = open_gate(1, 2)
    with ServedGate(gate, gate.lose, "127.0.0.1") as served:
        first = RemoteGate(served.address)
        assert first.next_trial("") is not None
        queued = [RemoteGate(served.address) for _ in range(3)]
        for door in queued:
            door._connection.send(("next_trial", ("",), {}))
        assert eventually(lambda: len(gate._idle) == 3)
        for door in queued:
            door.close()
        first.close()
        assert eventually(lambda: not gate._idle)
        again = RemoteGate(served.address).next_trial("")
        assert again is not None
        assert again.carried.losses == 1


@pytest.fixture
def dask_cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers, each a process of its own."""
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    options = ["--no-dashboard", "--scheduler-file", str(file)]
    env = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONWARNINGS": "ignore"}

    def start(*command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + command[0], *command[1:], *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=env,
            cwd=tmp_path,
        )

    processes = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0")]
    assert eventually(file.exists, seconds=60)
    for _ in range(2):
        processes.append(start("dask_worker", "--no-nanny", "--nthreads", "1"))
    import json

    yield json.loads(file.read_text())["address"], processes
    for process in processes:
        process.kill()
        process.wait()


def kill_later(process: subprocess.Popen[bytes], when: Callable[[], bool]) -> threading.Thread:
    def kill() -> None:
        if eventually(when, seconds=60):
            os.kill(process.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_dask_cluster_answers_and_bears_the_death_of_a_worker(
    dask_cluster: tuple[str, list[subprocess.Popen[bytes]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, processes = dask_cluster
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    execution = ExecutionSpec(backend="dask", concurrency=4, settings={"address": address})
    gate = open_gate(60, 4)
    found: dict[str, Outcome] = {}
    killing = kill_later(processes[1], lambda: len(found) >= 10)
    for outcome in fan_out(gate, Build("takes_a_moment", 60, execution), execution):
        assert outcome.trial.key not in found
        found[outcome.trial.key] = outcome
    killing.join()
    assert len(found) == 60
    assert all(outcome.succeeded for outcome in found.values())
    assert sum(outcome.wasted_usd > 0 for outcome in found.values()) <= 4
