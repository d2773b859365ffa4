"""kill -9 and go on: a short version of the campaign in benchmarks/torture."""

from __future__ import annotations

from pathlib import Path

from loopback.fixture import LoopbackBedrock

from benchmarks.torture.crashes import crash_rounds
from benchmarks.torture.ground import Ground


def test_a_killed_sweep_goes_on_without_losing_or_paying_twice(
    tmp_path: Path, bedrock: LoopbackBedrock, store_uri: str
) -> None:
    ground = Ground(tmp_path / "place", bedrock, store_uri)
    rounds = list(crash_rounds(ground, kills=4, seed=11, trials=100))
    assert sum(one.kills for one in rounds) == 4
    assert [one.broken for one in rounds] == [()] * len(rounds)
