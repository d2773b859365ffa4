"""The notebooks, run from a clean kernel against a real sweep."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install -e .[test]")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install -e .[test]")
pytest.importorskip("ipykernel", reason="needs ipykernel: pip install -e .[test]")

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: At least so many pictures each.
PICTURES = {
    "01_read_a_sweep": 3,
    "02_model_comparison": 3,
    "03_prompt_ab": 2,
    "04_cost_budget": 2,
    "05_retrieval_analysis": 4,
}


def read(notebook: Path) -> Any:
    return nbformat.read(notebook, as_version=4)


def test_there_are_the_five_that_the_readme_promises() -> None:
    assert [notebook.stem for notebook in NOTEBOOKS] == list(PICTURES)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_short_and_committed_without_outputs(notebook: Path) -> None:
    cells = read(notebook).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert 5 <= len(code) <= 9
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert all("/home/" not in cell.source and "/work/" not in cell.source for cell in cells)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*TCP without encryption.*")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_it_runs_from_a_clean_kernel(notebook: Path, workplace: Path, tmp_path: Path) -> None:
    """In a copy of a user's folder, opened where notebooks are: beside the others."""
    place = tmp_path / "project"
    shutil.copytree(workplace, place)
    shutil.copytree(FOLDER, place / "notebooks", ignore=shutil.ignore_patterns(".*"))
    ran = read(notebook)
    nbclient.NotebookClient(
        ran,
        timeout=180,
        kernel_name="python3",
        resources={"metadata": {"path": str(place / "notebooks")}},
    ).execute()
    outputs = [output for cell in ran.cells for output in cell.get("outputs", ())]
    said = [output.text for output in outputs if output.get("name") == "stderr"]
    assert [text for text in said if "TCP without encryption" not in text] == []
    pictures = [one for one in outputs if "image/png" in one.get("data", {})]
    assert len(pictures) >= PICTURES[notebook.stem]
