"""What a sweep will take, before it runs: jobs, time, memory, disk, from a few timed fits of the matrix itself.

``python -m nmfcore.adapters.forecast CONFIG --cores N``, or ``make plan``. Every stage is run as the sweep runs it, at
the smallest, the middle and the largest rank, with few seeds and few folds; the rest is proportion.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from nmfcore.adapters import store
from nmfcore.adapters.config import load_config
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.progress import duration
from nmfcore.adapters.resources import MatrixSize, batch_bytes
from nmfcore.adapters.settings import fit_settings, rank_rule, seed_rule, validation_settings
from nmfcore.adapters.stages.factorize import fit
from nmfcore.adapters.stages.validate import cross_validated
from nmfcore.batches import batch_size, plan_stages
from nmfcore.criteria import summarize_rank
from nmfcore.errors import NmfcoreError
from nmfcore.held_out import held_out_by_sample
from nmfcore.limits import MAX_SAMPLES
from nmfcore.reconstruction import svd_errors
from nmfcore.residuals import best_run_residual_excess
from nmfcore.runs import Runs
from nmfcore.solution import stable_solution
from nmfcore.solvers.penalties import Penalties

SCHEMA = Path(__file__).parents[2] / "workflow/schemas/config.schema.yaml"

_SEEDS, _FOLDS = 5, 2  # timed at most
# Measured on the default sweep; in the forecast of a long one they are little.
_FIGURE_S, _PUBLISHING_JOB_S, _PUBLISHED_FIT_S = 0.7, 4.0, 0.013
_FIGURE_BYTES, _PUBLISHED_FIT_BYTES, _STORE_BYTES = (
    450_000,
    12_000,
    1_500_000,
)  # SVG, PNG and report
_PUBLISHING_BYTES = 400e6  # of memory, with MLflow loaded
_TEXT_BYTES = 20  # a number in a table

_T = TypeVar("_T")


@dataclass(frozen=True)
class Calibration:
    """Processor seconds at the ranks that were tried, for a whole rank.

    Attributes
    ----------
    ranks : tuple of int
    fits, validation, summary, solution : tuple of float
        All runs of the rank; its cross-validation; its criteria; its stable solution.
    held_out : float
        Held-out error of every sample at one rank.
    start : float
        Start of a job: Python and its imports.
    iterations : float
        Of a run, on average.
    peak : float
        Bytes of memory that all of this took at most.
    """

    ranks: tuple[int, ...]
    fits: tuple[float, ...]
    validation: tuple[float, ...]
    summary: tuple[float, ...]
    solution: tuple[float, ...]
    held_out: float
    start: float
    iterations: float
    peak: float

    def at(self, stage: str, ranks: Sequence[int]) -> list[float]:
        """Seconds of a stage at other ranks, in proportion between those that were tried."""
        return [float(np.interp(rank, self.ranks, getattr(self, stage))) for rank in ranks]


@dataclass(frozen=True)
class Forecast:
    """What a sweep will take from its beginning.

    Attributes
    ----------
    jobs : dict of str to int
        By rule.
    seconds : dict of str to float
        Processor seconds by rule, all its jobs together.
    wall : float
        Seconds until the end, on as many cores as were asked for.
    memory : float
        Bytes of the largest job.
    disk : float
        Bytes of `results/<name>/`, and of what is added to the dashboard's store.
    """

    jobs: dict[str, int]
    seconds: dict[str, float]
    wall: float
    memory: float
    disk: float


# ---------------------------------------------------------------- calibration


def calibrate(V: LabelledMatrix, config: Mapping[str, Any]) -> Calibration:
    """Time every stage at three ranks at most, with few seeds and folds.

    Parameters
    ----------
    V : LabelledMatrix
    config : mapping
        Complete, as `load_config` returns it.
    """
    expected = _ranks(config)
    ranks = sorted({expected[i] for i in (0, len(expected) // 2, -1)})
    n_seeds = min(_SEEDS, seed_rule(config["seeds"]).least)
    times: dict[str, list[float]] = {"fits": [], "validation": [], "summary": [], "solution": []}
    iterations = []
    settings = fit_settings(config)
    penalties = Penalties(**settings["penalties"])
    fit(V, ranks[0], range(1), {**settings, "max_iter": 2})  # compiled code is loaded at first use
    for rank in ranks:
        runs, seconds = _timed(partial(fit, V, rank, range(n_seeds), settings))
        times["fits"].append(seconds * seed_rule(config["seeds"]).most / n_seeds)
        iterations.append(runs.n_iter.mean())
        times["validation"].append(_validation(V, rank, config))
        times["summary"].append(_timed(partial(_summary, V, rank, runs))[1])
        times["solution"].append(_timed(partial(_solution, V, runs, penalties))[1])
    return Calibration(
        ranks=tuple(ranks),
        **{stage: tuple(seconds) for stage, seconds in times.items()},
        held_out=_held_out(V, ranks[len(ranks) // 2], config),
        start=_start(),
        iterations=float(np.mean(iterations)),
        peak=1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    )


def _timed(act: Callable[[], _T]) -> tuple[_T, float]:
    started = time.process_time()
    result = act()
    return result, time.process_time() - started


def _validation(V: LabelledMatrix, rank: int, config: Mapping[str, Any]) -> float:
    if not config["validate"]["cross_validation"]:
        return 0.0
    settings = validation_settings(config)
    n_folds = min(_FOLDS, settings["folds"])
    fewer = {**settings, "folds": n_folds}
    seconds = _timed(partial(cross_validated, V, rank, fewer))[1]
    return float(seconds * settings["folds"] / n_folds)


def _summary(V: LabelledMatrix, rank: int, runs: Runs) -> None:
    if V.observed is None:
        svd_errors(V.values, rank)
    residual = best_run_residual_excess(V.values, runs, V.observed)
    summarize_rank(runs, None, None, residual_excess=residual)


def _solution(V: LabelledMatrix, runs: Runs, penalties: Penalties) -> None:
    if runs.good.any():
        stable_solution(V.values, runs, observed=V.observed, penalties=penalties)


def _held_out(V: LabelledMatrix, rank: int, config: Mapping[str, Any]) -> float:
    if not config["validate"]["cross_validation"]:
        return 0.0
    settings = validation_settings(config)
    options = {name: settings[name] for name in ("root_seed", "loss", "dtype")}
    options |= {"n_starts": settings["starts"], "observed": V.observed}
    options |= {"penalties": Penalties(**settings["penalties"])}
    return _timed(partial(held_out_by_sample, V.values, rank, **options))[1]


def _start() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import nmfcore.adapters.stages.factorize"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


# ---------------------------------------------------------------- forecast


def forecast(
    shape: tuple[int, int],
    matrix_bytes: float,
    config: Mapping[str, Any],
    times: Calibration,
    cores: int,
) -> Forecast:
    """Add up what a sweep takes.

    Parameters
    ----------
    shape : (n_features, n_samples)
    matrix_bytes : float
        Of the values of the matrix.
    config : mapping
        Complete, as `load_config` returns it.
    times : Calibration
    cores : int
    """
    ranks, seeds = _ranks(config), seed_rule(config["seeds"])
    a_batch = batch_size(config["factorize"]["seeds_per_job"], len(ranks), seeds.most, cores)
    batches = len(plan_stages(seeds.stages(), a_batch)[seeds.most])
    jobs = _jobs(config, batches)
    n_figures = 7 + len(ranks)
    work = {
        "prepare": 0.0,
        "annotate": 0.0,
        "factorize": sum(times.at("fits", ranks)),
        "decide_seeds": 0.0,
        "validate": sum(times.at("validation", ranks)),
        "permute": _permutations(config) * sum(times.at("fits", ranks)),
        "validate_blocks": sum(times.at("validation", ranks)),
        "summarize": sum(times.at("summary", ranks)),
        "solve_rank": sum(times.at("solution", ranks)),
        "decide_ranks": 0.0,
        "select": 0.0,
        "solve": times.held_out,
        "draw_consensus": 0.0,
        "caption": 0.0,
        "report": _FIGURE_S * n_figures,
        "show": _FIGURE_S,
        "record": 0.0,
        "track_fits": _PUBLISHING_JOB_S + _PUBLISHED_FIT_S * seeds.most * len(ranks),
        "track_sweep": _PUBLISHING_JOB_S,
    }
    seconds = {rule: work[rule] + count * times.start for rule, count in jobs.items()}
    return Forecast(
        jobs,
        seconds,
        _wall(seconds, jobs, times, cores, ranks),
        *_room(shape, matrix_bytes, config, times, a_batch),
    )


def _ranks(config: Mapping[str, Any]) -> list[int]:
    """Ranks of the sweep; where they are tried coarsely at first, as if the evidence spoke for one in the middle."""
    rule = rank_rule(config["ranks"], config["select"]["rank"])
    first = rule.first
    return sorted({*first, *rule.around(first, [first[len(first) // 2]])})


def _permutations(config: Mapping[str, Any]) -> int:
    return int((config["validate"]["permutation"] or {}).get("permutations", 0))


def _jobs(config: Mapping[str, Any], batches: int) -> dict[str, int]:
    """Jobs by rule, in the order in which they run."""
    validate, n_ranks = config["validate"], len(_ranks(config))
    is_coarse = rank_rule(config["ranks"]).coarse > 1
    counts = {
        "prepare": 1,
        "annotate": 1,
        "factorize": n_ranks * batches,
        "decide_seeds": n_ranks * (len(seed_rule(config["seeds"]).stages()) - 1),
        "validate": n_ranks * bool(validate["cross_validation"]),
        "permute": n_ranks * bool(validate["permutation"]),
        "validate_blocks": n_ranks * bool(validate["bi_cross_validation"]),
        "summarize": n_ranks,
        "solve_rank": n_ranks,
        "decide_ranks": 2 * is_coarse,
        "select": 1,
        "solve": 1,
        "draw_consensus": n_ranks * is_coarse,
        "caption": 1,
        "report": 1,
        "show": int(bool(config["show"])),
        "record": 1,
        "track_fits": int(config["tracking"]["enabled"]),
        "track_sweep": int(config["tracking"]["enabled"]),
    }
    return {rule: count for rule, count in counts.items() if count}


_ONE_AFTER_ANOTHER = (
    "prepare",
    "annotate",
    "decide_ranks",
    "select",
    "solve",
    "report",
    "record",
    "track_sweep",
)


def _wall(
    seconds: Mapping[str, float],
    jobs: Mapping[str, int],
    times: Calibration,
    cores: int,
    ranks: Sequence[int],
) -> float:
    """The ranks share the cores, but none is done before its longest job; what gathers them comes one by one."""
    shared = sum(seconds[rule] for rule in jobs if rule not in _ONE_AFTER_ANOTHER)
    last = ranks[-1:]
    longest = max(times.at("validation", last)[0], times.at("solution", last)[0]) + times.start
    gathered = sum(seconds[rule] for rule in jobs if rule in _ONE_AFTER_ANOTHER)
    return max(shared / cores, longest) + gathered


def _room(
    shape: tuple[int, int],
    matrix_bytes: float,
    config: Mapping[str, Any],
    times: Calibration,
    a_batch: int,
) -> tuple[float, float]:
    """Bytes of memory and of disk."""
    (m, n), ranks, seeds = shape, _ranks(config), seed_rule(config["seeds"]).most
    itemsize = np.dtype(config["factorize"]["dtype"]).itemsize
    size = MatrixSize(m, n, m * n, is_sparse=False)
    few, all_ = (
        batch_bytes(size, ranks[-1], s, itemsize)
        for s in (_SEEDS, max(_SEEDS, min(seeds, a_batch)))
    )
    more = all_ - few
    n_components = sum(ranks)
    runs = seeds * (n_components * (m + n) * itemsize + len(ranks) * times.iterations * 8)
    consensus = len(ranks) * (8.0 * n * n * (n <= MAX_SAMPLES) + 8.0 * seeds * n)
    a_component = 2 * (8 + _TEXT_BYTES) * (m + 2 * n)
    solutions = (n_components + ranks[-1]) * a_component
    pages = _FIGURE_BYTES * (7 + len(ranks))
    published = 0.0
    if config["tracking"]["enabled"]:
        fits = _PUBLISHED_FIT_BYTES * seeds * len(ranks)
        published = _STORE_BYTES + fits + pages + ranks[-1] * a_component
    disk = matrix_bytes + runs + consensus + solutions + pages + published
    published_by = _PUBLISHING_BYTES if config["tracking"]["enabled"] else 0.0
    return max(times.peak + more, published_by), disk


# ---------------------------------------------------------------- command line


def describe(forecast: Forecast, cores: int) -> str:
    """Return the forecast as a table for a terminal."""
    lines = [f"{'rule':16} {'jobs':>6} {'processor time':>16}"]
    lines += [
        f"{rule:16} {count:6,} {duration(forecast.seconds[rule]):>16}"
        for rule, count in forecast.jobs.items()
    ]
    total = sum(forecast.seconds.values())
    lines += [
        f"{'together':16} {sum(forecast.jobs.values()):6,} {duration(total):>16}",
        "",
        f"time     about {duration(forecast.wall)} on {cores} cores",
        f"memory   about {size(forecast.memory)} for the largest job, of which up to {cores} run at a time",
        f"disk     about {size(forecast.disk)}",
    ]
    return "\n".join(lines)


def size(n_bytes: float) -> str:
    """Return a number of bytes in words."""
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes < 1e9 else f"{n_bytes / 1e9:,.1f} GB"


def matrix_bytes(V: LabelledMatrix) -> float:
    """Bytes of the stored values of a matrix."""
    itemsize = V.values.dtype.itemsize
    if V.is_sparse:
        return float(V.n_nonzero * (itemsize + 4) + 4 * (V.shape[0] + 1))
    return float(V.shape[0] * V.shape[1] * itemsize)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m nmfcore.adapters.forecast")
    parser.add_argument("configfile", type=Path)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    try:
        text = options.configfile.read_text(encoding="utf-8")
        config = load_config(yaml.safe_load(text), SCHEMA)
        V, _ = store.read_matrix(Path("results") / config["name"] / "prepared/matrix.npz")
        times = calibrate(V, config)
    except (NmfcoreError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(describe(forecast(V.shape, matrix_bytes(V), config, times, options.cores), options.cores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
