"""A batch of runs at one rank: many random starts of the same factorisation."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from nmfcore.blas_threads import one_blas_thread
from nmfcore.errors import InputError
from nmfcore.groups import Groups
from nmfcore.norms import column_norms
from nmfcore.problem import Problem, pose
from nmfcore.runs import Runs, Status
from nmfcore.solvers.alternating import Updates, iterate_H, kkt_residual
from nmfcore.solvers.penalties import Penalties
from nmfcore.solvers.registry import Solver, choose_solver, solve_batch
from nmfcore.solvers.starts import make_starts

Floats = NDArray[np.floating]


@one_blas_thread
def factorize(
    V: ArrayLike,
    rank: int,
    seeds: Iterable[int] = range(50),
    root_seed: int = 0,
    loss: str | float = "frobenius",
    max_iter: int = 2000,
    tol: float = 1e-6,
    *,
    observed: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    ceiling: float | None = None,
    penalties: Penalties | None = None,
    solver: str = "auto",
    start: str = "random",
    dtype: str = "float32",
    device: str = "cpu",
    threads: int = 1,
) -> Runs:
    """Factorise V ≈ W H from many random starts, all solved together.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
        Nonnegative. Worked on dense or as CSR, whichever is faster for its share of nonzeros, however it is given.
    rank : int
        Number of components; may exceed both dimensions of V.
    seeds : iterable of int
        Indices of the random starts; the stream of each is ``SeedSequence([root_seed, rank, seed])``.
    root_seed : int
    loss : {"frobenius", "kullback-leibler", "itakura-saito"} or float
        ½‖V − WH‖², Σ v log(v/wh) − v + wh, Σ v/wh − log(v/wh) − 1; or the β of a β-divergence.
    max_iter : int
        Iterations of a run at most, those of rough phases counted in.
    tol : float
        A run has converged when its objective falls by less than this share of itself in five iterations; two at
        that rate are enough after rough iterations.
    observed : (n_features, n_samples) array_like of bool, optional
        False where a cell must not influence the fit.
    weights : (n_features, n_samples) array_like, optional
        In [0, 1]: how much each cell counts.
    ceiling : float, optional
        Where cells are hidden or weighted: no component makes more of a cell than so many times the largest that is
        seen. Of cells that are missing at random, with more components than V has parts, some run away without one
        (docs/theory.md); where it is the large cells that are missing, it would spoil the fit of what is seen.
    penalties : Penalties, optional
        L1 and L2 penalties, safe from rescaling.
    solver : {"auto", "hals", "cd", "mu"}
        'auto' takes the fastest that takes the problem: hals for Frobenius, cd for Kullback–Leibler, else mu.
    start : {"random", "columns", "nndsvd", "nndsvda", "nndsvdar"}
        See `nmfcore.solvers.starts`.
    dtype : {"float32", "float64"}
        Working precision. Losses are recomputed in float64 in either case.
    device : {"cpu", "auto", "cuda"}
        Where the batch is iterated. A graphics card needs PyTorch; it takes the Frobenius loss without hidden cells and
        penalties, and 'auto' takes it where it can. Its results differ from the processor's by rounding.
    threads : int
        Groups of ten seeds that are solved at the same time; changes no bit. BLAS has one thread meanwhile.

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
    problem = pose(V, observed, loss, dtype, weights, penalties, ceiling=ceiling)
    (rank,) = _whole("rank", [rank], least=1)
    (root_seed,) = _whole("root_seed", [root_seed], least=0)
    (threads,) = _whole("threads", [threads], least=1)
    indices = _whole("seeds", seeds, least=0)
    W, H = make_starts(problem, rank, indices, root_seed, start)
    chosen = choose_solver(problem, solver, device)
    return _solve(problem, W, H, np.array(indices), max_iter, tol, chosen, threads)


@one_blas_thread
def factorize_from(
    V: ArrayLike,
    W: ArrayLike,
    H: ArrayLike,
    loss: str | float = "frobenius",
    max_iter: int = 2000,
    tol: float = 1e-8,
    *,
    observed: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    penalties: Penalties | None = None,
    solver: str = "auto",
    dtype: str = "float64",
) -> Runs:
    """Factorise from a given start: a batch of one run, whose seed is 0.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    W : (n_features, rank) array_like
    H : (rank, n_samples) array_like
    loss, max_iter, tol, observed, weights, penalties, solver, dtype
        See `factorize`.
    """
    problem = pose(V, observed, loss, dtype, weights, penalties)
    W_start, H_start = _start_at_scale(problem, np.asarray(W, float), np.asarray(H, float))
    seeds = np.zeros(1, np.int64)
    chosen = choose_solver(problem, solver)
    return _solve(problem, W_start, H_start, seeds, max_iter, tol, chosen, near=True)


