"""Do the runs group the samples alike: the consensus matrix, its tree, what is known of samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from nmfcore.adapters.figures.style import (
    ANNOTATION_PALETTES,
    GRADIENT,
    INK,
    MISSING,
    MUTED_INK,
    SEQUENTIAL,
    category_colours,
    new_figure,
    place,
    short,
    styled,
    write,
)

_MAP = 112.0  # side of the matrix, mm
_SILHOUETTES = 7.0  # height of their bars, mm
_MOST_NAMES = 60
_LEAST_PIXELS = 200
_MOST_PIXELS = 500  # a side; more cells than that cannot be told apart on paper
_MOST_LINKS = 1000
_MOST_KEYS = 9


@dataclass(frozen=True)
class _Strip:
    """One row of colours above the matrix.

    Attributes
    ----------
    name : str
    colours : (n_samples, 4) ndarray
        In the order of the samples.
    keys : list of (str, colour)
        Categories of the legend.
    gradient : Normalize or None
        Range of a numeric column.
    codes : (n_samples,) ndarray of int
        Category of each sample; −1 where it has none.
    """

    name: str
    colours: NDArray[np.float64]
    keys: list[tuple[str, Any]]
    gradient: Normalize | None
    codes: NDArray[np.intp]


# ---------------------------------------------------------------- strips


def _is_missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _as_number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _numbers(values: Sequence[object]) -> NDArray[np.float64] | None:
    """Return a column as numbers, NaN where missing; None if it holds categories."""
    present = [value for value in values if not _is_missing(value)]
    numbers = [_as_number(value) for value in present]
    if len(set(numbers)) <= 6 or not np.isfinite(numbers).all():
        return None
    return np.array([math.nan if _is_missing(value) else _as_number(value) for value in values])


def _gradient_strip(name: str, numbers: NDArray[np.float64]) -> _Strip:
    norm = Normalize(np.nanmin(numbers), np.nanmax(numbers))
    colormap = mpl.colormaps[GRADIENT].with_extremes(bad=MISSING)
    colours = colormap(norm(np.ma.masked_invalid(numbers)))
    keys = [("missing", MISSING)] if np.isnan(numbers).any() else []
    return _Strip(name, colours, keys, norm, np.full(len(numbers), -1))


def _category_strip(
    name: str, values: Sequence[object], palette: Sequence[str], nothing: str = "missing"
) -> _Strip:
    texts = [None if _is_missing(value) else str(value) for value in values]
    categories = sorted({text for text in texts if text is not None}, key=_natural)
    colours = [*category_colours(len(categories), palette), MISSING]
    index = {category: i for i, category in enumerate(categories)}
    codes = np.array([-1 if text is None else index[text] for text in texts])
    keys: list[tuple[str, Any]] = list(zip(categories, colours, strict=False))
    if (codes < 0).any():
        keys.append((nothing, MISSING))
    return _Strip(name, mpl.colors.to_rgba_array(colours)[codes], keys, None, codes)


def _natural(text: str) -> tuple[float, str]:
    number = _as_number(text)
    return (math.inf if math.isnan(number) else number, text)


def _cluster_strip(labels: NDArray[np.integer]) -> _Strip:
    values = [None if label < 0 else int(label) + 1 for label in labels]
    palette = category_colours(max(int(labels.max()) + 1, 1))
    return _category_strip("cluster", values, palette, nothing="unassigned")


def _strips(
    labels: NDArray[np.integer], annotations: Mapping[str, Sequence[object]] | None
) -> list[_Strip]:
    strips = [_cluster_strip(labels)]
    for i, (name, values) in enumerate((annotations or {}).items()):
        numbers = _numbers(values)
        palette = ANNOTATION_PALETTES[i % len(ANNOTATION_PALETTES)]
        strips.append(
            _category_strip(name, values, palette)
            if numbers is None
            else _gradient_strip(name, numbers)
        )
    return strips


# ---------------------------------------------------------------- the figure


@styled
def consensus_heatmap(
    consensus: NDArray[np.floating],
    linkage: NDArray[np.floating],
    order: ArrayLike,
    labels: NDArray[np.integer],
    sample_ids: Sequence[str] | NDArray[np.str_],
    rank: int,
    cophenetic_correlation: float | None = None,
    n_runs: int | None = None,
    annotations: Mapping[str, Sequence[object]] | None = None,
    silhouettes: NDArray[np.floating] | None = None,
    n_of: int | None = None,
) -> Figure:
    """Share of runs that put two samples together, in the order of the tree.

    Parameters
    ----------
    consensus : (n_samples, n_samples) ndarray
        Between 0 (never together) and 1 (always).
    linkage : (n_assigned − 1, 4) ndarray
        Tree in SciPy's format; leaf i is the i-th sample of ``numpy.sort(order)``.
    order : (n_assigned,) array of int
        Samples in the order of the leaves; samples left out come last.
    labels : (n_samples,) ndarray of int
        Cluster of each sample, −1 for none.
    sample_ids : sequence of str
    rank : int
    cophenetic_correlation : float, optional
        Named in the title.
    n_runs : int, optional
        How many runs the shares are of.
    annotations : mapping of str to sequence, optional
        Columns that are known of the samples: categories get a legend, numbers a gradient.
    silhouettes : (n_samples,) ndarray, optional
        How much closer each sample is to its own cluster than to the next, −1 to 1; NaN where undefined.
    n_of : int, optional
        How many samples there are; these are some of them. Default: all.

    Returns
    -------
    Figure
        Samples are named if there are at most 60; beyond 500, neighbouring cells are averaged.
    """
    n = len(labels)
    order = _complete(np.asarray(order, dtype=np.intp), n)
    strips = _strips(labels, annotations)
    names = [short(sample, 22) for sample in sample_ids] if n <= _MOST_NAMES else []
    titles = ["silhouette", *(short(strip.name, 20) for strip in strips)]
    margin = 5 + 1.3 * max(map(len, (*names, *titles)))
    top = 23.0 + 4.2 * len(strips) + (0 if silhouettes is None else _SILHOUETTES + 1)
    figure = new_figure(3 + _MAP + margin + 30, top + _MAP + 5)
    write(figure, 3, 2.5, _title(rank, cophenetic_correlation), fontweight="bold")
    _draw_tree(place(figure, 3, 8, _MAP, 14), linkage, order)
    _draw_strips(place(figure, 3, 22.6, _MAP, 4.2 * len(strips)), strips, order)
    if silhouettes is not None:
        bars = place(figure, 3, top - _SILHOUETTES - 0.8, _MAP, _SILHOUETTES)
        _draw_silhouettes(bars, silhouettes[order], strips[0].colours[order])
    axes = place(figure, 3, top, _MAP, _MAP)
    image = axes.imshow(
        _pixels(consensus[np.ix_(order, order)]),
        cmap=mpl.colormaps[SEQUENTIAL].with_extremes(bad=MISSING),
        vmin=0,
        vmax=1,
        extent=(0, n, n, 0),
        aspect="auto",
        interpolation="none",
    )
    _name_samples(axes, [names[i] for i in order] if names else [], n)
    if n_of is not None and n_of > n:
        axes.set_xlabel(f"{n:,} of {n_of:,} samples")
    _draw_legends(figure, 3 + _MAP + margin, strips, image, n_runs)
    return figure


def _title(rank: int, cophenetic_correlation: float | None) -> str:
    if cophenetic_correlation is None:
        return f"Consensus at rank {rank}"
    return f"Consensus at rank {rank} · cophenetic correlation {cophenetic_correlation:.3f}"


def _complete(order: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    return np.concatenate((order, np.setdiff1d(np.arange(n), order)))


def _pixels(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
    """Average neighbouring cells of a large matrix; repeat those of a small one.

    Viewers that smooth an image while they enlarge it then blur no more than the edge of a cell.
    """
    n = len(matrix)
    if n <= _MOST_PIXELS:
        times = -(-_LEAST_PIXELS // n)
        return matrix.repeat(times, axis=0).repeat(times, axis=1)
    edges = np.linspace(0, n, _MOST_PIXELS + 1).astype(int)
    sizes = np.diff(edges)
    sums = np.add.reduceat(np.add.reduceat(matrix, edges[:-1], axis=0), edges[:-1], axis=1)
    return np.asarray(sums / np.outer(sizes, sizes))


def _name_samples(axes: Axes, names: list[str], n: int) -> None:
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    for i, name in enumerate(names):  # plain text is drawn much faster than tick labels
        axes.text(1.012 * n, i + 0.5, name, va="center", fontsize=min(6, 250 / n))
    axes.set_xlabel(f"{n:,} samples" if n > 1 else "1 sample")


def _draw_strips(axes: Axes, strips: Sequence[_Strip], order: NDArray[np.intp]) -> None:
    n = len(order)
    for i, strip in enumerate(strips):
        axes.imshow(
            strip.colours[None, order],
            extent=(0, n, i + 0.86, i),
            aspect="auto",
        )
        axes.text(1.012 * n, i + 0.43, short(strip.name, 20), va="center", fontsize=6.5)
    axes.set(xlim=(0, n), ylim=(len(strips), 0))
    axes.set_axis_off()
    _number_segments(axes, strips[0], order)


def _draw_silhouettes(
    axes: Axes, widths: NDArray[np.floating], colours: NDArray[np.float64]
) -> None:
    """Draw a step a sample in the colour of its cluster; of many samples the mean of neighbours."""
    n = len(widths)
    heights = np.nan_to_num(widths)
    edges = np.linspace(0, n, min(n, _MOST_PIXELS) + 1)
    if n > _MOST_PIXELS:
        firsts = edges.astype(int)[:-1]
        heights = np.add.reduceat(heights, firsts) / np.diff([*firsts, n])
        colours = colours[firsts]
    # One area for all neighbours of a colour: bars leave hairlines between them, and take a hundred times as long.
    changes = np.flatnonzero((colours[1:] != colours[:-1]).any(axis=1)) + 1
    for first, last in pairwise([0, *changes, len(heights)]):
        steps = heights[first:last].repeat(2)
        places = edges[first : last + 1].repeat(2)[1:-1]
        axes.fill_between(places, steps, color=colours[first], lw=0)
    axes.axhline(0, color=INK, lw=0.4)
    axes.set(xlim=(0, n), ylim=(min(0.0, float(heights.min(initial=0.0))), 1))
    axes.set_axis_off()
    axes.text(1.012 * n, 0.5, "silhouette", va="center", fontsize=6.5)


def _number_segments(axes: Axes, strip: _Strip, order: NDArray[np.intp]) -> None:
    """Write numbers on the clusters that are wide enough: colour is not all there is."""
    codes = strip.codes[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-2))
    for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
        if codes[start] >= 0 and (end - start) * _MAP / len(codes) > 4:
            colour = strip.colours[order[start]]
            axes.text(
                (start + end) / 2,
                0.45,
                strip.keys[codes[start]][0],
                color="white" if colour[:3] @ (0.299, 0.587, 0.114) < 0.55 else INK,
                ha="center",
                va="center",
                fontsize=6.5,
            )


def _draw_tree(axes: Axes, linkage: NDArray[np.floating], order: NDArray[np.intp]) -> None:
    """Draw the tree above the matrix; of a large one the tallest branches."""
    axes.set_axis_off()
    axes.set(xlim=(0, len(order)), ylim=(0, 1))
    if len(linkage) == 0 or linkage[-1, 2] <= 0:
        return
    branches = _branches(linkage, order[: len(linkage) + 1])
    tallest = np.argsort(-linkage[:, 2], kind="stable")[:_MOST_LINKS]
    axes.add_collection(LineCollection(list(branches[tallest]), colors=INK, linewidths=0.6))
    axes.set_ylim(0, 1.03 * linkage[-1, 2])


def _branches(linkage: NDArray[np.floating], leaves: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the corners of the Π of each merge, (n_merges, 4, 2); leaves are 1 apart."""
    n = len(leaves)
    size = np.append(np.ones(n), linkage[:, 3])
    centre, height = np.zeros(2 * n - 1), np.zeros(2 * n - 1)
    centre[:n] = np.argsort(leaves) + 0.5  # leaf i is the i-th of the sorted samples
    corners = np.empty((n - 1, 4, 2))
    for i, (left, right, top, _) in enumerate(linkage):
        a, b = int(left), int(right)
        corners[i] = (
            (centre[a], height[a]),
            (centre[a], top),
            (centre[b], top),
            (centre[b], height[b]),
        )
        # The middle of all leaves, not of the two branches: chains of equal samples stay in place.
        centre[n + i] = (size[a] * centre[a] + size[b] * centre[b]) / (size[a] + size[b])
        height[n + i] = top
    return corners


