"""β-divergences of V from WH in float64, of many runs at once, without a second matrix of the size of V.

d_β(v, p) is ½(v − p)² for β = 2 (Frobenius), v log(v/p) − v + p for β = 1 (Kullback–Leibler), v/p − log(v/p) − 1 for
β = 0 (Itakura–Saito), and (v^β + (β−1) p^β − β v p^(β−1)) / (β(β−1)) else (Févotte & Idier 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import kl_div

from nmfcore import blocks
from nmfcore.block_matrix import BlockMatrix, times_transposed
from nmfcore.blocks import dense_parts
from nmfcore.groups import Groups, in_threads

Floats = NDArray[np.floating]
Array = NDArray[np.float64]
Multiplier = Callable[[Floats], Floats]

# A loss got by subtracting large sums has an error of about 1e-15 of those sums. Below this share of them the
# residual is formed instead, so the relative error of a loss stays near 1e-11 or less.
CANCELLATION = 1e-4

CUT_FROM = 4
"""Runs from which it pays to lay out a sparse V for its products."""


def divergences(
    V: Any,
    W: Floats,
    H: Floats,
    beta: float = 2.0,
    weights: Floats | None = None,
    groups: Groups | None = None,
) -> Array:
    """Σ w d_β(v, wh) of every run.

    Parameters
    ----------
    V : (n_features, n_samples) ndarray, csr_array or BlockMatrix
    W : (n_runs, rank, n_features) ndarray
        Bases, transposed.
    H : (n_runs, rank, n_samples) ndarray
    beta : float
    weights : (n_features, n_samples) ndarray, optional
        In [0, 1], or a mask; cells of weight 0 are never looked at.
    groups : Groups, optional
        Runs that share products, and how many threads take part.

    Returns
    -------
    (n_runs,) ndarray of float64
    """
    V = _canonical(V)
    # Rounding can take the divergence of an exact fit a little below 0.
    return np.maximum(_divergences(V, W, H, beta, weights, groups or Groups.of(range(len(W)))), 0.0)


def _divergences(
    V: Any, W: Floats, H: Floats, beta: float, weights: Floats | None, groups: Groups
) -> Array:
    if weights is None and beta == 2:
        total = sum_of_squares(V)
        by_expansion = _by_expansion(V, total, W, H, groups)
        cancelled = by_expansion <= CANCELLATION * total
        if cancelled.any():
            few = W[cancelled], H[cancelled]
            by_expansion[cancelled] = _by_residual(V, *few, beta, None, groups.threads)
        return by_expansion
    if weights is None and beta == 1 and sparse.issparse(V):
        return np.array(
            in_threads(lambda s: _kl_of_stored(V, W[s], H[s]), range(len(W)), groups.threads)
        )
    return _by_residual(V, W, H, beta, weights, groups.threads)


def visible_squares(
    V: Any, hidden: sparse.csr_array, W: Floats, H: Floats, groups: Groups
) -> Array:
    """½ Σ (v − wh)² of every run over the cells of a sparse V that are not hidden; V holds 0 where they are.

    That over all cells, less ½ Σ (wh)² over the hidden ones: V is never made dense.

    Parameters
    ----------
    V : (n_features, n_samples) csr_array
    hidden : (n_features, n_samples) csr_array
        1 in a hidden cell.
    W, H, groups
        See `divergences`.
    """
    V = _canonical(V)
    total = sum_of_squares(V)
    of_all = _by_expansion(V, total, W, H, groups)
    of_hidden = np.array(
        in_threads(lambda s: 0.5 * _squares_at(hidden, W[s], H[s]), range(len(W)), groups.threads)
    )
    found: Array = of_all - of_hidden
    # What a fit says of hidden cells may be far more than V holds.
    cancelled = found <= CANCELLATION * np.maximum(total, of_hidden)
    if cancelled.any():
        seen = 1 - hidden.toarray()
        found[cancelled] = _by_residual(V, W[cancelled], H[cancelled], 2.0, seen, groups.threads)
    return np.maximum(found, 0.0)


def _squares_at(cells: sparse.csr_array, W: Floats, H: Floats) -> float:
    """Σ (wh)² over some cells."""
    # Here, because who only reads and writes matrices should not wait for the compiler.
    from nmfcore.solvers.kernels import sampled_product

    basis, profiles = (np.ascontiguousarray(f.T, np.float64) for f in (W, H))
    fitted = np.empty(cells.nnz)
    sampled_product(cells.indptr, cells.indices, basis, profiles, fitted)
    return float(fitted @ fitted)


def sum_of_squares(V: Any, weights: Floats | None = None) -> float:
    """Σ w v² in float64."""
    V = _canonical(V)
    if weights is None and isinstance(V, BlockMatrix):
        return V.squares
    if weights is None and sparse.issparse(V):
        return float(np.square(V.data, dtype=np.float64).sum())
    total = 0.0
    for features, samples, part in dense_parts(V):
        squares = np.square(part)
        if weights is not None:
            squares *= weights[features, samples]
        total += float(squares.sum())
    return total


def divergence_from_constant(V: Any, beta: float, weights: Floats | None = None) -> float:
    """Divergence of V from its (weighted) mean in every cell; for β = 2 from zero, ½ Σ w v².

    What a loss is compared with to give a relative error.
    """
    if beta == 2:
        return 0.5 * sum_of_squares(V, weights)
    if weights is None:
        mean = V.sum(dtype=np.float64) / (V.shape[0] * V.shape[1])
    else:
        dense = V.toarray() if sparse.issparse(V) else V
        mean = (weights * dense).sum(dtype=np.float64) / weights.sum()
    W, H = np.full((1, 1, V.shape[0]), mean), np.ones((1, 1, V.shape[1]))
    return float(divergences(V, W, H, beta, weights)[0])


def _canonical(V: Any) -> Any:
    """V itself, or a copy in which repeated entries of a sparse matrix are summed."""
    if not sparse.issparse(V) or V.has_canonical_format:
        return V
    copy = V.copy()
    copy.sum_duplicates()
    return copy


def cellwise(v: Array, p: Array, beta: float) -> Array:
    """d_β(v, p) of each cell."""
    if beta == 2:
        return 0.5 * np.square(v - p)
    if beta == 1:
        return np.asarray(kl_div(v, p))
    with np.errstate(divide="ignore", invalid="ignore"):
        if beta == 0:
            excess = (v - p) / p
            return np.where((v == 0) | (p == 0), np.inf, excess - np.log1p(excess))
        own = np.where(v > 0, v**beta, 0.0) if beta > 0 else v**beta
        power = p ** (beta - 1)
        d = (own + (beta - 1) * power * p - beta * v * power) / (beta * (beta - 1))
        return np.where((p == 0) & (v == 0) & (beta > 0), 0.0, d)


def _by_residual(
    V: Any, W: Floats, H: Floats, beta: float, weights: Floats | None, threads: int
) -> Array:
    coefficients = H.astype(np.float64)
    totals = np.zeros(len(W))
    for features, samples, block in dense_parts(V):
        weight = None if weights is None else weights[features, samples]
        seen = None if weight is None else weight > 0
        if weight is not None and seen is not None:
            # Without this, what stands in a hidden cell could be NaN.
            block = np.where(seen, block, 0.0) if beta == 2 else block[seen]
            weight = weight if beta == 2 else weight[seen]
        act = partial(_residual, block, weight, seen, W, coefficients, features, samples, beta)
        totals += in_threads(act, range(len(W)), threads)
    return totals


def _residual(
    block: Array,
    weight: Floats | None,
    seen: NDArray[np.bool_] | None,
    W: Floats,
    coefficients: Array,
    features: slice,
    samples: slice,
    beta: float,
    run: int,
) -> float:
    """Divergence of one run over a part of V."""
    product = W[run][:, features].T.astype(np.float64) @ coefficients[run][:, samples]
    if weight is None or seen is None:
        return float(cellwise(block, product, beta).sum())
    if beta == 2:
        product -= block
        return 0.5 * float(np.einsum("ij,ij,ij->", weight, product, product))
    return float((weight * cellwise(block, product[seen], beta)).sum())


def _by_expansion(V: Any, total: float, W: Floats, H: Floats, groups: Groups) -> Array:
    """½ (‖V‖² − 2⟨V, WH⟩ + ⟨WᵀW, HHᵀ⟩)."""
    basis, coefficients = W.astype(np.float64), H.astype(np.float64)
    n_runs, rank, _ = basis.shape
    flat_basis, flat_coefficients = (f.reshape(n_runs * rank, -1) for f in (basis, coefficients))
    cross = np.zeros(n_runs * rank)
    for features, samples, part in _parts(V):
        of_part = flat_basis[:, features], flat_coefficients[:, samples]
        act = partial(_crossed, _multiplier(part, n_runs), *of_part, rank)
        cross += np.concatenate(groups.map(act))
    grams = [f @ f.transpose(0, 2, 1) for f in (basis, coefficients)]
    fitted = np.einsum("sij,sij->s", *grams)
    return np.asarray(0.5 * (total - 2 * cross.reshape(n_runs, rank).sum(axis=1) + fitted))


def _parts(V: Any) -> Iterable[tuple[slice, slice, Any]]:
    """V part by part; whole where it is CSR."""
    if isinstance(V, BlockMatrix):
        return V.astype(np.float64).parts()
    return [(slice(None), slice(None), V)] if sparse.issparse(V) else dense_parts(V)


def _multiplier(part: Any, n_runs: int) -> Multiplier:
    """Function of factors that gives their product with the transpose of a part of V."""
    if n_runs < CUT_FROM or not sparse.issparse(part) or part.format != "csr":
        return lambda factors: times_transposed(factors, part)
    # Here, because who only reads and writes matrices should not wait for the compiler.
    from nmfcore.solvers.cut_matrix import CutMatrix

    return CutMatrix.of(part.astype(np.float64, copy=False)).times


def _crossed(
    times: Multiplier, basis: Array, coefficients: Array, rank: int, group: slice
) -> Array:
    """Products of a part of V with every component of a group, and the sum of each."""
    components = slice(group.start * rank, group.stop * rank)
    product = times(coefficients[components])
    return np.asarray(np.einsum("rm,rm->r", product, basis[components]))


def _kl_of_stored(V: sparse.csr_array, W: Floats, H: Floats) -> float:
    """Kullback–Leibler over the stored entries, and the mass of WH elsewhere."""
    basis, profiles = W.T.astype(np.float64), H.T.astype(np.float64)
    entries = V.tocoo()
    divergence = stored = 0.0
    step = max(blocks.BLOCK_ENTRIES // basis.shape[1], 1)
    for start in range(0, entries.nnz, step):
        part = slice(start, start + step)
        product = np.einsum("ek,ek->e", basis[entries.row[part]], profiles[entries.col[part]])
        divergence += float(kl_div(entries.data[part].astype(np.float64), product).sum())
        stored += float(product.sum())
    total = float(basis.sum(axis=0) @ profiles.sum(axis=0))
    return divergence + max(total - stored, 0.0)
