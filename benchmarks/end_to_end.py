"""A whole sweep against the ideal: N trials of L seconds each at concurrency C, all recorded.

The program as users run it (its own process, unmodified boto3, SQLite store, every artifact)
against the loopback Bedrock server, which answers after L seconds. ``answering`` is the time from
the first call to the last answer, ``whole`` from the start of the process to its end; both are set
against the ideal N x L / C, and beside them stands what a bare client (boto3 in a pool of threads,
no harness, nothing recorded) takes for the same calls at that moment: on a busy or slow machine it
is above the ideal, too. CPU is told by process, less start and end (a sweep of 16 trials).
``own`` is what the first process takes for one more trial until the last answer (call, check,
score, ledger, progress), less what boto3 takes for such a call without a harness.

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
#: Trials of the two sweeps between which the cost of one more trial is taken.
SIZES = (1_000, 3_000)

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
    cpu_answering_s: float


def lay_sweep(folder: Path, *, workers: int, trials: int, cache: Path | None = None) -> None:
    """A folder with ``speed.yaml``: two cells and as many questions as make so many trials.

    ``cache`` keeps the corpus' index from one sweep to the next, as a user's folder does.
    """
    folder.mkdir(exist_ok=True)
    settings = {"cache_folder": str(cache or folder / "cache")}
    (folder / "ml_config.yaml").write_text(f"{ML_CONFIG}finrag_eval: {json.dumps(settings)}\n")
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


@dataclass(frozen=True, slots=True)
class Bare:
    """Calls without a harness: seconds in all, milliseconds of CPU a call."""

    wall_s: float
    cpu_ms: float


def sweep_round(root: Path, server: LoopbackBedrock, latency: float, workers: int, n: int) -> Round:
    """Run one sweep of n trials on a store and an index that are there already.

    What it leaves stays until the end: ext4 passes over every inode that was deleted in the last
    minutes before it takes one for a new file, so that rounds which clean up slow those after them.
    """
    folder = root / f"{time.monotonic_ns()}"
    lay_sweep(folder, workers=workers, trials=n, cache=root / "cache")
    server.programme(latency_s=latency, output_tokens=300)
    env = {**server.env, "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db"}
    used = measured(folder, "run", "speed.yaml", "--quiet", env=env, memory=False)
    if used.exit_code:
        sys.exit((folder / "said.txt").read_text())
    (trials,) = folder.glob("sweep_results/*/trials.parquet")
    ended = pd.to_datetime(pd.read_parquet(trials)["ended_at"]).max().timestamp()
    first = min(entry["at"] for entry in server.ledger())
    return Round(
        ended - first,
        used.wall_s,
        used.cpu_first_s,
        used.cpu_s - used.cpu_first_s,
        used.cpu_first_until(ended),
    )


def bare_client(server: LoopbackBedrock, latency: float, calls: int, workers: int) -> Bare:
    """The same calls by boto3 in a pool of threads, with no harness around it."""
    import os

    import boto3
    from botocore.config import Config

    os.environ.update(server.env)
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
        server.programme(latency_s=0.0, output_tokens=300)
        list(pool.map(call, range(64)))
        server.programme(latency_s=latency, output_tokens=300)
        cpu, wall = time.process_time(), time.perf_counter()
        list(pool.map(call, range(calls)))
        return Bare(time.perf_counter() - wall, (time.process_time() - cpu) / calls * 1000)


def own_cpu(root: Path, server: LoopbackBedrock, rounds: int) -> str:
    """What one more trial costs the first process until the last answer.

    boto3 is measured before and after in each round: a machine may be half as fast a minute later.
    """
    few, many = SIZES
    costs, boto3_ms = [], []
    for _ in range(rounds):
        before = bare_client(server, 0.0, 1_000, 16).cpu_ms
        small = sweep_round(root, server, 0.0, 16, few).cpu_answering_s
        large = sweep_round(root, server, 0.0, 16, many).cpu_answering_s
        after = bare_client(server, 0.0, 1_000, 16).cpu_ms
        costs.append((large - small) / (many - few) * 1000)
        boto3_ms.append((before + after) / 2)
    own = [cost - boto3 for cost, boto3 in zip(costs, boto3_ms, strict=True)]
    return (
        f"first process until the last answer, from {few:,} to {many:,} trials, ms of CPU a trial: "
        f"{_middle(costs)}; boto3 alone {_middle(boto3_ms)}; own, by round, {_middle(own)}"
    )


def _middle(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def rows(root: Path, server: LoopbackBedrock, rounds: int, only: list[str]) -> Iterator[str]:
    """The table's lines, one a course."""
    sweep_round(root, server, 0.0, 16, SMALL)
    if not only:
        yield own_cpu(root, server, rounds)
    small = [sweep_round(root, server, 0.0, 16, SMALL) for _ in range(min(3, rounds))]
    start_first = statistics.median(one.cpu_first_s for one in small)
    start_others = statistics.median(one.cpu_others_s for one in small)
    yield (
        f"a sweep of {SMALL} trials: {statistics.median(one.whole_s for one in small):.1f} s; "
        f"CPU {start_first:.1f} s first process, {start_others:.1f} s recorder"
    )
    yield (
        "| L s | C | trials | ideal s | bare client / ideal | answering / ideal | whole / ideal "
        "| whole s | first ms | recorder ms |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for latency, workers, trials in COURSES:
        if only and f"{latency:g}:{workers}" not in only:
            continue
        made, bare = [], []
        for _ in range(rounds):
            made.append(sweep_round(root, server, latency, workers, trials))
            bare.append(bare_client(server, latency, trials, workers).wall_s)
        ideal = trials * latency / workers
        first = statistics.median(one.cpu_first_s - start_first for one in made) / trials * 1000
        others = statistics.median(one.cpu_others_s - start_others for one in made) / trials * 1000
        yield (
            f"| {latency:g} | {workers} | {trials} | {ideal:.1f} | {_ratio(bare, ideal)} "
            f"| {_ratio([one.answering_s for one in made], ideal)} "
            f"| {_ratio([one.whole_s for one in made], ideal)} "
            f"| {statistics.median(one.whole_s for one in made):.1f} "
            f"| {first:.2f} | {others:.2f} |"
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
