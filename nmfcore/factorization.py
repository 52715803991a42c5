"""A batch of runs at one rank: many random starts of the same factorisation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nmfcore.errors import InputError
from nmfcore.problem import Problem, pose
from nmfcore.reconstruction import frobenius_loss, run_losses, sum_of_squares
from nmfcore.solvers import solve
from nmfcore.solvers.starts import random_starts

Floats = NDArray[np.floating]


class Status(StrEnum):
    """How a run ended."""

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    NON_FINITE = "non_finite"


@dataclass(frozen=True)
class Runs:
    """Runs of one rank, by seed.

    Attributes
    ----------
    rank : int
    seeds : (n_seeds,) ndarray of int
    W : (n_seeds, n_features, rank) ndarray
        Bases, in the units of V together with `H`.
    H : (n_seeds, rank, n_samples) ndarray
        Coefficients.
    loss : (n_seeds,) ndarray of float64
        Loss recomputed in float64 from the stored factors: ½‖V − WH‖² for Frobenius.
    relative_error : (n_seeds,) ndarray of float64
        ‖V − WH‖ / ‖V‖ for Frobenius; for other losses the square root of the loss over that of the best
        rank-0 fit (the mean of V).
    kkt_residual : (n_seeds,) ndarray of float64
        √(‖min(W, ∇_W)‖² + ‖min(H, ∇_H)‖²) of norm-balanced factors, relative to the start; 0 at a stationary point.
    n_iter : (n_seeds,) ndarray of int
    status : (n_seeds,) ndarray of str
        A `Status` each.
    trace : (n_seeds, n_iterations) ndarray of float64
        Loss after each iteration as the solver saw it; NaN past a run's end.
    seconds : (n_seeds,) ndarray of float64
        A run's share of the batch's time.
    loss_name : str
    solver : str
        Name of the solver that made the runs, with what it chose.
    """

    rank: int
    seeds: NDArray[np.int64]
    W: Floats
    H: Floats
    loss: NDArray[np.float64]
    relative_error: NDArray[np.float64]
    kkt_residual: NDArray[np.float64]
    n_iter: NDArray[np.int64]
    status: NDArray[np.str_]
    trace: NDArray[np.float64]
    seconds: NDArray[np.float64]
    loss_name: str
    solver: str

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which runs may serve as evidence: the converged ones."""
        return np.asarray(self.status == Status.CONVERGED)

    @property
    def explained_variance(self) -> NDArray[np.float64] | None:
        """1 − RSS / ΣV² (uncentred) of each run; None for other losses than Frobenius."""
        return 1 - self.relative_error**2 if self.loss_name == "frobenius" else None

    def take(self, indices: NDArray[np.intp]) -> Runs:
        """Return the runs at the given positions."""
        return replace(self, **{name: getattr(self, name)[indices] for name in _PER_RUN})


_PER_RUN = tuple(
    field.name for field in fields(Runs) if field.name not in ("rank", "loss_name", "solver")
)


def concatenate_runs(batches: Sequence[Runs]) -> Runs:
    """Join batches of one rank, ordered by seed; the first of a repeated seed is kept."""
    length = max(batch.trace.shape[1] for batch in batches)
    parts: dict[str, Any] = {
        name: np.concatenate([getattr(batch, name) for batch in batches])
        for name in _PER_RUN
        if name != "trace"
    }
    parts["trace"] = np.concatenate(
        [
            np.pad(b.trace, ((0, 0), (0, length - b.trace.shape[1])), constant_values=np.nan)
            for b in batches
        ]
    )
    _, order = np.unique(parts["seeds"], return_index=True)
    return replace(batches[0], **parts).take(order)


def factorize(
    V: ArrayLike,
    rank: int,
    seeds: Iterable[int] = range(50),
    root_seed: int = 0,
    loss: str = "frobenius",
    max_iter: int = 2000,
    tol: float = 1e-6,
    *,
    observed: ArrayLike | None = None,
    dtype: str = "float32",
) -> Runs:
    """Factorise V ≈ W H from many random starts, all solved together.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
        Nonnegative. Dense input and input of many nonzeros is worked on dense, other sparse input as CSR.
    rank : int
        Number of components; may exceed both dimensions of V.
    seeds : iterable of int
        Indices of the random starts; the stream of each is ``SeedSequence([root_seed, rank, seed])``.
    root_seed : int
    loss : {"frobenius"}
        ½‖V − WH‖².
    max_iter : int
        Iterations of a run at most, those on the compressed matrix counted in.
    tol : float
        A run has converged when its loss falls by less than this share of itself in five iterations.
    observed : (n_features, n_samples) array_like of bool, optional
        False where a cell must not influence the fit.
    dtype : {"float32", "float64"}
        Working precision. Losses are recomputed in float64 in either case.

    Returns
    -------
    Runs

    Raises
    ------
    InputError
        If V or a choice cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from nmfcore import factorize
    >>> V = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 3.0]])
    >>> runs = factorize(V, rank=2, seeds=range(5))
    >>> runs.W.shape, runs.H.shape
    ((5, 3, 2), (5, 2, 3))
    >>> bool(runs.relative_error.min() < 1e-3)
    True
    """
    return factorize_problem(
        pose(V, observed, loss, dtype), rank, seeds, root_seed, max_iter=max_iter, tol=tol
    )


