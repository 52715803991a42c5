"""Which seeds share a job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nmfcore.groups import GROUP_SEEDS

Batch = tuple[int, int]

AUTO = "auto"
JOB_COST = 20
"""What a job costs before its first seed, in seeds: Python and its imports take about a second, a fit 10–100 ms."""
LARGEST_BATCH = 50
"""Seeds of a batch that is chosen; a job holds the factors of all of its seeds in memory."""


def batch_size(seeds_per_job: int | str, n_ranks: int, n_seeds: int, at_once: int) -> int:
    """Seeds a job as asked for; for `AUTO` those with which a sweep is done first.

    With so many jobs at a time, all are done after ⌈jobs / at_once⌉ · (`JOB_COST` + seeds a job); of the multiples
    of `GROUP_SEEDS` up to `LARGEST_BATCH`, which all give the same bits, the largest with the least of that is taken.

    Parameters
    ----------
    seeds_per_job : int or "auto"
    n_ranks, n_seeds : int
    at_once : int
        Jobs that run at the same time: cores of this machine, or jobs that a cluster takes.

    Examples
    --------
    >>> batch_size("auto", n_ranks=8, n_seeds=50, at_once=2)
    50
    >>> batch_size("auto", n_ranks=2, n_seeds=50, at_once=16)
    10
    """
    if seeds_per_job != AUTO:
        return int(seeds_per_job)

    def rounds(size: int) -> int:
        return -(-n_ranks * -(-n_seeds // size) // at_once)

    sizes = range(LARGEST_BATCH, 0, -GROUP_SEEDS)
    return min(sizes, key=lambda size: rounds(size) * (JOB_COST + min(size, n_seeds)))


def job_threads(n_jobs: int, seeds_per_job: int, at_once: int) -> int:
    """Threads of a job where there are fewer jobs than cores: as many as are left over, a group each at most.

    Examples
    --------
    >>> job_threads(n_jobs=2, seeds_per_job=50, at_once=8)
    4
    """
    return max(1, min(at_once // max(n_jobs, 1), -(-seeds_per_job // GROUP_SEEDS)))


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


def plan_stages(
    stages: Sequence[int], seeds_per_job: int, existing: Iterable[Batch] = ()
) -> dict[int, list[Batch]]:
    """Batches of a rank for each number of seeds that it may end with; those of a stage are kept in the next.

    Parameters
    ----------
    stages : sequence of int
        Numbers of seeds, ascending (`nmfcore.SeedRule.stages`).
    seeds_per_job, existing
        See `plan_batches`.

    Examples
    --------
    >>> plan_stages([20, 40], 30)
    {20: [(0, 19)], 40: [(0, 19), (20, 29), (30, 39)]}
    """
    planned: dict[int, list[Batch]] = {}
    kept = list(existing)
    for n_seeds in stages:
        planned[n_seeds] = plan_batches(n_seeds, seeds_per_job, kept)
        kept += planned[n_seeds]
    return planned
