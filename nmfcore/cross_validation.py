"""Masked cross-validation: how well a rank predicts cells it has not seen (Wold 1978; Owen & Perry 2009)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from nmfcore.errors import InputError
from nmfcore.factorization import Runs, factorize

_FOLD_STREAM = 0x666F6C64  # keeps the masks apart from the streams of the runs


@dataclass(frozen=True)
class CrossValidation:
    """Held-out error of one rank.

    Attributes
    ----------
    rank : int
    fold_errors : (n_folds,) ndarray of float64
        Relative error over the hidden cells of each fold, √(Σ(v − wh)² / Σv²); the median over the starts.
    start_errors : (n_folds, n_starts) ndarray of float64
        The same for every start; NaN where a start gave no finite fit.
    """

    rank: int
    fold_errors: NDArray[np.float64]
    start_errors: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Mean over the folds."""
        return float(self.fold_errors.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of that mean."""
        return float(self.fold_errors.std(ddof=1) / np.sqrt(len(self.fold_errors)))


def cross_validate(
    V: ArrayLike,
    rank: int,
    n_folds: int = 5,
    n_starts: int = 4,
    fraction: float = 0.1,
    root_seed: int = 0,
    *,
    loss: str = "frobenius",
    max_iter: int = 2000,
    tol: float = 1e-5,
    observed: ArrayLike | None = None,
    dtype: str = "float32",
) -> CrossValidation:
    """Hide cells, fit the others from several starts, and score the hidden cells only; fold by fold.

    Hidden cells have weight zero in the fit — they are not set to zero — and zeros are hidden like any other cell.
    Folds are disjoint, depend on `root_seed` alone, and so are the same for every rank.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    rank : int
    n_folds, n_starts : int
    fraction : float
        Share of the observed cells that a fold hides; ``n_folds * fraction`` must not exceed 1.
    root_seed : int
    loss, max_iter, tol, observed, dtype
        See `nmfcore.factorize`.

    Returns
    -------
    CrossValidation

    Raises
    ------
    InputError
        If the folds do not fit.
    """
    if n_folds < 2 or not 0 < fraction <= 1 / n_folds:
        raise InputError(
            f"{n_folds} folds of {fraction:g} of the cells do not fit: at least 2 folds are needed, "
            "and folds × fraction must not exceed 1."
        )
    mask = None if observed is None else np.asarray(observed, bool)
    values = sparse.csr_array(V) if sparse.issparse(V) else np.asarray(V)
    errors = np.full((n_folds, n_starts), np.nan)
    for fold, (rows, columns) in enumerate(
        held_out_cells(values.shape, n_folds, fraction, root_seed, mask)
    ):
        visible = np.ones(values.shape, bool) if mask is None else mask.copy()
        visible[rows, columns] = False
        runs = factorize(
            values,
            rank,
            range(n_starts),
            root_seed,
            loss,
            max_iter,
            tol,
            observed=visible,
            dtype=dtype,
        )
        errors[fold] = _held_out_errors(_cells(values, rows, columns), rows, columns, runs)
    return CrossValidation(rank, np.nanmedian(errors, axis=1), errors)


def held_out_cells(
    shape: tuple[int, ...],
    n_folds: int,
    fraction: float,
    root_seed: int,
    observed: NDArray[np.bool_] | None = None,
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows and columns of the cells that each fold hides.

    No row or column is hidden whole: its first hidden cell stays visible.
    """
    stream = np.random.default_rng(np.random.SeedSequence([root_seed, _FOLD_STREAM]))
    flat = (
        np.arange(shape[0] * shape[1], dtype=np.int64)
        if observed is None
        else np.flatnonzero(observed)
    )
    size = max(1, int(fraction * flat.size))
    drawn = stream.permutation(flat)[: n_folds * size]
    folds = []
    for part in np.split(drawn, np.arange(size, drawn.size, size))[:n_folds]:
        rows, columns = np.unravel_index(np.sort(part), shape)
        kept = np.ones(rows.size, bool)
        for axis, index in enumerate((rows, columns)):
            available = (
                np.full(shape[axis], shape[1 - axis])
                if observed is None
                else observed.sum(axis=1 - axis)
            )
            exhausted = np.bincount(index, minlength=shape[axis]) >= available
            _, first = np.unique(index, return_index=True)
            kept[first[exhausted[index[first]]]] = False
        folds.append((rows[kept], columns[kept]))
    return folds


def _cells(values: Any, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.asarray(values[rows, columns], np.float64).ravel()


def _held_out_errors(
    cells: NDArray[np.float64], rows: NDArray[np.intp], columns: NDArray[np.intp], runs: Runs
) -> NDArray[np.float64]:
    errors = np.full(len(runs), np.nan)
    norm = np.sqrt(np.vdot(cells, cells))
    for i, (W, H) in enumerate(zip(runs.W, runs.H, strict=True)):
        predicted = np.einsum("ck,kc->c", W[rows].astype(float), H[:, columns].astype(float))
        errors[i] = np.linalg.norm(cells - predicted) / norm if norm > 0 else np.nan
    return errors
