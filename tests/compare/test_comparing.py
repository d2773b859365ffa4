"""Candidate against baseline: pairs, families, verdicts, and laws over both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from finrag_eval.compare.columns import CellColumns
from finrag_eval.compare.comparing import Comparison, compare_cells, compare_pairs
from finrag_eval.compare.differences import differences

CONTRACT_KEYS = [
    *("metric", "baseline", "candidate", "n_pairs", "n_missing", "delta", "ci_low", "ci_high"),
    *("ratio", "ratio_ci_low", "ratio_ci_high", "p_value", "p_adjusted", "verdict", "mde"),
]


def cell(
    name: str,
    values: Mapping[str, Any],
    *,
    ids: list[str] | None = None,
    clusters: list[str] | None = None,
    failed: Any = None,
) -> CellColumns:
    columns = {key: np.asarray(column, dtype=float) for key, column in values.items()}
    size = next(iter(columns.values())).size
    queries = np.array(ids or [f"q{place:04}" for place in range(size)], dtype=object)
    return CellColumns(
        cell=name,
        query_ids=queries,
        clusters=np.array(clusters, dtype=object) if clusters else queries,
        repeats=np.ones(size, dtype=np.intp),
        failed=np.zeros(size, dtype=bool) if failed is None else np.asarray(failed),
        values=columns,
    )


def only(found: tuple[Comparison, ...]) -> Comparison:
    (one,) = found
    return one


def scores(right: int, size: int = 200) -> Any:
    return np.r_[np.ones(right), np.zeros(size - right)]


def test_a_planted_regression_is_found_and_named() -> None:
    baseline = scores(150)
    worse = baseline.copy()
    worse[:16] = 0  # 8% of 200 questions
    one = only(
        compare_cells(cell("a", {"score.numeric": baseline}), [cell("b", {"score.numeric": worse})])
    )
    assert (one.verdict, one.delta, one.n_pairs) == ("worse", -0.08, 200)
    assert one.worsened == tuple(f"q{place:04}" for place in range(16))
    assert one.improved == ()
    assert one.p_value == pytest.approx(2 * 0.5**16)
    assert one.method == "exact McNemar"


def test_the_same_sweep_against_itself_differs_in_nothing() -> None:
    generator = np.random.default_rng(0)
    values = {
        "score.numeric": scores(150),
        "cost_usd": generator.lognormal(size=200),
        "latency_total_seconds": generator.lognormal(size=200),
    }
    margins = dict.fromkeys(values, 0.01)
    found = compare_cells(cell("a", values), [cell("b", values)], margins=margins)
    assert [one.verdict for one in found] == ["equivalent"] * 3
    assert [(one.delta, one.p_adjusted, one.queries_needed) for one in found] == [
        (0.0, 1.0, None)
    ] * 3
    assert [one.ratio for one in found] == [None, 1.0, 1.0]


def test_cheaper_and_faster_is_better() -> None:
    generator = np.random.default_rng(1)
    slow = generator.lognormal(size=100)
    baseline = cell("a", {"cost_usd": slow, "latency_total_seconds": slow, "total_tokens": slow})
    candidate = cell(
        "b", {"cost_usd": slow / 2, "latency_total_seconds": slow * 2, "total_tokens": slow / 2}
    )
    found = {one.metric: one for one in compare_cells(baseline, [candidate])}
    assert found["cost_usd"].verdict == "better"
    assert found["latency_total_seconds"].verdict == "worse"
    assert found["total_tokens"].verdict == "better"
    assert found["cost_usd"].ratio == pytest.approx(0.5)
    assert found["cost_usd"].method == "sign-flip permutation"
    assert found["total_tokens"].method == "paired t on cluster sums"


def test_pairs_are_made_by_query_and_missing_sides_counted() -> None:
    baseline = cell("a", {"score.s": [1, 0, np.nan, 1]}, ids=["w", "x", "y", "z"])
    candidate = cell(
        "b",
        {"score.s": [0, np.nan, 1, np.nan]},
        ids=["z", "y", "w", "v"],
        failed=[False, False, False, True],
    )
    one = only(compare_cells(baseline, [candidate]))
    assert (one.n_pairs, one.n_missing, one.n_unscored) == (2, 3, 1)
    assert (one.improved, one.worsened) == ((), ("z",))
    assert one.missing_share == pytest.approx(2 / 4)
    between = only(compare_cells(baseline, [candidate], absent="left_out"))
    assert (between.n_pairs, between.n_missing, between.n_unscored) == (2, 1, 1)
    assert between.missing_share == 0.0


def test_repeats_are_averaged_before_pairing() -> None:
    ids = ["x", "x", "y", "y"]
    baseline = cell("a", {"score.s": [1, 0, 1, 1]}, ids=ids)
    candidate = cell("b", {"score.s": [1, 1, np.nan, 0]}, ids=ids)
    one = only(compare_cells(baseline, [candidate]))
    assert (one.n_pairs, one.n_missing, one.delta) == (2, 0, -0.25)
    assert one.missing_share == pytest.approx(1 / 4)
    assert one.method == "paired t on cluster sums"


def test_the_whole_command_is_one_family() -> None:
    generator = np.random.default_rng(2)
    base = cell("a", {"score.s": generator.random(80), "score.t": generator.random(80)})
    others = [
        cell(name, {"score.s": generator.random(80), "score.t": generator.random(80)})
        for name in "bcd"
    ]
    found = compare_cells(base, others)
    raw = [
        stats.ttest_rel(other.values[metric], base.values[metric]).pvalue
        for other in others
        for metric in ("score.s", "score.t")
    ]
    assert [one.p_value for one in found] == pytest.approx(raw, abs=1e-9)
    assert [one.p_adjusted for one in found] == pytest.approx(
        list(multipletests(raw, method="holm")[1]), abs=1e-9
    )
    z = stats.norm.ppf(1 - 0.025 / 6) + stats.norm.ppf(0.8)
    assert [one.mde for one in found] == pytest.approx([z * (one.se or 0) for one in found])


def test_an_inconclusive_comparison_says_how_many_queries_would_settle_it() -> None:
    generator = np.random.default_rng(3)
    baseline = generator.random(60)
    candidate = baseline + generator.normal(0.02, 0.2, size=60)
    one = only(compare_cells(cell("a", {"score.s": baseline}), [cell("b", {"score.s": candidate})]))
    assert one.verdict == "inconclusive"
    assert one.mde is not None
    assert one.delta is not None
    assert one.queries_needed == int(np.ceil(60 * (one.mde / one.delta) ** 2))


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_differences_that_do_not_vary_promise_no_power(shift: float) -> None:
    baseline = np.random.default_rng(4).random(30)
    one = only(
        compare_cells(cell("a", {"score.s": baseline}), [cell("b", {"score.s": baseline + shift})])
    )
    assert (one.mde, one.queries_needed) == (None, None)
    assert one.verdict == ("better" if shift else "inconclusive")


def test_few_clusters_warn_and_one_cluster_tells_nothing() -> None:
    values = {"score.s": [1, 0, 1, 0]}
    other = {"score.s": [1, 1, 1, 0]}
    few = only(compare_cells(cell("a", values), [cell("b", other)]))
    assert few.warning is not None
    assert few.warning.startswith("only 4 clusters")
    one = only(
        compare_cells(cell("a", values, clusters=["x"] * 4), [cell("b", other, clusters=["x"] * 4)])
    )
    assert (one.delta, one.se, one.ci_low, one.p_value) == (0.25, None, None, None)
    assert (one.p_adjusted, one.mde, one.verdict) == (None, None, "inconclusive")


def test_no_pairs_give_nulls_and_no_verdict() -> None:
    none = {"score.s": [np.nan, np.nan], "cost_usd": [np.nan, np.nan]}
    found = compare_cells(cell("a", none), [cell("b", none)])
    for one in found:
        told = one.as_dict()
        assert (told["n_pairs"], told["delta"], told["p_value"], told["ratio"]) == (
            0,
            None,
        ) + (None,) * 2
        assert one.verdict == "inconclusive"


def test_the_dictionary_is_the_contracts_and_json() -> None:
    one = only(
        compare_cells(
            cell("a", {"score.s": scores(5, 30)}), [cell("b", {"score.s": scores(9, 30)})]
        )
    )
    told = one.as_dict()
    assert list(told)[: len(CONTRACT_KEYS)] == CONTRACT_KEYS
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["n_improved"], told["n_worsened"]) == (4, 0)


def test_the_order_of_arrival_changes_nothing() -> None:
    generator = np.random.default_rng(4)
    ids = [f"q{place}" for place in range(90)]
    clusters = [f"c{place % 30}" for place in range(90)]
    values = {"score.s": generator.random(90), "cost_usd": generator.lognormal(size=90)}
    other = {"score.s": generator.random(90), "cost_usd": generator.lognormal(size=90)}
    first = compare_cells(
        cell("a", values, ids=ids, clusters=clusters),
        [cell("b", other, ids=ids, clusters=clusters)],
    )
    order = generator.permutation(90)
    shuffled = cell(
        "b",
        {key: column[order] for key, column in other.items()},
        ids=[ids[place] for place in order],
        clusters=[clusters[place] for place in order],
    )
    second = compare_cells(cell("a", values, ids=ids, clusters=clusters), [shuffled])
    assert [one.as_dict() for one in second] == [one.as_dict() for one in first]


def test_a_metric_that_one_side_lacks_is_not_compared() -> None:
    found = compare_cells(
        cell("a", {"score.s": [1, 0], "cost_usd": [1, 2]}), [cell("b", {"score.s": [1, 0]})]
    )
    assert [one.metric for one in found] == ["score.s"]
    pairs = [(cell("a", {"score.s": [1, 0]}), cell("b", {"score.s": [1, 0]}))]
    assert compare_pairs(pairs, ["score.other"]) == ()


def test_what_differs_is_said_and_weighed() -> None:
    before = {
        "query_set": "aaa",
        "prices": {"haiku": 1, "sonnet": 3},
        "versions": {"mlflow": "3.17"},
        "scorers": {"numeric": "x"},
    }
    after = {
        "query_set": "bbb",
        "prices": {"haiku": 2, "sonnet": 3},
        "versions": {"mlflow": "3.17"},
        "scorers": {"numeric": "x", "judge": "y"},
    }
    found = differences(before, after)
    assert [(one.what, one.matters) for one in found] == [
        ("query_set", True),
        ("scorers.judge", True),
        ("prices.haiku", False),
    ]
    assert found[1].sentence == "scorers.judge differs: absent in the baseline, y now"
    assert differences(before, before) == ()
