"""Stores for the tests of recording."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tracking_parts import SweepInLedger


def pytest_configure(config: pytest.Config) -> None:
    """MLflow 3.17 itself uses what SQLAlchemy 2.1 calls old."""
    config.addinivalue_line("filterwarnings", "ignore:The ``noload``:DeprecationWarning")


@pytest.fixture(scope="session")
def template_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated MLflow database to copy: migrations take a second."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    code = (
        "import sys; from finrag_eval.record.store import open_store; "
        "open_store(sys.argv[1], 'Default', own_process=True)"
    )
    subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{path}"], check=True, capture_output=True
    )
    return path


@pytest.fixture
def store_uri(template_store: Path, tmp_path: Path) -> str:
    """A fresh SQLite store of this test."""
    path = tmp_path / "mlflow.db"
    shutil.copy(template_store, path)
    return f"sqlite:///{path}"


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
