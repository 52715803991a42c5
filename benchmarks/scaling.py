"""How time and memory grow with samples, features, seeds, ranks, cores and nodes; and what an atlas would cost.

    python benchmarks/scaling.py --quick     # half a minute: small matrices
    python benchmarks/scaling.py             # half an hour on an idle machine
    python benchmarks/scaling.py --write     # and renew docs/scaling.md

Every point is a batch of runs to convergence in a process of its own on one thread: its time is that of the processor
from the matrix in memory to the finished runs (their median over repeats), its memory what the operating system says
of the process at its peak, imports and matrix included. A slope is that of a straight line through the logarithms: 1
means twice as much of the one takes twice the other. What was not measured is marked: nodes are simulated from
measured job times, and the atlas is extrapolated from smaller matrices of its kind.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from large_matrices import CASES, ONE_THREAD, QUICK, Case, Cells, measure
from measured import renew_sections

from nmfcore.cross_validation import cross_validate
from nmfcore.factorization import factorize
from nmfcore.limits import MAX_CELLS

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"


@dataclass(frozen=True)
class Size:
    """A batch: cells × genes, `entries` a cell above 0 (0: dense), and its runs; or the folds of a cross-validation."""

    n_samples: int
    n_features: int
    rank: int
    n_seeds: int
    entries: int = 0
    folds: int = 0


@dataclass(frozen=True)
class Point:
    """What a batch took: seconds of the processor and by the clock, bytes at its peak, iterations of a run."""

    cpu: float
    wall: float
    peak: float
    iterations: float


# ---------------------------------------------------------------- measuring


def matrix(size: Size) -> Any:
    """V (n_features, n_samples), the same for the same size."""
    case = Case("", size.n_samples, size.n_features, size.entries, 0, 0, 0, 0, 0)
    return Cells(case)[slice(0, size.n_samples)].T


def take(size: Size, repeat: int) -> Point:
    """Run a batch in this process."""
    V = matrix(size)
    factorize(V[:64, :64], 2, range(2), max_iter=2)  # compiled code is loaded at first use
    cpu, wall = time.process_time(), time.perf_counter()
    if size.folds:
        cross_validate(V, size.rank, size.folds, fraction=0.1)
        iterations = np.nan
    else:
        runs = factorize(V, size.rank, range(size.n_seeds), repeat)
        iterations = float(runs.n_iter.mean())
    spent = time.process_time() - cpu, time.perf_counter() - wall
    return Point(*spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, iterations)


def start(size: Size, repeat: int) -> subprocess.Popen[str]:
    """Run a batch in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps(asdict(size)), str(repeat)]
    environment = {**os.environ, **ONE_THREAD}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def ended(process: subprocess.Popen[str]) -> Point:
    """Wait for a batch, and return what it took."""
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"A batch failed with status {process.returncode}.")
    return Point(*json.loads(out.splitlines()[-1]))


def measured(size: Size, repeats: int) -> Point:
    """Medians over repeats."""
    points = [ended(start(size, repeat)) for repeat in range(repeats)]
    columns = zip(*(asdict(p).values() for p in points), strict=True)
    return Point(*(float(np.median(column)) for column in columns))


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of a line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


# ---------------------------------------------------------------- sections


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    quick: bool
    repeats: int
    cores: int


def grown(
    what: str, usual: Sequence[int], quick: Sequence[int], ideal: str, options: Options
) -> str:
    """Table of batches that differ in one number, the field `what` of `Size`."""
    numbers = quick if options.quick else usual
    sizes = [replace(base(options), **{what: n}) for n in numbers]
    points = [measured(size, options.repeats) for size in sizes]
    lines = [
        f"| {what.removeprefix('n_')} | processor s | s an iteration of a run | peak memory, GB |",
        "|---|---|---|---|",
    ]
    step = [p.cpu / (p.iterations * s.n_seeds) for p, s in zip(points, sizes, strict=True)]
    for n, point, each in zip(numbers, points, step, strict=True):
        lines.append(f"| {n:,} | {point.cpu:.2f} | {each:.2g} | {point.peak / 1e9:.2f} |")
    found = [slope(numbers, values) for values in ([p.cpu for p in points], step)]
    added = [p.peak - points[0].peak for p in points[1:]]
    bytes_each = np.mean(np.array(added) / np.diff(numbers).cumsum())
    lines.append(
        f"| **slope** (ideal {ideal}) | **{found[0]:.2f}** | **{found[1]:.2f}** | {bytes_each / 1e6:.3g} MB each |"
    )
    return "\n".join(lines)


def base(options: Options) -> Size:
    """The batch that one number of is changed."""
    return Size(400, 150, 4, 4) if options.quick else Size(4000, 2000, 10, 20)


