"""Evidence beside the runs: cross-validation, permuted copies, held-out blocks."""

from __future__ import annotations

import logging

import numpy as np

from nmfcore.adapters import store
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.stages.origin import origin_of
from nmfcore.adapters.store import Json
from nmfcore.bi_cross_validation import bi_cross_validate
from nmfcore.cross_validation import CrossValidation, cross_validate
from nmfcore.permutation import permutation_null
from nmfcore.solvers.penalties import Penalties

log = logging.getLogger("nmfcore")


def cross_validated(
    V: LabelledMatrix, rank: int, settings: Json, threads: int = 1
) -> CrossValidation:
    """Cross-validation of a rank under the settings that `settings.validation_settings` returns."""
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
        penalties=Penalties(**settings["penalties"]),
        threads=threads,
    )


def validate_rank(matrix: str, rank: int, settings: Json, json: str, threads: int = 1) -> None:
    """Cross-validate a rank."""
    V, sha256 = store.read_matrix(matrix)
    result = cross_validated(V, rank, settings, threads)
    store.write_json(
        json,
        {
            "rank": rank,
            "fraction": settings["fraction"],
            "n_folds": settings["folds"],
            "n_starts": settings["starts"],
            "fold_errors": store.json_numbers(result.fold_errors),
            "start_errors": [store.json_numbers(fold) for fold in result.start_errors],
            "cost": store.json_number(result.cost),
            "n_rounds": result.n_rounds,
            "n_cells": result.n_cells,
            "provenance": origin_of(sha256, settings, "validate"),
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
        penalties=Penalties(**settings["penalties"]),
        solver=settings["solver"],
        start=settings["start"],
        dtype=settings["dtype"],
    )
    origin = origin_of(sha256, settings, "permute")
    store.write_json(
        json, {"rank": rank, "losses": store.json_numbers(result.losses), "provenance": origin}
    )


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
            penalties=Penalties(**settings["penalties"]),
            dtype=settings["dtype"],
        ).block_errors
    else:
        log.warning("Cells are missing, so no whole block can be predicted from the others.")
    origin = origin_of(sha256, settings, "validate_blocks")
    store.write_json(
        json, {"rank": rank, "block_errors": store.json_numbers(errors), "provenance": origin}
    )
