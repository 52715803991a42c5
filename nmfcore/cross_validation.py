"""Masked cross-validation: how well a rank predicts cells it has not seen (Wold 1978; Owen & Perry 2009)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from nmfcore.blas_threads import one_blas_thread
from nmfcore.blocks import in_memory, longer_side_cut, submatrix
from nmfcore.deviation import absolute_deviation
from nmfcore.errors import InputError
from nmfcore.factorization import factorize
from nmfcore.groups import in_threads
from nmfcore.limits import MAX_CELLS, MAX_HIDDEN, MAX_ROUNDS, MIN_SCORED_CELLS
from nmfcore.problem import as_values, parse_loss
from nmfcore.runs import Runs
from nmfcore.solvers.ceiling import CEILING
from nmfcore.solvers.kernels import entries_at, products_at
from nmfcore.solvers.penalties import Penalties

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]
Cells = tuple[NDArray[np.integer], NDArray[np.integer]]

_FOLD_STREAM = 0x666F6C64  # keeps the masks apart from the streams of the runs
_CUT_STREAM = 0x637574  # which rows or columns of a large matrix are looked at
_CHUNK = 2**18


@dataclass(frozen=True)
class CrossValidation:
    """Held-out error of one rank.

    Attributes
    ----------
    rank : int
    fold_errors : (n_rounds · n_folds,) ndarray of float64
        Relative error over the hidden cells of each fold, of the start with the least loss over the visible cells;
        NaN where no start gave a finite fit.
    start_errors : (n_rounds · n_folds, n_starts) ndarray of float64
        The same for every start.
    cost : float
        What one more component would add to the error if there were nothing for it to find, from its number of free
        parameters; NaN where unknown.
    n_rounds : int
        How often every cell was eligible to be hidden; folds are disjoint within a round.
    n_cells : int
        Cells of the matrix that was cross-validated: all, or those of the rows or columns that were drawn.
    """

    rank: int
    fold_errors: Array
    start_errors: Array
    cost: float = np.nan
    n_rounds: int = 1
    n_cells: int | None = None

    @property
    def error(self) -> float:
        """Mean over the folds."""
        finite = self.fold_errors[np.isfinite(self.fold_errors)]
        return float(finite.mean()) if finite.size else np.nan

    @property
    def standard_error(self) -> float:
        """Standard error of that mean; rounds see the same cells again and do not count as more folds."""
        finite = self.fold_errors[np.isfinite(self.fold_errors)]
        if finite.size < 2:
            return np.nan
        return float(finite.std(ddof=1) / np.sqrt(finite.size / self.n_rounds))


@one_blas_thread
def cross_validate(
    V: ArrayLike,
    rank: int,
    n_folds: int = 10,
    n_starts: int = 2,
    fraction: float = 0.1,
    root_seed: int = 0,
    *,
    loss: str | float = "frobenius",
    max_iter: int = 150,
    tol: float = 3e-5,
    observed: ArrayLike | None = None,
    penalties: Penalties | None = None,
    dtype: str = "float32",
    threads: int = 1,
) -> CrossValidation:
    """Hide cells, fit the others from several starts, and score the hidden cells only; fold by fold.

    Hidden cells have weight zero in the fit — they are not set to zero — and zeros are hidden like any other cell.
    Folds depend on `root_seed` alone, and so are the same for every rank. Of the starts of a fold, the one that fits
    the visible cells best predicts the hidden ones; predictions are kept within what is visible of their feature. The
    error of a fold is

        Σ d(v, p) / s  over  Σ d(v, v₀) / s,

    with d the absolute deviation in the loss of the fit (`nmfcore.deviation`), p the prediction, v₀ that of no
    component at all (0 for Frobenius, else the mean of V), and s the sum of d(v, v₀) over the sample: every sample
    counts the same. Source: masks, Wold 1978 and Owen & Perry 2009; absolute deviations, so that a few dominating
    cells do not decide, are our own choice (docs/theory.md). Range [0, ∞), 0 for a perfect prediction.

    Matrices of fewer than `MIN_SCORED_CELLS` cells go through several rounds of folds, at most `MAX_ROUNDS`. Of
    matrices of more than `MAX_CELLS` cells, the rows or columns of the longer side that are looked at are drawn by
    `root_seed`: the same for every rank, and so are the folds.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    rank : int
    n_folds, n_starts : int
        Per round, and per fold.
    fraction : float
        Share of the observed cells that a fold hides, but `MAX_HIDDEN` of them at most; ``n_folds * fraction`` must not
        exceed 1.
    root_seed : int
    loss, max_iter, tol, observed, penalties, dtype
        See `nmfcore.factorize`. A masked fit need not converge: stopping it early keeps it from chasing noise.
    threads : int
        Folds that are worked on at the same time, each with a copy of V; changes no bit.

    Returns
    -------
    CrossValidation

    Raises
    ------
    InputError
        If the folds do not fit, or V or a choice cannot be used.
    """
    if n_starts < 1:
        raise InputError("At least one start a fold is needed.")
    if threads < 1:
        raise InputError("threads: a number of at least 1 is needed.")
    if n_folds < 2 or not 0 < fraction <= 1 / n_folds:
        raise InputError(
            f"{n_folds} folds of {fraction:g} of the cells do not fit: at least 2 folds are needed, "
            "and folds × fraction must not exceed 1."
        )
    mask = None if observed is None else np.asarray(observed, bool)
    drawn = looked_at(np.shape(V), root_seed)
    if drawn is None:
        V = in_memory(V)
    else:
        V, mask = submatrix(V, *drawn), None if mask is None else mask[np.ix_(*drawn)]
    values, power = _at_safe_scale(V, mask)
    del V  # of a large matrix, this was a copy of a part
    scale = _Scale.of(values, mask, parse_loss(loss)[1])
    n_rounds = min(max(-(-MIN_SCORED_CELLS // scale.n_cells), 1), MAX_ROUNDS)
    folds = [
        cells
        for round_ in range(n_rounds)
        for cells in held_out_cells(values.shape, n_folds, fraction, root_seed, mask, round_)
    ]
    if len(folds) < n_rounds * n_folds or not all(rows.size for rows, _ in folds):
        raise InputError(
            f"A {values.shape[0]} × {values.shape[1]} matrix has too few cells for {n_folds} folds; take fewer."
        )
    fit = partial(
        fit_fold,
        values,
        rank,
        n_starts=n_starts,
        root_seed=root_seed,
        observed=mask,
        loss=loss,
        max_iter=max_iter,
        tol=tol,
        penalties=(penalties or Penalties()).at_scale(power, scale.beta),
        dtype=dtype,
    )

    def score(fold: int) -> tuple[Array, float]:
        """Errors of the starts of a fold, and of the one that fits what is visible best."""
        visible, runs = fit(fold, folds[fold])
        bounds = _Bounds.of(values, visible, scale.beta)
        errors = _held_out_errors(values, folds[fold], runs, scale, bounds)
        losses = np.where(np.isfinite(errors) & np.isfinite(runs.loss), runs.loss, np.inf)
        return errors, float(errors[losses.argmin()])

    start_errors, fold_errors = zip(*in_threads(score, range(len(folds)), threads), strict=True)
    n_parameters = scale.n_features + scale.n_samples - rank
    n_visible = scale.n_cells - min(fraction * scale.n_cells, MAX_HIDDEN)
    share = max(n_parameters, 1) / n_visible
    n_cells = values.shape[0] * values.shape[1]
    result = CrossValidation(
        rank, np.array(fold_errors), np.array(start_errors), np.nan, n_rounds, n_cells
    )
    return replace(result, cost=0.5 * share * result.error)


def looked_at(
    shape: tuple[int, ...], root_seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Rows and columns of a matrix of more than `MAX_CELLS` cells that are cross-validated; None where all are."""
    stream = np.random.default_rng(np.random.SeedSequence([root_seed, _CUT_STREAM]))
    return longer_side_cut(shape, MAX_CELLS, stream)


