"""Runs and what is known of each at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        ‖V − WH‖ / ‖V‖ for Frobenius; for other losses the square root of the loss over that of a constant
        fit, the mean of V everywhere.
    kkt_residual : (n_seeds,) ndarray of float64
        √(‖min(W, ∇_W)‖² + ‖min(H, ∇_H)‖²) of norm-balanced factors, relative to the start; 0 at a stationary point.
    n_iter : (n_seeds,) ndarray of int
    status : (n_seeds,) ndarray of str
        A `Status` each.
    trace : (n_seeds, n_iterations) ndarray of float64
        Objective (loss plus penalties) at each iteration as the solver saw it; NaN past a run's end.
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
    def least_loss(self) -> int:
        """Position of the run of the least finite loss, converged or not; 0 where none is finite."""
        return int(np.where(np.isfinite(self.loss), self.loss, np.inf).argmin())

    @property
    def explained_variance(self) -> NDArray[np.float64] | None:
        """1 − RSS / ΣV² (uncentred) of each run; None for other losses than Frobenius."""
        return 1 - self.relative_error**2 if self.loss_name == "frobenius" else None

    def take(self, indices: NDArray[np.intp]) -> Runs:
        """Return the runs at the given positions."""
        if indices.dtype != bool and np.array_equal(indices, np.arange(len(self))):
            return self  # large factors are not copied for nothing
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
