"""A solution as result files: tables for people, an npz for machines, JSON with what is known of each part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmfcore.adapters import store
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.store import Json
from nmfcore.component_tree import Branch, component_tree
from nmfcore.held_out import SampleErrors
from nmfcore.solution import Solution
from nmfcore.solution_evidence import Assignment

TOP_FEATURES = 20
TOP_SAMPLES = 10

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SolutionPaths:
    """The files of one solution.

    Attributes
    ----------
    W, H, npz, json : str
    """

    W: str
    H: str
    npz: str
    json: str

    @classmethod
    def beside(cls, npz: str) -> SolutionPaths:
        """Files of the solution whose npz is given."""
        folder = Path(npz).parent
        names = ("W.tsv", "H.tsv", "solution.npz", "solution.json")
        return cls(*(str(folder / name) for name in names))


def component_names(rank: int) -> list[str]:
    """Names of the components of a solution, largest first."""
    return [f"component_{j + 1}" for j in range(rank)]


def write_solution(
    paths: SolutionPaths, solution: Solution, V: LabelledMatrix, info: Json, provenance: Json
) -> None:
    """Write the files of a solution.

    Parameters
    ----------
    paths : SolutionPaths
    solution : Solution
    V : LabelledMatrix
        What was fitted.
    info : dict
        `prepared/matrix.json`: what was left out of the fit comes back as zeros.
    provenance : dict
    """
    names = component_names(solution.rank)
    W_table, H_table = solution_tables(solution.W, solution.H, V.feature_ids, V.sample_ids, info)
    store.write_table(paths.W, *W_table)
    store.write_table(paths.H, *H_table)
    store.write_npz(paths.npz, _arrays(solution, names, V), provenance)
    store.write_json(paths.json, {**_document(solution, names, V, info), "provenance": provenance})


def solution_tables(
    W: Array, H: Array, feature_ids: NDArray[np.str_], sample_ids: NDArray[np.str_], info: Json
) -> tuple[store.Table, store.Table]:
    """Return what `W.tsv` and `H.tsv` say: the solution, with zeros for what was left out of the fit."""
    names = component_names(W.shape[1])
    features = _restored(feature_ids, W, info["dropped_features"])
    samples = _restored(sample_ids, H.T, info["dropped_samples"])
    return (
        (["feature", *names], [[i, *map(float, w)] for i, w in features]),
        (
            ["component", *(i for i, _ in samples)],
            [[name, *(float(h[j]) for _, h in samples)] for j, name in enumerate(names)],
        ),
    )


def write_no_solution(paths: SolutionPaths, reason: str, provenance: Json) -> None:
    """Write empty tables, and why there is no solution."""
    store.write_table(paths.W, ["feature"], [])
    store.write_table(paths.H, ["component"], [])
    store.write_npz(paths.npz, {"components": np.array([], np.str_)}, provenance)
    store.write_json(paths.json, {"rank": None, "reason": reason, "provenance": provenance})


def write_chosen(
    paths: SolutionPaths,
    rank: int,
    solutions: Mapping[int, str],
    held_out: SampleErrors | None,
    sample_ids: Sequence[str],
    provenance: Json,
) -> None:
    """Write the solution of the chosen rank, with what only all ranks together say of it.

    Parameters
    ----------
    paths : SolutionPaths
    rank : int
    solutions : mapping of int to path
        `solution.npz` of every rank.
    held_out : SampleErrors or None
    sample_ids : sequence of str
        Of the fitted samples, in the order of `held_out`.
    provenance : dict

    Raises
    ------
    ResultError
        If a file is damaged.
    """
    chosen = SolutionPaths.beside(solutions[rank])
    document = store.read_json(chosen.json)
    if document["rank"] is None:
        write_no_solution(paths, document["reason"], provenance)
        return
    bases = {k: store.read_npz(npz).get("W") for k, npz in solutions.items()}
    tree = component_tree({k: W for k, W in bases.items() if W is not None})
    for j, component in enumerate(document["components"]):
        component |= _relatives(tree, rank, j)
    if held_out is not None:
        errors = dict(zip(sample_ids, held_out.error, strict=True))
        for entry in document["assignments"]:
            entry["held_out_error"] = store.json_number(errors.get(entry["sample"], np.nan))
    arrays = store.read_npz(chosen.npz)
    del arrays["provenance"]
    for source, target in ((chosen.W, paths.W), (chosen.H, paths.H)):
        store.write_bytes(target, Path(source).read_bytes())
    store.write_npz(paths.npz, arrays, provenance)
    store.write_json(paths.json, {**document, "provenance": provenance})


def _relatives(tree: Iterable[Branch], rank: int, component: int) -> Json:
    """Where a component comes from at the rank before, and what it becomes at the next; empty at an end."""
    parents: Json | None = None
    children: list[Json] = []
    for branch in tree:
        if branch.rank == rank and branch.component == component:
            parents = {
                "origin": str(branch.origin),
                "components": [f"component_{j + 1}" for j in branch.parents],
            }
        elif branch.rank > rank and component in branch.parents:
            children.append({"rank": branch.rank, "component": branch.component})
    following = min((child["rank"] for child in children), default=None)
    return {
        "comes_from": parents,
        "becomes": [
            f"component_{child['component'] + 1}"
            for child in children
            if child["rank"] == following
        ],
    }


def _arrays(solution: Solution, names: Sequence[str], V: LabelledMatrix) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        name: getattr(solution, name) for name in ("W", "H", "H_low", "H_high", "feature_scores")
    }
    arrays |= {
        "feature_ids": V.feature_ids,
        "sample_ids": V.sample_ids,
        "components": np.array(names, np.str_),
    }
    if solution.density is not None:
        arrays |= {
            "density": solution.density.distance,
            "density_counts": solution.density.counts,
            "density_edges": solution.density.edges,
        }
    return arrays


def _document(solution: Solution, names: Sequence[str], V: LabelledMatrix, info: Json) -> Json:
    density = solution.density
    return {
        "rank": solution.rank,
        "loss": store.json_number(solution.loss),
        "relative_error": solution.relative_error,
        "best_run_loss": store.json_number(solution.best_run_loss),
        "best_run_seed": solution.best_run_seed,
        "comparison": solution.comparison,
        "n_runs_used": solution.n_runs_used,
        "n_runs_centre": solution.n_runs_centre,
        "clustering_agreement": solution.clustering_agreement,
        "density_threshold": None if density is None else density.threshold,
        "n_outlying": 0 if density is None else int((~density.kept).sum()),
        "converged": solution.converged,
        "components": _components(solution, names, V),
        "assignments": _assignments(solution, names, V, info),
    }


def _components(solution: Solution, names: Sequence[str], V: LabelledMatrix) -> list[Json]:
    top_features = np.argsort(-solution.W, axis=0, kind="stable")[:TOP_FEATURES]
    top_samples = np.argsort(-solution.H, axis=1, kind="stable")[:, :TOP_SAMPLES]
    scores, shares, markers = solution.feature_scores, solution.feature_shares, solution.markers
    return [
        {
            "name": name,
            "support": float(solution.support[j]),
            "support_interval": store.json_numbers(solution.support_interval[j]),
            "run_support": float(solution.run_support[j]),
            "run_support_interval": store.json_numbers(solution.run_support_interval[j]),
            "replication": _entry(solution.replication, j),
            "replication_interval": _interval(solution.replication_interval, j),
            "stability": _entry(solution.stability, j),
            "matched_cosine": float(solution.matched_cosine[j]),
            "matched_cosine_interval": store.json_numbers(solution.matched_cosine_interval[j]),
            "share": float(solution.share[j]),
            "explained": float(solution.explained[j]),
            "sparseness": store.json_number(solution.sparseness[j]),
            "n_markers": int((markers == j).sum()),
            "top_features": [
                {
                    "id": str(V.feature_ids[i]),
                    "weight": float(solution.W[i, j]),
                    "score": store.json_number(scores[i]),
                    "specificity": store.json_number(shares[i, j]),
                    "marker": bool(markers[i] == j),
                }
                for i in top_features[:, j]
            ],
            "top_samples": [
                {"id": str(V.sample_ids[i]), "coefficient": store.json_number(solution.H[j, i])}
                for i in top_samples[j]
            ],
        }
        for j, name in enumerate(names)
    ]


def _assignments(
    solution: Solution, names: Sequence[str], V: LabelledMatrix, info: Json
) -> list[Json]:
    said = np.stack([solution.labels + 1, solution.confidence, solution.sample_error], axis=1)
    kinds = dict(zip(map(str, V.sample_ids), map(str, solution.assignment), strict=True))
    entries = []
    for sample, (label, confidence, error) in _restored(
        V.sample_ids, said, info["dropped_samples"]
    ):
        fitted = sample in kinds
        entries.append(
            {
                "sample": sample,
                "component": names[int(label) - 1] if label else None,
                "assignment": kinds.get(sample, str(Assignment.UNASSIGNED)),
                "confidence": float(confidence) if fitted else None,
                "error": store.json_number(error) if fitted else None,
            }
        )
    return entries


def _restored(
    ids: NDArray[np.str_], rows: Array, dropped: Sequence[Json]
) -> list[tuple[str, Array]]:
    """Ids and rows in the order of the input file, with zeros for what was left out of the fit."""
    restored = [(str(i), row) for i, row in zip(ids, rows, strict=True)]
    for entry in dropped:  # ascending positions, so each lands where it stood
        restored.insert(entry["position"], (entry["id"], np.zeros(rows.shape[1])))
    return restored


def _entry(values: Array | None, j: int) -> float | None:
    return None if values is None else float(values[j])


def _interval(values: Array | None, j: int) -> list[float | None] | None:
    return None if values is None else store.json_numbers(values[j])
