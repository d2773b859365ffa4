"""The tracking server killed in the middle of a sweep and started again later.

Law: the calls go on as if nothing had happened, nothing is lost and nothing recorded twice, and
the sweep takes no longer than one without the outage by more than its tail: what was answered
while the server was away is recorded beside the calls when it is back.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.torture.ground import Ground, runs_in, settled
from benchmarks.torture.tracking import TrackingServer

LATENCY_S, CONCURRENCY = 4.0, 16


@dataclass(frozen=True)
class Outage:
    """A sweep through an outage, beside one without: seconds, and every law that it broke."""

    whole_s: float
    undisturbed_s: float
    answering_s: float
    undisturbed_answering_s: float
    broken: tuple[str, ...]


def outage_rounds(
    ground: Ground, server: TrackingServer, *, outages: int, away_s: float, trials: int = 320
) -> Iterator[Outage]:
    """Sweeps in pairs, without and with the server away for so long from a quarter of the calls on.

    The default sweep of 320 trials calls for 80 s, 4 trials a second: a server of one worker that
    shares two cores with the sweep and with Bedrock's stand-in can record more than that.
    """
    sweep = str(ground.lay(questions=trials // 2, execution={"concurrency": CONCURRENCY}))
    calling_s = trials * LATENCY_S / CONCURRENCY
    for _ in range(outages):
        _, undisturbed, undisturbed_s = _swept(ground, sweep)
        away = threading.Thread(target=_outage, args=(server, calling_s / 4, away_s))
        away.start()
        code, summary, whole_s = _swept(ground, sweep)
        away.join()
        yield Outage(
            whole_s,
            undisturbed_s,
            summary["wall_seconds"],
            undisturbed["wall_seconds"],
            tuple(_broken(ground, server, code, summary, undisturbed)),
        )


def _outage(server: TrackingServer, after_s: float, away_s: float) -> None:
    time.sleep(after_s)
    server.kill()
    time.sleep(away_s)
    server.start()


def _swept(ground: Ground, sweep: str) -> tuple[int, dict[str, Any], float]:
    ground.server.programme(latency_s=LATENCY_S)
    began = time.monotonic()
    code, out, err = ground.run("run", sweep, "--fresh", "--quiet", "--format", "json")
    took = time.monotonic() - began
    if not out:
        raise RuntimeError(f"the sweep ended with {code}: {err}")
    return code, json.loads(out), took


def _broken(
    ground: Ground,
    server: TrackingServer,
    code: int,
    summary: dict[str, Any],
    undisturbed: dict[str, Any],
) -> Iterator[str]:
    if code != 0:
        yield f"ended with {code}"
    if settled(summary) != settled(undisturbed):
        yield "the summary differs from that of a sweep without an outage"
    planned = summary["totals"]["trials_planned"]
    answered = Counter(one["trial_key"] for one in ground.server.ledger() if one["answered"])
    if len(answered) != planned or max(answered.values()) != 1:
        yield f"{sum(answered.values())} answers paid for {planned} trials"
    runs = runs_in(server.store_uri, summary["sweep_id"])
    children = Counter(run["trial_key"] for run in runs if run["kind"] == "trial")
    if len(children) != planned or max(children.values()) != 1:
        yield f"{len(children)} trials in {sum(children.values())} child runs"
    if {run["status"] for run in runs} != {"FINISHED"}:
        yield f"runs are {Counter(run['status'] for run in runs)}"
    if sum(run["kind"] == "sweep" for run in runs) != 1:
        yield "there is not exactly one parent run"
