"""Do other samples show the same components? Factorising random halves of the samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nmfcore.blocks import longer_side_cut, submatrix
from nmfcore.factorization import factorize
from nmfcore.limits import MAX_CELLS, N_SPLITS
from nmfcore.problem import pose
from nmfcore.solution_evidence import shown_components, support_bars
from nmfcore.solvers.penalties import Penalties

MIN_SAMPLES_A_HALF = 4
MAX_ITER = 500
TOL = 1e-5

_SPLIT_STREAM = 0x68616C66  # keeps the halves and their starts apart from the streams of the runs


def count_replications(
    V: ArrayLike | Any,
    W: NDArray[np.float64],
    *,
    loss: str | float = "frobenius",
    observed: ArrayLike | None = None,
    penalties: Penalties | None = None,
    n_splits: int = N_SPLITS,
) -> NDArray[np.intp] | None:
    """In how many random splits of the samples both halves, each factorised on its own, show each component.

    Starts on one matrix agree on noise as they do on structure where its optimum is easy to find; samples that share
    no noise do not. A half shows a component as a run supports it, paired by assignment, at a cosine of
    `solution_evidence.support_bars`, and not by a few heavy features alone (`solution_evidence.shown_components`). One
    random start a half. After split-half validation of components in neuroimaging (Strother et al. 2002); the count
    over splits is our own.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
        Of a large one, some samples or features are drawn (`nmfcore.limits.MAX_CELLS`).
    W : (n_features, rank) ndarray
        The solution's components.
    loss, observed, penalties
        See `nmfcore.factorize`.
    n_splits : int

    Returns
    -------
    (rank,) ndarray of int or None
        None where the halves are too small: fewer than `MIN_SAMPLES_A_HALF` samples, or than components.
    """
    mask = None if observed is None else np.asarray(observed, bool)
    stream = np.random.default_rng(np.random.SeedSequence([_SPLIT_STREAM]))
    cut = longer_side_cut(np.shape(V), MAX_CELLS, np.random.default_rng(_SPLIT_STREAM))
    if cut is not None:
        V, W, mask = submatrix(V, *cut), W[cut[0]], None if mask is None else mask[np.ix_(*cut)]
    values = pose(V, mask, loss, by_blocks=False).given
    samples = np.flatnonzero(np.asarray((values > 0).sum(axis=0)).ravel())
    rank = W.shape[1]
    size = len(samples) // 2
    if n_splits < 1 or size < max(MIN_SAMPLES_A_HALF, rank):
        return None
    bars = support_bars(W)
    counts = np.zeros(rank, np.intp)
    for split in range(n_splits):
        shuffled = stream.permutation(samples)
        shown = np.ones(rank, bool)
        for half, start in ((shuffled[:size], 2 * split), (shuffled[size:], 2 * split + 1)):
            columns = np.sort(half)
            seen = None if mask is None else mask[:, columns]
            fit = factorize(
                values[:, columns],
                rank,
                [start],
                _SPLIT_STREAM,
                loss,
                MAX_ITER,
                TOL,
                observed=seen,
                penalties=penalties,
            )
            if not np.isfinite(fit.W).all():
                shown[:] = False
                break
            shown &= shown_components(fit.W[0], W, bars)
        counts += shown
    return counts
