"""A budget is a bound: a short version of the campaign in benchmarks/torture."""

from __future__ import annotations

from pathlib import Path

from loopback.fixture import LoopbackBedrock

from benchmarks.torture.budgets import budget_runs
from benchmarks.torture.ground import Ground


def test_no_cap_is_passed_and_each_is_well_used(tmp_path: Path, bedrock: LoopbackBedrock) -> None:
    ground = Ground(tmp_path / "place", bedrock, f"sqlite:///{tmp_path}/mlflow.db")
    spent = list(budget_runs(ground, runs=4, seed=3, trials=160))
    assert [one.broken for one in spent] == [()] * 4
    assert {one.code for one in spent} == {3}
