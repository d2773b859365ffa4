"""kill -9 at seeded moments of a sweep, then `run` again: nothing lost, nothing paid twice.

Law: however often the driver (and now and then its recorder) is killed, at most the calls in
flight at each kill are paid again, every trial ends with one answer and one child run, and the
summary is that of a sweep which was never stopped.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.torture.ground import Ground, kill, kill_recorder, runs_in, settled
from finrag_eval.record.ledger import list_sweeps

CONCURRENCY = 16
TRIALS = 300


@dataclass(frozen=True)
class Round:
    """One sweep with its kills, and every law that it broke."""

    kills: int
    paid_again: int
    wasted_usd: float
    broken: tuple[str, ...]


def crash_rounds(ground: Ground, *, kills: int, seed: int, trials: int = TRIALS) -> Iterator[Round]:
    """Rounds until so many kills were made, each of a fresh sweep killed one to three times."""
    random_ = random.Random(seed)
    ground.server.programme(seed=seed, latency_s=0.08, latency_jitter=0.5)
    sweep = str(ground.lay(questions=trials // 2))
    whole, seconds = _never_stopped(ground, sweep)
    done = 0
    while done < kills:
        ground.server.programme(seed=seed, latency_s=0.08, latency_jitter=0.5)
        times = min(kills - done, random_.randint(1, 3))
        began = time.monotonic()
        one = _round(ground, sweep, random_, times, seconds, whole)
        if not one.kills:  # the first sweep made the store, too
            seconds = min(seconds, time.monotonic() - began)
        done += one.kills
        yield one


def _never_stopped(ground: Ground, sweep: str) -> tuple[dict[str, Any], float]:
    began = time.monotonic()
    code, out, err = ground.run("run", sweep, "--fresh", "--format", "json")
    if code != 0:
        raise RuntimeError(f"the sweep itself fails with {code}: {err}")
    return settled(json.loads(out)), time.monotonic() - began


def _round(
    ground: Ground,
    sweep: str,
    random_: random.Random,
    times: int,
    seconds: float,
    whole: dict[str, Any],
) -> Round:
    ground.clear()
    for made in range(times):
        process = ground.start("run", sweep, "--quiet", "--format", "json")
        deadline = time.monotonic() + random_.uniform(0.05, 0.9) * seconds
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is not None:
            out, err = process.communicate()
            return _judged(ground, made, process.returncode, out, err, whole)
        kill(process)
        newest = next(iter(list_sweeps(ground.folder / "sweep_results")), None)
        if newest is not None and newest.is_finished:
            out = (newest.folder / "summary.json").read_text(encoding="utf-8")
            return _judged(ground, made + 1, 0, out, "", whole)
        if random_.random() < 0.3:
            kill_recorder(ground.folder)
    code, out, err = ground.run("run", sweep, "--format", "json")
    return _judged(ground, times, code, out, err, whole)


def _judged(
    ground: Ground, times: int, code: int, out: str, err: str, whole: dict[str, Any]
) -> Round:
    broken = []
    if code != 0:
        return Round(times, 0, 0.0, (f"ended with {code}: {err[-500:]}",))
    summary = json.loads(out)
    answered = Counter(one["trial_key"] for one in ground.server.ledger() if one["answered"])
    paid_again = sum(count - 1 for count in answered.values())
    if paid_again > times * CONCURRENCY:
        broken.append(f"{paid_again} answers paid again after {times} kills")
    if settled(summary) != whole:
        broken.append("the summary differs from that of a sweep never stopped")
    runs = runs_in(ground.store_uri, summary["sweep_id"])
    children = Counter(run["trial_key"] for run in runs if run["kind"] == "trial")
    planned = whole["totals"]["trials_planned"]
    if len(children) != planned or max(children.values()) != 1:
        broken.append(f"{len(children)} trials in {sum(children.values())} child runs")
    if {run["status"] for run in runs} != {"FINISHED"}:
        broken.append(f"runs are {Counter(run['status'] for run in runs)}")
    if sum(run["kind"] == "sweep" for run in runs) != 1:
        broken.append("there is not exactly one parent run")
    cost = sum(run["cost_usd"] for run in runs if run["kind"] == "trial")
    if abs(cost - summary["totals"]["cost_usd"]) > 1e-9:
        broken.append(f"MLflow says {cost} USD, the summary {summary['totals']['cost_usd']}")
    return Round(times, paid_again, summary["budget"]["wasted_usd"], tuple(broken))
