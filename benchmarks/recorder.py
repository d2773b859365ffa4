"""From the ledger into the store: CPU and memory of the whole recorder, trial by trial.

For each lane and artifact policy, a ledger of N trials (25 KB of context and answer each) is
recorded by a real recorder process into a fresh SQLite store: reading, unpacking, cleaning,
writing, the sweep's own run. Prints CPU ms a trial less start-up (that of an empty sweep), wall
ms, and the process's peak memory; medians over the rounds.

    python benchmarks/recorder.py [--trials 2000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lanes import form, made_up_trial

from finrag_eval.domain import Outcome, QuerySet, Trial, Usage
from finrag_eval.record.ledger import Ledger
from finrag_eval.record.store import open_store

WAYS = (("bulk", "none"), ("bulk", "all"), ("public", "none"), ("public", "all"))


def make_sweep(folder: Path, trials: int, spec: dict[str, Any]) -> None:
    """A ledger with so many answered and scored trials of one cell."""
    rng = random.Random(11)
    cell = form().cell
    made = [made_up_trial(number, rng) for number in range(1, trials + 1)]
    queries = tuple({query.id: query for _, query, _ in made}.values())
    with Ledger.create(folder, sweep_id="bench", name="bench") as ledger:
        ledger.begin_session(spec, {})
        ledger.store_plan(
            cells=[cell],
            query_set=QuerySet(queries=queries, digest="d", source="bench.jsonl"),
            trials=[record.trial for record, _, _ in made],
        )
        for record, _, result in made:
            ledger.append_outcome(
                _outcome(record.trial, result, record.started_at),
                lambda outcome, scores=record.scores: ledger.append_scores(outcome, scores),
            )
        ledger.flush()
        ledger.flush()
        ledger.end_session("completed", 0)


def _outcome(trial: Trial, result: dict[str, Any], started_at: float) -> Outcome:
    return Outcome(
        trial=trial,
        result=result,
        started_at=started_at,
        ended_at=started_at + 4.2,
        usage=Usage(input_tokens=5123, output_tokens=412),
        latency_total_seconds=4.2,
    )


def record(folder: Path, uri: str) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak MB of a recorder that records all of it."""
    commands = [{"command": "start", "uri": uri}, {"command": "finish", "status": "completed"}]
    told = "".join(json.dumps(command) + "\n" for command in commands)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "finrag_eval.record.recorder", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(told)
    process.stdin.close()
    events = [json.loads(line) for line in process.stdout]
    process.stdout.close()
    _, _, used = os.wait4(process.pid, 0)
    assert any(event["event"] == "finished" and event["level"] for event in events), events
    return used.ru_utime + used.ru_stime, time.perf_counter() - began, _megabytes(used)


def _megabytes(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="recorder-"))
    try:
        template = root / "template.db"
        open_store(f"sqlite:///{template}", "bench", own_process=True).engine.dispose()
        rows = _measure(root, template, options.trials, options.rounds)
    finally:
        shutil.rmtree(root)
    print(f"{options.trials} trials, {options.rounds} rounds, CPU without start-up")
    print("| lane | artifacts | CPU ms a trial | lowest–highest | wall ms a trial | peak MB |")
    print("|---|---|---|---|---|---|")
    for (lane, artifacts), (cpu, wall, memory) in rows.items():
        print(
            f"| {lane} | {artifacts} | {statistics.median(cpu):.2f} | {min(cpu):.2f}–{max(cpu):.2f}"
            f" | {statistics.median(wall):.2f} | {max(memory):.0f} |"
        )


def _measure(
    root: Path, template: Path, trials: int, rounds: int
) -> dict[tuple[str, str], tuple[list[float], list[float], list[float]]]:
    rows: dict[tuple[str, str], tuple[list[float], list[float], list[float]]] = {
        way: ([], [], []) for way in WAYS
    }
    for turn in range(rounds):
        for way in WAYS if turn % 2 else reversed(WAYS):
            lane, artifacts = way
            number = trials if lane == "bulk" else max(100, trials // 10)
            spec = {"experiment": "bench", "tracking": {"lane": lane, "artifacts": artifacts}}
            figures = []
            for count in (1, number):
                folder = root / f"{turn}-{lane}-{artifacts}-{count}"
                make_sweep(folder / "sweep", count, spec)
                shutil.copy(template, folder / "mlflow.db")
                figures.append(record(folder / "sweep", f"sqlite:///{folder / 'mlflow.db'}"))
                shutil.rmtree(folder)
            (cpu_before, wall_before, _), (cpu, wall, memory) = figures
            rows[way][0].append((cpu - cpu_before) * 1000 / (number - 1))
            rows[way][1].append((wall - wall_before) * 1000 / (number - 1))
            rows[way][2].append(memory)
    return rows


if __name__ == "__main__":
    main()
