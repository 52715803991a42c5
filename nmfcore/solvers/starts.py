"""Where a run begins.

- ``random``: half-normal entries, scaled so that WH has the mean of V.
- ``columns``: every column of W is the mean of five random columns of V (Albright et al. 2006, 'random Acol'), H as for
  ``random``.
- ``nndsvd``, ``nndsvda``, ``nndsvdar``: from the singular vectors of V (Boutsidis & Gallopoulos 2008), with zeros, with
  the mean of V for zeros, with small random numbers for zeros. Only the last depends on the seed.

The stream of a run is ``SeedSequence([root_seed, rank, seed])``: it depends on nothing else, so adding ranks or seeds
changes no run. Numbers are drawn in float64 whatever the working precision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.sparse.linalg import aslinearoperator, svds

from nmfcore.block_matrix import BlockMatrix
from nmfcore.errors import InputError
from nmfcore.problem import Problem

Floats = NDArray[np.floating]

STARTS = ("random", "columns", "nndsvd", "nndsvda", "nndsvdar")
_COLUMNS_AVERAGED = 5


def make_starts(
    problem: Problem, rank: int, seeds: Sequence[int], root_seed: int, kind: str = "random"
) -> tuple[Floats, Floats]:
    """Starts of a batch.

    Parameters
    ----------
    problem : Problem
    rank : int
    seeds : sequence of int
    root_seed : int
    kind : str
        One of `STARTS`.

    Returns
    -------
    W : (n_seeds, rank, n_features) ndarray
    H : (n_seeds, rank, n_samples) ndarray

    Raises
    ------
    InputError
        If the kind is unknown, or has no start of that rank.
    """
    if kind not in STARTS:
        raise InputError(f"start {kind!r} is not known; choose one of {', '.join(STARTS)}.")
    n_features, n_samples = problem.shape
    W = np.empty((len(seeds), rank, n_features), problem.dtype)
    H = np.empty((len(seeds), rank, n_samples), problem.dtype)
    singular = _nndsvd(problem, rank) if kind.startswith("nndsvd") else None
    # The mean of a product of two half-normals is 2/π.
    scale = np.sqrt(problem.mean * np.pi / (2 * rank))
    for i, seed in enumerate(seeds):
        stream = np.random.default_rng(np.random.SeedSequence([root_seed, rank, int(seed)]))
        if singular is not None:
            W[i], H[i] = (_filled(f, kind, problem.mean, stream) for f in singular)
            continue
        W[i] = np.abs(stream.standard_normal((rank, n_features))) * scale
        H[i] = np.abs(stream.standard_normal((rank, n_samples))) * scale
        if kind == "columns":
            W[i] = _mean_columns(problem, rank, stream)
            H[i] /= max(scale * rank, np.finfo(problem.dtype).tiny)
    return W, H


def _mean_columns(problem: Problem, rank: int, stream: np.random.Generator) -> Floats:
    n_samples = problem.shape[1]
    chosen = stream.integers(n_samples, size=(rank, _COLUMNS_AVERAGED))
    averaging = np.zeros((n_samples, rank), problem.dtype)
    np.add.at(averaging, (chosen, np.arange(rank)[:, None]), 1 / _COLUMNS_AVERAGED)
    means: Floats = np.asarray(problem.V @ averaging).T
    return means


def _filled(factor: Floats, kind: str, mean: float, stream: np.random.Generator) -> Floats:
    if kind == "nndsvd":
        return factor
    fill = np.full(factor.shape, mean)
    if kind == "nndsvdar":
        fill = np.abs(stream.standard_normal(factor.shape)) * mean / 100
    return np.where(factor == 0, fill, factor)


def _nndsvd(problem: Problem, rank: int) -> tuple[Floats, Floats]:
    """W and H, component by component, from the positive or negative parts of the singular vectors."""
    if rank > min(problem.shape):
        raise InputError(
            f"An NNDSVD start has at most {min(problem.shape)} components for this matrix, rank {rank} was asked for; "
            "use start 'random'."
        )
    U, singular_values, Vt = _leading(problem, rank)
    W, H = np.zeros((rank, problem.shape[0])), np.zeros((rank, problem.shape[1]))
    for j in range(rank):
        u, v = U[:, j], Vt[j]
        parts = [(np.maximum(sign * u, 0), np.maximum(sign * v, 0)) for sign in (1, -1)]
        weights = [float(np.linalg.norm(a) * np.linalg.norm(b)) for a, b in parts]
        best = int(np.argmax(weights))
        a, b = parts[best]
        size = np.sqrt(singular_values[j] * weights[best])
        W[j] = size * a / max(float(np.linalg.norm(a)), np.finfo(float).tiny)
        H[j] = size * b / max(float(np.linalg.norm(b)), np.finfo(float).tiny)
    return W, H


def _leading(problem: Problem, rank: int) -> tuple[Floats, Floats, Floats]:
    """Leading singular triplets, largest first."""
    V = problem.V.astype(np.float64)
    smaller = min(V.shape)
    if isinstance(V, BlockMatrix):
        V = V.loaded() if rank >= smaller else aslinearoperator(V)
    dense = isinstance(V, np.ndarray)
    if rank >= smaller or (dense and (smaller <= 500 or rank >= smaller // 2)):
        U, values, Vt = linalg.svd(V if dense else V.toarray(), full_matrices=False)
        return U[:, :rank], values[:rank], Vt[:rank]
    U, values, Vt = svds(V, k=rank, v0=np.ones(min(V.shape)))
    order = np.argsort(-values)
    return U[:, order], values[order], Vt[order]
