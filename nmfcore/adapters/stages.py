"""One function a rule: read files, call the core, write files."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nmfcore.adapters import store
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.preparation import prepare
from nmfcore.adapters.store import Json
from nmfcore.consensus import ConsensusSummary
from nmfcore.criteria import Criteria, RankSummary, summarize_rank
from nmfcore.cross_validation import CrossValidation, cross_validate
from nmfcore.errors import NmfcoreError
from nmfcore.factorization import factorize
from nmfcore.reconstruction import svd_errors
from nmfcore.selection import SelectionRule, recommend
from nmfcore.solution import Solution, stable_solution

log = logging.getLogger("nmfcore")

TOP_FEATURES = 20

CODE = {
    "prepare": store.code_digest(
        "adapters/preparation.py", "adapters/readers", "adapters/matrix.py"
    ),
    "annotate": store.code_digest("adapters/readers"),
    "factorize": store.code_digest("factorization.py", "solvers"),
    "validate": store.code_digest("cross_validation.py", "solvers"),
    "summarize": store.code_digest("criteria.py", "reconstruction.py"),
    "select": store.code_digest("selection.py"),
    "solve": store.code_digest("solution.py", "solvers"),
    "report": store.code_digest(
        "adapters/captions.py", "adapters/figures", "adapters/report.py", "adapters/templates"
    ),
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
    return _ordered({key: config["input"][key] for key in config["input"] if key != "annotations"})


def fit_settings(config: Mapping[str, Any]) -> Json:
    """Return what a run depends on beside the matrix."""
    fit = config["factorize"]
    return {name: fit[name] for name in ("loss", "max_iter", "tol", "dtype")} | {
        "root_seed": config["root_seed"]
    }


def validation_settings(config: Mapping[str, Any]) -> Json:
    """Return what a cross-validation depends on beside the matrix."""
    fit = config["factorize"]
    return _ordered(
        {
            **config["validate"]["cross_validation"],
            "loss": fit["loss"],
            "dtype": fit["dtype"],
            "root_seed": config["root_seed"],
        }
    )


def sweep_settings(config: Mapping[str, Any]) -> Json:
    """Return the configuration without what no result depends on: how runs share jobs, where they are published."""
    fit = {key: value for key, value in config["factorize"].items() if key != "seeds_per_job"}
    kept = {key: value for key, value in config.items() if key != "tracking"}
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
    }


# ---------------------------------------------------------------- stages


def prepare_matrix(source: Json, annotations: str | None, npz: str, json: str) -> None:
    """Read and check the input, leave out what cannot be fitted, and say what was done.

    Parameters
    ----------
    source : dict
        What `matrix_settings` returns.
    annotations : path or None
        Checked only, where it exists already: `annotate_samples` reads it.
    npz, json : path
        `prepared/matrix.npz` and `.json`.
    """
    from nmfcore.adapters import readers  # no other stage of the sweep reads foreign files

    matrix = readers.read_matrix(
        source["path"],
        orientation=source["orientation"],
        missing=source["missing"],
        negative_tolerance=source["negative_tolerance"],
        feature_ids=source["feature_ids"],
        sample_ids=source["sample_ids"],
    )
    log.info("%s: %s", source["path"], readers.describe(matrix))
    prepared = prepare(matrix)
    kept = prepared.matrix
    for notice in matrix.notices:
        log.info(notice)
    for warning in prepared.warnings:
        log.warning(warning)
    if annotations and Path(annotations).exists():
        readers.read_annotations(
            annotations, matrix.sample_ids.tolist(), matrix.feature_ids.tolist()
        )
    sha256 = store.matrix_digest(kept)
    n_cells = kept.shape[0] * kept.shape[1]
    stored = kept.values.nnz if kept.is_sparse else int(np.count_nonzero(kept.values))
    provenance = _provenance(sha256, source, "prepare")
    store.write_matrix(npz, kept, provenance)
    store.write_json(
        json,
        {
            "sha256": sha256,
            "shape": list(kept.shape),
            "storage": "csr" if kept.is_sparse else "dense",
            "dtype": str(kept.values.dtype),
            "density": stored / n_cells,
            "n_missing": 0 if kept.observed is None else int((~kept.observed).sum()),
            "source": {
                "path": source["path"],
                "sha256": store.file_digest(source["path"]),
                "format": "".join(Path(source["path"]).suffixes).lstrip("."),
                "orientation": source["orientation"],
                "shape": list(matrix.shape),
            },
            "dropped_features": prepared.dropped_features,
            "dropped_samples": prepared.dropped_samples,
            "warnings": prepared.warnings,
            "notices": list(matrix.notices),
            "steps": [],
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
    matrix: str, rank: int, first: int, last: int, settings: Json, npz: str, tsv: str
) -> None:
    """Solve the runs of seeds `first` … `last` of a rank."""
    V, sha256 = store.read_matrix(matrix)
    if rank > min(V.shape):
        log.warning(
            "Rank %d exceeds the smaller side of the %d × %d matrix; components will be redundant.",
            rank,
            *V.shape,
        )
    options = {name: settings[name] for name in ("loss", "max_iter", "tol", "dtype", "root_seed")}
    runs = factorize(V.values, rank, range(first, last + 1), observed=V.observed, **options)
    store.write_runs(npz, tsv, runs, _provenance(sha256, settings, "factorize"))
    log.info(
        "Rank %d: %d of %d runs converged; relative error %.6f (best) to %.6f.",
        rank,
        runs.good.sum(),
        len(runs),
        runs.relative_error.min(),
        runs.relative_error.max(),
    )


def validate_rank(matrix: str, rank: int, settings: Json, json: str) -> None:
    """Cross-validate a rank."""
    V, sha256 = store.read_matrix(matrix)
    result = cross_validate(
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
    store.write_json(
        json,
        {
            "rank": rank,
            "fraction": settings["fraction"],
            "n_folds": settings["folds"],
            "n_starts": settings["starts"],
            "fold_errors": _numbers(result.fold_errors),
            "start_errors": [_numbers(fold) for fold in result.start_errors],
            "provenance": _provenance(sha256, settings, "validate"),
        },
    )
    log.info("Rank %d: held-out relative error %.6f.", rank, result.error)


def summarize(
    matrix: str,
    runs: Sequence[str],
    cross_validation: str | None,
    rank: int,
    n_seeds: int,
    npz: str,
    json: str,
) -> None:
    """Gather the runs of a rank and compute every criterion."""
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
        )
    store.refuse_mixture(provenances, ("input_sha256",))
    bound = None if V.observed is not None else float(svd_errors(V.values, rank)[-1])
    summary = summarize_rank(gathered, validation, bound)
    settings = {
        "runs": provenance["settings"],
        "validate": provenances[cross_validation]["settings"] if cross_validation else None,
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
    recommendation = recommend(criteria, SelectionRule(**settings["select"]))
    rows = [c.as_row() for c in criteria]
    store.write_table(tsv, list(rows[0]), [list(row.values()) for row in rows])
    sha256 = next(iter(documents.values()))["provenance"]["input_sha256"]
    store.write_json(
        json,
        {
            "recommended_rank": recommendation.rank,
            "decision": str(recommendation.decision),
            "confidence": str(recommendation.confidence),
            "headline": recommendation.headline,
            "reasons": list(recommendation.reasons),
            "runners_up": [{"rank": r.rank, "reason": r.reason} for r in recommendation.runners_up],
            "warnings": list(recommendation.warnings),
            "classic_rules": recommendation.classic_rules,
            "provenance": _provenance(sha256, settings, "select"),
        },
    )
    log.info(recommendation.headline)


def solve(
    matrix: str,
    matrix_json: str,
    recommendation: str,
    runs: Mapping[int, Sequence[str]],
    n_seeds: int,
    W_tsv: str,
    H_tsv: str,
    json: str,
) -> None:
    """Build the stable solution at the recommended rank; without one, say why there is none."""
    decision = store.read_json(recommendation)
    rank = decision["recommended_rank"]
    origin = {**decision["provenance"], "code": CODE["solve"]}
    info = store.read_json(matrix_json)
    if rank is None:
        store.write_table(W_tsv, ["feature"], [])
        store.write_table(H_tsv, ["component"], [])
        store.write_json(json, {"rank": None, "reason": decision["headline"], "provenance": origin})
        return
    V, sha256 = store.read_matrix(matrix)
    gathered, provenance = store.read_runs(runs[rank], n_seeds)
    store.refuse_mixture(
        {matrix: {"input_sha256": sha256}, runs[rank][0]: provenance, recommendation: origin},
        ("input_sha256",),
    )
    solution = stable_solution(V.values, gathered, observed=V.observed)
    names = [f"component_{j + 1}" for j in range(rank)]
    features = _restored(V.feature_ids, solution.W, info["dropped_features"])
    samples = _restored(V.sample_ids, solution.H.T, info["dropped_samples"])
    store.write_table(W_tsv, ["feature", *names], [[i, *map(float, w)] for i, w in features])
    store.write_table(
        H_tsv,
        ["component", *(i for i, _ in samples)],
        [[name, *(float(h[j]) for _, h in samples)] for j, name in enumerate(names)],
    )
    store.write_json(json, {**_solution_document(solution, names, V, info), "provenance": origin})
    log.info(
        "Stable solution of rank %d: relative error %.6f from %d runs.",
        rank,
        solution.relative_error,
        solution.n_runs_used,
    )


def _restored(
    ids: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], dropped: Sequence[Json]
) -> list[tuple[str, np.ndarray[Any, Any]]]:
    """Ids and rows in the order of the input file, with zeros for what was left out of the fit."""
    restored = [(str(i), row) for i, row in zip(ids, rows, strict=True)]
    for entry in dropped:  # ascending positions, so each lands where it stood
        restored.insert(entry["position"], (entry["id"], np.zeros(rows.shape[1])))
    return restored


def _solution_document(
    solution: Solution, names: Sequence[str], V: LabelledMatrix, info: Json
) -> Json:
    top = np.argsort(-solution.W, axis=0, kind="stable")[:TOP_FEATURES]
    components = [
        {
            "name": name,
            "support": float(solution.support[j]),
            "stability": None if solution.stability is None else float(solution.stability[j]),
            "share": float(solution.share[j]),
            "sparseness": _number(solution.sparseness[j]),
            "top_features": [
                {"id": str(V.feature_ids[i]), "weight": float(solution.W[i, j])} for i in top[:, j]
            ],
        }
        for j, name in enumerate(names)
    ]
    labels = solution.labels[:, None]
    assigned = _restored(V.sample_ids, labels + 1, info["dropped_samples"])
    return {
        "rank": solution.rank,
        "loss": _number(solution.loss),
        "relative_error": solution.relative_error,
        "best_run_loss": _number(solution.best_run_loss),
        "best_run_seed": solution.best_run_seed,
        "n_runs_used": solution.n_runs_used,
        "converged": solution.converged,
        "components": components,
        "assignments": [
            {"sample": sample, "component": names[int(label[0]) - 1] if label[0] else None}
            for sample, label in assigned
        ],
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_number(value) for value in values]
