"""One stable solution from all good runs of a rank, with a statement of how reproducible each part of it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from nmfcore.block_matrix import BLOCK_CELLS, BlockMatrix
from nmfcore.blocks import submatrix
from nmfcore.consensus import sample_labels
from nmfcore.errors import InputError
from nmfcore.factorization import Transformed, factorize_from
from nmfcore.factorization import transform as transform_with
from nmfcore.feature_scores import feature_scores, feature_shares, marker_features
from nmfcore.limits import N_SPLITS
from nmfcore.local_density import LocalDensity, local_density
from nmfcore.norms import unit_columns
from nmfcore.problem import Problem, pose
from nmfcore.reconstruction import hoyer_sparseness
from nmfcore.runs import Runs, Status
from nmfcore.solution_evidence import (
    SUPPORT_COSINE,
    assignments,
    bootstrap_interval,
    coefficient_intervals,
    label_agreement,
    match_runs,
    matched_silhouette,
    support_bars,
    wilson_interval,
)
from nmfcore.solvers.penalties import Penalties
from nmfcore.split_halves import count_replications
from nmfcore.stability import ComponentClusters, cluster_components

__all__ = ["SUPPORT_COSINE", "Solution", "coefficients", "stable_solution"]

Floats = NDArray[np.floating]
Array = NDArray[np.float64]
Labels = NDArray[np.intp]

NEAR_LOSS = 1e-3
"""Runs up to this share above the least loss may shape the centre; local minima lie farther off."""
NEAR_VARIANCE = 1e-6
"""The same as a share of what there is to explain, for matrices that are fitted all but exactly."""
START_FLOOR = 1e-6
"""Share of its component's mean that an entry of the start has at least, where a zero could cost infinitely much."""
TRANSFORM_TOL = 1e-12
TRANSFORM_ITERATIONS = 2000
SAME_LOSS = 1e-4
"""Relative difference of losses up to which they count as the same."""


