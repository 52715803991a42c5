"""Files of large matrices whose rows are read when they are asked for, instead of all at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore import block_matrix
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.block_matrix import BlockMatrix, Source
from nmfcore.blocks import submatrix

EXACT_INTEGERS = 2**53


def large(rows: Any, is_sparse: bool) -> BlockMatrix | None:
    """Return the matrix of these rows by blocks; None where that is of no use.

    Parameters
    ----------
    rows : nmfcore.block_matrix.Rows
    is_sparse : bool
    """
    n_rows, n_columns = rows.shape
    if rows.dtype.kind not in "fiu" or not rows.dtype.isnative or rows.dtype == np.float16:
        return None
    if n_rows < n_columns or n_rows * n_columns <= block_matrix.LARGE:
        return None
    return BlockMatrix(Source(rows), False, rows.dtype, 0, is_sparse)


def usable(values: BlockMatrix) -> bool:
    """Whether every entry can be factorised as it is; what is wrong with others is said when all are in memory."""
    facts = values.source.facts
    exact = values.dtype.kind == "f" and values.dtype.itemsize <= 8
    return bool(
        facts.n_nonzero
        and not facts.n_not_finite
        and not facts.n_negative
        and (exact or facts.largest < EXACT_INTEGERS)
    )


def loaded(values: Any) -> Any:
    """Values in memory; a matrix by blocks as CSR where few entries are not 0."""
    if not isinstance(values, BlockMatrix):
        return values
    few = values.is_sparse or values.nnz < 0.5 * values.shape[0] * values.shape[1]
    return replace(values, is_sparse=few).loaded()


def positive(values: BlockMatrix) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which features, and which samples, have an entry above 0."""
    found = np.zeros(values.shape[0], bool), np.zeros(values.shape[1], bool)
    for features, samples, part in values.parts():
        above = part > 0
        found[0][features] |= np.asarray(above.sum(axis=1)).ravel() > 0
        found[1][samples] |= np.asarray(above.sum(axis=0)).ravel() > 0
    return found


@dataclass(frozen=True)
class _Chosen:
    """Some rows and columns of other rows."""

    rows: Any
    along: NDArray[np.intp]
    across: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.along), len(self.across)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.rows.dtype
        return dtype

    def __getitem__(self, rows: slice) -> Any:
        wanted = self.along[rows]
        first = int(wanted[0])
        part = self.rows[slice(first, int(wanted[-1]) + 1)]
        return part[wanted - first][:, self.across]


def taken(
    matrix: LabelledMatrix, features: NDArray[np.bool_], samples: NDArray[np.bool_]
) -> LabelledMatrix:
    """Return the features and samples that are marked, of a matrix by blocks."""
    values = matrix.values
    chosen = np.flatnonzero(features), np.flatnonzero(samples)
    along, across = chosen[::-1] if values.transposed else chosen
    kept: Any
    if len(along) >= len(across):
        kept = replace(values, source=Source(_Chosen(values.source.rows, along, across)))
    else:
        kept = submatrix(values, *chosen)
    return replace(
        matrix,
        values=kept,
        feature_ids=matrix.feature_ids[features],
        sample_ids=matrix.sample_ids[samples],
    )


def is_constant(values: BlockMatrix) -> bool:
    """Whether all entries are the same, but for rounding."""
    facts, n_cells = values.source.facts, values.shape[0] * values.shape[1]
    return bool(facts.n_nonzero == n_cells and facts.squares > n_cells * (1 - 1e-12))


def canonical(rows: sparse.csr_array) -> sparse.csr_array:
    """Rows with sorted indices, without repeated entries or listed zeros."""
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows
