"""The consensus criteria of many samples: time and peak memory, all ranks of a sweep in one process.

    python benchmarks/consensus_size.py             # 100,000 samples × 50 runs × ranks 2–11; under a minute
    python benchmarks/consensus_size.py --quick     # 3,000 samples, 3 ranks

The labels are those of planted groups, permuted from run to run, with a share of the samples given another label in
each run, so that hardly two samples have the same labels in all runs: the case that costs most. What is timed is
what `nmfcore.criteria.summarize_rank` makes of labels: consensus, tree, criteria and their intervals. The peak is
that of a child process, imports included.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

from nmfcore.consensus import summarize_consensus
from nmfcore.criteria import of_consensus

NOISE = 0.1


def planted_labels(n_runs: int, n_samples: int, rank: int, noise: float = NOISE) -> np.ndarray:
    """Labels of `n_runs` runs, (n_runs, n_samples)."""
    stream = np.random.default_rng(rank)
    groups = stream.integers(rank, size=n_samples)
    labels = np.array([stream.permutation(rank)[groups] for _ in range(n_runs)])
    changed = stream.random(labels.shape) < noise
    labels[changed] = stream.integers(rank, size=int(changed.sum()))
    return labels


def measure(n_samples: int, n_runs: int, ranks: range) -> None:
    """Print a line a rank, and the total."""
    total = 0.0
    for rank in ranks:
        labels = planted_labels(n_runs, n_samples, rank)
        started = time.process_time()
        summary = summarize_consensus(labels, rank)
        found = of_consensus(summary, labels)
        seconds = time.process_time() - started
        total += seconds
        size = n_samples if summary.sampled is None else len(summary.sampled)
        numbers = [
            f"{found[name]:.4f} [{found[f'{name}_low']:.4f}, {found[f'{name}_high']:.4f}]"
            for name in ("cophenetic_correlation", "dispersion", "pac", "consensus_silhouette")
        ]
        print(f"| {rank} | {seconds:.1f} | {size:,} | {' | '.join(numbers)} |", flush=True)
    print(f"\nall ranks: {total:.1f} s of processor time")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--measure", nargs=3, type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        n_samples, n_runs, last = asked.measure
        measure(n_samples, n_runs, range(2, last + 1))
        return
    size = (3_000, 20, 4) if asked.quick else (100_000, 50, 11)
    print(f"{size[0]:,} samples × {size[1]} runs × ranks 2–{size[2]}\n")
    print(
        "| rank | processor s | samples in the tree | cophenetic | dispersion | PAC | silhouette |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    command = [sys.executable, __file__, "--measure", *map(str, size)]
    subprocess.run(command, check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"peak memory: {peak / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