def fit_fold(
    values: Any,
    rank: int,
    fold: int,
    cells: Cells,
    *,
    n_starts: int,
    root_seed: int,
    observed: Mask | None,
    **options: Any,
) -> tuple[Mask, Runs]:
    """Cells that a fold leaves visible, and runs on them, from seeds of its own.

    `options` go to `nmfcore.factorize`.
    """
    visible = np.ones(values.shape, bool) if observed is None else observed.copy()
    ceiling = CEILING if visible.all() else None  # else large cells may be missing
    visible[cells] = False
    seeds = range(fold * n_starts, (fold + 1) * n_starts)
    options |= {"observed": visible, "ceiling": ceiling}
    return visible, factorize(values, rank, seeds, root_seed, **options)


def held_out_cells(
    shape: tuple[int, ...],
    n_folds: int,
    fraction: float,
    root_seed: int,
    observed: Mask | None = None,
    round_: int = 0,
) -> list[Cells]:
    """Rows and columns of the cells that each fold of a round hides, `MAX_HIDDEN` at most; the folds are disjoint.

    No row or column is hidden whole: its first hidden cell stays visible.
    """
    entropy = [root_seed, _FOLD_STREAM, *([round_] if round_ else [])]
    stream = np.random.default_rng(np.random.SeedSequence(entropy))
    n_cells = shape[0] * shape[1]
    # Half the bytes are shuffled in half the time, into the same order.
    dtype = np.int32 if n_cells <= np.iinfo(np.int32).max else np.int64
    flat = (
        np.arange(n_cells, dtype=dtype)
        if observed is None
        else np.flatnonzero(observed).astype(dtype)
    )
    size = min(max(1, int(fraction * flat.size)), MAX_HIDDEN)
    drawn = stream.permutation(flat)[: n_folds * size]
    folds: list[Cells] = []
    for part in np.split(drawn, np.arange(size, drawn.size, size))[:n_folds]:
        rows, columns = (i.astype(np.int32) for i in np.unravel_index(np.sort(part), shape))
        kept = np.ones(rows.size, bool)
        for axis, index in enumerate((rows, columns)):
            available = (
                np.full(shape[axis], shape[1 - axis])
                if observed is None
                else observed.sum(axis=1 - axis)
            )
            exhausted = np.bincount(index, minlength=shape[axis]) >= available
            if exhausted.any():
                _, first = np.unique(index, return_index=True)
                kept[first[exhausted[index[first]]]] = False
        folds.append((rows[kept], columns[kept]))
    return folds


