"""Trials in, outcomes out as they finish, on joblib's threads, processes or a Dask cluster.

Every worker is a loop that pulls trials from the gate until there are none, so that a worker
which dies or comes late changes nothing but the speed. Threads share one target; a process builds
its own once and runs many threads, since calls wait for the network.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from queue import Empty
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from finrag_eval.domain import ExecutionSpec, Outcome
from finrag_eval.errors import FinragEvalError
from finrag_eval.execute.doorways import GateDoor, Target, Ticket
from finrag_eval.execute.gate import Gate
from finrag_eval.execute.outcomes import Timing, failed, failure_of
from finrag_eval.execute.remote_gate import GateAddress, RemoteGate, ServedGate

#: How often a broken pool of processes is made anew.
_POOLS_AT_MOST = 10
_LOOPBACK = "127.0.0.1"


class WorkersFailed(FinragEvalError):
    """Workers could not be started, or died again and again."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the workers failed: {reason}; every answer before this is recorded, and "
            "`finrag-eval resume` goes on"
        )


def fan_out(
    gate: Gate,
    build_target: Callable[[], Target],
    execution: ExecutionSpec,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[Outcome]:
    """Outcomes as they finish, until the gate has no more trials.

    Who asks for the next one has the last one safe: calls in flight, and answers that are not safe
    yet, are never more than ``execution.concurrency``. After ``gate.stop()`` calls in flight
    are awaited for ``grace_s``; what is in flight then is counted at its worst case. Ctrl-C in the
    middle is such a stop, the second time at once. ``build_target`` is called here for threads,
    and once in every process (it has to pickle); ``meanwhile`` is called once, where the first
    answers take their time. Raises what made the gate fail, when every outcome before it was
    yielded.
    """
    crew = _crew_of(gate, build_target, execution)
    yield from run_crew(gate, crew, execution.grace_s, meanwhile)


def run_crew(
    gate: Gate,
    run: Callable[[], None],
    grace_s: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[Outcome]:
    """Outcomes as ``run`` delivers them, in a thread of its own, until it ends; see ``fan_out``."""
    crew = Thread(target=_run_crew, args=(gate, run), name="finrag-eval-crew", daemon=True)
    crew.start()
    try:
        yield from _outcomes(gate, grace_s, meanwhile)
    finally:
        gate.stop("interrupted")
        gate.close()
    if gate.cause is not None:
        raise gate.cause
    if gate.error is not None:
        raise WorkersFailed(gate.error)


def _outcomes(gate: Gate, grace_s: float, meanwhile: Callable[[], None]) -> Iterator[Outcome]:
    stream = gate.outcomes()
    todo: Callable[[], None] | None = meanwhile
    is_idle = False
    over_since: float | None = None
    while True:
        try:
            if is_idle and todo is not None:
                once, todo = todo, None
                once()
            outcome = stream.get(timeout=0.2)
        except Empty:
            is_idle = True
            over_since = over_since or (time.monotonic() if gate.is_over else None)
            if over_since is not None and time.monotonic() - over_since > grace_s:
                gate.close()
            continue
        except KeyboardInterrupt:
            if gate.is_over:
                raise
            gate.stop("interrupted")
            continue
        if outcome is None:
            return
        yield outcome
        gate.taken()


def work(gate: GateDoor, target: Target, worker: str) -> None:
    """Answer trials until there are none. A target that raises fails that trial alone."""
    while (ticket := gate.next_trial(worker)) is not None:
        try:
            target.answer(ticket, gate)
        except Exception as error:
            gate.deliver(ticket.number, _broken(ticket, error))


def _broken(ticket: Ticket, error: Exception) -> Outcome:
    now = time.time()
    failure = failure_of(error, "initialization")
    timing = Timing(started_at=now, ended_at=now)
    return failed(ticket.trial, "", failure, ticket.carried, timing)


def _run_crew(gate: Gate, run: Callable[[], None]) -> None:
    try:
        run()
    except Exception as error:
        gate.fail(f"{type(error).__name__}: {error}")
    finally:
        gate.close()


def _crew_of(
    gate: Gate, build_target: Callable[[], Target], execution: ExecutionSpec
) -> Callable[[], None]:
    if execution.backend == "threading":
        target = build_target()
        return lambda: _run_threads(gate, target, gate.workers)
    if execution.backend == "loky":
        return lambda: _run_processes(gate, build_target, execution.concurrency)
    address = execution.settings.get("address")
    return lambda: _run_on_dask(
        gate, build_target, execution.concurrency, None if address is None else str(address)
    )


def _run_threads(gate: GateDoor, target: Target, workers: int) -> None:
    from joblib import Parallel, delayed

    tasks = (delayed(work)(gate, target, f"thread-{number}") for number in range(workers))
    Parallel(n_jobs=workers, backend="threading", batch_size=1, pre_dispatch="all")(tasks)


def _run_processes(gate: Gate, build_target: Callable[[], Target], concurrency: int) -> None:
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    shares = _shares(concurrency, min(concurrency, os.cpu_count() or 1))
    # One job would be run by joblib in this very process.
    jobs = max(2, len(shares))
    with ServedGate(gate, gate.lose, _LOOPBACK) as served:
        for _ in range(_POOLS_AT_MOST):
            tasks = [delayed(_run_remote)(served.address, build_target, each) for each in shares]
            try:
                Parallel(n_jobs=jobs, backend="loky", batch_size=1, pre_dispatch="all")(tasks)
                break
            except BrokenProcessPool:
                gate.notice("a worker process died; starting the pool anew")
        else:
            gate.fail(f"worker processes died {_POOLS_AT_MOST} times")
        get_reusable_executor().shutdown(wait=False, kill_workers=True)


def _run_on_dask(
    gate: Gate, build_target: Callable[[], Target], concurrency: int, address: str | None
) -> None:
    from distributed import Client
    from joblib import Parallel, delayed, parallel_config

    with Client(address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
        host = _host_towards(client.scheduler.address)
        shares = _shares(concurrency, min(concurrency, workers))
        with (
            ServedGate(gate, gate.lose, host) as served,
            parallel_config(backend="dask", client=client),
        ):
            tasks = [delayed(_run_remote)(served.address, build_target, each) for each in shares]
            Parallel(n_jobs=-1, batch_size=1, pre_dispatch="all")(tasks)


def _run_remote(address: GateAddress, build_target: Callable[[], Target], threads: int) -> None:
    """One process's part: its own target, and ``threads`` workers that share it."""
    door = RemoteGate(address)
    try:
        target = build_target()
    except Exception as error:
        door.fail(f"{type(error).__name__}: {error}")
        return
    finally:
        door.close()
    crew = [
        Thread(target=_work_remotely, args=(address, target), daemon=True) for _ in range(threads)
    ]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()


def _work_remotely(address: GateAddress, target: Target) -> None:
    try:
        with closing(RemoteGate(address)) as gate:
            work(gate, target, "")
    except (EOFError, OSError):
        # The driver is gone: what is in flight is its next session's to count.
        return


def _shares(concurrency: int, parts: int) -> list[int]:
    """Concurrency divided into parts that differ by one at most."""
    return [concurrency // parts + (part < concurrency % parts) for part in range(parts)]


def _host_towards(scheduler_address: str) -> str:
    """This machine's own address, as seen from the scheduler's network."""
    target: Any = urlsplit(scheduler_address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((target.hostname or _LOOPBACK, target.port or 9))
        return str(probe.getsockname()[0])
