"""How far a criterion would move with other runs or other folds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cophenet, fcluster
from scipy.spatial.distance import squareform

from nmfcore.consensus import (
    average_linkage,
    consensus_matrix,
    consensus_silhouette,
    dispersion,
    pac,
    silhouette_widths,
)
from nmfcore.stability import ComponentClusters

Array = NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]

COVERAGE = 0.95
_NORMAL_QUANTILE = 1.96
N_HALVES = 50
MAX_SAMPLES = 100
"""Consensus criteria are resampled on this many samples, drawn at random."""
MIN_RUNS = 6
"""Fewer runs have no halves worth comparing."""

_CONSENSUS_BOUNDS = {
    "cophenetic_correlation": (-1.0, 1.0),
    "dispersion": (0.0, 1.0),
    "pac": (0.0, 1.0),
    "consensus_silhouette": (-1.0, 1.0),
}


def fold_interval(
    fold_errors: Array, n_rounds: int = 1, *, n_resamples: int = 2000, seed: int = 0
) -> Interval | None:
    """Percentile bootstrap of the mean over folds (Efron 1979).

    A resample has as many folds as one round, since rounds score the same cells again.

    Parameters
    ----------
    fold_errors : (n_rounds · n_folds,) ndarray
        Folds that are not finite are left out.
    n_rounds : int
    n_resamples, seed : int

    Returns
    -------
    (low, high) or None
        None for fewer than three folds.
    """
    finite = fold_errors[np.isfinite(fold_errors)]
    if finite.size < 3:
        return None
    size = max(finite.size // n_rounds, 2)
    drawn = np.random.default_rng(seed).choice(finite, (n_resamples, size))
    return _percentiles(drawn.mean(axis=1))


def run_interval(
    statistic: Callable[[NDArray[np.intp]], float | None],
    n_runs: int,
    value: float | None,
    bounds: Interval,
    *,
    n_halves: int = N_HALVES,
    seed: int = 0,
) -> Interval | None:
    """Interval of a criterion over runs, from random halves of them.

    A bootstrap with replacement would count copies of one run as agreement, so halves without replacement are used:
    their standard deviation is that of the criterion over all runs (Politis, Romano & Wolf 1999). The interval is
    1.96 of these about the criterion of all runs, cut at its range.

    Parameters
    ----------
    statistic : callable
        Criterion of the runs with the given indices.
    n_runs : int
    value : float or None
        Criterion of all runs.
    bounds : (low, high)
        Range of the criterion.
    n_halves, seed : int

    Returns
    -------
    (low, high) or None
        None where the criterion is undefined or there are fewer than `MIN_RUNS` runs.
    """
    if value is None or n_runs < MIN_RUNS:
        return None
    stream = np.random.default_rng(seed)
    found = [
        statistic(np.sort(stream.choice(n_runs, n_runs // 2, replace=False)))
        for _ in range(n_halves)
    ]
    defined = np.array([number for number in found if number is not None])
    if defined.size < n_halves / 2:
        return None
    reach = _NORMAL_QUANTILE * float(defined.std(ddof=1))
    return max(value - reach, bounds[0]), min(value + reach, bounds[1])


def consensus_intervals(
    labels: NDArray[np.intp],
    rank: int,
    values: dict[str, float | None],
    *,
    n_halves: int = N_HALVES,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """Intervals of the consensus criteria over runs; see `run_interval`.

    Where there are more than `MAX_SAMPLES` samples, as many drawn at random stand for all.

    Parameters
    ----------
    labels : (n_runs, n_samples) ndarray of int
    rank : int
    values : dict
        `cophenetic_correlation`, `dispersion`, `pac` and `consensus_silhouette` over all runs.
    n_halves, seed : int
    """
    n_runs = len(labels)
    assigned = labels[:, (labels >= 0).any(axis=0)]
    if assigned.shape[1] > MAX_SAMPLES:
        chosen = np.random.default_rng(seed).choice(assigned.shape[1], MAX_SAMPLES, replace=False)
        assigned = assigned[:, chosen]
    if n_runs < MIN_RUNS or not assigned.size:
        return dict.fromkeys(_CONSENSUS_BOUNDS)
    halves: dict[bytes, dict[str, float | None]] = {}

    def criterion(name: str) -> Callable[[NDArray[np.intp]], float | None]:
        def of(runs: NDArray[np.intp]) -> float | None:
            key = runs.tobytes()
            if key not in halves:
                halves[key] = _consensus_criteria(assigned[runs], rank)
            return halves[key][name]

        return of

    return {
        name: run_interval(
            criterion(name), n_runs, values[name], limits, n_halves=n_halves, seed=seed
        )
        for name, limits in _CONSENSUS_BOUNDS.items()
    }


def stability_intervals(
    clusters: ComponentClusters,
    mean: float | None,
    minimum: float | None,
    *,
    n_halves: int = N_HALVES,
    seed: int = 0,
) -> tuple[Interval | None, Interval | None]:
    """Intervals of the mean and least component silhouette over runs, the clusters being kept; see `run_interval`."""
    n_runs, rank = clusters.labels.shape
    distance = 1.0 - clusters.cosine
    np.fill_diagonal(distance, 0.0)

    def silhouettes(runs: NDArray[np.intp]) -> Array:
        rows = (runs[:, None] * rank + np.arange(rank)).ravel()
        names = clusters.labels[runs].ravel()
        widths = silhouette_widths(distance[np.ix_(rows, rows)], names)
        return np.bincount(names, widths) / len(runs)

    mean_interval, least_interval = (
        run_interval(statistic, n_runs, value, (-1.0, 1.0), n_halves=n_halves, seed=seed)
        for statistic, value in (
            (lambda runs: float(silhouettes(runs).mean()), mean),
            (lambda runs: float(silhouettes(runs).min()), minimum),
        )
    )
    return mean_interval, least_interval


def _consensus_criteria(labels: NDArray[np.intp], rank: int) -> dict[str, float | None]:
    assigned = labels[:, (labels >= 0).any(axis=0)]
    if not assigned.size:
        return dict.fromkeys(_CONSENSUS_BOUNDS)
    C = consensus_matrix(assigned)
    found = {"dispersion": dispersion(C), "pac": pac(C)}
    distance = squareform(1.0 - C, checks=False)
    if distance.size < 3 or np.ptp(distance) == 0:
        return dict.fromkeys(_CONSENSUS_BOUNDS) | found
    # The tree depends on the order of the samples where heights are equal; for a spread that is good enough.
    tree = average_linkage(1.0 - C, np.ones(len(C)))
    return found | {
        "cophenetic_correlation": float(np.corrcoef(distance, cophenet(tree))[0, 1]),
        "consensus_silhouette": consensus_silhouette(C, fcluster(tree, rank, "maxclust")),
    }


def _percentiles(values: Array) -> Interval:
    tail = 50 * (1 - COVERAGE)
    low, high = np.percentile(values, (tail, 100 - tail))
    return float(low), float(high)
