"""Predictions of hidden cells by the factorisation, beside the baselines that a recommender must beat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.adapters.figures.drawing import save
from nmfcore.adapters.figures.style import (
    BEST,
    BOUND,
    HELD_OUT,
    OKABE_ITO,
    mark_rank,
    new_figure,
    place,
    rank_axis,
    styled,
)
from nmfcore.adapters.store import SweepFolder, write_table
from nmfcore.blocks import in_memory
from nmfcore.cross_validation import fit_fold, held_out_cells

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
FOLDS, FRACTION, STARTS = 5, 0.1, 5
SVD_ROUNDS = 50


def show(folder: SweepFolder, out: Path, reference: str | None) -> None:
    """Write predictions.tsv (RMSE of each method and rank over hidden cells) and predictions.svg, .png.

    Cells that were observed are hidden in turn, a tenth at a time, and predicted from the others. The baselines are the
    mean of all, mean + feature bias + sample bias, and an SVD without regularisation, fitted to the observed cells by
    iterated imputation.

    Parameters
    ----------
    folder : SweepFolder
    out : pathlib.Path
    reference : None
    """
    matrix, settings = folder.matrix, folder.settings
    values = in_memory(matrix.values)
    V = np.asarray(values.toarray() if sparse.issparse(values) else values, float)
    seen = np.ones(V.shape, bool) if matrix.observed is None else matrix.observed
    folds = held_out_cells(V.shape, FOLDS, FRACTION, settings["root_seed"] + 1, seen)
    squares: dict[tuple[str, int | None], float] = {}

    for rank in folder.ranks:
        for fold, cells in enumerate(folds):
            visible, runs = fit_fold(
                V,
                rank,
                fold,
                cells,
                n_starts=STARTS,
                root_seed=settings["root_seed"],
                observed=seen,
                loss=settings["factorize"]["loss"],
                max_iter=150,
                tol=3e-5,
            )
            best = runs.least_loss
            predicted: dict[tuple[str, int | None], Array] = {
                ("NMF", rank): runs.W[best].astype(float) @ runs.H[best],
                ("unregularised SVD", rank): imputed_svd(V, visible, rank),
            }
            if rank == folder.ranks[0]:
                predicted["global mean", None] = np.full(V.shape, V[visible].mean())
                predicted["biases", None] = biases(V, visible)
            low, high = V[visible].min(), V[visible].max()
            for method, values in predicted.items():
                errors = V[cells] - np.clip(values[cells], low, high)
                squares[method] = squares.get(method, 0.0) + float(errors @ errors)
    n_cells = sum(len(rows) for rows, _ in folds)
    rmse = {key: float(np.sqrt(total / n_cells)) for key, total in squares.items()}
    table = [[method, rank, error] for (method, rank), error in rmse.items()]
    write_table(out / "predictions.tsv", ["method", "rank", "rmse"], table)
    save(predictions_figure(rmse, folder.ranks, folder.solution["rank"]), out / "predictions")


def biases(V: Array, visible: Mask, rounds: int = 20) -> Array:
    """Return mean + feature bias + sample bias, the least-squares fit to the visible cells by alternation."""
    mean = V[visible].mean()
    residual = np.where(visible, V - mean, 0)
    of_feature, of_sample = np.zeros((len(V), 1)), np.zeros((1, V.shape[1]))
    counts = [np.maximum(visible.sum(axis=axis, keepdims=True), 1) for axis in (1, 0)]
    for _ in range(rounds):
        of_feature = np.where(visible, residual - of_sample, 0).sum(1, keepdims=True) / counts[0]
        of_sample = np.where(visible, residual - of_feature, 0).sum(0, keepdims=True) / counts[1]
    return np.asarray(mean + of_feature + of_sample)


def imputed_svd(V: Array, visible: Mask, rank: int, rounds: int = SVD_ROUNDS) -> Array:
    """Return the SVD of that rank fitted to the visible cells: hidden ones are filled by the last fit (EM)."""
    if V.shape[0] > V.shape[1]:
        return imputed_svd(V.T, visible.T, rank, rounds).T
    fitted = np.full(V.shape, V[visible].mean())
    for _ in range(rounds):
        filled = np.where(visible, V, fitted)
        # The left singular vectors, from the smaller Gram matrix.
        U = np.linalg.eigh(filled @ filled.T)[1][:, -rank:]
        fitted = U @ (U.T @ filled)
    return np.asarray(fitted)


@styled
def predictions_figure(
    errors: dict[tuple[str, int | None], float], ranks: list[int], chosen: int | None
) -> Figure:
    """Draw the error of every method over the rank; those without a rank as lines across."""
    figure = new_figure(120, 66)
    axes = place(figure, 14, 5, 66, 50)
    for method, colour, marker in (("NMF", BEST, "o"), ("unregularised SVD", HELD_OUT, "s")):
        axes.plot(
            ranks, [errors[method, r] for r in ranks], f"{marker}-", color=colour, label=method
        )
    for method, colour, dash in (("global mean", BOUND, "--"), ("biases", OKABE_ITO[2], ":")):
        axes.axhline(errors[method, None], color=colour, linestyle=dash, label=method)
    mark_rank(axes, chosen)
    rank_axis(axes, ranks)
    axes.set_xlabel("rank")
    axes.set_ylabel("RMSE over hidden cells")
    axes.legend(loc="center left", bbox_to_anchor=(1.04, 0.5))
    return figure
