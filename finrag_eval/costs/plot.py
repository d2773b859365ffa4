"""Spending by day and model as a chart: a PNG, or one HTML file around an SVG."""

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

_MOST_MODELS = 8


def plot_spend(spend: pd.DataFrame, path: Path, *, zone: ZoneInfo | None = None) -> None:
    """Write a stacked bar chart of USD by day and model key; ``.png``, ``.svg`` or ``.html``.

    Rehearsal figures are hatched and never stacked on real money. Raises InvalidInput for another
    kind of file.
    """
    check_chart(path)
    figure = _figure(group_spend(spend, ["day", "model_key"], zone=zone))
    if path.suffix == ".html":
        page = io.StringIO()
        figure.savefig(page, format="svg", bbox_inches="tight")
        svg = page.getvalue()[page.getvalue().index("<svg") :]
        path.write_text(_page(svg), encoding="utf-8")
    else:
        figure.savefig(path, format=path.suffix[1:], bbox_inches="tight", dpi=150)


def check_chart(path: Path) -> None:
    """Nothing, where a chart can be drawn into such a file; else raises InvalidInput."""
    if path.suffix not in (".png", ".svg", ".html"):
        raise InvalidInput(
            [
                Problem(
                    file="command line",
                    key="--plot",
                    message=f"cannot draw a {path.suffix or 'file without a suffix'}",
                    fix="name a .png, .svg or .html file",
                )
            ]
        )


def _figure(groups: pd.DataFrame) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4))
    axes = figure.subplots()
    days = sorted(groups["day"].unique()) if len(groups) else []
    places = {day: index for index, day in enumerate(days)}
    order = groups.groupby("model_key")["spent_usd"].sum().sort_values(ascending=False)
    shown = list(order.index[:_MOST_MODELS])
    for offset, basis in ((-0.2, "billed"), (0.2, "rehearsal")):
        rows = groups[groups["cost_basis"] == basis]
        bottoms = [0.0] * len(days)
        for index, model in enumerate([*shown, None]):
            chosen = (
                rows[rows["model_key"] == model] if model else rows[~rows["model_key"].isin(shown)]
            )
            if not len(chosen):
                continue
            heights = [0.0] * len(days)
            for day, amount in zip(chosen["day"], chosen["spent_usd"], strict=True):
                heights[places[day]] += float(amount)
            axes.bar(
                [place + offset for place in range(len(days))],
                heights,
                width=0.38,
                bottom=bottoms,
                color=f"C{index}",
                hatch=None if basis == "billed" else "//",
                edgecolor="white",
                label=f"{model or 'other models'}, {basis}",
            )
            bottoms = [low + high for low, high in zip(bottoms, heights, strict=True)]
    step = max(1, len(days) // 12)
    axes.set_xticks(range(0, len(days), step), days[::step], rotation=45, ha="right")
    axes.set_ylabel("USD")
    axes.set_title("Spending by day and model", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if not days:
        axes.text(0.5, 0.5, "nothing was spent in that time", ha="center", va="center")
    else:
        axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _page(svg: str) -> str:
    title = html.escape("Spending by day and model")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        "<style>body{margin:2rem;background:#fff}svg{max-width:100%;height:auto}</style>"
        f"<body>{svg}</body></html>"
    )
