"""Every fault at its rate, by the real program: a short version of benchmarks/torture/bedrock."""

from __future__ import annotations

from pathlib import Path

from loopback.fixture import LoopbackBedrock

from benchmarks.torture.bedrock import faulty_night
from benchmarks.torture.ground import Ground


def test_every_trial_of_a_faulty_night_succeeds_at_its_exact_price(
    tmp_path: Path, store_uri: str, bedrock: LoopbackBedrock
) -> None:
    ground = Ground(tmp_path / "place", bedrock, store_uri)
    assert faulty_night(ground, trials=200, seed=5).broken == ()
