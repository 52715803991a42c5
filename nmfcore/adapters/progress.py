"""How far a sweep is, for the terminal: fits and ranks done, and about how long it will still take.

A handler for the log of the workflow engine, of which only the events are used that it documents for its loggers.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any

EVERY_S = 10.0
_TOTAL = "total"  # of the statistics, beside the rules


class ProgressHandler(logging.Handler):
    """Say now and then how far a sweep is.

    Parameters
    ----------
    ranks : collection of int
        That are tried in any case; others join them as their jobs begin.
    n_seeds : int
        Fits of a rank at most.
    n_batches : int
        Jobs that all fits of these ranks take.
    n_present : int
        Their fits that are on disk; they count unless every batch is to be computed again.
    say : callable
        Takes a line.
    now : callable
        Seconds on some clock.
    """

    def __init__(
        self,
        ranks: Collection[int],
        n_seeds: int,
        n_batches: int,
        n_present: int,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._ranks, self._n_seeds = set(ranks), n_seeds
        self._n_batches, self._fits_done = n_batches, n_present
        self._say, self._now = say, now
        self._planned: Counter[str] = Counter()
        self._running: dict[int, tuple[str, float, int]] = {}
        self._took: dict[str, list[float]] = defaultdict(list)
        self._most_at_once = 1
        self._said = -EVERY_S

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a plan, of the start and of the end of a job."""
        event: Any = getattr(record, "event", None)
        fields = record.__dict__
        if event == "run_info":
            stats = fields["stats"]
            self._planned = Counter({k: int(n) for k, n in stats.items() if k != _TOTAL})
            if self._planned["factorize"] >= self._n_batches:
                self._fits_done = 0
        elif event == "job_info":
            if rank := (fields["wildcards"] or {}).get("rank"):
                self._ranks.add(int(rank))
            self._running[fields["jobid"]] = (
                fields["rule_name"],
                self._now(),
                _n_fits(fields["wildcards"]),
            )
            self._most_at_once = max(self._most_at_once, len(self._running))
        elif event == "job_finished" and (job := self._running.pop(fields["job_id"], None)):
            rule, started, n_fits = job
            self._fits_done += n_fits if rule == "factorize" else 0
            self._took[rule].append(self._now() - started)
            self._tell()

    def _tell(self) -> None:
        if self._now() - self._said < EVERY_S or not self._left():
            return
        self._said = self._now()
        self._say(self.line)

    def _left(self) -> Counter[str]:
        done = Counter({rule: len(seconds) for rule, seconds in self._took.items()})
        return self._planned - done

    @property
    def line(self) -> str:
        """What is done and what is left, as far as can be told."""
        left = self._left()
        n_ranks = len(self._ranks)
        n_fits = n_ranks * self._n_seeds
        fits = min(self._fits_done, n_fits - left["factorize"])
        ranks = n_ranks - max(left["summarize"], left["solve_rank"])
        return (
            f"Progress: {fits:,} of {n_fits:,} fits, {ranks} of {n_ranks} ranks done; "
            f"about {duration(self._seconds_left(left))} left"
        )

    def _seconds_left(self, left: Counter[str]) -> float:
        """Jobs that are left, at the mean of their rule so far, or of all; as many at once as there were."""
        every = [second for seconds in self._took.values() for second in seconds]
        mean = sum(every) / len(every) if every else 0.0
        means = {rule: sum(seconds) / len(seconds) for rule, seconds in self._took.items()}
        return sum(n * means.get(rule, mean) for rule, n in left.items()) / self._most_at_once


def _n_fits(wildcards: Mapping[str, Any] | None) -> int:
    """Fits of a batch; 0 of any other job."""
    if not wildcards or not {"first", "last"} <= wildcards.keys():
        return 0
    return int(wildcards["last"]) - int(wildcards["first"]) + 1


def duration(seconds: float) -> str:
    """Return a time in words, two units at most."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
