"""One style for every figure: journal widths, legible type, colours safe for colour-blind readers.

Figures are made with the object interface of matplotlib inside `styled`, so that drawing changes
no global state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike

SINGLE_COLUMN = 89.0
DOUBLE_COLUMN = 183.0
PNG_DPI = 250

# The palette of Okabe & Ito (2008), neighbours far apart, without its yellow (too pale on white).
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# For many clusters, which carry their number besides: colours of Paul Tol that these leave free.
CLUSTERS = (*OKABE_ITO, "#882255", "#999933", "#888888", "#6699CC", "#661100", "#44AA99", "#332288")
# Paul Tol's muted, bright and vibrant schemes, for annotations beside clusters.
TOL_MUTED = (
    "#332288",
    "#DDCC77",
    "#CC6677",
    "#88CCEE",
    "#117733",
    "#AA4499",
    "#999933",
    "#44AA99",
    "#882255",
)
TOL_BRIGHT = ("#4477AA", "#CCBB44", "#EE6677", "#66CCEE", "#228833", "#AA3377")
TOL_VIBRANT = ("#EE7733", "#0077BB", "#EE3377", "#33BBEE", "#CC3311", "#009988")
ANNOTATION_PALETTES = (TOL_MUTED, TOL_BRIGHT, TOL_VIBRANT)

BEST = OKABE_ITO[0]
HELD_OUT = OKABE_ITO[1]
BOUND = "#767676"
NULL = OKABE_ITO[3]
INK = "#222222"
MUTED_INK = "#595959"
MISSING = "#D9D9D9"
HIGHLIGHT = "#FBE9B7"
SEQUENTIAL = "viridis"
GRADIENT = "cividis"

STYLE: dict[str, Any] = {
    # DejaVu comes with matplotlib: a figure looks the same on a machine without fonts.
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "axes.labelsize": 7,
    "axes.labelpad": 2.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "text.parse_math": False,  # an id such as '$a$' is a name, never a formula
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.borderpad": 0,
    "legend.borderaxespad": 0,
    "legend.handlelength": 1.8,
    "legend.handletextpad": 0.6,
    "legend.labelspacing": 0.35,
    "legend.title_fontsize": 6.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "figure.dpi": PNG_DPI,
    "savefig.dpi": PNG_DPI,
    "savefig.facecolor": "white",
    "image.interpolation": "nearest",
    # Letters as outlines: a figure looks the same in every viewer and in print.
    "svg.fonttype": "path",
    "svg.hashsalt": "nmfcore",
}

_P = ParamSpec("_P")
_T = TypeVar("_T")


def styled(draw: Callable[_P, _T]) -> Callable[_P, _T]:
    """Run a drawing function under `STYLE`, leaving matplotlib's settings as they were."""

    @wraps(draw)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with mpl.rc_context(cast(Any, STYLE)):
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of a size in millimetres."""
    return Figure(figsize=(width / 25.4, height / 25.4))


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place in millimetres, measured from the left and upper edge of the figure."""
    full_width, full_height = (25.4 * inches for inches in figure.get_size_inches())
    return figure.add_axes(
        (
            left / full_width,
            1 - (top + height) / full_height,
            width / full_width,
            height / full_height,
        )
    )


def write(figure: Figure, left: float, top: float, text: str, **properties: Any) -> Text:
    """Write text that hangs from a place in millimetres from the left and upper edge."""
    width, height = (25.4 * inches for inches in figure.get_size_inches())
    return figure.text(left / width, 1 - top / height, text, va="top", **properties)


@styled
def note(message: str) -> Figure:
    """Figure that says why there is nothing to draw."""
    figure = new_figure(SINGLE_COLUMN, 24)
    figure.text(0.5, 0.5, message, ha="center", va="center", color=MUTED_INK, wrap=True)
    return figure


def rank_axis(axes: Axes, ranks: ArrayLike) -> None:
    """Make the x axis one of ranks: integer ticks at the ranks that were tried."""
    tried = np.asarray(ranks, dtype=int)
    step = math.ceil(len(tried) / (12 if tried.max() < 10 else 8))
    axes.set_xticks(tried[::step], [str(rank) for rank in tried[::step]])
    axes.set_xlim(tried.min() - 0.6, tried.max() + 0.6)


def mark_rank(axes: Axes, rank: int | None) -> None:
    """Put a band behind the recommended rank, if there is one."""
    if rank is not None:
        axes.axvspan(
            rank - 0.4, rank + 0.4, color=HIGHLIGHT, lw=0, zorder=0, label="recommended rank"
        )


def rank_zone(axes: Axes, rank: int, low: float, high: float, name: str) -> None:
    """Lay something invisible over the place of a rank, by whose id a page finds it: ``rank-<k>-<name>``."""
    axes.axvspan(low, high, facecolor="none", lw=0, zorder=9, gid=f"rank-{rank}-{name}")


def rank_zones(axes: Axes, ranks: ArrayLike, name: str) -> None:
    """Lay a zone over each rank of an axis of ranks, as wide as there is room between them."""
    tried = np.asarray(ranks, dtype=float)
    edges = np.array([tried[0] - 0.6, *(tried[1:] + tried[:-1]) / 2, tried[-1] + 0.6])
    for rank, low, high in zip(tried, edges[:-1], edges[1:], strict=True):
        rank_zone(axes, int(rank), low, high, name)


def legend_above(axes: Axes) -> None:
    """Put the legend above the axes, where it hides nothing."""
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1.03), columnspacing=1.5)


def short(name: object, length: int = 26) -> str:
    """Return a name on one line, its middle left out if it is long."""
    text = "".join(c if c.isprintable() else " " for c in str(name))
    head = (length - 1) // 2
    return text if len(text) <= length else f"{text[:head]}…{text[head + 1 - length :]}"


def category_colours(count: int, palette: Sequence[str] = CLUSTERS) -> list[str]:
    """Return one colour a category; past the palette's length evenly spaced in viridis."""
    if count <= len(palette):
        return list(palette[:count])
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.95, count))
    return [mpl.colors.to_hex(colour) for colour in colours]
