"""What a plan says it can find, and where its spread comes from."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from finrag_eval.compare.columns import CellColumns
from finrag_eval.compare.comparing import compare_cells
from finrag_eval.domain import (
    CellRef,
    GateSpec,
    ModelConfig,
    Prices,
    PromptTexts,
    PromptVersion,
    Query,
    QuerySet,
    ScorerSpec,
    SweepSpec,
)
from finrag_eval.estimate.history import FILE_NAME, History, read_history
from finrag_eval.estimate.power import power_report
from finrag_eval.estimate.spreads import remember_spreads
from finrag_eval.plan import Plan, expand

QUERIES = 100


def model(key: str, **changes: Any) -> ModelConfig:
    plain = ModelConfig(
        key=key,
        provider="rehearsal",
        model_id=f"{key}-1",
        display_name=key,
        max_tokens=100,
        prices=Prices(cost_per_1k_input=Decimal("0.001"), cost_per_1k_output=Decimal("0.005")),
    )
    return replace(plain, **changes)


def planned(
    *models: ModelConfig,
    systems: tuple[str, ...] = ("v1", "v2"),
    queries: int = QUERIES,
    digest: str = "q",
    gates: tuple[GateSpec, ...] = (),
    repeats: int = 1,
) -> Plan:
    cells = models or (model("a"),)
    prompts = [
        PromptTexts(
            version=PromptVersion(system=system, query="v1"),
            system_text=system,
            query_text="{query}",
            digest=system,
        )
        for system in systems
    ]
    spec = SweepSpec(
        name="s",
        experiment="e",
        models=tuple(one.key for one in cells),
        prompts=tuple(prompt.version for prompt in prompts),
        query_set="q.jsonl",
        scorers=(ScorerSpec(name="numeric", kind="numeric"),),
        baseline=CellRef(model_key=cells[0].key, prompts=prompts[0].version),
        gate=gates,
        repeats=repeats,
    )
    asked = tuple(
        Query(id=f"q{place}", query=f"What was figure {place}?") for place in range(queries)
    )
    return expand(
        spec,
        models=list(cells),
        prompts=prompts,
        query_set=QuerySet(queries=asked, digest=digest, source="q.jsonl"),
        retrieval_digest="r",
    )


def compared(plan: Plan, *, differ: int, scored: int = QUERIES) -> list[dict[str, Any]]:
    """Comparisons in which candidates fail on ``differ`` queries more than the baseline."""
    names = np.array([f"q{place:03}" for place in range(QUERIES)], dtype=object)
    cells = []
    for place, cell in enumerate(plan.cells):
        scores = np.ones(QUERIES)
        scores[: differ if place else 0] = 0
        scores[scored:] = np.nan
        cells.append(
            CellColumns(
                cell=cell.name,
                query_ids=names,
                clusters=names,
                repeats=np.ones(QUERIES, dtype=np.intp),
                failed=np.zeros(QUERIES, dtype=bool),
                values={"score.numeric": scores, "cost_usd": scores + 1},
            )
        )
    return [one.as_dict() for one in compare_cells(cells[0], cells[1:])]


def taught(folder: Path, plan: Plan, sweep_id: str = "one", **how: int) -> History:
    remember_spreads(folder, sweep_id, plan, compared(plan, **how))
    return read_history(folder)


def numeric(plan: Plan, history: History, **more: Any) -> dict[str, Any]:
    (found,) = power_report(plan, history, **more)["metrics"]
    assert isinstance(found, dict)
    return found


def test_without_records_the_spread_is_assumed_and_said_to_be() -> None:
    found = numeric(planned(), History(), detect=0.05)
    factor = stats.norm.ppf(1 - 0.025 / 4) + stats.norm.ppf(0.8)
    assert found["mde"] == pytest.approx(factor * 0.5 / 10)
    assert found["queries_needed"] == int(np.ceil((factor * 0.5 / 0.05) ** 2))
    assert (found["spread_from"], found["is_recorded"]) == ("assumed", False)


def test_the_recorded_spread_of_the_same_cells_is_that_of_the_pairs(tmp_path: Path) -> None:
    found = numeric(planned(), taught(tmp_path, planned(), differ=8))
    differences = np.r_[np.ones(8), np.zeros(92)]
    assert found["spread"] == pytest.approx(differences.std(ddof=1))
    assert found["spread_from"] == "1 sweep of these cells"


def test_spreads_of_several_sweeps_are_pooled_and_a_sweep_counts_once(tmp_path: Path) -> None:
    taught(tmp_path, planned(), "one", differ=8)
    taught(tmp_path, planned(), "two", differ=50)
    found = numeric(planned(), taught(tmp_path, planned(), "two", differ=20))
    variances = [np.r_[np.ones(count), np.zeros(100 - count)].var(ddof=1) for count in (8, 20)]
    assert found["spread"] == pytest.approx(np.sqrt(np.mean(variances)))
    assert found["spread_from"] == "2 sweeps of these cells"


@pytest.mark.parametrize(
    ("other", "source"),
    [
        (planned(digest="x"), "1 sweep of these cells, other questions"),
        (planned(repeats=3), "1 sweep of these cells"),
        (planned(systems=("v1", "v7")), "1 sweep of these models"),
        (planned(model("b")), "1 sweep of other cells"),
        (planned(model("a"), model("b"), systems=("v1",)), "assumed"),
        (planned(model("a", provider="bedrock")), "assumed"),
    ],
)
def test_the_closest_recorded_pair_stands_in(tmp_path: Path, other: Plan, source: str) -> None:
    assert numeric(planned(), taught(tmp_path, other, differ=8))["spread_from"] == source


def test_where_no_pair_differed_at_most_three_in_n_may(tmp_path: Path) -> None:
    found = numeric(planned(), taught(tmp_path, planned(), differ=0))
    assert found["spread"] == pytest.approx(np.sqrt(3 / 100))
    assert found["spread_from"] == "1 sweep of these cells: none differed"


def test_queries_that_cannot_be_scored_find_nothing(tmp_path: Path) -> None:
    all_of_them = numeric(planned(), taught(tmp_path, planned(), differ=8), detect=0.05)
    half = numeric(planned(), taught(tmp_path, planned(), differ=8, scored=50), detect=0.05)
    assert half["paired"] == 0.5
    ratio = (half["spread"] / all_of_them["spread"]) ** 2 * 2
    assert half["queries_needed"] == pytest.approx(all_of_them["queries_needed"] * ratio, abs=3)


def test_too_few_pairs_tell_nothing(tmp_path: Path) -> None:
    found = numeric(planned(), taught(tmp_path, planned(), differ=2, scored=9))
    assert found["spread_from"] == "assumed"


def test_a_gate_tighter_than_the_queries_can_decide_is_named(tmp_path: Path) -> None:
    tight = GateSpec(metric="score.numeric", rule="min_delta", bound=-0.02)
    loose = GateSpec(metric="score.numeric", rule="min_delta", bound=-0.2)
    greedy = GateSpec(metric="score.numeric", rule="min_delta", bound=0)
    alone = GateSpec(metric="score.numeric", rule="min_mean", bound=0.9)
    plan = planned(gates=(tight, loose, greedy, alone))
    history = taught(tmp_path, planned(), differ=8)
    first, second = power_report(plan, history)["tight_gates"]
    se = numeric(plan, history)["spread"] / 10
    assert first["gate"] == "score.numeric min_delta -0.02"
    assert first["holds_if_equal"] == pytest.approx(
        stats.norm.cdf(0.02 / se - stats.norm.ppf(0.975))
    )
    enough = planned(gates=(tight,), queries=first["queries_needed"])
    assert power_report(enough, history)["tight_gates"] == []
    fewer = planned(gates=(tight,), queries=first["queries_needed"] - 1)
    assert len(power_report(fewer, history)["tight_gates"]) == 1
    assert second["gate"] == "score.numeric min_delta 0"
    assert second["holds_if_equal"] == pytest.approx(0.025)
    assert second["queries_needed"] is None


def test_a_gate_on_a_ratio_is_judged_once_its_spread_is_recorded(tmp_path: Path) -> None:
    gate = GateSpec(metric="cost_usd", rule="max_ratio", bound=1.005)
    plan = planned(gates=(gate,))
    assert power_report(plan, History())["tight_gates"] == []
    history = taught(tmp_path, planned(), differ=8)
    (found,) = power_report(plan, history)["tight_gates"]
    assert found["gate"] == "cost_usd max_ratio 1.005"
    roomy = planned(gates=(replace(gate, bound=1.2),))
    assert power_report(roomy, history)["tight_gates"] == []


def test_a_folder_from_before_spreads_were_kept_is_read(tmp_path: Path) -> None:
    content = '{"version": 1, "models": {}, "cells": {}, "sweeps": []}'
    (tmp_path / FILE_NAME).write_text(content, encoding="utf-8")
    assert read_history(tmp_path).spreads == []
    assert len(taught(tmp_path, planned(), differ=8).spreads) == 2
