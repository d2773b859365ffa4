"""The report's pictures: cost against quality, times to an answer, cost by purpose.

Enters: figures per cell. Leaves: ``Chart``: the same drawing twice, for wide and for narrow pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finrag_eval.report.figures import money, seconds
from finrag_eval.report.grid import middle_cut
from finrag_eval.report.ink import INK, LINE, MUTED, PAPER, PURPOSES, Canvas, drawn, model_colour
from finrag_eval.report.labels import Spot, places
from finrag_eval.report.ruling import (
    head,
    money_ticks,
    name_rows,
    rule_x,
    rule_y,
    score_ticks,
    second_ticks,
)
from finrag_eval.report.safe_text import visible

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    Values = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_WIDE, _NARROW = 940, 350
_MOST_ROWS = 24
_LABEL = 40
_MARKERS = "osD^vP"
#: Pixels that a line and a character of a label take.
_LINE_HEIGHT, _CHARACTER = 16.0, 7.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How a cell is drawn: its letter, its name, its model's colour, its prompt version's shape."""

    letter: str
    name: str
    colour: int
    shape: int

    @property
    def label(self) -> str:
        """Letter and name as they stand in a wide picture; long names are cut in the middle."""
        return f"{self.letter}\u2002{middle_cut(visible(self.name), _LABEL)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Two SVG drawings of one picture; ``left_out`` cells did not fit on it."""

    wide: str
    narrow: str
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A cell by its cost (USD per 1,000 questions) and a score with its interval."""

    mark: Mark
    usd: float
    mean: float
    low: float | None
    high: float | None
    on_front: bool


def front(points: Sequence[tuple[str, float, float]]) -> tuple[str, ...]:
    """Names of the (name, cost, score) points that no other beats in one and equals in the other.

    By the figures that were seen, without regard to their intervals.
    """
    return tuple(
        name
        for name, usd, mean in points
        if not any(
            (other_usd <= usd and other_mean >= mean) and (other_usd < usd or other_mean > mean)
            for _, other_usd, other_mean in points
        )
    )


def cost_against_quality(name: str, points: Sequence[Point], score_name: str) -> Chart | None:
    """Each cell at its cost and its score, the front as a line; None without points."""
    if not points:
        return None

    def draw(is_narrow: bool) -> Callable[[Axes], None]:
        return lambda axes: _draw_points(axes, points, score_name, is_narrow=is_narrow)

    return Chart(
        wide=drawn(f"{name}-wide", Canvas(width=_WIDE, height=400, top=34), draw(False)),
        narrow=drawn(
            f"{name}-narrow", Canvas(width=_NARROW, height=330, left=40, top=34), draw(True)
        ),
    )


def _draw_points(axes: Axes, points: Sequence[Point], score_name: str, *, is_narrow: bool) -> None:
    costs = [point.usd for point in points]
    is_log = min(costs) > 0 and max(costs) / min(costs) > 8
    if is_log:
        axes.set_xscale("log")
    _draw_front(axes, [point for point in points if point.on_front])
    for point in points:
        _draw_point(axes, point)
    _frame_points(axes, points, is_log=is_log)
    unit = "USD per 1,000 questions" + (", log scale" if is_log else "")
    rule_x(axes, money_ticks(axes.get_xlim(), most=5, is_log=is_log), unit, has_lines=False)
    rule_y(axes, score_ticks(axes.get_ylim()))
    head(axes, score_name)
    _label_points(axes, points, is_narrow=is_narrow)


def _draw_front(axes: Axes, chosen: Sequence[Point]) -> None:
    """The front as steps: what the best score costs at most, up to each price."""
    if len(chosen) < 2:
        return
    ordered = sorted(chosen, key=lambda point: point.usd)
    axes.step(
        [point.usd for point in ordered],
        [point.mean for point in ordered],
        where="post",
        color=MUTED,
        linewidth=1.4,
        linestyle=(0, (4, 3)),
        zorder=1,
    )


def _draw_point(axes: Axes, point: Point) -> None:
    colour = model_colour(point.mark.colour)
    if point.low is not None and point.high is not None:
        axes.plot(
            [point.usd, point.usd],
            [point.low, point.high],
            color=colour,
            alpha=0.35,
            linewidth=6,
            solid_capstyle="round",
            zorder=2,
        )
    axes.plot(
        [point.usd],
        [point.mean],
        marker=_MARKERS[point.mark.shape % len(_MARKERS)],
        markersize=10,
        color=colour,
        markeredgecolor=PAPER,
        markeredgewidth=1.5,
        zorder=3,
    )


def _frame_points(axes: Axes, points: Sequence[Point], *, is_log: bool) -> None:
    """Room around the points."""
    lows = [point.mean if point.low is None else point.low for point in points]
    highs = [point.mean if point.high is None else point.high for point in points]
    costs = [point.usd for point in points]
    pad = 0.08 * (max(highs) - min(lows) or 0.2)
    low, high = min(lows) - pad, max(highs) + pad
    if min(lows) >= 0 and max(highs) <= 1:
        low, high = max(-0.02, low), min(1.02, high)
    axes.set_ylim(low, high)
    if is_log:
        factor = (max(costs) / min(costs)) ** 0.12
        axes.set_xlim(min(costs) / factor, max(costs) * factor)
    else:
        span = max(costs) - min(costs) or max(costs) or 1.0
        axes.set_xlim(max(0.0, min(costs) - 0.12 * span), max(costs) + 0.12 * span)


def _label_points(axes: Axes, points: Sequence[Point], *, is_narrow: bool) -> None:
    """Names beside the points, the best first, with a hairline where one had to move away."""
    ordered = sorted(points, key=lambda point: -point.mean)
    texts = [point.mark.letter if is_narrow else point.mark.label for point in ordered]
    spots = [_spot(axes, point, text) for point, text in zip(ordered, texts, strict=True)]
    left, bottom, right, top = axes.get_window_extent().extents
    for spot, text, box in zip(
        spots, texts, places(spots, (left, bottom, right, top)), strict=True
    ):
        middle = (box[1] + box[3]) / 2
        is_away = abs(middle - spot.y) > _LINE_HEIGHT
        near = (0 if box[0] > spot.x else 1 if box[2] < spot.x else 0.5, 0.5)
        hairline = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.7, "relpos": near}
        axes.annotate(
            text,
            (spot.x, spot.y),
            xytext=(box[0], middle),
            xycoords="figure pixels",
            textcoords="figure pixels",
            annotation_clip=False,
            arrowprops=hairline if is_away else None,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
            ha="left",
            va="center",
            fontsize=12,
            color=INK,
        )


def _spot(axes: Axes, point: Point, text: str) -> Spot:
    """The point in pixels, with what its marker and its interval cover."""
    lows = point.mean if point.low is None else point.low
    highs = point.mean if point.high is None else point.high
    (x, y), (_, low), (_, high) = axes.transData.transform(
        [(point.usd, point.mean), (point.usd, lows), (point.usd, highs)]
    )
    covers = (x - 7, min(low - 3, y - 7), x + 7, max(high + 3, y + 7))
    width = 4 + _CHARACTER * len(text)
    return Spot(x=x, y=y, width=width, height=_LINE_HEIGHT, covers=covers)


def latency_chart(latencies: Mapping[str, Sequence[float]], marks: Sequence[Mark]) -> Chart | None:
    """A ridge per cell over a log scale of seconds, with its median and its 95th percentile."""
    shown = [mark for mark in marks if latencies.get(mark.name)]
    rows = shown[:_MOST_ROWS]
    if not rows:
        return None

    def draw(is_narrow: bool) -> Callable[[Axes], None]:
        return lambda axes: _draw_ridges(axes, rows, latencies, is_narrow=is_narrow)

    height = 74 + 60 * len(rows)
    return Chart(
        wide=drawn("latency-wide", _rows_canvas(rows, height), draw(False)),
        narrow=drawn("latency-narrow", Canvas(width=_NARROW, height=height, left=30), draw(True)),
        left_out=len(shown) - len(rows),
    )


def _rows_canvas(rows: Sequence[Mark], height: int) -> Canvas:
    """A wide canvas whose left margin holds the longest name."""
    longest = max(len(mark.label) for mark in rows)
    return Canvas(width=_WIDE, height=height, left=18 + _CHARACTER * longest)


def _draw_ridges(
    axes: Axes, rows: Sequence[Mark], latencies: Mapping[str, Sequence[float]], *, is_narrow: bool
) -> None:
    import numpy as np

    values = {mark.name: np.maximum(np.asarray(latencies[mark.name], float), 1e-3) for mark in rows}
    low = min(float(each.min()) for each in values.values())
    high = max(float(each.max()) for each in values.values())
    edges = np.geomspace(low / 1.15, max(high, low * 1.5) * 1.15, 97)
    for at, mark in enumerate(rows):
        _draw_ridge(axes, -at, values[mark.name], edges, mark)
    axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1] * 1.02)
    axes.set_ylim(-len(rows) + 0.55, 1.0)
    ticks = second_ticks((float(edges[0]), float(edges[-1])), most=4 if is_narrow else 8)
    rule_x(axes, ticks, "time to an answer, log scale")
    name_rows(axes, {0.12 - at: _named(mark, is_narrow) for at, mark in enumerate(rows)})


def _draw_ridge(axes: Axes, base: float, values: Values, edges: Values, mark: Mark) -> None:
    """One cell's histogram, smoothed over its bins, on its own line; its highest bin is 0.72."""
    import numpy as np

    colour = model_colour(mark.colour)
    counts, _ = np.histogram(values, bins=edges)
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / 2.2) ** 2)
    ridge = np.convolve(counts.astype(float), kernel / kernel.sum(), mode="same")
    ridge = 0.72 * ridge / (ridge.max() or 1.0)
    centres = np.sqrt(edges[1:] * edges[:-1])
    axes.fill_between(centres, base, base + ridge, color=colour, alpha=0.28, linewidth=0)
    axes.plot(centres, base + ridge, color=colour, linewidth=1.4)
    axes.axhline(base, color=LINE, linewidth=0.8, zorder=0)
    median, late = (float(value) for value in np.quantile(values, (0.5, 0.95)))
    axes.plot([median, late], [base, base], color=colour, linewidth=2.4, solid_capstyle="round")
    axes.plot([median], [base], marker="o", markersize=8, color=colour, markeredgecolor=PAPER)
    axes.plot([late], [base], marker="|", markersize=11, color=colour, markeredgewidth=2.4)
    for value, text in ((median, f"p50 {seconds(median)}"), (late, f"p95 {seconds(late)}")):
        axes.annotate(
            text,
            (value, base),
            xytext=(0, -7),
            textcoords="offset points",
            ha="center" if text.startswith("p50") else "left",
            va="top",
            fontsize=10.5,
            color=MUTED,
        )


