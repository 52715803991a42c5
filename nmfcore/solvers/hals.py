"""Frobenius half-steps: hierarchical alternating least squares.

Exact coordinate descent over the components (Cichocki & Phan 2009), several sweeps for one product with V (Gillis &
Glineur 2012).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmfcore.solvers.hidden import HiddenCells
from nmfcore.solvers.kernels import inner_products, sweep
from nmfcore.solvers.penalties import Penalties
from nmfcore.solvers.products import Products

Floats = NDArray[np.floating]

SWEEPS_PER_PRODUCT = 2


class HalsUpdates:
    """Half-steps on ½ Σ w (v − wh)² plus penalties.

    Parameters
    ----------
    products : Products
        Products with V (with w∘V where cells have weights).
    hidden : HiddenCells, optional
        Cells of weight below 1.
    penalties : Penalties, optional
    """

    keep = 0.0

    def __init__(
        self,
        products: Products,
        hidden: HiddenCells | None = None,
        penalties: Penalties | None = None,
    ) -> None:
        self.products = products
        self.hidden = hidden
        self.penalties = penalties or Penalties()
        dtype = products.dtype
        self.resolution = 0.5 * products.squared_norm * float(np.finfo(dtype).eps) * 0.05

    def improve_W(self, W: Floats, H: Floats, out: Floats) -> None:
        """See `Updates`."""
        rhs = self.products.with_samples(H)
        if self.hidden:
            rhs = self.hidden.impute_features(rhs, W, H)
        sweep(W, *_penalised(rhs, gram(H), self.penalties.on_W(W, H)), SWEEPS_PER_PRODUCT, out)

    def improve_H(self, W: Floats, H: Floats, out: Floats) -> NDArray[np.float64]:
        """See `Updates`."""
        visible, gram_W = self.products.with_features(W), gram(W)
        rhs = self.hidden.impute_samples(visible, W, H) if self.hidden else visible
        sweep(H, *_penalised(rhs, gram_W, self.penalties.on_H(W, H)), SWEEPS_PER_PRODUCT, out)
        objective: NDArray[np.float64] = 0.5 * (
            self.products.squared_norm
            - 2 * inner_products(visible, out)
            + inner_products(gram_W, gram(out))
        )
        if self.hidden:
            objective -= 0.5 * self.hidden.squares(W, out)
        return objective + self.penalties.value(W, out) if self.penalties else objective

    def gradients(self, W: Floats, H: Floats) -> tuple[Floats, Floats]:
        """See `Updates`."""
        rhs_W, rhs_H = self.products.with_samples(H), self.products.with_features(W)
        if self.hidden:
            rhs_W = self.hidden.impute_features(rhs_W, W, H)
            rhs_H = self.hidden.impute_samples(rhs_H, W, H)
        return self.penalties.add_slopes(gram(H) @ W - rhs_W, gram(W) @ H - rhs_H, W, H)


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
