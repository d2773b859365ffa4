"""Where a trial's CPU goes: which room of this package, which library, in which process.

A small and a large sweep against the loopback Bedrock server, which answers at once, in the program
as users run it. yappi counts the CPU time of every Python function, with the C code it calls, in
every thread. What the large sweep takes more, over the trials that it has more, is what a trial
costs: start and end drop out. The profiler makes functions that call much look dearer, so read
shares and not milliseconds.

    python benchmarks/where_time_goes.py [--trials 100 1100]
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from end_to_end import lay_sweep
from watching import HERE, measured

sys.path.insert(0, str(HERE.parent / "tests"))
from loopback.fixture import LoopbackBedrock

#: Python runs this by itself at the start of every process that finds it on its path.
_WATCHER = """\
import atexit, json, os, sys
import yappi

def tell():
    yappi.stop()
    rows = [(one.module, one.name, one.tsub) for one in yappi.get_func_stats()]
    name = "recorder" if any("finrag_eval.behind" in word for word in sys.orig_argv) else "first"
    with open(os.path.join(os.environ["WATCHED"], name + ".json"), "w") as file:
        json.dump(rows, file)

yappi.set_clock_type("cpu")
yappi.start(builtins=False)
atexit.register(tell)
"""
_LIBRARY = re.compile(r"lib/python3\.\d+/(?:site-packages/)?(?P<name>[A-Za-z0-9_]+)")
#: Shares below this are added up in one line.
_SMALL = 0.015

Parts = Counter[tuple[str, str]]


def watched(folder: Path, server: LoopbackBedrock, trials: int) -> Parts:
    """Seconds of CPU by process and part of the program, in a sweep of so many trials."""
    lay_sweep(folder, workers=16, trials=trials)
    (folder / "sitecustomize.py").write_text(_WATCHER)
    env = {**server.env, "PYTHONPATH": str(folder), "WATCHED": str(folder)}
    env["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    if measured(folder, "run", "speed.yaml", "--quiet", env=env, memory=False).exit_code:
        sys.exit((folder / "said.txt").read_text())
    parts: Parts = Counter()
    for process in ("first", "recorder"):
        for module, name, seconds in json.loads((folder / f"{process}.json").read_text()):
            parts[process, part_of(module, name)] += seconds
    return parts


def part_of(module: str, name: str) -> str:
    """A room of this package, or a library; code made at run time goes by its function's name."""
    if "/finrag_eval/" in module:
        room = module.rpartition("/finrag_eval/")[2].split("/")
        return f"finrag_eval/{'/'.join(room[:2] if len(room) > 2 else room[:1])}"
    if found := _LIBRARY.search(module):
        return found["name"]
    return f"generated: {name}"


def table(parts: Parts, trials: int) -> list[str]:
    """Lines of the table: each process, the largest shares first."""
    lines = ["| process | part | share | CPU ms a trial |", "|---|---|---|---|"]
    for process in ("first", "recorder"):
        own = {
            part: max(0.0, seconds) for (name, part), seconds in parts.items() if name == process
        }
        total = sum(own.values())
        large = {part: one for part, one in own.items() if one >= _SMALL * total}
        shown = sorted(large.items(), key=lambda item: -item[1])
        shown.append(("all others", total - sum(large.values())))
        lines += [
            f"| {process} | {part} | {seconds / total:.1%} | {seconds / trials * 1000:.2f} |"
            for part, seconds in shown
        ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs=2, default=[100, 1_100])
    options = parser.parse_args()
    small, large = options.trials
    root, server = Path(tempfile.mkdtemp(prefix="profile-")), LoopbackBedrock()
    try:
        server.programme(latency_s=0.0, output_tokens=300)
        parts = watched(root / "large", server, large)
        parts.subtract(watched(root / "small", server, small))
        print("\n".join(table(parts, large - small)))
    finally:
        server.stop()
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
