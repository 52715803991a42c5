"""What the components are made of and who uses them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from nmfcore.adapters.figures.style import (
    MISSING,
    SEQUENTIAL,
    new_figure,
    place,
    short,
    styled,
    write,
)

_MOST_ROWS = 60
_ROW = 2.6  # mm


@styled
def component_heatmap(
    W: pd.DataFrame, H: pd.DataFrame, top_features: Sequence[Sequence[str]] | None = None
) -> Figure:
    """Show which features and samples belong to which component.

    A cell is the component's share of what the whole solution reconstructs of that feature, summed
    over samples (left), or of that sample, summed over features (right); a row sums to 1. It does
    not depend on how the scale is divided between W and H.

    Parameters
    ----------
    W : (n_features, rank) DataFrame
    H : (rank, n_samples) DataFrame
    top_features : sequence of sequence of str, optional
        Features to show for each component, best first. By default those that weigh most.

    Returns
    -------
    Figure
        As many features a component as fit in about 60 rows (at most 10). Samples are ordered by
        their component and named if there are at most 60.
    """
    amount_w = W.to_numpy(dtype=float) * H.to_numpy(dtype=float).sum(axis=1)
    amount_h = (H.to_numpy(dtype=float).T) * W.to_numpy(dtype=float).sum(axis=0)
    rank = W.shape[1]
    count = max(1, min(10, _MOST_ROWS // rank))
    rows, groups = _feature_rows(W, amount_w, top_features, count)
    samples = _by_component(amount_h)
    named = len(samples) <= _MOST_ROWS
    names = [short(name, 14) for name in W.columns]
    top = 11 + 1.25 * max(map(len, names))
    width = min(57.0, max(20.0, 8.0 * rank))
    heights = (_ROW * len(rows), _ROW * len(samples) if named else max(_ROW * len(rows), 60))
    figure = new_figure(32 + 2 * width + 32 + 3, top + max(heights) + 17)
    left = place(figure, 32, top, width, heights[0])
    right = place(figure, 32 + width + 32, top, width, heights[1])
    image = _draw_shares(left, _share(amount_w)[rows], names)
    _draw_shares(right, _share(amount_h)[samples], names)
    _name_rows(left, [W.index[row] for row in rows])
    _name_rows(right, [H.columns[i] for i in samples] if named else [])
    right.set_ylabel("" if named else f"{len(samples):,} samples")
    for edge in np.cumsum(groups)[:-1]:
        left.axhline(edge - 0.5, color="white", lw=1.2)
    for letter, x, title in (("a", 0, "Top features"), ("b", width + 32, "Samples")):
        write(figure, x + 3, 3, letter, fontweight="bold", fontsize=8)
        write(figure, x + 8, 3.2, title, fontweight="bold")
    _bar(figure, image, 32, top + max(heights) + 4)
    return figure


def _share(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each row divided by its sum; NaN where nothing is reconstructed."""
    totals = amounts.sum(axis=1, keepdims=True)
    share = np.full_like(amounts, np.nan)
    np.divide(amounts, totals, out=share, where=totals > 0)
    return share


def _feature_rows(
    W: pd.DataFrame,
    amounts: NDArray[np.float64],
    top_features: Sequence[Sequence[str]] | None,
    count: int,
) -> tuple[list[int], list[int]]:
    """Rows of W to show, grouped by component, and the size of each group; no feature twice."""
    if top_features is None:
        ranked = [np.argsort(-column, kind="stable") for column in amounts.T]
    else:
        position = {str(name): i for i, name in enumerate(W.index)}
        ranked = [
            np.array([position[name] for name in names if name in position], dtype=np.intp)
            for names in top_features
        ]
    rows: list[int] = []
    groups = []
    for candidates in ranked:
        new = [int(row) for row in candidates[: 3 * count] if row not in rows][:count]
        rows += new
        groups.append(len(new))
    return rows, groups


def _by_component(amounts: NDArray[np.float64]) -> NDArray[np.intp]:
    """Order samples by their largest component, the purest first."""
    share = np.nan_to_num(_share(amounts))
    return np.lexsort((-share.max(axis=1), share.argmax(axis=1)))


def _draw_shares(axes: Axes, shares: NDArray[np.float64], components: Sequence[str]) -> AxesImage:
    image = axes.imshow(
        shares,
        cmap=mpl.colormaps[SEQUENTIAL].with_extremes(bad=MISSING),
        vmin=0,
        vmax=1,
        aspect="auto",
    )
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(len(components)), components, rotation=90)
    axes.tick_params(axis="x", length=0, top=False, labeltop=True, labelbottom=False)
    return image


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks([])
    for i, name in enumerate(names):  # plain text is drawn much faster than tick labels
        axes.annotate(
            short(name, 20),
            (0, i),
            (-2.5, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=6,
        )


def _bar(figure: Figure, image: AxesImage, left: float, top: float) -> None:
    axes = place(figure, left, top, 40, 2.4)
    bar = figure.colorbar(image, cax=axes, orientation="horizontal", ticks=(0, 0.5, 1))
    bar.outline.set_visible(False)
    axes.set_xlabel("share of what is reconstructed", loc="left")
