"""A sweep is read with everything it needs; every problem is told at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from finrag_eval.domain import (
    BudgetSpec,
    CellRef,
    ExecutionSpec,
    GateSpec,
    MaxFailed,
    PromptVersion,
    RateLimit,
    RetrievalSettings,
    ScorerSpec,
    TrackingSpec,
)
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.spec.located import dump_yaml
from finrag_eval.spec.resolved import spec_from_resolved
from finrag_eval.spec.sweeps import Asked, read_everything, read_scorers

from .conftest import SWEEP, known_prompts

Reader = Callable[..., Asked]
Problems = Callable[..., list[str]]

EVERYTHING = """\
name: everything
experiment: All Keys
environment: production
models: [dear, cheap]
prompts:
  - {system: v1, query: v1}
  - {system: '2.10', query: v2}
query_set:
  path: questions.jsonl
  columns: {query: query}
  where: {difficulty: [easy, hard]}
  ids: [q1, q2]
  sample: {n: 2, seed: 3}
  limit: 1
retrieval: {include_kpi: false, include_rag: true, top_k: 3, options: {k1: 1.5}}
repeats: 3
scorers:
  - numeric
  - {name: strict, kind: numeric, tolerance: 1e-6}
  - {name: judge, model: dear, rubric: v1}
  - {python: package.module:my_score}
