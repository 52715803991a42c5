"""How many seeds a rank gets, where that depends on what its runs say.

A rank begins with a least number of seeds, which is doubled until the intervals of its stability are tight, or a
largest number is reached. Stages depend on the rule alone and the decision on the runs alone, so a sweep that was
interrupted, or that is run again, adds the same seeds, and its runs are those of a sweep that was asked for them at
once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmfcore.errors import InputError
from nmfcore.intervals import MIN_RUNS, stability_intervals
from nmfcore.runs import Runs
from nmfcore.stability import cluster_components, component_stability

DEFAULT_WIDTH = 0.05


@dataclass(frozen=True)
class SeedRule:
    """When a rank has seeds enough.

    Attributes
    ----------
    least, most : int
        Seeds of a rank.
    width : float
        Add no more once the 95 % intervals of the mean and of the least component silhouette are no wider.

    Raises
    ------
    InputError
        If no number of seeds fits.
    """

    least: int
    most: int
    width: float = DEFAULT_WIDTH

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most or not self.width > 0:
            raise InputError(
                f"Seeds from {self.least} to {self.most} until an interval of {self.width:g}: at least 1, no fewer at "
                "most than at least, and a width above 0 are needed."
            )

    def stages(self) -> tuple[int, ...]:
        """Numbers of seeds after which it is decided whether to add more.

        Examples
        --------
        >>> SeedRule(20, 200).stages()
        (20, 40, 80, 160, 200)
        """
        found = [self.least]
        while found[-1] < self.most:
            found.append(min(2 * found[-1], self.most))
        return tuple(found)


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
