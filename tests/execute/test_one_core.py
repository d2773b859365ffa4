"""Threads that wait for calls are on one core, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from finrag_eval.execute.one_core import on_one_core

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="needs Linux and two cores",
)

#: Sweeps that other tests run at the same time claim cores, too.
_CLAIM = f"test {os.getpid()} core"
_HOLDS_ITS_CORE = """
import os, sys
from finrag_eval.execute.one_core import on_one_core
claim, *cores = sys.argv[1:]
os.sched_setaffinity(0, map(int, cores))
with on_one_core(claim) as core:
    print(core, flush=True)
    sys.stdin.read()
"""


def cores_of_threads() -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for thread in Path("/proc/self/task").iterdir():
        try:
            found[int(thread.name)] = os.sched_getaffinity(int(thread.name))
        except ProcessLookupError:
            continue
    return found


def test_threads_before_and_after_are_on_one_core_until_it_is_over() -> None:
    before = os.sched_getaffinity(0)
    over, told = threading.Event(), threading.Event()

    def stay() -> None:
        told.set()
        over.wait(20.0)

    earlier = threading.Thread(target=stay, daemon=True)
    earlier.start()
    assert told.wait(20.0)
    with on_one_core(_CLAIM) as core:
        assert core is not None
        told.clear()
        later = threading.Thread(target=stay, daemon=True)
        later.start()
        assert told.wait(20.0)
        on = cores_of_threads()
        assert {earlier.native_id, later.native_id, threading.get_native_id()} <= on.keys()
        assert all(cores == {core} for cores in on.values())
    on = cores_of_threads()
    assert all(on[thread.native_id or 0] == before for thread in (earlier, later))
    over.set()
    earlier.join()
    later.join()
    assert os.sched_getaffinity(0) == before


def test_sweeps_at_the_same_time_take_different_cores_and_the_last_goes_without() -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    command = [sys.executable, "-c", _HOLDS_ITS_CORE, _CLAIM, *map(str, cores)]
    others = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        said = [other.stdout.readline().strip() for other in others if other.stdout is not None]
        assert sorted(said) == sorted([*map(str, cores), "None"])
        holder = others[said.index(str(cores[0]))]
        holder.kill()
        holder.wait()
        again = subprocess.run(command, input="", capture_output=True, text=True, check=True)
        assert again.stdout.strip() == str(cores[0]), "a core is free when its sweep is dead"
    finally:
        for other in others:
            other.kill()
            other.wait()
            for stream in (other.stdin, other.stdout):
                if stream is not None:
                    stream.close()
