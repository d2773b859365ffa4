"""A whole sweep against the ideal: N trials of L seconds each at concurrency C, all recorded.

The program as users run it (its own process, unmodified boto3, SQLite store, every artifact)
against the loopback Bedrock server, which answers after L seconds. ``answering`` is the time from
the first call to the last answer, ``whole`` from the start of the process to its end; both are set
against the ideal N x L / C. CPU is told by process; ``own`` is the first process less its start
and end (a sweep of 16 trials) and less what boto3 takes for the same calls without a harness.

    python benchmarks/end_to_end.py [--rounds 5] [--only 0.5:16 ...]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from watching import HERE, measured

sys.path.insert(0, str(HERE.parent / "tests"))
from loopback.fixture import LoopbackBedrock

#: Seconds of latency, concurrency, trials.
COURSES = (
    (0.0, 16, 1_000),
    (0.0, 64, 1_000),
    (0.05, 16, 1_000),
    (0.05, 64, 1_000),
    (0.5, 16, 1_000),
    (0.5, 64, 1_000),
    (5.0, 32, 320),
)
SMALL = 16

ML_CONFIG = """\
serving_models:
  default_serving_model: loop
  loop: {provider: bedrock, model_id: loop.model-v1, max_tokens: 600,
         cost_per_1k_input: 0.001, cost_per_1k_output: 0.005}
"""


@dataclass(frozen=True, slots=True)
class Round:
    """One sweep: seconds, and milliseconds of CPU a trial."""

    answering_s: float
    whole_s: float
    cpu_first_s: float
    cpu_others_s: float


def lay_sweep(folder: Path, *, workers: int, trials: int) -> None:
    """A folder with ``speed.yaml``: two cells and as many questions as make so many trials."""
    folder.mkdir(exist_ok=True)
    (folder / "ml_config.yaml").write_text(ML_CONFIG)
    with (folder / "questions.jsonl").open("w") as lines:
        for number in range(trials // 2):
            row = {
                "id": f"q{number:05d}",
                "query": f"What was NVIDIA's revenue in 2020? ({number})",
            }
            lines.write(json.dumps(row | {"expected_value": 10_918_000_000}) + "\n")
    spec = {
        "name": "speed",
        "experiment": "Speed",
        "models": ["loop"],
        "prompts": [{"system": "v1", "query": "v1"}, {"system": "v2", "query": "v1"}],
        "query_set": {"path": "questions.jsonl"},
        "scorers": ["numeric", "citation", "refusal"],
        "execution": {"concurrency": workers},
    }
    (folder / "speed.yaml").write_text(json.dumps(spec))


def sweep_round(root: Path, server: LoopbackBedrock, latency: float, workers: int, n: int) -> Round:
    """Run one sweep of n trials on a store that is there already."""
    folder = root / f"{time.monotonic_ns()}"
    lay_sweep(folder, workers=workers, trials=n)
    server.programme(latency_s=latency, output_tokens=300)
    env = {**server.env, "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db"}
    used = measured(folder, "run", "speed.yaml", "--quiet", env=env)
    if used.exit_code:
        sys.exit((folder / "said.txt").read_text())
    (trials,) = folder.glob("sweep_results/*/trials.parquet")
    ended = pd.to_datetime(pd.read_parquet(trials)["ended_at"]).max().timestamp()
    first = min(entry["at"] for entry in server.ledger())
    shutil.rmtree(folder)
    return Round(ended - first, used.wall_s, used.cpu_first_s, used.cpu_s - used.cpu_first_s)


def boto3_cpu_ms(server: LoopbackBedrock, calls: int = 1_000, workers: int = 16) -> float:
    """Milliseconds of CPU that boto3 takes for one such call, with no harness around it."""
    import os

    import boto3
    from botocore.config import Config

    os.environ.update(server.env)
    server.programme(latency_s=0.0, output_tokens=300)
    settings = Config(max_pool_connections=workers, retries={"total_max_attempts": 1})
    client = boto3.client("bedrock-runtime", config=settings)

    def call(number: int) -> None:
        client.converse(
            modelId="loop.model-v1",
            system=[{"text": "s" * 1_500}],
            messages=[{"role": "user", "content": [{"text": f"{number} " + "x" * 5_000}]}],
            inferenceConfig={"maxTokens": 600, "temperature": 0.1},
            requestMetadata={"sweep_id": "s", "trial_key": str(number), "attempt": "1"},
        )

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(call, range(64)))
        before = time.process_time()
        list(pool.map(call, range(calls)))
    return (time.process_time() - before) / calls * 1000


def rows(root: Path, server: LoopbackBedrock, rounds: int, only: list[str]) -> Iterator[str]:
    """The table's lines, one a course."""
    boto3_ms = statistics.median(boto3_cpu_ms(server) for _ in range(3))
    yield f"boto3 alone: {boto3_ms:.2f} ms of CPU a call"
    sweep_round(root, server, 0.0, 16, SMALL)
    small = [sweep_round(root, server, 0.0, 16, SMALL) for _ in range(min(3, rounds))]
    start_first = statistics.median(one.cpu_first_s for one in small)
    start_others = statistics.median(one.cpu_others_s for one in small)
    yield (
        f"a sweep of {SMALL} trials: {statistics.median(one.whole_s for one in small):.1f} s; "
        f"CPU {start_first:.1f} s first process, {start_others:.1f} s recorder"
    )
    yield (
        "| L s | C | trials | ideal s | answering / ideal | whole / ideal | whole s "
        "| first ms | own ms | recorder ms |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for latency, workers, trials in COURSES:
        if only and f"{latency:g}:{workers}" not in only:
            continue
        made = [sweep_round(root, server, latency, workers, trials) for _ in range(rounds)]
        ideal = trials * latency / workers
        first = statistics.median(one.cpu_first_s - start_first for one in made) / trials * 1000
        others = statistics.median(one.cpu_others_s - start_others for one in made) / trials * 1000
        yield (
            f"| {latency:g} | {workers} | {trials} | {ideal:.1f} "
            f"| {_ratio([one.answering_s for one in made], ideal)} "
            f"| {_ratio([one.whole_s for one in made], ideal)} "
            f"| {statistics.median(one.whole_s for one in made):.1f} "
            f"| {first:.2f} | {first - boto3_ms:.2f} | {others:.2f} |"
        )


def _ratio(seconds: list[float], ideal: float) -> str:
    if not ideal:
        return f"{statistics.median(seconds):.1f} s"
    ratios = sorted(one / ideal for one in seconds)
    return f"{statistics.median(ratios):.3f} ({ratios[0]:.3f}–{ratios[-1]:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[], help="courses, as LATENCY:CONCURRENCY")
    options = parser.parse_args()
    root, server = Path(tempfile.mkdtemp(prefix="speed-")), LoopbackBedrock()
    try:
        for row in rows(root, server, options.rounds, options.only):
            print(row, flush=True)
    finally:
        server.stop()
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
