"""Power, equivalence, the model's own noise, and agreement of judges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.weightstats import DescrStatsW

from finrag_eval.statistics.agreement import krippendorff_alpha
from finrag_eval.statistics.power import (
    expected_se,
    found_with_power,
    is_equivalent,
    queries_needed,
    smallest_detectable,
    tost_p_value,
)
from finrag_eval.statistics.repeats import repeat_variance_share


def test_the_smallest_detectable_difference_is_its_formula() -> None:
    expected = (stats.norm.ppf(1 - 0.025 / 7) + stats.norm.ppf(0.8)) * 0.02
    assert smallest_detectable(0.02, 7) == pytest.approx(expected, abs=1e-12)


def test_statsmodels_finds_it_with_eighty_percent_power() -> None:
    for family in (1, 5, 40):
        n, spread = 300, 0.4
        delta = smallest_detectable(spread / np.sqrt(n), family)
        power = NormalIndPower(ddof=0).power(
            delta / spread, n, alpha=0.05 / family, ratio=0, alternative="two-sided"
        )
        assert power == pytest.approx(0.8, abs=1e-4)
        assert found_with_power(delta, spread / np.sqrt(n), family) == pytest.approx(
            power, abs=1e-9
        )


def test_with_the_queries_needed_the_difference_becomes_detectable() -> None:
    for seed in range(200):
        generator = np.random.default_rng(seed)
        delta, spread = generator.uniform(0.01, 0.2), generator.uniform(0.1, 1)
        n, family = int(generator.integers(20, 400)), int(generator.integers(1, 30))
        needed = queries_needed(delta, expected_se(spread, n), n, family)
        assert needed is not None
        assert smallest_detectable(expected_se(spread, needed), family) <= delta * (1 + 1e-9)
        if needed > 1:
            fewer = expected_se(spread, needed - 1)
            assert smallest_detectable(fewer, family) > delta * (1 - 1e-9)


def test_no_number_of_queries_finds_no_difference() -> None:
    assert queries_needed(0.0, 0.1, 50) is None


def test_two_one_sided_tests_are_those_of_statsmodels() -> None:
    for seed in range(200):
        generator = np.random.default_rng(seed)
        values = generator.normal(0.02, 0.3, size=int(generator.integers(5, 300)))
        sample = DescrStatsW(values)
        margin = float(generator.uniform(0.02, 0.2))
        expected = sample.ttost_mean(-margin, margin)[0]
        found = tost_p_value(values.mean(), stats.sem(values), values.size - 1, margin)
        assert found == pytest.approx(expected, abs=1e-9)
        low, high = sample.tconfint_mean()
        assert is_equivalent(low, high, margin) == (expected < 0.025)


def test_an_unknown_interval_is_never_equivalent() -> None:
    assert not is_equivalent(None, None, 1.0)


def test_the_noise_share_is_that_of_the_analysis_of_variance() -> None:
    for seed in range(200):
        generator = np.random.default_rng(seed)
        groups, repeats = int(generator.integers(2, 40)), int(generator.integers(2, 6))
        values = generator.normal(size=(groups, repeats)) + generator.normal(size=(groups, 1))
        f = stats.f_oneway(*values).statistic
        within = values.var(axis=1, ddof=1).mean()
        between = max(0.0, (f * within - within) / repeats)
        queries = np.repeat([f"q{i}" for i in range(groups)], repeats)
        assert repeat_variance_share(values.ravel(), queries) == pytest.approx(
            within / (within + between), abs=1e-9
        )


def test_answers_that_never_change_have_no_noise() -> None:
    values = np.array([1.0, 1, 0, 0, 1, 1])
    assert repeat_variance_share(values, ["a", "a", "b", "b", "c", "c"]) == 0.0


def test_noise_needs_repeats_and_something_that_varies() -> None:
    assert repeat_variance_share(np.array([1.0, 0]), ["a", "b"]) is None
    assert repeat_variance_share(np.array([1.0, 0]), ["a", "a"]) is None
    assert repeat_variance_share(np.ones(4), ["a", "a", "b", "b"]) is None
    assert repeat_variance_share(np.array([1.0, np.nan, 0]), ["a", "a", "b"]) is None


NAN = float("nan")
#: The example of Krippendorff (2011): four observers, twelve units, gaps.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


@pytest.mark.parametrize(
    ("level", "alpha"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_alpha_is_that_of_the_published_example(level: str, alpha: float) -> None:
    assert krippendorff_alpha(OBSERVERS, level=level) == pytest.approx(alpha, abs=5e-4)


def naive_alpha(ratings: np.ndarray) -> float:
    """One minus mean squared difference within answers over that between all ratings."""
    units = [column[~np.isnan(column)] for column in ratings.T]
    units = [unit for unit in units if unit.size >= 2]
    everything = np.concatenate(units)
    within = sum(
        sum((a - b) ** 2 for a, b in itertools.permutations(unit, 2)) / (unit.size - 1)
        for unit in units
    )
    between = sum((a - b) ** 2 for a, b in itertools.permutations(everything, 2))
    n = everything.size
    return 1 - (within / n) / (between / (n * (n - 1)))


def test_alpha_is_that_of_all_pairs_one_by_one() -> None:
    for seed in range(200):
        generator = np.random.default_rng(seed)
        ratings = generator.integers(1, 6, size=(int(generator.integers(2, 5)), 12)).astype(float)
        ratings[generator.random(ratings.shape) < 0.2] = np.nan
        assert krippendorff_alpha(ratings) == pytest.approx(naive_alpha(ratings), abs=1e-9)


def test_alpha_of_nothing_to_pair_is_none() -> None:
    assert krippendorff_alpha(np.array([[1.0, NAN], [NAN, 2.0]])) is None
    assert krippendorff_alpha(np.ones((2, 4))) is None
    assert krippendorff_alpha(np.array([[0.0, 1, 0, 1], [0, 1, 0, 1]])) == 1.0