@dataclass(frozen=True)
class Solution:
    """Components that all good runs agree on as far as they do, largest first.

    Intervals are at 95 %. The order of components is that of `share`, descending.

    Attributes
    ----------
    rank : int
    loss_name : str
    penalties : Penalties
        Of the runs. The components are those of the penalised problem; coefficients minimise the loss plus
        `penalties.of_coefficients`, here and of new samples.
    W : (n_features, rank) ndarray of float64
        Components of unit Euclidean norm.
    H : (rank, n_samples) ndarray of float64
        Coefficients; they carry the units of V. Best for this W (`transform` of the same samples).
    H_low, H_high : (rank, n_samples) ndarray of float64
        Percentile interval of the coefficients over all good runs, widened to hold `H`.
    run_support : (rank,) ndarray of float64
        Share of the good runs that contain the component: matched by assignment, at a cosine of `SUPPORT_COSINE`, or
        more where another component is near (`solution_evidence.support_bars`).
    run_support_interval : (rank, 2) ndarray of float64
        Wilson score interval.
    replication : (rank,) ndarray of float64 or None
        Share of random splits of the samples in which both halves show the component (`split_halves`). Where starts
        agree on noise, which they may, this is low. None for few samples.
    replication_interval : (rank, 2) ndarray of float64 or None
        Wilson score interval.
    stability : (rank,) ndarray of float64 or None
        Silhouette of the runs' versions of each component; None for rank 1 or a single run.
    matched_cosine : (rank,) ndarray of float64
        Mean cosine of the runs' versions with the component.
    matched_cosine_interval : (rank, 2) ndarray of float64
        Percentile bootstrap over the runs.
    share : (rank,) ndarray of float64
        Share of the reconstructed mass ΣWH.
    explained : (rank,) ndarray of float64
        Share of V explained. Frobenius: ⟨V, w_j h_j⟩ / ΣV², which adds up to the explained variance; other
        losses: Σ w_j h_j / ΣV. Over the observed cells.
    sparseness : (rank,) ndarray of float64
        Of the columns of W (Hoyer 2004).
    labels : (n_samples,) ndarray of int
        Component of each sample, that of its largest coefficient; −1 where it has none or a tie.
    confidence : (n_samples,) ndarray of float64
        Share of the good runs that give the sample the same label.
    assignment : (n_samples,) ndarray of str
        `assigned`, `mixed` or `unassigned` (`solution_evidence.assignments`).
    sample_error : (n_samples,) ndarray of float64
        ‖v − Wh‖ / ‖v‖ of each sample; NaN for one of zeros.
    loss, relative_error : float
        Of this solution.
    best_run_loss : float
        Of the best single run; `comparison` explains the difference.
    best_run_seed : int
    n_runs_used : int
        Good runs: what support, stability and intervals are over.
    n_runs_centre : int
        Of these, runs at the least loss with the components of the best run: what the centre was made of.
    clustering_agreement : float or None
        Share of the components that fall in the same cluster when the clustering starts from another run, the one
        most like all others; None for a single run.
    density : LocalDensity or None
        The filter of outlying components with its histogram; None for a single run.
    converged : bool
        Whether the polish reached a stationary point within its iterations.
    """

    rank: int
    loss_name: str
    penalties: Penalties
    W: Array
    H: Array
    H_low: Array
    H_high: Array
    run_support: Array
    run_support_interval: Array
    replication: Array | None
    replication_interval: Array | None
    stability: Array | None
    matched_cosine: Array
    matched_cosine_interval: Array
    share: Array
    explained: Array
    sparseness: Array
    labels: Labels
    confidence: Array
    assignment: NDArray[np.str_]
    sample_error: Array
    loss: float
    relative_error: float
    best_run_loss: float
    best_run_seed: int
    n_runs_used: int
    n_runs_centre: int
    clustering_agreement: float | None
    density: LocalDensity | None
    converged: bool

    @property
    def support(self) -> Array:
        """What speaks for each component: the smaller of `run_support` and, where it is known, `replication`.

        Runs alone may all agree on a component of noise, and samples alone may show one that few starts find.
        """
        if self.replication is None:
            return self.run_support
        return np.minimum(self.run_support, self.replication)

    @property
    def support_interval(self) -> Array:
        """Interval of the share that `support` is, (rank, 2)."""
        if self.replication is None or self.replication_interval is None:
            return self.run_support_interval
        by_runs = self.run_support <= self.replication
        return np.where(by_runs[:, None], self.run_support_interval, self.replication_interval)

    @property
    def feature_scores(self) -> Array:
        """How much each feature belongs to one component, in [0, 1] (Kim & Park 2007); NaN where undefined."""
        return feature_scores(self.W)

    @property
    def feature_shares(self) -> Array:
        """Share of each component in the weight of a feature, (n_features, rank)."""
        return feature_shares(self.W)

    @property
    def markers(self) -> Labels:
        """Component that each feature marks by the rule of Kim & Park 2007, −1 for most."""
        return marker_features(self.W)

    @property
    def comparison(self) -> str:
        """The loss beside that of the best single run, and why they differ, in a sentence."""
        difference = self.loss - self.best_run_loss
        size = abs(difference) / max(self.best_run_loss, np.finfo(float).tiny)
        whose = f"the best of {self.n_runs_used} runs (seed {self.best_run_seed})"
        shaped = f"{self.n_runs_centre} of {self.n_runs_used} runs ended there"
        if not np.isfinite(size) or size <= SAME_LOSS:
            return f"The loss is that of {whose} to within {SAME_LOSS:.2g}: it is the same optimum, and {shaped}."
        if difference < 0:
            return (
                f"The loss is {size:.2g} (relative) below that of {whose}: the centre of the runs was iterated on, in "
                f"double precision, past the point where they stopped; {shaped}."
            )
        return (
            f"The loss is {size:.2g} (relative) above that of {whose}: iterated on from the centre of the runs near "
            f"it, V has another optimum that is a little worse; {shaped}."
        )

    def transform(self, V_new: ArrayLike | Any, observed: ArrayLike | None = None) -> Transformed:
        """Coefficients of new samples for these components.

        Parameters
        ----------
        V_new : (n_features, n_new) array_like or sparse
            Samples with the features of `W`, in the same order and units as V.
        observed : (n_features, n_new) array_like of bool, optional
            False where a cell must not influence the fit.

        Returns
        -------
        Transformed
            `.H` (rank, n_new), `.relative_error` of every sample.

        Raises
        ------
        InputError
            If the samples cannot be used, or have other features.
        """
        return coefficients(
            V_new, self.W, self.loss_name, observed=observed, penalties=self.penalties
        )

    def reconstruct(self) -> Array:
        """What the solution says V is, WH, (n_features, n_samples)."""
        return self.W @ self.H

    def predict(self, features: ArrayLike, samples: ArrayLike) -> Array:
        """Predict cells of V, such as hidden ones: Σ_k w_ik h_kj of each pair.

        Parameters
        ----------
        features, samples : (n_cells,) array_like of int
            Row and column of each cell.

        Returns
        -------
        (n_cells,) ndarray of float64
        """
        rows, columns = np.asarray(features), np.asarray(samples)
        return np.asarray(np.einsum("ck,kc->c", self.W[rows], self.H[:, columns]))


