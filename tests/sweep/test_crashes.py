"""kill -9 and go on: a short version of the campaign in benchmarks/torture."""

from __future__ import annotations

import time
from pathlib import Path

from loopback.fixture import LoopbackBedrock

from benchmarks.torture.crashes import crash_rounds
from benchmarks.torture.ground import Ground, kill
from finrag_eval.record.ledger import LedgerReader

SLOW_SCORER = """
import time

def slow(query, result):
    time.sleep(0.5)
    return 1.0
"""


def test_a_killed_sweep_goes_on_without_losing_or_paying_twice(
    tmp_path: Path, bedrock: LoopbackBedrock, store_uri: str
) -> None:
    ground = Ground(tmp_path / "place", bedrock, store_uri)
    rounds = list(crash_rounds(ground, kills=4, seed=11, trials=100))
    assert sum(one.kills for one in rounds) == 4
    assert [one.broken for one in rounds] == [()] * len(rounds)


def test_a_slow_scorer_keeps_no_answer_from_the_ledger(
    tmp_path: Path, bedrock: LoopbackBedrock
) -> None:
    ground = Ground(tmp_path / "place", bedrock, f"sqlite:///{tmp_path}/none.db")
    sweep = ground.lay(
        questions=60,
        scorers=[{"name": "slow", "kind": "python", "function": "slow_scorer:slow"}],
        execution={"concurrency": 4},
    )
    (ground.folder / "slow_scorer.py").write_text(SLOW_SCORER, encoding="utf-8")
    bedrock.programme(latency_s=0.02)
    process = ground.start("run", str(sweep), "--no-tracking", "--quiet")
    while sum(one["answered"] for one in bedrock.ledger()) < 60:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    kill(process)
    answered = sum(one["answered"] for one in bedrock.ledger())
    with LedgerReader.open(ground.sweep_folder) as reader:
        recorded = reader.counts().succeeded
    assert answered - 4 <= recorded <= answered
