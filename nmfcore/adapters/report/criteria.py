"""The criteria in words: what each says, and which direction is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Criterion:
    """A column of the criteria in words."""

    key: str
    label: str
    better: str
    meaning: str


CRITERIA = (
    Criterion(
        "held_out_error",
        "Held-out error",
        "lower",
        "Some entries are hidden, the rest is factorised, and the hidden ones are predicted. Too few "
        "components miss structure, too many fit noise: both predict worse. The strongest evidence "
        "for a rank.",
    ),
    Criterion(
        "held_out_error_se",
        "— its standard error",
        "",
        "How much the held-out error varies with the choice of hidden entries. Ranks that differ by "
        "less than one standard error cannot be told apart by it.",
    ),
    Criterion(
        "held_out_cost",
        "— cost of a component",
        "",
        "What one more component would add to the held-out error if it found nothing but noise.",
    ),
    Criterion(
        "component_stability",
        "Component stability, mean",
        "higher",
        "Components of all runs are matched; 1 says that every random start finds the same ones, "
        "0 that they are no more alike than components of different kinds.",
    ),
    Criterion(
        "component_stability_min",
        "Component stability, weakest",
        "higher",
        "The same for the least reproducible component: whether all of them can be interpreted, or "
        "only some.",
    ),
    Criterion(
        "cophenetic_correlation",
        "Cophenetic correlation",
        "higher",
        "How well a tree describes which samples the runs put together. 1 means clear-cut groups; a "
        "fall from one rank to the next is the classic sign of a rank too large.",
    ),
    Criterion(
        "dispersion",
        "Dispersion",
        "higher",
        "How close the consensus is to plain yes and no: 1 if each pair of samples is always or "
        "never together, 0 if every pair is together in half of the runs.",
    ),
    Criterion(
        "pac",
        "Ambiguous pairs (PAC)",
        "lower",
        "Share of pairs of samples that are together in some runs and apart in others (between 10 % "
        "and 90 % of them).",
    ),
    Criterion(
        "consensus_silhouette",
        "Consensus silhouette",
        "higher",
        "How much closer samples are to their own group than to the next one, counted in runs that "
        "put them together. Undefined for one group.",
    ),
    Criterion(
        "feature_cophenetic_correlation",
        "Cophenetic correlation of features",
        "higher",
        "How well a tree preserves the consensus of the features, each labelled by the component it weighs most in.",
    ),
    Criterion(
        "feature_dispersion",
        "Dispersion of features",
        "higher",
        "How close the consensus of the features is to plain yes and no.",
    ),
    Criterion(
        "feature_pac",
        "Ambiguous pairs of features",
        "lower",
        "Share of pairs of features that are together in some runs and apart in others.",
    ),
    Criterion(
        "reconstruction_error",
        "Relative error, best run",
        "",
        "What the factorisation leaves unexplained of the data it was fitted to. It always falls "
        "with the rank, so it cannot choose one.",
    ),
    Criterion(
        "reconstruction_error_median",
        "Relative error, median run",
        "",
        "Far above the best run, it tells of many poor local minima.",
    ),
    Criterion(
        "svd_error",
        "Relative error, truncated SVD",
        "",
        "The least squared error that any factorisation of this rank can reach, nonnegative or not.",
    ),
    Criterion(
        "explained_variance",
        "Explained variance",
        "",
        "One minus the squared relative error of the best run, not centred.",
    ),
    Criterion(
        "bi_cross_validation_error",
        "Block error",
        "lower",
        "Whole blocks of features and samples are hidden and predicted from the rest of their rows and columns.",
    ),
    Criterion(
        "bi_cross_validation_error_se",
        "— its uncertainty",
        "",
        "Standard error of the block error over the blocks.",
    ),
    Criterion(
        "residual_excess",
        "Residual structure",
        "lower",
        "Strongest direction left in the residual, over what sign-flipped copies of it show; 1 or less means that "
        "only noise is left.",
    ),
    Criterion(
        "best_run_reproduced",
        "Best run found again",
        "higher",
        "Share of the other runs that find every component of the best one.",
    ),
    Criterion(
        "amari_instability",
        "Amari instability",
        "lower",
        "How unlike the components of two runs are, averaged over all pairs of runs; 0 if they are the same.",
    ),
    Criterion("loss", "Loss, best run", "", "The number that the runs minimise."),
    Criterion("rss", "Residual sum of squares", "", "Σ (V − WH)² of the best run."),
    Criterion(
        "sparseness_W",
        "Sparseness of W",
        "",
        "1 if each component consists of one feature, 0 if of all alike. Descriptive.",
    ),
    Criterion(
        "sparseness_H",
        "Sparseness of H",
        "",
        "1 if each component is used by one sample, 0 if by all alike. Descriptive.",
    ),
)
