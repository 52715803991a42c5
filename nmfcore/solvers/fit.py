"""What a solver hands back for a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Fit:
    """End of a batch, at the scale of the problem.

    Attributes
    ----------
    W : (n_runs, rank, n_features) ndarray
        Bases, transposed.
    H : (n_runs, rank, n_samples) ndarray
    trace : (n_runs, n_iterations) ndarray of float64
        Loss after each iteration; NaN past a run's end. The iterations on a compressed matrix, where there are any,
        come first and estimate the loss.
    n_iter : (n_runs,) ndarray of int
    converged : (n_runs,) ndarray of bool
    kkt_residual : (n_runs,) ndarray of float64
    solver : str
        Name and choices of the solver, for the record.
    """

    W: Floats
    H: Floats
    trace: NDArray[np.float64]
    n_iter: NDArray[np.int64]
    converged: NDArray[np.bool_]
    kkt_residual: NDArray[np.float64]
    solver: str