@dataclass(frozen=True)
class Transformed:
    """Coefficients of samples for a fixed basis.

    Attributes
    ----------
    H : (rank, n_samples) ndarray
    loss : float
        Over all samples, recomputed in float64.
    relative_error : (n_samples,) ndarray of float64
        Of every sample: ‖v − Wh‖ / ‖v‖ over its observed cells, for every loss; NaN for a sample of zeros.
    n_iter : int
    status : Status
    """

    H: Floats
    loss: float
    relative_error: NDArray[np.float64]
    n_iter: int
    status: Status


@one_blas_thread
def transform(
    V: ArrayLike,
    W: ArrayLike,
    loss: str | float = "frobenius",
    max_iter: int = 2000,
    tol: float = 1e-8,
    *,
    observed: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    penalties: Penalties | None = None,
    solver: str = "auto",
    dtype: str = "float64",
) -> Transformed:
    """Coefficients of new samples for a fixed W: argmin over H ≥ 0 of the loss, which is convex for β ≥ 1.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
        New samples, with the features of `W`.
    W : (n_features, rank) array_like
    loss, max_iter, tol, observed, weights, penalties, solver, dtype
        See `factorize`.

    Returns
    -------
    Transformed

    Raises
    ------
    InputError
        If V or a choice cannot be used, or W has other features.
    """
    basis = np.asarray(W, np.float64)
    problem = pose(V, observed, loss, dtype, weights, penalties, by_blocks=False)
    if basis.ndim != 2 or basis.shape[0] != problem.shape[0]:
        raise InputError(f"W has shape {basis.shape}, but V has {problem.shape[0]} features.")
    # The start is the mean of V in every sample; the problem is convex, so nothing depends on it.
    W_fixed = np.ascontiguousarray(basis.T.astype(problem.dtype)[None])
    mass = max(float(basis.mean(axis=0).sum()), float(np.finfo(np.float32).tiny))
    H = np.full((1, basis.shape[1], problem.shape[1]), problem.mean / mass, problem.dtype)
    updates = choose_solver(problem, solver).updates(problem)
    fit = iterate_H(updates, W_fixed, H, max_iter, tol)
    loss_value = float(problem.losses(W_fixed, fit.H)[0])
    finite = bool(np.isfinite(fit.H).all() and np.isfinite(loss_value))
    status = Status.MAX_ITER if not fit.converged[0] else Status.CONVERGED
    H_given = np.ldexp(fit.H[0].astype(np.float64), 2 * problem.exponent)
    return Transformed(
        H=H_given.astype(problem.dtype) if abs(problem.exponent) < 30 else H_given,
        loss=float(problem.in_units(np.array(loss_value))),
        relative_error=_errors_by_sample(problem, W_fixed[0], fit.H[0]),
        n_iter=int(fit.n_iter[0]),
        status=status if finite else Status.NON_FINITE,
    )


def _solve(
    problem: Problem,
    W: Floats,
    H: Floats,
    seeds: NDArray[np.int64],
    max_iter: int,
    tol: float,
    chosen: Solver,
    threads: int = 1,
    near: bool = False,
) -> Runs:
    """Runs from their starts, with what is known of each at its end."""
    if max_iter < 0 or not tol >= 0:
        raise InputError("max_iter and tol must be numbers of at least 0.")
    started = perf_counter()
    updates = chosen.updates(problem)
    groups = Groups.of(seeds, threads)
    fit = solve_batch(chosen, problem, updates, W, H, max_iter, tol, groups, near)
    losses = problem.losses(fit.W, fit.H, groups)
    at_start, at_end = (
        np.concatenate(groups.map(partial(_kkt_residual, updates, *factors)))
        for factors in ((W, H), (fit.W, fit.H))
    )
    finite = np.isfinite(losses) & _alive(problem, fit.W, fit.H)
    status = np.where(
        ~finite, Status.NON_FINITE, np.where(fit.converged, Status.CONVERGED, Status.MAX_ITER)
    )
    null = problem.null_loss
    return Runs(
        rank=W.shape[1],
        seeds=seeds,
        W=np.ascontiguousarray(_in_units(fit.W, problem.exponent).transpose(0, 2, 1)),
        H=_in_units(fit.H, problem.exponent),
        # Out of float64's range only for entries of V beyond 1e±75 or so; relative errors still hold there.
        loss=problem.in_units(losses),
        relative_error=np.sqrt(losses / null) if null > 0 else np.zeros(len(seeds)),
        kkt_residual=at_end / np.maximum(at_start, np.finfo(float).tiny),
        n_iter=fit.n_iter,
        status=status.astype(np.str_),
        trace=problem.in_units(fit.trace),
        seconds=(perf_counter() - started) * fit.n_iter / max(int(fit.n_iter.sum()), 1),
        loss_name=problem.loss,
        solver=fit.description,
    )


