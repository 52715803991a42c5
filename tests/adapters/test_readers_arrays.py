"""NumPy and SciPy files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from nmfcore.adapters.readers import read_matrix, validate

V = np.array([[1.0, 0, 2], [0, 3, 0]])


def saved(tmp_path: Path, array: Any, **options: Any) -> Any:
    np.save(tmp_path / "x.npy", array)
    return read_matrix(tmp_path / "x.npy", **options)


def is_canonical(matrix: sparse.csr_array) -> bool:
    fresh = sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    return bool(fresh.has_canonical_format and matrix.data.all())


@pytest.mark.parametrize(
    "array",
    [V, np.asfortranarray(V), np.repeat(V, 2, axis=1)[:, ::2], V.astype(">f8")],
    ids=["C", "Fortran", "strided", "big-endian"],
)
def test_the_layout_of_an_array_does_not_matter(tmp_path: Path, array: Any) -> None:
    matrix = saved(tmp_path, array)
    np.testing.assert_array_equal(matrix.values, V)
    assert matrix.values.dtype == np.dtype("=f8")
    assert matrix.values.flags.c_contiguous
    assert matrix.values.flags.writeable
    turned = saved(tmp_path, array, orientation="samples_by_features")
    np.testing.assert_array_equal(turned.values, V.T)
    assert turned.values.flags.c_contiguous


@pytest.mark.parametrize(
    ("dtype", "target", "noticed"),
    [
        ("f8", "f8", False),
        ("f4", "f4", False),
        (">f4", "f4", False),
        ("f2", "f8", True),
        ("g", "f8", True),
        ("i8", "f8", True),
        ("u1", "f8", True),
        ("?", "f8", True),
    ],
)
@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_types_are_converted_with_a_notice(
    tmp_path: Path, dtype: str, target: str, noticed: bool, storage: str
) -> None:
    array = V.astype(dtype)
    if storage == "sparse":
        # Written by hand, since SciPy itself refuses to make some of these types.
        parts = {"data": array[array != 0], "indices": [0, 2, 1], "indptr": [0, 2, 3]}
        np.savez(tmp_path / "x.npz", format=b"csr", shape=array.shape, **parts)
        matrix = read_matrix(tmp_path / "x.npz")
        found = matrix.values.toarray()
    else:
        matrix = saved(tmp_path, array)
        found = matrix.values
    assert matrix.values.dtype == np.dtype(target)
    np.testing.assert_array_equal(found, array)
    assert any("converted to float64" in notice for notice in matrix.notices) == noticed
    assert dtype != "f2" or any("float16" in notice for notice in matrix.notices)


def test_integers_beyond_2_53_pass_where_exact(tmp_path: Path) -> None:
    assert saved(tmp_path, np.array([[2**60, 1]])).values.tolist() == [[2.0**60, 1]]


def test_long_doubles_too_large_are_refused() -> None:
    huge = np.array([[np.longdouble(1e300) * np.longdouble(1e300), 1]])
    if np.isinf(huge).any():
        pytest.skip("long double is double here")
    with pytest.raises(ValueError, match="too large for float64"):
        validate(huge, ["g"], ["a", "b"], source="V")


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("container", ["array", "matrix"])
def test_sparse_stays_sparse(tmp_path: Path, kind: str, container: str) -> None:
    sparse.save_npz(tmp_path / "x.npz", getattr(sparse, f"{kind}_{container}")(V))
    matrix = read_matrix(tmp_path / "x.npz")
    assert isinstance(matrix.values, sparse.csr_array)
    assert is_canonical(matrix.values)
    np.testing.assert_array_equal(matrix.values.toarray(), V)
    turned = read_matrix(tmp_path / "x.npz", orientation="samples_by_features")
    np.testing.assert_array_equal(turned.values.toarray(), V.T)
    assert is_canonical(turned.values)


def test_sparse_becomes_canonical(tmp_path: Path) -> None:
    # Unsorted, doubled, an explicit zero, and two entries that cancel.
    data, indices = np.array([100, 1, 100, 0, 5, -5], np.int8), [2, 0, 2, 1, 2, 2]
    matrix = sparse.csr_array((data, indices, [0, 3, 6]), shape=(2, 3))
    sparse.save_npz(tmp_path / "x.npz", matrix)
    result = read_matrix(tmp_path / "x.npz").values
    assert is_canonical(result)
    assert result.nnz == 2
    assert result.toarray().tolist() == [[1, 0, 200], [0, 0, 0]]


def test_an_untrue_claim_of_canonical_format_is_not_believed() -> None:
    matrix = sparse.coo_array((np.ones(3), ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    matrix.has_canonical_format = True
    result = validate(matrix, ["a", "b"], ["x", "y"], source="V")
    assert is_canonical(result.values)
    assert result.values.toarray().tolist() == [[0, 2], [1, 0]]


def test_ids_beside_the_values(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", values=V, feature_ids=["g1", "g2"], sample_ids=list("abc"))
    matrix = read_matrix(tmp_path / "x.npz")
    assert matrix.feature_ids.tolist() == ["g1", "g2"]
    assert matrix.sample_ids.tolist() == ["a", "b", "c"]
    np.savez(tmp_path / "y.npz", values=V.T, feature_ids=["g1", "g2"], sample_ids=list("abc"))
    turned = read_matrix(tmp_path / "y.npz", orientation="samples_by_features")
    np.testing.assert_array_equal(turned.values, V)
    assert turned.feature_ids.tolist() == ["g1", "g2"]


@pytest.mark.parametrize("ids", [np.array([b"g1", b"g2"]), np.array([7, 8])], ids=["bytes", "int"])
def test_ids_of_other_types_become_text(tmp_path: Path, ids: Any) -> None:
    np.savez(tmp_path / "x.npz", values=V, feature_ids=ids)
    expected = ["g1", "g2"] if ids.dtype.kind == "S" else ["7", "8"]
    assert read_matrix(tmp_path / "x.npz").feature_ids.tolist() == expected


def test_one_matrix_needs_no_name(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", V)
    matrix = read_matrix(tmp_path / "x.npz")
    np.testing.assert_array_equal(matrix.values, V)
    assert any("feature_1 … feature_2" in notice for notice in matrix.notices)
    np.savez(tmp_path / "y.npz", counts=V, year=2024, labels=np.arange(3))
    assert "'counts' is read; ignored: year, labels" in read_matrix(tmp_path / "y.npz").notices[0]


def test_the_ending_need_not_tell_npy_from_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", V)
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    np.testing.assert_array_equal(read_matrix(tmp_path / "x.npz").values, V)


def test_ids_from_files(tmp_path: Path) -> None:
    (tmp_path / "features.tsv").write_text("ENSG1\tA\tGene Expression\nENSG2\tA\tGene Expression\n")
    matrix = saved(tmp_path, V, feature_ids=tmp_path / "features.tsv")
    assert matrix.feature_ids.tolist() == ["ENSG1", "ENSG2"]
    assert matrix.sample_ids.tolist() == ["sample_1", "sample_2", "sample_3"]


def test_missing_values_of_an_array(tmp_path: Path) -> None:
    holes = V.copy()
    holes[0, 1] = np.nan
    matrix = saved(tmp_path, holes, missing="mask")
    np.testing.assert_array_equal(matrix.values, V)
    assert np.argwhere(~matrix.observed).tolist() == [[0, 1]]


def test_zero_rows_and_columns_are_left_to_a_later_stage(tmp_path: Path) -> None:
    assert saved(tmp_path, np.diag([0.0, 1, 0])).shape == (3, 3)


@pytest.mark.parametrize("storage", ["dense", "csr", "csc", "coo"])
def test_validate_leaves_the_callers_data_alone(storage: str) -> None:
    array = np.array([[1.0, -1e-20, 2], [0, 3, 0]])
    given_matrix: Any = array if storage == "dense" else getattr(sparse, f"{storage}_array")(array)
    data = given_matrix if storage == "dense" else given_matrix.data
    before = data.copy()
    data.flags.writeable = False
    result = validate(
        given_matrix, ["a", "b"], list("xyz"), source="V", negative_tolerance=1e-12
    ).values
    np.testing.assert_array_equal(data, before)
    dense = result if storage == "dense" else result.toarray()
    np.testing.assert_array_equal(dense, np.maximum(array, 0))
    assert not np.shares_memory(result if storage == "dense" else result.data, data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int32, np.uint8]),
        st.tuples(st.integers(1, 6), st.integers(2, 6)),
        elements=st.integers(0, 200),
    ),
    st.sampled_from(["npy", "npz", "csr", "csc", "coo"]),
    st.booleans(),
)
def test_what_is_written_is_read(
    tmp_path: Path, array: Any, storage: str, transposed: bool
) -> None:
    array[0, 0] = 1
    stored = array.T if transposed else array
    path = tmp_path / ("x.npy" if storage == "npy" else "x.npz")
    if storage == "npy":
        np.save(path, stored)
    elif storage == "npz":
        np.savez(path, values=stored)
    else:
        sparse.save_npz(path, getattr(sparse, f"{storage}_array")(stored))
    orientation = "samples_by_features" if transposed else "features_by_samples"
    values = read_matrix(path, orientation=orientation).values
    assert sparse.issparse(values) == (storage not in ("npy", "npz"))
    np.testing.assert_array_equal(values.toarray() if sparse.issparse(values) else values, array)
    assert values.dtype == (np.float32 if array.dtype == np.float32 else np.float64)
