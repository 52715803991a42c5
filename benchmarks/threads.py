"""How much faster a batch is solved by several threads, and whether it gives the same numbers.

    python benchmarks/threads.py             # two threads, five batches; minutes on an idle machine
    python benchmarks/threads.py --write     # and renew the section of docs/scaling.md

BLAS is kept to one thread a call, as in the jobs of a sweep. Groups of ten seeds are what threads share, so as many
groups as threads, or a multiple, keep all of them at work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matrices import CASES, QUICK_CASES
from scaling import THREADS, write_document
from scipy import sparse
from solvers import machine

from nmfcore import factorize
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=40, help="of the Frobenius batches")
    parser.add_argument("--ranks", type=int, nargs="*", help="these only")
    parser.add_argument("--quick", action="store_true", help="a small matrix, to see that it runs")
    parser.add_argument("--write", action="store_true", help="renew docs/scaling.md")
    options = parser.parse_args()
    case = (QUICK_CASES if options.quick else CASES)[SINGLE_CELL]
    V = sparse.csr_array(case.make())
    ranks = options.ranks or case.ranks
    batches = [Batch(V, rank, options.seeds, "frobenius", 2000) for rank in ranks]
    batches.append(Batch(_thinned(V), ranks[-1], options.seeds, "frobenius", 2000))
    batches.append(Batch(V, case.kl_rank, 20, "kullback-leibler", 10))
    batches[-1].solve(1)  # what is compiled at first use
    lines = [
        f"*{machine()} {os.cpu_count()} cores; {REPEATS} repeats, in turn.*",
        "",
        f"{case.origin} {V.shape[0]} × {V.shape[1]}; the sparse batch has every third entry of it. Groups of ten seeds "
        "are solved at the same time; BLAS has one thread a call. By the clock:",
        "",
        f"| batch | 1 thread, s | {options.threads} threads, s | ratio | same bits |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for batch in batches:
        lines.append(row(batch, options.threads))
        print(lines[-1], flush=True)
    if options.write:
        write_document(THREADS, "\n".join(lines))
    return 0


def _thinned(V: sparse.csr_array) -> sparse.csr_array:
    """Every third entry of a matrix, so that it is worked on as CSR."""
    thin = V.copy()
    thin.data = np.where(np.arange(thin.nnz) % 3 == 0, thin.data, 0)
    thin.eliminate_zeros()
    return thin


if __name__ == "__main__":
    sys.exit(main())
