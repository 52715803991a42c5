"""How fast the solvers are: beside other programs to equal or lower loss, as problems grow, and where time goes.

Usage (from the repository's root; one thread, whatever the machine has)::

    python benchmarks/solvers.py --quick                  # under half a minute: small matrices, every section
    python benchmarks/solvers.py --only text growth       # some sections (see --help)
    python benchmarks/solvers.py --write                  # all, and renew docs/performance.md

Rules. A peer and our batch see the same matrix, rank and precision on one thread, one after the other. A peer runs to
its own stopping rule; ours is timed at those of `TOLERANCES` from loose to tight and quoted at the loosest whose batch
has a median loss at or below the median of the peer's runs (within a millionth). Losses are recomputed in float64.
Ratios are of CPU time, which a busy machine disturbs less; those of wall time stand beside them.

A fit of a warmed-up process is timed: kernels are compiled once, when the environment is made.

cNMF needs an environment of its own (``--cnmf-python PATH``), R NMF and RcppML an Rscript (``--rscript PATH``, or on
the PATH); those not found are left out and said to be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from matrices import CASES, QUICK_CASES, Case, single_cell
from measured import renew_sections
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds
from sklearn.decomposition import NMF
from threadpoolctl import threadpool_limits

import nmfcore
from nmfcore.adapters.environment import NUMERIC, environment, versions
from nmfcore.adapters.resources import MatrixSize, batch_bytes
from nmfcore.cross_validation import cross_validate
from nmfcore.divergence import divergences, sum_of_squares
from nmfcore.factorization import factorize, transform
from nmfcore.problem import DENSE_FROM_DENSITY, LOSSES, Problem
from nmfcore.runs import Runs
from nmfcore.solvers import hals, kullback_leibler, products, registry
from nmfcore.solvers.arrays import HostArrays
from nmfcore.solvers.ceiling import CEILING
from nmfcore.solvers.lacking import LackingCells
from nmfcore.warm_up import warm_up

TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6, 1e-7)
"""Tolerances our batch is timed at."""
LOSSES_COMPARED = ("frobenius", "kullback-leibler")
DEFAULT_TOLERANCE = 1e-6
"""That of `factorize`."""
EQUAL = 1e-6
"""Losses that differ by less than this share of them are equal: it is what a run of ours may still lose."""
SLOW_SECONDS = 20.0
"""A peer whose run takes longer is run once, and so is a plain batch beside a masked one."""
PRECISIONS = (("float32", "float32"), ("float64", "float64"), ("float64", "float32"))
"""The peer's and ours; the last pair is what users of the defaults meet."""
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


# ---------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Cost:
    """Seconds of one run (of one seed, for a batch), and the loss it reached."""

    cpu: float
    wall: float
    loss: float


@contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """CPU and wall seconds of a block, known at its end."""
    spent: dict[str, float] = {}
    cpu, wall = time.process_time(), time.perf_counter()
    yield spent
    spent["cpu"], spent["wall"] = time.process_time() - cpu, time.perf_counter() - wall


def middle(costs: Sequence[Cost]) -> Cost:
    """Medians of repeated runs."""
    return Cost(
        *(float(np.median([getattr(c, name) for c in costs])) for name in ("cpu", "wall", "loss"))
    )


def loss_of(V: Any, W: Any, H: Any, loss: str) -> float:
    """Loss of W (n_features, rank) and H in float64."""
    basis = np.ascontiguousarray(np.asarray(W, float).T)[None]
    return float(divergences(V, basis, np.asarray(H, float)[None], LOSSES[loss])[0])


def ours(V: Any, rank: int, n_seeds: int, repeat: int, loss: str, tol: float, dtype: str) -> Cost:
    """One batch of ours: seconds a seed, median loss."""
    with stopwatch() as spent:
        runs = factorize(V, rank, range(n_seeds), repeat, loss, tol=tol, dtype=dtype)
    return Cost(spent["cpu"] / n_seeds, spent["wall"] / n_seeds, float(np.median(runs.loss)))


def report_progress(line: str) -> None:
    """Say on stderr what was just measured; the tables go to stdout."""
    print(line, file=sys.stderr, flush=True)


@cache
def gemm_rate(dtype: str, size: int = 1536) -> float:
    """GF/s of a square matrix product on one thread: the machine's own limit."""
    a = np.random.default_rng(0).random((size, size)).astype(dtype)
    best = np.inf
    for _ in range(5):
        with stopwatch() as spent:
            a @ a
        best = min(best, spent["cpu"])
    return 2 * size**3 / best / 1e9


# ---------------------------------------------------------------- peers


@dataclass(frozen=True)
class Peer:
    """Another program.

    Attributes
    ----------
    name : str
    loss : str
    run : callable
        (V, rank, seed) → Cost.
    dtypes : tuple of str
        Precisions it computes in.
    """

    name: str
    loss: str
    run: Callable[[Any, int, int], Cost]
    dtypes: tuple[str, ...] = ("float32", "float64")


