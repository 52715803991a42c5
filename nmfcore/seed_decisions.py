"""Whether a rank has seeds enough, by what its runs say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmfcore.intervals import MIN_RUNS, stability_intervals
from nmfcore.runs import Runs
from nmfcore.seed_rule import SeedRule
from nmfcore.stability import cluster_components, component_stability


@dataclass(frozen=True)
class SeedDecision:
    """What is decided after a stage.

    Attributes
    ----------
    n_seeds : int
        After this stage.
    wanted : int
        `n_seeds` where they are enough, else the number of the next stage.
    width : float or None
        Of the widest interval; None where there is none yet.
    reason : str
        A sentence.
    """

    n_seeds: int
    wanted: int
    width: float | None
    reason: str


def decide_seeds(rule: SeedRule, runs: Runs) -> SeedDecision:
    """Decide after a stage whether a rank needs more seeds.

    Parameters
    ----------
    rule : SeedRule
    runs : Runs
        All runs of the rank so far: seeds 0 to that of the stage.
    """
    n_seeds, width = len(runs), stability_width(runs)
    if runs.rank == 1:
        return SeedDecision(
            n_seeds, n_seeds, None, "Rank 1 has one component, which is never mistaken for another."
        )
    said = "has no interval yet" if width is None else f"has an interval of {width:.3f}"
    rank = f"Rank {runs.rank} with {n_seeds} seeds: the stability of its components {said}"
    if width is not None and width <= rule.width:
        return SeedDecision(n_seeds, n_seeds, width, f"{rank}, which is tight enough.")
    more = [stage for stage in rule.stages() if stage > n_seeds]
    if not more:
        return SeedDecision(n_seeds, n_seeds, width, f"{rank}; more seeds were not allowed.")
    return SeedDecision(n_seeds, more[0], width, f"{rank}; {more[0] - n_seeds} seeds are added.")


def stability_width(runs: Runs) -> float | None:
    """Width of the wider 95 % interval of the mean and the least component silhouette over the good runs.

    None with fewer than `nmfcore.intervals.MIN_RUNS` good runs.
    """
    good = runs.take(np.flatnonzero(runs.good))
    if len(good) < MIN_RUNS:
        return None
    clusters = cluster_components(good.take(np.argsort(good.loss, kind="stable")).W)
    found = component_stability(clusters)
    intervals = stability_intervals(clusters, found.mean, found.minimum)
    widths = [interval[1] - interval[0] for interval in intervals if interval is not None]
    return max(widths) if widths else None
