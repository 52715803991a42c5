"""Every criterion of a rank."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from nmfcore.adapters import store
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.stages.origin import origin_of
from nmfcore.adapters.store import Json
from nmfcore.bi_cross_validation import BiCrossValidation
from nmfcore.consensus import ConsensusSummary
from nmfcore.criteria import RankSummary, summarize_rank
from nmfcore.cross_validation import CrossValidation
from nmfcore.permutation import PermutationNull
from nmfcore.reconstruction import svd_errors
from nmfcore.residuals import best_run_residual_excess

log = logging.getLogger("nmfcore")


def summarize(
    matrix: str,
    runs: Sequence[str],
    cross_validation: str | None,
    rank: int,
    n_seeds: int,
    seeds: int | Json,
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
        "seeds": seeds,
    }
    origin = origin_of(sha256, settings, "summarize")
    arrays = {**_consensus_arrays(summary, V), "trace": gathered.trace}
    store.write_npz(npz, arrays, origin)
    fits = {"solver": gathered.solver, "code": provenance["code"]}
    store.write_json(json, {**summary.criteria.as_document(), "runs": fits, "provenance": origin})


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
