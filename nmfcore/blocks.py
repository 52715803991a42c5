"""Walking over a matrix in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

BLOCK_ENTRIES = 2**20


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows of about `BLOCK_ENTRIES` entries."""
    step = max(BLOCK_ENTRIES // max(shape[1], 1), 1)
    return (slice(start, start + step) for start in range(0, shape[0], step))


def dense_rows(V: Any, rows: slice) -> NDArray[np.float64]:
    """Rows of a dense or CSR matrix as a dense float64 array."""
    block = V[rows]
    return np.asarray(block.toarray() if sparse.issparse(block) else block, np.float64)
