"""The runs of a batch of seeds."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from nmfcore.adapters import store
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.stages.origin import origin_of
from nmfcore.adapters.store import Json
from nmfcore.factorization import factorize
from nmfcore.runs import Runs
from nmfcore.solvers.penalties import Penalties

log = logging.getLogger("nmfcore")


def factorize_batch(
    matrix: str,
    rank: int,
    first: int,
    last: int,
    settings: Json,
    npz: str,
    tsv: str,
    threads: int = 1,
) -> None:
    """Solve the runs of seeds `first` … `last` of a rank, several groups of them at a time."""
    V, sha256 = store.read_matrix(matrix)
    if rank > min(V.shape):
        log.warning(
            "Rank %d exceeds the smaller side of the %d × %d matrix; components will be redundant.",
            rank,
            *V.shape,
        )
    runs = fit(V, rank, range(first, last + 1), settings, threads)
    store.write_runs(npz, tsv, runs, origin_of(sha256, settings, "factorize"))
    log.info(
        "Rank %d: %d of %d runs converged; relative error %.6f (best) to %.6f.",
        rank,
        runs.good.sum(),
        len(runs),
        runs.relative_error.min(),
        runs.relative_error.max(),
    )


def fit(
    V: LabelledMatrix, rank: int, seeds: Iterable[int], settings: Json, threads: int = 1
) -> Runs:
    """Runs of a rank under the settings that `settings.fit_settings` returns."""
    options = {**settings, "penalties": Penalties(**settings["penalties"]), "threads": threads}
    return factorize(V.values, rank, seeds, observed=V.observed, **options)
