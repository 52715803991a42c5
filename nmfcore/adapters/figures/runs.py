"""Every run: where it ended and how it got there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from nmfcore.adapters.figures.style import (
    BEST,
    BOUND,
    DOUBLE_COLUMN,
    HELD_OUT,
    INK,
    MUTED_INK,
    SINGLE_COLUMN,
    legend_above,
    mark_rank,
    new_figure,
    place,
    rank_axis,
    styled,
    write,
)
from nmfcore.runs import Status

_GOLDEN = (5**0.5 - 1) / 2
_MANY_RUNS = 3000  # as vectors, more would make the file slow to open
_CURVES_A_PANEL = 50
_POINTS_A_CURVE = 40
_FLOOR = 1e-6
_SAME_MINIMUM = 1e-3


@styled
def error_by_seed(runs: pd.DataFrame, recommended_rank: int | None = None) -> Figure:
    """Relative error of every run by rank; runs that did not converge stand out.

    Parameters
    ----------
    runs : DataFrame
        One line a run, with columns ``rank``, ``seed``, ``status``, ``relative_error``.
    recommended_rank : int, optional
        Marked by a band.

    Returns
    -------
    Figure
    """
    figure = new_figure(SINGLE_COLUMN, 68)
    axes = place(figure, 12, 12.5, SINGLE_COLUMN - 14, 46)
    ranks = np.unique(runs["rank"].to_numpy())
    # Multiples of the golden ratio spread any number of seeds evenly, the same way each time.
    x = runs["rank"] + 0.6 * (((runs["seed"] + 1) * _GOLDEN) % 1 - 0.5)
    converged = runs["status"] == Status.CONVERGED
    stopped = runs["status"] == Status.MAX_ITER
    error, raster = runs["relative_error"], len(runs) > _MANY_RUNS
    axes.plot(
        x[converged],
        error[converged],
        ls="",
        marker="o",
        ms=2.4,
        mew=0,
        color=BEST,
        alpha=0.6,
        rasterized=raster,
        label="converged",
    )
    if stopped.any():
        axes.plot(
            x[stopped],
            error[stopped],
            ls="",
            marker="^",
            ms=2.8,
            mew=0.5,
            mfc="none",
            mec=HELD_OUT,
            rasterized=raster,
            label="stopped at max_iter",
        )
    _quartiles(axes, runs)
    _count_non_finite(axes, runs)
    rank_axis(axes, ranks)
    mark_rank(axes, recommended_rank)
    axes.set_xlabel("rank (number of components)")
    axes.set_ylabel("relative error")
    legend_above(axes)
    return figure


def _quartiles(axes: Axes, runs: pd.DataFrame) -> None:
    """Draw median and quartiles beside the points of each rank."""
    quartiles = (
        runs.groupby("rank")["relative_error"].quantile(np.array([0.25, 0.5, 0.75])).unstack()
    )
    x = quartiles.index.to_numpy()
    low, median, high = quartiles.to_numpy().T
    axes.vlines(x, low, high, color=INK, lw=2, zorder=1.5)
    axes.hlines(
        median, x - 0.42, x + 0.42, color=INK, lw=0.7, zorder=1.5, label="median, quartiles"
    )


def _count_non_finite(axes: Axes, runs: pd.DataFrame) -> None:
    """Write at the upper edge how many runs of a rank have no error to show."""
    lost = runs.loc[runs["status"] == Status.NON_FINITE, "rank"].value_counts().sort_index()
    if lost.empty:
        return
    edge = axes.get_xaxis_transform()
    axes.plot(
        lost.index,
        np.full(len(lost), 0.97),
        ls="",
        marker="x",
        ms=4,
        color=INK,
        transform=edge,
        label="non-finite (count)",
    )
    for rank, count in lost.items():
        axes.annotate(str(count), (rank, 0.97), (3, 0), edge, "offset points", va="center", size=6)


@styled
def error_histories(traces: Mapping[int, NDArray[np.float64]]) -> Figure:
    """How the loss fell, a panel a rank: each curve a run, relative to the best loss of that rank.

    Parameters
    ----------
    traces : mapping of int to (n_seeds, n_iterations) ndarray
        Loss after each iteration by rank, NaN past a run's end.

    Returns
    -------
    Figure
        Runs that end within 0.1 % of the best (dotted line) are blue, those that end in a poorer
        local minimum orange. At most 50 runs a rank are drawn, evenly chosen.
    """
    columns, left, gap, height = min(4, len(traces)), 18.0, 4.5, 30.0
    rows = -(-len(traces) // columns)
    width = (DOUBLE_COLUMN - left - 2 - 3 * gap) / 4
    figure = new_figure(
        max(SINGLE_COLUMN, left + columns * (width + gap) - gap + 2), 14 + rows * (height + 10)
    )
    _explain_colours(figure, 4 + rows * (height + 10))
    longest = max(trace.shape[1] for trace in traces.values())
    for i, (rank, trace) in enumerate(sorted(traces.items())):
        row, column = divmod(i, columns)
        axes = place(figure, left + column * (width + gap), 7 + row * (height + 10), width, height)
        _histories(axes, rank, trace)
        axes.set(xlim=(1, max(longest, 2)), ylim=(_FLOOR / 1.5, 3), xscale="log", yscale="log")
        _decades(axes)
        axes.tick_params(labelleft=column == 0)
        if i + columns >= len(traces):
            axes.set_xlabel("iteration")
    write(
        figure, 1.5, 7 + rows * (height + 10) / 2 - 5, "loss above the best of the rank",
        rotation=90, ha="left", color=INK, rotation_mode="default",
    ).set_verticalalignment("center")  # fmt: skip
    return figure


def _explain_colours(figure: Figure, top: float) -> None:
    width, height = (25.4 * inches for inches in figure.get_size_inches())
    figure.legend(
        handles=[
            Line2D([], [], color=BEST, label="ends within 0.1 % of the best (dotted)"),
            Line2D([], [], color=HELD_OUT, label="ends in a poorer local minimum"),
        ],
        ncols=2 if width > 110 else 1,
        loc="upper right",
        bbox_to_anchor=(1 - 2 / width, 1 - (top + 2) / height),
    )


def _decades(axes: Axes) -> None:
    """Tick whole decades, the losses as shares."""
    axes.minorticks_off()
    axes.set_yticks([1, 1e-2, 1e-4, 1e-6], ["100 %", "1 %", "0.01 %", "0.0001 %"])
    high = axes.get_xlim()[1]
    ticks = [10**i for i in range(int(np.log10(high)) + 1)]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])


def _histories(axes: Axes, rank: int, trace: NDArray[np.float64]) -> None:
    axes.set_title(f"Rank {rank}")
    axes.axhline(_SAME_MINIMUM, color=BOUND, lw=0.6, ls=(0, (2, 2)))
    if not np.isfinite(trace).any():
        axes.text(0.5, 0.5, "no finite loss", transform=axes.transAxes, ha="center")
        return
    best = np.nanmin(trace)
    excess = np.maximum((trace - best) / (abs(best) or 1), _FLOOR)
    ends = _ends(excess)
    final = excess[np.arange(len(ends)), ends - 1]
    reached = (ends > 0) & (final < _SAME_MINIMUM)
    axes.text(
        1, 1.035, f"{reached.sum()} of {len(trace)} runs ≤ 0.1 %", transform=axes.transAxes,
        ha="right", va="bottom", fontsize=6, color=MUTED_INK,
    )  # fmt: skip
    shown = np.unique(np.linspace(0, len(trace) - 1, _CURVES_A_PANEL).astype(int))
    curves = [_thinned(excess[i], ends[i]) for i in shown]
    colours = [BEST if reached[i] else HELD_OUT for i in shown]
    axes.add_collection(LineCollection(curves, colors=colours, linewidths=0.5, alpha=0.55))


def _ends(trace: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return how many iterations each run took."""
    finite = np.isfinite(trace)
    return np.where(finite.any(axis=1), trace.shape[1] - finite[:, ::-1].argmax(axis=1), 0)


def _thinned(curve: NDArray[np.float64], end: int) -> NDArray[np.float64]:
    """Return points of a curve that are evenly spaced on a logarithmic axis, its end among them."""
    if end == 0:
        return np.empty((0, 2))
    points = np.unique(np.geomspace(1, end, _POINTS_A_CURVE).round().astype(int))
    return np.column_stack((points, curve[points - 1]))
