"""One stable solution from all good runs of a rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nmfcore.consensus import column_norms, sample_labels
from nmfcore.errors import InputError
from nmfcore.factorization import Runs, factorize_from
from nmfcore.reconstruction import hoyer_sparseness
from nmfcore.stability import ComponentClusters, cluster_components, component_stability

Floats = NDArray[np.floating]

SUPPORT_COSINE = 0.9
"""A run supports a component when its own version of it is at least this close to the centre."""


@dataclass(frozen=True)
class Solution:
    """Components that all good runs agree on as far as they do, largest first.

    Attributes
    ----------
    rank : int
    W : (n_features, rank) ndarray of float64
        Components of unit Euclidean norm.
    H : (rank, n_samples) ndarray of float64
        Coefficients; they carry the units of V.
    support : (rank,) ndarray of float64
        Share of the good runs that contain the component (cosine ≥ `SUPPORT_COSINE`).
    stability : (rank,) ndarray of float64 or None
        Silhouette of each component's cluster over the runs; None for rank 1 or a single run.
    share : (rank,) ndarray of float64
        Share of the reconstructed mass ΣWH.
    sparseness : (rank,) ndarray of float64
        Of the columns of W (Hoyer 2004).
    labels : (n_samples,) ndarray of int
        Component of each sample; −1 where it has none or a tie.
    loss, relative_error : float
        Of this solution.
    best_run_loss : float
        Of the best single run; the difference is the price of agreement.
    best_run_seed : int
    n_runs_used : int
    converged : bool
    """

    rank: int
    W: NDArray[np.float64]
    H: NDArray[np.float64]
    support: NDArray[np.float64]
    stability: NDArray[np.float64] | None
    share: NDArray[np.float64]
    sparseness: NDArray[np.float64]
    labels: NDArray[np.intp]
    loss: float
    relative_error: float
    best_run_loss: float
    best_run_seed: int
    n_runs_used: int
    converged: bool


def stable_solution(
    V: ArrayLike | Any,
    runs: Runs,
    *,
    observed: ArrayLike | None = None,
    max_iter: int = 2000,
    tol: float = 1e-8,
) -> Solution:
    """Combine the good runs of a rank to one solution and polish it on V.

    The components of all converged runs are matched by assignment, starting from the best run; versions that lie
    far from the rest of their cluster are left out; the centre of a cluster is the median of what remains. From the
    centres, W and H are iterated to a stationary point of the real problem in float64.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    runs : Runs
    observed, max_iter, tol
        See `nmfcore.factorize`.

    Raises
    ------
    InputError
        If no run converged.
    """
    good = runs.take(np.flatnonzero(runs.good))
    if not len(good):
        raise InputError(f"No run of rank {runs.rank} converged, so there is no solution to build.")
    best = int(good.loss.argmin())
    clusters = cluster_components(good.W, best)
    centres, support = _centres(good.W, clusters)
    scale = column_norms(good.W[best])
    polished = factorize_from(
        V,
        centres * scale,
        good.H[best],
        loss=runs.loss_name,
        observed=observed,
        max_iter=max_iter,
        tol=tol,
    )
    W, H = polished.W[0].astype(float), polished.H[0].astype(float)
    norms = column_norms(W)
    W, H = W / np.where(norms > 0, norms, 1), H * norms[:, None]
    mass = W.sum(axis=0) * H.sum(axis=1)
    order = np.argsort(-mass, kind="stable")
    stability = component_stability(clusters).silhouette
    W, H = W[:, order], H[order]
    return Solution(
        rank=runs.rank,
        W=W,
        H=H,
        support=support[order],
        stability=None if stability is None else stability[order],
        share=mass[order] / max(mass.sum(), np.finfo(float).tiny),
        sparseness=hoyer_sparseness(W, axis=0),
        labels=sample_labels(W, H),
        loss=float(polished.loss[0]),
        relative_error=float(polished.relative_error[0]),
        best_run_loss=float(good.loss[best]),
        best_run_seed=int(good.seeds[best]),
        n_runs_used=len(good),
        converged=bool(polished.good[0]),
    )


def _centres(
    W: Floats, clusters: ComponentClusters
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median of the members of each cluster that lie near the others, of unit norm; and the support."""
    n_runs, n_features, rank = W.shape
    centres = np.empty((n_features, rank))
    support = np.empty(rank)
    norms = column_norms(W)
    for j in range(rank):
        members = np.argmax(clusters.labels == j, axis=1)
        rows = np.arange(n_runs) * rank + members
        cosine = clusters.cosine[np.ix_(rows, rows)]
        unit = (
            W[np.arange(n_runs), :, members]
            / np.maximum(norms[np.arange(n_runs), members], np.finfo(float).tiny)[:, None]
        )
        centre = np.median(unit[_dense(cosine)], axis=0)
        length = np.linalg.norm(centre)
        centres[:, j] = centre / length if length > 0 else unit[0]
        support[j] = np.mean(unit @ centres[:, j] >= SUPPORT_COSINE)
    return centres, support


def _dense(cosine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Members with close neighbours: cNMF's local density filter, with a threshold read off the data.

    The density of a member is its mean distance to its nearest third of the others; members beyond the median by
    more than three robust standard deviations are left out.
    """
    n = len(cosine)
    neighbours = max(1, n // 3)
    nearest = np.sort(1 - cosine, axis=1)[:, 1 : neighbours + 1]
    distance = nearest.mean(axis=1) if n > 1 else np.zeros(1)
    middle = np.median(distance)
    spread = 1.4826 * np.median(np.abs(distance - middle))
    return np.asarray(distance <= middle + 3 * spread + 1e-6)