def cost_chart(costs: Mapping[str, Mapping[str, float]], marks: Sequence[Mark]) -> Chart | None:
    """A bar per cell of what it cost, by purpose; None where nothing cost anything."""
    shown = [mark for mark in marks if sum(costs.get(mark.name, {}).values()) > 0]
    rows = shown[:_MOST_ROWS]
    if not rows:
        return None

    def draw(is_narrow: bool) -> Callable[[Axes], None]:
        return lambda axes: _draw_costs(axes, rows, costs, is_narrow=is_narrow)

    height = 66 + 38 * len(rows)
    return Chart(
        wide=drawn("cost-wide", _rows_canvas(rows, height), draw(False)),
        narrow=drawn("cost-narrow", Canvas(width=_NARROW, height=height, left=30), draw(True)),
        left_out=len(shown) - len(rows),
    )


def _draw_costs(
    axes: Axes,
    rows: Sequence[Mark],
    costs: Mapping[str, Mapping[str, float]],
    *,
    is_narrow: bool,
) -> None:
    for at, mark in enumerate(rows):
        start = 0.0
        for purpose, usd in costs[mark.name].items():
            colour = PURPOSES.get(purpose, model_colour(mark.colour))
            axes.barh([-at], [usd], left=start, height=0.56, color=colour, edgecolor=PAPER)
            start += usd
        axes.annotate(
            money(round(start, 9)),
            (start, -at),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=12,
            color=INK,
        )
    most = max(sum(costs[mark.name].values()) for mark in rows)
    axes.set_xlim(0, most * (1.3 if is_narrow else 1.12))
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    ticks = money_ticks(axes.get_xlim(), most=3 if is_narrow else 6)
    rule_x(axes, ticks, "USD, whole sweep")
    name_rows(axes, {-at: _named(mark, is_narrow) for at, mark in enumerate(rows)})


def _named(mark: Mark, is_narrow: bool) -> str:
    return mark.letter if is_narrow else mark.label
