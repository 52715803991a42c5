"""How far a prediction lies from a cell, in the loss of the fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmfcore.divergence import cellwise

Array = NDArray[np.float64]


def absolute_deviation(v: Array, predicted: Array, beta: float = 2.0) -> Array:
    """√(2 d_β(v, p)): what the loss adds up squares of.

    Frobenius: the absolute difference of v and p. Kullback–Leibler: √(2 (v log(v/p) − v + p)); Itakura–Saito:
    √(2 (v/p − log(v/p) − 1)); these are the sizes of deviance residuals (Pierce & Schafer 1986). A sum of deviations
    is governed by many cells where a sum of losses is governed by the few largest, so it tells ranks apart with far
    less noise, above all in data with heavy tails. Range [0, ∞]; infinite where the divergence is.

    Parameters
    ----------
    v, predicted : ndarray
    beta : float
        Of the β-divergence that the fit minimises (`nmfcore.divergence`).
    """
    if beta == 2:
        return np.asarray(np.abs(v - predicted))
    # Rounding can take the divergence of equal numbers a little below 0.
    return np.asarray(np.sqrt(2 * np.maximum(cellwise(v, predicted, beta), 0.0)))
