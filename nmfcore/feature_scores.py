"""Which features tell components apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmfcore.norms import column_norms

Array = NDArray[np.float64]


def feature_shares(W: NDArray[np.floating]) -> Array:
    """Share of each component in the weight of a feature: p_ij = w_ij / Σ_q w_iq, columns at unit norm.

    Parameters
    ----------
    W : (n_features, rank) ndarray

    Returns
    -------
    (n_features, rank) ndarray of float64
        Rows add up to 1; NaN for a feature of no component.
    """
    norms = column_norms(W)
    unit = np.asarray(W, np.float64) / np.where(norms > 0, norms, 1.0)
    total = unit.sum(axis=1, keepdims=True)
    return np.asarray(unit / np.where(total > 0, total, np.nan))


def feature_scores(W: NDArray[np.floating]) -> Array:
    """How much a feature belongs to one component: 1 + Σ_q p_iq log₂ p_iq / log₂ k.

    Source: Kim & Park 2007, p as in `feature_shares`. Range [0, 1]: 0 where all components share the feature evenly,
    1 where it belongs to one alone.

    Parameters
    ----------
    W : (n_features, rank) ndarray

    Returns
    -------
    (n_features,) ndarray of float64
        NaN for a feature of no component, and for rank 1.
    """
    p = feature_shares(W)
    if p.shape[1] < 2:
        return np.full(len(p), np.nan)
    logs = np.log2(np.where(p > 0, p, 1.0))
    return np.asarray(np.clip(1 + (p * logs).sum(axis=1) / np.log2(p.shape[1]), 0.0, 1.0))


def marker_features(W: NDArray[np.floating]) -> NDArray[np.intp]:
    """Component that a feature marks, −1 for most.

    A feature marks its largest component where its score exceeds the median of all scores by three median absolute
    deviations, and its weight there the median of all weights in W. Source: Kim & Park 2007.

    Parameters
    ----------
    W : (n_features, rank) ndarray

    Returns
    -------
    (n_features,) ndarray of int
    """
    scores = feature_scores(W)
    markers = np.full(len(scores), -1, np.intp)
    defined = ~np.isnan(scores)
    if not defined.any():
        return markers
    norms = column_norms(W)
    unit = np.asarray(W, np.float64) / np.where(norms > 0, norms, 1.0)
    middle = np.median(scores[defined])
    bar = middle + 3 * np.median(np.abs(scores[defined] - middle))
    chosen = defined & (scores > bar) & (unit.max(axis=1) > np.median(unit))
    markers[chosen] = unit[chosen].argmax(axis=1)
    return markers
