"""A matrix without holes that stands in for one with cells of less than full weight, while iterations are rough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.solvers.kernels import entries_at, sampled_product
from nmfcore.solvers.products import CompressedProducts, compress

Floats = NDArray[np.floating]
Values: TypeAlias = Any  # ndarray or csr_array

PASSES_MAX = 4
ENOUGH = 3e-4
"""Share of the first imputation's error that may stay."""


@dataclass(frozen=True)
class Completed:
    """w∘V + (1 − w)∘P.

    Attributes
    ----------
    matrix : (n_features, n_samples) ndarray or csr_array
    left, right : (n_features, r), (n_samples, r) ndarray
        P is ``left @ right.T`` where that is not negative.
    share : float
        Of their weight, what all cells lack together.
    """

    matrix: Values
    left: Floats
    right: Floats
    share: float

    def compressed(self, width: int, threads: int = 1) -> CompressedProducts:
        """Compress (matrix − s P) / (1 − s), s being the share, which has nearly the minimum of the problem.

        In a completed matrix a cell without weight pulls the fit to P. Where cells lack weight at random, this pull is
        on the average that of s P in all cells.
        """
        found = compress(self.matrix, width, threads=threads)
        P = (found.Q.T @ self.left) @ self.right.T
        pull, kept = self.share * P, 1 - self.share
        # ‖matrix − Q pull‖², B being Qᵀ matrix; what is left of it may be small beside its parts.
        squares = found.squared_norm + float(
            np.einsum("ij,ij->", pull, pull - 2 * found.B, dtype=np.float64)
        )
        B = ((found.B - pull) / kept).astype(found.dtype)
        return CompressedProducts(found.Q, B, squares / kept**2)


def complete(V: Values, lack: sparse.csr_array, rank: int, threads: int = 1) -> Completed:
    """Complete V with P of the given rank fitted to the completed matrix (hard imputation, Mazumder et al. 2010).

    It depends on V, the weights and the rank alone, so all runs of a rank share it. P starts from the product of row
    and column means.

    Parameters
    ----------
    V : (n_features, n_samples) ndarray or csr_array
        Times the weights.
    lack : (n_features, n_samples) csr_array
        1 − weight where that is not 0.
    rank : int
    threads : int
        See `nmfcore.solvers.products.compress`.
    """
    n_features, n_samples = V.shape
    weight = n_samples - lack.sum(axis=1), n_features - lack.sum(axis=0)
    means = [
        np.divide(np.asarray(V.sum(axis=axis)).ravel(), w, out=np.zeros(len(w)), where=w > 0)
        for axis, w in zip((1, 0), weight, strict=True)
    ]
    overall = max(float(V.sum(dtype=np.float64)) / float(weight[0].sum()), np.finfo(float).tiny)
    left, right = (
        np.ascontiguousarray(mean[:, None], V.dtype) for mean in (means[0] / overall, means[1])
    )
    share = float(lack.sum(dtype=np.float64) / np.prod(V.shape))
    filling = _Filling(V, lack)
    for _ in range(passes(share, rank, V.shape)):
        filling.write(left, right)
        low_rank = compress(filling.matrix, min(rank, *V.shape), power=1, threads=threads)
        left, right = low_rank.Q, np.ascontiguousarray(low_rank.B.T)
    filling.write(left, right)
    return Completed(filling.matrix, left, right, share)


def passes(share: float, rank: int, shape: tuple[int, int]) -> int:
    """Rounds of imputation where cells lack `share` of their weight in all.

    A round leaves about as much of an imputed cell's error as the cell has weight in its own fit: the number of free
    parameters over that of cells, or `share` where that is more.
    """
    left = max(share, rank * sum(shape) / np.prod(shape))
    needed = np.log(ENOUGH) / np.log(np.clip(left, ENOUGH, 0.999))
    return min(int(np.ceil(needed)), PASSES_MAX)


class _Filling:
    """V + lack ∘ max(left rightᵀ, 0), of which only the cells that lack weight are written again and again.

    Attributes
    ----------
    matrix : (n_features, n_samples) ndarray or csr_array
    """

    def __init__(self, V: Values, lack: sparse.csr_array) -> None:
        self.lack = lack
        rows = np.repeat(np.arange(V.shape[0]), np.diff(lack.indptr))
        if sparse.issparse(V):
            own = np.empty_like(lack.data)
            entries_at(V.indptr, V.indices, V.data, rows, lack.indices, own)
            marks = (np.full_like(lack.data, np.nan), lack.indices, lack.indptr)
            self.matrix = sparse.csr_array(V + sparse.csr_array(marks, shape=V.shape))
            self.data, self.own = self.matrix.data, own
            self.places = np.flatnonzero(np.isnan(self.data))
        else:
            self.matrix = np.array(V, order="C")
            self.data = self.matrix.reshape(-1)
            self.places = rows * V.shape[1] + lack.indices
            self.own = self.data[self.places]

    def write(self, left: Floats, right: Floats) -> None:
        """Impute the cells that lack weight."""
        lack, values = self.lack, np.empty_like(self.own)
        sampled_product(lack.indptr, lack.indices, left, right, values)
        self.data[self.places] = self.own + lack.data * np.maximum(values, 0)
