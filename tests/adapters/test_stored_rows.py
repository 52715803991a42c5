"""A large prepared matrix stays on disk, and is the same as one in memory."""

import numpy as np
import pytest
from scipy import sparse

from nmfcore import block_matrix
from nmfcore.adapters import store
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.block_matrix import BlockMatrix
from nmfcore.errors import ResultError
from nmfcore.factorization import factorize


def labelled(values):
    ids = ([f"{letter}{i}" for i in range(n)] for letter, n in zip("fs", values.shape, strict=True))
    return LabelledMatrix(values, *(np.array(names) for names in ids))


def matrix(shape, density=0.5):
    stream = np.random.default_rng(0)
    return stream.gamma(1.0, size=shape) * (stream.random(shape) < density)


@pytest.fixture(params=[(50, 12), (12, 50)], ids=["tall", "wide"])
def shape(request):
    return request.param


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(block_matrix, "LARGE", 100)
    monkeypatch.setattr(block_matrix, "BLOCK_CELLS", 90)


@pytest.mark.parametrize("storage", [np.array, sparse.csr_array])
@pytest.mark.parametrize("density", [0.5, 1.0])
def test_a_large_matrix_comes_back_as_it_was(small_blocks, shape, storage, density, tmp_path):
    V = matrix(shape, density)
    path = tmp_path / "matrix.npz"
    store.write_matrix(path, labelled(storage(V)), {"input_sha256": "abc"})
    found, sha256 = store.read_matrix(path)
    assert isinstance(found.values, BlockMatrix)
    assert sha256 == "abc"
    assert found.is_sparse == (storage is sparse.csr_array)
    assert found.n_nonzero == np.count_nonzero(V)
    values = found.values.loaded()
    np.testing.assert_array_equal(values.toarray() if found.is_sparse else values, V)
    assert list(found.sample_ids) == [f"s{i}" for i in range(shape[1])]
    from_memory = factorize(V, 2, range(2), max_iter=20)
    np.testing.assert_array_equal(
        factorize(found.values, 2, range(2), max_iter=20).W, from_memory.W
    )


def test_digest_and_bytes_are_those_of_the_content(small_blocks, shape, tmp_path):
    V = matrix(shape)
    written = []
    for number, values in enumerate((V, np.asfortranarray(V), sparse.csr_array(V))):
        path = tmp_path / f"{number}.npz"
        store.write_matrix(path, labelled(values), {"input_sha256": "abc"})
        written.append(path.read_bytes())
        on_disk = store.read_matrix(path)[0]
        assert store.matrix_digest(on_disk) == store.matrix_digest(labelled(V))
    assert written[0] == written[1]
    other = V.copy()
    other[V > 0] += 1e-9
    assert store.matrix_digest(labelled(other)) != store.matrix_digest(labelled(V))


def test_numpy_reads_a_dense_large_matrix(small_blocks, shape, tmp_path):
    V = matrix(shape)
    store.write_matrix(tmp_path / "matrix.npz", labelled(V), {"input_sha256": "abc"})
    with np.load(tmp_path / "matrix.npz") as archive:
        np.testing.assert_array_equal(archive["values"], V)


def test_a_damaged_large_matrix_is_refused(small_blocks, shape, tmp_path):
    path = tmp_path / "matrix.npz"
    store.write_matrix(path, labelled(matrix(shape)), {"input_sha256": "abc"})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ResultError, match="checksum"):
        store.read_matrix(path)


def test_a_file_that_is_replaced_while_it_is_used_is_not_noticed(small_blocks, tmp_path):
    V = matrix((50, 12))
    path = tmp_path / "matrix.npz"
    store.write_matrix(path, labelled(V), {"input_sha256": "abc"})
    found = store.read_matrix(path)[0].values
    store.write_matrix(path, labelled(V + 1), {"input_sha256": "def"})
    np.testing.assert_array_equal(found.loaded(), V)


def test_missing_cells_keep_a_matrix_in_memory(small_blocks, tmp_path):
    V = matrix((50, 12))
    hole = np.ones(V.shape, bool)
    hole[0, 0] = False
    whole = labelled(V)
    given = LabelledMatrix(V, whole.feature_ids, whole.sample_ids, hole)
    store.write_matrix(tmp_path / "matrix.npz", given, {"input_sha256": "abc"})
    found = store.read_matrix(tmp_path / "matrix.npz")[0]
    assert isinstance(found.values, np.ndarray)
    np.testing.assert_array_equal(found.observed, hole)
