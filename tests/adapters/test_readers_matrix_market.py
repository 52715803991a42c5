"""Matrix Market: what SciPy and 10x write, and the corners of the format."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import io as scipy_io
from scipy import sparse

from nmfcore.adapters.readers import read_matrix

BODY = "2 3 3\n1 1 1\n2 2 3\n1 3 2\n"
V = [[1, 0, 2], [0, 3, 0]]


def read(
    tmp_path: Path, body: str, header: str = "coordinate integer general", **options: Any
) -> Any:
    (tmp_path / "x.mtx").write_text(f"%%MatrixMarket matrix {header}\n{body}")
    return read_matrix(tmp_path / "x.mtx", **options)


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (BODY, "coordinate integer general"),
        (BODY, "Coordinate Real General"),
        (BODY, "coordinate double general"),
        (BODY, "coordinate unsigned-integer general"),
        ("% by hand\n%\n" + BODY, "coordinate real general"),
        ("\n" + BODY.replace("\n", " \n\n").replace(" ", "\t"), "coordinate real general"),
        ("2 3 4\n1 3 1.5\n2 2 3\n1 3 .5\n1 1 1e0\n", "coordinate real general"),
        ("2 3 4\n1 3 2\n2 2 3\n1 1 1\n2 1 0\n", "coordinate real general"),
    ],
)
def test_coordinate_files_become_canonical_csr(tmp_path: Path, body: str, header: str) -> None:
    values = read(tmp_path, body, header).values
    assert isinstance(values, sparse.csr_array)
    assert values.has_canonical_format
    assert values.nnz == 3
    assert values.dtype == np.float64
    assert values.toarray().tolist() == V


def test_array_files_become_dense(tmp_path: Path) -> None:
    matrix = read(tmp_path, "2 3\n1\n0\n0\n3\n2\n0\n", "array real general")
    assert matrix.values.tolist() == V
    assert matrix.values.flags.c_contiguous


@pytest.mark.parametrize(
    ("body", "header"),
    [
        ("3 3 3\n1 1 1\n3 1 2\n2 2 4\n", "coordinate real symmetric"),
        ("3 3\n1\n0\n2\n4\n0\n0\n", "array real symmetric"),
    ],
)
def test_symmetric_files_are_filled(tmp_path: Path, body: str, header: str) -> None:
    matrix = read(tmp_path, body, header)
    dense = matrix.values.toarray() if matrix.is_sparse else matrix.values
    assert dense.tolist() == [[1, 0, 2], [0, 4, 0], [2, 0, 0]]
    assert "both halves are filled" in matrix.notices[0]


@pytest.mark.parametrize(
    ("body", "header"),
    [
        ("2 2 1\n2 1 4\n", "coordinate real skew-symmetric"),
        ("2 2\n4\n", "array real skew-symmetric"),
    ],
)
def test_skew_symmetric_files_are_negative_somewhere(
    tmp_path: Path, body: str, header: str
) -> None:
    with pytest.raises(ValueError, match=r"'feature_1', sample 'sample_2' \(-4\)"):
        read(tmp_path, body, header)


def test_a_10x_folder(tmp_path: Path) -> None:
    (tmp_path / "matrix.mtx.gz").write_bytes(
        gzip.compress(f"%%MatrixMarket matrix coordinate integer general\n{BODY}".encode())
    )
    (tmp_path / "features.tsv.gz").write_bytes(gzip.compress(b"ENSG1\tA\tx\nENSG2\tA\tx\n"))
    (tmp_path / "barcodes.tsv.gz").write_bytes(gzip.compress(b"AAA-1\nCCC-1\nGGG-1\n"))
    matrix = read_matrix(
        tmp_path / "matrix.mtx.gz",
        feature_ids=tmp_path / "features.tsv.gz",
        sample_ids=tmp_path / "barcodes.tsv.gz",
    )
    assert matrix.feature_ids.tolist() == ["ENSG1", "ENSG2"]
    assert matrix.sample_ids.tolist() == ["AAA-1", "CCC-1", "GGG-1"]
    assert matrix.notices == ()


def test_names_are_made_where_there_are_none(tmp_path: Path) -> None:
    matrix = read(tmp_path, BODY, orientation="samples_by_features")
    assert matrix.feature_ids.tolist() == ["feature_1", "feature_2", "feature_3"]
    assert matrix.values.toarray().tolist() == np.transpose(V).tolist()
    assert "called sample_1 … sample_2" in matrix.notices[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([float, np.int64]),
        st.tuples(st.integers(1, 6), st.integers(2, 6)),
        elements=st.integers(0, 2**40),
    ),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_what_scipy_writes_is_read(
    tmp_path: Path, array: Any, is_sparse: bool, transposed: bool, packed: bool
) -> None:
    array[0, 0] = 1
    if array.dtype == float:
        array = array / 3
    stored = array.T if transposed else array
    stream = io.BytesIO()
    matrix = sparse.coo_array(stored) if is_sparse else stored
    scipy_io.mmwrite(stream, matrix, precision=17, symmetry="general")
    path = tmp_path / ("x.mtx.gz" if packed else "x.mtx")
    path.write_bytes(gzip.compress(stream.getvalue()) if packed else stream.getvalue())
    orientation = "samples_by_features" if transposed else "features_by_samples"
    values = read_matrix(path, orientation=orientation).values
    assert sparse.issparse(values) == is_sparse
    np.testing.assert_array_equal(values.toarray() if is_sparse else values, array)
