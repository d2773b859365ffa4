"""Sweeps of 1,000, 10,000 and 100,000 trials: time, CPU, memory, and how they grow.

Ten cells (five models x two prompts) against a target that answers at once, recorded in the bulk
lane in SQLite, by the program as users run it: one process for calls and statistics, one for
recording. With ``--after``, the commands for a sweep that is there already.

    python benchmarks/scale.py [--trials 1000 10000 100000] [--artifacts sample:1000] [--after]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from watching import measured

CELLS = 10

ML_CONFIG = """\
serving_models:
  default_serving_model: model_1
""" + "".join(
    f"  model_{number}:\n    model_id: made.up-{number}\n    max_tokens: 500\n"
    f"    temperature: 0.1\n"
    f"    cost_per_1k_input: 0.00{number}\n    cost_per_1k_output: 0.0{number}\n"
    for number in range(1, 6)
)

SWEEP = """\
name: scale
experiment: Scale
models: [model_1, model_2, model_3, model_4, model_5]
prompts: [{system: v1, query: v1}, {system: v2, query: v1}]
query_set: queries.jsonl
scorers: [numeric, citation]
target: scale_target:answer
execution: {concurrency: 16}
tracking: {lane: bulk, artifacts: "ARTIFACTS"}
baseline: {model: model_1, system: v1, query: v1}
gate: {score.numeric: {min_delta: -0.5}}
"""


def make_sweep(folder: Path, trials: int, artifacts: str) -> None:
    """A folder with everything that a sweep of so many trials is made from."""
    folder.mkdir(parents=True)
    (folder / "ml_config.yaml").write_text(ML_CONFIG)
    (folder / "sweep.yaml").write_text(SWEEP.replace("ARTIFACTS", artifacts))
    with (folder / "queries.jsonl").open("w") as lines:
        for number in range(trials // CELLS):
            figure = 1_000 + number
            query = {
                "id": f"q{number:06d}",
                "query": f"What was the revenue of segment {number % 97}, in million {figure}?",
                "expected_value": figure * 1_000_000,
                "tickers": [f"T{number % 30}"],
                "years": [2010 + number % 12],
                "cluster": f"filing-{number % 400}",
                "difficulty": ("easy", "medium", "hard")[number % 3],
            }
            lines.write(json.dumps(query) + "\n")


def phases(folder: Path, began_at: float, ended_at: float) -> dict[str, Any]:
    """Seconds of each part of the sweep, as its ledger tells, and the sizes of its files."""
    (sweep,) = (folder / "sweep_results").glob("*-scale-*")
    with closing(sqlite3.connect(f"file:{sweep}/ledger.sqlite?mode=ro", uri=True)) as ledger:
        first, last = ledger.execute(
            "SELECT min(reserved_at), max(settled_at) FROM attempts"
        ).fetchone()
    sizes = {
        name: (sweep / name).stat().st_size / 1024**2
        for name in ("ledger.sqlite", "trials.parquet", "trials.csv", "report.html")
    }
    store = (folder / "mlflow.db").stat().st_size / 1024**2
    return {
        "to the first call": first - began_at,
        "answering": last - first,
        "after the last answer": ended_at - last,
        "MB": {**sizes, "mlflow.db": store},
    }


def recorded(folder: Path) -> int:
    """How many trials MLflow's store has."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        (count,) = store.execute(
            "SELECT count(*) FROM tags WHERE key = 'finrag_eval.kind' AND value = 'trial'"
        ).fetchone()
    return int(count)


AFTER = (
    ("summary", "latest"),
    ("sweeps",),
    ("compare", "--sweep", "latest", "--baseline", "model_1.v1-v1", "--candidate", "model_2.v1-v1"),
    ("resume", "latest"),
    ("sync", "latest"),
    ("score", "latest"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--artifacts", nargs="+", default=["none"])
    parser.add_argument("--after", action="store_true", help="the other commands, too")
    parser.add_argument("--course", action="store_true", help="memory second by second")
    parser.add_argument("--keep", type=Path, help="where the folders stay")
    options = parser.parse_args()
    root = options.keep or Path(tempfile.mkdtemp(prefix="scale-"))
    try:
        for artifacts in options.artifacts:
            for trials in options.trials:
                _one(root, trials, artifacts, options)
    finally:
        if options.keep is None:
            shutil.rmtree(root)


def _one(root: Path, trials: int, artifacts: str, options: argparse.Namespace) -> None:
    folder = root / f"{trials}-{artifacts.replace(':', '-')}"
    make_sweep(folder, trials, artifacts)
    used = measured(folder, "run", "sweep.yaml", "--config", "ml_config.yaml", "--quiet")
    if used.exit_code:
        sys.exit((folder / "said.txt").read_text())
    parts, held = phases(folder, used.began_at, used.began_at + used.wall_s), recorded(folder)
    assert held == trials, f"MLflow has {held} of {trials} trials"
    print(
        f"run, {trials:,} trials, artifacts {artifacts}: wall {used.wall_s:.1f} s, CPU "
        f"{used.cpu_s:.1f} s (first process {used.cpu_first_s:.1f}), "
        f"{used.cpu_s / trials * 1000:.2f} ms a trial, peak {used.mb:.0f} MB "
        f"(first {used.mb_first:.0f}, recorder {used.mb_others:.0f})"
    )
    seconds = {name: f"{value:.1f} s" for name, value in parts.items() if name != "MB"}
    print(" ", ", ".join(f"{name} {value}" for name, value in seconds.items()))
    print(" ", ", ".join(f"{name} {value:.1f} MB" for name, value in parts["MB"].items()))
    if options.course:
        print(" ", *used.course)
    for arguments in AFTER if options.after else ():
        used = measured(folder, *arguments)
        print(
            f"{arguments[0]}: wall {used.wall_s:.1f} s, CPU {used.cpu_s:.1f} s, "
            f"peak {used.mb:.0f} MB, exit code {used.exit_code}"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
