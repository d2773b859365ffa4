"""How numbers are written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.report import figures


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "$0"),
        (Decimal("0"), "$0"),
        (Decimal("0.00001234"), "$0.000012"),
        (Decimal("0.0042"), "$0.0042"),
        (0.05, "$0.050"),
        (0.5, "$0.50"),
        (0.999, "$1.00"),
        (1, "$1.00"),
        (Decimal("1234.5"), "$1,234.50"),
        (-0.5, "−$0.50"),
    ],
)
def test_money_is_shown_to_the_cent_and_small_amounts_to_two_digits(
    usd: figures.Figure, text: str
) -> None:
    assert figures.money(usd) == text


@given(st.decimals(min_value=Decimal("1e-12"), max_value=Decimal("1e9"), allow_nan=False))
def test_a_small_cost_is_never_shown_as_nothing(usd: Decimal) -> None:
    shown = Decimal(figures.money(usd).lstrip("$").replace(",", ""))
    assert shown > 0
    assert abs(shown - usd) <= max(usd * Decimal("0.06"), Decimal(0))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.0004, "1 ms"),
        (0.84, "840 ms"),
        (0.9996, "1.0 s"),
        (3.24, "3.2 s"),
        (59.96, "1 min 00 s"),
        (75, "1 min 15 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_times_are_shown_in_the_unit_that_reads_best(value: figures.Figure, text: str) -> None:
    assert figures.seconds(value) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("cost_usd", 0.05, "$0.050"),
        ("latency_total_seconds", 0.84, "840 ms"),
        ("total_tokens", 25.689, "26"),
        ("total_tokens", None, "–"),
        ("score.numeric", 0.25, "0.250"),
    ],
)
def test_a_metric_is_shown_in_its_own_unit(metric: str, value: figures.Figure, text: str) -> None:
    assert figures.in_unit(metric, value) == text


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (figures.count, 12345, "12,345"),
        (figures.count, 2.5, "2.5"),
        (figures.count, None, "–"),
        (figures.score, 0.8125, "0.812"),
        (figures.score, 1234.56, "1,234.6"),
        (figures.score, -0.5, "−0.500"),
        (figures.change, 0.0621, "+0.062"),
        (figures.change, -0.01, "−0.010"),
        (figures.change, 0.0, "0.000"),
        (figures.change, -0.0001, "0.000"),
        (figures.change, None, "–"),
        (figures.share, 0.08, "8.0%"),
        (figures.share, 0.32, "32%"),
        (figures.share, 0.004, "0.4%"),
        (figures.ratio, 1.126, "1.13×"),
        (figures.ratio, 0.0526, "0.053×"),
        (figures.ratio, 0, "0.00×"),
        (figures.ratio, None, "–"),
        (figures.probability, 0.0004, "< 0.001"),
        (figures.probability, 0.25, "0.250"),
    ],
)
def test_other_figures_are_shown_in_one_form_each(
    write: object, value: figures.Figure, text: str
) -> None:
    assert write(value) == text  # type: ignore[operator]
