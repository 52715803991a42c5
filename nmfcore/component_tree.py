"""Which components of one rank become which of the next: kept, split, merged, new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nmfcore.bi_cross_validation import nonnegative_least_squares
from nmfcore.norms import unit_columns
from nmfcore.stability import cosine_matrix

Array = NDArray[np.float64]

KEPT_COSINE = 0.9
PART_SHARE = 0.25
"""Of a component's squared norm: less is no part of it."""


class Origin(StrEnum):
    """Where a component comes from."""

    KEPT = "kept"
    SPLIT = "split"
    MERGED = "merged"
    NEW = "new"


@dataclass(frozen=True)
class Branch:
    """A component and its parents at the rank before.

    Attributes
    ----------
    rank, component : int
    origin : Origin
        `kept`: one component of the rank before, at a cosine of `KEPT_COSINE`. `split`: part of one, which has other
        parts too. `merged`: a sum of two or more. `new`: none of these.
    parents : tuple of int
        Components of the rank before; of a new one, none.
    cosine : float
        With the most alike of the rank before.
    """

    rank: int
    component: int
    origin: Origin
    parents: tuple[int, ...]
    cosine: float


def component_tree(bases: Mapping[int, NDArray[np.floating]]) -> tuple[Branch, ...]:
    """Follow the components from each rank to the next of the grid.

    Components are brought to unit norm. Each one of the smaller rank is written as a nonnegative combination of
    those of the larger (least squares), and each one of the larger as one of those of the smaller; a term is a part
    of the sum where it accounts for at least `PART_SHARE` of the squared norm. A component whose parent has two or
    more parts is a split, one with two or more parts at the rank before is a merger. After GeneNMF's cross-rank
    meta-programs (Yerly et al. 2024); the decomposition into parts is our own.

    Parameters
    ----------
    bases : mapping of int to (n_features, rank) ndarray
        One W a rank, such as that of the best run or of the stable solution.

    Returns
    -------
    tuple of Branch
        By rank and component; the smallest rank has none.
    """
    ranks = sorted(bases)
    units = {rank: unit_columns(bases[rank]) for rank in ranks}
    return tuple(
        branch
        for smaller, larger in pairwise(ranks)
        for branch in _branches(larger, units[smaller], units[larger])
    )


def _branches(rank: int, before: Array, after: Array) -> list[Branch]:
    cosine = cosine_matrix(before, after)
    parts_of_before = _parts(before, after)
    parts_of_after = _parts(after, before)
    branches = []
    for child in range(after.shape[1]):
        nearest = int(cosine[:, child].argmax())
        likeness = float(cosine[nearest, child])
        splits = np.flatnonzero(parts_of_before[:, child] & (parts_of_before.sum(axis=1) > 1))
        sums = np.flatnonzero(parts_of_after[child])
        origin, parents = Origin.NEW, tuple[int, ...]()
        if likeness >= KEPT_COSINE and nearest not in splits:
            origin, parents = Origin.KEPT, (nearest,)
        elif splits.size:
            origin, parents = Origin.SPLIT, tuple(map(int, splits))
        elif sums.size > 1:
            origin, parents = Origin.MERGED, tuple(map(int, sums))
        elif likeness >= KEPT_COSINE:
            origin, parents = Origin.KEPT, (nearest,)
        branches.append(Branch(rank, child, origin, parents, likeness))
    return branches


def _parts(wholes: Array, pieces: Array) -> NDArray[np.bool_]:
    """Whether each piece is part of each whole, (n_wholes, n_pieces): ⟨whole, its term⟩ ≥ `PART_SHARE`."""
    weights = nonnegative_least_squares(pieces, wholes)
    shares = weights.T * (wholes.T @ pieces)
    return np.asarray(shares >= PART_SHARE)
