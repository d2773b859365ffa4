"""Bedrock at its worst: faults, quotas, a denied model and a long sweep, by the real program.

Laws: every trial succeeds under passing faults, no call follows a success, each trial has the
answer to its own prompt, and costs are the kept answers' tokens at list price. A quota is used and
hardly ever refuses. A denied model costs at most the calls in flight. Memory and connections of a
long sweep stay as they were when two fifths of its calls were made.
"""

from __future__ import annotations

import csv
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from loopback.fixture import repeats_after_success

from benchmarks.torture.ground import Ground

WORKERS = 32
RATES = {
    "throttle": 0.10,
    "unavailable": 0.03,
    "reset": 0.01,
    "truncated": 0.01,
    "hang": 0.005,
}
_IN, _OUT = Decimal("0.001"), Decimal("0.005")
_EXECUTION = {"concurrency": WORKERS, "attempt_timeout_s": 5}
_MORE_MEMORY = 1.10


@dataclass(frozen=True)
class Night:
    """One sweep: its name, what was measured in words, and every law that it broke."""

    name: str
    figures: str
    broken: tuple[str, ...]


def bedrock_nights(ground: Ground, *, trials: int, seed: int) -> Iterator[Night]:
    """Every night once, of so many trials; the long one of five times as many."""
    yield faulty_night(ground, trials=trials, seed=seed)
    yield rated_night(ground, trials=trials, is_set=True)
    yield rated_night(ground, trials=trials, is_set=False)
    yield denied_night(ground, questions=trials)
    yield long_night(ground, trials=5 * trials)


def faulty_night(ground: Ground, *, trials: int = 1000, seed: int = 1) -> Night:
    """Throttling, 503, resets, truncated bodies and hangs, each at its rate."""
    ground.server.programme(seed=seed, latency_s=0.3, latency_jitter=0.5, rates=RATES)
    code, summary, seconds = _sweep(ground, trials)
    ledger = ground.server.ledger()
    kept = sum((_price(one) for one in ledger if one["answered"]), Decimal(0))
    told = Decimal(repr(summary["totals"]["cost_usd"]))
    answered = sum(one["answered"] for one in ledger)
    laws = {
        f"ended with {code}": code == 0,
        f"{summary['totals']['trials_failed']} trials failed": _all_succeeded(summary, trials),
        "a call followed a success": not repeats_after_success(ledger),
        f"{answered} answers": answered == trials,
        f"cost {told}, and the server's tokens {kept}": abs(told - kept) <= Decimal("1e-9"),
        "an answer of another prompt": _answers_are_their_own(ground, ledger),
    }
    figures = (
        f"{trials} trials in {seconds:.0f} s by {len(ledger)} calls; cost {told} USD, off by "
        f"{abs(told - kept)}; wasted {summary['budget']['wasted_usd']:.6f} USD"
    )
    return Night("faults", figures, _broken(laws))


def rated_night(ground: Ground, *, trials: int = 1000, rpm: int = 600, is_set: bool) -> Night:
    """A quota of requests, told to the sweep (``is_set``) or found by it."""
    ground.server.programme(latency_s=0.5, latency_jitter=0.5, quota={"*": {"rpm": rpm}})
    limits = {"limits": {"loop": {"rpm": rpm}}} if is_set else {}
    _, summary, _ = _sweep(ground, trials, **limits)
    ledger = ground.server.ledger()
    used, refused = _used(ledger, rpm), _refused(ledger)
    laws = {
        "a trial failed": _all_succeeded(summary, trials),
        f"{used:.1%} used": used >= (0.93 if is_set else 0.80),
        f"{refused:.1%} throttled": not is_set or refused < 0.01,
    }
    name = f"rpm {rpm}, {'set' if is_set else 'not set'}"
    figures = f"{used:.1%} of the quota used, {refused:.2%} of {len(ledger)} calls throttled"
    return Night(name, figures, _broken(laws))


