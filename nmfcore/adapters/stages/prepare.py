"""Reading and preparing the input, and what is known of its samples."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nmfcore.adapters import store
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.preparation import prepare
from nmfcore.adapters.stages.origin import origin_of
from nmfcore.adapters.store import Json
from nmfcore.errors import InputError
from nmfcore.problem import parse_loss

log = logging.getLogger("nmfcore")

_SOURCE_FILES = ("path", "feature_ids", "sample_ids")


def prepare_matrix(
    source: Json,
    annotations: str | None,
    loss: str | float,
    npz: str,
    json: str,
    copies: Mapping[str, str] | None = None,
) -> None:
    """Read and check the input, leave out what cannot be fitted, and say what was done.

    Parameters
    ----------
    source : dict
        What `settings.matrix_settings` returns.
    annotations : path or None
        Checked only, where it exists already: `annotate_samples` reads it.
    loss : str or float
        Checked only: not every loss takes every matrix.
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
    _refuse_zeros(kept, loss)
    sha256 = store.matrix_digest(kept)
    n_cells = kept.shape[0] * kept.shape[1]
    provenance = origin_of(sha256, source, "prepare")
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


def _refuse_zeros(V: LabelledMatrix, loss: str | float) -> None:
    """Refuse a matrix with zeros where the loss of one is infinite."""
    name, beta = parse_loss(loss)
    n_cells = V.shape[0] * V.shape[1]
    n_observed = n_cells if V.observed is None else int(np.count_nonzero(V.observed))
    n_zeros = n_observed - V.n_nonzero
    if beta <= 0 and n_zeros:
        raise InputError(
            f"factorize.loss: {name} is infinite where a cell is 0, and the prepared matrix has {n_zeros:,} such "
            "cells. Lift them by a last step of prepare, such as {step: clip, lower: 1.0e-9}, or choose another loss."
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
            "provenance": origin_of(sha256, {"path": path}, "annotate"),
        },
    )
