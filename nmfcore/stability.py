"""Do the runs find the same components? Matching, clustering and silhouettes of the columns of W.

Two components are compared by the cosine of their angle, so neither the scale of a component nor
the order of the components of a run matters. All runs together are compared through one Gram
matrix of their unit-norm components; after that the number of features no longer counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from nmfcore.consensus import silhouette_widths
from nmfcore.norms import column_norms, unit_columns

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class ComponentClusters:
    """The components of all runs in ``rank`` clusters, one component of each run in each.

    Attributes
    ----------
    labels : (n_runs, rank) ndarray of int
        Cluster of component i of run r; every row is a permutation. Cluster j holds component j of
        the start run.
    centres : (n_features, rank) ndarray
        Mean direction of each cluster, of unit Euclidean norm.
    cosine : (n_runs · rank, n_runs · rank) ndarray
        Cosine of every two components; component i of run r is row r · rank + i.
    converged : bool
        Whether the assignment stopped changing within the allowed iterations.
    """

    labels: Labels
    centres: Array
    cosine: Array
    converged: bool


@dataclass(frozen=True)
class ComponentStability:
    """How alike the runs find each component.

    Attributes
    ----------
    silhouette : (rank,) ndarray or None
        Mean component silhouette of each cluster, in [−1, 1]; None for one run or rank 1.
    mean, minimum : float or None
        Mean and least of ``silhouette``.
    matched_cosine : (rank,) ndarray or None
        Mean cosine of two components of a cluster over all pairs of runs, in [0, 1] for
        nonnegative W; None for one run.
    """

    silhouette: Array | None
    mean: float | None
    minimum: float | None
    matched_cosine: Array | None


def cosine_matrix(A: NDArray[np.floating], B: NDArray[np.floating]) -> Array:
    """Cosine of the angle between every column of A and every column of B.

    c_ij = ⟨a_i, b_j⟩ / (‖a_i‖ ‖b_j‖), 0 where a column is zero. In [0, 1] for nonnegative columns.

    Parameters
    ----------
    A : (n_features, n_left) ndarray
    B : (n_features, n_right) ndarray

    Returns
    -------
    (n_left, n_right) ndarray of float64
    """
    return np.clip(unit_columns(A).T @ unit_columns(B), -1.0, 1.0)


def match_components(A: NDArray[np.floating], B: NDArray[np.floating]) -> Labels:
    """Pair the columns of two matrices so that the sum of their cosines is largest.

    Parameters
    ----------
    A, B : (n_features, rank) ndarray

    Returns
    -------
    (rank,) ndarray of int
        A permutation: column i of A is matched with column ``permutation[i]`` of B.
    """
    if A.shape != B.shape:
        raise ValueError(f"A and B must have the same shape, got {A.shape} and {B.shape}")
    return _assignment(cosine_matrix(A, B))


def cluster_components(
    W: NDArray[np.floating], start: int = 0, *, max_iter: int = 100
) -> ComponentClusters:
    """Cluster the components of all runs, exactly one of each run to a cluster.

    Spherical k-means in which every run is assigned to the centres by the permutation with the
    largest sum of cosines. The centres start at the components of one run and are then the mean of
    their unit-norm members. Deterministic. Source: SigProfilerExtractor (Alexandrov et al. 2020),
    NMFk (Alexandrov & Vesselinov 2014).

    Parameters
    ----------
    W : (n_runs, n_features, rank) ndarray, nonnegative
    start : int
        The run whose components are the first centres, such as the one with the least loss.
    max_iter : int
        Largest number of assignments of all runs.

    Returns
    -------
    ComponentClusters
    """
    n_runs, n_features, rank = W.shape
    units = unit_columns(W).transpose(1, 0, 2).reshape(n_features, n_runs * rank)
    cosine = np.clip(units.T @ units, -1.0, 1.0)
    similarity = cosine[:, start * rank : (start + 1) * rank]
    labels = np.full((n_runs, rank), -1, dtype=np.intp)
    converged = False
    for _ in range(max_iter):
        previous, labels = labels, _assign_runs(similarity.reshape(n_runs, rank, rank))
        converged = bool((labels == previous).all())
        if converged:
            break
        similarity = _centre_similarity(cosine, _membership(labels))
    names = np.argsort(labels[start])
    labels = names[labels]
    return ComponentClusters(labels, unit_columns(units @ _membership(labels)), cosine, converged)


def component_silhouettes(clusters: ComponentClusters) -> Array | None:
    """Silhouette of every component of every run, with distance 1 − cosine.

    Source: NMFk (Alexandrov & Vesselinov 2014), SigProfilerExtractor, cNMF (Kotliar et al. 2019).
    Range [−1, 1].

    Parameters
    ----------
    clusters : ComponentClusters

    Returns
    -------
    (n_runs, rank) ndarray or None
        Entry (r, i) is of component i of run r, in cluster ``clusters.labels[r, i]``. None where
        undefined: one run or rank 1.
    """
    n_runs, rank = clusters.labels.shape
    if n_runs < 2 or rank < 2:
        return None
    distance = 1.0 - clusters.cosine
    np.fill_diagonal(distance, 0.0)
    return silhouette_widths(distance, clusters.labels.ravel()).reshape(n_runs, rank)


def component_stability(clusters: ComponentClusters) -> ComponentStability:
    """Summarise each cluster of components by its mean silhouette and its mean cosine.

    Parameters
    ----------
    clusters : ComponentClusters

    Returns
    -------
    ComponentStability
    """
    matched_cosine = _matched_cosine(clusters)
    silhouettes = component_silhouettes(clusters)
    if silhouettes is None:
        return ComponentStability(None, None, None, matched_cosine)
    members = _membership(clusters.labels)
    means = silhouettes.ravel() @ members / members.sum(axis=0)
    return ComponentStability(means, float(means.mean()), float(means.min()), matched_cosine)


def amari_distance(A: NDArray[np.floating], B: NDArray[np.floating]) -> float:
    """Amari-type distance of two sets of components.

    (1/2k) [2k − Σ_i max_j c_ij − Σ_j max_i c_ij], where c_ij is the absolute Pearson correlation of
    columns i of A and j of B, 0 where a column is constant. Source: Wu et al. 2016, whose code
    (staNMF) takes the absolute value. Range [0, 1]: 0 where every component has a perfect partner.

    Parameters
    ----------
    A, B : (n_features, rank) ndarray

    Returns
    -------
    float
    """
    if A.shape != B.shape:
        raise ValueError(f"A and B must have the same shape, got {A.shape} and {B.shape}")
    correlation = np.abs(cosine_matrix(_centred_columns(A), _centred_columns(B)))
    return float(1.0 - (correlation.max(axis=1).mean() + correlation.max(axis=0).mean()) / 2)


def amari_instability(W: NDArray[np.floating]) -> float | None:
    """Mean Amari-type distance over all pairs of runs.

    Source: Wu et al. 2016. Range [0, 1], 0 where all runs find the same components.

    Parameters
    ----------
    W : (n_runs, n_features, rank) ndarray

    Returns
    -------
    float or None
        None for one run.
    """
    n_runs = len(W)
    return None if n_runs < 2 else float(amari_distances(W).sum() / (n_runs * (n_runs - 1)))


def amari_distances(W: NDArray[np.floating]) -> Array:
    """Amari-type distance (`amari_distance`) of every two runs.

    Parameters
    ----------
    W : (n_runs, n_features, rank) ndarray

    Returns
    -------
    (n_runs, n_runs) ndarray of float64
        Symmetric with a zero diagonal.
    """
    n_runs, n_features, rank = W.shape
    units = unit_columns(_centred_columns(W)).transpose(1, 0, 2)
    units = units.reshape(n_features, n_runs * rank)
    correlation = np.minimum(np.abs(units.T @ units), 1.0).reshape(n_runs, rank, n_runs, rank)
    best = correlation.max(axis=3).mean(axis=1)
    distances = 1.0 - (best + best.T) / 2
    np.fill_diagonal(distances, 0.0)
    return np.asarray(distances)


def reproduced_share(clusters: ComponentClusters, run: int, cosine: float = 0.9) -> float | None:
    """Share of the other runs that find every component of one run.

    A run reproduces it when, matched by assignment, even its least alike component has the given cosine. This asks
    whether one solution, such as the best, can be found again, where the silhouettes ask whether all runs agree.
    Range [0, 1].

    Parameters
    ----------
    clusters : ComponentClusters
    run : int
    cosine : float

    Returns
    -------
    float or None
        None for one run.
    """
    n_runs, rank = clusters.labels.shape
    if n_runs < 2:
        return None
    rows = clusters.cosine[run * rank : (run + 1) * rank].reshape(rank, n_runs, rank)
    found = [
        rows[np.arange(rank), other, _assignment(rows[:, other])].min() >= cosine
        for other in range(n_runs)
        if other != run
    ]
    return float(np.mean(found))


def _centred_columns(W: NDArray[np.floating]) -> Array:
    """Subtract the mean of each unit column; exactly zero where that is all but rounding."""
    units = unit_columns(W)
    centred = units - units.mean(axis=-2, keepdims=True)
    varies = column_norms(centred) > 1e-13
    return np.where(varies[..., None, :], centred, 0.0)


def _assignment(similarity: Array) -> Labels:
    return np.asarray(linear_sum_assignment(similarity, maximize=True)[1], dtype=np.intp)


def _assign_runs(similarity: Array) -> Labels:
    """Assign the components of each run to the centres; (n_runs, rank, rank) to (n_runs, rank)."""
    return np.stack([_assignment(of_run) for of_run in similarity])


def _membership(labels: Labels) -> Array:
    """One-hot rows: (n_runs, rank) to (n_runs · rank, rank)."""
    return np.eye(labels.shape[1])[labels.ravel()]


def _squared_norms(cosine: Array, members: Array) -> Array:
    """‖Σ of the unit members‖² of each cluster."""
    return np.asarray(np.einsum("pj,pj->j", members, cosine @ members))


def _centre_similarity(cosine: Array, members: Array) -> Array:
    """Cosine of every component with the centre of every cluster."""
    norms = np.sqrt(_squared_norms(cosine, members))
    return np.asarray(cosine @ members / np.where(norms > 0, norms, 1.0))


def _matched_cosine(clusters: ComponentClusters) -> Array | None:
    """Mean cosine over pairs of different runs, from ‖Σ u‖² = Σ ‖u‖² + Σ_{r≠s} ⟨u_r, u_s⟩."""
    n_runs = len(clusters.labels)
    if n_runs < 2:
        return None
    members = _membership(clusters.labels)
    own = np.diagonal(clusters.cosine) @ members
    return (_squared_norms(clusters.cosine, members) - own) / (n_runs * (n_runs - 1))
