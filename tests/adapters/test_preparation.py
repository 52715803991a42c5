"""What is left out of a fit, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.preparation import prepare
from nmfcore.errors import InputError


def labelled(values: object, observed: np.ndarray | None = None) -> LabelledMatrix:
    rows, columns = values.shape  # type: ignore[attr-defined]
    return LabelledMatrix(
        values,
        np.array([f"g{i}" for i in range(rows)]),
        np.array([f"s{j}" for j in range(columns)]),
        observed,
    )


WITH_ZEROS = np.array([[0, 0, 0, 0], [1, 0, 2, 3], [0, 0, 0, 0], [4, 0, 5, 6]], float)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_zero_rows_and_columns_are_left_out_with_their_places(kind: type) -> None:
    prepared = prepare(labelled(kind(WITH_ZEROS)))
    assert prepared.matrix.shape == (2, 3)
    assert prepared.matrix.feature_ids.tolist() == ["g1", "g3"]
    assert prepared.matrix.sample_ids.tolist() == ["s0", "s2", "s3"]
    assert prepared.dropped_features == [
        {"id": "g0", "position": 0, "reason": "all zero"},
        {"id": "g2", "position": 2, "reason": "all zero"},
    ]
    assert prepared.dropped_samples == [{"id": "s1", "position": 1, "reason": "all zero"}]
    assert prepared.warnings == [
        "Left out of the fit and restored as zeros: 2 features without a positive value (g0, g2).",
        "Left out of the fit and restored as zeros: 1 sample without a positive value (s1).",
    ]


def test_a_matrix_without_zero_lines_is_passed_on_as_it_is() -> None:
    matrix = labelled(np.arange(1.0, 7.0).reshape(2, 3))
    prepared = prepare(matrix)
    assert prepared.matrix is matrix
    assert prepared.dropped_features == prepared.dropped_samples == prepared.warnings == []


def test_unseen_lines_are_told_from_zeros() -> None:
    observed = np.ones(WITH_ZEROS.shape, bool)
    observed[0] = False
    observed[1, 0] = False
    prepared = prepare(labelled(WITH_ZEROS * observed, observed))
    assert [entry["reason"] for entry in prepared.dropped_features] == [
        "no cell is observed",
        "all zero",
    ]
    assert prepared.matrix.observed is not None
    assert prepared.matrix.observed.tolist() == [[False, True, True], [True, True, True]]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([[1.0, 2.0], [0.0, 0.0]], "1 feature"),
        ([[1.0, 0.0], [2.0, 0.0]], "1 sample"),
        ([[1.0, 2.0, 3.0]], "1 feature"),
    ],
)
def test_too_little_is_refused(values: list[list[float]], what: str) -> None:
    with pytest.raises(InputError, match=f"Only {what} has a positive value"):
        prepare(labelled(np.array(values)))


def test_a_constant_matrix_is_told() -> None:
    assert "constant" in prepare(labelled(np.full((3, 4), 2.0))).warnings[-1]
    hole = np.ones((3, 4), bool)
    hole[0, 0] = False
    assert "constant" in prepare(labelled(np.full((3, 4), 2.0) * hole, hole)).warnings[-1]
