"""Walking over a matrix in blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.block_matrix import BlockMatrix

BLOCK_ENTRIES = 2**20


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows of about `BLOCK_ENTRIES` entries."""
    step = max(BLOCK_ENTRIES // max(shape[1], 1), 1)
    return (slice(start, start + step) for start in range(0, shape[0], step))


def dense_rows(V: Any, rows: slice) -> NDArray[np.float64]:
    """Rows of a dense or CSR matrix as a dense float64 array."""
    block = V[rows]
    return np.asarray(block.toarray() if sparse.issparse(block) else block, np.float64)


def dense_parts(V: Any) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
    """Features, samples, and what V holds there, as a dense float64 array."""
    if isinstance(V, BlockMatrix):
        for features, samples, part in V.astype(np.float64).parts():
            yield features, samples, part.toarray() if sparse.issparse(part) else part
    else:
        for rows in row_blocks(V.shape):
            yield rows, slice(None), dense_rows(V, rows)


def submatrix(V: Any, features: NDArray[np.intp], samples: NDArray[np.intp]) -> Any:
    """Some rows and columns in memory, as an ndarray or csr_array; indices ascend."""
    if isinstance(V, BlockMatrix):
        return V.submatrix(features, samples)
    if sparse.issparse(V):
        return sparse.csr_array(V)[features][:, samples]
    return np.asarray(V)[np.ix_(features, samples)]


def in_memory(V: Any) -> Any:
    """V itself, or a matrix by blocks as an ndarray or csr_array."""
    return V.loaded() if isinstance(V, BlockMatrix) else V


def longer_side_cut(
    shape: tuple[int, ...], max_cells: int, stream: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Draw rows or columns, whichever are more, so that at most `max_cells` cells are left; None where they are."""
    if math.prod(shape) <= max_cells:
        return None
    longer = int(shape[1] > shape[0])
    indices = [np.arange(size) for size in shape]
    size = max(max_cells // shape[1 - longer], 1)
    indices[longer] = np.sort(stream.choice(shape[longer], size, replace=False))
    return indices[0], indices[1]
