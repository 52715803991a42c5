"""Frobenius loss: compress, iterate, polish."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.problem import Problem
from nmfcore.solvers.fit import Fit
from nmfcore.solvers.hals import gram, iterate
from nmfcore.solvers.products import (
    DenseProducts,
    HiddenCells,
    Products,
    SparseProducts,
    compress,
)

Floats = NDArray[np.floating]

COMPRESSION_GAIN = 4
"""Compress where a product gets this many times cheaper."""


def solve(problem: Problem, W: Floats, H: Floats, max_iter: int, tol: float) -> Fit:
    """Runs of a batch from their starts to stationary points of the problem itself.

    Where V is large in both dimensions, most iterations run on V ≈ Q B; the last ones always run on V.

    Parameters
    ----------
    problem : Problem
    W, H : (n_runs, rank, n_features), (n_runs, rank, n_samples) ndarray
        Starts.
    max_iter, tol
        See `nmfcore.factorize`.
    """
    products = products_of(problem)
    hidden = None if problem.hidden is None else HiddenCells(problem.hidden)
    at_start = _projected_gradient(products, W, H, hidden)
    traces, n_iter = [], np.zeros(len(W), np.int64)
    width = compression_width(problem, W.shape[1])
    if width:
        rough = iterate(compress(problem.V, width), W, H, max_iter * 3 // 4, tol)
        W, H = rough.W, rough.H
        traces, n_iter = [rough.trace], rough.n_iter
    fine = iterate(products, W, H, max_iter - int(n_iter.max()), tol, hidden)
    storage = "sparse" if sparse.issparse(problem.V) else "dense"
    return Fit(
        W=fine.W,
        H=fine.H,
        trace=_join(traces, n_iter, fine.trace),
        n_iter=n_iter + fine.n_iter,
        converged=fine.converged,
        kkt_residual=_projected_gradient(products, fine.W, fine.H, hidden)
        / np.maximum(at_start, np.finfo(float).tiny),
        solver=f"HALS, extrapolated; {storage}" + (f"; compressed to {width}" if width else ""),
    )


def products_of(problem: Problem) -> Products:
    """Products with V as it is stored."""
    V = problem.V
    return SparseProducts(V) if sparse.issparse(V) else DenseProducts(V)


def compression_width(problem: Problem, rank: int) -> int:
    """Rank of the compressed matrix, or 0 where compression gains too little or cells are hidden."""
    n_features, n_samples = problem.shape
    width = 2 * rank + 20
    cost = problem.V.nnz * 4 if sparse.issparse(problem.V) else n_features * n_samples
    worthwhile = cost >= COMPRESSION_GAIN * width * (n_features + n_samples)
    return width if worthwhile and problem.hidden is None else 0


def _projected_gradient(
    products: Products, W: Floats, H: Floats, hidden: HiddenCells | None
) -> NDArray[np.float64]:
    """√(‖min(W, ∇_W)‖² + ‖min(H, ∇_H)‖²) of norm-balanced factors, 0 at a stationary point."""
    norms = [np.sqrt(np.einsum("skn,skn->sk", f, f, dtype=np.float64)) for f in (W, H)]
    with np.errstate(divide="ignore", invalid="ignore"):
        balance = np.sqrt(norms[1] / norms[0])
    balance = np.where(np.isfinite(balance) & (balance > 0), balance, 1).astype(W.dtype)[..., None]
    W, H = W * balance, H / balance
    rhs_W, rhs_H = products.with_samples(H), products.with_features(W)
    if hidden:
        rhs_W, rhs_H = hidden.impute_features(rhs_W, W, H), hidden.impute_samples(rhs_H, W, H)
    slack_W = np.minimum(W, gram(H) @ W - rhs_W)
    slack_H = np.minimum(H, gram(W) @ H - rhs_H)
    squares = [np.einsum("skn,skn->s", f, f, dtype=np.float64) for f in (slack_W, slack_H)]
    return np.asarray(np.sqrt(squares[0] + squares[1]))


def _join(
    rough: list[NDArray[np.float64]], n_rough: NDArray[np.int64], fine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Trace of both phases, each run's second part following its first without a gap."""
    if not rough:
        return fine
    trace = np.full((len(fine), rough[0].shape[1] + fine.shape[1]), np.nan)
    trace[:, : rough[0].shape[1]] = rough[0]
    for row, first, part in zip(trace, n_rough, fine, strict=True):
        row[first : first + len(part)] = part
    return trace
