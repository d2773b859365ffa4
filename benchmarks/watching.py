"""A command of the program, watched from outside: wall time, CPU and memory of all its processes.

Memory is the sum of the processes' proportional set sizes, sampled from /proc: their resident
memory, a page that several share counted once. CPU is what the kernel counted for the whole tree;
that of the first process alone is its last sample.

Asking the kernel for the memory of a process of 200 MB takes 7 ms of a core (2026-11-29): where
time is what counts, it is not asked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent.absolute()
#: Programs keep their bytecode, as they do where users have them installed.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_S = 0.1


@dataclass(slots=True)
class Used:
    """What one command used; ``mb`` is the largest sum of all its processes at one time."""

    began_at: float = field(default_factory=time.time)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    mb: float = 0.0
    mb_first: float = 0.0
    mb_others: float = 0.0
    cpu_first_s: float = 0.0
    exit_code: int = -1
    course: list[tuple[float, float, float]] = field(default_factory=list)
    cpu_course: list[tuple[float, float]] = field(default_factory=list)

    def cpu_first_until(self, at: float) -> float:
        """Seconds of CPU that the first process had used at a time (seconds since 1970)."""
        return next((cpu for seen_at, cpu in self.cpu_course if seen_at >= at), self.cpu_first_s)


def measured(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None, memory: bool = True
) -> Used:
    """Run ``finrag-eval`` in a folder, and watch it and its children; output goes to said.txt.

    Without ``memory`` only time is watched, and the watching takes next to none.
    """
    path = os.pathsep.join((str(HERE), str(HERE.parent)))  # the code beside it, not one installed
    environment = {**os.environ, "PYTHONPATH": path, **(env or {})}
    began = time.perf_counter()
    with (folder / "said.txt").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "finrag_eval", *arguments],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=said,
        )
        used = Used()
        is_over = threading.Event()
        watched = (process.pid, used, is_over, began, memory)
        watcher = threading.Thread(target=_watch, args=watched)
        watcher.start()
        _, status, resources = os.wait4(process.pid, 0)
        used.wall_s = time.perf_counter() - began
        is_over.set()
        watcher.join()
    process.returncode = used.exit_code = os.waitstatus_to_exitcode(status)
    used.cpu_s = resources.ru_utime + resources.ru_stime
    return used


def _watch(pid: int, used: Used, is_over: threading.Event, began: float, memory: bool) -> None:
    noted = 0.0
    while not is_over.wait(_SAMPLE_S):
        used.cpu_first_s = max(used.cpu_first_s, _cpu_s(pid))
        used.cpu_course.append((time.time(), used.cpu_first_s))
        if not memory:
            continue
        first = _memory_mb(pid)
        others = sum(_memory_mb(child) for child in _children(pid))
        used.mb = max(used.mb, first + others)
        used.mb_first, used.mb_others = max(used.mb_first, first), max(used.mb_others, others)
        if (now := time.perf_counter() - began) >= noted:
            used.course.append((round(now, 1), round(first), round(others)))
            noted = now + 1


def _children(pid: int) -> list[int]:
    try:
        direct = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return direct + [each for child in direct for each in _children(child)]


def _memory_mb(pid: int) -> float:
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in told.splitlines() if line.startswith("Pss:")) / 1024


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, IndexError):
        return 0.0
