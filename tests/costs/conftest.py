"""Stores for the tests of spending."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from spend_parts import MadeSweep, record_sweep

from finrag_eval.record.store import Store, open_store


@pytest.fixture(scope="session")
def empty_store(
    template_store: Path,
    made_once: Callable[[str, Callable[[Path], None]], Path],
    make_store: Callable[[Path, str], None],
) -> Path:
    """A store with the experiment "Tests" in it, to copy."""

    def make(folder: Path) -> None:
        shutil.copy(template_store, folder / "mlflow.db")
        make_store(folder / "mlflow.db", "Tests")

    return made_once("costs-store", make) / "mlflow.db"


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    """A fresh SQLite store of this test."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


Recorder = Callable[..., str]


@pytest.fixture
def recording(uri: str, tmp_path: Path) -> Iterator[Recorder]:
    """Records sweeps in this test's store, each in the experiment that it names."""
    opened: dict[str, Store] = {}

    def record(sweep: MadeSweep, **options: object) -> str:
        if sweep.experiment not in opened:
            opened[sweep.experiment] = open_store(uri, sweep.experiment)
        folder = tmp_path / "results" / sweep.sweep_id
        return record_sweep(opened[sweep.experiment], folder, sweep, **options)  # type: ignore[arg-type]

    yield record
    for store in opened.values():
        store.engine.dispose()
