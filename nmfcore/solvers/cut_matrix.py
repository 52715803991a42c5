"""A CSR matrix laid out for products that are made again and again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.solvers.csr_kernels import (
    COLUMNS_AT_A_TIME,
    columns_at_a_time,
    cut_by_columns,
    cut_product,
)

Floats = NDArray[np.floating]
Indices = NDArray[np.integer]


@dataclass(frozen=True)
class CutMatrix:
    """A sparse matrix whose entries lie in memory in the order in which products meet them.

    Products look at some columns at a time, whose share of the factors fits in a cache. Rows of plain CSR would be
    entered in their middle again for each of these blocks, which waits for memory; here a block lies by itself.

    Attributes
    ----------
    starts, ends : (n_blocks, n_rows) ndarray of int
        Where the entries of a row in a block begin and end.
    indices, data : (nnz,) ndarray
        Columns and values, block by block; a matrix of one block shares those of its CSR.
    step : int
        Columns of a block.
    """

    starts: Indices
    ends: Indices
    indices: Indices
    data: Floats
    step: int

    @classmethod
    def of(cls, matrix: sparse.csr_array) -> CutMatrix:
        """Cut a CSR matrix with sorted indices."""
        n_rows, n_columns = matrix.shape
        indptr, indices, data = matrix.indptr, matrix.indices, matrix.data
        step = columns_at_a_time(n_columns, n_rows, len(data), COLUMNS_AT_A_TIME)
        n_blocks = -(-n_columns // step)
        if n_blocks == 1:
            starts, ends = (np.ascontiguousarray(part)[None] for part in (indptr[:-1], indptr[1:]))
            return cls(starts, ends, indices, data, step)
        starts, ends = np.empty((2, n_blocks, n_rows), indptr.dtype)
        cut = cls(starts, ends, np.empty_like(indices), np.empty_like(data), step)
        cut_by_columns(indptr, indices, data, step, starts, ends, cut.indices, cut.data)
        return cut

    def times(self, factors: Floats, out: Floats | None = None) -> Floats:
        """``factors @ matrixᵀ``, (n_factors, n_rows); written to `out` where that is given."""
        if out is None:
            out = np.empty((len(factors), self.starts.shape[1]), factors.dtype)
        rows = np.ascontiguousarray(factors)
        cut_product(self.starts, self.ends, self.indices, self.data, self.step, rows, out)
        return out
