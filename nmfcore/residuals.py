"""What is left in the residual of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.linalg import eigsh

from nmfcore.blocks import submatrix
from nmfcore.runs import Runs

MAX_ENTRIES = 2**22
"""Of larger matrices, a random sample of rows and columns is examined."""
_FEW = 300
"""Sides up to which all singular values take no longer than the largest one."""


def residual_excess(
    V: ArrayLike | Any,
    W: NDArray[np.floating],
    H: NDArray[np.floating],
    observed: ArrayLike | None = None,
    *,
    n_flips: int = 20,
    seed: int = 0,
) -> float | None:
    """Largest singular value of the residual V − WH over the largest one of its sign-flipped copies.

    Flipping the signs of the entries at random keeps the size of each and so the noise of every row and column, but
    destroys what they have in common. Range (0, ∞): about 1 or less where only noise is left; 1.1 and more where
    there is a direction that the fit has not taken up. Source: sign-flip parallel analysis, Hong, Sheng & Dobriban
    2020, applied to residuals.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    W : (n_features, rank) ndarray
    H : (rank, n_samples) ndarray
    observed : (n_features, n_samples) array_like of bool, optional
        Other cells count as fitted exactly.
    n_flips : int
        Copies; the largest of their largest singular values is taken.
    seed : int

    Returns
    -------
    float or None
        None for an exact fit.
    """
    stream = np.random.default_rng(seed)
    rows, columns = _sampled(np.shape(V), stream)
    values = submatrix(V, rows, columns)
    if sparse.issparse(values):
        values = values.toarray()
    fitted = W[rows].astype(float) @ H[:, columns].astype(float)
    # At a scale of its own, so that no square over- or underflows.
    largest = float(np.abs(values).max(initial=0.0))
    residual = (values - fitted) / largest if largest > 0 else values - fitted
    values = values / largest if largest > 0 else values
    if observed is not None:
        residual[~np.asarray(observed, bool)[np.ix_(rows, columns)]] = 0
    if np.linalg.norm(residual) <= 1e-5 * np.linalg.norm(values):
        return None
    # What rounding makes of a singular value is nothing beside what differs between flips.
    tall = np.asarray(residual.T if residual.shape[0] < residual.shape[1] else residual, np.float32)
    signs = np.array([-1, 1], np.float32)
    flipped = [_spectral_norm(tall * stream.choice(signs, tall.shape)) for _ in range(n_flips)]
    return _spectral_norm(tall) / max(flipped)


def best_run_residual_excess(
    V: ArrayLike | Any, runs: Runs, observed: ArrayLike | None = None
) -> float | None:
    """`residual_excess` of the best converged run; None without one."""
    good = np.flatnonzero(runs.good)
    if not good.size:
        return None
    best = good[runs.relative_error[good].argmin()]
    return residual_excess(V, runs.W[best], runs.H[best], observed)


def _sampled(
    shape: tuple[int, ...], stream: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of rows and columns whose block has at most `MAX_ENTRIES` entries; the longer side is cut first."""
    sizes = list(shape)
    for _ in range(2):
        longer = int(sizes[1] > sizes[0])
        if sizes[0] * sizes[1] > MAX_ENTRIES:
            sizes[longer] = max(MAX_ENTRIES // sizes[1 - longer], min(sizes[1 - longer], 2048))
    rows, columns = (
        np.sort(stream.choice(full, size, replace=False))
        for full, size in zip(shape, sizes, strict=True)
    )
    return rows, columns


def _spectral_norm(tall: NDArray[np.float32]) -> float:
    """Largest singular value, through the Gram matrix of the shorter side."""
    gram = tall.T @ tall
    if len(gram) <= _FEW:
        largest = np.linalg.eigvalsh(gram)[-1]
    else:
        start = np.random.default_rng(0).standard_normal(len(gram)).astype(gram.dtype)
        (largest,) = eigsh(gram, 1, which="LA", v0=start, tol=1e-5, return_eigenvectors=False)
    return float(np.sqrt(max(largest, 0.0)))
