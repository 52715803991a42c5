"""How much faster a batch is solved by several threads, and whether it gives the same numbers.

``python benchmarks/threads.py [--threads 2] [--quick]``. BLAS is kept to one thread a call, as in the jobs of a sweep.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.matrices import CASES, QUICK_CASES
from nmfcore import factorize
from nmfcore.adapters.environment import environment
from nmfcore.runs import Runs

REPEATS = 3
SINGLE_CELL = 1
"""Its place among the cases."""


@dataclass(frozen=True)
class Batch:
    """A batch that is timed."""

    V: Any
    rank: int
    n_seeds: int
    loss: str
    max_iter: int

    def solve(self, threads: int) -> tuple[float, Runs]:
        """Return wall-clock seconds and the runs."""
        started = time.perf_counter()
        runs = factorize(
            self.V,
            self.rank,
            range(self.n_seeds),
            loss=self.loss,
            max_iter=self.max_iter,
            threads=threads,
        )
        return time.perf_counter() - started, runs


def row(batch: Batch, threads: int) -> str:
    """Return a line of the table: medians of alternating repeats, and whether all bits agree."""
    seconds: dict[int, list[float]] = {1: [], threads: []}
    runs: dict[int, Runs] = {}
    for _ in range(REPEATS):
        for n in seconds:
            took, runs[n] = batch.solve(n)
            seconds[n].append(took)
    alone, together = (statistics.median(seconds[n]) for n in seconds)
    same = all(
        np.array_equal(getattr(runs[1], name), getattr(runs[threads], name))
        for name in ("W", "H", "loss", "kkt_residual", "n_iter", "status")
    )
    what = f"rank {batch.rank}, {batch.n_seeds} seeds, {runs[1].solver}"
    return f"| {what} | {alone:.2f} | {together:.2f} | {alone / together:.2f} | {'yes' if same else 'NO'} |"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ranks", type=int, nargs="*", help="these only")
    parser.add_argument("--quick", action="store_true", help="a small matrix, to see that it runs")
    options = parser.parse_args()
    case = (QUICK_CASES if options.quick else CASES)[SINGLE_CELL]
    V = case.make()
    seeds = 20 if options.quick else 50
    batches = [Batch(V, rank, seeds, "frobenius", 2000) for rank in options.ranks or case.ranks]
    batches.append(Batch(V, case.kl_rank, 20, "kullback-leibler", 10))
    batches[-1].solve(1)  # what is compiled at first use
    made = environment()
    print(
        f"{case.origin} {V.shape[0]} × {V.shape[1]}. {date.today()}; {made['cpu']}, {os.cpu_count()} cores; "
        f"Python {made['python']}; BLAS {'; '.join(made['blas'])}; one thread of it a call. "
        f"Load at the start: {os.getloadavg()[0]:.1f}.\n",
        flush=True,
    )
    print(f"| batch | 1 thread, s | {options.threads} threads, s | ratio | same bits |")
    print("|---|---|---|---|---|")
    for batch in batches:
        print(row(batch, options.threads), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