def stable_solution(
    V: ArrayLike | Any,
    runs: Runs,
    *,
    observed: ArrayLike | None = None,
    penalties: Penalties | None = None,
    max_iter: int = 2000,
    tol: float = 1e-9,
    n_splits: int = N_SPLITS,
) -> Solution:
    """Combine the good runs of a rank to one solution and polish it on V.

    The unit-norm components of all converged runs are clustered by assignment, at most one of each run to a cluster,
    from the best run and, as a check, from the run most like all others. Versions that lie in no dense region are left
    out (`local_density`). Where starts ended in several local minima their mixture would be no solution, so the centre
    of a cluster is the median of the versions of the runs at the least loss that share the components of the best run.
    From the centres, W and H are iterated in float64 to a stationary point of the real problem. The statements of
    support, stability, intervals and confidence are over all good runs, whichever minimum they ended in.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    runs : Runs
    observed, penalties, max_iter, tol
        See `nmfcore.factorize`; the penalties are those of the runs.
    n_splits : int
        Random splits of the samples for `replication`; 0 leaves it out.

    Raises
    ------
    InputError
        If no run converged.
    """
    good = runs.take(np.flatnonzero(runs.good))
    if not len(good):
        raise InputError(f"No run of rank {runs.rank} converged, so there is no solution to build.")
    # Everything is at the scale of the problem, where nothing overflows, until the end.
    problem = pose(V, observed, runs.loss_name, "float64", penalties=penalties)
    best = int(good.relative_error.argmin())
    clusters, agreement = _clusters(good, best)
    density = local_density(clusters.cosine, len(good)) if len(good) > 1 else None
    near = _near_best(good, clusters, best)
    W = _centres(good.W, clusters, near, density)
    W, fit, converged = _polished(problem, W, observed, max_iter, tol)
    H = np.asarray(fit.H, np.float64)
    matched = match_runs(good.W, W)
    n_supporting = (matched.cosine >= support_bars(W)).sum(axis=0)
    replicated = count_replications(
        problem.exact,
        W,
        loss=problem.loss,
        observed=observed,
        penalties=problem.penalties,
        n_splits=n_splits,
    )
    low, high = coefficient_intervals(good, matched, problem.exponent)
    labels = sample_labels(W, H)
    confidence = label_agreement(good, matched, labels)
    loss = _losses(problem, W, H)
    null = problem.null_loss
    mass = W.sum(axis=0) * H.sum(axis=1)
    return Solution(
        rank=runs.rank,
        loss_name=runs.loss_name,
        penalties=penalties or Penalties(),
        W=W,
        H=_in_units(H, problem),
        H_low=_in_units(np.minimum(low, H), problem),
        H_high=_in_units(np.maximum(high, H), problem),
        run_support=n_supporting / len(good),
        run_support_interval=wilson_interval(n_supporting, len(good)),
        replication=None if replicated is None else replicated / n_splits,
        replication_interval=None if replicated is None else wilson_interval(replicated, n_splits),
        stability=matched_silhouette(clusters.cosine, matched),
        matched_cosine=matched.cosine.mean(axis=0),
        matched_cosine_interval=bootstrap_interval(matched.cosine),
        share=mass / max(float(mass.sum()), np.finfo(float).tiny),
        explained=_explained(problem, W, H),
        sparseness=hoyer_sparseness(W, axis=0),
        labels=labels,
        confidence=confidence,
        assignment=assignments(H, labels, confidence),
        sample_error=fit.relative_error,
        loss=float(problem.in_units(loss)[0]),
        relative_error=float(np.sqrt(loss[0] / null)) if null > 0 else 0.0,
        best_run_loss=float(good.loss[best]),
        best_run_seed=int(good.seeds[best]),
        n_runs_used=len(good),
        n_runs_centre=int(near.sum()),
        clustering_agreement=agreement,
        density=density,
        converged=converged,
    )


