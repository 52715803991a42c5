"""Frobenius half-steps: hierarchical alternating least squares.

Exact coordinate descent over the components (Cichocki & Phan 2009), several sweeps for one product with V (Gillis &
Glineur 2012).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.solvers.arrays import HOST, Arrays, Factor
from nmfcore.solvers.ceiling import bounded
from nmfcore.solvers.kernels import inner_products, sweep
from nmfcore.solvers.lacking import LackingCells
from nmfcore.solvers.penalties import Penalties
from nmfcore.solvers.products import Products

Floats = NDArray[np.floating]

SWEEPS_PER_PRODUCT = 2
SWEEPS_PER_COSTLY_PRODUCT = 3
"""The same where a sweep costs next to nothing beside a product, or beside the Gram matrices of uneven weights."""
COSTLY = 16
"""Multiplications of a product, over those of a sweep of both factors, from which it is costly."""


class HalsUpdates:
    """Half-steps on ½ Σ w (v − wh)² plus penalties.

    Parameters
    ----------
    products : Products
        Products with V (with w∘V where cells have weights).
    lack : (n_features, n_samples) csr_array, optional
        1 − weight where that is not 0.
    penalties : Penalties, optional
    ceiling : float
        See `nmfcore.solvers.ceiling`; only with `lack`.
    """

    arrays: Arrays = HOST
    keep = 0.0

    def __init__(
        self,
        products: Products,
        lack: sparse.csr_array | None = None,
        penalties: Penalties | None = None,
        ceiling: float = np.inf,
    ) -> None:
        self.products = products
        self.lacking = None if lack is None else (LackingCells(lack), LackingCells(lack.T.tocsr()))
        self.penalties = penalties or Penalties()
        self.ceiling = ceiling
        dtype = products.dtype
        self.resolution = 0.5 * products.squared_norm * float(np.finfo(dtype).eps) * 0.05

    def improve_W(self, W: Floats, H: Floats, out: Floats) -> None:
        """See `Updates`."""
        rhs, gram_H = _penalised(self.products.with_samples(H), gram(H), self.penalties.on_W(W, H))
        if self.lacking:
            start, top = bounded(W, H, self.ceiling)
            step = start, rhs, gram_H, H, top
            self.lacking[0].sweep(*step, SWEEPS_PER_COSTLY_PRODUCT, False, out)
        else:
            sweep(W, rhs, gram_H, sweeps_per_product(self.products.cost, W, H), out)

    def improve_H(self, W: Floats, H: Floats, out: Floats) -> NDArray[np.float64]:
        """See `Updates`."""
        visible, gram_W = self.products.with_features(W), gram(W)
        step = _penalised(visible, gram_W, self.penalties.on_H(W, H))
        hidden_squares: float | NDArray[np.float64] = 0.0
        if self.lacking:
            start, top = bounded(H, W, self.ceiling)
            hidden_squares = self.lacking[1].sweep(
                start, *step, W, top, SWEEPS_PER_COSTLY_PRODUCT, True, out
            )
        else:
            sweep(H, *step, sweeps_per_product(self.products.cost, W, H), out)
        objective: NDArray[np.float64] = 0.5 * (
            self.products.squared_norm
            - 2 * inner_products(visible, out)
            + inner_products(gram_W, gram(out))
            - hidden_squares
        )
        return objective + self.penalties.value(W, out) if self.penalties else objective

    def gradients(self, W: Floats, H: Floats) -> tuple[Floats, Floats]:
        """See `Updates`."""
        slopes_W = gram(H) @ W - self.products.with_samples(H)
        slopes_H = gram(W) @ H - self.products.with_features(W)
        if self.lacking:
            slopes_W -= self.lacking[0].slopes(W, H)
            slopes_H -= self.lacking[1].slopes(H, W)
        return self.penalties.add_slopes(slopes_W, slopes_H, W, H)


def sweeps_per_product(cost: int, W: Factor, H: Factor) -> int:
    """Sweeps of a factor for a product of this `Products.cost` (Gillis & Glineur 2012 balance the two)."""
    costly = cost >= COSTLY * W.shape[1] * (W.shape[2] + H.shape[2])
    return SWEEPS_PER_COSTLY_PRODUCT if costly else SWEEPS_PER_PRODUCT


def _penalised(
    rhs: Floats, gram_of_fixed: Floats, penalty: tuple[Floats, Floats] | None
) -> tuple[Floats, Floats]:
    """Right-hand sides and Gram matrices of the penalised step."""
    if penalty is None:
        return rhs, gram_of_fixed
    linear, quadratic = penalty
    diagonal = np.eye(rhs.shape[1], dtype=rhs.dtype)
    return rhs - linear[..., None], gram_of_fixed + quadratic[..., None] * diagonal


def gram(factor: Floats) -> Floats:
    """Gram matrices of the components of every run, (n_runs, rank, rank)."""
    result: Floats = factor @ factor.transpose(0, 2, 1)
    return result
