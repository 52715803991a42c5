"""A matrix with the names of its rows and columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.block_matrix import BlockMatrix

Values: TypeAlias = Any
"""ndarray, csr_array or BlockMatrix of a floating dtype; SciPy has no types to say so."""


@dataclass(frozen=True)
class LabelledMatrix:
    """V with its ids, always features × samples.

    Attributes
    ----------
    values : (n_features, n_samples) ndarray, csr_array or BlockMatrix, float32 or float64
        Nonnegative and finite; canonical if sparse (sorted indices, no duplicates, no explicit zeros). By blocks where
        it was read from a large prepared file.
    feature_ids : (n_features,) ndarray of str
    sample_ids : (n_samples,) ndarray of str
    observed : (n_features, n_samples) ndarray of bool, optional
        False where a cell is missing; the value there is 0 and means nothing. None: all observed.
    notices : tuple of str
        What the reader did that a person should know (conversions, tolerances), in sentences.
    """

    values: Values
    feature_ids: NDArray[np.str_]
    sample_ids: NDArray[np.str_]
    observed: NDArray[np.bool_] | None = None
    notices: tuple[str, ...] = field(default=())

    @property
    def shape(self) -> tuple[int, int]:
        """(n_features, n_samples)."""
        rows, columns = self.values.shape
        return int(rows), int(columns)

    @property
    def is_sparse(self) -> bool:
        """Whether the values are stored as CSR."""
        if isinstance(self.values, BlockMatrix):
            return self.values.is_sparse
        return bool(sparse.issparse(self.values))

    @property
    def n_nonzero(self) -> int:
        """Cells above 0."""
        listed = self.is_sparse or isinstance(self.values, BlockMatrix)
        return int(self.values.nnz if listed else np.count_nonzero(self.values))