def scikit_learn(name: str, **settings: Any) -> Peer:
    """scikit-learn with random starts; what is not set is its default."""
    loss = settings.get("beta_loss", "frobenius")

    def run(V: Any, rank: int, seed: int) -> Cost:
        model = NMF(rank, init="random", random_state=seed, **settings)
        with warnings.catch_warnings(), stopwatch() as spent:
            warnings.simplefilter("ignore")  # 'maximum number of iterations reached'
            W = model.fit_transform(V)
        return Cost(**spent, loss=loss_of(V, W, model.components_, loss))

    return Peer(f"scikit-learn {name}", loss, run)


SCIKIT_LEARN = (
    scikit_learn("CD"),
    scikit_learn("CD, tol 1e-6", tol=1e-6, max_iter=1000),
    scikit_learn("MU", solver="mu"),
    scikit_learn("MU", solver="mu", beta_loss="kullback-leibler"),
    scikit_learn(
        "MU, tol 1e-6", solver="mu", beta_loss="kullback-leibler", tol=1e-6, max_iter=1000
    ),
)
QUICK_PEERS = (SCIKIT_LEARN[0], SCIKIT_LEARN[3])

R_PROGRAM = """
args <- commandArgs(TRUE); folder <- args[1]; rank <- as.integer(args[2]); seed <- as.integer(args[3])
method <- args[4]; numbers <- function(name, what, n) readBin(file.path(folder, name), what, n)
shape <- numbers("shape", "integer", 3)
suppressPackageStartupMessages(library(Matrix))
x <- numbers("x", "double", shape[3])
V <- if (method == "RcppML") new("dgCMatrix", i = numbers("i", "integer", shape[3]),
  p = numbers("p", "integer", shape[2] + 1), x = x, Dim = shape[1:2]) else matrix(x, shape[1], shape[2])
if (method == "RcppML") {
  suppressPackageStartupMessages(library(RcppML)); setRcppMLthreads(1)
  spent <- system.time(fit <- RcppML::nmf(V, rank, seed = seed, verbose = FALSE))
  W <- fit$w %*% diag(fit$d, rank); H <- fit$h
} else {
  suppressPackageStartupMessages(library(NMF))
  spent <- system.time(fit <- nmf(V, rank, method, seed = seed, .options = "-p"))
  W <- basis(fit); H <- coef(fit)
}
writeBin(as.double(W), file.path(folder, "W")); writeBin(as.double(H), file.path(folder, "H"))
cat(spent[["user.self"]] + spent[["sys.self"]], spent[["elapsed"]], "\\n")
"""


def r_peer(rscript: str, method: str, loss: str) -> Peer:
    """R NMF (`lee`, `brunet`) or RcppML, timed within R."""

    def run(V: Any, rank: int, seed: int) -> Cost:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _write_for_r(folder, V, as_sparse=method == "RcppML")
            (folder / "program.R").write_text(R_PROGRAM)
            command = [rscript, str(folder / "program.R"), name, str(rank), str(seed + 1), method]
            cpu, wall = map(float, _output(command).split()[-2:])
            W = np.fromfile(folder / "W").reshape(rank, -1).T
            H = np.fromfile(folder / "H").reshape(-1, rank).T
        return Cost(cpu, wall, loss_of(V, W, H, loss))

    return Peer(method if method == "RcppML" else f"R NMF {method}", loss, run, ("float64",))


def _write_for_r(folder: Path, V: Any, as_sparse: bool) -> None:
    columns = sparse.csc_array(V) if as_sparse else None
    values = columns.data if columns is not None else _dense(V).T
    shape = np.array([*V.shape, values.size], np.int32)
    parts = {"shape": shape, "x": np.ascontiguousarray(values, np.float64)}
    if columns is not None:
        parts |= {"i": columns.indices.astype(np.int32), "p": columns.indptr.astype(np.int32)}
    for name, part in parts.items():
        part.tofile(folder / name)


CNMF_PROGRAM = """
import sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd, scanpy as sc
from scipy import sparse
from threadpoolctl import threadpool_limits
from cnmf import cNMF
folder, rank, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
V = sparse.load_npz(folder + "/V.npz").tocsr()
names = lambda letter, n: pd.DataFrame(index=[f"{letter}{i}" for i in range(n)])
sc.AnnData(V, obs=names("c", V.shape[0]), var=names("g", V.shape[1])).write(folder + "/V.h5ad")
model = cNMF(folder, "run")
open(folder + "/genes.txt", "w").write("\\n".join(f"g{i}" for i in range(V.shape[1])))
model.prepare(folder + "/V.h5ad", components=[rank], n_iter=runs, seed=int(sys.argv[4]),
              genes_file=folder + "/genes.txt")
with threadpool_limits(1):
    cpu, wall = time.process_time(), time.perf_counter()
    model.factorize()
    print((time.process_time() - cpu) / runs, (time.perf_counter() - wall) / runs)
normalised = sc.read(model.paths["normalized_counts"]).X
sparse.save_npz(folder + "/normalised.npz", sparse.csr_matrix(normalised))
spectra = [np.load(model.paths["iter_spectra"] % (rank, i))["data"]
           for i in range(runs)]
np.save(folder + "/spectra.npy", np.array(spectra, float))
"""


