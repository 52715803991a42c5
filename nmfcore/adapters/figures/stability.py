"""How reproducible each component of each rank is: over the runs, and over halves of the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nmfcore.adapters.figures.style import (
    BEST,
    DOUBLE_COLUMN,
    HELD_OUT,
    HIGHLIGHT,
    INK,
    MUTED_INK,
    SINGLE_COLUMN,
    new_figure,
    place,
    rank_zone,
    styled,
    write,
)


@dataclass(frozen=True)
class Reproducibility:
    """What is known of one component.

    Attributes
    ----------
    stability : float or None
        Its silhouette among the components of all runs.
    run_support, replication : float or None
        Share of the runs that find it; share of splits of the samples in which both halves show it.
    run_support_interval, replication_interval : (low, high) or None
    """

    stability: float | None
    run_support: float | None
    replication: float | None
    run_support_interval: tuple[float, float] | None = None
    replication_interval: tuple[float, float] | None = None


_PANELS = (
    ("stability", None, "Stability: do the runs find the same component?", -0.35, BEST, "o"),
    (
        "run_support",
        "run_support_interval",
        "Runs: share of them that find it",
        -0.05,
        BEST,
        "s",
    ),
    (
        "replication",
        "replication_interval",
        "Replication: both halves of the samples show it",
        -0.05,
        HELD_OUT,
        "D",
    ),
)


@styled
def component_stability(
    components: Mapping[int, Sequence[Reproducibility]], recommended_rank: int | None = None
) -> Figure:
    """Show three measures of reproducibility of every component, side by side within its rank.

    Parameters
    ----------
    components : mapping of int to sequence of Reproducibility
        By rank, in the order of the components.
    recommended_rank : int, optional
        Marked by a band.

    Returns
    -------
    Figure
        Whiskers are 95 % intervals. A measure that is known of no component is left out.
    """
    ranks = sorted(components)
    panels = [
        panel
        for panel in _PANELS
        if any(getattr(part, panel[0]) is not None for rank in ranks for part in components[rank])
    ]
    n_parts = sum(len(components[rank]) for rank in ranks)
    width = float(np.clip(14 + 3.6 * n_parts, SINGLE_COLUMN, DOUBLE_COLUMN))
    height, gap = 27.0, 12.0
    figure = new_figure(width, 4 + max(len(panels), 1) * (height + gap) + 3)
    edges = np.cumsum([0, *(len(components[rank]) + 1 for rank in ranks)]).tolist()
    for i, (name, interval, title, low, colour, marker) in enumerate(panels):
        top = 7 + i * (height + gap)
        axes = place(figure, 9, top, width - 11, height)
        write(figure, 1.5, top - 4.4, "abc"[i], fontweight="bold", fontsize=8)
        axes.set_title(title)
        axes.set(xlim=(-1, edges[-1] - 1), ylim=(low, 1.06))
        axes.axhline(0, color=MUTED_INK, lw=0.4, zorder=0)
        for start, rank in zip(edges[:-1], ranks, strict=True):
            if rank == recommended_rank:
                axes.axvspan(
                    start - 0.8,
                    start + len(components[rank]) - 0.2,
                    color=HIGHLIGHT,
                    lw=0,
                    zorder=0,
                )
            rank_zone(axes, rank, start - 1, start + len(components[rank]), name)
            _draw(axes, start, components[rank], name, interval, colour, marker)
        _name_ranks(axes, edges, [len(components[rank]) for rank in ranks], ranks)
        if i == len(panels) - 1:
            axes.set_xlabel("rank; within it, components 1, 2, … by size")
    if not panels:
        write(figure, 4, 8, "Too few runs converged to say.", color=MUTED_INK)
    elif recommended_rank in ranks:
        write(
            figure,
            width - 2,
            1.5,
            "band: recommended rank",
            ha="right",
            fontsize=6,
            color=MUTED_INK,
        )
    return figure


def _draw(
    axes: Axes,
    start: int,
    parts: Sequence[Reproducibility],
    name: str,
    interval: str | None,
    colour: str,
    marker: str,
) -> None:
    known = [(start + j, part) for j, part in enumerate(parts) if getattr(part, name) is not None]
    if not known:
        return
    x = [place_of for place_of, _ in known]
    y = np.array([getattr(part, name) for _, part in known])
    if interval is not None:
        bounds = [getattr(part, interval) for _, part in known]
        for position, bound in zip(x, bounds, strict=True):
            if bound is not None:
                axes.vlines(position, *bound, color=colour, lw=0.7, zorder=2)
    low = axes.get_ylim()[0]
    within = y >= low
    axes.plot(np.array(x)[within], y[within], ls="", marker=marker, ms=2.8, color=colour, zorder=3)
    # At the lower edge, pointing down: further below than is drawn.
    beyond = np.array(x)[~within]
    axes.plot(beyond, np.full(len(beyond), low + 0.05), ls="", marker="v", ms=3.2, color=INK)


def _name_ranks(
    axes: Axes, edges: Sequence[int], counts: Sequence[int], ranks: Sequence[int]
) -> None:
    centres = [start + (count - 1) / 2 for start, count in zip(edges[:-1], counts, strict=True)]
    step = -(-len(ranks) // 16)
    axes.set_xticks(centres[::step], [str(rank) for rank in ranks[::step]])
    axes.tick_params(axis="x", length=0)
    for edge in edges[1:-1]:
        axes.axvline(edge - 1, color=MUTED_INK, lw=0.3, zorder=0)
    axes.set_yticks([0, 0.5, 1])
