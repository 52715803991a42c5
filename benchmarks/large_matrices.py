"""Matrices larger than the memory of a job: every stage of one rank, its time and its peak memory.

    python benchmarks/large_matrices.py             # 100,000 × 2,000 dense, 1,000,000 × 2,000 sparse; an hour
    python benchmarks/large_matrices.py --only dense
    python benchmarks/large_matrices.py --quick     # seconds: small matrices, worked on in small blocks

Matrices are generated block by block, like counts of single cells with planted programmes, and never held whole. Each
stage is the function of the workflow's rule in a process of its own, on one thread; the batches of the sparse matrix go
two at a time. Peak memory is what the operating system says of the process (`ru_maxrss`), imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore import block_matrix
from nmfcore.adapters import settings as settings_of
from nmfcore.adapters import store
from nmfcore.adapters.config import load_config
from nmfcore.adapters.forecast import SCHEMA
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.stages.factorize import factorize_batch
from nmfcore.adapters.stages.solve import solve_rank
from nmfcore.adapters.stages.summarize import summarize
from nmfcore.adapters.stages.validate import validate_rank
from nmfcore.adapters.stored_rows import OpenFile, StoredArray, StoredCsr
from nmfcore.block_matrix import BlockMatrix, Source

PLANTED = 8
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Case:
    """A matrix and what is done with it.

    Attributes
    ----------
    name : str
    n_samples, n_features : int
    entries : int
        Entries above 0 a sample, about; 0 for a dense matrix.
    rank, n_seeds, seeds_per_job, jobs : int
        `jobs` run at a time.
    folds : int
    blocks : tuple of int
        `LARGE` and `BLOCK_CELLS` of `nmfcore.block_matrix`.
    """

    name: str
    n_samples: int
    n_features: int
    entries: int
    rank: int
    n_seeds: int
    seeds_per_job: int
    jobs: int
    folds: int
    blocks: tuple[int, int] = (block_matrix.LARGE, block_matrix.BLOCK_CELLS)


CASES = (
    Case("dense", 100_000, 2_000, 0, PLANTED, 20, 20, 1, 10),
    Case("sparse", 1_000_000, 2_000, 110, PLANTED, 20, 5, 2, 10),
)
QUICK = tuple(
    replace(
        case, n_samples=600, n_features=60, entries=case.entries // 10, folds=2, blocks=(0, 4_000)
    )
    for case in CASES
)


# ---------------------------------------------------------------- matrices


class Cells:
    """Rows of a generated matrix, samples × features; a slice is the same whenever it is asked for."""

    dtype = np.dtype(np.float64)

    def __init__(self, case: Case) -> None:
        self.case, self.shape = case, (case.n_samples, case.n_features)
        stream = np.random.default_rng(0)
        level = stream.lognormal(0, 0.5, case.n_features)
        self.programmes = stream.dirichlet(np.full(case.n_features, 0.3), PLANTED) * level
        self.programmes /= self.programmes.sum(axis=1, keepdims=True)

    def __getitem__(self, rows: slice) -> Any:
        stream = np.random.default_rng([1, rows.start])
        n = rows.stop - rows.start
        usage = stream.dirichlet(np.full(PLANTED, 0.2), n)
        depth = stream.lognormal(0, 0.4, n)
        if self.case.entries:
            return self._counts(stream, usage, depth)
        mean = (usage * depth[:, None]) @ self.programmes
        return mean * (0.5 + stream.random((n, self.shape[1])))

    def _counts(
        self, stream: np.random.Generator, usage: NDArray[Any], depth: NDArray[Any]
    ) -> sparse.csr_array:
        """Molecules drawn one by one: a programme of the cell, then a gene of the programme."""
        drawn = (depth * self.case.entries * 1.3).astype(int) + 1
        cells = np.repeat(np.arange(len(depth)), drawn)
        chosen = (stream.random((cells.size, 1)) > np.cumsum(usage, axis=1)[cells, :-1]).sum(axis=1)
        genes = np.empty(cells.size, np.int32)
        for programme, shares in enumerate(self.programmes):
            own = chosen == programme
            genes[own] = np.searchsorted(np.cumsum(shares), stream.random(int(own.sum())))
        genes = np.minimum(genes, self.shape[1] - 1)
        ones = np.ones(cells.size)
        counts = sparse.coo_array((ones, (cells, genes)), shape=(len(depth), self.shape[1]))
        return sparse.csr_array(counts)


def write(case: Case, path: Path) -> None:
    """Write the matrix as a prepared file, block by block."""
    cells = Cells(case)
    rows: Any = _spooled(cells, path.parent) if case.entries else cells
    values = BlockMatrix(Source(rows), True, cells.dtype, 0, bool(case.entries))
    ids = [
        np.array([f"{letter}{i}" for i in range(n)])
        for letter, n in (("g", case.n_features), ("c", case.n_samples))
    ]
    store.write_matrix(path, LabelledMatrix(values, *ids), {"input_sha256": case.name})


def _spooled(cells: Cells, folder: Path) -> StoredCsr:
    """Generate a sparse matrix once; its entries go to files as they come."""
    counts = [np.zeros(1, np.int64)]
    paths = {name: folder / f"{name}.raw" for name in ("data", "indices")}
    with open(paths["data"], "wb") as data, open(paths["indices"], "wb") as indices:
        for part in Source(cells).slices():
            block = cells[part]
            data.write(block.data.data)
            indices.write(block.indices.astype(np.int32).data)
            counts.append(np.diff(block.indptr).astype(np.int64))
    indptr = np.cumsum(np.concatenate(counts))
    size = (int(indptr[-1]),)
    stored = []
    for name, dtype in (("data", np.float64), ("indices", np.int32)):
        with open(paths[name], "rb") as file:
            stored.append(StoredArray(OpenFile(file), 0, size, np.dtype(dtype)))
        paths[name].unlink()
    return StoredCsr(stored[0], stored[1], indptr, cells.shape)


# ---------------------------------------------------------------- stages


@dataclass(frozen=True)
class Spent:
    """What a process took: seconds by the clock and of the processor, bytes of memory at most."""

    wall: float
    cpu: float
    peak: float


def run_stage(case: Case, folder: Path, stage: str, first: int = 0) -> None:
    """Run one stage in this process; the result files go below `folder`."""
    config = load_config(
        {
            "name": case.name,
            "input": {"path": "generated"},
            "ranks": [case.rank],
            "seeds": case.n_seeds,
            "validate": {"cross_validation": {"folds": case.folds}},
        },
        SCHEMA,
    )
    matrix = str(folder / "matrix.npz")
    n = case.n_seeds
    batches = range(0, n, case.seeds_per_job)
    runs = [str(folder / f"seeds-{number}.npz") for number in batches]
    validation = str(folder / "cross_validation.json")
    if stage == "write":
        write(case, folder / "matrix.npz")
    elif stage == "factorize":
        npz = folder / f"seeds-{first}.npz"
        last = first + case.seeds_per_job - 1
        settings = settings_of.fit_settings(config)
        tsv = str(npz.with_suffix(".tsv"))
        factorize_batch(matrix, case.rank, first, last, settings, str(npz), tsv)
    elif stage == "validate":
        validate_rank(matrix, case.rank, settings_of.validation_settings(config), validation)
    elif stage == "summarize":
        npz, summary = (str(folder / name) for name in ("consensus.npz", "summary.json"))
        summarize(matrix, runs, validation, case.rank, n, n, npz, summary)
    elif stage == "solve_rank":
        info = folder / "matrix.json"
        store.write_json(info, {"dropped_features": [], "dropped_samples": []})
        solution = str(folder / "solution.npz")
        solve_rank(matrix, str(info), runs, case.rank, n, n, solution)


def child(case: Case, folder: Path, stage: str, first: int = 0) -> subprocess.Popen[str]:
    """Start a stage in a process of its own."""
    asked = json.dumps({**asdict(case), "folder": str(folder), "stage": stage, "first": first})
    command = [sys.executable, __file__, "--child", asked]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD}
    )


def finished(process: subprocess.Popen[str]) -> Spent:
    """Wait for a stage, and return what it took."""
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"A stage failed with status {process.returncode}.")
    return Spent(**json.loads(out.splitlines()[-1]))


def obey(asked: str) -> None:
    """Run a stage as a child, and print what it took."""
    given = json.loads(asked)
    folder, stage, first = (given.pop(name) for name in ("folder", "stage", "first"))
    case = Case(**{**given, "blocks": tuple(given["blocks"])})
    block_matrix.LARGE, block_matrix.BLOCK_CELLS = case.blocks
    wall, cpu = time.perf_counter(), time.process_time()
    run_stage(case, Path(folder), stage, first)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    spent = Spent(time.perf_counter() - wall, time.process_time() - cpu, peak)
    print(json.dumps(asdict(spent)))


def measure(case: Case, folder: Path) -> Iterator[str]:
    """Lines of a table, a stage each, as they are measured."""
    kind = f"about {case.entries} above 0 a sample" if case.entries else "dense"
    yield f"**{case.n_samples:,} samples × {case.n_features:,} features, {kind}**; rank {case.rank}:"
    yield ""
    yield "| job | s by the clock | processor s | peak memory, GB |"
    yield "|---|---|---|---|"
    yield as_line("write the prepared file", finished(child(case, folder, "write")))
    firsts = list(range(0, case.n_seeds, case.seeds_per_job))
    for start in range(0, len(firsts), case.jobs):
        now = firsts[start : start + case.jobs]
        running = [child(case, folder, "factorize", first) for first in now]
        for first, process in zip(now, running, strict=True):
            seeds = f"factorize, seeds {first} to {first + case.seeds_per_job - 1}"
            yield as_line(seeds, finished(process))
    for stage in ("validate", "summarize", "solve_rank"):
        yield as_line(stage, finished(child(case, folder, stage)))
    said = store.read_json(folder / "summary.json")
    size = (folder / "matrix.npz").stat().st_size
    yield ""
    yield (
        f"The prepared file has {size / 1e9:.2f} GB. {said['n_good']} of {said['n_runs']} runs converged; best "
        f"relative error {said['reconstruction_error']:.5f} (SVD {said['svd_error']:.5f}), held-out error "
        f"{said['held_out_error']:.4f}, dispersion {said['dispersion']:.4f}."
    )


def as_line(name: str, spent: Spent) -> str:
    """Row of the table."""
    return f"| {name} | {spent.wall:.0f} | {spent.cpu:.0f} | {spent.peak / 1e9:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=[case.name for case in CASES])
    parser.add_argument("--folder", help="where the matrix and the results go (a temporary folder)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        obey(asked.child)
        return
    for case in QUICK if asked.quick else CASES:
        if asked.only in (None, case.name):
            with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
                for line in measure(case, Path(folder)):
                    print(line, flush=True)
                print()


if __name__ == "__main__":
    main()