def coefficients(
    V: ArrayLike | Any,
    W: Array,
    loss: str | float = "frobenius",
    *,
    observed: ArrayLike | None = None,
    penalties: Penalties | None = None,
    max_iter: int = TRANSFORM_ITERATIONS,
    tol: float = TRANSFORM_TOL,
) -> Transformed:
    """Coefficients of samples for a fixed W, each sample at its own scale, so that a faint one counts like others.

    Penalties know no scale of a sample's own; with them, all are at one. Features that no sample was observed in take
    no part, and cost nothing.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
    W : (n_features, rank) ndarray of float64
    loss, observed, max_iter, tol
        See `nmfcore.factorization.transform`.
    penalties : Penalties, optional
        Those of the fit that W comes from; `of_coefficients` act.

    Returns
    -------
    Transformed

    Raises
    ------
    InputError
        If the samples cannot be used, or have other features than W.
    """
    problem = pose(V, observed, loss, "float64")
    if len(W) != problem.shape[0]:
        raise InputError(
            f"The solution has {len(W)} features, the new samples have {problem.shape[0]}; the same features in the "
            "same order are needed."
        )
    acting = (penalties or Penalties()).of_coefficients
    if isinstance(problem.given, BlockMatrix):
        return _coefficients_by_samples(problem, W, acting, max_iter, tol)
    seen = None if observed is None else np.asarray(observed, bool)
    return _coefficients_of_all(problem, W, seen, acting, max_iter, tol)


def _coefficients_of_all(
    problem: Problem,
    W: Array,
    seen: NDArray[np.bool_] | None,
    penalties: Penalties,
    max_iter: int,
    tol: float,
) -> Transformed:
    """`coefficients` of samples that are in memory."""
    given, basis = problem.given, W
    if seen is not None and not seen.any(axis=1).all():
        rows = np.flatnonzero(seen.any(axis=1))
        given, basis, seen = given[rows], W[rows], seen[rows]
    exponents = _column_exponents(given)
    if penalties:
        exponents = np.zeros_like(exponents)
    fit = transform_with(
        _scaled_columns(given, -exponents),
        basis,
        problem.loss,
        max_iter,
        tol,
        observed=seen,
        penalties=penalties,
    )
    with np.errstate(over="ignore", under="ignore"):
        H = np.ldexp(np.asarray(fit.H, np.float64), exponents)
    at_scale = np.ldexp(np.asarray(fit.H, np.float64), exponents - 2 * problem.exponent)
    value = float(problem.in_units(_losses(problem, W, at_scale))[0])
    return Transformed(H, value, fit.relative_error, fit.n_iter, fit.status)


