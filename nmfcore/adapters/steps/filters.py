"""Steps that leave out features or samples; what they leave out is not part of the solution."""

from __future__ import annotations

import numpy as np

from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.readers.wording import counted
from nmfcore.adapters.steps.moments import (
    FEATURES,
    SAMPLES,
    Array,
    feature_moments,
    positives,
    taken,
    totals,
)

Result = tuple[LabelledMatrix, str]
VARIABILITY = ("variance", "fano")


def drop_rare_features(matrix: LabelledMatrix, *, min_samples: int = 2) -> Result:
    """Leave out features that are above 0 in fewer than `min_samples` samples.

    Parameters
    ----------
    matrix : LabelledMatrix
    min_samples : int
    """
    return _kept(matrix, positives(matrix, FEATURES) >= min_samples)


def drop_low_features(
    matrix: LabelledMatrix,
    *,
    min_total: float = 0.0,
    min_mean: float = 0.0,
    min_variance: float = 0.0,
) -> Result:
    """Leave out features whose sum, mean or variance over the observed cells is too low.

    Parameters
    ----------
    matrix : LabelledMatrix
    min_total, min_mean, min_variance : float
    """
    mean, variance = feature_moments(matrix)
    keep = (totals(matrix, FEATURES) >= min_total) & (mean >= min_mean) & (variance >= min_variance)
    return _kept(matrix, keep)


def drop_low_samples(
    matrix: LabelledMatrix, *, min_total: float = 0.0, min_features: int = 0
) -> Result:
    """Leave out samples with too small a sum, or too few features above 0.

    Parameters
    ----------
    matrix : LabelledMatrix
    min_total : float
    min_features : int
    """
    keep = (totals(matrix, SAMPLES) >= min_total) & (positives(matrix, SAMPLES) >= min_features)
    left = int(np.count_nonzero(~keep))
    return taken(matrix, np.ones(matrix.shape[0], bool), keep), _told(left, "sample", len(keep))


def keep_variable_features(
    matrix: LabelledMatrix, *, number: int = 2000, by: str = "fano"
) -> Result:
    """Keep the features that vary most.

    Parameters
    ----------
    matrix : LabelledMatrix
    number : int
        How many; all, if there are no more.
    by : {'fano', 'variance'}
        Variance over mean, which does not favour features for being large, or the variance itself.
    """
    mean, variance = feature_moments(matrix)
    score: Array = variance
    if by == "fano":
        score = np.divide(variance, mean, out=np.zeros_like(mean), where=mean > 0)
    keep = np.zeros(len(score), bool)
    keep[np.argsort(-score, kind="stable")[:number]] = True
    return _kept(matrix, keep)


def _kept(matrix: LabelledMatrix, keep: np.ndarray) -> Result:
    left = int(np.count_nonzero(~keep))
    return taken(matrix, keep), _told(left, "feature", len(keep))


def _told(left: int, axis: str, of: int) -> str:
    return f"{counted(left, axis)} of {of:,} left out."
