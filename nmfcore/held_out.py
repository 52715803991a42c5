"""How well a rank predicts hidden cells, sample by sample: what a recommender is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from nmfcore.blas_threads import one_blas_thread
from nmfcore.blocks import submatrix
from nmfcore.cross_validation import (
    entries,
    fit_fold,
    fitted,
    held_out_cells,
    looked_at,
    row_maxima,
)
from nmfcore.groups import in_threads
from nmfcore.limits import HELD_OUT_FOLDS
from nmfcore.problem import pose
from nmfcore.solvers.penalties import Penalties

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SampleErrors:
    """Error over the cells of each sample that were hidden from the fit that predicted them.

    Attributes
    ----------
    error : (n_samples,) ndarray of float64
        ‖v − p‖ / ‖v‖ over the hidden cells of all folds; NaN where none was hidden, or all are zero. Of a matrix of
        more than `nmfcore.limits.MAX_CELLS` cells, none is hidden but in the samples that are drawn.
    baseline : (n_samples,) ndarray of float64
        The same for predicting the mean of the feature's visible cells: a useful prediction lies below it.
    n_cells : (n_samples,) ndarray of int
        Cells that were hidden.
    """

    error: Array
    baseline: Array
    n_cells: NDArray[np.intp]

    def among(self, n_samples: int, samples: NDArray[np.intp]) -> SampleErrors:
        """Return the errors of these samples among all."""
        error, baseline = np.full((2, n_samples), np.nan)
        error[samples], baseline[samples] = self.error, self.baseline
        return SampleErrors(
            error, baseline, np.bincount(samples, self.n_cells, n_samples).astype(np.intp)
        )


@one_blas_thread
def held_out_by_sample(
    V: ArrayLike | Any,
    rank: int,
    n_folds: int = HELD_OUT_FOLDS,
    n_starts: int = 2,
    fraction: float = 0.1,
    root_seed: int = 0,
    *,
    loss: str | float = "frobenius",
    max_iter: int = 150,
    tol: float = 1e-5,
    observed: ArrayLike | None = None,
    penalties: Penalties | None = None,
    dtype: str = "float32",
    threads: int = 1,
) -> SampleErrors:
    """Hide cells, fit the others from fresh starts, predict the hidden ones; fold by fold.

    The solution itself saw every cell, so its own error says nothing of hidden ones. Of the starts of a fold, the one
    that fits the visible cells best predicts, and no prediction exceeds the largest visible cell of its feature.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    rank : int
    n_folds, n_starts, fraction, root_seed
        See `nmfcore.cross_validation.cross_validate`.
    loss, max_iter, tol, observed, penalties, dtype
        See `nmfcore.factorize`.
    threads : int
        Folds that are worked on at the same time, each with a copy of V; changes no bit.

    Returns
    -------
    SampleErrors
    """
    mask = None if observed is None else np.asarray(observed, bool)
    drawn = looked_at(np.shape(V), root_seed)
    if drawn is not None:
        some = None if mask is None else mask[np.ix_(*drawn)]
        options: dict[str, Any] = {
            "max_iter": max_iter,
            "tol": tol,
            "observed": some,
            "penalties": penalties,
            "dtype": dtype,
            "threads": threads,
        }
        found = held_out_by_sample(
            submatrix(V, *drawn), rank, n_folds, n_starts, fraction, root_seed, loss=loss, **options
        )
        return found.among(np.shape(V)[1], drawn[1])
    problem = pose(V, mask, loss, dtype, penalties=penalties, by_blocks=False)
    values = problem.exact
    n_samples = problem.shape[1]
    squares, totals, plain = np.zeros(n_samples), np.zeros(n_samples), np.zeros(n_samples)
    n_cells = np.zeros(n_samples, np.intp)
    folds = held_out_cells(problem.shape, n_folds, fraction, root_seed, mask)

    def predict(fold: int) -> tuple[Array, Array, Array]:
        """Hidden values of a fold, what is predicted for them, and the mean of what is visible of their features."""
        rows, columns = folds[fold]
        visible, runs = fit_fold(
            values,
            rank,
            fold,
            folds[fold],
            n_starts=n_starts,
            root_seed=root_seed,
            observed=mask,
            loss=loss,
            max_iter=max_iter,
            tol=tol,
            penalties=problem.penalties,
            dtype=dtype,
        )
        best = runs.least_loss
        largest, mean = _visible_rows(values, visible)
        product = fitted(runs.W[best], np.ascontiguousarray(runs.H[best].T), rows, columns)
        predicted = np.clip(np.nan_to_num(product), 0, largest[rows])
        return entries(values, rows, columns), predicted, mean[rows]

    for fold, (v, predicted, mean) in enumerate(in_threads(predict, range(len(folds)), threads)):
        columns = folds[fold][1]
        for sums, terms in (
            (squares, (v - predicted) ** 2),
            (plain, (v - mean) ** 2),
            (totals, v**2),
        ):
            sums += np.bincount(columns, terms, n_samples)
        n_cells += np.bincount(columns, minlength=n_samples)
    totals = np.where(totals > 0, totals, np.nan)
    return SampleErrors(np.sqrt(squares / totals), np.sqrt(plain / totals), n_cells)


def _visible_rows(values: Any, visible: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Largest and mean visible cell of every feature."""
    shown = values.multiply(visible).tocsr() if sparse.issparse(values) else values * visible
    sums = np.asarray(shown.sum(axis=1)).ravel()
    return row_maxima(shown), sums / np.maximum(visible.sum(axis=1), 1)
