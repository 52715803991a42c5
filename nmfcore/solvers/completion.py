"""A matrix without holes that stands in for one with cells of less than full weight, while iterations are rough."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from nmfcore.solvers.kernels import sampled_product
from nmfcore.solvers.products import compress

Values: TypeAlias = Any  # ndarray or csr_array

PASSES_MAX = 4
ENOUGH = 3e-4
"""Share of the first imputation's error that may stay."""


def complete(V: Values, lack: sparse.csr_array, rank: int, threads: int = 1) -> Values:
    """w∘V + (1 − w)∘P, with P of the given rank fitted to that very sum (hard imputation, Mazumder et al. 2010).

    It depends on V, the weights and the rank alone, so all runs of a rank share it. P is nonnegative, and starts
    from the product of row and column means.

    Parameters
    ----------
    V : (n_features, n_samples) ndarray or csr_array
        Times the weights.
    lack : (n_features, n_samples) csr_array
        1 − weight where that is not 0.
    rank : int
    threads : int
        See `nmfcore.solvers.products.compress`.

    Returns
    -------
    ndarray or csr_array
        Like V.
    """
    n_features, n_samples = V.shape
    weight = n_samples - lack.sum(axis=1), n_features - lack.sum(axis=0)
    means = [
        np.divide(np.asarray(V.sum(axis=axis)).ravel(), w, out=np.zeros(len(w)), where=w > 0)
        for axis, w in zip((1, 0), weight, strict=True)
    ]
    overall = max(float(V.sum(dtype=np.float64)) / float(weight[0].sum()), np.finfo(float).tiny)
    left, right = (means[0] / overall)[:, None], means[1][:, None]
    share = lack.sum(dtype=np.float64) / np.prod(V.shape)
    for _ in range(passes(share, rank, V.shape)):
        filled = _filled(V, lack, left.astype(V.dtype), right.astype(V.dtype))
        low_rank = compress(filled, min(rank, *V.shape), power=1, threads=threads)
        left, right = low_rank.Q, low_rank.B.T
    return _filled(V, lack, left, right)


def passes(share: float, rank: int, shape: tuple[int, int]) -> int:
    """Rounds of imputation where cells lack `share` of their weight in all.

    A round leaves about as much of an imputed cell's error as the cell has weight in its own fit: the number of free
    parameters over that of cells, or `share` where that is more.
    """
    left = max(share, rank * sum(shape) / np.prod(shape))
    needed = np.log(ENOUGH) / np.log(np.clip(left, ENOUGH, 0.999))
    return min(int(np.ceil(needed)), PASSES_MAX)


def _filled(V: Values, lack: sparse.csr_array, left: Any, right: Any) -> Values:
    """V + lack ∘ max(left rightᵀ, 0)."""
    values = np.empty_like(lack.data)
    sampled_product(
        lack.indptr, lack.indices, np.ascontiguousarray(left), np.ascontiguousarray(right), values
    )
    imputed = sparse.csr_array(
        (lack.data * np.maximum(values, 0), lack.indices, lack.indptr), shape=lack.shape
    )
    if sparse.issparse(V):
        return sparse.csr_array(V + imputed)
    filled = V.copy()
    rows = np.repeat(np.arange(V.shape[0]), np.diff(lack.indptr))
    filled[rows, lack.indices] += imputed.data
    return filled
