"""A matrix with the names of its rows and columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Values: TypeAlias = Any
"""ndarray or csr_array of a floating dtype; SciPy has no types to say so."""


@dataclass(frozen=True)
class LabelledMatrix:
    """V with its ids, always features × samples.

    Attributes
    ----------
    values : (n_features, n_samples) ndarray or csr_array, float32 or float64
        Nonnegative and finite; canonical if sparse (sorted indices, no duplicates, no explicit zeros).
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
        return bool(sparse.issparse(self.values))
