"""``--set key.path=value`` changes a sweep as if it had been written so."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from finrag_eval.domain import GateSpec, MaxFailed, PromptVersion
from finrag_eval.spec.sweeps import Asked

Reader = Callable[..., Asked]
Problems = Callable[..., list[str]]


def test_a_value_deep_in_the_sweep_is_set(read: Reader) -> None:
    spec = read("budget: {max_usd: 1}", overrides=("budget.max_usd=2.50",)).spec
    assert spec.budget.max_usd == Decimal("2.50")


def test_sections_that_are_not_there_are_made(read: Reader) -> None:
    spec = read(overrides=("execution.concurrency=3", "on_error.max_failed=5%")).spec
    assert spec.execution.concurrency == 3
    assert spec.on_error == MaxFailed(share=0.05)


def test_later_overrides_win(read: Reader) -> None:
    assert read(overrides=("repeats=2", "repeats=3")).spec.repeats == 3


def test_a_short_form_makes_room_for_more(read: Reader) -> None:
    assert len(read(overrides=("query_set.limit=1",)).query_set.queries) == 1


def test_whole_lists_and_mappings_can_be_set(read: Reader) -> None:
    spec = read(
        overrides=("models=[dear, cheap]", "prompts=[{system: v2, query: v1}]", "scorers=[exact]")
    ).spec
    assert spec.models == ("dear", "cheap")
    assert spec.prompts == (PromptVersion(system="v2", query="v1"),)


@pytest.mark.parametrize("path", ["prompts[0].system", "prompts.0.system"])
def test_items_of_lists_are_counted_from_0(path: str, read: Reader) -> None:
    assert read(overrides=(f"{path}=v2",)).spec.prompts[0].system == "v2"


def test_what_is_typed_needs_no_quotes_to_be_text(read: Reader) -> None:
    spec = read(overrides=("prompts[0].system=2.10", "name=7", "experiment=no")).spec
    assert (spec.prompts[0].system, spec.name, spec.experiment) == ("2.10", "7", "no")


def test_text_may_hold_equals_signs_and_json_quotes(read: Reader) -> None:
    spec = read(overrides=("experiment=a=b", 'tags.team="x: y"')).spec
    assert spec.experiment == "a=b"
    assert spec.tags == {"team": "x: y"}


@pytest.mark.parametrize(
    "path",
    ["gate.score.exact.min_mean", 'gate."score.exact".min_mean', "gate.'score.exact'.min_mean"],
)
def test_metric_names_with_dots_are_one_key(path: str, read: Reader) -> None:
    spec = read("scorers: [exact]", overrides=(f"{path}=0.5",)).spec
    assert spec.gate == (GateSpec(metric="score.exact", rule="min_mean", bound=0.5),)


def test_cells_with_dots_are_one_key_where_they_are_written(read: Reader) -> None:
    spec = read(
        "budget: {per_cell: {cheap.v1-v1: 1}}", overrides=("budget.per_cell.cheap.v1-v1=2",)
    ).spec
    assert spec.budget.per_cell == {"cheap.v1-v1": Decimal(2)}


def test_paths_that_are_typed_are_relative_to_the_working_directory(
    read: Reader, problems: Problems
) -> None:
    assert read(overrides=("query_set.path=questions.jsonl",)).spec.query_set.endswith(
        "questions.jsonl"
    )
    assert problems(overrides=("query_set.path=gone.jsonl",)) == [
        "--set query_set.path: query_set.path: there is no query set gone.jsonl; "
        "check the path; it is relative to the file it is written in"
    ]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (
            "repeats",
            "--set repeats: is not key.path=value; write key.path=value, as in budget.max_usd=2",
        ),
        (
            "a..b=1",
            "--set a..b=1: is not key.path=value; write key.path=value, as in budget.max_usd=2",
        ),
        (
            "=1",
            "--set =1: is not key.path=value; write key.path=value, as in budget.max_usd=2",
        ),
        (
            "prompts[2].system=v1",
            "--set prompts[2].system: there is no item 2 in a list of 1; "
            "name a key, or the number of a list's item counted from 0",
        ),
        (
            "budget={",
            "--set budget: not readable as YAML: did not find expected node content; "
            "check indentation, brackets and quotes",
        ),
        (
            "budget.max_usd=-1",
            "--set budget.max_usd: budget.max_usd: -1 is impossible; write an amount at least 0",
        ),
        (
            "execution.concurency=4",
            "--set execution.concurency: execution.concurency: there is no key of execution "
            "'concurency'; did you mean 'concurrency'? known: address, attempt_timeout_s, "
            "backend, concurrency, grace_s, job_hours, max_attempts, max_records, min_records, "
            "mode, poll_s, role_arn, s3_uri, timeout_s",
        ),
        ("name=", "--set name: name: is empty; write text"),
    ],
)
def test_an_override_that_is_wrong_is_told_by_its_own_text(
    override: str, problem: str, problems: Problems
) -> None:
    assert problems(overrides=(override,)) == [problem]
