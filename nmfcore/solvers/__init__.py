"""How a batch of runs is solved: products with V, compiled sweeps, starts and the iteration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmfcore.problem import Problem
from nmfcore.solvers import frobenius
from nmfcore.solvers.fit import Fit

_SOLVERS = {"frobenius": frobenius.solve}


def solve(
    problem: Problem,
    W: NDArray[np.floating],
    H: NDArray[np.floating],
    max_iter: int,
    tol: float,
) -> Fit:
    """Solve a batch of runs with the solver of the problem's loss.

    Parameters
    ----------
    problem : Problem
    W, H : (n_runs, rank, n_features), (n_runs, rank, n_samples) ndarray
        Starts.
    max_iter, tol
        See `nmfcore.factorize`.
    """
    return _SOLVERS[problem.loss](problem, W, H, max_iter, tol)
