"""Ticks of pictures: round, told apart by their texts, and enough of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from finrag_eval.report.ink import Canvas, drawn
from finrag_eval.report.ruling import money_ticks, rule_x, rule_y, score_ticks, second_ticks

starts = st.floats(-1_000, 1_000)
spans = st.floats(1e-4, 1_000)


@given(starts, spans)
def test_scores_have_no_two_ticks_with_one_text(low: float, span: float) -> None:
    ticks = score_ticks((low, low + span))
    assert 2 <= len(ticks) <= 8
    assert len(set(ticks.values())) == len(ticks)


@given(starts, spans)
def test_a_text_says_where_its_tick_stands(low: float, span: float) -> None:
    for at, text in score_ticks((low, low + span)).items():
        told = float(text.replace("\N{MINUS SIGN}", "-").replace(",", ""))
        assert math.isclose(told, at, rel_tol=1e-6, abs_tol=span * 1e-6)


@given(st.floats(1e-3, 3_600), st.floats(1.9, 10_000), st.integers(3, 8))
def test_times_have_a_few_ticks_and_all_in_sight(low: float, ratio: float, most: int) -> None:
    ticks = second_ticks((low, low * ratio), most=most)
    assert 2 <= len(ticks) <= most + 1
    assert all(low <= at <= low * ratio for at in ticks)


@pytest.mark.parametrize(
    ("limits", "is_log", "texts"),
    [
        ((0.0, 1.7), False, ["$0", "$0.50", "$1.00", "$1.50"]),
        ((2.9, 2.96), False, ["$2.90", "$2.92", "$2.94", "$2.96"]),
        ((0.09, 4.0), True, ["$0.10", "$0.30", "$1.00", "$3.00"]),
    ],
)
def test_money_has_round_ticks(limits: tuple[float, float], is_log: bool, texts: list[str]) -> None:
    ticks = money_ticks(limits, most=4, is_log=is_log)
    assert [text for at, text in ticks.items() if limits[0] <= at <= limits[1]] == texts


@given(st.floats(0, 0.9), st.floats(0.05, 0.5))
def test_only_ticks_in_sight_are_drawn(low: float, span: float) -> None:
    assume(low + span <= 1)
    ticks = {at / 10: f"tick-{at}" for at in range(11)}
    seen = {text for at, text in ticks.items() if low <= at <= low + span}

    def draw(axes: Axes) -> None:
        axes.set_xlim(low, low + span)
        axes.set_ylim(low, low + span)
        rule_x(axes, ticks, "below")
        rule_y(axes, ticks)

    svg = drawn("test", Canvas(width=300, height=200), draw)
    assert {text: svg.count(f">{text}<") for text in ticks.values()} == {
        text: 2 if text in seen else 0 for text in ticks.values()
    }
    assert ">below<" in svg
