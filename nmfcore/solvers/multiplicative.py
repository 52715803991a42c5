"""Half-steps for any β-divergence: multiplicative updates (Févotte & Idier 2011)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmfcore.solvers.arrays import HOST, Arrays
from nmfcore.solvers.ceiling import bounded
from nmfcore.solvers.mu_kernels import mu_step
from nmfcore.solvers.penalties import Penalties

Floats = NDArray[np.floating]


class MultiplicativeUpdates:
    """Half-steps on Σ w d_β(v, wh) plus penalties; β = 2 Frobenius, 1 Kullback–Leibler, 0 Itakura–Saito.

    A zero stays zero, so a run can stall on the edge of a better solution; the KKT residual shows it.

    Parameters
    ----------
    V : (n_features, n_samples) ndarray
    beta : float
    weights : (n_features, n_samples) ndarray, optional
    penalties : Penalties, optional
    ceiling : float
        See `nmfcore.solvers.ceiling`.
    """

    arrays: Arrays = HOST
    keep = 0.1

    def __init__(
        self,
        V: Floats,
        beta: float,
        weights: Floats | None = None,
        penalties: Penalties | None = None,
        ceiling: float = np.inf,
    ) -> None:
        self.beta = beta
        self.ceiling = ceiling
        self.penalties = penalties or Penalties()
        self.V, self.VT = np.ascontiguousarray(V), np.ascontiguousarray(V.T)
        self.weights = (
            np.empty((0, 0), V.dtype) if weights is None else np.ascontiguousarray(weights)
        )
        self.weights_T = np.ascontiguousarray(self.weights.T)
        # Monotone exponents: Févotte & Idier 2011, section 4.1.
        self.exponent = 1 / (2 - beta) if beta < 1 else 1.0 if beta <= 2 else 1 / (beta - 1)
        scale = float(np.sum(np.asarray(V, np.float64) ** beta)) if beta else float(V.size)
        self.resolution = scale * float(np.finfo(V.dtype).eps) * 0.05

    def improve_W(self, W: Floats, H: Floats, out: Floats) -> None:
        """See `Updates`."""
        self._step(W, H, self.V, self.weights, self.penalties.on_W(W, H), False, out)

    def improve_H(self, W: Floats, H: Floats, out: Floats) -> NDArray[np.float64]:
        """See `Updates`."""
        penalty = self.penalties.on_H(W, H)
        objective = self._step(H, W, self.VT, self.weights_T, penalty, False, out)
        return objective + self.penalties.value(W, out) if self.penalties else objective

    def gradients(self, W: Floats, H: Floats) -> tuple[Floats, Floats]:
        """See `Updates`."""
        slopes = np.empty_like(W), np.empty_like(H)
        self._step(W, H, self.V, self.weights, None, True, slopes[0])
        self._step(H, W, self.VT, self.weights_T, None, True, slopes[1])
        return self.penalties.add_slopes(*slopes, W, H)

    def _step(
        self,
        moving: Floats,
        fixed: Floats,
        V: Floats,
        weights: Floats,
        penalty: tuple[Floats, Floats] | None,
        gradient: bool,
        out: Floats,
    ) -> NDArray[np.float64]:
        none = np.zeros(moving.shape[:2], moving.dtype)
        start, top = bounded(moving, fixed, self.ceiling)
        objective: NDArray[np.float64] = mu_step(
            moving if gradient else start,
            fixed,
            V,
            weights,
            self.beta,
            self.exponent,
            *(penalty or (none, none)),
            top,
            gradient,
            out,
        )
        return objective
