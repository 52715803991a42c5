"""A whole sweep beside the factorize step of cNMF: same counts, same ranks, to equal or lower loss.

    python benchmarks/against_cnmf.py --cnmf-python ~/.cache/cnmf/bin/python          # most of an hour, idle machine
    python benchmarks/against_cnmf.py --cnmf-python ~/.cache/cnmf/bin/python --quick  # small, a minute or two
    python benchmarks/against_cnmf.py --cnmf-python ~/.cache/cnmf/bin/python --write  # and renew docs/scaling.md

cNMF (Kotliar et al. 2019) divides the counts by the deviation of each gene and factorises that once a rank and seed.
Ten of its runs, with ranks spread evenly over the grid, are timed as its manual has it: one worker a core, all at once,
each with one thread. So many more runs take as many times as long. Our sweep gets what cNMF made of the counts, and is
timed as a user sees it: from the command to the report, with tracking, cross-validation, consensus and the solutions
of all ranks.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from large_matrices import ONE_THREAD
from matrices import single_cell
from measured import made_with
from scaling import BESIDE_CNMF, write_document
from scipy import sparse

from nmfcore import transform
from nmfcore.adapters.store import SweepFolder

ROOT = Path(__file__).resolve().parents[1]

THEIRS = """
import multiprocessing, resource, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd, scanpy as sc
from importlib.metadata import version
from scipy import sparse
from cnmf import cNMF
folder, ranks, cores = sys.argv[1], [int(rank) for rank in sys.argv[2].split(",")], int(sys.argv[3])
V = sparse.load_npz(folder + "/counts.npz").tocsr()
names = lambda letter, n: pd.DataFrame(index=[f"{letter}{i}" for i in range(n)])
sc.AnnData(V, obs=names("c", V.shape[0]), var=names("g", V.shape[1])).write(folder + "/counts.h5ad")
open(folder + "/genes.txt", "w").write("\\n".join(f"g{i}" for i in range(V.shape[1])))
model = cNMF(folder, "run")
model.prepare(folder + "/counts.h5ad", components=ranks, n_iter=1, seed=1, genes_file=folder + "/genes.txt")
sparse.save_npz(folder + "/normalised.npz", sparse.csr_matrix(sc.read(model.paths["normalized_counts"]).X))
before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
workers = [multiprocessing.Process(target=model.factorize, args=(i, cores)) for i in range(cores)]
for worker in workers: worker.start()
for worker in workers: worker.join()
assert all(worker.exitcode == 0 for worker in workers)
wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
print(version("cnmf"), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall)
spectra = {str(rank): np.load(model.paths["iter_spectra"] % (rank, 0))["data"] for rank in ranks}
np.savez(folder + "/spectra.npz", **spectra)
"""


@dataclass(frozen=True)
class Plan:
    """Cells × genes, a share of them above 0, and the grid."""

    n_cells: int
    n_genes: int
    density: float
    ranks: tuple[int, ...]
    n_seeds: int
    timed: tuple[int, ...]


FULL = Plan(20_000, 2_000, 0.1, tuple(range(5, 16)), 100, (5, 6, 7, 8, 9, 11, 12, 13, 14, 15))
QUICK = Plan(1_500, 300, 0.1, (3, 4, 5), 10, (3, 5))


def theirs(python: str, plan: Plan, folder: Path, cores: int) -> tuple[str, float, float]:
    """Time runs of cNMF; its version, seconds of the processors and by the clock, each over the number of runs."""
    ranks = ",".join(map(str, plan.timed))
    done = subprocess.run(
        [python, "-c", THEIRS, str(folder), ranks, str(cores)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"cNMF failed:\n{done.stderr[-2000:]}")
    version, cpu, wall = done.stdout.split()[-3:]
    return version, float(cpu) / len(plan.timed), float(wall) / len(plan.timed)


def ours(plan: Plan, folder: Path, cores: int) -> tuple[float, float, SweepFolder]:
    """Run the sweep as a user would; seconds of the processors and by the clock, and its results."""
    config = {
        "name": "atlas",
        "input": {"path": "normalised.npz", "orientation": "samples_by_features"},
        "ranks": list(plan.ranks),
        "seeds": plan.n_seeds,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (folder / "log").open("w") as log:
        done = subprocess.run(
            [*command, "--configfile", "config.yaml", "--cores", str(cores)],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    if done.returncode:
        raise SystemExit(f"The sweep failed:\n{(folder / 'log').read_text()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu, time.monotonic() - started, SweepFolder(folder / "results/atlas")


def losses(plan: Plan, folder: Path, sweep: SweepFolder) -> pd.DataFrame:
    """Loss of each run of cNMF, with the best usages for its spectra, beside the median of ours."""
    V = sparse.csr_array(sparse.load_npz(folder / "normalised.npz")).T.tocsr()
    spectra = np.load(folder / "spectra.npz")
    lines = []
    for rank in plan.timed:
        basis = np.maximum(spectra[str(rank)], 0).T.astype(float)
        their = transform(V, basis, tol=1e-7, dtype="float32").loss
        our = float(np.median(sweep.runs(rank).loss))
        lines.append((rank, their, our, our / their))
    return pd.DataFrame(lines, columns=["rank", "cNMF", "ours (median)", "ratio"])


def report(plan: Plan, python: str, cores: int) -> str:
    """Measure both; the section of docs/scaling.md."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = single_cell(plan.n_cells, plan.n_genes, 10, plan.density)
        sparse.save_npz(folder / "counts.npz", sparse.csr_matrix(counts))
        version, cpu, wall = theirs(python, plan, folder, cores)
        our_cpu, our_wall, sweep = ours(plan, folder, cores)
        table = losses(plan, folder, sweep)
        n_runs = len(plan.ranks) * plan.n_seeds
        answer = sweep.recommendation["headline"]
    whole = wall * n_runs
    size = f"{plan.n_cells:,} cells × {plan.n_genes:,} genes, {counts.nnz / np.prod(counts.shape):.0%} above 0"
    lines = [
        f"{size}; ranks {plan.ranks[0]} to {plan.ranks[-1]}, {plan.n_seeds} seeds each; {cores} cores. "
        f"*{made_with()} cNMF {version}.*",
        "",
        f"| | processor s | by the clock, {cores} cores |",
        "|---|---|---|",
        f"| a run of cNMF, mean of {len(plan.timed)} | {cpu:.1f} | {wall:.1f} s |",
        f"| its factorize step, {n_runs:,} runs (extrapolated) | {cpu * n_runs:,.0f} | {whole:,.0f} s |",
        f"| our sweep from the command to the report | {our_cpu:,.0f} | {our_wall:,.0f} s |",
        f"| **ratio** | **{cpu * n_runs / our_cpu:.0f}** | **{whole / our_wall:.0f}** |",
        "",
        f"The answer of the sweep: {answer}",
        "",
        "Losses (½‖V − WH‖²), of cNMF with the best usages for its spectra:",
        "",
        "| rank | cNMF | ours, median of the runs | ours / cNMF |",
        "|---|---|---|---|",
        *(
            f"| {r} | {a:,.0f} | {b:,.0f} | {q:.5f} |"
            for r, a, b, q in table.itertuples(index=False)
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cnmf-python", required=True, help="python of an environment with cnmf")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true", help="renew docs/scaling.md")
    options = parser.parse_args()
    text = report(QUICK if options.quick else FULL, options.cnmf_python, options.cores)
    print(text)
    if options.write:
        write_document(BESIDE_CNMF, text)


if __name__ == "__main__":
    main()