def cnmf_row(python: str, V: Any, rank: int, n_seeds: int, runs: int = 2) -> Row:
    """The factorize step of cNMF on what it makes of the counts (cells × genes), and our batch on the same.

    It keeps the spectra only, so its loss is that of the best usages for them: at or below what it had.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sparse.save_npz(folder / "V.npz", sparse.csr_array(V))
        printed = _output([python, "-c", CNMF_PROGRAM, name, str(rank), str(runs), "1"])
        cpu, wall = map(float, printed.split()[-2:])
        normalised = sparse.csr_array(sparse.load_npz(folder / "normalised.npz"))
        spectra = np.load(folder / "spectra.npy")
    V_theirs = normalised.T.toarray()
    fits = [transform(V_theirs, np.maximum(s, 0).T, tol=1e-7, dtype="float32") for s in spectra]
    peer = Cost(cpu, wall, float(np.median([fit.loss for fit in fits])))
    batches = {t: ours(V_theirs, rank, n_seeds, 0, "frobenius", t, "float32") for t in TOLERANCES}
    return Row(f"cNMF ({runs} runs)", "float64, ours float32", "dense", peer, batches, 1)


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


# ---------------------------------------------------------------- comparison


@dataclass(frozen=True)
class Row:
    """A peer beside our batch: medians over the repeats."""

    peer_name: str
    dtype: str
    storage: str
    peer: Cost
    batches: dict[float, Cost]
    repeats: int

    @property
    def tolerance(self) -> float | None:
        """Loosest tolerance at which our median loss is at or below the peer's; None if there is none."""
        reached = [
            t for t, cost in self.batches.items() if cost.loss <= self.peer.loss * (1 + EQUAL)
        ]
        return max(reached) if reached else None


def compare(
    case: Case, V: Any, rank: int, peer: Peer, precisions: tuple[str, str], options: Options
) -> Row:
    """The runs of the peer, then ours from loose to tight until the median loss is reached, and at the default."""
    theirs: list[Cost] = []
    V_theirs = V.astype(precisions[0])
    for repeat in range(options.repeats):
        theirs.append(peer.run(V_theirs, rank, repeat))
        if theirs[0].cpu > SLOW_SECONDS:
            break
    row = Row(peer.name, _label(precisions), _storage(V), middle(theirs), {}, len(theirs))
    n_seeds = case.seeds(peer.loss)
    for tol in options.tolerances:
        if row.tolerance is None or tol == DEFAULT_TOLERANCE:
            row.batches[tol] = middle(
                [
                    ours(V, rank, n_seeds, repeat, peer.loss, tol, precisions[1])
                    for repeat in range(len(theirs))
                ]
            )
    return row


def _storage(V: Any) -> str:
    return "sparse" if sparse.issparse(V) else "dense"


def _label(precisions: tuple[str, str]) -> str:
    theirs, own = precisions
    return own if theirs == own else f"{theirs}, ours {own}"


