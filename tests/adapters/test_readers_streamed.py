"""Large files are prepared block by block: the same prepared file as from memory."""

import logging

import h5py
import numpy as np
import pytest
from scipy import sparse

from nmfcore import block_matrix
from nmfcore.adapters import store
from nmfcore.adapters.readers import read_matrix
from nmfcore.adapters.stages.prepare import prepare_matrix
from nmfcore.block_matrix import BlockMatrix
from nmfcore.errors import InputError

CELLS, GENES = 60, 11


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(block_matrix, "LARGE", 50)
    monkeypatch.setattr(block_matrix, "BLOCK_CELLS", 70)


def counts(dtype=np.float64):
    """Cells × genes; one gene and two cells are all zero."""
    stream = np.random.default_rng(0)
    X = stream.poisson(1.0, size=(CELLS, GENES)).astype(dtype)
    X[:, 4] = 0
    X[[7, 50]] = 0
    return X


def as_h5ad(path, X):
    with h5py.File(path, "w") as file:
        if sparse.issparse(X):
            group = file.create_group("X")
            group.attrs.update({"encoding-type": f"{X.format}_matrix", "shape": X.shape})
            for part in ("data", "indices", "indptr"):
                group[part] = getattr(X, part)
        else:
            file["X"] = X
        for table, size in zip(("obs", "var"), X.shape, strict=True):
            file.create_group(table).attrs["_index"] = "names"
            file[table]["names"] = [f"{table}_{i}" for i in range(size)]
    return path


def written(folder, name, X):
    """File and orientation."""
    if name == "npy":
        np.save(folder / "x.npy", X)
        return folder / "x.npy", "samples_by_features"
    if name == "npy of features":
        np.save(folder / "x.npy", np.asfortranarray(X.T))
        return folder / "x.npy", "features_by_samples"
    make = {"h5ad": np.array, "sparse h5ad": sparse.csr_array}[name]
    return as_h5ad(folder / "x.h5ad", make(X)), "features_by_samples"


NAMES = ("npy", "npy of features", "h5ad", "sparse h5ad")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_a_large_file_stays_where_it_is(name, dtype, tmp_path):
    X = counts(dtype)
    path, orientation = written(tmp_path, name, X)
    streamed = read_matrix(path, orientation=orientation, stream=True)
    assert isinstance(streamed.values, BlockMatrix)
    whole = read_matrix(path, orientation=orientation)
    assert not isinstance(whole.values, BlockMatrix)
    assert streamed.values.dtype == whole.values.dtype == (np.float32 if dtype == "f4" else float)
    assert store.matrix_digest(streamed) == store.matrix_digest(whole)
    assert streamed.notices == whole.notices


@pytest.mark.parametrize("name", NAMES)
def test_it_is_prepared_as_from_memory(name, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    X = counts()
    path, orientation = written(tmp_path, name, X)
    source = {
        "path": str(path),
        "format": None,
        "orientation": orientation,
        "missing": "error",
        "absent": None,
        "negative_tolerance": 0,
        "feature_ids": None,
        "sample_ids": None,
        "steps": [],
    }
    npz, json = tmp_path / "matrix.npz", tmp_path / "matrix.json"
    prepare_matrix(source, None, "frobenius", str(npz), str(json))
    found, sha256 = store.read_matrix(npz)
    assert isinstance(found.values, BlockMatrix)
    kept = found.values.loaded()
    expected = np.delete(np.delete(X, [7, 50], axis=0), 4, axis=1).T
    np.testing.assert_array_equal(kept.toarray() if sparse.issparse(kept) else kept, expected)
    info = store.read_json(json)
    assert [entry["position"] for entry in info["dropped_samples"]] == [7, 50]
    assert [entry["position"] for entry in info["dropped_features"]] == [4]
    assert info["shape"] == list(expected.shape)
    monkeypatch.undo()
    again = read_matrix(path, orientation=orientation)
    assert again.values.shape == X.T.shape
    assert sha256 == info["sha256"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("wrong", "words"),
    [(-1.0, r"negative value.*-1"), (np.nan, "missing value"), (np.inf, "infinite")],
)
def test_what_is_wrong_is_said_with_its_place(name, wrong, words, tmp_path):
    X = counts()
    X[12, 3] = wrong
    path, orientation = written(tmp_path, name, X)
    with pytest.raises(InputError, match=words):
        read_matrix(path, orientation=orientation, stream=True)


def test_repeated_and_unsorted_entries_are_added_up(tmp_path):
    X = sparse.csr_array(counts())
    data = np.concatenate([X.data, [2.0, 3.0]])
    indices = np.concatenate([X.indices, [9, 9]])
    indptr = X.indptr.copy()
    indptr[-1] += 2
    repeated = sparse.csr_array((data, indices, indptr), shape=X.shape)
    path = as_h5ad(tmp_path / "x.h5ad", repeated)
    streamed = read_matrix(path, stream=True)
    assert isinstance(streamed.values, BlockMatrix)
    assert store.matrix_digest(streamed) == store.matrix_digest(read_matrix(path))


def test_a_damaged_index_is_refused(tmp_path):
    X = sparse.csr_array(counts())
    X.indices[100] = 10_000
    path = as_h5ad(tmp_path / "x.h5ad", X)
    with pytest.raises(InputError, match="damaged"):
        read_matrix(path, stream=True)