def factorize_problem(
    problem: Problem,
    rank: int,
    seeds: Iterable[int],
    root_seed: int = 0,
    *,
    max_iter: int = 2000,
    tol: float = 1e-6,
) -> Runs:
    """Like `factorize`, for a problem already posed."""
    indices = np.array(list(seeds), np.int64)
    if rank < 1 or not indices.size or indices.min() < 0:
        raise InputError("A rank of at least 1 and one or more seeds ≥ 0 are needed.")
    W, H = random_starts(problem, rank, indices.tolist(), root_seed)
    return _solve(problem, W, H, indices, max_iter, tol)


def factorize_from(
    V: ArrayLike,
    W: ArrayLike,
    H: ArrayLike,
    loss: str = "frobenius",
    max_iter: int = 2000,
    tol: float = 1e-8,
    *,
    observed: ArrayLike | None = None,
    dtype: str = "float64",
) -> Runs:
    """Factorise from a given start: a batch of one run, whose seed is 0.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    W : (n_features, rank) array_like
    H : (rank, n_samples) array_like
    loss, max_iter, tol, observed, dtype
        See `factorize`.
    """
    problem = pose(V, observed, loss, dtype)
    starts = [
        np.ldexp(np.asarray(factor, np.float64), -problem.exponent).astype(problem.dtype)[None]
        for factor in (np.asarray(W).T, H)
    ]
    W_start, H_start = map(np.ascontiguousarray, starts)
    return _solve(problem, W_start, H_start, np.zeros(1, np.int64), max_iter, tol)


def _solve(
    problem: Problem, W: Floats, H: Floats, seeds: NDArray[np.int64], max_iter: int, tol: float
) -> Runs:
    """Runs from their starts, with what is known of each at its end."""
    started = perf_counter()
    fit = solve(problem, W, H, max_iter, tol)
    losses = _losses(problem, fit.W, fit.H)
    null = 0.5 * sum_of_squares(problem.exact)
    finite = np.isfinite(losses) & _alive(problem, fit.W, fit.H)
    status = np.where(
        ~finite, Status.NON_FINITE, np.where(fit.converged, Status.CONVERGED, Status.MAX_ITER)
    )
    # Out of float64's range only for entries of V beyond 1e±75 or so; relative errors still hold there.
    unit = 4.0 ** (2 * problem.exponent) if abs(problem.exponent) < 250 else np.inf
    return Runs(
        rank=W.shape[1],
        seeds=seeds,
        W=np.ascontiguousarray(_in_units(fit.W, problem.exponent).transpose(0, 2, 1)),
        H=_in_units(fit.H, problem.exponent),
        loss=losses * unit,
        relative_error=np.sqrt(losses / null) if null > 0 else np.zeros(len(seeds)),
        kkt_residual=fit.kkt_residual,
        n_iter=fit.n_iter,
        status=status.astype(np.str_),
        trace=fit.trace * unit,
        seconds=(perf_counter() - started) * fit.n_iter / max(int(fit.n_iter.sum()), 1),
        loss_name=problem.loss,
        solver=fit.solver,
    )


def _in_units(factor: Floats, exponent: int) -> Floats:
    """Factor times 2^exponent, in float64 where float32 would not hold it."""
    if factor.dtype == np.float32 and abs(exponent) > 60:
        factor = factor.astype(np.float64)
    scaled: Floats = np.ldexp(factor, exponent)
    return scaled


def _alive(problem: Problem, W: Floats, H: Floats) -> NDArray[np.bool_]:
    """Whether a fit is finite, and not all zero where V is not."""
    return np.array(
        [
            np.isfinite(w).all()
            and np.isfinite(h).all()
            and bool(problem.mean == 0 or (w.any() and h.any()))
            for w, h in zip(W, H, strict=True)
        ]
    )


def _losses(problem: Problem, W: Floats, H: Floats) -> NDArray[np.float64]:
    """Loss of every run at the scale of the problem, in float64 from the factors as they are stored."""
    observed = None if problem.hidden is None else ~problem.hidden.toarray()
    return run_losses(frobenius_loss, problem.exact, W.transpose(0, 2, 1), H, observed)
