"""Which seeds share a job."""

from __future__ import annotations

from collections.abc import Iterable

Batch = tuple[int, int]


def plan_batches(n_seeds: int, seeds_per_job: int, existing: Iterable[Batch] = ()) -> list[Batch]:
    """Cover seeds 0 … n_seeds − 1 by batches (first, last), keeping those that exist.

    What is not yet covered is cut at multiples of `seeds_per_job`, so more seeds, or another batch size, never
    repeat a run that is on disk.

    Parameters
    ----------
    n_seeds, seeds_per_job : int
    existing : iterable of (int, int)
        Batches on disk, last seed inclusive.

    Examples
    --------
    >>> plan_batches(50, 25)
    [(0, 24), (25, 49)]
    >>> plan_batches(60, 25, existing=[(0, 49)])
    [(0, 49), (50, 59)]
    """
    longest: dict[int, int] = {}
    for first, last in existing:
        longest[first] = max(last, longest.get(first, last))
    plan: list[Batch] = []
    position = 0
    while position < n_seeds:
        if position in longest:
            end = longest[position]
        else:
            next_cut = (position // seeds_per_job + 1) * seeds_per_job
            end = min([next_cut, n_seeds, *(first for first in longest if first > position)]) - 1
        plan.append((position, end))
        position = end + 1
    return plan
