"""V as the solvers see it: an object that multiplies all runs of a batch at once.

Stacking the factors of all runs turns many thin products into one thick one, so V is read once for the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.block_matrix import BlockMatrix, times_transposed
from nmfcore.groups import in_threads
from nmfcore.solvers.cut_matrix import CutMatrix

Floats = NDArray[np.floating]


class Products(Protocol):
    """Products of V (n_features, n_samples) with a batch of factors, and the norm of V.

    `W` is (n_runs, rank, n_features) — the bases transposed — and `H` is (n_runs, rank, n_samples).
    """

    squared_norm: float
    dtype: np.dtype[Any]
    cost: int
    """Multiplications of a product with one component; that of a stored entry counts for four of a dense one."""

    def with_samples(self, H: Floats) -> Floats:
        """(V Hᵀ)ᵀ, (n_runs, rank, n_features)."""
        ...

    def with_features(self, W: Floats) -> Floats:
        """Wᵀ V, (n_runs, rank, n_samples)."""
        ...


class WholeProducts:
    """V in memory, dense or CSR; what a sparse one does not store is zero, not missing."""

    def __init__(self, V: Floats | sparse.csr_array) -> None:
        self.V = V
        self._times_VT, self._times_V = _multiplier(V), _multiplier(V.T)
        self.dtype = np.dtype(V.dtype)
        self.squared_norm = squared_norm(V)
        self.cost = cost(V)

    def with_samples(self, H: Floats) -> Floats:
        """See `Products`."""
        return self._times_VT(_stack(H)).reshape(*H.shape[:2], -1)

    def with_features(self, W: Floats) -> Floats:
        """See `Products`."""
        return self._times_V(_stack(W)).reshape(*W.shape[:2], -1)


def _multiplier(matrix: Any) -> Callable[[Floats], Floats]:
    """Function of factors that gives ``factors @ matrixᵀ``."""
    if sparse.issparse(matrix):
        return CutMatrix.of(matrix.tocsr()).times
    return lambda factors: np.asarray(factors @ matrix.T)


class BlockProducts:
    """V by blocks, in memory or on disk."""

    def __init__(self, V: BlockMatrix) -> None:
        self.V = V
        self.dtype = V.dtype
        self.squared_norm = V.squares
        self.cost = cost(V)

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
        self.cost = Q.size + B.size

    def with_samples(self, H: Floats) -> Floats:
        """See `Products`."""
        return ((_stack(H) @ self.B.T) @ self.Q.T).reshape(*H.shape[:2], -1)

    def with_features(self, W: Floats) -> Floats:
        """See `Products`."""
        return ((_stack(W) @ self.Q) @ self.B).reshape(*W.shape[:2], -1)


def products_of(V: Floats | sparse.csr_array | BlockMatrix) -> Products:
    """Products with V, as it is stored."""
    return BlockProducts(V) if isinstance(V, BlockMatrix) else WholeProducts(V)


def cost(V: Floats | sparse.csr_array | BlockMatrix) -> int:
    """See `Products.cost`."""
    n_rows, n_columns = V.shape
    is_sparse = V.is_sparse if isinstance(V, BlockMatrix) else sparse.issparse(V)
    return 4 * int(V.nnz) if is_sparse else n_rows * n_columns  # type: ignore[union-attr]


def compress(
    V: Floats | sparse.csr_array | BlockMatrix, rank: int, power: int = 2, threads: int = 1
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
    threads : int
        That share the products with a sparse V; changes no bit.
    """
    noise = np.random.default_rng(0).standard_normal((V.shape[1], rank)).astype(V.dtype)
    Y = _product(V, noise, threads)
    for _ in range(power):
        Z = np.linalg.qr(_product(V.T, np.linalg.qr(Y)[0], threads))[0]
        Y = _product(V, Z, threads)
    Q = np.linalg.qr(Y)[0]
    B = _product(V.T, Q, threads).T
    return CompressedProducts(Q, np.ascontiguousarray(B), squared_norm(V))


def _product(V: Any, X: Floats, threads: int) -> Floats:
    """``V @ X``."""
    if isinstance(V, BlockMatrix):
        return np.asarray(V @ X)
    # Columns of a product with a sparse V have nothing to do with each other; BLAS rounds by how many there are.
    parts = np.array_split(X.T, min(threads, X.shape[1])) if sparse.issparse(V) else [X.T]
    products = in_threads(lambda rows: times_transposed(rows, V), parts, threads)
    return np.asarray(np.concatenate(products).T)


def squared_norm(V: Floats | sparse.csr_array | BlockMatrix) -> float:
    """Sum of the squares of V, accumulated in float64."""
    if isinstance(V, BlockMatrix):
        return V.squares
    return squares(np.asarray(V.data if sparse.issparse(V) else V))


def squares(values: Floats) -> float:
    """Sum of squares, accumulated in float64."""
    flat = values.ravel()
    return float(np.einsum("i,i->", flat, flat, dtype=np.float64))


def _stack(factor: Floats) -> Floats:
    return factor.reshape(-1, factor.shape[2])
