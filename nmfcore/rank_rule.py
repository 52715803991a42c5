"""Which ranks are tried, where that depends on what the first of them say.

A wide grid is tried coarsely at first; then every rank is tried between the neighbours of those that the evidence
speaks for, until these have all their neighbours. The first ranks depend on the rule alone and the decisions
(`nmfcore.rank_decisions`) on the criteria alone, so a sweep that was interrupted, or that is run again, tries the same
ranks, and what it finds at them is what a sweep over all of them would have found.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from nmfcore.errors import InputError


@dataclass(frozen=True)
class RankRule:
    """Which ranks may be tried, and which are at first.

    Attributes
    ----------
    ranks : tuple of int
        Ascending.
    coarse : int
        Try every so many of them at first, the first and the last always; 1 tries all at once.
    always : int or None
        One of them that is tried in any case.

    Raises
    ------
    InputError
        Without ranks, or where they do not ascend from 1 or more, or with a step below 1.

    Examples
    --------
    >>> rule = RankRule(tuple(range(1, 13)), coarse=4)
    >>> rule.first
    (1, 5, 9, 12)
    >>> rule.around([1, 5, 9, 12], [5])
    (2, 3, 4, 6, 7, 8)
    """

    ranks: tuple[int, ...]
    coarse: int = 1
    always: int | None = None

    def __post_init__(self) -> None:
        ascend = all(a < b for a, b in zip(self.ranks, self.ranks[1:], strict=False))
        whole = all(rank == int(rank) for rank in self.ranks)
        if not self.ranks or self.ranks[0] < 1 or not ascend or not whole:
            raise InputError("Ranks must be different whole numbers of at least 1, ascending.")
        if self.coarse < 1:
            raise InputError(f"Ranks: every {self.coarse} of them cannot be tried; at least 1.")

    @property
    def first(self) -> tuple[int, ...]:
        """Ranks that are tried before anything is decided."""
        chosen = {*self.ranks[:: self.coarse], self.ranks[-1]}
        return tuple(r for r in self.ranks if r in chosen or r == self.always)

    def around(self, tried: Collection[int], centres: Collection[int]) -> tuple[int, ...]:
        """Ranks not tried yet between a centre and the nearest ranks that were tried, on either side."""
        found: set[int] = set()
        for centre in centres:
            below = max((r for r in tried if r < centre), default=centre)
            above = min((r for r in tried if r > centre), default=centre)
            found |= {r for r in self.ranks if below < r < above}
        return tuple(sorted(found - set(tried)))