# Ideal: a product takes as long as there are entries; the seeds of a batch share what is done once, so theirs is below
# 1; a rank costs products once and sweeps over the components twice.
samples = partial(grown, "n_samples", (2000, 4000, 8000, 16000, 32000), (200, 400, 800), "1")
features = partial(grown, "n_features", (500, 1000, 2000, 4000, 8000), (50, 100, 200), "1")
seeds = partial(grown, "n_seeds", (5, 10, 20, 40, 80), (2, 4, 8), "1")
ranks = partial(grown, "rank", (3, 6, 12, 24, 48), (2, 4, 8), "1 to 2")


def cores(options: Options) -> str:
    """The same batches on more cores, a batch a core, as Snakemake runs them."""
    size, n_jobs = base(options), 4 if options.quick else 8
    lines = [
        f"{n_jobs} batches of {size.n_samples:,} × {size.n_features:,} at rank {size.rank}, one a core:",
        "",
        "| cores | s by the clock | speed-up | ideal |",
        "|---|---|---|---|",
    ]
    first = None
    for n in range(1, options.cores + 1):
        started = time.perf_counter()
        running: list[subprocess.Popen[str]] = []
        for job in range(n_jobs):
            if len(running) == n:
                ended(running.pop(0))
            running.append(start(size, job))
        for process in running:
            ended(process)
        wall = time.perf_counter() - started
        first = first or wall
        lines.append(f"| {n} | {wall:.1f} | {first / wall:.2f} | {n} |")
    return "\n".join(lines)


def nodes(options: Options) -> str:
    """A sweep on more nodes than there are here: measured job times, dealt out to the next free core."""
    size = base(options)
    grid = (2, 4) if options.quick else (5, 10, 20)
    fits = {rank: measured(replace(size, rank=rank), 1).cpu for rank in grid}
    # Two of ten folds are timed.
    checks = {rank: 5 * measured(replace(size, rank=rank, folds=2), 1).cpu for rank in grid}
    wanted, batches = range(min(grid), max(grid) + 1), 5
    jobs: list[float] = []
    for rank in wanted:
        seconds = [float(np.interp(rank, grid, list(t.values()))) for t in (fits, checks)]
        jobs += [seconds[0]] * batches + [seconds[1]]
    cores_a_node = 16
    lines = [
        f"**Simulated** from job times measured here at ranks {', '.join(map(str, grid))} (others in proportion): a "
        f"sweep of ranks {wanted[0]}–{wanted[-1]} with {batches} batches of {size.n_seeds} seeds and a "
        f"cross-validation each, {size.n_samples:,} × {size.n_features:,}; nodes of {cores_a_node} cores, longest "
        "jobs first. Waiting in a cluster's queue, starting jobs and the report are not in it.",
        "",
        "| nodes | cores | jobs | s | speed-up | ideal |",
        "|---|---|---|---|---|---|",
    ]
    alone = sum(jobs)
    for n in (1, 2, 4, 8):
        wall = makespan(jobs, n * cores_a_node)
        lines.append(
            f"| {n} | {n * cores_a_node} | {len(jobs)} | {wall:.1f} | {alone / wall:.1f} | {n * cores_a_node} |"
        )
    lines += [
        "",
        f"No more than {alone / max(jobs):.1f} cores can help: the longest job, {max(jobs):.0f} s, is the "
        "cross-validation of the largest rank, or a batch of it, which `seeds_per_job` makes smaller.",
    ]
    return "\n".join(lines)


