"""Spending by day and model as a chart: a PNG, an SVG, or one HTML file around an SVG."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from finrag_eval.costs.report import group_spend
from finrag_eval.errors import InvalidInput, Problem

if TYPE_CHECKING:
    import pandas as pd

_TITLE = "USD by day and model"
_MOST_MODELS = 8
_MOST_TICKS = 12
#: A bar is at most as wide as one of so many: a single day does not fill the chart.
_FEWEST_PLACES = 7
_KINDS = (".png", ".svg", ".html")

#: Colours that are told apart with any colour vision (Okabe & Ito 2008), then grey for the rest.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000")
_REST = "#999999"


def check_chart(path: Path) -> None:
    """Raises InvalidInput where nothing can be drawn into a file of that name."""
    if path.suffix in _KINDS and path.absolute().parent.is_dir():
        return
    if path.suffix in _KINDS:
        message, fix = f"there is no folder {path.absolute().parent}", "make it first"
    else:
        message = f"cannot draw a {path.suffix or 'file without a suffix'}"
        fix = "name a .png, .svg or .html file"
    raise InvalidInput([Problem(file="command line", key="--plot", message=message, fix=fix)])


def plot_spend(spend: pd.DataFrame, path: Path, *, zone: ZoneInfo | None = None) -> None:
    """Write a stacked bar chart of USD by day and model key.

    Rehearsal figures are hatched and never stacked on real money. Raises InvalidInput for a file
    that is none of .png, .svg and .html.
    """
    check_chart(path)
    from matplotlib import rc_context

    looks: Any = {"svg.fonttype": "none", "svg.hashsalt": "finrag-eval", "hatch.linewidth": 0.5}
    with rc_context(looks):
        figure = _figure(group_spend(spend, ["day", "model_key"], zone=zone))
        if path.suffix == ".png":
            figure.savefig(path, format="png", bbox_inches="tight", dpi=150)
            return
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", bbox_inches="tight", metadata={"Date": None})
    svg = drawn.getvalue()
    path.write_text(_page(svg) if path.suffix == ".html" else svg, encoding="utf-8")


def _figure(groups: pd.DataFrame) -> Any:
    import pandas as pd
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4))
    axes = figure.subplots()
    axes.set_title(_TITLE, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, labelsize="small")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    if not len(groups):
        axes.text(0.5, 0.5, "nothing was spent in that time", ha="center", va="center")
        axes.set_axis_off()
        return figure
    first, last = groups["day"].min(), groups["day"].max()
    days = [f"{day:%Y-%m-%d}" for day in pd.date_range(first, last)]
    _draw_bars(axes, groups, days)
    step = -(-len(days) // _MOST_TICKS)
    is_wide = len(days) > _FEWEST_PLACES
    rotated: dict[str, Any] = {"rotation": 45, "ha": "right"} if is_wide else {}
    axes.set_xticks(range(0, len(days), step), days[::step], **rotated)
    axes.set_xlim(-0.5, max(len(days), _FEWEST_PLACES) - 0.5)
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _draw_bars(axes: Any, groups: pd.DataFrame, days: list[str]) -> None:
    """A stack of models for every day; real money and rehearsals side by side."""
    dearest = groups.groupby("model_key")["spent_usd"].sum().sort_values(ascending=False)
    colours = dict(zip(dearest.index[:_MOST_MODELS], _COLOURS, strict=False))
    bases = sorted(set(groups["cost_basis"]))
    width = 0.8 / len(bases)
    for place, basis in enumerate(bases):
        rows = groups[groups["cost_basis"] == basis]
        bottoms = [0.0] * len(days)
        for label, colour, own in _stacks(rows, colours):
            by_day = own.groupby("day")["spent_usd"].sum()
            heights = [float(by_day.get(day, 0.0)) for day in days]
            axes.bar(
                [at + (place - (len(bases) - 1) / 2) * width for at in range(len(days))],
                heights,
                width=width * 0.95,
                bottom=bottoms,
                color=colour,
                hatch=None if basis == "billed" else "//",
                edgecolor="white",
                linewidth=0.4,
                label=f"{label}, {basis}",
            )
            bottoms = [low + high for low, high in zip(bottoms, heights, strict=True)]


def _stacks(rows: pd.DataFrame, colours: dict[str, str]) -> list[tuple[str, str, pd.DataFrame]]:
    """The rows of each model that has a colour, and of all others together."""
    named = [
        (key, colour, own)
        for key, colour in colours.items()
        if len(own := rows[rows["model_key"] == key])
    ]
    others = rows[~rows["model_key"].isin(list(colours))]
    return [*named, ("other models", _REST, others)] if len(others) else named


def _page(svg: str) -> str:
    title = html.escape(_TITLE)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        "<style>body{margin:2rem;background:#fff;font-family:sans-serif}"
        "svg{max-width:100%;height:auto}</style>"
        f"<body>{svg[svg.index('<svg') :]}</body></html>"
    )
