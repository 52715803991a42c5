"""What a component may make of a cell, where cells are hidden or trusted less.

The loss says nothing of a hidden cell. With more components than V has parts, a component can come to stand for a
single feature whose cell is hidden in some sample: its coefficient there then fits the noise of the sample's other
features, at no cost however much it makes of the hidden cell, and often the loss has no minimum at all. Such cells came
out at thousands of times the largest that was seen (docs/performance.md). That entries are bounded is what guarantees
for the completion of noisy matrices assume (Negahban & Wainwright 2012; Klopp 2014), so the fits bound them too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

CEILING = 10.0
"""Times the largest cell that is seen. Where data determine a cell, no component comes near it."""


def highest(fixed: Floats, ceiling: float) -> Floats:
    """Largest coefficients with which no component makes more than `ceiling` of any cell.

    Parameters
    ----------
    fixed : (n_runs, rank, n_fixed) ndarray
        The other factor.
    ceiling : float

    Returns
    -------
    (n_runs, rank) ndarray
        The largest number there is where nothing bounds them.
    """
    top = np.full(fixed.shape[:2], np.finfo(fixed.dtype).max, fixed.dtype)
    if np.isfinite(ceiling):
        largest = fixed.max(axis=2)
        with np.errstate(over="ignore"):
            np.divide(ceiling, largest, out=top, where=largest > ceiling / top)
    return top


def below(moving: Floats, top: Floats) -> Floats:
    """Coefficients, (n_runs, rank, n_moving), no larger than those of `highest`."""
    return np.minimum(moving, top[..., None])
