"""How alike profiles are, whatever their size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmfcore.norms import column_norms

Array = NDArray[np.float64]


def cosines(A: Array, B: Array) -> Array:
    """Return the cosine of every column of A with every column of B; 0 where one is all zero."""
    sizes = np.outer(column_norms(A), column_norms(B))
    return np.divide(A.T @ B, sizes, out=np.zeros(sizes.shape), where=sizes > 0)
