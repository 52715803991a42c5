"""Whether the stable solution is the planted one, and whether its support is honest.

    python benchmarks/solution_recovery.py --quick       # under a minute
    python benchmarks/solution_recovery.py               # every kind and level
    python benchmarks/solution_recovery.py --write       # renew docs/accuracy.md

Recovery is the mean cosine of the planted components with their partners (by assignment), over draws. Beside the
solution stand the median and the best of the single runs that it was made of, and, where the package `cnmf` is
installed, the consensus of cNMF (Kotliar et al. 2019) on the same matrix with as many runs, at its default density
threshold and with all features. cNMF divides each feature by its deviation before it factorises; `scaled` is our
solution of what that makes of the matrix, back in the units of the matrix.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_page import COMPONENTS, HALVES, NOISE, WEAK, renew
from matrices import leukemia
from numpy.typing import NDArray
from planted import KINDS, NOISE_KINDS, SHAPES, VISIBILITY, _at_visibility, plant
from scipy.optimize import linear_sum_assignment

from nmfcore.factorization import factorize
from nmfcore.solution import Solution, stable_solution
from nmfcore.stability import cosine_matrix

Array = NDArray[np.float64]

SEEDS = 20
FULL_KINDS = tuple(kind for kind in KINDS if kind != "missing cells")
QUICK_KINDS = ("Gaussian", "low-depth counts", "heavy tails")


def draw(
    kind: str, level: str, rank: int, seed: int, shape_name: str = "square"
) -> tuple[Array, Array]:
    """A matrix and the components planted in it."""
    stream = np.random.default_rng([seed, rank, sum(map(ord, kind))])
    signal, noise = KINDS[kind]
    W, H = signal(stream, SHAPES[shape_name], rank)
    mean = W @ H
    V, _ = _at_visibility(stream, mean / mean.mean(), rank, noise, VISIBILITY[level])
    return V, W


def matched(W: Array, found: Array) -> Array:
    """Cosine of each planted component with its partner; 0 where none is left for it."""
    cosine = cosine_matrix(W, found)
    rows, columns = linear_sum_assignment(cosine, maximize=True)
    result = np.zeros(W.shape[1])
    result[rows] = cosine[rows, columns]
    return result


# ---------------------------------------------------------------- recovery


def recovery(
    kind: str, level: str, rank: int, seeds: Sequence[int], with_peer: bool
) -> dict[str, Any]:
    """Mean matched cosine over draws: single runs, best run, solution, cNMF."""
    lines = []
    for seed in seeds:
        V, W = draw(kind, level, rank, seed)
        runs = factorize(V, rank, range(SEEDS))
        good = runs.take(np.flatnonzero(runs.good))
        single = [matched(W, basis).mean() for basis in good.W]
        solution = stable_solution(V, runs, n_splits=0)
        line = {
            "single": float(np.median(single)),
            "best": float(single[int(good.loss.argmin())]),
            "solution": float(matched(W, solution.W).mean()),
            "scaled": float(matched(W, scaled_solution(V, rank)).mean()),
        }
        if with_peer:
            line["cnmf"] = float(matched(W, cnmf_consensus(V, rank)).mean())
        lines.append(line)
    means = {name: float(np.mean([line[name] for line in lines])) for name in lines[0]}
    return {"kind": kind, "level": level, "rank": rank, "draws": len(lines), **means}


def scaled_solution(V: Array, rank: int) -> Array:
    """Components of V with every feature at unit variance, in the units of V."""
    deviation = V.std(axis=1, ddof=1)
    varies = deviation > 0
    X = V[varies] / deviation[varies, None]
    found = np.zeros((len(V), rank))
    solution = stable_solution(X, factorize(X, rank, range(SEEDS)), n_splits=0)
    found[varies] = solution.W * deviation[varies, None]
    return found


def cnmf_consensus(V: Array, rank: int) -> Array:
    """Consensus spectra of cNMF, (n_features, rank)."""
    import pandas as pd
    from cnmf import cNMF

    samples = np.flatnonzero(V.sum(axis=0) > 0)
    features = np.flatnonzero(V[:, samples].sum(axis=1) > 0)
    table = pd.DataFrame(
        V[np.ix_(features, samples)].T,
        index=[f"s{j}" for j in samples],
        columns=[f"g{i}" for i in features],
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        path = str(Path(folder) / "counts.tsv")
        table.to_csv(path, sep="\t")
        peer = cNMF(output_dir=folder, name="peer")
        # The matrix itself as 'TPM': the consensus is refitted to it in its own units.
        peer.prepare(
            counts_fn=path,
            components=[rank],
            n_iter=SEEDS,
            seed=1,
            tpm_fn=path,
            num_highvar_genes=len(features),
        )
        peer.factorize()
        peer.combine()
        peer.consensus(k=rank, density_threshold=0.5, show_clustering=False)
        spectra = peer.load_results(K=rank, density_threshold=0.5)[2]
    found = np.zeros((len(V), rank))
    found[features] = spectra.loc[table.columns].to_numpy()
    return found


# ---------------------------------------------------------------- support


def weak_component(level: str, seed: int, n_weak: int = 3) -> dict[str, Any]:
    """Support of three strong components and of one that few samples carry faintly."""
    stream = np.random.default_rng([seed, 77])
    W = stream.dirichlet(np.full(100, 0.15), 4).T
    H = stream.gamma(0.5, 1, (4, 100)) + 0.05
    H[3] = 0
    H[3, :n_weak] = {"clear": 20.0, "faint": 1.0, "invisible": 0.02}[level]
    V = stream.poisson(200 * W @ H).astype(float)
    solution = stable_solution(V, factorize(V, 4, range(SEEDS)))
    cosine = cosine_matrix(W, solution.W)
    rows, partner = linear_sum_assignment(cosine, maximize=True)
    weak, strong = partner[3], partner[:3]
    return {
        "level": level,
        "cosine_weak": float(cosine[3, weak]),
        "support_weak": float(solution.support[weak]),
        "runs_weak": float(solution.run_support[weak]),
        "interval_weak": [float(x) for x in solution.support_interval[weak]],
        "replication_weak": _replication(solution, [weak]),
        "support_strong": float(solution.support[strong].min()),
        "runs_strong": float(solution.run_support[strong].min()),
        "replication_strong": _replication(solution, strong),
        "found": rows.size,
    }


def on_noise(kind: str, rank: int, shape_name: str = "square") -> dict[str, Any]:
    """Largest support of any component of noise, and what it is the smaller of."""
    V = (
        independent_noise(kind, SHAPES[shape_name])
        if kind in INDEPENDENT
        else plant(kind, 1, "noise", shape_name, 1).V
    )
    solution = stable_solution(V, factorize(V, rank, range(SEEDS)))
    assert solution.replication is not None
    return {
        "kind": kind,
        "rank": rank,
        "support_max": float(solution.support.max()),
        "runs_max": float(solution.run_support.max()),
        "replication_max": float(solution.replication.max()),
    }


INDEPENDENT: dict[str, Callable[[np.random.Generator, tuple[int, int]], Array]] = {
    "uniform, independent": lambda stream, shape: stream.random(shape),
    "exponential, independent": lambda stream, shape: stream.exponential(1, shape),
    "Poisson, independent": lambda stream, shape: stream.poisson(3, shape).astype(float),
}


def independent_noise(kind: str, shape: tuple[int, int]) -> Array:
    """Noise whose features and samples are all alike: nothing to find even at rank 1 but a constant."""
    return INDEPENDENT[kind](np.random.default_rng(5), shape)


def _replication(solution: Solution, components: Any) -> float | None:
    return None if solution.replication is None else float(solution.replication[components].min())


# ---------------------------------------------------------------- halves of the seeds


def two_halves(rank: int, n_seeds: int = 20) -> dict[str, Any]:
    """Least matched cosine of the leukaemia solutions from two disjoint sets of starts."""
    V = leukemia()
    first, second = (
        stable_solution(V, factorize(V, rank, seeds), n_splits=0)
        for seeds in (range(n_seeds), range(n_seeds, 2 * n_seeds))
    )
    return {"rank": rank, "least_cosine": float(matched(first.W, second.W).min())}


# ---------------------------------------------------------------- the tables


def table(lines: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Markdown."""
    rows = [[_cell(line.get(name)) for name in columns] for line in lines]
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [list(columns), ["---"] * len(columns), *rows]
    )


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return "–".join(_cell(part) for part in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def recovery_lines(quick: bool, with_peer: bool) -> Iterator[dict[str, Any]]:
    kinds, levels, ranks, seeds = (
        (QUICK_KINDS, ("moderate",), (4,), range(2))
        if quick
        else (FULL_KINDS, ("low", "moderate", "high"), (4, 8), range(5))
    )
    for kind, level, rank in product(kinds, levels, ranks):
        yield recovery(kind, level, rank, seeds, with_peer)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few kinds and draws")
    parser.add_argument("--write", action="store_true", help="renew sections of docs/accuracy.md")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    has_peer = importlib.util.find_spec("cnmf") is not None
    recovered = list(recovery_lines(options.quick, has_peer))
    weak = [weak_component(level, 0) for level in ("clear", "faint", "invisible")]
    noise = [
        on_noise(kind, rank)
        for kind, rank in product(
            [*INDEPENDENT, *([] if options.quick else NOISE_KINDS)],
            (3,) if options.quick else (2, 3, 5, 8),
        )
    ]
    halves = [two_halves(rank) for rank in ((3,) if options.quick else (2, 3, 4))]
    columns = ["kind", "level", "rank", "draws", "single", "best", "solution", "scaled"]
    peer = f"cNMF {metadata.version('cnmf')}" if has_peer else "no cNMF, which is not installed"
    sections = {
        COMPONENTS: f"Mean cosine of planted components with their partners: the median and the best of {SEEDS} runs, "
        f"the stable solution made of them, that of the matrix with features at unit variance (as cNMF has it), and "
        f"{peer}.\n\n" + table(recovered, [*columns, *(["cnmf"] if has_peer else [])]),
        WEAK: table(weak, list(weak[0])[:-1]),
        NOISE: "The best supported component of each matrix. Kinds that are not independent hold one profile at "
        "uneven depths, which is structure of rank 1: at rank 2, one component may be that profile.\n\n"
        + table(noise, list(noise[0])),
        HALVES: "Leukaemia; the least matched cosine of two solutions.\n\n"
        + table(halves, ["rank", "least_cosine"]),
    }
    for title, text in sections.items():
        print(f"{title}\n\n{text}\n")
    print(f"{time.perf_counter() - started:.0f} s")
    if options.write:
        renew(sections)
    return 0


if __name__ == "__main__":
    sys.exit(main())
