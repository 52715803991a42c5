"""The stable solution of every rank, and the chosen one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from nmfcore.adapters import store
from nmfcore.adapters.code_digests import CODE
from nmfcore.adapters.environment import environment
from nmfcore.adapters.solving import (
    SolutionPaths,
    write_chosen,
    write_no_solution,
    write_solution,
)
from nmfcore.adapters.stages.origin import origin_of
from nmfcore.adapters.store import Json
from nmfcore.held_out import held_out_by_sample
from nmfcore.solution import stable_solution
from nmfcore.solvers.penalties import Penalties

log = logging.getLogger("nmfcore")


def solve_rank(
    matrix: str,
    matrix_json: str,
    runs: Sequence[str],
    rank: int,
    n_seeds: int,
    seeds: int | Json,
    npz: str,
) -> None:
    """Build the stable solution of a rank; where no run converged, say so.

    Parameters
    ----------
    matrix, matrix_json : path
        `prepared/matrix.npz` and `.json`.
    runs : sequence of path
        npz files of the rank.
    rank, n_seeds : int
    seeds : int or dict
        What the configuration says of their number.
    npz : path
        `ranks/rank-<k>/solution/solution.npz`; the other files are written beside it.
    """
    V, sha256 = store.read_matrix(matrix)
    gathered, provenance = store.read_runs(runs, n_seeds)
    store.refuse_mixture({matrix: {"input_sha256": sha256}, runs[0]: provenance}, ("input_sha256",))
    settings = {"runs": provenance["settings"], "seeds": seeds}
    origin = origin_of(sha256, settings, "solve_rank")
    paths = SolutionPaths.beside(npz)
    if not gathered.good.any():
        write_no_solution(paths, f"No run of rank {rank} converged.", origin)
        log.warning("No run of rank %d converged, so it has no solution.", rank)
        return
    penalties = Penalties(**provenance["settings"]["penalties"])
    solution = stable_solution(V.values, gathered, observed=V.observed, penalties=penalties)
    write_solution(paths, solution, V, store.read_json(matrix_json), origin)
    log.info(
        "Stable solution of rank %d from %d runs: relative error %.6f. %s",
        rank,
        solution.n_runs_used,
        solution.relative_error,
        solution.comparison,
    )


def solve(
    matrix: str,
    recommendation: str,
    solutions: Mapping[int, str],
    validation: Json | None,
    npz: str,
    threads: int = 1,
) -> None:
    """Choose the solution of the recommended rank, or of the one that the user chose; without one, say why.

    Parameters
    ----------
    matrix : path
        `prepared/matrix.npz`.
    recommendation : path
        `selection/recommendation.json`.
    solutions : mapping of int to path
        `ranks/rank-<k>/solution/solution.npz` of every rank.
    validation : dict or None
        What `settings.validation_settings` returns, for the held-out error of every sample; None leaves it out.
    npz : path
        `solution/solution.npz`; the other files are written beside it.
    threads : int
        Folds of the held-out error that are worked on at the same time; changes no bit.
    """
    decision = store.read_json(recommendation)
    rank = decision["chosen_rank"]
    origin = {
        **decision["provenance"],
        "code": CODE["solve"],
        "environment": environment(),
    }
    paths = SolutionPaths.beside(npz)
    if rank is None:
        write_no_solution(paths, decision["headline"], origin)
        return
    V, sha256 = store.read_matrix(matrix)
    provenances = {
        path: store.provenance_of(store.read_npz(path)) for path in dict(solutions).values()
    }
    store.refuse_mixture(
        {matrix: {"input_sha256": sha256}, recommendation: origin, **provenances},
        ("input_sha256",),
    )
    held_out = None
    if validation is not None:
        held_out = held_out_by_sample(
            V.values,
            rank,
            n_starts=validation["starts"],
            root_seed=validation["root_seed"],
            loss=validation["loss"],
            dtype=validation["dtype"],
            observed=V.observed,
            penalties=Penalties(**validation["penalties"]),
            threads=threads,
        )
    write_chosen(paths, rank, solutions, held_out, V.sample_ids.tolist(), origin)
