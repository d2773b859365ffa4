"""Where the names of points stand, so that none covers another or leaves the picture.

Enters: points in pixels and the sizes of their names. Leaves: a place per name. Knows nothing of
what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Left, bottom, right, top; y grows upwards.
Box = tuple[float, float, float, float]

_GAP, _STEP = 10.0, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A point, the size of its name, and what its own mark covers."""

    x: float
    y: float
    width: float
    height: float
    covers: Box


def places(spots: Sequence[Spot], frame: Box) -> list[Box]:
    """A box per name, in the order of the spots: the nearest free place beside or above its point.

    A name for which no place in the frame is free stands to the right of its point nevertheless.
    """
    taken = [spot.covers for spot in spots]
    found = []
    for spot in spots:
        box = next(
            (
                one
                for one in _tries(spot, frame)
                if _is_inside(one, frame) and not any(_overlap(one, other) for other in taken)
            ),
            _at(spot, spot.x + _GAP, spot.y),
        )
        taken.append(box)
        found.append(box)
    return found


def _tries(spot: Spot, frame: Box) -> Iterator[Box]:
    """Boxes to the right, to the left and centred, ever farther above and below the point."""
    lefts = (spot.x + _GAP, spot.x - _GAP - spot.width, spot.x - spot.width / 2)
    for step in range(int((frame[3] - frame[1]) / _STEP) + 1):
        for shift in {step * _STEP: None, -step * _STEP: None}:
            for left in lefts:
                yield _at(spot, left, spot.y + shift)


def _at(spot: Spot, left: float, middle: float) -> Box:
    bottom = middle - spot.height / 2
    return (left, bottom, left + spot.width, bottom + spot.height)


def _is_inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
