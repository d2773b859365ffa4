"""Every interval against an independent implementation, on 200 random data sets each."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from finrag_eval.statistics.clusters import average_repeats, standard_error
from finrag_eval.statistics.intervals import (
    design_effect,
    estimate,
    estimate_queries,
    few_clusters_warning,
    t_interval,
    wilson_interval,
)
from finrag_eval.statistics.quantiles import quantile, quantile_limits, quantile_with_limits

DATA_SETS = 200


def clustered(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Values that lean on their cluster, and the codes of clusters of different sizes."""
    count = int(generator.integers(2, 60))
    sizes = generator.integers(1, 8, size=count)
    codes = np.repeat(np.arange(count), sizes)
    values = generator.normal(size=codes.size) + generator.normal(size=count)[codes]
    return values * generator.uniform(0.01, 100), codes


def test_the_clustered_interval_is_that_of_ols_on_a_constant() -> None:
    for seed in range(DATA_SETS):
        values, codes = clustered(np.random.default_rng(seed))
        count = int(codes.max()) + 1
        fit = sm.OLS(values, np.ones(values.size)).fit(
            cov_type="cluster", cov_kwds={"groups": codes, "df_correction": True}, use_t=True
        )
        se = standard_error(values, codes)
        assert se == pytest.approx(fit.bse[0], rel=1e-9)
        low, high = t_interval(float(values.mean()), se, count)
        assert (low, high) == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-9)
        found = estimate_queries(values, codes)
        assert (found.low, found.high, found.method) == (low, high, "t")


def test_without_clusters_the_error_is_that_of_independent_values() -> None:
    for seed in range(DATA_SETS):
        generator = np.random.default_rng(seed)
        values = generator.lognormal(size=int(generator.integers(2, 300)))
        codes = np.arange(values.size)
        assert standard_error(values, codes) == pytest.approx(stats.sem(values), rel=1e-9)
        low, high = stats.t.interval(0.95, values.size - 1, values.mean(), stats.sem(values))
        found = estimate_queries(values, codes)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_a_proportion_has_wilsons_interval() -> None:
    for seed in range(DATA_SETS):
        generator = np.random.default_rng(seed)
        n = int(generator.integers(2, 400))
        values = (generator.random(n) < generator.random()).astype(float)
        low, high = proportion_confint(values.sum(), n, method="wilson")
        found = estimate_queries(values, np.arange(n))
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
        assert (found.method, found.design_effect) == ("wilson", 1.0)


def test_clustering_widens_wilsons_interval_by_the_design_effect() -> None:
    for seed in range(DATA_SETS):
        generator = np.random.default_rng(seed)
        count, size = int(generator.integers(3, 40)), int(generator.integers(2, 8))
        codes = np.repeat(np.arange(count), size)
        chance = generator.beta(1, 1, size=count)[codes]
        values = (generator.random(codes.size) < chance).astype(float)
        if values.min() == values.max():
            continue
        fit = sm.OLS(values, np.ones(values.size)).fit(
            cov_type="cluster", cov_kwds={"groups": codes}, use_t=True
        )
        effect = max(1.0, fit.bse[0] ** 2 / (values.var(ddof=1) / values.size))
        share = float(values.mean())
        n = values.size / effect
        expected = proportion_confint(share * n, n, method="wilson")
        found = estimate_queries(values, codes)
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
        assert design_effect(values, codes) == pytest.approx(effect, rel=1e-9)


def test_equal_answers_in_clusters_count_as_one_query_a_cluster() -> None:
    values, codes = np.ones(60), np.repeat(np.arange(20), 3)
    found = estimate_queries(values, codes)
    assert (found.low, found.high) == pytest.approx(wilson_interval(1.0, 20))
    assert found.high == 1.0


def test_a_share_of_none_or_all_stays_within_bounds() -> None:
    assert wilson_interval(0.0, 10)[0] == 0.0
    assert wilson_interval(1.0, 10)[1] == 1.0


def test_repeats_are_averaged_before_anything_else() -> None:
    values = np.array([1.0, 0.0, np.nan, 1.0, np.nan])
    queries = ["a", "a", "a", "b", "c"]
    per_query = average_repeats(values, queries, ["x", "x", "x", "y", "z"])
    assert list(per_query.labels) == ["a", "b"]
    assert list(per_query.means) == [0.5, 1.0]
    assert list(per_query.present) == [2, 1]
    found = estimate(values, queries, queries)
    assert (found.n, found.mean, found.method) == (2, 0.75, "t")


def test_the_order_of_arrival_changes_nothing() -> None:
    generator = np.random.default_rng(1)
    values = generator.random(90)
    queries = np.repeat([f"q{i}" for i in range(30)], 3)
    clusters = np.repeat([f"c{i}" for i in range(10)], 9)
    order = generator.permutation(90)
    first = estimate(values, queries, clusters)
    second = estimate(values[order], queries[order], clusters[order])
    assert second.se == pytest.approx(first.se, rel=1e-12)
    assert second.mean == pytest.approx(first.mean, rel=1e-12)


def test_below_twenty_clusters_every_interval_warns() -> None:
    values = np.random.default_rng(0).random(40)
    assert estimate_queries(values[:20], np.arange(20)).warning is None
    warned = estimate_queries(values, np.repeat(np.arange(19), 3)[:40] % 19).warning
    assert warned is not None
    assert few_clusters_warning(19) == (
        "only 19 clusters (fewer than 20): the interval is too narrow and the p-value too small"
    )


def test_a_mean_of_nothing_is_none() -> None:
    found = estimate(np.array([np.nan]), ["a"], ["a"])
    assert (found.mean, found.n, found.low, found.high) == (None, 0, None, None)
    assert quantile(np.array([]), 0.5) is None
    assert quantile_limits(np.array([]), 0.5) is None


def test_one_cluster_has_a_mean_and_no_interval() -> None:
    found = estimate(np.array([0.2, 0.4]), ["a", "b"], ["x", "x"])
    assert found.mean == pytest.approx(0.3)
    assert (found.low, found.se, found.clusters) == (None, None, 1)
    assert found.warning is not None


def test_quantiles_are_linear_between_closest_ranks() -> None:
    for seed in range(DATA_SETS):
        generator = np.random.default_rng(seed)
        values = generator.lognormal(size=int(generator.integers(1, 500)))
        share = float(generator.random())
        place = share * (values.size - 1)
        below, above = np.sort(values)[[int(place), int(np.ceil(place))]]
        expected = below + (above - below) * (place - int(place))
        assert quantile(values, share) == pytest.approx(expected, rel=1e-12)


def test_quantile_limits_are_the_order_statistics_of_the_binomial() -> None:
    for seed in range(DATA_SETS):
        generator = np.random.default_rng(seed)
        values = generator.lognormal(size=int(generator.integers(1, 400)))
        share = float(generator.choice([0.5, 0.9, 0.95]))
        binomial = stats.binom(values.size, share)
        low, high = int(binomial.ppf(0.025)), int(binomial.ppf(0.975)) + 1
        limits = quantile_limits(values, share)
        if low < 1 or high > values.size:
            assert limits is None
        else:
            ordered = np.sort(values)
            assert limits == (ordered[low - 1], ordered[high - 1])
            assert binomial.cdf(high - 1) - binomial.cdf(low - 1) >= 0.95


def test_a_p95_of_fifty_values_has_no_limits() -> None:
    found = quantile_with_limits(np.arange(50.0), 0.95)
    assert found.value is not None
    assert (found.low, found.high) == (None, None)
    assert quantile_with_limits(np.arange(200.0), 0.95).high is not None
