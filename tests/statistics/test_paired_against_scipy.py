"""Every p-value and adjustment against scipy or statsmodels, on 200 random data sets each."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from finrag_eval.statistics.multiplicity import holm
from finrag_eval.statistics.paired import (
    MCNEMAR,
    PAIRED_T,
    mcnemar_p_value,
    paired_difference,
    paired_t_p_value,
    score_p_value,
    skewed_p_value,
)
from finrag_eval.statistics.resampling import (
    bootstrap_ratios,
    ratio_of_means,
    sign_flip_p_value,
)

DATA_SETS = 200


def test_mcnemar_is_exact() -> None:
    for seed in range(DATA_SETS):
        b, c = np.random.default_rng(seed).integers(0, 60, size=2)
        table = [[5, int(b)], [int(c), 7]]
        assert mcnemar_p_value(int(b), int(c)) == pytest.approx(
            mcnemar(table, exact=True).pvalue, abs=1e-9
        )


def test_without_discordant_pairs_nothing_differs() -> None:
    assert mcnemar_p_value(0, 0) == 1.0


def test_the_paired_t_is_that_of_the_cluster_sums() -> None:
    for seed in range(DATA_SETS):
        generator = np.random.default_rng(seed)
        count = int(generator.integers(2, 60))
        codes = np.repeat(np.arange(count), generator.integers(1, 8, size=count))
        differences = generator.normal(0.1, 1, size=codes.size)
        sums = np.array([differences[codes == code].sum() for code in range(count)])
        expected = stats.ttest_1samp(sums, 0).pvalue
        assert paired_t_p_value(differences, codes) == pytest.approx(expected, abs=1e-9)


def test_with_one_query_a_cluster_it_is_the_paired_t_test() -> None:
    for seed in range(DATA_SETS):
        generator = np.random.default_rng(seed)
        n = int(generator.integers(2, 200))
        baseline, candidate = generator.random((2, n))
        p_value, method = score_p_value(baseline, candidate, np.arange(n), one_repeat=True)
        expected = stats.ttest_rel(candidate, baseline)
        assert p_value == pytest.approx(expected.pvalue, abs=1e-9)
        assert method == PAIRED_T
        found = paired_difference(candidate - baseline, np.arange(n))
        interval = expected.confidence_interval()
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_mcnemar_holds_only_for_single_binary_answers() -> None:
    baseline, candidate = np.array([0.0, 1, 1, 0]), np.array([1.0, 1, 0, 1])
    alone = np.arange(4)
    assert score_p_value(baseline, candidate, alone, one_repeat=True)[1] == MCNEMAR
    assert score_p_value(baseline, candidate, alone, one_repeat=False)[1] == PAIRED_T
    assert score_p_value(baseline, candidate, alone // 2, one_repeat=True)[1] == PAIRED_T
    assert score_p_value(baseline / 2, candidate, alone, one_repeat=True)[1] == PAIRED_T


def test_equal_sums_leave_no_doubt() -> None:
    codes = np.arange(5)
    assert paired_t_p_value(np.zeros(5), codes) == 1.0
    assert paired_t_p_value(np.full(5, 0.1), codes) == 0.0
    assert paired_t_p_value(np.array([0.1]), np.array([0])) is None


def test_few_clusters_have_every_sign_pattern_tried() -> None:
    for seed in range(DATA_SETS):
        generator = np.random.default_rng(seed)
        differences = generator.normal(0.5, 1, size=int(generator.integers(2, 11)))
        expected = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert sign_flip_p_value(differences) == pytest.approx(expected.pvalue, abs=1e-9)


def test_random_flips_agree_with_all_of_them_within_their_error() -> None:
    for seed in range(20):
        generator = np.random.default_rng(seed)
        differences = generator.exponential(size=12) - generator.exponential(size=12) + 0.2
        exact = sign_flip_p_value(differences)
        drawn = sign_flip_p_value(differences, exact_below=0)
        assert exact is not None
        error = np.sqrt(exact * (1 - exact) / 10_000)
        assert drawn == pytest.approx(exact, abs=5 * error + 1e-4)


def test_random_flips_agree_with_the_t_test_on_many_normal_differences() -> None:
    for seed in range(20):
        differences = np.random.default_rng(seed).normal(0.05, 1, size=400)
        expected = stats.ttest_1samp(differences, 0).pvalue
        assert sign_flip_p_value(differences) == pytest.approx(expected, abs=0.03)


def test_no_difference_at_all_has_p_value_one() -> None:
    assert sign_flip_p_value(np.zeros(30)) == 1.0
    assert sign_flip_p_value(np.zeros(3)) == 1.0
    assert sign_flip_p_value(np.array([])) is None


def test_the_smallest_p_value_of_random_flips_is_not_zero() -> None:
    assert sign_flip_p_value(np.ones(50)) == pytest.approx(1 / 10_001)


def test_latency_and_cost_are_judged_by_cluster_means() -> None:
    codes = np.array([0, 0, 1, 2, 2, 2])
    baseline, candidate = np.zeros(6), np.array([1.0, 3, 1, 3, 3, 3])
    assert skewed_p_value(baseline, candidate, codes)[0] == sign_flip_p_value(np.array([2.0, 1, 3]))
    assert skewed_p_value(baseline[:2], candidate[:2], codes[:2])[0] is None


def test_the_ratios_interval_is_scipys_bca_with_the_same_seed() -> None:
    for seed in range(DATA_SETS):
        generator = np.random.default_rng(seed)
        n = int(generator.integers(5, 60))
        baseline = generator.lognormal(0, 0.8, size=n)
        candidate = baseline * generator.lognormal(0.1, 0.4, size=n)
        expected = stats.bootstrap(
            (candidate, baseline),
            lambda top, bottom, axis: top.sum(axis=axis) / bottom.sum(axis=axis),
            paired=True,
            vectorized=True,
            n_resamples=500,
            method="BCa",
            rng=np.random.default_rng(7),
        )
        found = ratio_of_means(candidate, baseline, resamples=500, seed=7)
        assert found is not None
        assert found.ratio == pytest.approx(candidate.mean() / baseline.mean(), rel=1e-12)
        interval = expected.confidence_interval
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_blocks_of_resamples_draw_the_same_as_one() -> None:
    top, bottom = np.random.default_rng(0).random((2, 700))
    whole = np.random.default_rng(3).integers(0, 700, size=(4_000, 700))
    expected = top[whole].sum(axis=1) / bottom[whole].sum(axis=1)
    drawn = bootstrap_ratios(top, bottom, resamples=4_000, seed=3)
    assert drawn == pytest.approx(expected, rel=1e-12)


def test_a_ratio_that_never_varies_has_no_width() -> None:
    found = ratio_of_means(np.arange(1.0, 30) * 2, np.arange(1.0, 30))
    assert found is not None
    assert (found.ratio, found.low, found.high) == pytest.approx((2, 2, 2))


def test_a_ratio_over_nothing_is_none() -> None:
    assert ratio_of_means(np.ones(3), np.zeros(3)) is None
    assert ratio_of_means(np.array([]), np.array([])) is None
    alone = ratio_of_means(np.ones(1), np.full(1, 2.0))
    assert alone is not None
    assert (alone.ratio, alone.low) == (0.5, None)


@pytest.fixture
def little_garbage() -> Iterator[None]:
    """statsmodels collects garbage at every call: over what the test made, not over all modules."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("little_garbage")
def test_holm_is_that_of_statsmodels() -> None:
    for seed in range(DATA_SETS):
        generator = np.random.default_rng(seed)
        p_values = generator.random(int(generator.integers(1, 40))) ** 3
        p_values = np.concatenate([p_values, p_values[:2]])
        expected = multipletests(p_values, method="holm")[1]
        assert holm(list(p_values)) == pytest.approx(tuple(expected), abs=1e-9)


def test_holm_leaves_out_what_has_no_p_value() -> None:
    assert holm([0.01, None, 0.04]) == (0.02, None, 0.04)
    assert holm([]) == ()


def test_the_interval_of_a_difference_is_that_of_its_mean() -> None:
    for seed in range(DATA_SETS):
        values = np.random.default_rng(seed).normal(size=30)
        low, high = DescrStatsW(values).tconfint_mean()
        found = paired_difference(values, np.arange(30))
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
