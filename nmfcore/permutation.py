"""What the fit would gain from one more component if samples had nothing in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from nmfcore.blocks import in_memory
from nmfcore.factorization import factorize
from nmfcore.solvers.penalties import Penalties

Array = NDArray[np.float64]

_PERMUTATION_STREAM = 0x7065726D  # keeps the shuffles apart from the streams of the runs


@dataclass(frozen=True)
class PermutationNull:
    """Fits of permuted matrices at one rank.

    Attributes
    ----------
    rank : int
    losses : (n_permutations,) ndarray
        Best loss on each permuted matrix; the matrices are the same for every rank.
    """

    rank: int
    losses: Array


def permutation_null(
    V: ArrayLike | Any,
    rank: int,
    seeds: Iterable[int],
    n_permutations: int = 20,
    root_seed: int = 0,
    *,
    loss: str | float = "frobenius",
    max_iter: int = 2000,
    tol: float = 1e-6,
    observed: ArrayLike | None = None,
    penalties: Penalties | None = None,
    solver: str = "auto",
    start: str = "random",
    dtype: str = "float32",
) -> PermutationNull:
    """Fit permuted copies of V from the same seeds, with the same iterations, as V itself.

    Each feature's values are shuffled over the samples, each feature on its own: the values of a feature stay, what
    samples have in common goes. Source: Frigyesi & Höglund 2008.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    rank : int
    seeds : iterable of int
        Those of the fits of V, or the comparison is not fair.
    n_permutations, root_seed : int
    loss, max_iter, tol, observed, penalties, solver, start, dtype
        See `nmfcore.factorize`. Cells that were not observed stay so; the others are shuffled among themselves.
    """
    indices, V = list(seeds), in_memory(V)
    mask = None if observed is None else np.asarray(observed, bool)
    losses = np.full(n_permutations, np.nan)
    for i in range(n_permutations):
        runs = factorize(
            permuted_within_features(V, root_seed, i, mask),
            rank,
            indices,
            root_seed,
            loss,
            max_iter,
            tol,
            observed=mask,
            penalties=penalties,
            solver=solver,
            start=start,
            dtype=dtype,
        )
        finite = runs.loss[np.isfinite(runs.loss)]
        losses[i] = finite.min() if finite.size else np.nan
    return PermutationNull(rank, losses)


def permuted_within_features(
    V: ArrayLike | Any, root_seed: int, index: int, observed: NDArray[np.bool_] | None = None
) -> Any:
    """Shuffle the values of each row of V over its (observed) columns.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    root_seed, index : int
        Set the shuffle.
    observed : (n_features, n_samples) ndarray of bool, optional
        Other cells keep their place.

    Returns
    -------
    ndarray or csr_array
    """
    stream = np.random.default_rng(np.random.SeedSequence([root_seed, _PERMUTATION_STREAM, index]))
    given: Any = V
    if sparse.issparse(V) and observed is None:
        csr = sparse.csr_array(V, copy=True)
        for row in range(csr.shape[0]):
            part = slice(csr.indptr[row], csr.indptr[row + 1])
            size = part.stop - part.start
            csr.indices[part] = stream.choice(csr.shape[1], size, replace=False)
        csr.has_sorted_indices = False
        csr.sort_indices()
        return csr
    values = given.toarray() if sparse.issparse(given) else np.array(given)
    if observed is None:
        return stream.permuted(values, axis=1)
    for row, seen in zip(values, observed, strict=True):
        row[seen] = stream.permutation(row[seen])
    return values


def permutation_p_values(losses: Array, null_losses: Array) -> Array:
    """Corrected p-values of the ranks, for a gain in fit over the rank before that is larger than on permuted data.

    p = (b + 1) / (N + 1), b of N permuted matrices gaining as much or more (Phipson & Smyth 2010). Ranks are tested
    in order and testing ends at the first that fails, so the corrected value is the largest so far (fixed-sequence
    testing, Maurer, Hothorn & Lehmacher 1995), which holds the chance of any false rank at the level of one test.
    Range [1/(N+1), 1].

    Parameters
    ----------
    losses : (n_ranks,) ndarray
        Best loss at each rank of the grid, ascending.
    null_losses : (n_ranks, N) ndarray
        The same for each permuted matrix.

    Returns
    -------
    (n_ranks,) ndarray
        NaN for the first rank, which has none before it, and wherever losses are missing.
    """
    gains = -np.diff(losses)
    null_gains = -np.diff(null_losses, axis=0)
    defined = np.isfinite(gains) & np.isfinite(null_gains).all(axis=1)
    exceeding = (null_gains >= gains[:, None]).sum(axis=1)
    p = np.where(defined, (exceeding + 1) / (null_losses.shape[1] + 1), np.nan)
    corrected = np.where(defined, np.fmax.accumulate(p), np.nan)
    return np.concatenate([[np.nan], corrected])
