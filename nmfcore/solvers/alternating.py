"""The iteration that all losses share: improve W, improve H, extrapolate, restart.

Each half-step improves one factor with the other fixed. Between half-steps the factors are extrapolated (Ang &
Gillis 2019); where that raised the objective, the step is taken back and followed by a plain one, which cannot raise
it (Frobenius, multiplicative updates) or all but never does (Kullback–Leibler coordinate descent). Runs leave the batch
as they converge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nmfcore.norms import batch_norms
from nmfcore.solvers.arrays import Arrays, Factor
from nmfcore.solvers.ceiling import highest

Floats = NDArray[np.floating]

WINDOW = 5
"""Iterations over which the decrease of the objective is judged."""

_BALANCE_EVERY = 10
_LOPSIDED = 4
"""Powers of 2 between the norms of a component and its coefficients, either way, from which they are balanced."""

_ROUNDING = 100
"""A rise of the objective by so many times its resolution may still be rounding."""

_FIRST_STEP, _GROWTH, _CAP_GROWTH, _SHRINK = 0.5, 1.05, 1.01, 1.5  # Ang & Gillis 2019, section 3


class Updates(Protocol):
    """Half-steps of a loss for a batch: `W` is (n_runs, rank, n_features), `H` (n_runs, rank, n_samples)."""

    arrays: Arrays
    """Where the factors of the half-steps are."""
    keep: float
    """Share of an entry that extrapolation leaves at least; above 0 where a cell with WH = 0 costs infinitely much."""
    ceiling: float
    """What a component may make of a cell; see `nmfcore.solvers.ceiling`."""
    resolution: float
    """What rounding alone moves the measured objective by: below it no decrease can be seen."""

    def improve_W(self, W: Factor, H: Factor, out: Factor) -> None:
        """Write a better W to `out`, H being fixed."""
        ...

    def improve_H(self, W: Factor, H: Factor, out: Factor) -> NDArray[np.float64]:
        """Write a better H to `out`, W being fixed; return the objective of every run at (W, out)."""
        ...

    def gradients(self, W: Floats, H: Floats) -> tuple[Floats, Floats]:
        """Gradients of the objective with respect to W and H; all on the host."""
        ...


@dataclass(frozen=True)
class Iterated:
    """Factors at the end of an iteration and how they got there.

    Attributes
    ----------
    W : (n_runs, rank, n_features) ndarray
    H : (n_runs, rank, n_samples) ndarray
    trace : (n_runs, n_iterations) ndarray of float64
        Objective after each iteration; NaN past a run's end. Its last entry is that of (W, H).
    n_iter : (n_runs,) ndarray of int
    converged : (n_runs,) ndarray of bool
    """

    W: Floats
    H: Floats
    trace: NDArray[np.float64]
    n_iter: NDArray[np.int64]
    converged: NDArray[np.bool_]


def iterate(
    updates: Updates,
    W: Floats,
    H: Floats,
    max_iter: int | NDArray[np.int64],
    tol: float,
    first_window: int = WINDOW,
) -> Iterated:
    """Iterate until the objective of each run falls by less than `tol` of itself in `WINDOW` iterations.

    Parameters
    ----------
    updates : Updates
    W, H : (n_runs, rank, n_features), (n_runs, rank, n_samples) ndarray
        Starts; not changed.
    max_iter : int or (n_runs,) ndarray of int
        Of every run, or of each.
    tol : float
    first_window : int
        Iterations after which the decrease is judged at first, by as much less as they are fewer than `WINDOW`.
    """
    n_runs = len(W)
    budget = np.broadcast_to(max_iter, n_runs)
    arrays = updates.arrays
    final_W, final_H = np.array(W), np.array(H)
    trace = np.full((n_runs, int(budget.max())), np.nan)
    n_iter = np.zeros(n_runs, np.int64)
    converged = np.zeros(n_runs, bool)
    batch = _Batch(arrays, W, H)
    active = np.arange(n_runs)
    for iteration in range(trace.shape[1]):
        if iteration % _BALANCE_EVERY == 0:
            batch.balance()
        trace[active, iteration] = objective = batch.advance(updates)
        finite = np.isfinite(objective)
        stopped = ~finite
        if iteration >= first_window:
            window = min(iteration, WINDOW)
            decrease = trace[active, iteration - window] - objective
            enough = tol * window / WINDOW * objective
            if window == WINDOW:
                stopped |= decrease <= np.maximum(enough, updates.resolution)
            else:  # of less than rounding shows, a few iterations say nothing
                stopped |= (decrease <= enough) & (enough > updates.resolution)
        leaving = stopped | (iteration + 1 >= budget[active])
        if leaving.any():
            runs = active[leaving]
            final_W[runs], final_H[runs] = (
                arrays.get(arrays.take(factor, leaving)) for factor in (batch.W, batch.H)
            )
            n_iter[runs] = iteration + 1
            converged[runs] = (stopped & finite)[leaving]
            active = active[~leaving]
            if not active.size:
                break
            batch.keep(~leaving)
    return Iterated(final_W, final_H, trace[:, : int(n_iter.max())], n_iter, converged)


def iterate_H(updates: Updates, W: Floats, H: Floats, max_iter: int, tol: float) -> Iterated:
    """Like `iterate` for a batch of one with W fixed."""
    arrays = updates.arrays
    fixed, current = arrays.put(W), arrays.put(H)
    trace: list[float] = []
    converged = False
    while len(trace) < max_iter and not converged:
        better = arrays.empty_like(current)
        objective = float(updates.improve_H(fixed, current, better)[0])
        current = better
        trace.append(objective)
        if not np.isfinite(objective):
            break
        if len(trace) > WINDOW:
            decrease = trace[-1 - WINDOW] - objective
            converged = decrease <= max(tol * objective, updates.resolution)
    return Iterated(
        W, arrays.get(current), np.array([trace]), np.array([len(trace)]), np.array([converged])
    )


def kkt_residual(updates: Updates, W: Floats, H: Floats) -> NDArray[np.float64]:
    """√(‖min(W, ∇_W)‖² + ‖min(H, ∇_H)‖²) of norm-balanced factors: 0 at a stationary point.

    Where the ceiling keeps an entry from growing, what is left to it takes the place of the gradient.
    """
    norms = [batch_norms(factor) for factor in (W, H)]
    with np.errstate(divide="ignore", invalid="ignore"):
        balance = np.sqrt(norms[1] / norms[0])
    balance = np.where(np.isfinite(balance) & (balance > 0), balance, 1).astype(W.dtype)[..., None]
    factors = W * balance, H / balance
    tops = [highest(other, updates.ceiling)[..., None] for other in reversed(factors)]
    slack = [
        np.maximum(np.minimum(f, g), f - top)
        for f, g, top in zip(factors, updates.gradients(*factors), tops, strict=True)
    ]
    squares = [np.einsum("skn,skn->s", f, f, dtype=np.float64) for f in slack]
    return np.asarray(np.sqrt(squares[0] + squares[1]))


_FACTORS = ("W", "H", "swept_W", "swept_H", "ahead_W", "ahead_H", "new_W", "new_H")
_OF_RUNS = ("best", "step", "cap", "plain")


class _Batch:
    """The runs still iterating: accepted factors, what the half-steps gave last, what lies ahead of it."""

    def __init__(self, arrays: Arrays, W: Floats, H: Floats) -> None:
        n_runs = len(W)
        self.arrays = arrays
        self.W, self.H = arrays.put(W), arrays.put(H)  # accepted: `best` is measured here
        self.swept_W, self.swept_H = arrays.put(W), arrays.put(H)
        self.ahead_W, self.ahead_H = arrays.put(W), arrays.put(H)
        self.new_W, self.new_H = arrays.empty_like(self.W), arrays.empty_like(self.H)
        self.dtype = W.dtype
        self.best = np.full(n_runs, np.inf)
        self.step = np.full(n_runs, _FIRST_STEP)
        self.cap = np.ones(n_runs)
        self.plain = np.ones(n_runs, bool)  # the next step is not extrapolated

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Go on with some of the runs."""
        for name in _FACTORS:
            setattr(self, name, self.arrays.take(getattr(self, name), kept))
        for name in _OF_RUNS:
            setattr(self, name, getattr(self, name)[kept])

    def balance(self) -> None:
        """Keep the norms of W and H together: extrapolation lets the split of scale drift, without limit.

        Powers of 2 change no digit of a factor, and no update depends on the split.
        """
        norms = [self.arrays.norms(factor) for factor in (self.W, self.H)]
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = np.rint((np.log2(norms[1]) - np.log2(norms[0])) / 2)
        shift = np.where(np.isfinite(shift) & (np.abs(shift) >= _LOPSIDED), shift, 0).astype(int)
        if shift.any():
            for factors, powers in (
                ((self.W, self.ahead_W, self.swept_W), shift),
                ((self.H, self.ahead_H, self.swept_H), -shift),
            ):
                for factor in factors:
                    self.arrays.scale(factor, powers)

    def advance(self, updates: Updates) -> NDArray[np.float64]:
        """One iteration; returns the objective of the accepted factors."""
        step = np.where(self.plain, 0, self.step).astype(self.dtype)
        updates.improve_W(self.W, self.ahead_H, self.new_W)
        self.arrays.extrapolate(self.new_W, self.swept_W, step, updates.keep, self.ahead_W)
        objective = updates.improve_H(self.ahead_W, self.ahead_H, self.new_H)
        worse = ~(objective <= self.best) & ~self.plain
        self.arrays.extrapolate(self.new_H, self.swept_H, step, updates.keep, self.ahead_H)
        self.W, self.ahead_W = self.ahead_W, self.W
        self.swept_W, self.new_W = self.new_W, self.swept_W
        self.swept_H, self.new_H = self.new_H, self.swept_H
        if worse.any():
            for into, source in (
                (self.W, self.ahead_W),
                (self.swept_W, self.ahead_W),
                (self.swept_H, self.H),
                (self.ahead_H, self.H),
            ):
                self.arrays.restore(into, source, worse)
        self.arrays.copy(self.H, self.swept_H)
        # What is within rounding of the best is no rise. A plain step that rises by more is rare (Kullback–Leibler
        # steps are exact to second order only), and is not hidden.
        settled = objective <= self.best + _ROUNDING * updates.resolution
        accepted = np.where(settled | worse, np.fmin(objective, self.best), objective)
        self.best = np.where(np.isinf(self.best), objective, accepted)
        self._adapt(worse)
        return self.best.copy()

    def _adapt(self, worse: NDArray[np.bool_]) -> None:
        self.cap[worse] = self.step[worse]
        self.step[worse] /= _SHRINK
        growing = ~worse & ~self.plain
        self.step[growing] = np.minimum(self.cap, _GROWTH * self.step)[growing]
        self.cap[growing] = np.minimum(1, _CAP_GROWTH * self.cap)[growing]
        self.plain = worse