def denied_night(ground: Ground, *, questions: int = 500) -> Night:
    """One model of two is denied."""
    ground.server.programme(latency_s=0.05, scripts=[{"model": "other", "then": "access_denied"}])
    _, summary, _ = _sweep(ground, questions, models=["loop", "other"])
    calls = sum(one["model"].startswith("other") for one in ground.server.ledger())
    loop, other = summary["cells"]
    laws = {
        f"{calls} calls of a denied model": 1 <= calls <= WORKERS,
        "the other model did not go on": loop["succeeded"] == questions,
        "trials were lost": other["failed"] == calls and other["not_run"] == questions - calls,
    }
    figures = f"{calls} calls of {questions} questions; the other model answered all of its own"
    return Night("denied", figures, _broken(laws))


def long_night(ground: Ground, *, trials: int = 5000) -> Night:
    """Memory and connections, looked at twice a second."""
    ground.server.programme(latency_s=0.05, latency_jitter=0.5)
    sweep = str(ground.lay(questions=trials, prompts=[_PROMPT], execution=_EXECUTION))
    process = ground.start("run", sweep, "--fresh", "--quiet")
    looks = list(_looks(ground, process))
    early = max(kib for calls, kib, _ in looks if calls <= trials * 0.4)
    late = max(kib for calls, kib, _ in looks if calls < trials)
    most_open = max(connections for *_, connections in looks)
    grown = late / early
    laws = {
        f"ended with {process.returncode}": process.returncode == 0,
        f"memory grew {grown:.2f} times": grown <= _MORE_MEMORY,
        f"{most_open} connections": most_open <= WORKERS,
    }
    figures = (
        f"{trials} trials; {early / 1024:.0f} MiB after {0.4 * trials:.0f} of them, "
        f"{late / 1024:.0f} MiB until the last, {max(kib for _, kib, _ in looks) / 1024:.0f} MiB "
        f"with the report; at most {most_open} connections"
    )
    return Night("long", figures, _broken(laws))


_PROMPT = {"system": "v1", "query": "v1"}


def _sweep(ground: Ground, questions: int, **changes: Any) -> tuple[int, Any, float]:
    """A sweep of one prompt version, run to its end: code, summary and seconds."""
    ground.clear()
    changes = {"prompts": [_PROMPT], "execution": _EXECUTION, **changes}
    sweep = str(ground.lay(questions=questions, **changes))
    began = time.monotonic()
    arguments = ["run", sweep, "--fresh", "--quiet", "--format", "json"]
    code, out, err = ground.run(*arguments, timeout=900)
    if code in (1, 2):
        raise RuntimeError(f"the sweep itself fails with {code}: {err or out}")
    return code, json.loads(out), time.monotonic() - began


def _looks(ground: Ground, process: subprocess.Popen[str]) -> Iterator[tuple[int, int, int]]:
    """Calls so far, KiB that the program has, and its open connections, until it ends."""
    before = ground.server.stats()["requests"]
    while process.poll() is None:
        shown = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(process.pid)], capture_output=True, text=True
        ).stdout
        stats = ground.server.stats()
        if shown.strip():
            # One of the open connections is this look's own.
            yield stats["requests"] - before, int(shown), stats["open"] - 1
        time.sleep(0.5)
    process.communicate()


def _price(entry: dict[str, Any]) -> Decimal:
    return (entry["input_tokens"] * _IN + entry["output_tokens"] * _OUT) / 1000


def _all_succeeded(summary: dict[str, Any], trials: int) -> bool:
    return bool(summary["totals"]["trials_succeeded"] == trials)


def _answers_are_their_own(ground: Ground, ledger: list[dict[str, Any]]) -> bool:
    prompts = {one["trial_key"]: one["prompt"] for one in ledger}
    with (ground.sweep_folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return all(
        row["answer"].endswith(f"[sha256 {prompts[row['finrag_eval.trial_key']]}]") for row in rows
    )


def _used(ledger: list[dict[str, Any]], rpm: int) -> float:
    """Share of the quota that was used between the first call and the last that was answered."""
    answered = [one["at"] for one in ledger if one["answered"]]
    seconds = max(answered) - min(one["at"] for one in ledger)
    return len(answered) / (seconds * rpm / 60)


def _refused(ledger: list[dict[str, Any]]) -> float:
    return sum(one["status"] == 429 for one in ledger) / len(ledger)


def _broken(laws: dict[str, bool]) -> tuple[str, ...]:
    return tuple(law for law, holds in laws.items() if not holds)