budget: {max_usd: 5.00, warn_at: 0.5, per_model: {dear: 1.25}, per_cell: {cheap.v1-v1: 0.10}}
execution: {backend: dask, address: 'tcp://127.0.0.1:8786', concurrency: 16, timeout_s: 600}
limits: {dear: {tpm: 40000}, cheap: {rpm: 10}}
on_error: {max_failed: 2.5%}
baseline: {model: dear, system: v1, query: v1}
gate: {score.strict: {min_delta: -0.02, min_mean: 0.5}, cost_usd: {max_ratio: 1.2}}
equivalence: {score.strict: 0.02}
target: package.module:answer
tags: {team: research}
tracking: {lane: public, artifacts: 'sample:10', traces: true, on_unreachable: stop}
redact: [context]
reuse: true
"""


def test_a_short_sweep_has_the_defaults_of_the_contract(read: Reader, folder: Path) -> None:
    spec = read().spec
    assert (spec.name, spec.experiment, spec.environment) == ("nightly", "Models", "development")
    assert spec.models == ("cheap",)
    assert spec.prompts == (PromptVersion(system="v1", query="v1"),)
    assert spec.query_set == str(folder / "questions.jsonl")
    assert spec.retrieval == RetrievalSettings()
    assert spec.budget == BudgetSpec()
    assert spec.execution == ExecutionSpec()
    assert spec.on_error == MaxFailed()
    assert spec.tracking == TrackingSpec()
    assert (spec.repeats, spec.target, spec.reuse) == (1, "finrag", False)
    assert spec.baseline is None
    assert spec.source == folder / "sweep.yaml"


def test_every_key_is_read(folder: Path) -> None:
    (folder / "all.yaml").write_text(EVERYTHING)
    asked = read_everything(Path("all.yaml"), known_prompts=known_prompts)
    spec = asked.spec
    assert spec.environment == "production"
    assert spec.prompts[1] == PromptVersion(system="2.10", query="v2")
    assert [query.id for query in asked.query_set.queries] == ["q1"]
    assert spec.retrieval == RetrievalSettings(include_kpi=False, top_k=3, options={"k1": 1.5})
    assert spec.scorers == (
        ScorerSpec(name="numeric", kind="numeric"),
        ScorerSpec(name="strict", kind="numeric", options={"tolerance": 1e-6}),
        ScorerSpec(name="judge", kind="judge", options={"model": "dear", "rubric": "v1"}),
        ScorerSpec(name="my_score", kind="python", options={"function": "package.module:my_score"}),
    )
    assert spec.budget == BudgetSpec(
        max_usd=Decimal("5"),
        warn_at=0.5,
        per_model={"dear": Decimal("1.25")},
        per_cell={"cheap.v1-v1": Decimal("0.1")},
    )
    assert spec.execution == ExecutionSpec(
        backend="dask", concurrency=16, timeout_s=600, settings={"address": "tcp://127.0.0.1:8786"}
    )
    assert spec.on_error == MaxFailed(share=0.025)
    assert spec.baseline == CellRef(
        model_key="dear", prompts=PromptVersion(system="v1", query="v1")
    )
    assert spec.gate == (
        GateSpec(metric="score.strict", rule="min_delta", bound=-0.02),
        GateSpec(metric="score.strict", rule="min_mean", bound=0.5),
        GateSpec(metric="cost_usd", rule="max_ratio", bound=1.2),
    )
    assert spec.margins == {"score.strict": 0.02}
    assert spec.target == "package.module:answer"
    assert spec.tags == {"team": "research"}
    assert spec.tracking == TrackingSpec(
        lane="public", artifacts="sample:10", traces=True, on_unreachable="stop"
    )
    assert spec.redact == ("context",)
    assert spec.reuse is True


def test_a_gate_remembers_where_it_was_written(folder: Path) -> None:
    (folder / "all.yaml").write_text(EVERYTHING)
    spec = read_everything(Path("all.yaml"), known_prompts=known_prompts).spec
    assert str(spec.gate[2].where) == "all.yaml:27"


def test_rates_of_the_config_hold_where_the_sweep_says_none(folder: Path) -> None:
    (folder / "all.yaml").write_text(EVERYTHING)
    spec = read_everything(Path("all.yaml"), known_prompts=known_prompts).spec
    assert spec.limits == {"dear": RateLimit(rpm=60, tpm=40000), "cheap": RateLimit(rpm=10)}


def test_retrieval_of_the_config_holds_where_the_sweep_says_none(
    read: Reader, folder: Path
) -> None:
    (folder / "chunks.jsonl").write_text("")
    with (folder / "ml_config.yaml").open("a") as config:
        config.write("finrag_eval: {corpus: chunks.jsonl, retriever_options: {b: 0.7}}\n")
    assert read().spec.retrieval.corpus == str(folder / "chunks.jsonl")
    assert read().spec.retrieval.options == {"b": 0.7}
    assert read("retrieval: {corpus: embedded}").spec.retrieval.corpus is None


@pytest.mark.parametrize("text", [EVERYTHING, "\n".join(SWEEP.values())])
def test_a_resolved_sweep_is_read_back_as_the_same_spec(text: str, folder: Path) -> None:
    (folder / "all.yaml").write_text(text)
    spec = read_everything(Path("all.yaml"), known_prompts=known_prompts).spec
    resolved = json.loads(json.dumps(spec.resolved))
    (folder / "elsewhere").mkdir()
    again = folder / "elsewhere" / "resolved.yaml"
    again.write_text(dump_yaml(resolved))
    assert spec_from_resolved(resolved) == spec
    assert read_everything(again, known_prompts=known_prompts).spec == spec


def test_the_resolved_sweep_has_no_environment_in_it(
    read: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-record")
    assert "do-not-record" not in json.dumps(read().spec.resolved)


def test_paths_are_relative_to_the_file_they_are_written_in(folder: Path) -> None:
    (folder / "sweeps").mkdir()
    lines = {**SWEEP, "query_set": "query_set: ../questions.jsonl"}
    (folder / "sweeps" / "s.yaml").write_text("\n".join(lines.values()))
    asked = read_everything(Path("sweeps/s.yaml"), known_prompts=known_prompts)
    assert asked.spec.query_set == str(folder / "questions.jsonl")


def test_all_problems_of_all_files_come_at_once(folder: Path) -> None:
    (folder / "questions.jsonl").write_text('{"query": 1}\n{"query": "a"}\n{"query": "a"}\n')
    (folder / "sweep.yaml").write_text(
        "name: s\n"
        "experiment: no\n"
        "models: [cheap, chep, unpriced]\n"
        "prompts:\n"
        "  - {system: 2.10, query: v9}\n"
        "query_set: questions.jsonl\n"
        "budget: {max_usd: -5}\n"
        "budget: {max_usd: 5}\n"
        "repeets: 3\n"
    )
    with pytest.raises(InvalidInput) as caught:
        read_everything(Path("sweep.yaml"), known_prompts=known_prompts)
    assert [(problem.file, problem.line, problem.key) for problem in caught.value.problems] == [
        ("sweep.yaml", 2, "experiment"),
        ("sweep.yaml", 3, "models[1]"),
        ("sweep.yaml", 5, "prompts[0].system"),
        ("sweep.yaml", 5, "prompts[0].query"),
        ("sweep.yaml", 7, "budget.max_usd"),
        ("sweep.yaml", 8, "budget"),
        ("sweep.yaml", 9, "repeets"),
        ("ml_config.yaml", 16, "serving_models.unpriced"),
        ("ml_config.yaml", 16, "serving_models.unpriced"),
        ("questions.jsonl", 1, "query"),
        ("questions.jsonl", 3, "id"),
    ]
    assert all(problem.fix for problem in caught.value.problems)


def test_a_problem_as_json_has_the_five_fields_of_the_contract(folder: Path) -> None:
    (folder / "sweep.yaml").write_text("\n".join({**SWEEP, "name": "name: 7"}.values()))
    with pytest.raises(InvalidInput) as caught:
        read_everything(Path("sweep.yaml"), known_prompts=known_prompts)
    assert [problem.as_json() for problem in caught.value.problems] == [
        {
            "file": "sweep.yaml",
            "line": 1,
            "key": "name",
            "message": "7 is read as the number 7",
            "fix": "quote it: '7'",
        }
    ]


def test_what_is_wrong_with_the_prompts_folder_is_told_too(folder: Path) -> None:
    (folder / "sweep.yaml").write_text("\n".join({**SWEEP, "name": "name: 7"}.values()))
    wrong = Problem(file="prompts/v3.yaml", line=2, message="has no text", fix="write it")

    def broken_prompts(folder: Path | None) -> tuple[set[str], set[str]]:
        raise InvalidInput([wrong])

    with pytest.raises(InvalidInput) as caught:
        read_everything(Path("sweep.yaml"), known_prompts=broken_prompts)
    assert caught.value.problems[1] == wrong


def test_a_target_of_ones_own_knows_its_prompts_and_providers_itself(
    read: Reader, folder: Path
) -> None:
    with (folder / "ml_config.yaml").open("a") as config:
        config.write(
            "  local: {provider: mine, model_id: m, max_tokens: 5, "
            "cost_per_1k_input: 0, cost_per_1k_output: 0}\n"
        )
    asked = read(
        "target: my.module:answer",
        models="models: [local]",
        prompts="prompts: [{system: mine, query: mine}]",
    )
    assert asked.spec.target == "my.module:answer"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "s.yaml:1: empty; a sweep file is a mapping of keys, each as 'key: value'"),
        (
            b"- a",
            "s.yaml:1: a list, not a mapping; "
            "a sweep file is a mapping of keys, each as 'key: value'",
        ),
        (
            b"just text",
            "s.yaml:1: the text 'just text', not a mapping; "
            "a sweep file is a mapping of keys, each as 'key: value'",
        ),
        (b"name: x\nexperiment: \xe9", "s.yaml:2: not UTF-8: byte 0xe9; save the file as UTF-8"),
        (
            "name: x".encode("utf-16"),
            "s.yaml:1: not UTF-8 but UTF-16; save the file as UTF-8",
        ),
        (
            b"name: [",
            "s.yaml:2: not readable as YAML: did not find expected node content; "
            "check indentation, brackets and quotes",
        ),
    ],
)
def test_a_file_that_is_no_sweep_says_why(content: bytes, problem: str, folder: Path) -> None:
    (folder / "s.yaml").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        read_everything(Path("s.yaml"), known_prompts=known_prompts)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("sweap.yaml", "sweap.yaml: no such sweep file; near it: ml_config.yaml"),
        (
            "nowhere/s.yaml",
            "nowhere/s.yaml: no such sweep file; there is no folder nowhere either; check the path",
        ),
        (".", ".: a folder, where a sweep file is wanted; name a file in it"),
    ],
)
def test_a_file_that_is_missing_says_where_to_look(path: str, problem: str, folder: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_everything(Path(path), known_prompts=known_prompts)
    assert str(caught.value) == problem


def test_a_missing_model_config_does_not_hide_the_sweeps_own_problems(folder: Path) -> None:
    (folder / "ml_config.yaml").unlink()
    (folder / "sweep.yaml").write_text("\n".join({**SWEEP, "name": "name: 7"}.values()))
    with pytest.raises(InvalidInput) as caught:
        read_everything(Path("sweep.yaml"), known_prompts=known_prompts)
    assert [problem.file for problem in caught.value.problems] == ["sweep.yaml", "ml_config.yaml"]


def test_a_sweep_of_billed_models_without_a_cap_is_warned_of(read: Reader) -> None:
    asked = read(models="models: [dear, cheap]")
    assert asked.warnings == ("no budget.max_usd: nothing bounds what dear may cost",)
    assert read("budget: {max_usd: 1}", models="models: [dear]").warnings == ()


def test_a_scorer_that_can_score_nothing_is_warned_of(read: Reader) -> None:
    assert read("scorers: [rouge_l, numeric, citation]").warnings == (
        "scorer rouge_l: no query has expected_answer; all is unscored",
    )


def test_warnings_of_the_config_matter_only_for_models_that_are_used(
    read: Reader, folder: Path
) -> None:
    config = folder / "ml_config.yaml"
    config.write_text(
        config.read_text().replace("temperature: 0.1", "temperature: 0.1\n    top_p: 1")
    )
    assert read().warnings == ()
    (warning,) = read("budget: {max_usd: 1}", models="models: [dear]").warnings
    assert "temperature 0.1 is sent, top_p 1.0 is not" in warning


def test_scorers_are_read_from_a_command_line() -> None:
    assert read_scorers(["numeric", "{name: strict, kind: numeric, tolerance: 0}"]) == (
        ScorerSpec(name="numeric", kind="numeric"),
        ScorerSpec(name="strict", kind="numeric", options={"tolerance": 0.0}),
    )


def test_wrong_scorers_on_a_command_line_are_told_together() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_scorers(["numerc", "[a"])
    assert [str(problem) for problem in caught.value.problems] == [
        "--scorers: not readable as YAML: did not find expected ',' or ']'; "
        "check indentation, brackets and quotes",
        "--scorers: [0]: 'numerc' is not one of its values; did you mean 'numeric'? known: "
        "boolean, citation, contains, exact, grounded, judge, list, numeric, python, refusal, "
        "regex, rouge_l",
    ]


@pytest.mark.parametrize(
    "name", ["quickstart", "nightly_model_comparison", "prompt_ab", "cost_budget"]
)
def test_shipped_sweeps_are_valid_and_warn_of_nothing(name: str, project: Path) -> None:
    asked = read_everything(
        project / "sweeps" / f"{name}.yaml",
        known_prompts=known_prompts,
        config=project / "ml_config.yaml",
    )
    assert asked.warnings == ()
    assert asked.spec.name == name.replace("_", "-")


def test_the_quickstart_has_160_offline_trials(project: Path) -> None:
    asked = read_everything(
        project / "sweeps" / "quickstart.yaml",
        known_prompts=known_prompts,
        config=project / "ml_config.yaml",
    )
    cells = len(asked.spec.models) * len(asked.spec.prompts)
    assert cells * len(asked.query_set.queries) == 160
    assert {asked.ml_config.model(key).provider for key in asked.spec.models} == {"rehearsal"}
