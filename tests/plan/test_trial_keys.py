"""A trial's key names what decides its answer, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.domain import (
    ModelConfig,
    Prices,
    PromptTexts,
    PromptVersion,
    Query,
    QuerySet,
    SweepSpec,
)
from finrag_eval.plan import Plan, expand


def model(key: str, **changes: object) -> ModelConfig:
    plain = ModelConfig(
        key=key,
        provider="rehearsal",
        model_id="reader",
        display_name=key,
        max_tokens=100,
        prices=Prices(cost_per_1k_input=Decimal("0.001"), cost_per_1k_output=Decimal("0.005")),
        settings={"variant": "kpi"},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def prompt(system: str, text: str) -> PromptTexts:
    return PromptTexts(
        version=PromptVersion(system=system, query="v1"),
        system_text=text,
        query_text="{context}{query}",
        digest=text,
    )


def plan(
    models: list[ModelConfig],
    prompts: list[PromptTexts],
    queries: list[Query],
    repeats: int = 1,
) -> Plan:
    spec = SweepSpec(
        name="s",
        experiment="e",
        models=tuple(model.key for model in models),
        prompts=tuple(prompt.version for prompt in prompts),
        query_set="q.jsonl",
        repeats=repeats,
    )
    return expand(
        spec,
        models=models,
        prompts=prompts,
        query_set=QuerySet(queries=tuple(queries), digest="d", source="q.jsonl"),
        retrieval_digest="r",
    )


def keys(of: Plan) -> dict[tuple[str, str, int], str]:
    return {(trial.cell, trial.query_id, trial.repeat): trial.key for trial in of.trials()}


QUERIES = [Query(id=f"q{n}", query=f"What was figure {n}?") for n in range(4)]


def test_a_plan_counts_every_cell_query_and_repeat_once() -> None:
    made = plan([model("a"), model("b", max_tokens=5)], [prompt("v1", "x")], QUERIES, repeats=3)
    assert made.trial_count == 2 * 4 * 3
    assert len(set(keys(made).values())) == made.trial_count == len(keys(made))


@given(st.permutations(QUERIES), st.permutations(["a", "b", "c"]))
def test_keys_do_not_depend_on_the_order_of_anything(
    queries: list[Query], names: list[str]
) -> None:
    models = {"a": model("a"), "b": model("b"), "c": model("c", temperature=0.5)}
    expected = keys(plan(list(models.values()), [prompt("v1", "x"), prompt("v2", "x")], QUERIES))
    shuffled = plan(
        [models[name] for name in names], [prompt("v2", "x"), prompt("v1", "x")], queries
    )
    assert keys(shuffled) == expected


def test_prices_labels_and_rates_leave_the_key_alone() -> None:
    dear = Prices(cost_per_1k_input=Decimal(9), cost_per_1k_output=Decimal(9))
    changed = model(
        "a", prices=dear, display_name="other", settings={"variant": "kpi", "rpm": 5, "notes": "n"}
    )
    texts = [prompt("v1", "x")]
    assert keys(plan([changed], texts, QUERIES)) == keys(plan([model("a")], texts, QUERIES))


def test_whatever_decides_an_answer_changes_the_key() -> None:
    before = set(keys(plan([model("a")], [prompt("v1", "x")], QUERIES)).values())
    for changed in (
        plan([model("a", temperature=0.1)], [prompt("v1", "x")], QUERIES),
        plan([model("a", max_tokens=101)], [prompt("v1", "x")], QUERIES),
        plan([model("a", model_id="other")], [prompt("v1", "x")], QUERIES),
        plan([model("a", settings={"variant": "narrative"})], [prompt("v1", "x")], QUERIES),
        plan([model("a")], [prompt("v1", "y")], QUERIES),
        plan([model("a")], [prompt("v1", "x")], [replace(q, context="own") for q in QUERIES]),
    ):
        assert before.isdisjoint(keys(changed).values())


def test_renaming_a_model_key_or_a_prompt_version_keeps_the_key() -> None:
    before = plan([model("a")], [prompt("v1", "x")], QUERIES)
    after = plan([model("z")], [prompt("v9", "x")], QUERIES)
    assert set(keys(before).values()) == set(keys(after).values())


def test_equal_trials_are_numbered_by_cell_then_query_id() -> None:
    twice = [Query(id="q2", query="Same?"), Query(id="q1", query="Same?")]
    made = keys(plan([model("b"), model("a")], [prompt("v1", "x")], twice))
    base = made["a.v1-v1", "q1", 1]
    assert "-" not in base
    assert made["a.v1-v1", "q2", 1] == f"{base}-1"
    assert made["b.v1-v1", "q1", 1] == f"{base}-2"
    assert made["b.v1-v1", "q2", 1] == f"{base}-3"


def test_a_plan_leaves_out_what_is_done() -> None:
    made = plan([model("a")], [prompt("v1", "x")], QUERIES)
    done = frozenset(trial.key for trial in list(made.trials())[:3])
    assert [trial.query_id for trial in made.without(done)] == ["q3"]
