"""Random caps at concurrency 32 against the loopback server: never passed, and well used.

Law: what the server billed (every answered call at list price) stays at or under the cap, and so
does what the ledger says; and where the sweep stopped, at least 90% of the cap is used, or what is
left is too little for the worst case of any trial that was still to do.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal

from benchmarks.torture.ground import Ground

TRIALS = 300
_IN, _OUT = Decimal("0.001"), Decimal("0.005")


@dataclass(frozen=True)
class Spending:
    """One run under a cap: USD, and every law that it broke."""

    cap_usd: Decimal
    billed_usd: Decimal
    used: float
    code: int
    broken: tuple[str, ...]


def budget_runs(
    ground: Ground, *, runs: int, seed: int, trials: int = TRIALS
) -> Iterator[Spending]:
    """Runs with random caps, faults and output lengths; some are resumed with a higher cap."""
    random_ = random.Random(seed)
    sweep = str(ground.lay(questions=trials // 2, execution={"concurrency": 32}))
    ground.server.programme(seed=seed, latency_s=0.005)
    code, out, err = ground.run("run", sweep, "--no-tracking", "--fresh", "--format", "json")
    if code != 0:
        raise RuntimeError(f"the sweep itself fails with {code}: {err}")
    whole = Decimal(repr(json.loads(out)["budget"]["spent_usd"]))
    least = _least_reserved(ground)
    assert least is not None
    for number in range(runs):
        yield _run(ground, sweep, random_, whole, least, number)


def _run(
    ground: Ground,
    sweep: str,
    random_: random.Random,
    whole: Decimal,
    least: Decimal,
    number: int,
) -> Spending:
    ground.clear()
    cap = (whole * Decimal(str(random_.uniform(0.03, 0.9)))).quantize(Decimal("0.000001"))
    rates = {"throttle": random_.choice([0, 0.1]), "truncated": random_.choice([0, 0.02])}
    ground.server.programme(seed=number, latency_s=0.005, latency_jitter=0.9, rates=rates)
    arguments = ["run", sweep, "--no-tracking", "--format", "json", "--quiet"]
    code, out, err = ground.run(*arguments, "--max-usd", str(cap))
    broken = []
    if code not in (0, 3):
        return Spending(cap, Decimal(0), 0.0, code, (f"ended with {code}: {err[-400:]}",))
    if random_.random() < 0.3 and code == 3:
        cap = (cap * 2).quantize(Decimal("0.000001"))
        code, out, err = ground.run(*arguments, "--max-usd", str(cap))
    summary = json.loads(out)
    billed = sum(
        (
            (one["input_tokens"] * _IN + one["output_tokens"] * _OUT) / 1000
            for one in ground.server.ledger()
            if one["answered"]
        ),
        Decimal(0),
    )
    spent = Decimal(repr(summary["budget"]["spent_usd"]))
    if billed > cap:
        broken.append(f"billed {billed} of {cap}")
    if spent > cap:
        broken.append(f"the ledger says {spent} of {cap}")
    used = float(spent / cap)
    if code == 3 and used < 0.9 and cap - spent >= (_least_reserved(ground) or least):
        broken.append(f"only {used:.0%} of the cap was used, and {cap - spent} would have fitted")
    return Spending(cap, billed, used, code, tuple(broken))


def _least_reserved(ground: Ground) -> Decimal | None:
    """The smallest worst case that any call of the sweep had; None where none was let start."""
    with closing(sqlite3.connect(ground.sweep_folder / "ledger.sqlite")) as ledger:
        rows = ledger.execute("SELECT DISTINCT reserved_usd FROM attempts").fetchall()
    return min((Decimal(row[0]) for row in rows), default=None)
