"""Rough iterations: they bring a batch near a solution for less than iterations on V itself cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.block_matrix import BlockMatrix
from nmfcore.limits import EXCERPT_SHARE
from nmfcore.problem import Problem
from nmfcore.solvers.alternating import WINDOW, Iterated, Updates, iterate

Floats = NDArray[np.floating]

ROUGH_SHARE = 3, 4
"""Of the iterations that a run may still make, those that a rough phase may make."""
SETTLED_WINDOW = 2
"""Iterations that show whether earlier phases left anything to do; starts need `WINDOW`."""

EXCERPT_CELLS_MIN = 2**14
"""Cells of an excerpt at least: fewer say too little of V, and iterations on them cost hardly less."""
KEPT_PER_COMPONENT = 10
"""Features, or samples, that an excerpt has for each component at least."""
COVERED_MIN = 2 / 3
"""Share that an excerpt holds at least of what each sample (feature) has: of what it hardly sees, it says nothing, and
runs that it leads astray there may not come back."""
EXCERPT_TOL, EXCERPT_TOL_MIN = 0.1, 1e-4
"""Tolerance of the iterations on an excerpt, times the square of the share of V that it leaves out, and at least: its
minimum is not that of the problem, and the less it leaves out the nearer they are."""
FITTING_STEPS = 2
"""Half-steps that fit what an excerpt left out to the factor that it settled."""


class Phase(Protocol):
    """Iterations on something in place of V."""

    def iterate(
        self,
        whole: Updates,
        W: Floats,
        H: Floats,
        max_iter: NDArray[np.int64],
        tol: float,
        first_window: int,
    ) -> Iterated:
        """Iterate as `nmfcore.solvers.alternating.iterate` does; `whole` are the half-steps on V itself."""
        ...


@dataclass(frozen=True)
class StandIn:
    """A matrix in place of V.

    Attributes
    ----------
    updates : Updates
        Half-steps on it.
    tol_min : float
        Where its minimum is not that of the problem, it is no use coming nearer than this.
    """

    updates: Updates
    tol_min: float = 0.0

    def iterate(
        self,
        whole: Updates,
        W: Floats,
        H: Floats,
        max_iter: NDArray[np.int64],
        tol: float,
        first_window: int,
    ) -> Iterated:
        """See `Phase`."""
        return iterate(self.updates, W, H, max_iter, max(tol, self.tol_min), first_window)


@dataclass(frozen=True)
class Excerpt:
    """The features, or samples, that hold most of V: they all but settle the other factor.

    Attributes
    ----------
    phases : sequence of Phase
        What comes before the iterations on them.
    updates : Updates
        Half-steps on them.
    kept : (n_kept,) ndarray of int
        Their places, ascending.
    of_features : bool
        Whether they are features.
    tol_min : float
        See `StandIn`.
    """

    phases: Sequence[Phase]
    updates: Updates
    kept: NDArray[np.intp]
    of_features: bool
    tol_min: float

    def iterate(
        self,
        whole: Updates,
        W: Floats,
        H: Floats,
        max_iter: NDArray[np.int64],
        tol: float,
        first_window: int,
    ) -> Iterated:
        """See `Phase`; at the end, the rest of the factor is fitted to the other one."""
        long, other = (W, H) if self.of_features else (H, W)
        W, H = self._in_order(np.ascontiguousarray(long[..., self.kept]), other)
        tol = max(tol, self.tol_min)
        found = iterate_in_phases(self.phases, self.updates, W, H, max_iter, tol, first_window)
        better, other = self._in_order(found.W, found.H)
        joined = long.copy()
        joined[..., self.kept] = better
        W, H = self._in_order(self._fitted(whole, joined, other), other)
        return replace(found, W=W, H=H)

    def _in_order(self, first: Floats, second: Floats) -> tuple[Floats, Floats]:
        """W and H from the factor that the excerpt is of and the other one, and back."""
        return (first, second) if self.of_features else (second, first)

    def _fitted(self, whole: Updates, moving: Floats, fixed: Floats) -> Floats:
        arrays = whole.arrays
        fixed, moving = arrays.put(fixed), arrays.put(moving)
        for _ in range(FITTING_STEPS):
            better = arrays.empty_like(moving)
            if self.of_features:
                whole.improve_W(moving, fixed, better)
            else:
                whole.improve_H(fixed, moving, better)
            moving = better
        return arrays.get(moving)


def iterate_in_phases(
    phases: Sequence[Phase],
    updates: Updates,
    W: Floats,
    H: Floats,
    max_iter: int | NDArray[np.int64],
    tol: float,
    first_window: int = WINDOW,
) -> Iterated:
    """Like `iterate`, after rough phases.

    The objective of a rough phase is that of something else than V. Moved to end where the next one begins, it
    estimates that of V, and a run's trace goes on without a step.
    """
    left = np.array(np.broadcast_to(max_iter, len(W)))
    ends: list[Iterated] = []
    for phase in phases:
        budget = left * ROUGH_SHARE[0] // ROUGH_SHARE[1]
        if budget.min() < 1:
            continue
        ends.append(phase.iterate(updates, W, H, budget, tol, first_window))
        W, H, left = ends[-1].W, ends[-1].H, left - ends[-1].n_iter
        first_window = SETTLED_WINDOW
    ends.append(iterate(updates, W, H, left, tol, first_window))
    return ends[0] if len(ends) == 1 else _in_sequence(ends)


def _in_sequence(ends: Sequence[Iterated]) -> Iterated:
    n_iter = np.sum([end.n_iter for end in ends], axis=0)
    trace = np.full((len(n_iter), int(n_iter.max())), np.nan)
    for run, row in enumerate(trace):
        first = n_iter[run]
        goes_on_at = np.nan
        for end in reversed(ends):
            part = end.trace[run, : end.n_iter[run]]
            if np.isfinite(goes_on_at - part[-1]):
                part = (part - part[-1]) + goes_on_at
            row[first - len(part) : first] = part
            first -= len(part)
            goes_on_at = row[first]
    return replace(ends[-1], trace=trace, n_iter=n_iter)


@dataclass(frozen=True)
class Part:
    """The part of a problem that makes an `Excerpt`; attributes as there."""

    problem: Problem
    kept: NDArray[np.intp]
    of_features: bool
    tol_min: float


def main_part(problem: Problem, rank: int) -> Part | None:
    """Return the features, or samples, that hold most of V, None where that gains nothing.

    Of the longer side of V, it has those that hold most: of the sum for Kullback–Leibler, of the sum of squares for
    Frobenius; weights are in V already.
    """
    # Penalties would weigh more in it: its coefficients are those of the whole, and its loss is less.
    if problem.penalties or isinstance(problem.V, BlockMatrix):
        return None
    of_features = problem.shape[0] >= problem.shape[1]
    n_kept = max(problem.shape) // EXCERPT_SHARE
    if n_kept * min(problem.shape) < EXCERPT_CELLS_MIN or n_kept < KEPT_PER_COMPONENT * rank:
        return None
    by_kept = problem.V if of_features else problem.V.T
    held = _powers(by_kept, problem.beta)
    weight = _sums(held, axis=1)
    kept = np.sort(np.argsort(-weight, kind="stable")[:n_kept])
    if (_sums(held[kept], axis=0) < COVERED_MIN * _sums(held, axis=0)).any():
        return None
    left_out = 1 - weight[kept].sum() / max(weight.sum(), np.finfo(float).tiny)
    part = problem.part(kept, of_features)
    return Part(part, kept, of_features, max(EXCERPT_TOL * left_out**2, EXCERPT_TOL_MIN))


def _powers(V: Any, beta: float) -> Any:
    """v^β of every entry, as V is stored."""
    if sparse.issparse(V):
        rows = V.tocsr()
        return sparse.csr_array((rows.data**beta, rows.indices, rows.indptr), shape=rows.shape)
    return V**beta


def _sums(values: Any, axis: int) -> NDArray[np.float64]:
    return np.asarray(values.sum(axis=axis, dtype=np.float64))
