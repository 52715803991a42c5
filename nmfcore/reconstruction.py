"""How well does W @ H reproduce V? Losses, explained variance, the SVD bound, sparseness.

Everything is computed in float64 whatever the type of V, over blocks of rows of at most
`BLOCK_ENTRIES` entries, so that no second matrix of the size of V is ever formed. V is a dense
array or CSR. Where an ``observed`` mask is given, the other entries of V are never read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import svds
from scipy.special import kl_div

BLOCK_ENTRIES = 2**21
# An RSS got by expansion has an error of about 1e-15 Σ v². Below this share of Σ v² the residual is
# formed instead, so the relative error stays near 1e-11 or less.
CANCELLATION = 1e-4
# A direct SVD takes about a second at this many operations.
SVD_OPERATIONS = 5e9
DENSE_ENTRIES = 2**24
GRAM_SIZE = 3000

Array = NDArray[np.float64]
Values: TypeAlias = NDArray[np.floating] | sparse.csr_array
Mask = NDArray[np.bool_]
Loss = Callable[[Values, NDArray[np.floating], NDArray[np.floating], Mask | None], float]


def frobenius_loss(
    V: Values, W: NDArray[np.floating], H: NDArray[np.floating], observed: Mask | None = None
) -> float:
    """½ ‖V − WH‖².

    By ‖V‖² − 2⟨V, WH⟩ + ⟨WᵀW, HHᵀ⟩ where that loses no accuracy, else from the residual. The
    residual sum of squares (RSS) is twice this. Range [0, ∞).

    Parameters
    ----------
    V : (n_features, n_samples) ndarray or csr_array
    W : (n_features, rank) ndarray
    H : (rank, n_samples) ndarray
    observed : (n_features, n_samples) ndarray of bool, optional
        Only these entries count. Default: all.

    Returns
    -------
    float
    """
    if observed is None:
        total = sum_of_squares(V)
        rss = _rss_by_expansion(V, total, W, H)
        if rss > CANCELLATION * total:
            return rss / 2
    return _sum_over_blocks(_half_square, V, W, H, observed)


def kullback_leibler(
    V: Values, W: NDArray[np.floating], H: NDArray[np.floating], observed: Mask | None = None
) -> float:
    """Generalised Kullback–Leibler divergence Σ v log(v / wh) − v + wh.

    0 log 0 = 0; infinite where v > 0 and wh = 0. Range [0, ∞], with a rounding error of about
    10⁻¹⁵ Σ wh. For CSR the entries that are not stored contribute Σ wh, got from the sums of the
    columns of W and the rows of H.

    Parameters
    ----------
    V : (n_features, n_samples) ndarray or csr_array
    W : (n_features, rank) ndarray
    H : (rank, n_samples) ndarray
    observed : (n_features, n_samples) ndarray of bool, optional
        Only these entries count. Default: all.

    Returns
    -------
    float
    """
    if observed is None and sparse.issparse(V):
        return _kullback_leibler_of_stored(V, W, H)
    return _sum_over_blocks(kl_div, V, W, H, observed)


def itakura_saito(
    V: Values, W: NDArray[np.floating], H: NDArray[np.floating], observed: Mask | None = None
) -> float:
    """Itakura–Saito divergence Σ v / wh − log(v / wh) − 1.

    Infinite where v or wh is 0, and so for every sparse V with an entry that is not stored.
    Range [0, ∞].

    Parameters
    ----------
    V : (n_features, n_samples) ndarray or csr_array
    W : (n_features, rank) ndarray
    H : (rank, n_samples) ndarray
    observed : (n_features, n_samples) ndarray of bool, optional
        Only these entries count. Default: all.

    Returns
    -------
    float
    """
    return _sum_over_blocks(_itakura_saito, V, W, H, observed)


def run_losses(
    loss: Loss,
    V: Values,
    W: NDArray[np.floating],
    H: NDArray[np.floating],
    observed: Mask | None = None,
) -> Array:
    """Evaluate a loss of each run of a batch.

    Parameters
    ----------
    loss : callable
        `frobenius_loss`, `kullback_leibler` or `itakura_saito`.
    V : (n_features, n_samples) ndarray or csr_array
    W : (n_runs, n_features, rank) ndarray
    H : (n_runs, rank, n_samples) ndarray
    observed : (n_features, n_samples) ndarray of bool, optional
        Only these entries count. Default: all.

    Returns
    -------
    (n_runs,) ndarray of float64
    """
    return np.array([loss(V, w, h, observed) for w, h in zip(W, H, strict=True)], dtype=np.float64)


def sum_of_squares(V: Values, observed: Mask | None = None) -> float:
    """Σ v² in float64, over the observed entries: the ``total`` of `explained_variance`.

    Parameters
    ----------
    V : (n_features, n_samples) ndarray or csr_array
    observed : (n_features, n_samples) ndarray of bool, optional
        Only these entries count. Default: all.

    Returns
    -------
    float
    """
    if observed is None and sparse.issparse(V):
        return float(np.square(_canonical(V).data, dtype=np.float64).sum())
    total = 0.0
    for rows in _row_blocks(V.shape):
        block = _dense_rows(V, rows)
        total += float(np.square(block if observed is None else block[observed[rows]]).sum())
    return total


def explained_variance(rss: float, total: float) -> float:
    """1 − RSS / Σ v², uncentred.

    Source: Hutchins et al. 2008, as in R NMF. At most 1; negative where zero would fit better.

    Parameters
    ----------
    rss : float
        Σ (v − wh)², twice the Frobenius loss.
    total : float
        Σ v² over the same entries, positive.

    Returns
    -------
    float
    """
    if not total > 0:
        raise ValueError(f"total must be positive, got {total}: nothing to explain")
    return 1.0 - rss / total


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
    if is_small and entries * smaller <= SVD_OPERATIONS:
        squares = np.square(linalg.svdvals(_dense_rows(V, slice(None))))
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


def _row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    n_rows, n_columns = shape
    step = max(BLOCK_ENTRIES // max(n_columns, 1), 1)
    return (slice(start, start + step) for start in range(0, n_rows, step))


def _dense_rows(V: Values, rows: slice) -> Array:
    block = V[rows]
    return np.asarray(block if isinstance(block, np.ndarray) else block.toarray(), dtype=np.float64)


def _sum_over_blocks(
    divergence: Callable[[Array, Array], Array],
    V: Values,
    W: NDArray[np.floating],
    H: NDArray[np.floating],
    observed: Mask | None,
) -> float:
    """Sum an elementwise divergence of V from W @ H over the observed entries."""
    coefficients = np.asarray(H, dtype=np.float64)
    total = 0.0
    for rows in _row_blocks(V.shape):
        block = _dense_rows(V, rows)
        product = np.asarray(W[rows], dtype=np.float64) @ coefficients
        if observed is not None:
            block, product = block[observed[rows]], product[observed[rows]]
        total += float(divergence(block, product).sum())
    return total


def _half_square(v: Array, wh: Array) -> Array:
    return np.square(v - wh) / 2


def _itakura_saito(v: Array, wh: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = (v - wh) / wh
        divergence = excess - np.log1p(excess)
    return np.where((v == 0) | (wh == 0), np.inf, divergence)


def _rss_by_expansion(
    V: Values, total: float, W: NDArray[np.floating], H: NDArray[np.floating]
) -> float:
    basis, coefficients = np.asarray(W, dtype=np.float64), np.asarray(H, dtype=np.float64)
    if sparse.issparse(V):
        cross = float(np.vdot(V @ coefficients.T, basis))
    else:
        cross = float(
            sum(
                np.vdot(_dense_rows(V, rows) @ coefficients.T, basis[rows])
                for rows in _row_blocks(V.shape)
            )
        )
    fitted = float(np.vdot(basis.T @ basis, coefficients @ coefficients.T))
    return total - 2.0 * cross + fitted


def _canonical(V: sparse.csr_array) -> sparse.csr_array:
    """V itself, or a copy in which repeated entries are summed."""
    if V.has_canonical_format:
        return V
    copy = V.copy()
    copy.sum_duplicates()
    return copy


def _kullback_leibler_of_stored(
    V: sparse.csr_array, W: NDArray[np.floating], H: NDArray[np.floating]
) -> float:
    """Loss from the stored entries and the sums of W and H."""
    basis, profiles = np.asarray(W, dtype=np.float64), np.asarray(H, dtype=np.float64).T
    entries = _canonical(V).tocoo()
    total = float(basis.sum(axis=0) @ profiles.sum(axis=0))
    step = max(BLOCK_ENTRIES // basis.shape[1], 1)
    divergence = stored = 0.0
    for start in range(0, entries.nnz, step):
        part = slice(start, start + step)
        product = np.einsum("ek,ek->e", basis[entries.row[part]], profiles[entries.col[part]])
        divergence += float(kl_div(entries.data[part].astype(np.float64), product).sum())
        stored += float(product.sum())
    return divergence + max(total - stored, 0.0)


def _gram_of_smaller_side(V: Values) -> Array:
    wide = V.shape[0] < V.shape[1]
    if sparse.issparse(V):
        values = sparse.csr_array(V, dtype=np.float64)
        return np.asarray((values @ values.T if wide else values.T @ values).toarray())
    tall = V.T if wide else V
    gram = np.zeros((tall.shape[1], tall.shape[1]))
    for rows in _row_blocks(tall.shape):
        block = _dense_rows(tall, rows)
        gram += block.T @ block
    return gram


def _largest_squares(V: Values, max_rank: int) -> Array:
    """Squares of the max_rank largest singular values, descending."""
    start = np.random.default_rng(0).random(min(V.shape))
    values = svds(
        V.astype(np.float64), k=max_rank, v0=start, return_singular_vectors=False, solver="arpack"
    )
    return np.square(np.sort(np.asarray(values, dtype=np.float64))[::-1])
