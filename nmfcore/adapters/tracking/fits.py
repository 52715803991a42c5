"""One finished batch → one MLflow run for every (rank, seed)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmfcore.adapters.store import Json, digest, read_runs
from nmfcore.adapters.tracking.records import flattened
from nmfcore.runs import Runs

# Raise it when what is published changes: publishing then replaces what older versions published.
PROJECTION = 2

HISTORY = "relative_error_history"
_POINTS_A_DECADE = 10


@dataclass(frozen=True)
class Fit:
    """What is published of one (rank, seed).

    Attributes
    ----------
    name : str
    key : str
        Digest of everything that determines the fit.
    tags : dict
    params : dict
    metrics : list of (name, value, step)
        Finite values only.
    start, end : int
        Milliseconds since 1970, from the result file, so that publishing again publishes the same.
    """

    name: str
    key: str
    tags: dict[str, str]
    params: dict[str, object]
    metrics: list[tuple[str, float, int]]
    start: int
    end: int


def read_fits(npz: Path, sweep_name: str) -> list[Fit]:
    """Fits of a batch file.

    Parameters
    ----------
    npz : path
        `runs/rank-<k>/seeds-<a>-<b>.npz`; seconds come from the table beside it.
    sweep_name : str
    """
    runs, provenance = read_runs([npz])
    seconds = _seconds(npz.with_suffix(".tsv"))
    written = int(npz.stat().st_mtime * 1000)
    place = "/".join(npz.parts[-3:])
    return [
        _fit(runs, i, provenance, seconds, written, sweep_name, place) for i in range(len(runs))
    ]


def _fit(
    runs: Runs,
    i: int,
    provenance: Json,
    seconds: Mapping[int, float],
    written: int,
    sweep_name: str,
    place: str,
) -> Fit:
    seed, status = int(runs.seeds[i]), str(runs.status[i])
    duration = seconds.get(seed, np.nan)
    identity = {name: provenance[name] for name in ("input_sha256", "settings_sha256", "code")}
    key = digest({"rank": runs.rank, "seed": seed, "projection": PROJECTION, **identity})
    variance = runs.explained_variance
    values = {
        "loss": runs.loss[i],
        "relative_error": runs.relative_error[i],
        "explained_variance": np.nan if variance is None else variance[i],
        "kkt_residual": runs.kkt_residual[i],
        "n_iter": runs.n_iter[i],
        "seconds": duration,
    }
    history = error_history(runs.trace[i], runs.loss[i], runs.relative_error[i])
    metrics = [(name, float(value), 0) for name, value in values.items()]
    metrics += [(HISTORY, value, step) for step, value in history]
    return Fit(
        name=f"rank {runs.rank} · seed {seed}",
        key=key,
        tags={
            "sweep": sweep_name,
            "rank": str(runs.rank),
            "seed": str(seed),
            "status": status,
            "key": key,
            "input_sha256": str(provenance["input_sha256"]),
            "file": place,
            "mlflow.source.name": f"{sweep_name}/{place}",
        },
        params={
            **flattened(provenance["settings"]),
            "rank": runs.rank,
            "seed": seed,
            "loss": runs.loss_name,
            "solver": runs.solver,
        },
        metrics=[metric for metric in metrics if np.isfinite(metric[1])],
        start=written - round(1000 * np.nan_to_num(duration)),
        end=written,
    )


def error_history(
    trace: NDArray[np.float64], loss: float, relative_error: float
) -> list[tuple[int, float]]:
    """Relative error after some of the iterations: ten a decade, and the last one.

    The iterations are the same for every run, so that MLflow can average the curves of a group.
    """
    with np.errstate(all="ignore"):
        # Both are recomputed from the factors, and the error goes with the root of the loss.
        errors = relative_error * np.sqrt(trace / loss)
    n_iterations = int(np.count_nonzero(~np.isnan(trace)))
    steps = [step for step in _grid(trace.size) if step < n_iterations]
    if n_iterations:
        steps.append(n_iterations)
    return [(step, float(errors[step - 1])) for step in steps if np.isfinite(errors[step - 1])]


def _grid(largest: int) -> list[int]:
    decades = max(np.log10(max(largest, 1)), 0)
    exponents = np.arange(int(decades * _POINTS_A_DECADE) + 1) / _POINTS_A_DECADE
    return [int(step) for step in np.unique(np.rint(10**exponents))]


def _seconds(tsv: Path) -> dict[int, float]:
    """Time of each seed; empty where the table is missing: the time is no evidence."""
    if not tsv.is_file():
        return {}
    with open(tsv, newline="", encoding="utf-8") as file:
        rows: Iterable[dict[str, Any]] = csv.DictReader(file, delimiter="\t")
        return {int(row["seed"]): float(row["seconds"]) for row in rows if row["seconds"]}
