"""V as the solvers see it: an object that multiplies all runs of a batch at once.

Stacking the factors of all runs turns many thin products into one thick one, so V is read once for the batch.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.block_matrix import BlockMatrix, times_block, times_block_transposed
from nmfcore.solvers.kernels import csr_product, csr_transposed_product

Floats = NDArray[np.floating]

SCATTER_FROM = 2
"""So many times as many columns as rows, from which a product with a sparse matrix scatters: a store costs more."""


class Products(Protocol):
    """Products of V (n_features, n_samples) with a batch of factors, and the norm of V.

    `W` is (n_runs, rank, n_features) — the bases transposed — and `H` is (n_runs, rank, n_samples).
    """

    squared_norm: float
    dtype: np.dtype[Any]

    def with_samples(self, H: Floats) -> Floats:
        """(V Hᵀ)ᵀ, (n_runs, rank, n_features)."""
        ...

    def with_features(self, W: Floats) -> Floats:
        """Wᵀ V, (n_runs, rank, n_samples)."""
        ...


class DenseProducts:
    """V in full."""

    def __init__(self, V: Floats) -> None:
        self.V = V
        self.dtype = V.dtype
        self.squared_norm = squares(V)

    def with_samples(self, H: Floats) -> Floats:
        """See `Products`."""
        return (_stack(H) @ self.V.T).reshape(*H.shape[:2], -1)

    def with_features(self, W: Floats) -> Floats:
        """See `Products`."""
        return (_stack(W) @ self.V).reshape(*W.shape[:2], -1)


class SparseProducts:
    """V as CSR; what is not stored is zero, not missing."""

    def __init__(self, V: sparse.csr_array) -> None:
        self.V = V
        self.dtype = np.dtype(V.dtype)
        self.VT = V.T.tocsr()
        self.squared_norm = squares(V.data)

    def with_samples(self, H: Floats) -> Floats:
        """See `Products`."""
        return _times(self.V, self.VT, H)

    def with_features(self, W: Floats) -> Floats:
        """See `Products`."""
        return _times(self.VT, self.V, W)


class BlockProducts:
    """V by blocks, in memory or on disk."""

    def __init__(self, V: BlockMatrix) -> None:
        self.V = V
        self.dtype = V.dtype
        self.squared_norm = V.squares

    def with_samples(self, H: Floats) -> Floats:
        """See `Products`."""
        return self.V.times(_stack(H)).reshape(*H.shape[:2], -1)

    def with_features(self, W: Floats) -> Floats:
        """See `Products`."""
        return self.V.T.times(_stack(W)).reshape(*W.shape[:2], -1)


class CompressedProducts:
    """V ≈ Q B of low rank: a product costs (n_features + n_samples) · r instead of their product."""

    def __init__(self, Q: Floats, B: Floats, squared_norm: float) -> None:
        self.Q, self.B = Q, B
        self.dtype = Q.dtype
        self.squared_norm = squared_norm

    def with_samples(self, H: Floats) -> Floats:
        """See `Products`."""
        return ((_stack(H) @ self.B.T) @ self.Q.T).reshape(*H.shape[:2], -1)

    def with_features(self, W: Floats) -> Floats:
        """See `Products`."""
        return ((_stack(W) @ self.Q) @ self.B).reshape(*W.shape[:2], -1)


def products_of(V: Floats | sparse.csr_array | BlockMatrix) -> Products:
    """Products with V, as it is stored."""
    if isinstance(V, BlockMatrix):
        return BlockProducts(V)
    return SparseProducts(V) if sparse.issparse(V) else DenseProducts(V)


def compress(
    V: Floats | sparse.csr_array | BlockMatrix, rank: int, power: int = 2
) -> CompressedProducts:
    """Randomised QB of V (Halko, Martinsson & Tropp 2011) with a fixed stream, so equal V gives equal Q, B.

    Parameters
    ----------
    V : (n_features, n_samples) ndarray, csr_array or BlockMatrix
        Looked at 2 + 2 · power times.
    rank : int
        Columns of Q.
    power : int
        Power iterations.
    """
    noise = np.random.default_rng(0).standard_normal((V.shape[1], rank)).astype(V.dtype)
    Y = _right_product(V, noise)
    for _ in range(power):
        Z = np.linalg.qr(_left_product(V, np.linalg.qr(Y)[0]))[0]
        Y = _right_product(V, Z)
    Q = np.linalg.qr(Y)[0]
    B = _left_product(V, Q).T
    return CompressedProducts(Q, np.ascontiguousarray(B), squared_norm(V))


def _right_product(V: Any, X: Floats) -> Floats:
    """``V @ X``; SciPy takes twice as long where V is sparse."""
    if not sparse.issparse(V):
        return np.asarray(V @ X)
    return times_block_transposed(np.ascontiguousarray(X.T), V).T


def _left_product(V: Any, X: Floats) -> Floats:
    """``V.T @ X``, likewise."""
    if not sparse.issparse(V):
        return np.asarray(V.T @ X)
    return times_block(np.ascontiguousarray(X.T), V).T


def squared_norm(V: Floats | sparse.csr_array | BlockMatrix) -> float:
    """Sum of the squares of V, accumulated in float64."""
    if isinstance(V, BlockMatrix):
        return V.squares
    return squares(np.asarray(V.data if sparse.issparse(V) else V))


def squares(values: Floats) -> float:
    """Sum of squares, accumulated in float64."""
    flat = values.ravel()
    return float(np.einsum("i,i->", flat, flat, dtype=np.float64))


def _times(matrix: sparse.csr_array, transposed: sparse.csr_array, factor: Floats) -> Floats:
    """Factor @ matrixᵀ, by the way whose panel is smaller: of the factor, which is gathered, or of the sums."""
    n_out, n_in = matrix.shape
    out = np.empty((*factor.shape[:2], n_out), factor.dtype)
    multiply, M = (
        (csr_transposed_product, transposed)
        if n_in > SCATTER_FROM * n_out
        else (csr_product, matrix)
    )
    multiply(M.indptr, M.indices, M.data, _stack(factor), out.reshape(-1, n_out))
    return out


def _stack(factor: Floats) -> Floats:
    return factor.reshape(-1, factor.shape[2])
