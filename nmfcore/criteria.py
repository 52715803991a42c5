"""Every criterion of one rank, gathered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmfcore.consensus import ConsensusSummary, run_labels, summarize_consensus
from nmfcore.cross_validation import CrossValidation
from nmfcore.factorization import Runs
from nmfcore.reconstruction import sparseness_H, sparseness_W
from nmfcore.stability import cluster_components, component_stability

MIN_GOOD_RUNS = 2
"""Converged runs below which a rank has no stability to speak of."""


@dataclass(frozen=True)
class Criteria:
    """The criteria of one rank; None where undefined. See docs/theory.md for each.

    Attributes
    ----------
    rank, n_runs, n_good : int
        `n_good` runs converged and are the evidence of everything below.
    reconstruction_error, reconstruction_error_median : float or None
        Relative error of the best good run and of the median one.
    loss, rss, explained_variance : float or None
        Of the best good run. The last two are for Frobenius only.
    svd_error : float or None
        Relative Frobenius error of the truncated SVD of this rank: no factorisation can do better.
    held_out_error, held_out_error_se : float or None
        Relative error over cells hidden from the fit, and its standard error over the folds.
    cophenetic_correlation, dispersion, pac, consensus_silhouette : float or None
        Of the consensus over the good runs.
    component_stability, component_stability_min : float or None
        Mean and least silhouette of the components of all good runs, matched by assignment.
    sparseness_W, sparseness_H : float or None
        Of the best good run.
    fold_errors : tuple of float or None
        Held-out error of each fold; the folds are the same for every rank, so ranks are compared pair by pair.
    """

    rank: int
    n_runs: int
    n_good: int
    reconstruction_error: float | None
    reconstruction_error_median: float | None
    loss: float | None
    rss: float | None
    explained_variance: float | None
    svd_error: float | None
    held_out_error: float | None
    held_out_error_se: float | None
    cophenetic_correlation: float | None
    dispersion: float | None
    pac: float | None
    consensus_silhouette: float | None
    component_stability: float | None
    component_stability_min: float | None
    sparseness_W: float | None
    sparseness_H: float | None
    fold_errors: tuple[float, ...] | None = None

    def as_row(self) -> dict[str, Any]:
        """Return one line of a table; infinite values, which no text format holds, become None."""
        row = asdict(self)
        del row["fold_errors"]
        return {
            name: value if value is None or np.isfinite(value) else None
            for name, value in row.items()
        }

    def as_document(self) -> dict[str, Any]:
        """Return the row and the fold errors."""
        return {**self.as_row(), "fold_errors": self.fold_errors and list(self.fold_errors)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Criteria:
        """Invert `as_document`; other keys are left aside."""
        known = {field.name: document[field.name] for field in fields(cls)}
        errors = known["fold_errors"]
        return cls(**{**known, "fold_errors": None if errors is None else tuple(errors)})


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
) -> RankSummary:
    """Compute every criterion of one rank from its runs.

    Runs that did not converge are counted and otherwise left out.

    Parameters
    ----------
    runs : Runs
    cross_validation : CrossValidation, optional
        Of the same rank.
    svd_error : float, optional
        Relative error of the truncated SVD of this rank.
    """
    good = runs.take(np.flatnonzero(runs.good))
    labels = run_labels(good.W, good.H)
    enough = len(good) >= MIN_GOOD_RUNS
    consensus = summarize_consensus(labels, runs.rank) if enough else None
    best = int(good.loss.argmin()) if len(good) else None
    stability = (
        component_stability(cluster_components(good.W, best))
        if enough and best is not None
        else None
    )
    variance = good.explained_variance

    def of_best(values: NDArray[np.float64] | None) -> float | None:
        return None if values is None or best is None else float(values[best])

    criteria = Criteria(
        rank=runs.rank,
        n_runs=len(runs),
        n_good=len(good),
        reconstruction_error=of_best(good.relative_error),
        reconstruction_error_median=float(np.median(good.relative_error)) if len(good) else None,
        loss=of_best(good.loss),
        rss=of_best(2 * good.loss) if runs.loss_name == "frobenius" else None,
        explained_variance=of_best(variance),
        svd_error=svd_error,
        held_out_error=cross_validation.error if cross_validation else None,
        held_out_error_se=cross_validation.standard_error if cross_validation else None,
        cophenetic_correlation=consensus.cophenetic_correlation if consensus else None,
        dispersion=consensus.dispersion if consensus else None,
        pac=consensus.pac if consensus else None,
        consensus_silhouette=consensus.consensus_silhouette if consensus else None,
        component_stability=stability.mean if stability else None,
        component_stability_min=stability.minimum if stability else None,
        sparseness_W=sparseness_W(good.W[best]) if best is not None else None,
        sparseness_H=sparseness_H(good.H[best]) if best is not None else None,
        fold_errors=tuple(map(float, cross_validation.fold_errors)) if cross_validation else None,
    )
    return RankSummary(criteria, consensus, labels, good.seeds)
