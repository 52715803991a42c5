"""Where a run begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nmfcore.problem import Problem

Floats = NDArray[np.floating]


def random_starts(
    problem: Problem, rank: int, seeds: Sequence[int], root_seed: int
) -> tuple[Floats, Floats]:
    """Half-normal entries, scaled so that WH has the mean of V.

    The stream of a run is ``SeedSequence([root_seed, rank, seed])``: it depends on nothing else, so adding ranks or
    seeds changes no run. Numbers are drawn in float64 whatever the working precision.

    Parameters
    ----------
    problem : Problem
    rank : int
    seeds : sequence of int
    root_seed : int

    Returns
    -------
    W : (n_seeds, rank, n_features) ndarray
    H : (n_seeds, rank, n_samples) ndarray
    """
    n_features, n_samples = problem.shape
    W = np.empty((len(seeds), rank, n_features), problem.dtype)
    H = np.empty((len(seeds), rank, n_samples), problem.dtype)
    # The mean of a product of two half-normals is 2/π.
    scale = np.sqrt(problem.mean * np.pi / (2 * rank))
    for i, seed in enumerate(seeds):
        stream = np.random.default_rng(np.random.SeedSequence([root_seed, rank, int(seed)]))
        W[i] = np.abs(stream.standard_normal((rank, n_features))) * scale
        H[i] = np.abs(stream.standard_normal((rank, n_samples))) * scale
    return W, H
