"""One function a rule: read files, call the core, write files."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from nmfcore.adapters import store
from nmfcore.adapters.environment import environment
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.preparation import prepare
from nmfcore.adapters.solving import (
    SolutionPaths,
    write_chosen,
    write_no_solution,
    write_solution,
)
from nmfcore.adapters.store import Json
from nmfcore.bi_cross_validation import BiCrossValidation, bi_cross_validate
from nmfcore.consensus import ConsensusSummary
from nmfcore.criteria import Criteria, RankSummary, summarize_rank
from nmfcore.cross_validation import CrossValidation, cross_validate
from nmfcore.errors import NmfcoreError
from nmfcore.factorization import factorize
from nmfcore.held_out import held_out_by_sample
from nmfcore.permutation import PermutationNull, permutation_null
from nmfcore.reconstruction import svd_errors
from nmfcore.residuals import best_run_residual_excess
from nmfcore.runs import Runs
from nmfcore.selection import Recommendation, SelectionRule, recommend
from nmfcore.solution import stable_solution
from nmfcore.solvers.penalties import Penalties

log = logging.getLogger("nmfcore")

CHOSEN_BY_USER = "chosen by the user"
"""Decision where the configuration names the rank."""

_SOURCE_FILES = ("path", "feature_ids", "sample_ids")

CODE = {
    "prepare": store.code_digest(
        "adapters/preparation.py", "adapters/steps", "adapters/readers", "adapters/matrix.py"
    ),
    "annotate": store.code_digest("adapters/readers"),
    "factorize": store.code_digest("factorization.py", "solvers"),
    "validate": store.code_digest("cross_validation.py", "solvers"),
    "permute": store.code_digest("permutation.py", "solvers"),
    "validate_blocks": store.code_digest("bi_cross_validation.py", "solvers"),
    "summarize": store.code_digest("criteria.py", "reconstruction.py", "residuals.py"),
    "select": store.code_digest("selection.py"),
    "solve_rank": store.code_digest("solution.py", "solvers", "adapters/solving.py"),
    "solve": store.code_digest("component_tree.py", "held_out.py", "adapters/solving.py"),
    "record": store.code_digest("adapters/provenance.py"),
    "show": store.code_digest(
        "adapters/showing",
        "adapters/figures/style.py",
        "adapters/readers/sound.py",
        "adapters/readers/mutations.py",
    ),
    "report": store.code_digest("adapters/captions.py", "adapters/figures", "adapters/report"),
}
"""Digest of the sources behind each stage: a change of code repeats what depends on it, and nothing else."""


@contextmanager
def told(log_file: str) -> Iterator[None]:
    """Log to a file and to the terminal, and end with a message instead of a traceback where one is meant."""
    handlers: list[logging.Handler] = [
        logging.FileHandler(log_file, mode="w", encoding="utf-8"),
        logging.StreamHandler(),
    ]
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    except NmfcoreError as error:
        log.error("%s", error)
        sys.exit(1)
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


# ---------------------------------------------------------------- settings that results depend on


def matrix_settings(config: Mapping[str, Any]) -> Json:
    """Return what the prepared matrix depends on beside the files."""
    source = {key: config["input"][key] for key in config["input"] if key != "annotations"}
    return _ordered({**source, "steps": config["prepare"]})


def fit_settings(config: Mapping[str, Any]) -> Json:
    """Return what a run depends on beside the matrix."""
    fit = {key: value for key, value in config["factorize"].items() if key != "seeds_per_job"}
    return _ordered({**fit, "root_seed": config["root_seed"]})


def validation_settings(config: Mapping[str, Any], kind: str = "cross_validation") -> Json:
    """Return what a cross-validation, or `kind` "bi_cross_validation", depends on beside the matrix."""
    fit = config["factorize"]
    return _ordered(
        {
            **config["validate"][kind],
            "loss": fit["loss"],
            "dtype": fit["dtype"],
            "root_seed": config["root_seed"],
        }
    )


def permutation_settings(config: Mapping[str, Any]) -> Json:
    """Return what the permutation null depends on beside the matrix: the same seeds and iterations as the fits."""
    permutation = config["validate"]["permutation"]
    return _ordered({**fit_settings(config), **permutation, "seeds": config["seeds"]})


def sweep_settings(config: Mapping[str, Any]) -> Json:
    """Return the configuration without what no result depends on: how runs share jobs, what is shown or published."""
    fit = {key: value for key, value in config["factorize"].items() if key != "seeds_per_job"}
    kept = {key: value for key, value in config.items() if key not in ("tracking", "show")}
    return _ordered({**kept, "factorize": fit})


def _ordered(settings: Mapping[str, Any]) -> Json:
    """Sort keys at every level: their order in the configuration is no reason to repeat anything."""
    return {
        key: _ordered(value) if isinstance(value, Mapping) else value
        for key, value in sorted(settings.items())
    }


def _provenance(input_sha256: str, settings: Json, stage: str) -> Json:
    return {
        "input_sha256": input_sha256,
        "settings": settings,
        "settings_sha256": store.digest(settings),
        "code": CODE[stage],
        "environment": environment(),
    }


# ---------------------------------------------------------------- stages


def prepare_matrix(
    source: Json,
    annotations: str | None,
    npz: str,
    json: str,
    copies: Mapping[str, str] | None = None,
) -> None:
    """Read and check the input, leave out what cannot be fitted, and say what was done.

    Parameters
    ----------
    source : dict
        What `matrix_settings` returns.
    annotations : path or None
        Checked only, where it exists already: `annotate_samples` reads it.
    npz, json : path
        `prepared/matrix.npz` and `.json`.
    copies : mapping of str to str, optional
        Where files that `source` names are to be read, if elsewhere.
    """
    # No other stage of the sweep reads foreign files.
    from nmfcore.adapters import readers
    from nmfcore.adapters.readers.formulas import formula_notices

    place = {name: (copies or {}).get(source[name], source[name]) for name in _SOURCE_FILES}
    matrix = readers.read_matrix(
        place["path"],
        format_name=source["format"],
        orientation=source["orientation"],
        missing=source["missing"],
        absent=source["absent"],
        negative_tolerance=source["negative_tolerance"],
        feature_ids=place["feature_ids"],
        sample_ids=place["sample_ids"],
        settings={name: source[name] for name in readers.FORMATS if name in source},
        stream=not source["steps"],
    )
    log.info("%s: %s", source["path"], readers.describe(matrix))
    prepared = prepare(matrix, source["steps"])
    kept = prepared.matrix
    names = [*matrix.feature_ids.tolist(), *matrix.sample_ids.tolist()]
    notices = [*matrix.notices, *formula_notices(names)]
    for notice in notices:
        log.info(notice)
    for step in prepared.steps:
        log.info("%s: %s", step["name"], step["effect"])
    for warning in prepared.warnings:
        log.warning(warning)
    if annotations and Path(annotations).exists():
        readers.read_annotations(
            annotations, matrix.sample_ids.tolist(), matrix.feature_ids.tolist()
        )
    sha256 = store.matrix_digest(kept)
    n_cells = kept.shape[0] * kept.shape[1]
    provenance = _provenance(sha256, source, "prepare")
    store.write_matrix(npz, kept, provenance)
    store.write_json(
        json,
        {
            "sha256": sha256,
            "shape": list(kept.shape),
            "storage": "csr" if kept.is_sparse else "dense",
            "dtype": str(kept.values.dtype),
            "density": kept.n_nonzero / n_cells,
            "n_missing": 0 if kept.observed is None else int((~kept.observed).sum()),
            "source": {
                "path": source["path"],
                "sha256": store.files_digest(place["path"], readers.files_of(place["path"])),
                "format": readers.format_of(place["path"], source["format"]),
                "orientation": source["orientation"],
                "shape": list(matrix.shape),
            },
            "dropped_features": prepared.dropped_features,
            "dropped_samples": prepared.dropped_samples,
            "warnings": prepared.warnings,
            "notices": notices,
            "steps": prepared.steps,
            "provenance": provenance,
        },
    )


def annotate_samples(matrix: str, matrix_json: str, path: str | None, json: str) -> None:
    """Read what is known about the samples, and check that it is about these samples.

    Parameters
    ----------
    matrix, matrix_json : path
        `prepared/matrix.npz` and `.json`.
    path : path or None
        Table of annotations.
    json : path
        `prepared/annotations.json`.
    """
    from nmfcore.adapters import readers

    V, sha256 = store.read_matrix(matrix)
    columns: dict[str, list[str]] = {}
    if path:
        kept = V.sample_ids.tolist()
        dropped = [entry["id"] for entry in store.read_json(matrix_json)["dropped_samples"]]
        columns = readers.read_annotations(path, [*kept, *dropped], V.feature_ids.tolist())
        columns = {name: values[: len(kept)] for name, values in columns.items()}
        log.info("%s: %s.", path, ", ".join(columns))
    store.write_json(
        json,
        {
            "columns": columns,
            "source": {"path": path, "sha256": store.file_digest(path)} if path else None,
            "provenance": _provenance(sha256, {"path": path}, "annotate"),
        },
    )


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
    store.write_runs(npz, tsv, runs, _provenance(sha256, settings, "factorize"))
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
    """Runs of a rank under the settings that `fit_settings` returns."""
    options = {**settings, "penalties": Penalties(**settings["penalties"]), "threads": threads}
    with threadpool_limits(1, "blas"):  # it would divide products among cores that are taken
        return factorize(V.values, rank, seeds, observed=V.observed, **options)


def cross_validated(V: LabelledMatrix, rank: int, settings: Json) -> CrossValidation:
    """Cross-validation of a rank under the settings that `validation_settings` returns."""
    return cross_validate(
        V.values,
        rank,
        settings["folds"],
        settings["starts"],
        settings["fraction"],
        settings["root_seed"],
        loss=settings["loss"],
        max_iter=settings["max_iter"],
        tol=settings["tol"],
        dtype=settings["dtype"],
        observed=V.observed,
    )


def validate_rank(matrix: str, rank: int, settings: Json, json: str) -> None:
    """Cross-validate a rank."""
    V, sha256 = store.read_matrix(matrix)
    result = cross_validated(V, rank, settings)
    store.write_json(
        json,
        {
            "rank": rank,
            "fraction": settings["fraction"],
            "n_folds": settings["folds"],
            "n_starts": settings["starts"],
            "fold_errors": _numbers(result.fold_errors),
            "start_errors": [_numbers(fold) for fold in result.start_errors],
            "cost": _number(result.cost),
            "n_rounds": result.n_rounds,
            "n_cells": result.n_cells,
            "provenance": _provenance(sha256, settings, "validate"),
        },
    )
    log.info("Rank %d: held-out relative error %.6f.", rank, result.error)


def permute(matrix: str, rank: int, settings: Json, json: str) -> None:
    """Fit permuted copies of the matrix at a rank."""
    V, sha256 = store.read_matrix(matrix)
    result = permutation_null(
        V.values,
        rank,
        range(settings["seeds"]),
        settings["permutations"],
        settings["root_seed"],
        loss=settings["loss"],
        max_iter=settings["max_iter"],
        tol=settings["tol"],
        observed=V.observed,
        dtype=settings["dtype"],
    )
    origin = _provenance(sha256, settings, "permute")
    store.write_json(json, {"rank": rank, "losses": _numbers(result.losses), "provenance": origin})


def validate_blocks(matrix: str, rank: int, settings: Json, json: str) -> None:
    """Bi-cross-validate a rank; a matrix with missing cells has no blocks to predict from."""
    V, sha256 = store.read_matrix(matrix)
    n_blocks = settings["row_groups"] * settings["column_groups"]
    errors = np.full(n_blocks, np.nan)
    if V.observed is None:
        errors = bi_cross_validate(
            V.values,
            rank,
            settings["row_groups"],
            settings["column_groups"],
            settings["starts"],
            settings["root_seed"],
            loss=settings["loss"],
            dtype=settings["dtype"],
        ).block_errors
    else:
        log.warning("Cells are missing, so no whole block can be predicted from the others.")
    origin = _provenance(sha256, settings, "validate_blocks")
    store.write_json(json, {"rank": rank, "block_errors": _numbers(errors), "provenance": origin})


def summarize(
    matrix: str,
    runs: Sequence[str],
    cross_validation: str | None,
    rank: int,
    n_seeds: int,
    npz: str,
    json: str,
    *,
    permutation: str | None = None,
    blocks: str | None = None,
) -> None:
    """Gather the runs of a rank, and what else there is of evidence, and compute every criterion."""
    V, sha256 = store.read_matrix(matrix)
    gathered, provenance = store.read_runs(runs, n_seeds)
    provenances = {matrix: {"input_sha256": sha256}, runs[0]: provenance}
    validation = None
    if cross_validation:
        document = store.read_json(cross_validation)
        provenances[cross_validation] = document["provenance"]
        validation = CrossValidation(
            rank,
            np.array(document["fold_errors"], float),
            np.array(document["start_errors"], float),
            np.nan if document["cost"] is None else document["cost"],
            document["n_rounds"],
        )
    null = block_errors = None
    if permutation:
        document = store.read_json(permutation)
        provenances[permutation] = document["provenance"]
        null = PermutationNull(rank, np.array(document["losses"], float))
    if blocks:
        document = store.read_json(blocks)
        provenances[blocks] = document["provenance"]
        block_errors = BiCrossValidation(rank, np.array(document["block_errors"], float))
    store.refuse_mixture(provenances, ("input_sha256",))
    bound = None if V.observed is not None else float(svd_errors(V.values, rank)[-1])
    residual = best_run_residual_excess(V.values, gathered, V.observed)
    summary = summarize_rank(
        gathered,
        validation,
        bound,
        bi_cross_validation=block_errors,
        permutation=null,
        residual_excess=residual,
    )
    settings = {
        "runs": provenance["settings"],
        "validate": provenances[cross_validation]["settings"] if cross_validation else None,
        "permute": provenances[permutation]["settings"] if permutation else None,
        "validate_blocks": provenances[blocks]["settings"] if blocks else None,
        "seeds": n_seeds,
    }
    origin = _provenance(sha256, settings, "summarize")
    store.write_npz(npz, _consensus_arrays(summary, V), origin)
    store.write_json(json, {**summary.criteria.as_document(), "provenance": origin})


def _consensus_arrays(summary: RankSummary, V: LabelledMatrix) -> dict[str, Any]:
    consensus: ConsensusSummary | None = summary.consensus
    arrays: dict[str, Any] = {"run_labels": summary.run_labels, "run_seeds": summary.run_seeds}
    if consensus is None:
        n_samples = V.shape[1]
        return arrays | {
            "labels": np.full(n_samples, -1),
            "order": np.arange(0),
            "linkage": np.empty((0, 4)),
        }
    arrays |= {
        "labels": consensus.tree.labels,
        "order": consensus.tree.order,
        "linkage": consensus.tree.linkage,
    }
    if consensus.consensus is not None:
        arrays["consensus"] = consensus.consensus
    return arrays


def select(summaries: Sequence[str], settings: Json, tsv: str, json: str) -> None:
    """Recommend a rank from the summaries of all ranks.

    Parameters
    ----------
    summaries : sequence of path
        `ranks/rank-<k>/summary.json`.
    settings : dict
        What `sweep_settings` returns.
    tsv, json : path
        `selection/criteria.tsv` and `recommendation.json`.
    """
    documents = {path: store.read_json(path) for path in summaries}
    store.refuse_mixture(
        {path: document["provenance"] for path, document in documents.items()},
        ("input_sha256", "settings_sha256", "code"),
    )
    criteria = sorted(map(Criteria.from_document, documents.values()), key=lambda c: c.rank)
    document = decision_document(criteria, settings)
    store.write_table(tsv, *criteria_table(criteria))
    sha256 = next(iter(documents.values()))["provenance"]["input_sha256"]
    store.write_json(json, {**document, "provenance": _provenance(sha256, settings, "select")})
    log.info(document["headline"])


def decision_document(criteria: Sequence[Criteria], settings: Json) -> Json:
    """Return what `recommendation.json` says, but for its provenance.

    Parameters
    ----------
    criteria : sequence of Criteria
        One a rank, ascending.
    settings : dict
        What `sweep_settings` returns.
    """
    rule = {name: value for name, value in settings["select"].items() if name != "rank"}
    recommendation = recommend(criteria, SelectionRule(**rule))
    return {
        **_choice(recommendation, settings["select"]["rank"]),
        "confidence": str(recommendation.confidence),
        "reasons": list(recommendation.reasons),
        "runners_up": [{"rank": r.rank, "reason": r.reason} for r in recommendation.runners_up],
        "warnings": list(recommendation.warnings),
        "classic_rules": recommendation.classic_rules,
    }


def criteria_table(criteria: Sequence[Criteria]) -> store.Table:
    """Return what `criteria.tsv` says: one line a rank."""
    rows = [c.as_row() for c in criteria]
    return list(rows[0]), [list(row.values()) for row in rows]


def _choice(recommendation: Recommendation, by_user: int | None) -> Json:
    """What the evidence recommends, and what the solution is made for: the same unless the user chose."""
    decision, headline = str(recommendation.decision), recommendation.headline
    if by_user is not None:
        advice = recommendation.rank or "none"
        headline = f"Rank {by_user}, chosen by the user; recommended is {advice}. {headline}"
    return {
        "recommended_rank": recommendation.rank,
        "recommended_decision": decision,
        "chosen_rank": recommendation.rank if by_user is None else by_user,
        "decision": decision if by_user is None else CHOSEN_BY_USER,
        "headline": headline,
    }


def solve_rank(
    matrix: str, matrix_json: str, runs: Sequence[str], rank: int, n_seeds: int, npz: str
) -> None:
    """Build the stable solution of a rank; where no run converged, say so.

    Parameters
    ----------
    matrix, matrix_json : path
        `prepared/matrix.npz` and `.json`.
    runs : sequence of path
        npz files of the rank.
    rank, n_seeds : int
    npz : path
        `ranks/rank-<k>/solution/solution.npz`; the other files are written beside it.
    """
    V, sha256 = store.read_matrix(matrix)
    gathered, provenance = store.read_runs(runs, n_seeds)
    store.refuse_mixture({matrix: {"input_sha256": sha256}, runs[0]: provenance}, ("input_sha256",))
    settings = {"runs": provenance["settings"], "seeds": n_seeds}
    origin = _provenance(sha256, settings, "solve_rank")
    paths = SolutionPaths.beside(npz)
    if not gathered.good.any():
        write_no_solution(paths, f"No run of rank {rank} converged.", origin)
        log.warning("No run of rank %d converged, so it has no solution.", rank)
        return
    solution = stable_solution(V.values, gathered, observed=V.observed)
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
        What `validation_settings` returns, for the held-out error of every sample; None leaves it out.
    npz : path
        `solution/solution.npz`; the other files are written beside it.
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
        )
    write_chosen(paths, rank, solutions, held_out, V.sample_ids.tolist(), origin)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_number(value) for value in values]
