"""The JSON Schema for editors says what the reader says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finrag_eval.spec.schema import schema_text, sweep_schema

from .conftest import SWEEP

SHIPPED = ["quickstart", "nightly_model_comparison", "prompt_ab", "cost_budget"]


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(sweep_schema())
    return jsonschema.Draft202012Validator(sweep_schema())


def test_the_file_for_editors_is_current(project: Path) -> None:
    assert (project / "sweep.schema.json").read_text() == schema_text(), (
        "run: python -m finrag_eval.spec.schema > sweep.schema.json"
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sweeps_are_accepted(name: str, validator: Any, project: Path) -> None:
    text = (project / "sweeps" / f"{name}.yaml").read_text()
    assert list(validator.iter_errors(yaml.safe_load(text))) == []
    assert text.startswith("# yaml-language-server: $schema=../sweep.schema.json\n")


@pytest.mark.parametrize(
    "line",
    [
        "scorers: [{name: judge, model: KEY, rubric: v1}, {python: a.b:c}]",
        "scorers: [{name: strict, kind: numeric, tolerance: 0.01}]",
        "on_error: {max_failed: 2.5%}",
        "on_error: {max_failed: 3}",
        "query_set: {path: q.csv, where: {year: 2020, difficulty: [easy]}, ids: [1, a]}",
        "target: package.module:callable",
        "tracking: {artifacts: 'sample:10'}",
    ],
)
def test_what_the_reader_accepts_is_accepted(line: str, validator: Any) -> None:
    assert errors(validator, line) == []


@pytest.mark.parametrize(
    "line",
    [
        "repeets: 3",
        "name: 7",
        "name: my sweep",
        "environment: prod",
        "models: cheap",
        "models: []",
        "prompts: [{system: 2.10, query: v1}]",
        "prompts: [{system: v1}]",
        "prompts: [v1]",
        "query_set: {limit: 5}",
        "query_set: {path: q.csv, limit: 0}",
        "query_set: {path: q.csv, sample: {seed: 1}}",
        "query_set: {path: q.csv, columns: {question: q}}",
        "repeats: 0",
        "repeats: 1.5",
        "scorers: [numerical]",
        "scorers: [judge]",
        "scorers: [{name: mine}]",
        "scorers: [{name: numeric, tolerence: 1}]",
        "scorers: [{python: a.b}]",
        "budget: {max_usd: -1}",
        "budget: {max_usd: $5}",
        "budget: {warn_at: 80}",
        "budget: {max: 5}",
        "execution: {concurrency: 0}",
        "execution: {backend: threads}",
        "execution: {timeout_s: 0}",
        "limits: {cheap: {rpm: 0}}",
        "limits: {cheap: {rps: 1}}",
        "on_error: {max_failed: 0.05}",
        "baseline: {model: cheap, system: v1}",
        "gate: {cost_usd: {max: 1}}",
        "equivalence: {cost_usd: 0}",
        "target: my_module.answer",
        "tags: {version: 1.0}",
        "tags: {a=b: x}",
        "tracking: {artifacts: some}",
        "redact: [answers]",
        "reuse: 1",
    ],
)
def test_what_the_reader_refuses_by_itself_is_refused(line: str, validator: Any) -> None:
    assert errors(validator, line) != []


def errors(validator: Any, line: str) -> list[str]:
    sweep = {**yaml.safe_load("\n".join(SWEEP.values())), **yaml.safe_load(line)}
    return [error.message for error in validator.iter_errors(sweep)]


def test_every_key_is_described() -> None:
    assert json.loads(schema_text())["properties"].keys() >= {"name", "models", "gate"}
    for name, shape in sweep_schema()["properties"].items():
        assert shape["description"], name
