"""Runs that are iterated together, and what is done at the same time.

Together, runs share the products with V. How many share them changes how a product is rounded, so who does must not
depend on the machine: a group is what a batch holds of the seeds 0–9, 10–19, …. Groups are solved one after the other
or by several threads, and batches are cut between groups; neither changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

GROUP_SEEDS = 10
"""Seeds of a group at most. Larger ones hardly solve faster, and fewer of them keep fewer threads busy."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Groups:
    """How the runs of a batch are solved.

    Attributes
    ----------
    parts : tuple of slice
        The groups, as places in the batch.
    threads : int
        How many are solved at the same time.
    """

    parts: tuple[slice, ...]
    threads: int = 1

    @classmethod
    def of(cls, seeds: Sequence[int] | NDArray[np.int64], threads: int = 1) -> Groups:
        """Cut a batch wherever the next seed belongs to another group."""
        groups = [int(seed) // GROUP_SEEDS for seed in seeds]
        cuts = [i for i in range(1, len(groups)) if groups[i] != groups[i - 1]]
        return cls(tuple(slice(*ends) for ends in pairwise([0, *cuts, len(groups)])), threads)

    def map(self, act: Callable[[slice], _Result]) -> list[_Result]:
        """Return what `act` makes of every group, in their order."""
        return in_threads(act, self.parts, self.threads)


def in_threads(
    act: Callable[[_Item], _Result], items: Iterable[_Item], threads: int
) -> list[_Result]:
    """``list(map(act, items))`` by several threads; what `act` does must be compiled, or it takes turns."""
    if threads == 1:
        return [act(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(act, items))