@dataclass(frozen=True)
class _Scale:
    """What errors are relative to, and how much of the matrix says anything.

    Attributes
    ----------
    beta : float
        Of the divergence that is fitted.
    null : float
        Prediction of no component.
    sample_weights : (n_samples,) ndarray
        One over the sum of the deviations from `null`; 0 where that is 0.
    n_features, n_samples, n_cells : int
        Rows and columns that are not all zero; observed cells.
    """

    beta: float
    null: float
    sample_weights: Array
    n_features: int
    n_samples: int
    n_cells: int

    @classmethod
    def of(cls, values: Any, mask: Mask | None, beta: float) -> _Scale:
        n_cells = values.shape[0] * values.shape[1] if mask is None else int(mask.sum())
        totals = [np.asarray(values.sum(axis=axis, dtype=np.float64)).ravel() for axis in (0, 1)]
        null = 0.0 if beta == 2 else float(totals[0].sum()) / max(n_cells, 1)
        sums = totals[0] if null == 0 else _deviations_from(values, mask, null, beta)
        weights = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
        alive = [int(np.count_nonzero(total)) for total in totals]
        return cls(beta, null, weights, alive[1], alive[0], max(n_cells, 1))


def _deviations_from(values: Any, mask: Mask | None, null: float, beta: float) -> Array:
    """Sum of the deviations of each sample from one number; cells where it is infinite do not count."""
    sums = np.zeros(values.shape[1])
    step = max(_CHUNK // values.shape[1], 1)
    for start in range(0, values.shape[0], step):
        rows = slice(start, start + step)
        block = values[rows].toarray() if sparse.issparse(values) else values[rows]
        deviation = absolute_deviation(np.asarray(block, np.float64), np.asarray(null), beta)
        counted = np.isfinite(deviation) if mask is None else np.isfinite(deviation) & mask[rows]
        sums += np.where(counted, deviation, 0).sum(axis=0)
    return sums


def _at_safe_scale(V: Any, mask: Mask | None) -> tuple[Any, int]:
    """V times 2^power with its largest entry in [1, 2), checked, 0 where it was not observed; and the power."""
    if mask is not None and mask.shape != np.shape(V):
        raise InputError(f"observed has shape {mask.shape}, V has {np.shape(V)}.")
    if sparse.issparse(V):
        given = sparse.csr_array(V)
        values = as_values(given if mask is None else given.multiply(mask))
    else:
        values = as_values(V if mask is None else np.where(mask, V, 0))
    data = values.data if sparse.issparse(values) else values
    largest = float(data.max(initial=0))
    power = 1 - int(np.frexp(largest)[1])
    scaled = np.ldexp(data.astype(np.float64), power)
    if not sparse.issparse(values):
        return scaled, power
    return sparse.csr_array((scaled, values.indices, values.indptr), shape=values.shape), power


@dataclass(frozen=True)
class _Bounds:
    """Range of a prediction, from visible cells alone.

    At most the largest cell of the feature, and at most `SLACK` times its largest share of a sample. At least 0 for
    Frobenius; its least positive share where β ≤ 0 (Itakura–Saito); else (Kullback–Leibler) a hundredth of its
    overall share: with less, one cell could make the whole error infinite.

    Attributes
    ----------
    low_shares, high_shares, highest : (n_features,) ndarray
    sample_sums : (n_samples,) ndarray
    """

    low_shares: Array
    high_shares: Array
    highest: Array
    sample_sums: Array

    SLACK: ClassVar[float] = 1.5

    @classmethod
    def of(cls, values: Any, visible: Mask, beta: float) -> _Bounds:
        shown = values.multiply(visible).tocsr() if sparse.issparse(values) else values * visible
        sums = np.asarray(shown.sum(axis=0)).ravel()
        per_sum = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
        shares = shown.multiply(per_sum).tocsr() if sparse.issparse(shown) else shown * per_sum
        low = np.zeros(values.shape[0])
        if beta <= 0:
            dense = shares.toarray() if sparse.issparse(shares) else shares
            least = np.where(dense > 0, dense, np.inf).min(axis=1)
            low = np.where(np.isfinite(least), least, 0.0)
        elif beta != 2 and sums.any():
            low = 0.01 * np.asarray(shown.sum(axis=1)).ravel() / sums.sum()
        return cls(low, row_maxima(shares), row_maxima(shown), sums)

    def at(self, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> tuple[Array, Array]:
        """Bounds of the predictions for some cells."""
        sums = self.sample_sums[columns]
        low = self.low_shares[rows] * sums
        high = np.minimum(self.highest[rows], self.SLACK * self.high_shares[rows] * sums)
        return low, np.maximum(low, high)


def row_maxima(values: Any) -> Array:
    """Largest entry of every row of an array or CSR."""
    largest = values.max(axis=1)
    return np.asarray(largest.toarray() if sparse.issparse(largest) else largest).ravel()


def _held_out_errors(
    values: Any, cells: Cells, runs: Runs, scale: _Scale, bounds: _Bounds
) -> Array:
    """Error of every start over the hidden cells of a fold."""
    errors, total = np.zeros(len(runs)), 0.0
    coefficients = np.ascontiguousarray(runs.H.transpose(0, 2, 1))
    for start in range(0, cells[0].size, _CHUNK):
        rows, columns = (index[start : start + _CHUNK] for index in cells)
        v = entries(values, rows, columns)
        low, high = bounds.at(rows, columns)
        if scale.beta <= 0:
            v = np.maximum(v, low)
        weights = scale.sample_weights[columns]
        if scale.beta != 2:  # where nothing positive was seen of a feature, any error is infinite
            weights = np.where(high > 0, weights, 0.0)
        null = np.broadcast_to(np.float64(scale.null), v.shape)
        counted = weights > 0
        v, weights, null = v[counted], weights[counted], null[counted]
        rows, columns = rows[counted], columns[counted]
        low, high = low[counted], high[counted]
        total += float(weights @ absolute_deviation(v, null, scale.beta))
        for i, (W, H) in enumerate(zip(runs.W, coefficients, strict=True)):
            predicted = np.clip(fitted(W, H, rows, columns), low, high)
            errors[i] += float(weights @ absolute_deviation(v, predicted, scale.beta))
    return errors / total if total > 0 else np.full(len(runs), np.nan)


def fitted(
    W: Floats, profiles: Floats, rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> Array:
    """Entries of W H at some cells, summed in float64; `profiles` is Hᵀ."""
    found = np.empty(rows.size)
    products_at(rows, columns, W, profiles, found)
    return found


def entries(values: Any, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> Array:
    """Entries of an array, or of CSR, at cells that are sorted by row and column."""
    if not sparse.issparse(values):
        return np.asarray(values[rows, columns], np.float64)
    found = np.empty(rows.size)
    entries_at(values.indptr, values.indices, values.data, rows, columns, found)
    return found
