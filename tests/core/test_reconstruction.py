import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from nmfcore import blocks, reconstruction
from nmfcore.reconstruction import (
    hoyer_sparseness,
    sparseness_H,
    sparseness_W,
    svd_errors,
)

seeds = st.integers(0, 2**32 - 1)


def problem(rng, n_features=9, n_samples=11, rank=3, density=1.0):
    V = rng.random((n_features, n_samples)) * (rng.random((n_features, n_samples)) < density)
    return V, rng.random((n_features, rank)), rng.random((rank, n_samples))


def svd_oracle(V, max_rank):
    U, s, Vt = np.linalg.svd(V, full_matrices=False)
    return [
        np.linalg.norm(V - (U[:, :k] * s[:k]) @ Vt[:k]) / np.linalg.norm(V)
        for k in range(1, max_rank + 1)
    ]


class TestSvdErrors:
    @pytest.mark.parametrize("shape", [(20, 8), (8, 20), (8, 8)])
    @pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
    def test_definition(self, shape, store):
        V = np.random.default_rng(0).random(shape)
        np.testing.assert_allclose(svd_errors(store(V), 5), svd_oracle(V, 5), rtol=1e-12)

    @pytest.mark.parametrize("shape", [(40, 18), (18, 40)])
    @pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
    @pytest.mark.parametrize("gram_size", [3000, 5], ids=["gram", "arpack"])
    def test_large_matrices(self, shape, store, gram_size, monkeypatch):
        monkeypatch.setattr(reconstruction, "SVD_OPERATIONS", 0)
        monkeypatch.setattr(reconstruction, "GRAM_SIZE", gram_size)
        monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 100)
        V = np.random.default_rng(1).random(shape)
        exact = svd_oracle(V, 6)
        np.testing.assert_allclose(svd_errors(store(V), 6), exact, rtol=1e-10)
        V32 = V.astype(np.float32)
        exact = svd_oracle(V32.astype(np.float64), 6)
        np.testing.assert_allclose(svd_errors(store(V32), 6), exact, rtol=1e-10)

    @pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
    def test_the_gram_matrix_is_of_the_smaller_side(self, store, monkeypatch):
        monkeypatch.setattr(reconstruction, "SVD_OPERATIONS", 0)
        sizes = []
        solve = reconstruction.linalg.eigvalsh
        monkeypatch.setattr(
            reconstruction.linalg, "eigvalsh", lambda gram: sizes.append(gram.shape) or solve(gram)
        )
        V = np.random.default_rng(5).random((4, 9))
        svd_errors(store(V), 2)
        svd_errors(store(V.T), 2)
        assert sizes == [(4, 4), (4, 4)]

    def test_large_sparse_matrices_stay_sparse(self, monkeypatch):
        monkeypatch.setattr(reconstruction, "DENSE_ENTRIES", 0)
        monkeypatch.setattr(reconstruction, "dense_rows", None)
        V = np.random.default_rng(2).random((30, 12))
        np.testing.assert_allclose(svd_errors(sparse.csr_array(V), 4), svd_oracle(V, 4), rtol=1e-10)

    @pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
    def test_zero_beyond_the_linear_rank(self, store):
        rng = np.random.default_rng(3)
        V = rng.random((9, 2)) @ rng.random((2, 4))
        errors = svd_errors(store(V), 7)
        assert errors.shape == (7,)
        assert errors[0] > 0.01
        np.testing.assert_allclose(errors[1:], 0.0, atol=1e-14)
        np.testing.assert_array_equal(errors[4:], 0.0)

    def test_bounds_every_factorization(self):
        V, W, H = problem(np.random.default_rng(4))
        relative = np.linalg.norm(V - W @ H) / np.linalg.norm(V)
        assert svd_errors(V, 3)[2] < relative

    def test_all_zero(self):
        with pytest.raises(ValueError, match="no positive entry"):
            svd_errors(np.zeros((3, 4)), 2)


def hoyer_oracle(x):
    n = len(x)
    return (np.sqrt(n) - np.abs(x).sum() / np.sqrt((x**2).sum())) / (np.sqrt(n) - 1)


class TestSparseness:
    @settings(max_examples=30)
    @given(seeds)
    def test_definition(self, seed):
        X = np.random.default_rng(seed).uniform(-1, 1, (5, 7))
        columns = [hoyer_oracle(x) for x in X.T]
        rows = [hoyer_oracle(x) for x in X]
        np.testing.assert_allclose(hoyer_sparseness(X, 0), columns, rtol=1e-12)
        np.testing.assert_allclose(hoyer_sparseness(X, 1), rows, rtol=1e-12)
        assert sparseness_W(X) == pytest.approx(np.mean(columns), rel=1e-12)
        assert sparseness_H(X) == pytest.approx(np.mean(rows), rel=1e-12)

    def test_H_is_taken_by_rows(self):
        H = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]])
        assert sparseness_H(H) == pytest.approx(1.0)
        assert sparseness_H(np.ones((3, 4))) == 0.0
        assert sparseness_W(np.ones((4, 3))) == 0.0

    @pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
    def test_the_ends_of_the_range_at_any_scale(self, scale):
        X = scale * np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
        np.testing.assert_allclose(hoyer_sparseness(X, 0), [1.0, 0.0], atol=1e-15)
        assert hoyer_sparseness(X, 0).min() >= 0.0

    def test_zero_vectors_do_not_count(self):
        W = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
        assert np.isnan(hoyer_sparseness(W, 0)).tolist() == [False, True]
        assert sparseness_W(W) == 1.0
        assert sparseness_W(np.zeros((3, 2))) is None
        assert sparseness_H(np.zeros((2, 3))) is None

    def test_a_vector_of_one_entry_is_undefined(self):
        assert np.isnan(hoyer_sparseness(np.ones((1, 3)), 0)).all()
        assert sparseness_H(np.ones((3, 1))) is None
