"""A place to run sweeps in."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_place import Place, questions_text


@pytest.fixture
def place(tmp_path: Path, store_uri: str, project: Path) -> Place:
    """A folder with the shipped models, five questions and a fresh store."""
    made = Place(folder=tmp_path, store_uri=store_uri)
    made.write("ml_config.yaml", (project / "ml_config.yaml").read_text(encoding="utf-8"))
    made.write("questions.jsonl", questions_text())
    return made
