"""Stores for the tests of recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tracking_parts import SweepInLedger


@pytest.fixture
def new_sweep(tmp_path: Path) -> Iterator[Callable[..., SweepInLedger]]:
    """Makes sweeps in ledgers, and lets go of them at the end."""
    made: list[SweepInLedger] = []

    def make(**changes: object) -> SweepInLedger:
        sweep = SweepInLedger(folder=tmp_path / f"sweep{len(made)}", **changes)  # type: ignore[arg-type]
        made.append(sweep)
        return sweep

    yield make
    for sweep in made:
        sweep.close()
