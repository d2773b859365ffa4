"""Does a plan's range hold the true cost? Seeded pairs of sweeps against the loopback Bedrock.

Each try makes up how long answers are (a lognormal with a median of 80 to 600 tokens), runs a
sweep of 40 questions in an empty folder, plans another of 60 other questions, runs that one, too,
and sets its cost against the plan's 5th to 95th percentile. The first sweep, planned from nothing
but the prior, is set against its range as well, and told apart.

    python benchmarks/estimate_law.py [--tries 100] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from finrag_eval.cli.display import Watch
from finrag_eval.job import job_of, known_prompts
from finrag_eval.planning import plan_report
from finrag_eval.session import RunOptions
from finrag_eval.spec.sweeps import Asked, read_everything
from finrag_eval.sweep import run_sweep

PROJECT = Path(__file__).resolve().parent.parent
QUESTIONS = PROJECT / "query_sets" / "core_kpi.jsonl"
TAUGHT, ASKED = 40, 60

MODELS = """
serving_models:
  default_serving_model: small
  small: {provider: bedrock, model_id: small.model-v1, display_name: Small, max_tokens: 1500,
          cost_per_1k_input: 0.001, cost_per_1k_output: 0.005}
  large: {provider: bedrock, model_id: large.model-v1, display_name: Large, max_tokens: 1500,
          cost_per_1k_input: 0.003, cost_per_1k_output: 0.015}
"""


class Server(Protocol):
    """The loopback server, as ``tests/loopback`` starts it."""

    def programme(self, **spec: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Tried:
    """A planned sweep: its range and its cost in USD."""

    low: float
    expected: float
    high: float
    true: float

    @property
    def inside(self) -> bool:
        return self.low <= self.true <= self.high


def tries(folder: Path, server: Server, *, count: int, seed: int) -> Iterator[tuple[Tried, Tried]]:
    """So many pairs: the first sweep of an empty folder, and the one after it."""
    questions = QUESTIONS.read_text(encoding="utf-8").splitlines()
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")
        place = folder / f"{seed}-{number}"
        place.mkdir(parents=True)
        (place / "ml_config.yaml").write_text(MODELS, encoding="utf-8")
        spread = {"median": chance.uniform(80, 600), "sigma": chance.uniform(0.3, 0.7)}
        server.programme(seed=chance.random(), output_spread=spread)
        chosen = chance.sample(questions, TAUGHT + ASKED)
        yield (
            _tried(place, "taught", chosen[:TAUGHT]),
            _tried(place, "asked", chosen[TAUGHT:]),
        )
        shutil.rmtree(place)


def _tried(place: Path, name: str, questions: list[str]) -> Tried:
    (place / f"{name}.jsonl").write_text("\n".join(questions), encoding="utf-8")
    spec = {
        "name": name,
        "experiment": "Estimates",
        "models": ["small", "large"],
        "prompts": [{"system": "v1", "query": "v1"}, {"system": "v2", "query": "v1"}],
        "query_set": {"path": f"{name}.jsonl"},
        "retrieval": {"include_rag": False},
        "scorers": ["refusal"],
        "execution": {"concurrency": 16},
    }
    (place / f"{name}.yaml").write_text(json.dumps(spec), encoding="utf-8")
    results = place / "sweep_results"
    planned = plan_report(job_of(_asked(place, name)), output_dir=results, unfinished=None)
    options = RunOptions(output_dir=results, tracking=False, fresh=True)
    ended = run_sweep(_asked(place, name), options, Watch(quiet=True))
    usd = planned["usd"]
    return Tried(usd["low"], usd["expected"], usd["high"], ended.summary["totals"]["cost_usd"])


def plan_seconds(folder: Path) -> tuple[float, float]:
    """Wall seconds of a plan of 2 models x 2 prompts x 2,500 questions: first, and again."""
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    asked = [
        json.dumps(row | {"id": f"q{number}", "query": f"Question {number}: {row['query']}"})
        for number, row in enumerate(json.loads(lines[at % len(lines)]) for at in range(2_500))
    ]
    folder.mkdir(parents=True)
    (folder / "ml_config.yaml").write_text(MODELS, encoding="utf-8")
    (folder / "many.jsonl").write_text("\n".join(asked), encoding="utf-8")
    spec = {
        "name": "many",
        "experiment": "Estimates",
        "models": ["small", "large"],
        "prompts": [{"system": "v1", "query": "v1"}, {"system": "v2", "query": "v1"}],
        "query_set": {"path": "many.jsonl"},
        "scorers": ["numeric"],
    }
    (folder / "many.yaml").write_text(json.dumps(spec), encoding="utf-8")
    return _planned(folder), _planned(folder)


def _planned(folder: Path) -> float:
    """Seconds of one fresh process."""
    command = [sys.executable, "-m", "finrag_eval", "plan", "many.yaml", "--format", "json"]
    paths = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    began = time.perf_counter()
    printed = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
        capture_output=True,
    ).stdout
    seconds = time.perf_counter() - began
    assert json.loads(printed)["matrix"]["trials"] == 10_000
    return seconds


def _asked(place: Path, name: str) -> Asked:
    return read_everything(
        place / f"{name}.yaml",
        config=place / "ml_config.yaml",
        overrides=[],
        known_prompts=known_prompts,
    )


def told(what: str, found: list[Tried]) -> str:
    """A line of the table."""
    inside = sum(one.inside for one in found)
    width = sorted(one.high / one.low for one in found)[len(found) // 2]
    off = sorted(abs(one.expected / one.true - 1) for one in found)[len(found) // 2]
    below = sum(one.true < one.low for one in found)
    return (
        f"| {what} | {inside} of {len(found)} | {below} below, {len(found) - inside - below} above "
        f"| {width:.2f}x | {off:.1%} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="3 tries")
    asked = parser.parse_args()
    sys.path.insert(0, str(PROJECT / "tests"))
    from loopback.fixture import LoopbackBedrock

    server = LoopbackBedrock()
    os.environ.update(server.env)
    folder = Path(tempfile.mkdtemp(prefix="finrag-estimates-"))
    try:
        count = 3 if asked.quick else asked.tries
        pairs = list(tries(folder, server, count=count, seed=asked.seed))
        first, again = plan_seconds(folder / "plan")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print("| planned from | true cost inside 5-95% | outside | high / low | expected off by |")
    print("| --- | --- | --- | --- | --- |")
    print(told("the prior alone", [first for first, _ in pairs]))
    print(told("one calibrating sweep", [second for _, second in pairs]))
    print(f"plan of 10,000 trials: {first:.1f} s, and {again:.1f} s with its sizes cached")
    return 0 if sum(second.inside for _, second in pairs) >= 0.85 * len(pairs) else 1


if __name__ == "__main__":
    sys.exit(main())
