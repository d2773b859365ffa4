"""Small bars for table cells: an interval on a scale, as inline SVG.

Enters: figures. Leaves: SVG markup made of numbers alone, coloured by the page's classes. The
figures stand in words beside every bar, so a bar is hidden from screen readers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_WIDTH = 108.0
_HEIGHT = 16.0
_MARGIN = 5.0
_TONES = frozenset({"better", "worse", "equivalent", "inconclusive"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The range that all bars of one column share; ``zero`` draws a line at 0."""

    low: float
    high: float
    zero: bool = False

    def x(self, value: float) -> float:
        """Where the value stands, kept inside the bar."""
        span = self.high - self.low or 1.0
        inside = min(1.0, max(0.0, (value - self.low) / span))
        return _MARGIN + inside * (_WIDTH - 2 * _MARGIN)


def score_scale(values: Iterable[float | None]) -> Scale:
    """The values' range, opened to tenths; never beyond 0 and 1 where all values lie there."""
    known = [value for value in values if value is not None]
    if not known:
        return Scale(low=0.0, high=1.0)
    low, high = math.floor(min(known) * 10) / 10, math.ceil(max(known) * 10) / 10
    return Scale(low=low, high=high if high > low else low + 0.1)


def change_scale(values: Iterable[float | None]) -> Scale:
    """Around zero, as far to both sides as the farthest value."""
    reach = max((abs(value) for value in values if value is not None), default=1.0) or 1.0
    return Scale(low=-reach, high=reach, zero=True)


def interval_bar(
    mean: float | None, low: float | None, high: float | None, scale: Scale, tone: str = ""
) -> str:
    """A dot at the mean on a bar from low to high; an empty scale where there is no mean."""
    middle = _HEIGHT / 2
    parts = [
        f'<svg class="bar tone-{tone if tone in _TONES else "plain"}" '
        f'viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" width="{_WIDTH:g}" '
        f'height="{_HEIGHT:g}" aria-hidden="true" focusable="false">',
        f'<line class="bar-track" x1="{_MARGIN:g}" x2="{_WIDTH - _MARGIN:g}" '
        f'y1="{middle:g}" y2="{middle:g}"/>',
    ]
    if scale.zero:
        at = f"{scale.x(0):.1f}"
        parts.append(f'<line class="bar-zero" x1="{at}" x2="{at}" y1="1" y2="{_HEIGHT - 1:g}"/>')
    if mean is not None:
        if low is not None and high is not None:
            left, right = scale.x(low), scale.x(high)
            parts.append(
                f'<rect class="bar-interval" x="{left:.1f}" y="{middle - 3:g}" '
                f'width="{max(1.5, right - left):.1f}" height="6" rx="3"/>'
            )
        parts.append(f'<circle class="bar-mean" cx="{scale.x(mean):.1f}" cy="{middle:g}" r="3.6"/>')
    return "".join([*parts, "</svg>"])
