"""L1 and L2 penalties that no rescaling of the components escapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmfcore.norms import batch_norms

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Penalties:
    """Strengths of the penalties, added to the loss.

    Scaling a component of W up and its coefficients down leaves WH as it is; a plain ‖H‖₁ would be escaped that way.
    So each factor is measured with the other at unit Euclidean norm: per component,

    ``l1_H ‖h‖₁ ‖w‖₂ + l1_W ‖w‖₁ ‖h‖₂ + ½ (l2_W + l2_H) ‖w‖₂² ‖h‖₂²``

    which is the usual penalty on H for components of unit norm, and does not change under the scaling.

    Attributes
    ----------
    l1_W, l1_H, l2_W, l2_H : float
        In units of the loss over those of the factor: a useful l1 is a share of the typical column sum of V.
    """

    l1_W: float = 0.0
    l1_H: float = 0.0
    l2_W: float = 0.0
    l2_H: float = 0.0

    def __bool__(self) -> bool:
        return any((self.l1_W, self.l1_H, self.l2_W, self.l2_H))

    @property
    def of_coefficients(self) -> Penalties:
        """What is left of them for coefficients of samples, one by one, when components of unit norm are fixed."""
        return Penalties(l1_H=self.l1_H, l2_H=self.l2_W + self.l2_H)

    def at_scale(self, power: int, beta: float) -> Penalties:
        """Penalties that are for V times 2^power what these are for V.

        An l1 term scales like V, an l2 term like V², the loss like V^β.
        """
        if not self:  # the powers may be out of range
            return self
        first, second = (2.0 ** (power * (beta - order)) for order in (1, 2))
        return Penalties(
            self.l1_W * first, self.l1_H * first, self.l2_W * second, self.l2_H * second
        )

    def on_W(self, W: Floats, H: Floats) -> tuple[Floats, Floats] | None:
        """Linear and quadratic weight of every component for the step in W, (n_runs, rank) each; None if none.

        The objective of the step is ``linear · ‖w‖₁ + ½ quadratic · ‖w‖₂²``; ‖w‖₂ is replaced by its quadratic
        upper bound that touches it at the current W, so that a step never raises the penalty.
        """
        return _weights(W, H, self.l1_W, self.l1_H, self.l2_W + self.l2_H) if self else None

    def on_H(self, W: Floats, H: Floats) -> tuple[Floats, Floats] | None:
        """Like `on_W`, for the step in H."""
        return _weights(H, W, self.l1_H, self.l1_W, self.l2_W + self.l2_H) if self else None

    def add_slopes(
        self, gradient_W: Floats, gradient_H: Floats, W: Floats, H: Floats
    ) -> tuple[Floats, Floats]:
        """Gradients of a loss completed by those of the penalties."""
        if not self:
            return gradient_W, gradient_H
        for gradient, factor, weights in (
            (gradient_W, W, self.on_W(W, H)),
            (gradient_H, H, self.on_H(W, H)),
        ):
            assert weights is not None
            linear, quadratic = weights
            gradient += linear[..., None] + quadratic[..., None] * factor
        return gradient_W, gradient_H

    def value(self, W: Floats, H: Floats) -> NDArray[np.float64]:
        """Penalty of every run."""
        w1, h1 = (f.sum(axis=2, dtype=np.float64) for f in (W, H))
        w2, h2 = (batch_norms(f) for f in (W, H))
        terms = (
            self.l1_H * h1 * w2
            + self.l1_W * w1 * h2
            + 0.5 * (self.l2_W + self.l2_H) * (w2 * h2) ** 2
        )
        return np.asarray(terms.sum(axis=1))


def _weights(
    moving: Floats, fixed: Floats, l1_moving: float, l1_fixed: float, l2: float
) -> tuple[Floats, Floats]:
    fixed_norm, moving_norm = batch_norms(fixed), batch_norms(moving)
    fixed_sum = fixed.sum(axis=2, dtype=np.float64)
    # Weights whose squares are numbers. A component with a larger one is as good as gone, and is kept at 0.
    most = float(np.finfo(moving.dtype).max) ** 0.25
    pull = l1_fixed * fixed_sum
    gone = pull > most * moving_norm
    linear = np.where(gone, most, l1_moving * fixed_norm)
    pulls = np.divide(pull, moving_norm, out=np.zeros_like(pull), where=~gone & (moving_norm > 0))
    quadratic = l2 * fixed_norm**2 + pulls
    return linear.astype(moving.dtype), quadratic.astype(moving.dtype)
