"""Norms of components, of one solution and of a batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def column_norms(W: NDArray[np.floating]) -> Array:
    """Euclidean norm of each column, safe from overflow and underflow.

    Parameters
    ----------
    W : (..., n_features, rank) ndarray

    Returns
    -------
    (..., rank) ndarray of float64
    """
    values = np.asarray(W, dtype=np.float64)
    peak = np.abs(values).max(axis=-2, initial=0.0)
    scaled = values / np.where(peak > 0, peak, 1.0)[..., None, :]
    return np.asarray(peak * np.sqrt(np.einsum("...mk,...mk->...k", scaled, scaled)))


def unit_columns(W: NDArray[np.floating]) -> Array:
    """Columns of unit Euclidean norm; columns of zeros stay zero.

    Parameters
    ----------
    W : (..., n_features, rank) ndarray

    Returns
    -------
    (..., n_features, rank) ndarray of float64
    """
    norms = column_norms(W)
    return np.asarray(W, dtype=np.float64) / np.where(norms > 0, norms, 1.0)[..., None, :]


def batch_norms(factor: NDArray[np.floating]) -> Array:
    """Euclidean norms of the components of every run, summed in float64; at the scale of a problem, whose sums fit.

    Parameters
    ----------
    factor : (n_runs, rank, length) ndarray

    Returns
    -------
    (n_runs, rank) ndarray of float64
    """
    return np.asarray(np.sqrt(np.einsum("skn,skn->sk", factor, factor, dtype=np.float64)))
