"""Bi-cross-validation: how well a rank predicts a block of features and samples it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import nnls

from nmfcore.blocks import in_memory
from nmfcore.errors import InputError
from nmfcore.factorization import factorize
from nmfcore.runs import Runs
from nmfcore.solvers.penalties import Penalties

Array = NDArray[np.float64]

_BLOCK_STREAM = 0x626C6F63  # keeps the shuffles apart from the streams of the runs


@dataclass(frozen=True)
class BiCrossValidation:
    """Error over held-out blocks at one rank.

    Attributes
    ----------
    rank : int
    block_errors : (n_row_groups · n_column_groups,) ndarray
        ‖A − LR‖ / ‖A‖ of each held-out block A; NaN where the rank exceeds a side of what remains.
    """

    rank: int
    block_errors: Array

    @property
    def error(self) -> float | None:
        """Mean over the blocks; None where undefined."""
        return None if np.isnan(self.block_errors).any() else float(self.block_errors.mean())

    @property
    def standard_error(self) -> float | None:
        """Standard error of that mean."""
        if np.isnan(self.block_errors).any():
            return None
        return float(self.block_errors.std(ddof=1) / np.sqrt(self.block_errors.size))


def bi_cross_validate(
    V: ArrayLike | Any,
    rank: int,
    n_row_groups: int = 2,
    n_column_groups: int = 2,
    n_starts: int = 2,
    root_seed: int = 0,
    *,
    loss: str | float = "frobenius",
    max_iter: int = 500,
    tol: float = 1e-5,
    penalties: Penalties | None = None,
    dtype: str = "float32",
) -> BiCrossValidation:
    """Predict every block of features × samples from the rest of its rows and columns.

    Rows and columns are shuffled by `root_seed` and cut into groups. For each pair of groups, V = [A B; C D]:
    D ≈ W_D H_D; L = argmin ‖B − L H_D‖ and R = argmin ‖C − W_D R‖, both nonnegative; A is predicted by L R. The
    start with the least loss on D is used. Source: Owen & Perry 2009. Range of an error [0, ∞).

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    rank : int
    n_row_groups, n_column_groups : int
        At least 2 each.
    n_starts, root_seed : int
    loss, max_iter, tol, penalties, dtype
        Of the fits of D; see `nmfcore.factorize`. L and R are least squares whatever the loss.

    Raises
    ------
    InputError
        If V has fewer rows or columns than groups are asked for.
    """
    V = in_memory(V)
    values = sparse.csr_array(V) if sparse.issparse(V) else np.asarray(V)
    groups = (n_row_groups, n_column_groups)
    if min(groups) < 2 or any(n < g for n, g in zip(values.shape, groups, strict=True)):
        raise InputError(
            f"{n_row_groups} × {n_column_groups} blocks do not fit a {values.shape[0]} × {values.shape[1]} matrix: "
            "at least 2 groups, and a row or column for each, are needed."
        )
    stream = np.random.default_rng(np.random.SeedSequence([root_seed, _BLOCK_STREAM]))
    row_groups, column_groups = (
        np.array_split(stream.permutation(n), g) for n, g in zip(values.shape, groups, strict=True)
    )
    fit = partial(
        factorize,
        rank=rank,
        seeds=range(n_starts),
        root_seed=root_seed,
        loss=loss,
        max_iter=max_iter,
        tol=tol,
        penalties=penalties,
        dtype=dtype,
    )
    errors = [
        _block_error(values, rows, columns, rank, fit)
        for rows, columns in product(row_groups, column_groups)
    ]
    return BiCrossValidation(rank, np.array(errors))


def _block_error(
    values: Any,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    rank: int,
    fit: Callable[[Array], Runs],
) -> float:
    other_rows = np.setdiff1d(np.arange(values.shape[0]), rows)
    other_columns = np.setdiff1d(np.arange(values.shape[1]), columns)
    if rank > min(other_rows.size, other_columns.size):
        return np.nan
    D = _block(values, other_rows, other_columns)
    A = _block(values, rows, columns)
    if not D.any() or not A.any():
        return np.nan
    runs = fit(D)
    best = runs.least_loss
    if not np.isfinite(runs.loss[best]):
        return np.nan
    W, H = runs.W[best].astype(float), runs.H[best].astype(float)
    left = nonnegative_least_squares(H.T, _block(values, rows, other_columns).T).T
    right = nonnegative_least_squares(W, _block(values, other_rows, columns))
    return float(np.linalg.norm(A - left @ right) / np.linalg.norm(A))


def nonnegative_least_squares(A: Array, B: Array) -> Array:
    """Minimise ‖B − A X‖ over X ≥ 0, column by column (Lawson & Hanson 1974).

    Parameters
    ----------
    A : (m, rank) ndarray
    B : (m, n) ndarray

    Returns
    -------
    (rank, n) ndarray
    """
    Q, R = np.linalg.qr(A)
    return np.stack([nnls(R, column)[0] for column in (Q.T @ B).T], axis=1)


def _block(values: Any, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Array:
    if sparse.issparse(values):
        return np.asarray(values[rows][:, columns].toarray(), np.float64)
    return np.asarray(values[np.ix_(rows, columns)], np.float64)
