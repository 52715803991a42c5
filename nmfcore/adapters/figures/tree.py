"""How the components of one rank split into those of the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from nmfcore.adapters.figures.style import (
    BEST,
    DOUBLE_COLUMN,
    HELD_OUT,
    INK,
    MISSING,
    OKABE_ITO,
    SINGLE_COLUMN,
    mark_rank,
    new_figure,
    place,
    rank_zone,
    styled,
)
from nmfcore.component_tree import Branch, Origin

_LINES = {
    Origin.KEPT: (BEST, "-", "kept"),
    Origin.SPLIT: (HELD_OUT, "--", "split off"),
    Origin.MERGED: (OKABE_ITO[2], ":", "merged"),
}
_COLOURS = "viridis"
_TALLEST = 200.0  # mm
_LEAST_AREA, _MOST_AREA = 44.0, 190.0  # of a node, points²


@styled
def component_tree_figure(
    shares: Mapping[int, Sequence[float]],
    support: Mapping[int, Sequence[float]],
    branches: Sequence[Branch],
    recommended_rank: int | None = None,
) -> Figure:
    """Which components of a rank go on at the next, split, merge or appear.

    Parameters
    ----------
    shares : mapping of int to sequence of float
        By rank: the share of each component in what is reconstructed. It sets the size of a node.
    support : mapping of int to sequence of float
        By rank: the share of runs that find each component. It sets the colour.
    branches : sequence of Branch
        As `nmfcore.component_tree.component_tree` returns them.
    recommended_rank : int, optional
        Marked by a band.

    Returns
    -------
    Figure
        A column a rank. Components that have no line from the left are new.
    """
    ranks = sorted(shares)
    heights = _heights({rank: len(shares[rank]) for rank in ranks}, branches)
    most = max(len(shares[rank]) for rank in ranks)
    height = min(8.5 * most, _TALLEST) + 8
    width = min(DOUBLE_COLUMN, max(SINGLE_COLUMN, 14.0 + 17 * len(ranks)))
    figure = new_figure(width, 9 + height + 20)
    axes = place(figure, 4, 8, width - 8, height)
    axes.set(xlim=(-0.6, len(ranks) - 0.4), ylim=(most / 2 + 0.3, -most / 2 - 0.3))
    mark_rank(axes, ranks.index(recommended_rank) if recommended_rank in ranks else None)
    _draw_branches(axes, ranks, heights, branches)
    _draw_nodes(axes, ranks, heights, shares, support, height / most)
    for column, rank in enumerate(ranks):
        rank_zone(axes, rank, column - 0.5, column + 0.5, "tree")
    axes.set_xticks(range(len(ranks)), [str(rank) for rank in ranks])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("rank (number of components)")
    _legends(figure, axes, branches, 8 + height)
    return figure


def _heights(
    counts: Mapping[int, int], branches: Sequence[Branch]
) -> dict[int, NDArray[np.float64]]:
    """Place the components of each rank beside their parents, so that few lines cross."""
    parents = {(branch.rank, branch.component): branch.parents for branch in branches}
    heights: dict[int, NDArray[np.float64]] = {}
    before = None
    for rank, count in sorted(counts.items()):
        wanted = np.arange(count, dtype=float)
        if before is not None:
            for j in range(count):
                above = parents.get((rank, j), ())
                wanted[j] = np.mean(before[list(above)]) if above else np.inf
        place_of = np.empty(count)
        place_of[np.argsort(wanted, kind="stable")] = np.arange(count) - (count - 1) / 2
        heights[rank] = before = place_of
    return heights


def _draw_branches(
    axes: Axes,
    ranks: Sequence[int],
    heights: Mapping[int, NDArray[np.float64]],
    branches: Sequence[Branch],
) -> None:
    """Draw a soft curve from each parent to its child."""
    step = np.linspace(0, 1, 24)
    bend = 3 * step**2 - 2 * step**3
    for branch in branches:
        column = ranks.index(branch.rank)
        if branch.origin not in _LINES:
            continue
        colour, dashes, _ = _LINES[branch.origin]
        for parent in branch.parents:
            start = heights[ranks[column - 1]][parent]
            end = heights[branch.rank][branch.component]
            axes.plot(
                column - 1 + step, start + bend * (end - start),
                color=colour, ls=dashes, lw=1.3, zorder=2,
            )  # fmt: skip


def _draw_nodes(
    axes: Axes,
    ranks: Sequence[int],
    heights: Mapping[int, NDArray[np.float64]],
    shares: Mapping[int, Sequence[float]],
    support: Mapping[int, Sequence[float]],
    spacing: float,
) -> None:
    """Draw a disc a component: its size is the share, its colour the support, in it its number."""
    largest = min(_MOST_AREA, (2.6 * spacing) ** 2)
    colours = mpl.colormaps[_COLOURS].with_extremes(bad=MISSING)
    for column, rank in enumerate(ranks):
        value = np.array([np.nan if s is None else s for s in support[rank]], dtype=float)
        fill = colours(np.ma.masked_invalid(value))
        area = np.maximum(min(_LEAST_AREA, largest), largest * np.sqrt(np.array(shares[rank])))
        axes.scatter(
            np.full(len(area), column), heights[rank], s=area, c=fill,
            edgecolors=INK, linewidths=0.6, zorder=3,
        )  # fmt: skip
        for j, y in enumerate(heights[rank]):
            dark = fill[j][:3] @ (0.299, 0.587, 0.114) < 0.55
            axes.text(
                column, y, str(j + 1), ha="center", va="center_baseline", zorder=4,
                fontsize=5 if spacing < 6 else 6, color="white" if dark else INK,
            )  # fmt: skip


def _legends(figure: Figure, axes: Axes, branches: Sequence[Branch], bottom: float) -> None:
    present = {branch.origin for branch in branches}
    handles = [
        Line2D([], [], color=colour, ls=dashes, label=label)
        for origin, (colour, dashes, label) in _LINES.items()
        if origin in present
    ]
    axes.legend(handles=handles, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.01))
    bar_axes = place(figure, 6, bottom + 11, 34, 2.4)
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), _COLOURS), cax=bar_axes, orientation="horizontal"
    )
    bar.outline.set_visible(False)
    bar.set_ticks((0, 0.5, 1), labels=["0", "0.5", "1"])
    bar_axes.tick_params(length=2, labelsize=6)
    bar_axes.set_xlabel("support: share of runs, or of sample halves, that find it", loc="left")
    says = ["area: share of the whole"]
    if Origin.NEW in present:
        says.append("no line from the left: new")
    bar_axes.text(
        1.2, 1.7, "\n".join(says), transform=bar_axes.transAxes, va="top", linespacing=1.4
    )
