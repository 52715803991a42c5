"""Components of images as images, beside the signed ones of PCA."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from nmfcore.adapters.figures.drawing import save
from nmfcore.adapters.figures.style import DOUBLE_COLUMN, new_figure, place, styled, write
from nmfcore.adapters.showing.cosines import cosines
from nmfcore.adapters.store import SweepFolder, write_table
from nmfcore.blocks import in_memory
from nmfcore.errors import InputError
from nmfcore.reconstruction import hoyer_sparseness

Array = NDArray[np.float64]
_PIXEL = re.compile(r"y(\d+)x(\d+)")
_COLUMNS = 10
_TILE, _GAP = 16.0, 1.6  # mm
_MOST_PARTS = 5
_VISIBLE = 0.05
"""Share of the largest part in an image below which a part is not worth a picture."""


def show(folder: SweepFolder, out: Path, reference: str | None) -> None:
    """Write parts.svg and .png, and parts.tsv: how sparse each part is, and which known part it is.

    Parameters
    ----------
    folder : SweepFolder
    out : pathlib.Path
    reference : path, optional
        .npy with the true parts, (n_parts, height, width).
    """
    _, arrays = folder.solution_at()
    pixels, shape = _pixels(arrays["feature_ids"], folder.matrix_info)
    W, H = arrays["W"].astype(float), arrays["H"].astype(float)
    values = in_memory(folder.matrix.values)
    V = np.asarray(values.toarray() if sparse.issparse(values) else values, float)
    components = signed_components(V, W.shape[1])
    names = [str(name) for name in arrays["components"]]
    columns = ["component", "sparseness", "pca_sparseness"]
    rows: list[list[object]] = [
        [name, float(a), float(b)]
        for name, a, b in zip(
            names, hoyer_sparseness(W, 0), hoyer_sparseness(np.abs(components), 0), strict=True
        )
    ]
    if reference is not None:
        truth = _truth(reference, shape)[:, pixels]
        columns += ["true_part", "cosine"]
        for row, (part, cosine) in zip(rows, matched(W, truth), strict=True):
            row += [part, cosine]
    write_table(out / "parts.tsv", columns, rows)
    sample = _typical(V, W, H)
    figure = parts_figure(
        _images(W, pixels, shape),
        _images(components, pixels, shape),
        _images(V[:, [sample]], pixels, shape)[0],
        H[:, sample],
        str(arrays["sample_ids"][sample]),
    )
    save(figure, out / "parts")


def signed_components(V: Array, rank: int) -> Array:
    """Return the first principal components of the samples, (n_features, at most rank)."""
    centred = V - V.mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.svd(centred, full_matrices=False)[0][:, :rank])


def matched(W: Array, truth: Array) -> list[tuple[int | None, float | None]]:
    """Return for each component the true part that it is matched with, one to one, and their cosine."""
    cosine = cosines(W, truth.T)
    pairs = dict(zip(*linear_sum_assignment(cosine, maximize=True), strict=True))
    return [
        (int(pairs[i]) + 1, float(cosine[i, pairs[i]])) if i in pairs else (None, None)
        for i in range(W.shape[1])
    ]


def _pixels(
    ids: NDArray[np.str_], info: dict[str, Any]
) -> tuple[NDArray[np.intp], tuple[int, int]]:
    """Return the place of each feature in the image read row by row, and the size of the image."""
    dropped = [entry["id"] for entry in info["dropped_features"]]
    places = [_PIXEL.fullmatch(str(name)) for name in (*ids, *dropped)]
    if not all(places):
        raise InputError(
            f"show: {{kind: images}} needs pixels as features, named y0x0, y0x1, …; {ids[0]} is none. Read the input "
            "by `format: images`, or show another kind."
        )
    yx = np.array([(int(place[1]), int(place[2])) for place in places if place])
    height, width = yx.max(axis=0) + 1
    return yx[: len(ids)] @ np.array([width, 1]), (int(height), int(width))


def _images(block: Array, pixels: NDArray[np.intp], shape: tuple[int, int]) -> Array:
    full = np.zeros((block.shape[1], shape[0] * shape[1]))
    full[:, pixels] = block.T
    return full.reshape(-1, *shape)


def _truth(path: str, shape: tuple[int, int]) -> Array:
    truth = np.load(path, allow_pickle=False)
    if truth.ndim != 3 or truth.shape[1:] != shape:
        raise InputError(
            f"{path} has shape {truth.shape}; expected are true parts of {shape[0]} × {shape[1]} pixels, one after "
            "the other."
        )
    return np.asarray(truth.reshape(len(truth), -1), float)


def _typical(V: Array, W: Array, H: Array) -> int:
    """Return the sample of median error among those that use several parts."""
    errors = np.linalg.norm(V - W @ H, axis=0) / np.linalg.norm(V, axis=0)
    return int(np.argsort(errors)[len(errors) // 2])


@styled
def parts_figure(
    parts: Array, components: Array, sample: Array, amounts: Array, sample_id: str
) -> Figure:
    """Draw NMF's parts, PCA's components, and one image as a sum of its largest parts.

    Parameters
    ----------
    parts, components : (rank, height, width) ndarray
    sample : (height, width) ndarray
    amounts : (rank,) ndarray
        Of each part in the sample.
    sample_id : str
    """
    n_rows = math.ceil(len(parts) / _COLUMNS)
    band = n_rows * (_TILE + _GAP) + 6
    figure = new_figure(DOUBLE_COLUMN, 2 * band + _TILE + 15)
    write(figure, 2, 1, "NMF: parts, nothing below 0 (dark)", fontweight="bold")
    _grid(figure, 5, parts, [("gray", 0.0, part.max() or 1.0) for part in parts])
    top = band + 1
    title = "PCA: components of both signs (red adds, blue takes away)"
    write(figure, 2, top, title, fontweight="bold")
    limits = [np.abs(component).max() or 1 for component in components]
    _grid(figure, top + 4, components, [("RdBu_r", -m, m) for m in limits])
    top = 2 * band + 1
    sizes = amounts * np.linalg.norm(parts.reshape(len(parts), -1), axis=1)
    visible = [int(k) for k in np.argsort(-sizes) if sizes[k] > _VISIBLE * sizes.max()]
    chosen = visible[:_MOST_PARTS]
    title = f"{sample_id} as a sum: the image, all parts, and its {len(chosen)} largest parts"
    write(figure, 2, top, title, fontweight="bold")
    fitted = np.tensordot(amounts, parts, 1)
    shown = [sample, fitted, *(amounts[k] * parts[k] for k in chosen)]
    for k, (image, sign) in enumerate(
        zip(shown, ["", "≈", "=", *["+"] * (len(chosen) - 1)], strict=True)
    ):
        left = 2 + k * (_TILE + 6)
        axes = _tile(place(figure, left, top + 4, _TILE, _TILE))
        axes.imshow(image, cmap="gray", vmin=0, vmax=sample.max())
        axes.text(-0.2, 0.5, sign, transform=axes.transAxes, ha="center", va="center", fontsize=9)
        if k > 1:
            axes.set_xlabel(f"part {chosen[k - 2] + 1}", labelpad=2)
    if len(chosen) < len(visible):
        write(figure, 2 + len(shown) * (_TILE + 6), top + 11, "+ …", fontsize=9)
    return figure


def _grid(
    figure: Figure, top: float, images: Array, styles: Sequence[tuple[str, float, float]]
) -> None:
    for k, (image, (colours, low, high)) in enumerate(zip(images, styles, strict=True)):
        row, column = divmod(k, _COLUMNS)
        left = 2 + column * (_TILE + _GAP)
        axes = _tile(place(figure, left, top + row * (_TILE + _GAP), _TILE, _TILE))
        axes.imshow(image, cmap=colours, vmin=low, vmax=high)


def _tile(axes: Axes) -> Axes:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
    return axes
