"""What a component may make of a cell, where cells are hidden or trusted less.

The loss says nothing of a hidden cell. With more components than V has parts, a component can come to stand for a
feature and a sample whose common cell is hidden: it fits the feature elsewhere and the sample elsewhere, at no cost
however much it makes of that cell, and often the loss has no minimum at all. Such cells came out at thousands of times
the largest that was seen (docs/performance.md). That entries are bounded is what guarantees for the completion of noisy
matrices assume (Negahban & Wainwright 2012; Klopp 2014). Where cells are hidden at random, as for cross-validation,
what is seen says how large the others can be, and a ceiling bounds them. Where large cells are missing because they are
large, it would spoil the fit of what is seen; so there is none unless it is asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

CEILING = 10.0
"""That of cells hidden at random, times the largest that is seen."""


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


def bounded(moving: Floats, fixed: Floats, ceiling: float) -> tuple[Floats, Floats]:
    """Coefficients lowered to those of `highest` where they are larger, (n_runs, rank, n_moving), and these."""
    top = highest(fixed, ceiling)
    return (np.minimum(moving, top[..., None]) if np.isfinite(ceiling) else moving), top
