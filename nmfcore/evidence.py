"""Held-out errors of all ranks, compared fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmfcore.criteria import Criteria

Array = NDArray[np.float64]

EXACT = 1e-3
"""Errors this far apart, or this small, count as equal: masked fits are not iterated further."""

REPRODUCED = 3e-4
"""Relative error of a run that leaves nothing of V: at the default tolerance it stops about there."""


@dataclass(frozen=True)
class Comparison:
    """How much more a rank errs on hidden cells than another.

    Attributes
    ----------
    excess : float
        Difference of the errors.
    standard_error : float
        Of that difference, over the folds.
    cost : float
        What the components between the two ranks would cost if they found nothing.
    """

    excess: float
    standard_error: float
    cost: float

    @property
    def in_standard_errors(self) -> float:
        """Excess over its standard error."""
        if abs(self.excess) <= EXACT:
            return 0.0
        return (
            self.excess / self.standard_error
            if self.standard_error > 0
            else np.inf * np.sign(self.excess)
        )

    @property
    def in_costs(self) -> float:
        """Excess over the cost: 1 where a component gains just what it would cost if it found nothing."""
        if abs(self.excess) <= EXACT:
            return 0.0
        return self.excess / self.cost if self.cost > 0 else np.inf * np.sign(self.excess)


@dataclass(frozen=True)
class HeldOut:
    """Held-out errors of the ranks that have them.

    Attributes
    ----------
    ranks : tuple of int
        Ascending.
    fold_errors : (n_ranks, n_folds) ndarray
    costs : (n_ranks,) ndarray
        Of one more component; 0 where unknown.
    n_rounds : int
    complete : int or None
        The smallest rank of which a run reproduces V all but exactly: more components have nothing to find, even where
        starts that miss that solution make them predict better.
    """

    ranks: tuple[int, ...]
    fold_errors: Array
    costs: Array
    n_rounds: int
    complete: int | None = None

    @classmethod
    def of(cls, criteria: Sequence[Criteria]) -> HeldOut | None:
        """Gather what the criteria hold; None where no two folds were scored at any rank.

        Folds are compared pair by pair, so ranks that lack more than half of the folds are left out, and then the
        folds that one of the others lacks.
        """
        known = [c for c in criteria if c.fold_errors is not None]
        n_folds = max((len(c.fold_errors or ()) for c in known), default=0)
        known = [
            c
            for c in known
            if len(c.fold_errors or ()) == n_folds
            and np.isfinite(c.fold_errors or ()).sum() >= max(n_folds / 2, 2)
        ]
        if not known:
            return None
        errors = np.array([c.fold_errors for c in known], float)
        errors = errors[:, np.isfinite(errors).all(axis=0)]
        if errors.shape[1] < 2:
            return None
        costs = np.array([c.held_out_cost or 0.0 for c in known])
        complete = [
            c.rank
            for c in known
            if c.reconstruction_error is not None and c.reconstruction_error <= REPRODUCED
        ]
        return cls(
            tuple(c.rank for c in known),
            errors,
            np.nan_to_num(costs),
            known[0].n_fold_rounds or 1,
            min(complete, default=None),
        )

    def error(self, rank: int) -> float:
        """Mean over the folds."""
        return float(self.fold_errors[self.ranks.index(rank)].mean())

    @property
    def best(self) -> int:
        """Rank of the least error; the most extreme fold on either side counts no more than the next.

        Of ranks that predict exactly, the smallest; none beyond the one that is `complete`.
        """
        level = np.median(self.fold_errors, axis=0)
        errors = _drawn_in(self.fold_errors - level).mean(axis=1) + level.mean()
        if self.complete is not None:
            errors = errors[: self.ranks.index(self.complete) + 1]
        return self.ranks[int(np.flatnonzero(errors <= max(errors.min(), EXACT))[0])]

    def compare(self, rank: int, other: int) -> Comparison:
        """Excess of a rank over another, by differences within folds with extreme folds drawn in."""
        here, there = self.ranks.index(rank), self.ranks.index(other)
        differences = _drawn_in(self.fold_errors[here] - self.fold_errors[there])
        n_folds = differences.size / self.n_rounds
        low = min(here, there)
        return Comparison(
            excess=float(differences.mean()),
            standard_error=float(differences.std(ddof=1) / np.sqrt(n_folds)),
            cost=float(self.costs[low]) * abs(other - rank),
        )

    def suffices(self, rank: int, max_standard_errors: float, min_gain: float) -> bool:
        """Whether the best rank is no better than this one by more than chance, or by more than its parameters cost."""
        if rank == self.best:
            return True
        shortfall = self.compare(rank, self.best)
        return shortfall.in_standard_errors <= max_standard_errors or shortfall.in_costs <= min_gain

    def neighbour(self, rank: int, step: int) -> int | None:
        """Next rank of the grid above (1) or below (−1)."""
        position = self.ranks.index(rank) + step
        return self.ranks[position] if 0 <= position < len(self.ranks) else None


def _drawn_in(values: Array) -> Array:
    """Winsorise: the most extreme tenth of the folds on either side takes the value of the next."""
    n = values.shape[-1]
    count = max(1, n // 10) if n >= 5 else 0
    if not count:
        return values
    ordered = np.sort(values, axis=-1)
    return np.asarray(np.clip(values, ordered[..., count, None], ordered[..., -count - 1, None]))
