"""The statistics' promises on a few simulated sweeps; ``benchmarks/aa_law.py`` tries thousands."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "aa_law.py"


@pytest.fixture(scope="module")
def law() -> ModuleType:
    spec = importlib.util.spec_from_file_location("aa_law", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["aa_law"] = module
    spec.loader.exec_module(module)
    return module


def test_identical_cells_have_no_winner(law: ModuleType) -> None:
    rows = list(law.aa_rows(6, seed=6))
    assert [row.holds for row in rows] == [True] * 3


def test_intervals_hold_the_truth(law: ModuleType) -> None:
    rows = list(law.coverage_rows(200, seed=6, sizes=(1, 4)))
    assert [row.what for row in rows if row.high <= 1 and not row.holds] == []


def test_a_difference_of_mde_is_found(law: ModuleType) -> None:
    shapes = [(law.Shape(smallest=1, largest=3, latency=False), True)]
    (row,) = law.power_rows(150, 6, shapes, pilots=80)
    assert row.holds, row.line()