HEADER = (
    "| rank | input | peer (runs) | peer s a run: CPU, wall | peer loss | our tol | ours s a seed: CPU, wall "
    "| our median loss | ratio CPU | ratio wall | ratio CPU at convergence |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def as_line(rank: int, row: Row) -> str:
    """Row of the table; where our loss stays above the peer's, the ratio is in brackets."""
    quoted = row.tolerance or DEFAULT_TOLERANCE
    cost = row.batches[quoted]
    ratios = [row.peer.cpu / cost.cpu, row.peer.wall / cost.wall]
    shown = [f"{r:.1f}" if row.tolerance else f"({r:.1f}: loss not reached)" for r in ratios]
    cells = [
        str(rank),
        f"{row.storage} {row.dtype}",
        f"{row.peer_name} ({row.repeats})",
        f"{row.peer.cpu:.4g}, {row.peer.wall:.4g}",
        f"{row.peer.loss:.7g}",
        f"{quoted:.0e}",
        f"{cost.cpu:.4g}, {cost.wall:.4g}",
        f"{cost.loss:.7g}",
        *shown,
        f"{row.peer.cpu / row.batches[DEFAULT_TOLERANCE].cpu:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def bound_line(V: Any, rank: int) -> str:
    """No factorisation of this rank has a lower Frobenius loss than the truncated SVD."""
    values = V.astype(np.float64)
    if not sparse.issparse(values) and min(values.shape) <= 4 * rank:
        singular = np.linalg.svd(values, compute_uv=False)[:rank]
    else:
        singular = svds(values, k=rank, return_singular_vectors=False, v0=np.ones(min(V.shape)))
    bound = 0.5 * (sum_of_squares(values) - float((singular**2).sum()))
    return f"| {rank} | | truncated SVD: the bound | | {bound:.7g} | | | | | | |"


def comparison(case: Case, options: Options) -> str:
    """Table of one matrix, a block for each loss."""
    V = case.make()
    lines = []
    for loss in options.losses:
        lines += ["", f"**{loss}**", "", HEADER]
        for rank in _ranks(case, loss):
            for line in _rank_lines(case, V, rank, loss, options):
                lines.append(line)
                report_progress(line)
            if loss == "frobenius":
                lines.append(bound_line(V, rank))
    size = f"{V.shape[0]} × {V.shape[1]}, {100 * _density(V):.3g} % nonzero"
    batches = " and ".join(f"{case.seeds(loss)} seeds ({loss})" for loss in options.losses)
    return f"{case.origin} {size}; batches of {batches}.\n" + "\n".join(lines)


def _ranks(case: Case, loss: str) -> tuple[int, ...]:
    return case.ranks if loss == "frobenius" else (case.kl_rank,)


def _rank_lines(case: Case, V: Any, rank: int, loss: str, options: Options) -> Iterator[str]:
    for storage in case.storages:
        matrix = _dense(V) if storage == "dense" else sparse.csr_array(V)
        for precisions in PRECISIONS:
            for peer in options.peers:
                if peer.loss == loss and options.wants(case, peer, rank, storage, precisions):
                    yield as_line(rank, compare(case, matrix, rank, peer, precisions, options))
    if loss == "frobenius" and options.cnmf_python and case.name == "single-cell":
        yield as_line(rank, cnmf_row(options.cnmf_python, V, rank, case.n_seeds))


def _dense(V: Any) -> NDArray[np.float64]:
    return np.ascontiguousarray(V.toarray() if sparse.issparse(V) else V)


def _density(V: Any) -> float:
    n_nonzero = V.nnz if sparse.issparse(V) else np.count_nonzero(V)
    return float(n_nonzero) / (V.shape[0] * V.shape[1])


# ---------------------------------------------------------------- growth


def growth(options: Options) -> str:
    """Time of a batch as one thing grows: single-cell-like counts, float32, to convergence."""
    small = options.quick
    n_cells, n_genes, rank, n_seeds = (200, 100, 4, 4) if small else (2000, 1000, 8, 10)
    times = (1, 2) if small else (1, 2, 4, 8)
    base = single_cell(n_cells, n_genes).toarray()
    factorize(base, rank, range(n_seeds))  # so that no size pays for what happens once
    wide = sparse.csr_array(single_cell(n_cells, n_genes * times[-1]).T)
    tables = {
        "samples": [
            _grown(n_genes * t, wide[: n_genes * t].toarray().T, rank, n_seeds, options)
            for t in times
        ],
        "rank": [_grown(rank * t, base, rank * t, n_seeds, options) for t in times],
        "seeds": [_grown(s, base, rank, s, options) for s in (1, *(n_seeds * t for t in times))],
    }
    for loss in ("frobenius", "kullback-leibler"):
        tables[f"nonzeros, CSR, {loss}"] = [
            _grown(V.nnz, V, rank, n_seeds, options, loss)
            for V in (single_cell(n_cells, n_genes * 4, density=0.002 * t) for t in times)
        ]
    text = [
        f"One thing grows at a time from single-cell-like counts ({n_cells} × {n_genes}, {_density(base):.0%} nonzero, "
        f"rank {rank}, {n_seeds} seeds, float32). The exponent is that of the CPU time of an iteration of a run."
    ]
    for name, grown in tables.items():
        lines = [
            f"| {name} | CPU s | iterations of a run | ms an iteration of a run |",
            "|---|---|---|---|",
        ]
        lines += [f"| {g.size} | {g.cpu:.3g} | {g.n_iter:.0f} | {g.each:.3g} |" for g in grown]
        slope = np.polyfit(np.log([g.size for g in grown]), np.log([g.each for g in grown]), 1)[0]
        text.append("\n".join([*lines, f"\nExponent {slope:.2f}."]))
    return "\n\n".join(text)


@dataclass(frozen=True)
class Grown:
    """One size: seconds of the batch, median iterations, milliseconds of an iteration of a run."""

    size: int
    cpu: float
    n_iter: float
    each: float


def _grown(
    size: int, V: Any, rank: int, n_seeds: int, options: Options, loss: str = "frobenius"
) -> Grown:
    spent, runs = [], None
    for _ in range(options.repeats):
        with stopwatch() as seconds:
            runs = factorize(V, rank, range(n_seeds), loss=loss)
        spent.append(seconds["cpu"])
    assert runs is not None
    cpu = float(np.median(spent))
    total = int(runs.n_iter.sum())
    return Grown(size, cpu, float(np.median(runs.n_iter)), 1e3 * cpu / total)


def validation(options: Options) -> str:
    """What cross-validation costs beside the fits, with the settings of the default sweep."""
    ranks, n_seeds = (range(1, 4), 10) if options.quick else (range(1, 9), 50)
    V = options.cases[0].make()
    lines = [
        f"{n_seeds} fits a rank, and 10 folds of 2 starts with every tenth cell hidden, on the leukaemia matrix; "
        "float32, to convergence. CPU seconds:",
        "",
        "| rank | fits | cross-validation |",
        "|---|---|---|",
    ]
    total = np.zeros(2)
    for rank in ranks:
        with stopwatch() as fits:
            factorize(V, rank, range(n_seeds))
        with stopwatch() as folds:
            cross_validate(V, rank, 10, 2, 0.1)
        total += fits["cpu"], folds["cpu"]
        lines.append(f"| {rank} | {fits['cpu']:.2f} | {folds['cpu']:.2f} |")
    lines += [
        f"| all | {total[0]:.2f} | {total[1]:.2f} |",
        "",
        f"Cross-validation takes {total[1] / total[0]:.2f} times what the fits take.",
    ]
    return "\n".join(lines)


# ---------------------------------------------------------------- dense or sparse


def storage(options: Options) -> str:
    """Which storage is faster, by the share of entries that are not zero."""
    n_features, n_samples, rank, n_seeds = (
        (300, 200, 4, 4) if options.quick else (2000, 1500, 10, 20)
    )
    densities = (0.05, 0.4) if options.quick else (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
    lines = [
        "A batch stores V dense from a share of nonzeros on, however it was given: "
        f"{DENSE_FROM_DENSITY[2]:.0%} for the Frobenius loss and {DENSE_FROM_DENSITY[1]:.0%} for Kullback–Leibler. "
        f"CPU seconds of 20 iterations of {n_seeds} seeds at rank {rank} on {n_features} × {n_samples} "
        "single-cell-like counts, float32, uncompressed:",
        "",
        "| nonzero | Frobenius: CSR | dense | faster | Kullback–Leibler: CSR | dense | faster |",
        "|---|---|---|---|---|---|---|",
    ]
    for density in densities:
        V = single_cell(n_features, n_samples, density=density)
        cells = [f"{_density(V):.0%}"]
        for loss in ("frobenius", "kullback-leibler"):
            spent = {
                name: _stored_seconds(V, threshold, rank, n_seeds, loss, options.repeats)
                for name, threshold in (("CSR", 1.1), ("dense", 0.0))
            }
            cells += [
                *(f"{seconds:.3g}" for seconds in spent.values()),
                min(spent, key=spent.__getitem__),
            ]
        lines.append("| " + " | ".join(cells) + " |")
        report_progress(lines[-1])
    return "\n".join(lines)


def _stored_seconds(
    V: Any, dense_from: float, rank: int, n_seeds: int, loss: str, repeats: int
) -> float:
    """Median CPU seconds of 20 iterations on V itself where it is dense from a share of nonzeros on."""
    chosen = dict.fromkeys(DENSE_FROM_DENSITY, dense_from)
    seconds = []
    with (
        patch.object(nmfcore.problem, "DENSE_FROM_DENSITY", chosen),
        patch.object(registry, "compression_width", lambda *_: 0),
        patch.object(registry, "main_part", lambda *_: None),
    ):
        for _ in range(repeats):
            with stopwatch() as spent:
                factorize(V, rank, range(n_seeds), loss=loss, max_iter=20, tol=0.0)
            seconds.append(spent["cpu"])
    return float(np.median(seconds))


# ---------------------------------------------------------------- profile


@dataclass
class Profile:
    """CPU seconds and operations of the parts of a fit."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    operations: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def watched(self, part: str, function: Callable[..., Any], count: Callable[..., float]) -> Any:
        """Return `function`, with its time and operations booked to `part`."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with stopwatch() as spent:
                result = function(*args, **kwargs)
            self.seconds[part] += spent["cpu"]
            self.operations[part] += count(*args, **kwargs)
            return result

        return wrapped


def _product_operations(product: Any, factor: Any) -> float:
    stacked = factor.shape[0] * factor.shape[1]
    if isinstance(product, products.CompressedProducts):
        return 2.0 * stacked * (product.Q.size + product.B.size)
    V = product.V
    return 2.0 * stacked * (V.nnz if sparse.issparse(V) else V.size)


def _sweep_operations(start: Any, _rhs: Any, _gram: Any, n_sweeps: int, _out: Any) -> float:
    n_runs, rank, length = start.shape
    return 2.0 * n_runs * rank * rank * length * n_sweeps


def _uncounted(*_: Any, **__: Any) -> float:
    return 0.0


WATCHED: tuple[tuple[Any, str, str, Callable[..., float]], ...] = (
    *(
        (kind, method, "products", _product_operations)
        for kind in (
            products.WholeProducts,
            products.CompressedProducts,
        )
        for method in ("with_samples", "with_features")
    ),
    (hals, "sweep", "sweeps", _sweep_operations),
    (LackingCells, "sweep", "lacking cells", _uncounted),
    (LackingCells, "slopes", "lacking cells", _uncounted),
    (hals, "gram", "Gram matrices", _uncounted),
    (HostArrays, "extrapolate", "extrapolation", _uncounted),
    (registry, "compress", "compression", _uncounted),
    (Problem, "losses", "final loss", _uncounted),
    (nmfcore.factorization, "pose", "checking V", _uncounted),
    (nmfcore.factorization, "make_starts", "starts", _uncounted),
    (kullback_leibler, "kl_sweep_sparse", "sweeps", _uncounted),
    (kullback_leibler, "kl_newton_directions", "sweeps", _uncounted),
    *(
        (kullback_leibler, name, "cell by cell", _uncounted)
        for name in ("kl_curvatures", "kl_largest_falls", "kl_log_fit")
    ),
)


@contextmanager
def profiled() -> Iterator[Profile]:
    """Book what the solvers do inside the block."""
    profile = Profile()
    originals = [(owner, name, getattr(owner, name)) for owner, name, _, _ in WATCHED]
    for owner, name, part, count in WATCHED:
        setattr(owner, name, profile.watched(part, getattr(owner, name), count))
    try:
        yield profile
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def profile(options: Options) -> str:
    """Where the time of a batch goes."""
    fits = [
        (case, case.ranks[-1], loss)
        for loss in ("frobenius", "kullback-leibler")
        for case in options.cases
    ]
    parts = ("products", "sweeps", "Gram matrices", "extrapolation", "final loss")
    header = ["fit", "CPU s", *parts, "rest", "products GF/s", "sweeps GF/s"]
    lines = [
        "Shares of the CPU time of a batch to convergence, float32, one thread. GF/s are operations of the dense (or "
        "stored) entries over time; a square matrix product ran at "
        f"{gemm_rate('float32'):.0f} GF/s in float32 and {gemm_rate('float64'):.0f} in float64 in this process.",
        "",
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
    ]
    for case, rank, loss in fits:
        V = case.make()
        with profiled() as found, stopwatch() as spent:
            runs = factorize(V, rank, range(case.seeds(loss)), loss=loss)
        label = f"{case.name}, rank {rank}, {case.seeds(loss)} seeds, {loss}: {runs.solver}"
        lines.append(_profile_line(label, found, spent["cpu"], parts))
        report_progress(lines[-1])
    return "\n".join(lines)


def _profile_line(label: str, found: Profile, cpu: float, parts: Sequence[str]) -> str:
    shares = [found.seconds[part] / cpu for part in parts]
    rates = []
    for part in ("products", "sweeps"):
        operations, seconds = found.operations[part], found.seconds[part]
        rates.append(f"{operations / seconds / 1e9:.0f}" if operations else "–")
    cells = [f"{share:.0%}" for share in (*shares, 1 - sum(shares))]
    return "| " + " | ".join([label, f"{cpu:.2f}", *cells, *rates]) + " |"


def masked(options: Options) -> str:
    """Fits with hidden cells beside plain ones."""
    header = "| fit | plain CPU s (iterations) | 10 % hidden CPU s (iterations) | ratio | ratio an iteration |"
    lines = [
        "The same batch with every tenth cell hidden, in turn with the plain one; float32, to convergence.",
        "",
        header,
        "|---|---|---|---|---|",
    ]
    for case, V, observed in _tenth_hidden(options):
        for loss in LOSSES_COMPARED:
            for rank in _ranks(case, loss):
                lines.append(_masked_line(case, V, rank, observed, loss, options.repeats))
                report_progress(lines[-1])
    return "\n".join(lines)


def _tenth_hidden(options: Options) -> Iterator[tuple[Case, Any, NDArray[np.bool_]]]:
    """Every case that is measured dense, its matrix, and what is seen of it."""
    for case in options.cases:
        if "dense" in case.storages:
            V = _dense(case.make())
            yield case, V, np.random.default_rng(1).random(V.shape) >= 0.1


def _masked_line(
    case: Case, V: Any, rank: int, observed: NDArray[np.bool_], loss: str, repeats: int
) -> str:
    seconds: dict[bool, list[float]] = {False: [], True: []}
    runs: dict[bool, Runs] = {}
    for _ in range(repeats):
        for hides in (False, True):
            mask = observed if hides else None
            with stopwatch() as spent:
                runs[hides] = factorize(V, rank, range(case.seeds(loss)), loss=loss, observed=mask)
            seconds[hides].append(spent["cpu"])
        if seconds[False][0] > SLOW_SECONDS:
            break
    cpu = {hides: float(np.median(times)) for hides, times in seconds.items()}
    n_iter = {hides: int(found.n_iter.sum()) for hides, found in runs.items()}
    ratio = cpu[True] / cpu[False]
    each = ratio * n_iter[False] / n_iter[True]
    sides = " | ".join(f"{cpu[h]:.2f} ({n_iter[h]})" for h in (False, True))
    return f"| {case.name}, rank {rank}, {case.seeds(loss)} seeds, {loss} | {sides} | {ratio:.2f} | {each:.2f} |"


def ceiling(options: Options) -> str:
    """Fits with hidden cells and many components, with and without a ceiling."""
    lines = [
        "Every tenth cell hidden; more components than there are parts; float32. The largest part is what a component "
        "makes of a cell, over the largest cell that is seen; the error is the root of the mean square over that of "
        "the hidden values themselves. Medians of the runs.",
        "",
        "| fit | ceiling | largest part | error of hidden cells | iterations |",
        "|---|---|---|---|---|",
    ]
    for case, V, observed in _tenth_hidden(options):
        rank = max(case.ranks) + 10 if case.name == "leukemia" else max(case.ranks)
        for loss in LOSSES_COMPARED:
            for height in (None, CEILING):
                runs = factorize(V, rank, range(5), loss=loss, observed=observed, ceiling=height)
                part = (runs.W.max(axis=1) * runs.H.max(axis=2)).max(axis=1) / V[observed].max()
                lines.append(
                    f"| {case.name}, rank {rank}, {loss} | {'none' if height is None else f'{height:g}'} | "
                    f"{np.median(part):.3g} | {np.median(_hidden_errors(V, runs, ~observed)):.3g} | "
                    f"{np.median(runs.n_iter):.0f} |"
                )
                report_progress(lines[-1])
    return "\n".join(lines)


def _hidden_errors(V: Any, runs: Runs, hidden: NDArray[np.bool_]) -> list[float]:
    """Error of the hidden cells of each run, relative to their values."""
    values = V[hidden].astype(np.float64)
    return [
        float(np.linalg.norm((W @ H)[hidden] - values) / np.linalg.norm(values))
        for W, H in zip(runs.W, runs.H, strict=True)
    ]


# ---------------------------------------------------------------- memory


def expected_bytes(V: Any, rank: int, n_seeds: int, itemsize: int, n_hidden: int = 0) -> float:
    """Peak of a Frobenius batch beyond the caller's V (and mask); the formula is in `memory`."""
    is_sparse = sparse.issparse(V)
    size = MatrixSize(*V.shape, V.nnz if is_sparse else V.size, is_sparse)
    return batch_bytes(size, rank, n_seeds, itemsize, n_hidden)


def measured_bytes(V: Any, rank: int, n_seeds: int, dtype: str, observed: Any) -> int:
    """Largest size of all arrays that a batch holds at a time."""
    tracemalloc.start()
    try:
        factorize(V, rank, range(n_seeds), max_iter=30, dtype=dtype, observed=observed)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def memory(options: Options) -> str:
    """Memory of a batch: a formula, and what was measured."""
    lines = [
        "Beyond the caller's V (float64) of m × n cells, a batch of S seeds at rank k with b bytes a number "
        "(4 in float32) takes at its peak",
        "",
        "- dense V: `m n (8 + b) · 5/4`; CSR, as which V is worked on where few of its cells are above 0, with z "
        "stored entries: `z (28 + 3 b) · 5/4`,",
        "",
        "V at the scale of the problem in both precisions and an excerpt of it, and, with `f = b (m + n) k` for the "
        "factors of a run and `g = min(S, 10)` runs of a group (times the threads), the largest of",
        "",
        "- while a group iterates: `(2 S + 5 g) f`; with CSR or a mask `(2 S + 6 g) f`,",
        "- while losses are recomputed in float64: `((2 + 8 / b) S + 8 g / b) f`; with CSR `12 z` more,",
        "- what is returned: `3 S f + b m k S`.",
        "",
        "With a mask that hides h cells, it holds",
        "",
        "- dense V: `m n (16 + 2 b) + 3 h (4 + b)`; CSR: `m n + z (28 + 3 b) · 5/4 + (5 h + 2 z) (4 + b)`,",
        "",
        "and beside that the largest of",
        "",
        "- while a group iterates: `(2 S + 6 g) f + b (m + n) (2 t + 64)`, with t the products of every two "
        "components, `k (k + 1) / 2`, of as many runs as 384 bytes hold,",
        "- while losses are recomputed: `3 S f + 25 min(m n, 2²⁰)`; with CSR as without a mask,",
        "- what is returned: `3 S f + b m k S`,",
        "- while hidden cells of a dense V are filled in: `m n (2 + 2 b)`.",
        "",
        "A matrix that is worked on by blocks (`nmfcore.block_matrix`) is never held ([scaling](scaling.md)).",
        "",
        "Measured with tracemalloc:",
        "",
        "| V | rank | seeds | precision | formula MB | measured MB | measured / formula |",
        "|---|---|---|---|---|---|---|",
    ]
    size = 300 if options.quick else 2000
    stream = np.random.default_rng(0)
    matrices = {
        f"{m} × {n} {kind}": V
        for m, n in ((size, size), (5 * size, 40))
        for kind, V in (
            ("dense", stream.random((m, n))),
            ("CSR, 1 %", sparse.random_array((m, n), density=0.01, rng=stream, format="csr")),
        )
    }
    # Of features this uneven, a quarter hold most: there is an excerpt.
    level = stream.lognormal(0, 2, (2 * size, 1))
    matrices[f"{2 * size} × 100 dense, uneven"] = level * stream.random((2 * size, 100))
    kinds = (10, 20, "float32"), (10, 100, "float32"), (10, 50, "float64")
    with_mask = (3, 20, "float32"), (10, 20, "float32"), (10, 50, "float64")
    cases = [(V, *kind, False) for V in matrices for kind in kinds]
    cases += [(V, *kind, True) for V in matrices for kind in with_mask]
    for name, rank, n_seeds, dtype, masked in cases:
        V = matrices[name]
        observed = stream.random(V.shape) > 0.1 if masked else None
        n_hidden = 0 if observed is None else int(np.count_nonzero(~observed))
        expected = expected_bytes(V, rank, n_seeds, np.dtype(dtype).itemsize, n_hidden) / 1e6
        found = measured_bytes(V, rank, n_seeds, dtype, observed) / 1e6
        lines.append(
            f"| {name}{', masked' * masked} | {rank} | {n_seeds} | {dtype} | {expected:.1f} | {found:.1f} "
            f"| {found / expected:.2f} |"
        )
    return "\n".join(lines)


# ---------------------------------------------------------------- the program


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    quick: bool
    repeats: int
    cases: Sequence[Case]
    peers: Sequence[Peer]
    losses: Sequence[str]
    cnmf_python: str | None

    @property
    def tolerances(self) -> Sequence[float]:
        """Tolerances at which our batch is timed."""
        return (1e-4, 1e-6) if self.quick else TOLERANCES

    def wants(
        self, case: Case, peer: Peer, rank: int, storage: str, precisions: tuple[str, str]
    ) -> bool:
        """Whether a peer is worth its time here: variants and slow peers take one turn, not every one."""
        if precisions[0] not in peer.dtypes:
            return False
        if peer.name.startswith("R NMF"):
            return case.name == "leukemia" and rank == case.ranks[-1]
        if peer.loss == "kullback-leibler":
            usual = peer.name == "scikit-learn MU"
            return storage == case.storages[-1] and (usual or precisions == PRECISIONS[0])
        if peer.name == "RcppML":
            return storage == case.storages[-1]
        first = storage == case.storages[0]
        return peer.name == "scikit-learn CD" or (first and precisions == PRECISIONS[0])


def find_peers(rscript: str | None) -> list[Peer]:
    """scikit-learn, and what of R is there."""
    peers = list(SCIKIT_LEARN)
    asked = {
        "R NMF": ("NMF", (("lee", "frobenius"), ("brunet", "kullback-leibler"))),
        "RcppML": ("RcppML", (("RcppML", "frobenius"),)),
    }
    for label, (package, methods) in asked.items():
        if rscript and _has_r_package(rscript, package):
            peers += [r_peer(rscript, method, loss) for method, loss in methods]
        else:
            print(f"{label} is left out: no Rscript with the package {package} was found.")
    return peers


def _has_r_package(rscript: str, package: str) -> bool:
    code = f"quit(status = !requireNamespace('{package}', quietly = TRUE))"
    return subprocess.run([rscript, "-e", code], capture_output=True, check=False).returncode == 0


def machine() -> str:
    """What the figures were taken with."""
    made = environment()
    programs = versions((*NUMERIC, "scikit-learn"))
    return (
        f"{date.today()}; {made['cpu']}; Python {made['python']}, "
        f"{', '.join(f'{name} {found}' for name, found in programs.items())}; "
        f"BLAS kernels reported by threadpoolctl: {'; '.join(made['blas'])}; one thread. "
        f"Matrix products: {gemm_rate('float32'):.0f} GF/s in float32, {gemm_rate('float64'):.0f} in float64. "
        f"Load of the machine at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."
    )


def sections(options: Options) -> dict[str, Callable[[], str]]:
    """Sections of the output, by name."""
    made: dict[str, Callable[[], str]] = {
        case.name: lambda case=case: comparison(case, options)  # type: ignore[misc]
        for case in options.cases
    }
    for section in (masked, ceiling, validation, storage, growth, profile, memory):
        made[section.__name__] = lambda section=section: section(options)  # type: ignore[misc]
    return made


TITLES = {
    "leukemia": "Leukaemia beside other programs",
    "single-cell": "Single-cell-like counts beside other programs",
    "text": "Text-like counts beside other programs",
    "masked": "Hidden cells",
    "ceiling": "Hidden cells and many components",
    "validation": "Cross-validation beside the fits",
    "storage": "Dense or sparse",
    "growth": "Growth",
    "profile": "Where time goes",
    "memory": "Memory of a batch",
}


def write_document(name: str, text: str, stamp: str) -> None:
    """Renew a section of `DOCUMENT`."""
    rules = (__doc__ or "").split("Rules. ")[1].split("\n\n")[0].replace("\n", " ")
    introduction = f"# Performance\n\nWritten by `benchmarks/solvers.py --write`. {rules}"
    found = {TITLES[name]: f"*{stamp}*\n\n{text.strip()}"}
    renew_sections(DOCUMENT, introduction, TITLES.values(), found)


def run_on_one_thread() -> None:
    """Start again with one thread and the kernel that OpenBLAS itself chooses, unless that is so already."""
    wanted = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    kept = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    if dict(os.environ) != kept | wanted:
        os.execve(sys.executable, [sys.executable, *sys.argv], kept | wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small matrices, one repeat")
    parser.add_argument("--only", nargs="+", choices=TITLES, default=list(TITLES), metavar="NAME")
    parser.add_argument(
        "--losses",
        nargs="+",
        choices=LOSSES_COMPARED,
        default=LOSSES_COMPARED,
        help="of the comparisons with other programs",
    )
    parser.add_argument("--write", action="store_true", help="renew docs/performance.md")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rscript", default=shutil.which("Rscript"))
    parser.add_argument("--cnmf-python", help="python of an environment with cnmf")
    asked = parser.parse_args()
    run_on_one_thread()
    with threadpool_limits(1):
        options = Options(
            quick=asked.quick,
            repeats=1 if asked.quick else asked.repeats,
            cases=QUICK_CASES if asked.quick else CASES,
            peers=QUICK_PEERS if asked.quick else find_peers(asked.rscript),
            losses=asked.losses,
            cnmf_python=asked.cnmf_python,
        )
        warm_up()
        stamp = machine()
        print(stamp)
        found = {}
        for name, section in sections(options).items():
            if name in asked.only:
                print(f"\n## {TITLES[name]}", flush=True)
                found[name] = section()
                print(found[name], flush=True)
                if asked.write:
                    write_document(name, found[name], stamp)


if __name__ == "__main__":
    main()
