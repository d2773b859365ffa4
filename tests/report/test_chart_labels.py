"""Names of points: all inside the picture, none over another or over a mark."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from finrag_eval.report.charts import Mark, Point, cost_against_quality
from finrag_eval.report.labels import Box, Spot, places

FRAME: Box = (50.0, 46.0, 920.0, 370.0)


def spot(x: float, y: float, width: float) -> Spot:
    return Spot(x=x, y=y, width=width, height=16, covers=(x - 7, y - 20, x + 7, y + 20))


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


spots = st.builds(
    spot,
    st.floats(60, 910, allow_nan=False),
    st.floats(50, 366, allow_nan=False),
    st.floats(12, 300, allow_nan=False),
)


@given(st.lists(spots, min_size=1, max_size=6))
@settings(max_examples=60)
def test_names_stay_inside_and_cover_nothing(given: list[Spot]) -> None:
    found = places(given, FRAME)
    for at, box in enumerate(found):
        assert box[0] >= FRAME[0]
        assert box[1] >= FRAME[1]
        assert box[2] <= FRAME[2]
        assert box[3] <= FRAME[3]
        assert not any(overlap(box, other) for other in found[:at])
        assert not any(overlap(box, one.covers) for one in given)


def test_a_lone_name_stands_to_the_right_of_its_point() -> None:
    (box,) = places([spot(300, 200, 120)], FRAME)
    assert (box[0], box[1]) == (310, 192)


def test_cells_at_the_same_cost_and_score_are_all_named() -> None:
    points = [
        Point(
            mark=Mark(letter=letter, name=f"a_model.v{at}-v1", colour=0, shape=at),
            usd=1.53 + at / 100,
            mean=1.0,
            low=0.9,
            high=1.0,
            on_front=False,
        )
        for at, letter in enumerate("ABCD")
    ]
    chart = cost_against_quality("quality", points, "numeric")
    assert chart is not None
    for letter in "ABCD":
        assert f">{letter}\u2002a_model" in chart.wide
        assert f">{letter}<" in chart.narrow
