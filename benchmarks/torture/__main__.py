"""Run every campaign in full; 0 leaves one out: ``python -m benchmarks.torture --kills 0``."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.torture.budgets import budget_runs
from benchmarks.torture.crashes import crash_rounds
from benchmarks.torture.ground import PROJECT, Ground
from benchmarks.torture.outages import outage_rounds
from benchmarks.torture.tracking import TrackingServer

sys.path.insert(0, str(PROJECT / "tests"))
from loopback.fixture import LoopbackBedrock

from benchmarks.torture.bedrock import bedrock_nights


def main() -> int:
    """Every campaign with its figures; 1 where a law was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--budgets", type=int, default=200)
    parser.add_argument("--nights", type=int, default=1000, help="trials of each Bedrock night")
    parser.add_argument("--outages", type=int, default=3)
    parser.add_argument("--away", type=float, default=30.0, help="seconds that an outage lasts")
    parser.add_argument("--aa", type=int, default=2000, help="simulated sweeps of equal cells")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="finrag-torture-"))
    server = LoopbackBedrock()
    try:
        broken = _crashes(
            Ground(folder / "crashes", server, f"sqlite:///{folder}/mlflow.db"), asked
        )
        broken += _budgets(Ground(folder / "budgets", server, f"sqlite:///{folder}/none.db"), asked)
        broken += _nights(Ground(folder / "nights", server, f"sqlite:///{folder}/nights.db"), asked)
        broken += _outages(folder, server, asked)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    broken += _equal_cells(asked)
    print("all laws held" if not broken else f"{broken} laws were broken")
    return 1 if broken else 0


def _crashes(ground: Ground, asked: argparse.Namespace) -> int:
    began, kills, paid_again, broken = time.monotonic(), 0, 0, 0
    if not asked.kills:
        return 0
    for one in crash_rounds(ground, kills=asked.kills, seed=asked.seed):
        kills, paid_again, broken = (
            kills + one.kills,
            paid_again + one.paid_again,
            broken + len(one.broken),
        )
        print(f"crashes: {kills} kills, {paid_again} answers paid again {one.broken}", flush=True)
    print(f"crashes: {kills} kills in {time.monotonic() - began:.0f} s, {broken} laws broken")
    return broken


def _budgets(ground: Ground, asked: argparse.Namespace) -> int:
    began, broken, used = time.monotonic(), 0, []
    if not asked.budgets:
        return 0
    for number, one in enumerate(budget_runs(ground, runs=asked.budgets, seed=asked.seed), 1):
        broken += len(one.broken)
        if one.code == 3:
            used.append(one.used)
        if one.broken or number % 20 == 0:
            print(f"budgets: {number} runs {one.broken}", flush=True)
    least = min(used, default=float("nan"))
    print(
        f"budgets: {asked.budgets} runs in {time.monotonic() - began:.0f} s, {broken} laws broken; "
        f"{len(used)} stopped by their cap, least share used {least:.1%}"
    )
    return broken


def _nights(ground: Ground, asked: argparse.Namespace) -> int:
    broken = 0
    if not asked.nights:
        return 0
    for one in bedrock_nights(ground, trials=asked.nights, seed=asked.seed):
        broken += len(one.broken)
        print(f"nights: {one.name}: {one.figures} {one.broken}", flush=True)
    print(f"nights: {broken} laws broken")
    return broken


def _outages(folder: Path, server: LoopbackBedrock, asked: argparse.Namespace) -> int:
    broken = 0
    if not asked.outages:
        return 0
    tracking = TrackingServer(folder / "tracking")
    tracking.start()
    try:
        ground = Ground(folder / "outages", server, tracking.uri)
        for one in outage_rounds(ground, tracking, outages=asked.outages, away_s=asked.away):
            broken += len(one.broken)
            print(
                f"outages: {asked.away:.0f} s away; whole {one.whole_s:.1f} s against "
                f"{one.undisturbed_s:.1f} s without, of which calls {one.answering_s:.1f} s and "
                f"{one.undisturbed_answering_s:.1f} s {one.broken}",
                flush=True,
            )
    finally:
        tracking.kill()
    print(f"outages: {asked.outages} outages, {broken} laws broken")
    return broken


def _equal_cells(asked: argparse.Namespace) -> int:
    if not asked.aa:
        return 0
    law = [sys.executable, str(PROJECT / "benchmarks" / "aa_law.py"), "--sweeps", str(asked.aa)]
    return int(subprocess.run(law, check=False).returncode != 0)


if __name__ == "__main__":
    raise SystemExit(main())
