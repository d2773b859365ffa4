"""A folder with a model config, a query set and a sweep file to be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from finrag_eval.errors import InvalidInput
from finrag_eval.spec.sweeps import Asked, read_everything

ML_CONFIG = """\
serving_models:
  default_serving_model: cheap
  dear:
    model_id: us.anthropic.claude-haiku-4-5-20251001-v1:0
    max_tokens: 1000
    temperature: 0.1
    cost_per_1k_input: 0.0011
    cost_per_1k_output: 0.0055
    rpm: 60
  cheap:
    provider: rehearsal
    variant: kpi
    model_id: rehearsal
    max_tokens: 500
    price_as: dear
  unpriced:
    model_id: amazon.nova-micro-v1:0
    max_tokens: 500
"""

SWEEP = {
    "name": "name: nightly",
    "experiment": "experiment: Models",
    "models": "models: [cheap]",
    "prompts": "prompts: [{system: v1, query: v1}]",
    "query_set": "query_set: questions.jsonl",
}

QUESTIONS = """\
{"id": "q1", "query": "What was revenue?", "expected_value": 1, "difficulty": "easy"}
{"id": "q2", "query": "What was income?", "expected_value": 2, "difficulty": "hard"}
"""


def known_prompts(folder: Path | None) -> tuple[set[str], set[str]]:
    """The prompt versions of these tests."""
    return {"v1", "v2", "2.10"}, {"v1", "v2"}


Reader = Callable[..., Asked]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with ``ml_config.yaml`` and ``questions.jsonl``."""
    (tmp_path / "ml_config.yaml").write_text(ML_CONFIG)
    (tmp_path / "questions.jsonl").write_text(QUESTIONS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def read(folder: Path) -> Reader:
    """Reads a sweep of the usual lines, some of them replaced, and ``more`` lines."""

    def read(*more: str, overrides: tuple[str, ...] = (), **replaced: str) -> Asked:
        lines = {**SWEEP, **replaced}
        text = "\n".join([*(line for line in lines.values() if line), *more]) + "\n"
        (folder / "sweep.yaml").write_text(text)
        return read_everything(Path("sweep.yaml"), known_prompts=known_prompts, overrides=overrides)

    return read


@pytest.fixture
def problems(read: Reader) -> Callable[..., list[str]]:
    """The problems that reading such a sweep gives, as lines."""

    def problems(*more: str, overrides: tuple[str, ...] = (), **replaced: str) -> list[str]:
        with pytest.raises(InvalidInput) as caught:
            read(*more, overrides=overrides, **replaced)
        return [str(problem) for problem in caught.value.problems]

    return problems
