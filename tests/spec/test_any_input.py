"""Whatever stands in the files, reading them ends in a sweep or in InvalidInput, not in a crash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from finrag_eval.errors import InvalidInput
from finrag_eval.spec.located import dump_yaml
from finrag_eval.spec.sweeps import read_everything

from .conftest import ML_CONFIG, QUESTIONS, known_prompts
from .test_sweeps import EVERYTHING

SWEEP: dict[str, Any] = yaml.safe_load(EVERYTHING)
CONFIG: dict[str, Any] = {
    **yaml.safe_load(ML_CONFIG),
    "finrag_eval": {"query_log": "none", "retriever": "bm25", "aws": {"region": "r"}},
}

Place = tuple[Any, ...]


def places(data: Any, place: Place = ()) -> Iterator[Place]:
    """The paths to everything in plain data."""
    yield place
    if isinstance(data, dict | list):
        for key, item in data.items() if isinstance(data, dict) else enumerate(data):
            yield from places(item, (*place, key))


def changed(data: Any, place: Place, value: Any) -> Any:
    """A copy of plain data with another value at a place."""
    if not place:
        return value
    copied = dict(data) if isinstance(data, dict) else list(data)
    copied[place[0]] = changed(data[place[0]], place[1:], value)
    return copied


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats(allow_nan=True)
    | st.sampled_from(["", "v1", "cheap", "numeric", "5%", "1e-6", "a.b:c", "s3://b", "judge"])
)
ANY = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "kind", "path", "n", "model", "system", "max_usd", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("any")
    before = Path.cwd()
    os.chdir(folder)
    (folder / "questions.jsonl").write_text(QUESTIONS)
    yield folder
    os.chdir(before)


def read(sweep: Any, config: Any) -> None:
    Path("sweep.yaml").write_text(dump_yaml(sweep))
    Path("ml_config.yaml").write_text(dump_yaml(config))
    problems = []
    try:
        read_everything(Path("sweep.yaml"), known_prompts=known_prompts)
    except InvalidInput as error:
        problems = [*error.problems]
        assert problems != []
    assert all(problem.message and problem.fix for problem in problems)


def test_the_files_that_are_changed_here_are_right(folder: Path) -> None:
    Path("sweep.yaml").write_text(dump_yaml(SWEEP))
    Path("ml_config.yaml").write_text(dump_yaml(CONFIG))
    assert read_everything(Path("sweep.yaml"), known_prompts=known_prompts).spec.repeats == 3


@settings(max_examples=120)
@given(st.sampled_from(sorted(places(SWEEP), key=str)), ANY)
def test_a_sweep_with_anything_anywhere(folder: Path, place: Place, value: Any) -> None:
    read(changed(SWEEP, place, value), CONFIG)


@settings(max_examples=80)
@given(st.sampled_from(sorted(places(CONFIG), key=str)), ANY)
def test_a_config_with_anything_anywhere(folder: Path, place: Place, value: Any) -> None:
    read(SWEEP, changed(CONFIG, place, value))
