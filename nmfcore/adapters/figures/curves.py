"""Curves over the rank: how well, how reproducibly, how predictively."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from nmfcore.adapters.figures.style import (
    BEST,
    BOUND,
    DOUBLE_COLUMN,
    HELD_OUT,
    MUTED_INK,
    NULL,
    OKABE_ITO,
    SINGLE_COLUMN,
    legend_above,
    mark_rank,
    new_figure,
    place,
    rank_axis,
    rank_zones,
    styled,
    write,
)

Null = Mapping[int, NDArray[np.float64]]


@dataclass(frozen=True)
class _Curve:
    """A column of the criteria and how it is drawn."""

    column: str
    label: str
    line: dict[str, Any]
    error: str | None = None


@dataclass(frozen=True)
class _Panel:
    title: str
    curves: tuple[_Curve, ...]
    smallest_span: float
    at_most: float = np.inf


_MAIN = {"color": BEST, "marker": "o", "ls": "-"}
_SECOND = {"color": HELD_OUT, "marker": "s", "ls": "--"}
_HELD_OUT = _Curve(
    "held_out_error",
    "held-out entries ± 1 SE",
    {"color": HELD_OUT, "marker": "s", "ls": "-"},
    "held_out_error_se",
)

_RECONSTRUCTION = (
    _Curve(
        "reconstruction_error_median",
        "median run",
        {"color": OKABE_ITO[5], "marker": "^", "ls": "--"},
    ),
    _Curve("reconstruction_error", "best run", _MAIN),
    _Curve("svd_error", "truncated SVD (bound)", {"color": BOUND, "marker": "", "ls": ":"}),
)

_SURVEY = (
    _Panel("Cophenetic correlation ↑", (_Curve("cophenetic_correlation", "", _MAIN),), 0.1, 1),
    _Panel("Dispersion ↑", (_Curve("dispersion", "", _MAIN),), 0.2, 1),
    _Panel("Ambiguous pairs (PAC) ↓", (_Curve("pac", "", _MAIN),), 0.1),
    _Panel("Consensus silhouette ↑", (_Curve("consensus_silhouette", "", _MAIN),), 0.2, 1),
    _Panel(
        "Component stability ↑",
        (
            _Curve("component_stability", "mean", _MAIN),
            _Curve("component_stability_min", "weakest", _SECOND),
        ),
        0.2,
        1,
    ),
    _Panel("Held-out error ± 1 SE ↓", (_HELD_OUT,), 0.05),
    _Panel("Explained variance", (_Curve("explained_variance", "", _MAIN),), 0.1, 1),
    _Panel(
        "Sparseness",
        (_Curve("sparseness_W", "W", _MAIN), _Curve("sparseness_H", "H", _SECOND)),
        0.1,
    ),
)


def _values(criteria: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return criteria[column].to_numpy(dtype=float)


def _draw(axes: Axes, criteria: pd.DataFrame, curve: _Curve) -> None:
    """Draw one curve, and its 95 % interval as a band; where it is undefined, the line has a gap."""
    ranks, values = _values(criteria, "rank"), _values(criteria, curve.column)
    axes.plot(ranks, values, label=curve.label, **curve.line)
    bounds = [f"{curve.column}_{end}" for end in ("low", "high")]
    if curve.error is None and set(bounds) <= set(criteria):
        low, high = (_values(criteria, bound) for bound in bounds)
        axes.fill_between(ranks, low, high, color=curve.line["color"], alpha=0.18, lw=0)
    if curve.error is not None:
        error = _values(criteria, curve.error)
        defined = np.isfinite(values) & np.isfinite(error)
        axes.errorbar(
            ranks[defined],
            values[defined],
            error[defined],
            fmt="none",
            ecolor=curve.line["color"],
            elinewidth=0.8,
            capsize=2,
            capthick=0.8,
        )


def _draw_null(axes: Axes, ranks: NDArray[np.float64], spread: NDArray[np.float64]) -> None:
    """Draw what permuted copies give: their median, and from the least to the largest as a band."""
    low, median, high = spread
    axes.fill_between(ranks, low, high, color=NULL, alpha=0.25, lw=0)
    axes.plot(ranks, median, color=NULL, marker="x", ms=3, ls="-.", lw=0.9, label="permuted copies")


def _null_spread(null_errors: Null, power: int = 1) -> tuple[Any, Any]:
    """Ranks, and least, median and largest error of the permuted copies, or one minus its square."""
    ranks = np.array(sorted(null_errors), dtype=float)
    values = [null_errors[int(rank)] for rank in ranks]
    if power == 2:
        values = [1 - errors**2 for errors in values]
    return ranks, np.array([np.quantile(errors, (0, 0.5, 1)) for errors in values]).T


@styled
def reconstruction_curve(
    criteria: pd.DataFrame, recommended_rank: int | None = None, null_errors: Null | None = None
) -> Figure:
    """Relative error over the rank: of the fit, of its bound, and of entries that were hidden.

    Parameters
    ----------
    criteria : DataFrame
        One line a rank, as in ``selection/criteria.tsv``.
    recommended_rank : int, optional
        Marked by a band.
    null_errors : mapping of int to (n_permutations,) ndarray, optional
        By rank: the relative errors of fits of permuted copies.

    Returns
    -------
    Figure
    """
    figure = new_figure(SINGLE_COLUMN, 68)
    axes = place(figure, 12, 12.5, SINGLE_COLUMN - 14, 46)
    for curve in (*_RECONSTRUCTION, _HELD_OUT):
        if criteria[curve.column].notna().any():
            _draw(axes, criteria, curve)
    if null_errors:
        _draw_null(axes, *_null_spread(null_errors))
    rank_axis(axes, criteria["rank"])
    mark_rank(axes, recommended_rank)
    rank_zones(axes, criteria["rank"], "curve")
    _clip_explosion(axes, criteria)
    axes.set_xlabel("rank (number of components)")
    axes.set_ylabel("relative error")
    legend_above(axes)
    return figure


def _clip_explosion(axes: Axes, criteria: pd.DataFrame) -> None:
    """Keep an exploding held-out error from flattening the other curves; say so at the edge."""
    ranks, held_out = _values(criteria, "rank"), _values(criteria, "held_out_error")
    fits = _values(criteria, "reconstruction_error_median")
    if not np.isfinite(held_out).any():
        return
    ceiling = 2 * np.nanmax([np.nanmin(held_out), held_out[0], *fits])
    beyond = held_out > ceiling
    if beyond.any():
        axes.set_ylim(top=ceiling)
        axes.plot(
            ranks[beyond],
            np.full(beyond.sum(), 0.985),
            transform=axes.get_xaxis_transform(),
            color=HELD_OUT,
            marker="^",
            ls="",
            label="held-out error beyond the axis",
        )


@styled
def rank_survey(
    criteria: pd.DataFrame, recommended_rank: int | None = None, null_errors: Null | None = None
) -> Figure:
    """Every criterion over the rank, a small panel each.

    Parameters
    ----------
    criteria : DataFrame
        One line a rank, as in ``selection/criteria.tsv``; undefined values leave gaps.
    recommended_rank : int, optional
        Marked by a band in each panel.
    null_errors : mapping of int to (n_permutations,) ndarray, optional
        By rank: the relative errors of fits of permuted copies, shown beside the explained variance.

    Returns
    -------
    Figure
        Arrows in the titles tell which direction is better; soft bands are 95 % intervals.
    """
    columns, left, gap, width, height = 4, 10.0, 9.0, 34.5, 31.0
    rows = -(-len(_SURVEY) // columns)
    figure = new_figure(DOUBLE_COLUMN, 8 + rows * (height + 12))
    for i, panel in enumerate(_SURVEY):
        row, column = divmod(i, columns)
        x, y = left + column * (width + gap), 7 + row * (height + 12)
        axes = place(figure, x, y, width, height)
        write(figure, x - 7.5, y - 3.6, "abcdefgh"[i], fontweight="bold", fontsize=8)
        axes.set_title(panel.title)
        _draw_panel(axes, criteria, panel)
        if null_errors and panel.curves[0].column == "explained_variance":
            _draw_null(axes, *_null_spread(null_errors, power=2))
            axes.set_ylim(auto=True)
            axes.autoscale_view()
            _legend_in_headroom(axes)
        rank_axis(axes, criteria["rank"])
        rank_zones(axes, criteria["rank"], "abcdefgh"[i])
        mark_rank(axes, recommended_rank)
        if row == rows - 1:
            axes.set_xlabel("rank")
    keys = ["soft bands: 95 % intervals"] if "cophenetic_correlation_low" in criteria else []
    keys += ["yellow band: recommended rank"] if recommended_rank is not None else []
    write(
        figure, DOUBLE_COLUMN - 2, 4.2 + rows * (height + 12), " · ".join(keys),
        ha="right", fontsize=6.5, color=MUTED_INK,
    )  # fmt: skip
    return figure


def _draw_panel(axes: Axes, criteria: pd.DataFrame, panel: _Panel) -> None:
    defined = [curve for curve in panel.curves if criteria[curve.column].notna().any()]
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if not defined:
        axes.text(
            0.5, 0.5, "undefined", transform=axes.transAxes, ha="center", color=MUTED_INK, size=6.5
        )
        axes.set_yticks([])
        return
    for curve in defined:
        _draw(axes, criteria, curve)
    _widen(axes, panel)
    if len(panel.curves) > 1:
        _legend_in_headroom(axes)


def _widen(axes: Axes, panel: _Panel) -> None:
    """Widen the y axis, so that differences too small to matter do not look large."""
    low, high = axes.get_ylim()
    high = min(high, panel.at_most + 0.06 * max(high - low, panel.smallest_span))
    if (missing := panel.smallest_span - (high - low)) > 0:
        low, high = low - missing / 2, high + missing / 2
        over = max(0.0, high - panel.at_most - 0.06 * panel.smallest_span)
        low, high = low - over, high - over
    axes.set_ylim(low, high)


def _legend_in_headroom(axes: Axes) -> None:
    """Make room above the curves for the legend, where there are no ticks either."""
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    axes.set_yticks(ticks)
    axes.set_ylim(low, high + 0.2 * (high - low))
    axes.legend(loc="upper left", ncols=2, handlelength=2.2, columnspacing=1.2, borderaxespad=0.3)
