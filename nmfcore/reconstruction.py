"""How well can, and does, W @ H reproduce V? The SVD bound, sparseness.

Everything is computed in float64 whatever the type of V, block by block, so that no second matrix of the size of V is
formed. V is a dense array or CSR.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import aslinearoperator, svds

from nmfcore.block_matrix import BlockMatrix
from nmfcore.blocks import dense_rows, row_blocks
from nmfcore.divergence import sum_of_squares

# A direct SVD takes about a second at this many operations.
SVD_OPERATIONS = 5e9
DENSE_ENTRIES = 2**24
GRAM_SIZE = 3000

Array = NDArray[np.float64]
Values: TypeAlias = Any  # ndarray, csr_array or BlockMatrix


def svd_errors(V: Values, max_rank: int) -> Array:
    """Relative Frobenius error of the truncated SVD, a bound for every factorization of that rank.

    √(Σ_{i>k} σ_i²) / ‖V‖ for k = 1 … max_rank; 0 from the linear rank on. Range [0, 1].

    From all singular values where m n min(m, n) ≤ 5·10⁹ (sparse: and m n ≤ 2²⁴). Larger matrices
    go through the Gram matrix of the smaller side where that is at most 3,000, else through the
    max_rank largest singular values (ARPACK); these do not resolve errors below about 10⁻⁷.

    Parameters
    ----------
    V : (n_features, n_samples) ndarray or csr_array
        Not all zero.
    max_rank : int

    Returns
    -------
    (max_rank,) ndarray of float64
    """
    total = sum_of_squares(V)
    if not total > 0:
        raise ValueError("V has no positive entry, so its relative error is undefined")
    smaller, entries = min(V.shape), V.shape[0] * V.shape[1]
    is_small = entries <= DENSE_ENTRIES or not sparse.issparse(V)
    if is_small and not isinstance(V, BlockMatrix) and entries * smaller <= SVD_OPERATIONS:
        squares = np.square(linalg.svdvals(dense_rows(V, slice(None))))
    elif smaller <= GRAM_SIZE:
        squares = np.maximum(linalg.eigvalsh(_gram_of_smaller_side(V))[::-1], 0.0)
    else:
        squares = _largest_squares(V, max_rank)
    unknown = max(total - float(squares.sum()), 0.0) if squares.size < smaller else 0.0
    tails_of_known = np.append(np.cumsum(squares[::-1])[::-1], 0.0)[1 : max_rank + 1]
    tails = np.zeros(max_rank)
    tails[: tails_of_known.size] = tails_of_known + unknown
    return np.sqrt(np.clip(tails / total, 0.0, 1.0))


def hoyer_sparseness(X: NDArray[np.floating], axis: int) -> Array:
    """Sparseness of the vectors along an axis: (√n − ‖x‖₁ / ‖x‖₂) / (√n − 1).

    Source: Hoyer 2004. Range [0, 1]: 0 for a constant vector, 1 for a single nonzero entry.

    Parameters
    ----------
    X : ndarray
    axis : int
        Along which the entries of a vector run.

    Returns
    -------
    ndarray of float64
        Shape of X without the axis; NaN where undefined: zero vectors and vectors of one entry.
    """
    magnitudes = np.abs(np.asarray(X, dtype=np.float64))
    root = np.sqrt(magnitudes.shape[axis])
    peak = magnitudes.max(axis=axis, keepdims=True, initial=0.0)
    shares = magnitudes / np.where(peak > 0, peak, np.nan)
    if root <= 1:
        return np.full(peak.squeeze(axis).shape, np.nan)
    ratio = shares.sum(axis=axis) / np.sqrt(np.square(shares).sum(axis=axis))
    return np.asarray(np.clip((root - ratio) / (root - 1.0), 0.0, 1.0))


def sparseness_W(W: NDArray[np.floating]) -> float | None:
    """Mean Hoyer sparseness of the columns of W, the components.

    Parameters
    ----------
    W : (n_features, rank) ndarray

    Returns
    -------
    float or None
        In [0, 1]. Zero columns do not count; None where no column does.
    """
    return _mean_of_defined(hoyer_sparseness(W, axis=0))


def sparseness_H(H: NDArray[np.floating]) -> float | None:
    """Mean Hoyer sparseness of the rows of H, the profiles of the components over the samples.

    Parameters
    ----------
    H : (rank, n_samples) ndarray

    Returns
    -------
    float or None
        In [0, 1]. Zero rows do not count; None where no row does.
    """
    return _mean_of_defined(hoyer_sparseness(H, axis=1))


def _mean_of_defined(values: Array) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else None


def _gram_of_smaller_side(V: Values) -> Array:
    if isinstance(V, BlockMatrix):
        return V.gram()
    flat = V if V.shape[0] < V.shape[1] else V.T
    gram = np.zeros((flat.shape[0], flat.shape[0]))
    if sparse.issparse(V):
        # Here, because who only reads and writes matrices should not wait for the compiler.
        from nmfcore.solvers.cut_matrix import CutMatrix

        values = sparse.csr_array(flat, dtype=np.float64)
        cut = CutMatrix.of(values)
        for rows in row_blocks(values.shape):
            gram[rows] = cut.times(values[rows].toarray())
        return gram
    for rows in row_blocks(flat.T.shape):
        block = dense_rows(flat.T, rows)
        gram += block.T @ block
    return gram


def _largest_squares(V: Values, max_rank: int) -> Array:
    """Squares of the max_rank largest singular values, descending."""
    start = np.random.default_rng(0).random(min(V.shape))
    matrix = V.astype(np.float64)
    if isinstance(V, BlockMatrix):
        matrix = aslinearoperator(matrix)
    values = svds(matrix, k=max_rank, v0=start, return_singular_vectors=False, solver="arpack")
    return np.square(np.sort(np.asarray(values, dtype=np.float64))[::-1])