# ---------------------------------------------------------------- legends


def _draw_legends(
    figure: Figure, left: float, strips: Sequence[_Strip], image: ScalarMappable, n_runs: int | None
) -> None:
    """Draw colour bar and keys in one column to the right."""
    runs = "runs" if n_runs is None else f"{n_runs} runs"
    top = _bar(figure, left, 8, f"share of {runs}\nwith both samples\nin one cluster", image, 3)
    for strip in strips:
        title = short(strip.name, 18)
        if strip.gradient is not None:
            top = _bar(figure, left, top, title, ScalarMappable(strip.gradient, GRADIENT), 1)
            title = ""
        if strip.keys:
            top = _keys(figure, left, top, title, strip.keys)


def _bar(
    figure: Figure, left: float, top: float, title: str, image: ScalarMappable, lines: int
) -> float:
    write(figure, left, top, title, fontsize=6.5, fontweight="bold", linespacing=1.15)
    axes = place(figure, left, top + 1 + 2.8 * lines, 26, 2.4)
    bar = figure.colorbar(image, cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    low, high = image.get_clim()
    ticks = (0, 0.5, 1) if (low, high) == (0, 1) else (low, high)
    bar.set_ticks(ticks, labels=[f"{tick:.4g}" for tick in ticks])
    axes.tick_params(length=2, labelsize=6)
    labels = axes.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
    return top + 1 + 2.8 * lines + 8.5


def _keys(
    figure: Figure, left: float, top: float, title: str, keys: Sequence[tuple[str, Any]]
) -> float:
    """Draw patches with names; of many categories the first, and how many more there are."""
    shown = list(keys[:_MOST_KEYS])
    handles = [Patch(color=colour, label=short(name, 20)) for name, colour in shown]
    if len(keys) > len(shown):
        handles.append(Patch(color="none", label=f"… {len(keys) - len(shown)} more"))
    full_width, full_height = (25.4 * inches for inches in figure.get_size_inches())
    figure.legend(
        handles=handles,
        title=title or None,
        title_fontproperties={"weight": "bold", "size": 6.5},
        alignment="left",
        loc="upper left",
        bbox_to_anchor=(left / full_width, 1 - top / full_height),
        handlelength=1,
        handleheight=0.9,
        labelcolor=INK if title else MUTED_INK,
    )
    return top + 3.3 * (len(handles) + bool(title)) + 2.5
