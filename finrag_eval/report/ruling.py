"""Ticks, hairlines and titles of a picture, drawn as plain lines and texts.

Enters: axes whose limits are set. Leaves: rulings on them. matplotlib's own axes have an object of
many parts for each tick: with them a picture took twice as long (2026-11-29).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from finrag_eval.report.figures import money, plain, seconds
from finrag_eval.report.ink import INK, LINE, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform

#: Pixels between the axes and the texts of their ticks, and from there to a title below.
_PAD, _TITLE = 6.0, 22.0
_SMALL: dict[str, Any] = {"fontsize": 11.5, "color": MUTED}

#: Texts of ticks by where they stand.
Ticks = Mapping[float, str]


def rule_x(axes: Axes, ticks: Ticks, title: str, *, has_lines: bool = True) -> None:
    """A base line, the texts of the ticks in sight, a title, and hairlines upwards."""
    across, pixel = axes.get_xaxis_transform(), 1 / axes.bbox.height
    seen = _in_sight(ticks, axes.get_xlim())
    axes.plot([0, 1], [0, 0], color=LINE, linewidth=0.8, transform=axes.transAxes, clip_on=False)
    if has_lines:
        _hairlines(axes, seen, across, is_upright=True)
    style = {"ha": "center", "va": "top", **_SMALL}
    for at, text in seen.items():
        axes.text(at, -_PAD * pixel, text, transform=across, **style)
    axes.text(0.5, -_TITLE * pixel, title, transform=axes.transAxes, **style)


def rule_y(axes: Axes, ticks: Ticks) -> None:
    """A hairline to the right from each tick in sight, and the ticks' texts."""
    seen = _in_sight(ticks, axes.get_ylim())
    _hairlines(axes, seen, axes.get_yaxis_transform(), is_upright=False)
    _to_the_left(axes, seen, _SMALL)


def name_rows(axes: Axes, rows: Ticks) -> None:
    """Names to the left of the axes, each at its height."""
    _to_the_left(axes, rows, {"fontsize": 12, "color": INK})


def head(axes: Axes, title: str) -> None:
    """A title above the axes, at their left."""
    above = 1 + 10 / axes.bbox.height
    axes.text(0, above, title, transform=axes.transAxes, fontsize=12, color=MUTED)


def money_ticks(limits: tuple[float, float], *, most: int, is_log: bool = False) -> Ticks:
    """Round amounts of USD: ``most`` steps, or on a log scale 1 and 3 times powers of ten."""
    places = _log_places(limits, (1, 3)) if is_log else _places(limits, most)
    return {at: money(round(at, 9)) for at in places}


def score_ticks(limits: tuple[float, float]) -> Ticks:
    """Five round steps or fewer, all with the decimals that tell them apart."""
    places = _places(limits, 5, steps=[1, 2, 5, 10])
    step = min((after - before for before, after in pairwise(places)), default=1)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return {at: plain(at, digits) for at in places}


def second_ticks(limits: tuple[float, float], *, most: int) -> Ticks:
    """1, 2 and 5 times powers of ten, not too many; even steps where not two are in sight."""
    places = _log_places(limits, (1, 2, 5))
    if len(places) < 2:
        places = [at for at in _places(limits, most) if limits[0] <= at <= limits[1]]
    if len(places) > most:
        places = places[:: math.ceil(len(places) / most)]
    return {at: f"{at:g} s" if 1 <= at < 60 else seconds(at) for at in places}


def _places(limits: tuple[float, float], most: int, steps: list[int] | None = None) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    return [float(at) for at in MaxNLocator(most, steps=steps).tick_values(*limits)]


def _log_places(limits: tuple[float, float], steps: Iterable[int]) -> list[float]:
    low, high = limits
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = (step * 10.0**power for power in powers for step in steps)
    return [at for at in every if low <= at <= high]


def _in_sight(ticks: Ticks, limits: tuple[float, float]) -> Ticks:
    low, high = limits
    return {at: text for at, text in ticks.items() if low <= at <= high}


def _hairlines(axes: Axes, ticks: Ticks, transform: Transform, *, is_upright: bool) -> None:
    """One line for all of them, with gaps."""
    from matplotlib.lines import Line2D

    places = [each for at in ticks for each in (at, at, math.nan)]
    whole = [0.0, 1.0, math.nan] * len(ticks)
    x, y = (places, whole) if is_upright else (whole, places)
    axes.add_artist(
        Line2D(
            x, y, color=LINE, linewidth=0.8, solid_capstyle="butt", transform=transform, zorder=0.5
        )
    )


def _to_the_left(axes: Axes, texts: Ticks, style: Mapping[str, Any]) -> None:
    x, along = -_PAD / axes.bbox.width, axes.get_yaxis_transform()
    for y, text in texts.items():
        axes.text(x, y, text, transform=along, ha="right", va="center_baseline", **style)