def _coefficients_by_samples(
    problem: Problem, W: Array, penalties: Penalties, max_iter: int, tol: float
) -> Transformed:
    """`coefficients` of a large matrix, some samples at a time."""
    n_features, n_samples = problem.shape
    step = max(BLOCK_CELLS // n_features, 1)
    fits = []
    for first in range(0, n_samples, step):
        samples = np.arange(first, min(first + step, n_samples))
        part = submatrix(problem.given, np.arange(n_features), samples)
        posed = pose(part, None, problem.loss, "float64", by_blocks=False)
        fits.append(_coefficients_of_all(posed, W, None, penalties, max_iter, tol))
    statuses = {fit.status for fit in fits}
    order = (Status.NON_FINITE, Status.MAX_ITER, Status.CONVERGED)
    return Transformed(
        np.concatenate([fit.H for fit in fits], axis=1),
        sum(fit.loss for fit in fits),
        np.concatenate([fit.relative_error for fit in fits]),
        max(fit.n_iter for fit in fits),
        next(status for status in order if status in statuses),
    )


def _column_exponents(values: Any) -> NDArray[np.int64]:
    """Power of two just below the largest entry of each column; 0 for a column of zeros."""
    largest = values.max(axis=0)
    flat = np.asarray(largest.toarray() if sparse.issparse(largest) else largest, float).ravel()
    return np.where(flat > 0, np.frexp(flat)[1] - 1, 0).astype(np.int64)


def _scaled_columns(values: Any, exponents: NDArray[np.int64]) -> Any:
    if not sparse.issparse(values):
        return np.ldexp(np.asarray(values, np.float64), exponents)
    data = np.ldexp(values.data.astype(np.float64), exponents[values.indices])
    return sparse.csr_array((data, values.indices, values.indptr), shape=values.shape)


def _losses(problem: Problem, W: Array, H: Array) -> Array:
    """Loss of factors at the scale of the problem, an array of one."""
    basis = np.ascontiguousarray(W.T)[None]
    return problem.losses(basis, H[None])


def _in_units(H: Array, problem: Problem) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(H, 2 * problem.exponent)


def _clusters(good: Runs, best: int) -> tuple[ComponentClusters, float | None]:
    """Cluster from the best run and from the run most like all others; keep the tighter, and say how far they agree."""
    clusters = cluster_components(good.W, best)
    n_runs, rank = clusters.labels.shape
    if n_runs < 2:
        return clusters, None
    likeness = clusters.cosine.reshape(n_runs, rank, n_runs, rank).max(axis=3).sum(axis=(1, 2))
    # Of runs that are alike to rounding, the one with the larger loss: least like the first start.
    most = np.flatnonzero(likeness >= likeness.max() * (1 - 1e-6))
    other = int(most[good.relative_error[most].argmax()])
    second = cluster_components(good.W, other)
    common = np.zeros((rank, rank))
    np.add.at(common, (clusters.labels.ravel(), second.labels.ravel()), 1)
    rows, columns = linear_sum_assignment(common, maximize=True)
    agreement = float(common[rows, columns].sum() / common.sum())
    tighter = _tightness(second) > _tightness(clusters) * (1 + 1e-9)
    return (second if tighter else clusters), agreement


def _tightness(clusters: ComponentClusters) -> float:
    """Σ ‖Σ of the unit members‖: what the clustering maximises."""
    members = np.eye(clusters.labels.shape[1])[clusters.labels.ravel()]
    squares = np.einsum("pj,pj->j", members, clusters.cosine @ members)
    return float(np.sqrt(np.maximum(squares, 0)).sum())


def _near_best(good: Runs, clusters: ComponentClusters, best: int) -> NDArray[np.bool_]:
    """Runs at the least loss whose every component, matched by cluster, is like that of the best run."""
    squares = good.relative_error**2
    near = squares <= squares[best] * (1 + NEAR_LOSS) + NEAR_VARIANCE
    n_runs, rank = clusters.labels.shape
    places = np.arange(n_runs)[:, None] * rank + np.argsort(clusters.labels, axis=1)
    alike = clusters.cosine[places, places[best]].min(axis=1) >= SUPPORT_COSINE
    alike[best] = True
    return np.asarray(near & alike)


def _centres(
    W: Floats, clusters: ComponentClusters, near: NDArray[np.bool_], density: LocalDensity | None
) -> Array:
    """Median of the versions of each component, of unit norm; without the outlying ones where others remain."""
    members = np.argsort(clusters.labels, axis=1)
    centres = np.empty(W.shape[1:])
    runs = np.flatnonzero(near)
    for j in range(W.shape[2]):
        dense = runs
        if density is not None:
            kept = density.kept[runs, members[runs, j]]
            dense = runs[kept] if kept.any() else runs
        versions = np.stack(
            [unit_columns(W[run][:, members[run, j : j + 1]])[:, 0] for run in dense]
        )
        centre = np.median(versions, axis=0)
        centres[:, j] = centre if centre.any() else versions.mean(axis=0)
    return unit_columns(centres)


def _polished(
    problem: Problem, W: Array, observed: ArrayLike | None, max_iter: int, tol: float
) -> tuple[Array, Transformed, bool]:
    """Iterate from the centres to a stationary point; unit-norm components by mass, and their coefficients.

    The coefficients are refitted last by the same function as those of new samples, so both are the same.
    """
    options: dict[str, Any] = {"observed": observed, "penalties": problem.penalties}
    V = problem.exact
    if problem.beta < 2:
        W = np.maximum(W, START_FLOOR * W.mean(axis=0))
    H = coefficients(V, W, problem.loss, **options).H
    joint = factorize_from(V, W, H, problem.loss, max_iter, tol, **options)
    W = unit_columns(joint.W[0])
    fit = coefficients(V, W, problem.loss, **options)
    order = np.argsort(-W.sum(axis=0) * fit.H.sum(axis=1), kind="stable")
    return W[:, order], replace(fit, H=fit.H[order]), bool(joint.good[0])


def _explained(problem: Problem, W: Array, H: Array) -> Array:
    """Share of V explained by each component, over the observed cells."""
    V, weights = problem.exact, problem.weights
    if problem.beta == 2:
        total = problem.squares
        parts = np.einsum("mk,mk->k", W, V @ H.T)
    else:
        total = float(V.sum())
        seen = H.sum(axis=1) if weights is None else np.einsum("mk,mk->k", W, weights @ H.T)
        parts = W.sum(axis=0) * seen if weights is None else seen
    return np.asarray(parts / max(total, np.finfo(float).tiny))
