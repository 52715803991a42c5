"""How reproducible a solution is: what the runs say of each component and each sample."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from nmfcore.consensus import UNASSIGNED, run_labels, silhouette_widths
from nmfcore.norms import column_norms, unit_columns
from nmfcore.runs import Runs
from nmfcore.stability import cosine_matrix

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

SUPPORT_COSINE = 0.9
"""A run supports a component when its own version of it is at least this close, and closer where others are near."""
MIXED_RATIO = 0.8
"""A sample is mixed where its second largest coefficient is at least this share of the largest."""
MIN_CONFIDENCE = 0.5
"""A sample is unassigned where fewer than this share of the runs agree on its component."""
FEW_FEATURES = 3
"""So many features alone are no component that other samples confirm, if they are few among all."""
COVERAGE_LEVELS = (2.5, 97.5)
"""Percentiles of every interval: 95 %."""

_NOTHING = 1e-3
"""Norm of what is left of a unit-norm component below which there is nothing but rounding."""
_FEATURES_A_HEAVY_ONE = 30
"""Of fewer, one may well be a component of its own: a panel of markers has no other kind."""
_N_RESAMPLES = 2000
_NORMAL_QUANTILE = 1.959963984540054
_BYTES_AT_ONCE = 1 << 28


class Assignment(StrEnum):
    """What can honestly be said of a sample."""

    ASSIGNED = "assigned"
    MIXED = "mixed"
    UNASSIGNED = "unassigned"


@dataclass(frozen=True)
class MatchedRuns:
    """The components of every run, paired with those of a solution by assignment.

    Attributes
    ----------
    partner : (n_runs, rank) ndarray of int
        Component of the run that is paired with component j of the solution; every row is a permutation.
    cosine : (n_runs, rank) ndarray of float64
        Of the two.
    """

    partner: Labels
    cosine: Array


def match_runs(W_runs: NDArray[np.floating], W: NDArray[np.floating]) -> MatchedRuns:
    """Pair the components of every run with those of a solution so that the sum of their cosines is largest.

    Parameters
    ----------
    W_runs : (n_runs, n_features, rank) ndarray
    W : (n_features, rank) ndarray
    """
    partner = np.empty((len(W_runs), W.shape[1]), np.intp)
    cosine = np.empty(partner.shape)
    for run, basis in enumerate(W_runs):
        similarity = cosine_matrix(W, basis)
        rows, partner[run] = linear_sum_assignment(similarity, maximize=True)
        cosine[run] = similarity[rows, partner[run]]
    return MatchedRuns(partner, cosine)


def support_bars(W: NDArray[np.floating]) -> Array:
    """Least cosine at which a run supports each component.

    `SUPPORT_COSINE`, or more where another component of the solution is near: a supporting version lies within half
    the (Euclidean) distance of the two unit-norm components, so it supports no other, 1 − (1 − c)/4 with c the cosine
    of the nearest other component.

    Parameters
    ----------
    W : (n_features, rank) ndarray

    Returns
    -------
    (rank,) ndarray of float64
    """
    cosine = cosine_matrix(W, W)
    np.fill_diagonal(cosine, 0.0)
    # Rounding must not fail a run that found exactly the same component.
    own = np.minimum(1 - (1 - cosine.max(axis=1)) / 4, 1 - 1e-9)
    return np.asarray(np.maximum(SUPPORT_COSINE, own))


def shown_components(
    basis: NDArray[np.floating], W: NDArray[np.floating], bars: Array
) -> NDArray[np.bool_]:
    """Which components of a solution a basis from other samples shows.

    Paired by assignment, at the cosine of their bars. Whatever the samples, a few features that outweigh all others
    make a component; so where the heaviest ones, `FEW_FEATURES` at most and few among all, reach the bar alone, what is
    left without them has to reach it too, unless that is nothing.

    Parameters
    ----------
    basis, W : (n_features, rank) ndarray
    bars : (rank,) ndarray
        See `support_bars`.

    Returns
    -------
    (rank,) ndarray of bool
    """
    matched = match_runs(basis[None], W)
    pair = unit_columns(W), unit_columns(basis[:, matched.partner[0]])
    few = min(FEW_FEATURES, len(W) // _FEATURES_A_HEAVY_ONE)
    heaviest = np.argsort(-pair[0], axis=0, kind="stable")[:few]
    of_few = np.square(np.take_along_axis(pair[0], heaviest, axis=0)).sum(axis=0)
    for rest in pair:
        np.put_along_axis(rest, heaviest, 0, axis=0)
    sizes = [column_norms(rest) for rest in pair]
    is_nothing = np.maximum(*sizes) <= _NOTHING
    is_alike = np.einsum("fk,fk->k", *pair) > bars * sizes[0] * sizes[1]
    return np.asarray((matched.cosine[0] >= bars) & ((of_few < bars**2) | is_nothing | is_alike))


def wilson_interval(successes: NDArray[np.integer], n: int) -> Array:
    """Wilson score interval of shares at 95 % (Wilson 1927).

    Parameters
    ----------
    successes : (rank,) ndarray of int
    n : int
        Trials of each.

    Returns
    -------
    (rank, 2) ndarray of float64
        Low and high, in [0, 1].
    """
    share, z2 = np.asarray(successes) / n, _NORMAL_QUANTILE**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_QUANTILE / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    return np.clip(np.stack([centre - half, centre + half], axis=1), 0.0, 1.0)


def bootstrap_interval(values: Array) -> Array:
    """Percentile bootstrap of the mean of each column over the rows at 95 % (Efron 1979), free of the rows' order.

    Parameters
    ----------
    values : (n_runs, rank) ndarray

    Returns
    -------
    (rank, 2) ndarray of float64
    """
    n_runs = len(values)
    drawn = np.random.default_rng(0).integers(n_runs, size=(_N_RESAMPLES, n_runs))
    counts = np.stack([np.bincount(row, minlength=n_runs) for row in drawn])
    means = counts @ np.sort(values, axis=0) / n_runs
    return np.asarray(np.percentile(means, COVERAGE_LEVELS, axis=0).T)


def matched_silhouette(cosine: Array, matched: MatchedRuns) -> Array | None:
    """Mean silhouette (distance 1 − cosine) of the runs' versions of each component; None for one run or rank 1.

    Parameters
    ----------
    cosine : (n_runs · rank, n_runs · rank) ndarray
        Of every two components; component i of run r is row r · rank + i.
    matched : MatchedRuns

    Returns
    -------
    (rank,) ndarray of float64 or None
    """
    n_runs, rank = matched.partner.shape
    if n_runs < 2 or rank < 2:
        return None
    distance = 1.0 - cosine
    np.fill_diagonal(distance, 0.0)
    labels = np.argsort(matched.partner, axis=1).ravel()
    widths = silhouette_widths(distance, labels)
    return np.asarray(np.bincount(labels, widths, rank) / n_runs)


def coefficient_intervals(runs: Runs, matched: MatchedRuns, exponent: int) -> tuple[Array, Array]:
    """Percentile interval over the runs of every coefficient, for components of unit norm.

    Parameters
    ----------
    runs : Runs
    matched : MatchedRuns
    exponent : int
        Both factors are divided by 2^exponent first, so that nothing overflows.

    Returns
    -------
    low, high : (rank, n_samples) ndarray of float64
    """
    n_runs, rank, n_samples = runs.H.shape
    low, high = np.empty((rank, n_samples)), np.empty((rank, n_samples))
    norms = np.ldexp(column_norms(runs.W), -exponent)
    step = max(1, _BYTES_AT_ONCE // (8 * n_runs))
    everyone = np.arange(n_runs)
    for j in range(rank):
        partner = matched.partner[:, j]
        for first in range(0, n_samples, step):
            part = slice(first, first + step)
            own = np.ldexp(runs.H[everyone, partner, part].astype(np.float64), -exponent)
            own *= norms[everyone, partner, None]
            low[j, part], high[j, part] = np.percentile(own, COVERAGE_LEVELS, axis=0)
    return low, high


def label_agreement(runs: Runs, matched: MatchedRuns, labels: Labels) -> Array:
    """Share of the runs that give each sample the same component (or none) as the solution does.

    Parameters
    ----------
    runs : Runs
    matched : MatchedRuns
    labels : (n_samples,) ndarray of int

    Returns
    -------
    (n_samples,) ndarray of float64
    """
    names = np.argsort(matched.partner, axis=1)
    agreeing = np.zeros(labels.size)
    for run in range(len(runs)):
        own = run_labels(runs.W[run : run + 1], runs.H[run : run + 1])[0]
        agreeing += np.where(own == UNASSIGNED, UNASSIGNED, names[run][own]) == labels
    return agreeing / len(runs)


def assignments(H: Array, labels: Labels, confidence: Array) -> NDArray[np.str_]:
    """What can be said of each sample, an `Assignment` each.

    `unassigned` without a positive coefficient, on a tie, or where fewer than `MIN_CONFIDENCE` of the runs agree;
    else `mixed` where the second largest coefficient is at least `MIXED_RATIO` of the largest.

    Parameters
    ----------
    H : (rank, n_samples) ndarray
        Coefficients for components of unit norm.
    labels : (n_samples,) ndarray of int
    confidence : (n_samples,) ndarray of float64
    """
    ordered = np.sort(H, axis=0)
    second = ordered[-2] if len(H) > 1 else np.zeros(H.shape[1])
    mixed = second >= MIXED_RATIO * ordered[-1]
    unassigned = (labels == UNASSIGNED) | (confidence < MIN_CONFIDENCE)
    said = np.where(mixed, Assignment.MIXED, Assignment.ASSIGNED)
    return np.where(unassigned, Assignment.UNASSIGNED, said).astype(np.str_)
