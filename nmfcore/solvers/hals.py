"""Frobenius: hierarchical alternating least squares, extrapolated, a batch of runs at a time.

Sweeps of exact coordinate descent (Cichocki & Phan 2009; several per product, Gillis & Glineur 2012) with
extrapolation and restart (Ang & Gillis 2019): a step that raises the loss is taken back and followed by a plain one,
which cannot raise it. Runs leave the batch as they converge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmfcore.solvers.kernels import extrapolate, inner_products, sweep
from nmfcore.solvers.products import HiddenCells, Products

Floats = NDArray[np.floating]

SWEEPS_PER_PRODUCT = 2
WINDOW = 5
"""Iterations over which the decrease of the loss is judged."""

_FIRST_STEP, _GROWTH, _CAP_GROWTH, _SHRINK = 0.5, 1.05, 1.01, 1.5  # Ang & Gillis 2019, section 3


@dataclass(frozen=True)
class Iterated:
    """Factors at the end of an iteration and how they got there.

    Attributes
    ----------
    W : (n_runs, rank, n_features) ndarray
    H : (n_runs, rank, n_samples) ndarray
    trace : (n_runs, n_iterations) ndarray of float64
        Loss ½‖V − WH‖² after each iteration, NaN past a run's end.
    n_iter : (n_runs,) ndarray of int
    converged : (n_runs,) ndarray of bool
    """

    W: Floats
    H: Floats
    trace: NDArray[np.float64]
    n_iter: NDArray[np.int64]
    converged: NDArray[np.bool_]


def iterate(
    products: Products,
    W: Floats,
    H: Floats,
    max_iter: int,
    tol: float,
    hidden: HiddenCells | None = None,
) -> Iterated:
    """Iterate until the loss of each run falls by less than `tol` of itself in `WINDOW` iterations.

    Parameters
    ----------
    products : Products
    W, H : (n_runs, rank, n_features), (n_runs, rank, n_samples) ndarray
        Starts; not changed.
    max_iter : int
    tol : float
    hidden : HiddenCells, optional
        Cells to leave out of the fit.
    """
    n_runs = len(W)
    final_W, final_H = np.array(W), np.array(H)
    trace = np.full((n_runs, max_iter), np.nan)
    n_iter = np.zeros(n_runs, np.int64)
    converged = np.zeros(n_runs, bool)
    # What rounding alone moves the measured loss by: below it no decrease can be seen.
    floor = 0.5 * products.squared_norm * float(np.finfo(W.dtype).eps) * 0.05

    batch = _Batch(final_W.copy(), final_H.copy())
    active = np.arange(n_runs)
    for iteration in range(max_iter):
        trace[active, iteration] = loss = batch.advance(products, hidden)
        finite = np.isfinite(loss)
        stopped = ~finite
        if iteration >= WINDOW:
            decrease = trace[active, iteration - WINDOW] - loss
            stopped |= decrease <= np.maximum(tol * loss, floor)
        leaving = stopped | (iteration + 1 == max_iter)
        if leaving.any():
            runs = active[leaving]
            final_W[runs], final_H[runs] = batch.W[leaving], batch.H[leaving]
            n_iter[runs] = iteration + 1
            converged[runs] = (stopped & finite)[leaving]
            active = active[~leaving]
            if not active.size:
                break
            batch.keep(~leaving)
    return Iterated(final_W, final_H, trace[:, : n_iter.max()], n_iter, converged)


class _Batch:
    """The runs still iterating: accepted factors, what extrapolation remembers, step sizes."""

    def __init__(self, W: Floats, H: Floats) -> None:
        n_runs = len(W)
        self.W, self.H = W, H  # accepted: `best` is measured here
        self.swept_W, self.swept_H = W.copy(), H.copy()  # last results of the sweeps
        self.ahead_H = H.copy()  # extrapolated
        self.new_W, self.new_H, self.candidate_W = (np.empty_like(f) for f in (W, H, W))
        self.best = np.full(n_runs, np.inf)
        self.step = np.full(n_runs, _FIRST_STEP)
        self.cap = np.ones(n_runs)
        self.plain = np.ones(n_runs, bool)  # the next step is not extrapolated

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Go on with some of the runs."""
        for name, value in vars(self).items():
            setattr(self, name, value[kept])

    def advance(self, products: Products, hidden: HiddenCells | None) -> NDArray[np.float64]:
        """One iteration; returns the loss of the accepted factors."""
        step = np.where(self.plain, 0, self.step).astype(self.W.dtype)

        rhs = products.with_samples(self.ahead_H)
        if hidden:
            rhs = hidden.impute_features(rhs, self.W, self.ahead_H)
        sweep(self.W, rhs, gram(self.ahead_H), SWEEPS_PER_PRODUCT, self.new_W)
        extrapolate(self.new_W, self.swept_W, step, self.candidate_W)

        visible = products.with_features(self.candidate_W)
        rhs = hidden.impute_samples(visible, self.candidate_W, self.ahead_H) if hidden else visible
        gram_W = gram(self.candidate_W)
        sweep(self.ahead_H, rhs, gram_W, SWEEPS_PER_PRODUCT, self.new_H)

        loss = 0.5 * (
            products.squared_norm
            - 2 * inner_products(visible, self.new_H)
            + inner_products(gram_W, gram(self.new_H))
            - (hidden.squares(self.candidate_W, self.new_H) if hidden else 0)
        )
        self._accept_or_restart(loss, step)
        return self.best.copy()

    def _accept_or_restart(self, loss: NDArray[np.float64], step: Floats) -> None:
        # A plain step cannot raise the loss; where rounding says so, it is taken all the same or runs would hang.
        worse = (loss > self.best) & ~self.plain
        better = ~worse
        extrapolate(self.new_H, self.swept_H, step, self.ahead_H)
        self.W, self.candidate_W = self.candidate_W, self.W
        self.swept_W, self.new_W = self.new_W, self.swept_W
        previous_H, self.swept_H, self.new_H = self.H, self.new_H, self.swept_H
        self.H = self.swept_H
        if worse.any():
            self.W[worse] = self.swept_W[worse] = self.candidate_W[worse]
            self.H = self.H.copy()
            self.H[worse] = previous_H[worse]
            self.swept_H[worse] = self.ahead_H[worse] = previous_H[worse]
        self.best[better] = np.where(self.plain, np.minimum(loss, self.best), loss)[better]
        self.cap[worse] = self.step[worse]
        self.step[worse] /= _SHRINK
        growing = better & ~self.plain
        self.step[growing] = np.minimum(self.cap, _GROWTH * self.step)[growing]
        self.cap[growing] = np.minimum(1, _CAP_GROWTH * self.cap)[growing]
        self.plain = worse


def gram(factor: Floats) -> Floats:
    """Gram matrices of the components of every run, (n_runs, rank, rank)."""
    result: Floats = factor @ factor.transpose(0, 2, 1)
    return result
