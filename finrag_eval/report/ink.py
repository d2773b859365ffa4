"""matplotlib drawings as SVG that takes its colours and its type from the page.

Enters: a drawing function. Leaves: inline SVG. Colours are drawn as placeholders and replaced by
CSS variables, so that one drawing serves light and dark; text stays text. matplotlib is imported
here, late, and its global state is not touched.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours of a drawing, by the CSS variable that takes their place.
INK, MUTED, LINE, PAPER, WASH = "#010101", "#010102", "#010103", "#010104", "#010105"
#: How many models have a colour of their own; more share them.
MODEL_COLOURS = 8
_WASTED, _JUDGE, _RETRIEVAL = "#010106", "#010107", "#010108"
PURPOSES = {"judge": _JUDGE, "retrieval": _RETRIEVAL, "wasted": _WASTED}

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    PAPER: "var(--card)",
    WASH: "var(--wash)",
    _WASTED: "var(--bad)",
    _JUDGE: "var(--judge)",
    _RETRIEVAL: "var(--retrieval)",
} | {f"#0101{16 + at:02x}": f"var(--model-{at})" for at in range(MODEL_COLOURS)}

_PLACEHOLDER = re.compile("|".join(_VARIABLES))
_FAMILY = re.compile(r" font-family: [^;\"]*;?")
_GROUP = re.compile(r'<g id="[^"]*"')
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_SIZE = re.compile(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>')
_INCHES_PER_PIXEL = 1 / 72


def model_colour(number: int) -> str:
    """The placeholder of the model with that number."""
    return f"#0101{16 + number % MODEL_COLOURS:02x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A drawing's size and its margins around the axes, in CSS pixels."""

    width: int
    height: int
    left: float = 52.0
    right: float = 16.0
    top: float = 12.0
    bottom: float = 46.0


def drawn(name: str, canvas: Canvas, draw: Callable[[Axes], None]) -> str:
    """SVG of what ``draw`` puts on bare axes. Margins are given, not measured: it is faster.

    ``name`` keeps the ids of two drawings apart. The SVG scales with its box and is hidden from
    screen readers: the page gives the same figures in words or as a table. Glyphs that matplotlib's
    own font lacks are the browser's affair.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        matplotlib.rcParams["svg.fonttype"] = "none"
        matplotlib.rcParams["svg.hashsalt"] = name
        matplotlib.rcParams["text.parse_math"] = False
        size = (canvas.width * _INCHES_PER_PIXEL, canvas.height * _INCHES_PER_PIXEL)
        figure = Figure(figsize=size, dpi=72)
        FigureCanvasSVG(figure)
        axes = figure.add_axes(_inside(canvas))
        axes.set_axis_off()
        axes.set_title("", y=1.0)  # a place that is given need not be looked for
        draw(axes)
        page = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(page, format="svg", transparent=True, metadata=nothing)
    return _inlined(page.getvalue(), canvas)


def _inside(canvas: Canvas) -> tuple[float, float, float, float]:
    """The axes' place as shares of the drawing: left, bottom, width, height."""
    return (
        canvas.left / canvas.width,
        canvas.bottom / canvas.height,
        1 - (canvas.left + canvas.right) / canvas.width,
        1 - (canvas.top + canvas.bottom) / canvas.height,
    )


def _inlined(svg: str, canvas: Canvas) -> str:
    body = _DROPPED.sub("", _PROLOGUE.sub("", svg))
    body = _SIZE.sub(
        f'<svg viewBox="\\1" width="{canvas.width}" height="{canvas.height}" aria-hidden="true" '
        'focusable="false">',
        body,
        count=1,
    )
    body = _GROUP.sub("<g", _FAMILY.sub("", body))
    return _PLACEHOLDER.sub(lambda hit: _VARIABLES[hit[0]], body)
