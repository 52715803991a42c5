"""Sums, means and variances of rows and columns over the observed cells, dense or sparse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.adapters.matrix import LabelledMatrix, Values

Array = NDArray[np.float64]
FEATURES, SAMPLES = 1, 0
"""Axis that is summed over to get a number a feature, a number a sample."""


def totals(matrix: LabelledMatrix, axis: int) -> Array:
    """Return the sum of each feature (axis 1) or sample (axis 0); missing cells hold 0."""
    return np.asarray(matrix.values.sum(axis=axis, dtype=np.float64)).ravel()


def positives(matrix: LabelledMatrix, axis: int) -> Array:
    """Return how many cells of each feature or sample are above 0."""
    return np.asarray((matrix.values > 0).sum(axis=axis)).ravel().astype(float)


def observed_counts(matrix: LabelledMatrix, axis: int) -> Array:
    """Return how many cells of each feature or sample are observed."""
    if matrix.observed is None:
        return np.full(matrix.shape[1 - axis], float(matrix.shape[axis]))
    return np.asarray(matrix.observed.sum(axis=axis), float)


def feature_moments(matrix: LabelledMatrix) -> tuple[Array, Array]:
    """Return mean and variance (divided by n) of each feature; 0 where nothing is observed."""
    n = np.maximum(observed_counts(matrix, FEATURES), 1)
    mean = totals(matrix, FEATURES) / n
    values = matrix.values
    if sparse.issparse(values):
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(values.indptr))
        squares = np.bincount(rows, (values.data - mean[rows]) ** 2, matrix.shape[0])
        zeros = n - np.diff(values.indptr)
        return mean, (squares + zeros * mean**2) / n
    squares = (values - mean[:, None]) ** 2
    if matrix.observed is not None:
        squares = np.where(matrix.observed, squares, 0)
    return mean, np.asarray(squares.sum(axis=1, dtype=np.float64)) / n


def taken(
    matrix: LabelledMatrix, features: NDArray[np.bool_], samples: NDArray[np.bool_] | None = None
) -> LabelledMatrix:
    """Return the matrix with the features, and the samples, that are marked."""
    columns = slice(None) if samples is None else samples
    return replace(
        matrix,
        values=matrix.values[features][:, columns],
        feature_ids=matrix.feature_ids[features],
        sample_ids=matrix.sample_ids[columns],
        observed=None if matrix.observed is None else matrix.observed[features][:, columns],
    )


def scaled(
    matrix: LabelledMatrix, features: Array | None = None, samples: Array | None = None
) -> LabelledMatrix:
    """Return the matrix times a factor a feature and a factor a sample."""
    values: Values = matrix.values
    dtype = values.dtype
    for axis, factors in ((0, features), (1, samples)):
        if factors is None:
            continue
        shaped = factors.astype(dtype)
        if sparse.issparse(values):
            diagonal = sparse.diags_array(shaped)
            values = sparse.csr_array(diagonal @ values if axis == 0 else values @ diagonal)
        else:
            values = values * (shaped[:, None] if axis == 0 else shaped[None, :])
    return replace(matrix, values=values)


def mapped(matrix: LabelledMatrix, function: Callable[[Values], Values]) -> LabelledMatrix:
    """Return the matrix with a function applied to every cell; it must leave 0 as it is."""
    values = matrix.values
    if sparse.issparse(values):
        data = np.asarray(function(values.data), values.dtype)
        return replace(
            matrix,
            values=sparse.csr_array((data, values.indices, values.indptr), shape=values.shape),
        )
    return replace(matrix, values=np.asarray(function(values), values.dtype))