def makespan(jobs: Sequence[float], n_cores: int) -> float:
    """Seconds until all jobs are done, the longest first, each on the next free core."""
    free = [0.0] * n_cores
    for seconds in sorted(jobs, reverse=True):
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def atlas(options: Options) -> str:
    """1,000,000 cells × 2,000 genes, 5 % above 0; 20 ranks (5 to 24) × 100 seeds."""
    n_atlas, n_ranks, n_seeds = 1_000_000, 20, 100
    numbers = (400, 800, 1600) if options.quick else (10_000, 20_000, 40_000)
    grid = (2, 4, 8) if options.quick else (5, 12, 24)
    genes, entries = (150, 8) if options.quick else (2000, 110)
    batch = 4 if options.quick else 5
    wanted = np.arange(5, 5 + n_ranks)
    lines = [
        f"**Extrapolated** from batches of {batch} seeds on fewer cells of the same kind ({genes:,} genes, about "
        f"{entries} above 0 a cell), on one core, with the slope found, but at least 1; processor seconds a run:",
        "",
        f"| rank | {' | '.join(f'{n:,} cells' for n in numbers)} | slope (ideal 1) | {n_atlas:,} cells, extrapolated |",
        "|" + "---|" * (len(numbers) + 3),
    ]
    at_atlas = []
    for rank in grid:
        sizes = [Size(n, genes, rank, batch, entries) for n in numbers]
        seconds = [measured(size, 1).cpu / batch for size in sizes]
        line = np.polyfit(np.log(numbers), np.log(seconds), 1)
        at_atlas.append(seconds[-1] * (n_atlas / numbers[-1]) ** max(float(line[0]), 1.0))
        shown = " | ".join(f"{s:.2f}" for s in seconds)
        lines.append(f"| {rank} | {shown} | {line[0]:.2f} | {at_atlas[-1]:.0f} |")
    growth = np.polyfit(np.log(grid), np.log(at_atlas), 1)
    fits = n_seeds * float(np.exp(np.polyval(growth, np.log(wanted))).sum())
    most = min(n_atlas, MAX_CELLS // genes)
    tried = numbers[0]
    checks = [5 * measured(Size(tried, genes, rank, 0, entries, 2), 1).cpu for rank in grid]
    validation = np.polyfit(np.log(grid), np.log(checks), 1)
    folds = float(np.exp(np.polyval(validation, np.log(wanted))).sum())
    folds *= most / min(tried, most)
    factor = (n_atlas + genes) * int(wanted[-1]) * 4 / 1e9
    lines += [
        "",
        f"Cross-validation looks at {most:,} cells of an atlas, drawn at random. Ten folds of 2 starts (two were "
        f"timed) of {tried:,} cells take "
        f"{', '.join(f'{s:.0f} s at rank {k}' for k, s in zip(grid, checks, strict=True))}.",
        "",
        f"All {n_ranks} ranks × {n_seeds} seeds: {fits / 3600:,.0f} core-hours of fits and {folds / 3600:,.1f} of "
        f"cross-validation; on 256 cores {(fits + folds) / 3600 / 256:,.1f} hours where jobs are short enough to fill "
        f"them. The factors of a run at rank {wanted[-1]} take {factor:.2f} GB, so a batch is a few seeds; all "
        f"{n_ranks * n_seeds:,} runs on disk take "
        f"{n_seeds * float(wanted.sum()) * (n_atlas + genes) * 4 / 1e12:.1f} TB.",
    ]
    return "\n".join(lines)


def large(options: Options) -> str:
    """Every stage of one rank, of matrices larger than the memory of a job."""
    lines = [
        "Each stage is the function of the workflow's rule in a process of its own, on one thread. The matrix stays on "
        "disk, where it is larger than `nmfcore.block_matrix.LARGE`; `benchmarks/large_matrices.py` makes it."
    ]
    for case in QUICK if options.quick else CASES:
        lines.append("")
        with tempfile.TemporaryDirectory() as folder:
            for line in measure(case, Path(folder)):
                print(line, file=sys.stderr, flush=True)
                lines.append(line)
    return "\n".join(lines)


SECTIONS: dict[str, tuple[str, Callable[[Options], str]]] = {
    "samples": ("Samples", samples),
    "features": ("Features", features),
    "seeds": ("Seeds", seeds),
    "ranks": ("Ranks", ranks),
    "cores": ("Cores", cores),
    "nodes": ("Nodes", nodes),
    "large": ("Matrices larger than memory", large),
    "atlas": ("An atlas", atlas),
}

THREADS = "Threads of a batch"
"""Title of the section that `benchmarks/threads.py` writes."""
BESIDE_CNMF = "Beside cNMF, from the command to the report"
"""Title of the section that `benchmarks/against_cnmf.py` writes."""


# ---------------------------------------------------------------- the program


def write_document(title: str, text: str) -> None:
    """Renew a section of `DOCUMENT`."""
    rules = (__doc__ or "").split("\n\n")[2].replace("\n", " ")
    introduction = f"# Scaling\n\nWritten by `benchmarks/scaling.py --write`. {rules}"
    titles = [*(known for known, _ in SECTIONS.values()), THREADS, BESIDE_CNMF]
    renew_sections(DOCUMENT, introduction, titles, {title: text})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small matrices, one repeat")
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="NAME"
    )
    parser.add_argument("--write", action="store_true", help="renew docs/scaling.md")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        point = take(Size(**json.loads(asked.child[0])), int(asked.child[1]))
        print(json.dumps(list(asdict(point).values())))
        return
    options = Options(asked.quick, 1 if asked.quick else asked.repeats, asked.cores)
    from solvers import machine  # not needed, and not paid for, by the processes that are measured

    stamp = f"{machine()} {options.repeats} repeats."
    print(stamp)
    for name in asked.only:
        title, section = SECTIONS[name]
        print(f"\n## {title}\n", flush=True)
        text = section(options)
        print(text, flush=True)
        if asked.write:
            write_document(title, f"*{stamp}*\n\n{text}")


if __name__ == "__main__":
    main()
