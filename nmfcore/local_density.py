"""Which components lie far from those of all other runs: cNMF's density filter with a threshold read off the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NEIGHBOUR_SHARE = 0.3
"""Of the number of runs: how many nearest neighbours a component is judged by (Kotliar et al. 2019)."""
NEVER_OUTLYING = float(np.sqrt(2 - 2 * 0.99))
"""Distance up to which a component is never outlying: that of a cosine of .99."""
LEAST_SEPARATION = 0.8
"""Share of the variance between two groups that makes them two: a uniform spread reaches .75, a normal one .64."""
N_BINS = 40


@dataclass(frozen=True)
class LocalDensity:
    """How near every component of every run lies to its neighbours among all of them.

    Attributes
    ----------
    distance : (n_runs, rank) ndarray of float64
        Mean Euclidean distance of a unit-norm component to its nearest neighbours; small where many runs found it.
    threshold : float or None
        Components farther than this are outlying. None where the distances do not fall into two groups: none is.
    counts : (n_bins,) ndarray of int
        Histogram of the distances.
    edges : (n_bins + 1,) ndarray of float64
    """

    distance: Array
    threshold: float | None
    counts: NDArray[np.intp]
    edges: Array

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Components that are not outlying, (n_runs, rank)."""
        if self.threshold is None:
            return np.ones(self.distance.shape, bool)
        return np.asarray(self.distance <= self.threshold)


def local_density(cosine: Array, n_runs: int) -> LocalDensity:
    """Measure the density around every component and find the threshold that parts the outlying ones.

    The density of a component is its mean distance to its nearest neighbours among the components of all runs, as many
    as `NEIGHBOUR_SHARE` of the runs (cNMF; Kotliar et al. 2019). cNMF leaves the threshold to the eye; here it is the
    cut of Otsu 1979, where it explains `LEAST_SEPARATION` of the variance, and at least `NEVER_OUTLYING`.

    Parameters
    ----------
    cosine : (n_runs · rank, n_runs · rank) ndarray
        Of every two components; component i of run r is row r · rank + i.
    n_runs : int
        At least 2.

    Returns
    -------
    LocalDensity
    """
    distances = np.sqrt(np.maximum(2 - 2 * cosine, 0))
    np.fill_diagonal(distances, np.inf)
    n_neighbours = max(1, int(NEIGHBOUR_SHARE * n_runs))
    nearest = np.sort(np.partition(distances, n_neighbours - 1, axis=1)[:, :n_neighbours], axis=1)
    distance = nearest.mean(axis=1)
    cut = two_group_cut(distance)
    threshold = None if cut is None else max(cut, NEVER_OUTLYING)
    largest = max(float(distance.max()), NEVER_OUTLYING)
    counts, edges = np.histogram(distance, bins=N_BINS, range=(0, largest))
    return LocalDensity(distance.reshape(n_runs, -1), threshold, counts, edges)


def two_group_cut(values: Array) -> float | None:
    """Cut between two groups of numbers that leaves the least variance within them (Otsu 1979).

    Parameters
    ----------
    values : (n,) ndarray

    Returns
    -------
    float or None
        Midway between the groups; None where they explain less than `LEAST_SEPARATION` of the variance.
    """
    ordered = np.sort(values)
    n, total = ordered.size, float(ordered.var())
    if n < 2 or not total > 0:
        return None
    low = np.arange(1, n)
    sums = np.cumsum(ordered)
    below, above = sums[:-1] / low, (sums[-1] - sums[:-1]) / (n - low)
    between = low * (n - low) / n**2 * (above - below) ** 2
    best = int(between.argmax())
    if between[best] < LEAST_SEPARATION * total:
        return None
    return float((ordered[best] + ordered[best + 1]) / 2)
