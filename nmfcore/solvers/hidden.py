"""Cells of V that count less than the others, or not at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.solvers.kernels import add_hidden, hidden_squares

Floats = NDArray[np.floating]


class HiddenCells:
    """Cells with a weight below 1: missing, held out, or trusted less.

    For Frobenius they are imputed by each run's current fit before every step: with X = w∘V + (1−w)∘WH, a step that
    lowers ‖X − WH‖ lowers the weighted error (expectation–maximisation). The visible part of a product is shared by
    all runs; the hidden part touches its few cells only, and the values of cells of weight 0 are never looked at.

    Parameters
    ----------
    lack : (n_features, n_samples) csr_array
        1 − weight where that is not 0.
    """

    def __init__(self, lack: sparse.csr_array) -> None:
        self.by_feature = lack
        self.by_sample = lack.T.tocsr()

    def impute_features(self, visible: Floats, W: Floats, H: Floats) -> Floats:
        """Right-hand sides of the Frobenius step in W, completed."""
        return _imputed(visible, H, W, self.by_feature)

    def impute_samples(self, visible: Floats, W: Floats, H: Floats) -> Floats:
        """Right-hand sides of the Frobenius step in H, completed."""
        return _imputed(visible, W, H, self.by_sample)

    def squares(self, W: Floats, H: Floats) -> NDArray[np.float64]:
        """Σ (1 − weight) (wh)² of every run."""
        lack = self.by_sample
        result: NDArray[np.float64] = hidden_squares(W, H, lack.indptr, lack.indices, lack.data)
        return result


def _imputed(visible: Floats, fixed: Floats, moving: Floats, lack: sparse.csr_array) -> Floats:
    rhs = visible.copy()
    add_hidden(fixed, moving, lack.indptr, lack.indices, lack.data, rhs)
    return rhs
