"""From the matrix as it was read to the matrix that is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.readers import streamed
from nmfcore.adapters.steps import apply_steps
from nmfcore.adapters.steps.moments import taken
from nmfcore.block_matrix import BlockMatrix
from nmfcore.errors import InputError

Json = dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """The matrix to fit, and what was done to get there.

    Attributes
    ----------
    matrix : LabelledMatrix
    dropped_features, dropped_samples : list of dict
        `id`, `position` (in the order after the steps) and `reason` of what is left out of the fit.
    warnings : list of str
    steps : list of dict
        What each step did: `name`, `parameters`, `effect`, `n_features`, `n_samples`.
    """

    matrix: LabelledMatrix
    dropped_features: list[Json]
    dropped_samples: list[Json]
    warnings: list[str]
    steps: list[Json]


def prepare(matrix: LabelledMatrix, steps: Sequence[Json] = ()) -> Prepared:
    """Apply the steps, then leave out features and samples without a single positive cell.

    The latter say nothing, and come back as zeros; what a step left out does not.

    Parameters
    ----------
    matrix : LabelledMatrix
    steps : sequence of dict
        As `nmfcore.adapters.steps.completed` returns them.

    Raises
    ------
    InputError
        If fewer than two features or samples remain, or a step cannot be applied.
    """
    if steps:
        matrix = replace(matrix, values=streamed.loaded(matrix.values))
    matrix, records = apply_steps(matrix, steps)
    kept: list[NDArray[np.bool_]] = []
    dropped: list[list[Json]] = []
    axes = ((1, matrix.feature_ids), (0, matrix.sample_ids))
    for (axis, ids), positive in zip(axes, _positive(matrix), strict=True):
        unseen = np.zeros(len(ids), bool)
        if matrix.observed is not None:
            unseen[:] = ~matrix.observed.any(axis=axis)
        kept.append(positive)
        dropped.append(
            [
                {
                    "id": str(ids[i]),
                    "position": int(i),
                    "reason": "no cell is observed" if unseen[i] else "all zero",
                }
                for i in np.flatnonzero(~positive)
            ]
        )
    reduced = matrix
    if not all(map(np.all, kept)):
        take = streamed.taken if isinstance(matrix.values, BlockMatrix) else taken
        reduced = take(matrix, *kept)
    for name, size in zip(("feature", "sample"), reduced.shape, strict=True):
        if size < 2:
            raise InputError(
                f"Only {size} {name} has a positive value; at least 2 are needed for anything to come apart."
            )
    features, samples = dropped
    return Prepared(reduced, features, samples, _warnings(reduced, features, samples), records)


def _warnings(matrix: LabelledMatrix, features: list[Json], samples: list[Json]) -> list[str]:
    warnings = []
    for what, dropped in (("feature", features), ("sample", samples)):
        if dropped:
            names = ", ".join(entry["id"] for entry in dropped[:3])
            more = ", …" if len(dropped) > 3 else ""
            who = f"1 {what}" if len(dropped) == 1 else f"{len(dropped)} {what}s"
            warnings.append(
                f"Left out of the fit and restored as zeros: {who} without a positive value ({names}{more})."
            )
    if _is_constant(matrix):
        warnings.append(
            "The matrix is constant: one component fits it exactly, and no rank can be told from noise."
        )
    return warnings


def _positive(matrix: LabelledMatrix) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which features, and which samples, have a positive cell."""
    if isinstance(matrix.values, BlockMatrix):
        return streamed.positive(matrix.values)
    above = matrix.values > 0
    features, samples = (np.asarray(above.sum(axis=axis)).ravel() > 0 for axis in (1, 0))
    return features, samples


def _is_constant(matrix: LabelledMatrix) -> bool:
    if isinstance(matrix.values, BlockMatrix):
        return streamed.is_constant(matrix.values)
    return not matrix.is_sparse and bool(np.ptp(_visible(matrix)) == 0)


def _visible(matrix: LabelledMatrix) -> NDArray[np.floating]:
    values = np.asarray(matrix.values)
    return values if matrix.observed is None else values[matrix.observed]
