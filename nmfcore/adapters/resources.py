"""What a job asks a scheduler for: memory and time, from the size of the matrix, the rank and the batch.

Asking needs no measuring (`nmfcore.adapters.forecast` times fits), so it errs to the generous side, and a job that was
killed all the same asks for twice as much when it is tried again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nmfcore import block_matrix
from nmfcore.adapters import store
from nmfcore.adapters.settings import rank_rule, seed_rule
from nmfcore.blocks import BLOCK_ENTRIES
from nmfcore.groups import GROUP_SEEDS
from nmfcore.limits import (
    EXCERPT_SHARE,
    HELD_OUT_FOLDS,
    MAX_CELLS,
    MAX_ROUNDS,
    MAX_SAMPLES,
    N_SPLITS,
    side_by_side,
)
from nmfcore.problem import DENSE_FROM_DENSITY

_PROCESS_BYTES = 700e6  # Python with compiled kernels, and Snakemake around it: twice under SLURM
_DRAWING_BYTES = 400e6  # matplotlib and pandas
_READING_COPIES = 12  # of an input file: text is read into objects first
_GATHERING_COPIES = 3  # of the runs of a rank: as read, as arrays, joined
_CONSENSUS_COPIES = 4
_BLOCK_BYTES = 300e6  # of a large matrix, in the precisions that are needed
_HIDING_BYTES = 40.0  # a cell: which are hidden in which fold, as positions
_WIDEST = 10.0  # sides of a matrix of unknown shape, in units of the root of its cells

_OPERATIONS_A_CELL = 4  # and component: two products, each a multiplication and an addition
_OPERATIONS_S = 1e9  # of a core, at the slowest matrices
_SLOWER = 10.0  # logarithms and divisions of the other losses
_TYPICAL_ITERATIONS = 500
_READ_S = 1e6  # bytes a second, on a slow network disk
_START_S = 600.0
_WITHOUT_FITS = ("summarize", "report")


@dataclass(frozen=True)
class MatrixSize:
    """Size of a prepared matrix.

    Attributes
    ----------
    n_features, n_samples : int
    n_stored : int
        Cells of a dense matrix, entries of a sparse one.
    is_sparse : bool
    stays_on_disk : bool
        Whether Frobenius fits read it block by block (`nmfcore.block_matrix`).
    density : float
        Share of the cells of a dense matrix that are above 0.
    """

    n_features: int
    n_samples: int
    n_stored: int
    is_sparse: bool
    stays_on_disk: bool = False
    density: float = 1.0

    @classmethod
    def of(cls, matrix_json: str | Path) -> MatrixSize:
        """Size that `prepared/matrix.json` tells.

        Raises
        ------
        ResultError
            If the file is missing or damaged.
        """
        path = Path(matrix_json)
        return _read_size(path, path.stat().st_mtime_ns if path.exists() else 0)

    @classmethod
    def of_file(cls, n_bytes: float) -> MatrixSize:
        """Size as far as that of `prepared/matrix.npz` tells it: that of a dense matrix with one long side."""
        n_cells = n_bytes / 8
        long, short = _WIDEST * math.sqrt(n_cells), math.sqrt(n_cells) / _WIDEST
        return cls(math.ceil(long), math.ceil(short), math.ceil(n_cells), False)

    @property
    def as_fitted(self) -> MatrixSize:
        """As Frobenius fits hold it: CSR where few cells are above 0 (`nmfcore.problem`)."""
        if self.is_sparse or self.density >= DENSE_FROM_DENSITY[2.0]:
            return self
        return replace(self, n_stored=round(self.density * self.n_stored), is_sparse=True)

    @property
    def n_bytes(self) -> float:
        """Of the values in float64, with the indices of a sparse matrix."""
        return self.n_stored * (12.0 if self.is_sparse else 8.0)


@lru_cache
def _read_size(path: Path, _written: int) -> MatrixSize:
    info = store.read_json(path)
    (m, n), is_sparse = info["shape"], info["storage"] == "csr"
    n_stored = round(info["density"] * m * n) if is_sparse else m * n
    size = MatrixSize(m, n, n_stored, is_sparse, density=info["density"])
    is_large = not info["n_missing"] and size.as_fitted.n_stored > block_matrix.LARGE
    return replace(size, stays_on_disk=is_large)


def _validated(size: MatrixSize) -> MatrixSize:
    """What cross-validation looks at: some rows or columns of a large matrix."""
    share = MAX_CELLS / (size.n_features * size.n_samples)
    if share >= 1:
        return size
    m, n = size.n_features, size.n_samples
    m, n = (math.ceil(m * share), n) if m > n else (m, math.ceil(n * share))
    n_stored = math.ceil(size.n_stored * share)
    return MatrixSize(m, n, n_stored, size.is_sparse, density=size.density)


@dataclass(frozen=True)
class Request:
    """What a job asks for.

    Attributes
    ----------
    mem_mb : int
        Megabytes of memory.
    runtime : int
        Minutes.
    """

    mem_mb: int
    runtime: int


def batch_bytes(
    size: MatrixSize,
    rank: int,
    n_seeds: int,
    itemsize: int,
    n_hidden: int = 0,
    threads: int = 1,
) -> float:
    """Peak of a batch of Frobenius runs, beyond the caller's matrix and mask.

    The matrix at the scale of the problem in two precisions, an excerpt of it, and copies of the factors: while a group
    is iterated, the start and the end of all runs and what the group works with; while losses are recomputed, all in
    float64; or what is returned. `benchmarks/solvers.py` measures it.

    Parameters
    ----------
    size : MatrixSize
    rank, n_seeds : int
    itemsize : int
        Bytes of a number of the working precision.
    n_hidden : int
        Cells that are hidden. With any, there are tables of products of every two components, and the matrix is
        completed.
    threads : int
        Groups that are iterated at the same time.
    """
    size = size.as_fitted
    with_excerpt = 1 + 1 / EXCERPT_SHARE
    factors = factor_bytes(size, rank, n_seeds, itemsize)
    group = factor_bytes(size, rank, min(n_seeds, GROUP_SEEDS * threads), itemsize)
    iterated = 2 * factors + (6 if size.is_sparse or n_hidden else 5) * group
    in_float64 = (2 + 8 / itemsize) * factors + 8 / itemsize * group
    if size.is_sparse and not size.stays_on_disk:
        in_float64 += 12.0 * size.n_stored  # laid out for its products
    returned = 3 * factors + float(size.n_features) * rank * n_seeds * itemsize
    copies = max(iterated, in_float64, returned)
    if size.stays_on_disk:
        return _BLOCK_BYTES + copies
    if n_hidden:
        n_cells, sides = size.n_features * size.n_samples, size.n_features + size.n_samples
        held = 3.0 * n_hidden * (itemsize + 4)
        n_pairs = rank * (rank + 1) // 2
        n_tables = side_by_side(n_pairs, min(n_seeds, GROUP_SEEDS), itemsize) * n_pairs
        tables = (2 * n_tables + 64) * sides * itemsize
        if size.is_sparse:
            held += n_cells + with_excerpt * size.n_stored * (28 + 3 * itemsize)
            held += 2.0 * (n_hidden + size.n_stored) * (itemsize + 4)  # completed
            return held + max(iterated + tables, in_float64, returned)
        held += n_cells * (16 + 2 * itemsize)
        filled = n_cells * (2.0 * itemsize + 2)
        a_block = 25 * min(n_cells, BLOCK_ENTRIES)
        return held + max(iterated + tables, 3 * factors + a_block, returned, filled)
    of_an_entry = 28.0 + 3 * itemsize if size.is_sparse else 8.0 + itemsize
    return with_excerpt * size.n_stored * of_an_entry + copies


def factor_bytes(size: MatrixSize, rank: int, n_seeds: int, itemsize: int) -> float:
    """Of W and H of all runs of a batch."""
    return float(size.n_features + size.n_samples) * rank * n_seeds * itemsize


def request(
    rule: str,
    size: MatrixSize,
    config: Mapping[str, Any],
    wildcards: Mapping[str, str],
    input_bytes: float = 0.0,
    attempt: int = 1,
    threads: int = 1,
) -> Request:
    """Memory and time of a job.

    Parameters
    ----------
    rule : str
        One of the rules that the size of the matrix matters to.
    size : MatrixSize
        "prepare", which has no matrix yet, goes by the bytes of its input files.
    config : mapping
        Complete, as `load_config` returns it.
    wildcards : mapping of str to str
        Of the job: `rank`, and of a batch `first` and `last`. Without a rank it has to do with the largest.
    input_bytes : float
        Of its input files.
    attempt : int
        1, and one more each time that it is tried again.
    threads : int
        That it runs in; the time is that of one.
    """
    if rule == "prepare":
        n_bytes, seconds = _READING_COPIES * input_bytes, input_bytes / _READ_S
    else:
        rank = int(wildcards.get("rank", rank_rule(config["ranks"]).ranks[-1]))
        n_seeds = _together(rule, config, wildcards)
        size = _validated(size) if rule in ("validate", "solve") else size
        n_bytes = _bytes(rule, size, config, rank, n_seeds, input_bytes, threads)
        seconds = _seconds(rule, size, config, rank, n_seeds) + input_bytes / _READ_S
    growth = 2 ** (attempt - 1)
    return Request(
        mem_mb=math.ceil((_PROCESS_BYTES + n_bytes) / 1e6) * growth,
        runtime=math.ceil((_START_S + seconds) / 60) * growth,
    )


def _together(rule: str, config: Mapping[str, Any], wildcards: Mapping[str, str]) -> int:
    """How many runs are solved together."""
    evidence = config["validate"]
    if rule == "factorize":
        return int(wildcards["last"]) - int(wildcards["first"]) + 1
    if rule == "permute":
        return seed_rule(config["seeds"]).most
    if rule == "validate_blocks":
        return int(evidence["bi_cross_validation"]["starts"])
    if evidence["cross_validation"] and rule in ("validate", "solve"):
        return int(evidence["cross_validation"]["starts"])
    return 1


def _bytes(
    rule: str,
    size: MatrixSize,
    config: Mapping[str, Any],
    rank: int,
    n_seeds: int,
    input_bytes: float,
    threads: int,
) -> float:
    if rule in ("permute", "validate_blocks") or config["factorize"]["loss"] != "frobenius":
        size = replace(size, stays_on_disk=False)
    n_bytes = 0.0 if size.stays_on_disk else 2 * size.n_bytes  # as read, and as arrays
    if rule not in _WITHOUT_FITS:
        itemsize = np.dtype(config["factorize"]["dtype"]).itemsize
        # Folds that are worked on at the same time share nothing.
        folds, groups = (threads, 1) if rule in ("validate", "solve") else (1, threads)
        n_bytes += folds * batch_bytes(size, rank, n_seeds, itemsize, threads=groups)
    if rule in ("validate", "solve"):
        n_bytes += _HIDING_BYTES * size.n_features * size.n_samples
    if rule in ("summarize", "solve_rank"):
        n_bytes += _GATHERING_COPIES * input_bytes
    if rule in _WITHOUT_FITS and size.n_samples <= MAX_SAMPLES:
        n_bytes += _CONSENSUS_COPIES * 8.0 * size.n_samples**2
    if rule == "report":
        n_bytes += threads * _DRAWING_BYTES
    return n_bytes


def _seconds(
    rule: str, size: MatrixSize, config: Mapping[str, Any], rank: int, n_seeds: int
) -> float:
    if rule in _WITHOUT_FITS:
        return 0.0
    settings = config["factorize"]
    if rule == "validate":
        settings = settings | config["validate"]["cross_validation"]
    iterations = min(settings["max_iter"], _TYPICAL_ITERATIONS)
    slower = 1.0 if settings["loss"] == "frobenius" else _SLOWER
    operations = _OPERATIONS_A_CELL * size.n_stored * rank * iterations * slower
    return float(_batches(rule, config) * n_seeds * operations / _OPERATIONS_S)


def _batches(rule: str, config: Mapping[str, Any]) -> int:
    """How many batches a job solves, one after another."""
    evidence = config["validate"]
    if rule == "validate":
        return int(evidence["cross_validation"]["folds"]) * MAX_ROUNDS
    if rule == "permute":
        return int(evidence["permutation"]["permutations"])
    if rule == "validate_blocks":
        blocks = evidence["bi_cross_validation"]
        return int(blocks["row_groups"] * blocks["column_groups"])
    return {"factorize": 1, "solve": HELD_OUT_FOLDS, "solve_rank": 2 * N_SPLITS}[rule]
