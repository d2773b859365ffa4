"""Ctrl-C and SIGTERM: once is clean, twice is at once, and neither loses an answer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest
from loopback.fixture import LoopbackBedrock
from sweep_place import Place, questions_text

from benchmarks.torture.ground import runs_in

MODELS = """
serving_models:
  default_serving_model: loop
  loop: {provider: bedrock, model_id: loop.model-v1, display_name: Loop, max_tokens: 200,
         cost_per_1k_input: 0.001, cost_per_1k_output: 0.005}
"""


@pytest.fixture
def slow(place: Place, bedrock: LoopbackBedrock) -> Place:
    """Sixty trials that take half a second each, four at a time."""
    place.env = dict(bedrock.env)
    place.write("ml_config.yaml", MODELS)
    place.write("questions.jsonl", questions_text(30))
    place.sweep(models=["loop"], retrieval={"include_rag": False})
    bedrock.programme(latency_s=0.5)
    return place


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answered(bedrock: LoopbackBedrock) -> int:
    return sum(one["answered"] for one in bedrock.ledger())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_waits_for_calls_in_flight_and_closes_every_run(
    slow: Place, bedrock: LoopbackBedrock, number: int, code: int
) -> None:
    process = slow.start("run", "small.yaml", "--format", "json")
    wait_for(lambda: answered(bedrock) >= 6, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "waiting up to 60 s for those in flight" in err
    summary = json.loads(out)
    assert summary["status"] == "interrupted"
    assert summary["totals"]["trials_succeeded"] == answered(bedrock) < 60
    assert summary["budget"]["wasted_usd"] == 0
    runs = runs_in(slow.store_uri, summary["sweep_id"])
    assert "RUNNING" not in {run["status"] for run in runs}
    kinds = Counter(run["kind"] for run in runs)
    assert kinds == {"sweep": 1, "trial": summary["totals"]["trials_succeeded"]}
    bedrock.change(latency_s=0)
    ended = slow.run("run", "small.yaml", "--format", "json")
    assert ended.code == 0, ended.err
    assert ended.json["sweep_id"] == summary["sweep_id"]
    assert answered(bedrock) == 60
    runs = runs_in(slow.store_uri, summary["sweep_id"])
    assert Counter(run["kind"] for run in runs) == {"sweep": 1, "trial": 60}
    assert {run["status"] for run in runs} == {"FINISHED"}


JUDGES = [
    {"name": name, "kind": "judge", "model": "loop", "rubric": rubric}
    for name, rubric in (("first", "v1"), ("second", "v2"))
]


def test_a_signal_while_one_judge_is_asked_keeps_the_next_one_from_being_asked(
    slow: Place, bedrock: LoopbackBedrock
) -> None:
    bedrock.programme(answers=[{"match": '"reason"', "answer": "{}", "bare": True}])
    slow.write("questions.jsonl", questions_text(5))
    slow.sweep(models=["loop"], retrieval={"include_rag": False}, scorers=JUDGES)
    process = slow.start("run", "small.yaml", "--no-tracking", "--format", "json")
    wait_for(lambda: answered(bedrock) >= 10, process)
    bedrock.change(latency_s=0.5)
    wait_for(lambda: len(bedrock.ledger()) >= 12, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json.loads(out)["status"] == "interrupted"
    assert len(bedrock.ledger()) < 20, "ten answers, and not all verdicts of the first judge"


def test_whoever_stops_reading_gets_the_exit_code_all_the_same(
    slow: Place, bedrock: LoopbackBedrock
) -> None:
    bedrock.programme()
    process = slow.start("run", "small.yaml", "--no-tracking", "--max-usd", "0.004")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 3, err
    command = f"{sys.executable} -m finrag_eval sweeps <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], cwd=slow.folder, check=False).returncode == 0


def test_a_second_signal_stops_at_once_and_tears_nothing(
    slow: Place, bedrock: LoopbackBedrock
) -> None:
    bedrock.programme(latency_s=0.05, scripts=[{"match": "Oracle", "faults": ["hang"]}])
    process = slow.start("run", "small.yaml", "--no-tracking", "--format", "json")
    wait_for(lambda: any(one["fate"] == "hang" for one in bedrock.ledger()), process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    paid = answered(bedrock)
    assert json.loads(out)["totals"]["trials_succeeded"] <= paid
    bedrock.change(latency_s=0, scripts=[])
    ended = slow.run("run", "small.yaml", "--no-tracking", "--format", "json")
    assert ended.code == 0, ended.err
    assert ended.json["totals"]["trials_succeeded"] == 60
    assert answered(bedrock) <= 60 + 4
