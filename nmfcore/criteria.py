"""Every criterion of one rank, gathered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmfcore.bi_cross_validation import BiCrossValidation
from nmfcore.consensus import (
    ConsensusSummary,
    feature_labels,
    run_labels,
    summarize_consensus,
)
from nmfcore.cross_validation import CrossValidation
from nmfcore.intervals import (
    Interval,
    consensus_intervals,
    fold_interval,
    run_interval,
    stability_intervals,
)
from nmfcore.permutation import PermutationNull
from nmfcore.reconstruction import sparseness_H, sparseness_W
from nmfcore.runs import Runs, Status
from nmfcore.stability import (
    amari_distances,
    cluster_components,
    component_stability,
    reproduced_share,
)

MIN_GOOD_RUNS = 2
"""Converged runs below which a rank has no stability to speak of."""

MAX_FEATURES = 1000
"""Distinct label vectors of features up to which their consensus is exact; of more, so many features stand for all."""

_SERIES = ("fold_errors", "null_losses")


@dataclass(frozen=True)
class Criteria:
    """The criteria of one rank; None where undefined. See docs/theory.md for each.

    Names ending in `_low` and `_high` bound the criterion before them: 95 % over folds for the held-out error, over
    runs for all others (`nmfcore.intervals`).

    Attributes
    ----------
    rank, n_runs, n_good, n_non_finite : int
        `n_good` runs converged and are the evidence of everything below.
    reconstruction_error, reconstruction_error_median : float or None
        Relative error of the best good run and of the median one.
    loss, rss, explained_variance : float or None
        Of the best good run. The last two are for Frobenius only.
    svd_error : float or None
        Relative Frobenius error of the truncated SVD of this rank: no factorisation can do better.
    held_out_error, held_out_error_se : float or None
        Relative error over cells hidden from the fit, and its standard error over the folds.
    held_out_cost : float or None
        What one more component would add to that error if it found nothing.
    bi_cross_validation_error, bi_cross_validation_error_se : float or None
        Relative error over held-out blocks (Owen & Perry 2009).
    residual_excess : float or None
        What the residual of the best good run holds beyond noise (`nmfcore.residuals`); about 1 where nothing.
    cophenetic_correlation, dispersion, pac, consensus_silhouette : float or None
        Of the consensus over the good runs.
    n_sampled : int or None
        Samples, drawn at random, that these come from (dispersion comes from all); None where all count.
    feature_cophenetic_correlation, feature_dispersion, feature_pac : float or None
        The same for features, by the component that each weighs most in; of more than 1,000, some are drawn.
    component_stability, component_stability_min : float or None
        Mean and least silhouette of the components of all good runs, matched by assignment.
    amari_instability : float or None
        Mean Amari-type distance of two good runs.
    best_run_reproduced : float or None
        Share of the other good runs that find every component of the best one, at a cosine of 0.9.
    sparseness_W, sparseness_H : float or None
        Of the best good run.
    fold_errors : tuple of float or None
        Held-out error of each fold, NaN where no fit was finite; the folds are the same for every rank, so ranks are
        compared pair by pair.
    n_fold_rounds : int or None
        Rounds that these folds come from.
    null_losses : tuple of float or None
        Best loss on each permuted matrix.
    """

    rank: int
    n_runs: int
    n_good: int
    reconstruction_error: float | None = None
    reconstruction_error_median: float | None = None
    loss: float | None = None
    rss: float | None = None
    explained_variance: float | None = None
    svd_error: float | None = None
    held_out_error: float | None = None
    held_out_error_se: float | None = None
    cophenetic_correlation: float | None = None
    dispersion: float | None = None
    pac: float | None = None
    consensus_silhouette: float | None = None
    component_stability: float | None = None
    component_stability_min: float | None = None
    sparseness_W: float | None = None
    sparseness_H: float | None = None
    fold_errors: tuple[float, ...] | None = None
    n_non_finite: int = 0
    held_out_error_low: float | None = None
    held_out_error_high: float | None = None
    held_out_cost: float | None = None
    n_fold_rounds: int | None = None
    bi_cross_validation_error: float | None = None
    bi_cross_validation_error_se: float | None = None
    residual_excess: float | None = None
    cophenetic_correlation_low: float | None = None
    cophenetic_correlation_high: float | None = None
    dispersion_low: float | None = None
    dispersion_high: float | None = None
    pac_low: float | None = None
    pac_high: float | None = None
    consensus_silhouette_low: float | None = None
    consensus_silhouette_high: float | None = None
    component_stability_low: float | None = None
    component_stability_high: float | None = None
    component_stability_min_low: float | None = None
    component_stability_min_high: float | None = None
    amari_instability: float | None = None
    amari_instability_low: float | None = None
    amari_instability_high: float | None = None
    best_run_reproduced: float | None = None
    null_losses: tuple[float, ...] | None = None
    n_sampled: int | None = None
    feature_cophenetic_correlation: float | None = None
    feature_dispersion: float | None = None
    feature_pac: float | None = None

    def as_row(self) -> dict[str, Any]:
        """Return one line of a table; infinite values, which no text format holds, become None."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _SERIES}
        return {name: _finite(value) for name, value in values.items()}

    def as_document(self) -> dict[str, Any]:
        """Return the row, the fold errors and the null losses; what is not finite becomes None."""
        series = {name: getattr(self, name) for name in _SERIES}
        return self.as_row() | {
            name: None if values is None else [_finite(value) for value in values]
            for name, values in series.items()
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Criteria:
        """Invert `as_document`; other keys are left aside, and criteria that it lacks are None."""
        known = {f.name: document[f.name] for f in fields(cls) if f.name in document}
        for name in _SERIES:
            values = known.get(name)
            if values is not None:
                known[name] = tuple(np.nan if value is None else float(value) for value in values)
        return cls(**known)


@dataclass(frozen=True)
class RankSummary:
    """What the runs of one rank say together.

    Attributes
    ----------
    criteria : Criteria
    consensus : ConsensusSummary or None
        None where fewer than two runs converged.
    run_labels : (n_good, n_samples) ndarray of int
        Label of every sample in every good run, −1 where unassigned.
    run_seeds : (n_good,) ndarray of int
    """

    criteria: Criteria
    consensus: ConsensusSummary | None
    run_labels: NDArray[np.intp]
    run_seeds: NDArray[np.int64]


def summarize_rank(
    runs: Runs,
    cross_validation: CrossValidation | None = None,
    svd_error: float | None = None,
    *,
    bi_cross_validation: BiCrossValidation | None = None,
    permutation: PermutationNull | None = None,
    residual_excess: float | None = None,
) -> RankSummary:
    """Compute every criterion of one rank from its runs.

    Runs that did not converge are counted and otherwise left out; with fewer than `MIN_GOOD_RUNS` good ones there
    is no criterion of agreement.

    Parameters
    ----------
    runs : Runs
    cross_validation, bi_cross_validation, permutation : optional
        Of the same rank.
    svd_error : float, optional
        Relative error of the truncated SVD of this rank.
    residual_excess : float, optional
        `nmfcore.residuals.residual_excess` of the best good run.
    """
    good = runs.take(np.flatnonzero(runs.good))
    labels = run_labels(good.W, good.H)
    best = int(good.loss.argmin()) if len(good) else None
    consensus = None
    found: dict[str, Any] = {}
    if best is not None:
        found |= _of_best_run(good, best)
    if best is not None and len(good) >= MIN_GOOD_RUNS:
        consensus = summarize_consensus(labels, runs.rank)
        # From the best to the worst, so that intervals do not depend on the order of the runs either.
        order = np.argsort(good.loss, kind="stable")
        found |= of_consensus(consensus, labels[order]) | _of_components(good.take(order))
        found |= _of_features(good)
    if cross_validation:
        found |= _of_cross_validation(cross_validation)
    if bi_cross_validation:
        found |= {
            "bi_cross_validation_error": bi_cross_validation.error,
            "bi_cross_validation_error_se": bi_cross_validation.standard_error,
        }
    criteria = Criteria(
        rank=runs.rank,
        n_runs=len(runs),
        n_good=len(good),
        n_non_finite=int(np.count_nonzero(runs.status == Status.NON_FINITE)),
        svd_error=svd_error,
        residual_excess=residual_excess,
        null_losses=tuple(map(float, permutation.losses)) if permutation else None,
        **found,
    )
    return RankSummary(criteria, consensus, labels, good.seeds)


def _of_best_run(good: Runs, best: int) -> dict[str, Any]:
    variance = good.explained_variance
    return {
        "reconstruction_error": float(good.relative_error[best]),
        "reconstruction_error_median": float(np.median(good.relative_error)),
        "loss": float(good.loss[best]),
        "rss": float(2 * good.loss[best]) if good.loss_name == "frobenius" else None,
        "explained_variance": None if variance is None else float(variance[best]),
        "sparseness_W": sparseness_W(good.W[best]),
        "sparseness_H": sparseness_H(good.H[best]),
    }


def of_consensus(consensus: ConsensusSummary, labels: NDArray[np.intp]) -> dict[str, Any]:
    """Return the consensus criteria with their intervals over runs, by the names of `Criteria`.

    Parameters
    ----------
    consensus : ConsensusSummary
    labels : (n_runs, n_samples) ndarray of int
        What it was made from.
    """
    names = ("cophenetic_correlation", "dispersion", "pac", "consensus_silhouette")
    values: dict[str, float | None] = {name: getattr(consensus, name) for name in names}
    found: dict[str, Any] = dict(values)
    found["n_sampled"] = None if consensus.sampled is None else len(consensus.sampled)
    for name, interval in consensus_intervals(labels, consensus.rank, values).items():
        found |= _bounds(name, interval)
    return found


def _of_features(good: Runs) -> dict[str, Any]:
    labels = feature_labels(good.W, good.H)
    consensus = summarize_consensus(
        labels, good.rank, max_samples=MAX_FEATURES, leaves_in_order=False
    )
    return {
        "feature_cophenetic_correlation": consensus.cophenetic_correlation,
        "feature_dispersion": consensus.dispersion,
        "feature_pac": consensus.pac,
    }


def _of_components(good: Runs) -> dict[str, Any]:
    clusters = cluster_components(good.W)
    stability = component_stability(clusters)
    mean_interval, least_interval = stability_intervals(clusters, stability.mean, stability.minimum)
    distances = amari_distances(good.W)

    def instability(runs: NDArray[np.intp]) -> float:
        return float(distances[np.ix_(runs, runs)].sum() / (len(runs) * (len(runs) - 1)))

    amari = instability(np.arange(len(good)))
    return {
        "component_stability": stability.mean,
        "component_stability_min": stability.minimum,
        "amari_instability": amari,
        "best_run_reproduced": reproduced_share(clusters, 0),
        **_bounds("component_stability", mean_interval),
        **_bounds("component_stability_min", least_interval),
        **_bounds("amari_instability", run_interval(instability, len(good), amari, (0.0, 1.0))),
    }


def _of_cross_validation(validation: CrossValidation) -> dict[str, Any]:
    return {
        "held_out_error": _finite(validation.error),
        "held_out_error_se": _finite(validation.standard_error),
        "held_out_cost": _finite(validation.cost),
        "fold_errors": tuple(map(float, validation.fold_errors)),
        "n_fold_rounds": validation.n_rounds,
        **_bounds("held_out_error", fold_interval(validation.fold_errors, validation.n_rounds)),
    }


def _bounds(name: str, interval: Interval | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _finite(value: float | None) -> float | None:
    return value if value is None or np.isfinite(value) else None
