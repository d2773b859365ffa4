"""``costs`` and ``runs`` over a large store: 100,000 child runs in 300 sweeps, all in one month.

Makes the store once (a minute or two) with the bulk lane, then runs the program as a user does, in
fresh processes, and prints the median wall time, CPU time and the peak memory of each command,
beside the sum over the children by SQL.

    python benchmarks/costs_store.py [--store DIR] [--rounds 5] [--quick]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "costs"))

from spend_parts import MadeSweep, a_cell, a_model, a_record, instant, record_sweep, some_queries

from finrag_eval.record.store import open_store

SWEEPS, MONTH, DAYS = 300, "2026-03", 31
COMMANDS = (
    ["costs", "--since", f"{MONTH}-01", "--until", f"{MONTH}-{DAYS}", "--by", "day,model_key"],
    ["costs", "--since", f"{MONTH}-10", "--until", f"{MONTH}-10", "--by", "model_key"],
    ["runs", "--view", "dear"],
)


def make_store(folder: Path, sweeps: int = SWEEPS) -> str:
    """A store in the folder; its URI. One that is there already is used again."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    done = folder / "done"
    if done.exists():
        return uri
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(7)
    cells = [
        a_cell(a_model(key, price=price), system=system)
        for key, price in (("haiku", "0.0011"), ("nova", "0.0008"), ("micro", "0.000035"))
        for system in ("v1", "v2")
    ]
    queries = some_queries(56, tags=("lookup", "growth", "ratio"))
    store = open_store(uri, "Nightly", own_process=True)
    began = time.perf_counter()
    for number in range(sweeps):
        day, hour = divmod(number * DAYS * 24 // sweeps, 24)
        at = instant(f"{MONTH}-{day + 1:02d}T{hour:02d}:00")
        trials = [(cell, query) for query in queries for cell in cells]
        trials = trials[: 334 if number % 3 == 0 else 333]
        records = [
            a_record(cell, query, at + place * 2.0, rng, number=place + 1)
            for place, (cell, query) in enumerate(trials)
        ]
        sweep = MadeSweep(
            sweep_id=f"2026{number:04d}-nightly-{number:04x}",
            cells=cells,
            queries=queries,
            records=records,
            experiment="Nightly",
        )
        record_sweep(store, folder / "sweeps" / sweep.sweep_id, sweep)
        if number % 50 == 49:
            print(f"{number + 1} sweeps, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    store.engine.dispose()
    done.touch()
    return uri


def by_sql(uri: str) -> tuple[int, float]:
    """Child runs and their USD, summed by nothing of ours."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database:
        children = database.execute(
            "SELECT count(*) FROM tags WHERE key = 'finrag_eval.kind' AND value = 'trial'"
        ).fetchone()[0]
        amounts = database.execute(
            "SELECT m.value FROM latest_metrics m JOIN tags t ON t.run_uuid = m.run_uuid AND "
            "t.key = 'finrag_eval.kind' AND t.value = 'trial' WHERE m.key IN "
            "('cost_usd', 'judge_cost_usd', 'retrieval_cost_usd', 'wasted_usd')"
        )
        return children, math.fsum(amount for (amount,) in amounts)


def run(arguments: Sequence[str]) -> tuple[float, float, float, str]:
    """Wall seconds, CPU seconds, peak MB and output of the program in a fresh process."""
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "finrag_eval", *arguments],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, output.fileno(), 1)],
        )
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - began
        assert status == 0, arguments
        output.seek(0)
        text = output.read()
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, help="keep the store here, and use it again")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sweeps, one round")
    options = parser.parse_args()
    sweeps, rounds = (SWEEPS // 10, 1) if options.quick else (SWEEPS, options.rounds)
    with tempfile.TemporaryDirectory(prefix="costs-") as folder:
        uri = make_store(options.store or Path(folder), sweeps)
        print(f"| command, {rounds} fresh processes each | wall s | CPU s | peak MB |")
        print("|---|---|---|---|")
        for command in COMMANDS:
            runs = [run([*command, "--tracking-uri", uri]) for _ in range(rounds)]
            wall, cpu, peak = (statistics.median(one[at] for one in runs) for at in range(3))
            print(f"| {' '.join(command)} | {wall:.2f} | {cpu:.2f} | {peak:.0f} |")
        report = json.loads(run([*COMMANDS[0], "--format", "json", "--tracking-uri", uri])[3])
        ours = math.fsum(group["spent_usd"] for group in report["groups"])
        children, theirs = by_sql(uri)
        print(f"{children} child runs: ${ours:.9f} reported, ${theirs:.9f} by SQL")
        print(f"difference {abs(ours - theirs):.1e} USD")


if __name__ == "__main__":
    main()
