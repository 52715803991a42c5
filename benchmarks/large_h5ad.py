"""A sparse AnnData file of 20,000 cells × 2,000 genes through every stage: peak memory beside that of the dense matrix.

    python benchmarks/large_h5ad.py             # 20,000 cells; some minutes
    python benchmarks/large_h5ad.py --cells 2000

Each stage is a process of its own, as in the workflow.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import psutil
from matrices import single_cell

RANKS, SEEDS = (1, 8), 3
CONFIG = """
name: large
input: {{path: cells.h5ad}}
prepare:
  - {{step: drop_rare_features, min_samples: 10}}
  - {{step: sample_totals}}
  - log1p
ranks: [{ranks}]
seeds: {seeds}
validate: {{cross_validation: {{folds: 2, starts: 1}}}}
tracking: {{enabled: false}}
"""
ROOT = Path(__file__).resolve().parents[1]
_SCRIPT = re.compile(r"\.snakemake/scripts/\w+\.(\w+)\.py")


def write(path: Path, n_cells: int, density: float) -> int:
    """Write counts of planted programmes; return how many are not 0."""
    X = single_cell(n_cells=n_cells, n_genes=2000, density=density)
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "shape": X.shape})
        for part in ("data", "indices", "indptr"):
            group[part] = getattr(X, part)
        for table, size in zip(("obs", "var"), X.shape, strict=True):
            file.create_group(table).attrs["_index"] = "names"
            file[table]["names"] = [f"{table}_{i}" for i in range(size)]
    return int(X.nnz)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--density", type=float, default=0.05)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        nnz = write(project / "cells.h5ad", options.cells, options.density)
        ranks = ", ".join(map(str, RANKS))
        (project / "mine.yaml").write_text(CONFIG.format(ranks=ranks, seeds=SEEDS))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        with open(project / "log", "w+") as log:
            process = subprocess.Popen(
                [*command, "--configfile", "mine.yaml", "--cores", "1"],
                cwd=project,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            peaks = watch(psutil.Process(process.pid), process)
            if process.returncode:
                log.seek(0)
                raise SystemExit(log.read())
        dense = options.cells * 2000 * 8 / 2**20
        print(
            f"{options.cells:,} cells × 2,000 genes, {nnz:,} entries above 0 ({nnz / options.cells / 2000:.1%})"
        )
        print(f"dense, float64: {dense:,.0f} MiB\n")
        print("| stage | peak memory, MiB |\n|---|---|")
        for stage, peak in peaks.items():
            print(f"| {stage} | {peak / 2**20:,.0f} |")


def watch(parent: psutil.Process, process: subprocess.Popen) -> dict[str, int]:
    """Largest resident memory of every stage, looked at ten times a second until the process ends."""
    peaks: dict[str, int] = {}
    while process.poll() is None:
        for child in parent.children(recursive=True):
            try:
                stage = _SCRIPT.search(" ".join(child.cmdline()))
                memory = child.memory_info().rss
            except psutil.Error:
                continue  # it has ended meanwhile
            if stage:
                peaks[stage[1]] = max(peaks.get(stage[1], 0), memory)
        time.sleep(0.1)
    return peaks


if __name__ == "__main__":
    main()
