"""How soon the program is there: help, the check of a sweep of 1,000 questions, the first call.

Each command is a fresh process; the first call is timed from the start of the process to the
arrival at the loopback Bedrock server, on a store that is there already, and on none (then MLflow
makes its tables first, beside the calls).

    python benchmarks/startup.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from end_to_end import ML_CONFIG
from watching import HERE

sys.path.insert(0, str(HERE.parent / "tests"))
from loopback.fixture import LoopbackBedrock


def lay(folder: Path, questions: int) -> None:
    """A folder with a sweep of two cells and so many questions."""
    (folder / "ml_config.yaml").write_text(ML_CONFIG)
    with (folder / "questions.jsonl").open("w") as lines:
        for number in range(questions):
            row = {"id": f"q{number}", "query": f"What was Apple's revenue in 2020? ({number})"}
            lines.write(json.dumps(row) + "\n")
    spec = {
        "name": "startup",
        "experiment": "Startup",
        "models": ["loop"],
        "prompts": [{"system": "v1", "query": "v1"}, {"system": "v2", "query": "v1"}],
        "query_set": {"path": "questions.jsonl"},
        "execution": {"concurrency": 4},
    }
    (folder / "sweep.yaml").write_text(json.dumps(spec))


class Starts:
    """The commands, each run afresh in one folder."""

    def __init__(self, folder: Path, server: LoopbackBedrock) -> None:
        self._folder, self._server = folder, server
        self._env = {**os.environ, **server.env, "MLFLOW_TRACKING_URI": "sqlite:///store.db"}

    def help(self) -> float:
        return self._timed("--help")

    def validate(self) -> float:
        return self._timed("validate", "sweep.yaml")

    def first_call(self) -> float:
        """Seconds to the first call; the store is the one that the last round left."""
        self._server.programme()
        began = time.time()
        self._timed("run", "sweep.yaml", "--fresh", "--quiet", "--limit", "8")
        return min(entry["at"] for entry in self._server.ledger()) - began

    def first_call_on_no_store(self) -> float:
        (self._folder / "store.db").unlink(missing_ok=True)
        return self.first_call()

    def _timed(self, *arguments: str) -> float:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "finrag_eval", *arguments],
            cwd=self._folder,
            env=self._env,
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder, server = Path(tempfile.mkdtemp(prefix="startup-")), LoopbackBedrock()
    lay(folder, 1_000)
    starts = Starts(folder, server)
    timed: tuple[tuple[str, Callable[[], float]], ...] = (
        ("finrag-eval --help", starts.help),
        ("validate, 1,000 questions", starts.validate),
        ("first call, no store yet", starts.first_call_on_no_store),
        ("first call, existing store", starts.first_call),
    )
    try:
        print(f"| {options.rounds} fresh processes each | median s | lowest–highest |")
        print("|---|---|---|")
        for label, run in timed:
            seconds = sorted(run() for _ in range(options.rounds))
            middle = statistics.median(seconds)
            print(f"| {label} | {middle:.2f} | {seconds[0]:.2f}–{seconds[-1]:.2f} |", flush=True)
    finally:
        server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