def _kkt_residual(updates: Updates, W: Floats, H: Floats, part: slice) -> NDArray[np.float64]:
    return kkt_residual(updates, W[part], H[part])


def _whole(name: str, numbers: Iterable[Any], least: int) -> list[int]:
    """Whole numbers of at least `least`, as ints."""
    try:
        given = list(numbers)
        whole = [operator.index(number) for number in given]
    except TypeError:
        raise InputError(f"{name}: whole numbers are needed, not {numbers!r}.") from None
    if not whole or min(whole) < least:
        raise InputError(f"{name}: one or more numbers of at least {least} are needed.")
    return whole


def _start_at_scale(
    problem: Problem, W: NDArray[np.float64], H: NDArray[np.float64]
) -> tuple[Floats, Floats]:
    """A given start as a batch of one, at the scale of the problem and with balanced norms."""
    n_features, n_samples = problem.shape
    if W.ndim != 2 or W.shape[0] != n_features or H.shape != (W.shape[1], n_samples):
        raise InputError(
            f"A start W {W.shape}, H {H.shape} does not fit V {problem.shape}: W (n_features, rank) and "
            "H (rank, n_samples) are needed."
        )
    for name, factor in (("W", W), ("H", H)):
        if not np.isfinite(factor).all() or factor.min() < 0:
            raise InputError(f"The start {name} must be finite and nonnegative.")
    sizes = [column_norms(W), column_norms(H.T)]
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.rint((np.log2(sizes[1]) - np.log2(sizes[0])) / 2)
    # Powers of 2, so that balancing rounds nothing.
    shift = np.where(np.isfinite(shift), shift, 0).astype(int)
    W_scaled = np.ldexp(W, shift - problem.exponent).T
    H_scaled = np.ldexp(H.T, -shift - problem.exponent).T
    return tuple(np.ascontiguousarray(f.astype(problem.dtype)[None]) for f in (W_scaled, H_scaled))  # type: ignore[return-value]


def _in_units(factor: Floats, exponent: int) -> Floats:
    """Factor times 2^exponent, in float64 where float32 would not hold it."""
    if factor.dtype == np.float32 and abs(exponent) > 60:
        factor = factor.astype(np.float64)
    moved: Floats = np.ldexp(factor, exponent)
    return moved


def _alive(problem: Problem, W: Floats, H: Floats) -> NDArray[np.bool_]:
    """Whether a fit is finite, and not all zero where V is not."""
    empty = problem.mean == 0
    return np.array(
        [
            bool(np.isfinite(w).all() and np.isfinite(h).all() and (empty or (w.any() and h.any())))
            for w, h in zip(W, H, strict=True)
        ]
    )


def _errors_by_sample(problem: Problem, W: Floats, H: Floats) -> NDArray[np.float64]:
    """Relative Euclidean error of every sample over the cells that count."""
    errors = np.full(problem.shape[1], np.nan)
    exact, weights = problem.exact, problem.weights
    if sparse.issparse(exact):
        exact = exact.tocsc()
    basis = W.T.astype(np.float64)
    for first in range(0, problem.shape[1], 256):
        part = slice(first, first + 256)
        v = exact[:, part].toarray() if sparse.issparse(exact) else exact[:, part]
        weight = 1.0 if weights is None else weights[:, part]
        squares = (weight * v**2).sum(axis=0)
        residual = (weight * (v - basis @ H[:, part].astype(np.float64)) ** 2).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            errors[part] = np.sqrt(residual / squares)
    return errors
