import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.decomposition._nmf import _beta_divergence

from nmfcore import blocks, divergence
from nmfcore.divergence import CUT_FROM, divergences, sum_of_squares, visible_squares
from nmfcore.groups import Groups

seeds = st.integers(0, 2**32 - 1)


def of_one_run(beta, V, W, H, observed=None):
    return divergences(V, W.T[None], H[None], beta, observed)[0]


frobenius_loss = partial(of_one_run, 2.0)
kullback_leibler = partial(of_one_run, 1.0)
itakura_saito = partial(of_one_run, 0.0)
LOSSES = (frobenius_loss, kullback_leibler, itakura_saito)


@pytest.fixture(name="blocks", params=[1, 7, 2**21], ids=lambda entries: f"blocks of {entries}")
def block_sizes(request, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", request.param)


def problem(rng, n_features=9, n_samples=11, rank=3, density=1.0):
    V = rng.random((n_features, n_samples)) * (rng.random((n_features, n_samples)) < density)
    return V, rng.random((n_features, rank)), rng.random((rank, n_samples))


def loss_oracle(loss, V, W, H, observed=None):
    total = 0.0
    for i in range(V.shape[0]):
        for j in range(V.shape[1]):
            if observed is not None and not observed[i, j]:
                continue
            v, wh = V[i, j], W[i] @ H[:, j]
            if loss is frobenius_loss:
                total += (v - wh) ** 2 / 2
            elif loss is kullback_leibler:
                total += (v * np.log(v / wh) if v > 0 else 0.0) - v + wh
            else:
                total += v / wh - np.log(v / wh) - 1
    return total


@pytest.mark.usefixtures("blocks")
class TestLosses:
    @pytest.mark.parametrize("loss", LOSSES)
    def test_definition(self, loss):
        V, W, H = problem(np.random.default_rng(0))
        assert loss(V, W, H) == pytest.approx(loss_oracle(loss, V, W, H), rel=1e-12)

    @pytest.mark.parametrize("loss", LOSSES)
    def test_only_observed_entries_count_and_others_are_not_read(self, loss):
        rng = np.random.default_rng(1)
        V, W, H = problem(rng)
        observed = rng.random(V.shape) < 0.7
        expected = loss_oracle(loss, V, W, H, observed)
        for hidden in (0.0, 1e6, np.nan):
            V[~observed] = hidden
            assert loss(V, W, H, observed) == pytest.approx(expected, rel=1e-12)
        with np.errstate(divide="ignore"):
            assert loss(V, W, H, np.zeros_like(observed)) == 0.0

    @pytest.mark.parametrize("loss", LOSSES)
    def test_a_full_mask_is_no_mask(self, loss):
        V, W, H = problem(np.random.default_rng(2))
        everything = np.ones(V.shape, dtype=bool)
        assert loss(V, W, H, everything) == pytest.approx(loss(V, W, H), rel=1e-12)

    @pytest.mark.parametrize("loss", [frobenius_loss, kullback_leibler])
    def test_sparse_is_dense(self, loss):
        rng = np.random.default_rng(3)
        V, W, H = problem(rng, density=0.3)
        expected = loss_oracle(loss, V, W, H)
        assert loss(V, W, H) == pytest.approx(expected, rel=1e-12)
        assert loss(sparse.csr_array(V), W, H) == pytest.approx(expected, rel=1e-12)
        observed = rng.random(V.shape) < 0.5
        assert loss(sparse.csr_array(V), W, H, observed) == pytest.approx(
            loss_oracle(loss, V, W, H, observed), rel=1e-12
        )

    @pytest.mark.parametrize("loss", [frobenius_loss, kullback_leibler])
    def test_repeated_and_explicitly_zero_entries(self, loss):
        data = np.array([1.0, 2.0, 0.0, 4.0])
        V = sparse.csr_array((data, np.array([1, 1, 0, 2]), np.array([0, 3, 4])), shape=(2, 3))
        W, H = np.array([[1.0], [2.0]]), np.array([[1.0, 2.0, 3.0]])
        expected = loss_oracle(loss, np.array([[0.0, 3.0, 0.0], [0.0, 0.0, 4.0]]), W, H)
        assert loss(V, W, H) == pytest.approx(expected, rel=1e-12)
        assert V.nnz == 4
        assert sum_of_squares(V) == 25.0

    @pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
    @pytest.mark.parametrize("size", [1e-1, 1e-3, 1e-6, 1e-9])
    def test_nearly_exact_fits_keep_their_digits(self, store, size):
        rng = np.random.default_rng(4)
        _, W, H = problem(rng)
        product = W.astype(np.longdouble) @ H.astype(np.longdouble)
        V = np.asarray(product * (1 + size * rng.standard_normal(product.shape)), dtype=float)
        residual = V - product
        frobenius = frobenius_loss(store(V), W, H)
        # Rounding of WH moves a residual of relative size s by about ε / s.
        assert frobenius == pytest.approx(float((residual**2).sum() / 2), rel=1e-12 + 1e-15 / size)
        expected = (V * np.log(V / product) - residual).sum()
        assert kullback_leibler(store(V), W, H) == pytest.approx(
            float(expected), abs=2e-15 * float(product.sum())
        )

    @pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
    def test_an_exact_fit_has_no_loss(self, store):
        W, H = np.arange(6.0).reshape(3, 2), np.arange(8.0).reshape(2, 4)
        assert frobenius_loss(store(W @ H), W, H) == 0.0
        assert kullback_leibler(store(W @ H), W, H) == 0.0

    @pytest.mark.parametrize("loss", LOSSES)
    def test_batched(self, loss):
        rng = np.random.default_rng(5)
        V = problem(rng)[0]
        W, H = rng.random((4, 9, 3)), rng.random((4, 3, 11))
        observed = rng.random(V.shape) < 0.7
        for mask in (None, observed):
            losses = divergences(V, W.transpose(0, 2, 1), H, loss.args[0], mask)
            assert losses.shape == (4,)
            np.testing.assert_allclose(
                losses, [loss(V, W[r], H[r], mask) for r in range(4)], rtol=1e-13
            )

    @pytest.mark.parametrize("loss", LOSSES)
    def test_float32_integers_and_fortran_order(self, loss):
        rng = np.random.default_rng(6)
        V, W, H = (np.ceil(9 * X) for X in problem(rng))
        expected = loss_oracle(loss, V, W, H)
        for convert in (np.float32, np.int64):
            X = [np.asfortranarray(x.astype(convert)) for x in (V, W, H)]
            assert loss(*X) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize(("loss", "beta"), list(zip(LOSSES, (2, 1, 0), strict=True)))
    def test_matches_scikit_learn(self, loss, beta):
        V, W, H = problem(np.random.default_rng(7))
        assert loss(V, W, H) == pytest.approx(_beta_divergence(V, W, H, beta), rel=1e-12)

    @given(seeds)
    def test_gauge(self, seed):
        rng = np.random.default_rng(seed)
        V, W, H = problem(rng)
        D = 10.0 ** rng.uniform(-20, 20, 3)
        order = rng.permutation(3)
        for loss in LOSSES:
            expected = loss(V, W, H)
            assert loss(V, W * D, H / D[:, None]) == pytest.approx(expected, rel=1e-11)
            assert loss(V, W[:, order], H[order]) == pytest.approx(expected, rel=1e-11)

    @pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
    def test_zeros(self, store):
        one, zero = np.ones((1, 1)), np.zeros((1, 1))
        assert kullback_leibler(store(zero), one, one) == 1.0
        assert kullback_leibler(store(one), zero, one) == np.inf
        assert kullback_leibler(store(zero), zero, one) == 0.0
        assert itakura_saito(store(zero), one, one) == np.inf
        assert itakura_saito(store(one), zero, one) == np.inf
        assert itakura_saito(store(zero), zero, one) == np.inf

    @pytest.mark.parametrize("loss", LOSSES)
    def test_non_finite_factors_give_a_non_finite_loss(self, loss):
        V, W, H = problem(np.random.default_rng(8))
        W[2, 1] = np.nan
        assert np.isnan(loss(V, W, H))
        assert np.isnan(loss(sparse.csr_array(V), W, H))

    @pytest.mark.parametrize("beta", [-1.0, 0.5, 1.5, 3.0])
    def test_other_betas_match_scikit_learn(self, beta):
        V, W, H = problem(np.random.default_rng(9))
        expected = _beta_divergence(V, W, H, beta)
        assert of_one_run(beta, V, W, H) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 1.5, 2.0])
    def test_weights_multiply_the_cells(self, beta):
        rng = np.random.default_rng(10)
        V, W, H = problem(rng)
        weights = rng.random(V.shape)
        cells = sum(
            weights[i, j] * of_one_run(beta, V[i : i + 1, j : j + 1], W[i : i + 1], H[:, j : j + 1])
            for i in range(V.shape[0])
            for j in range(V.shape[1])
        )
        total = divergences(V, W.T[None], H[None], beta, weights)[0]
        assert total == pytest.approx(cells, rel=1e-11)


@pytest.mark.parametrize("loss", [frobenius_loss, kullback_leibler])
def test_sparse_matrices_are_not_made_dense(loss, monkeypatch):
    monkeypatch.setattr(divergence, "dense_parts", None)
    V, W, H = problem(np.random.default_rng(10), density=0.3)
    assert loss(sparse.csr_array(V), W, H) == pytest.approx(loss_oracle(loss, V, W, H), rel=1e-12)


def test_float64_accumulation_from_float32():
    V = np.full((2000, 1000), np.float32(0.1))
    W, H = np.zeros((2000, 1), dtype=np.float32), np.zeros((1, 1000), dtype=np.float32)
    expected = float(np.float32(0.1)) ** 2 * V.size
    assert 2 * frobenius_loss(V, W, H) == pytest.approx(expected, rel=1e-13)
    assert sum_of_squares(V) == pytest.approx(expected, rel=1e-13)
    assert sum_of_squares(sparse.csr_array(V[:100])) == pytest.approx(expected / 20, rel=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("masked", [False, True])
def test_no_temporary_of_the_size_of_V(loss, masked, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 2**14)
    V, W, H = problem(np.random.default_rng(9), 2000, 500)
    observed = np.ones(V.shape, dtype=bool) if masked else None
    tracemalloc.start()
    loss(V, W, H, observed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < V.nbytes / 4


def test_only_cells_with_weight_are_summed():
    V = sparse.csr_array(np.array([[3.0, 7.0], [4.0, 0.0]]))
    assert sum_of_squares(V, np.array([[1.0, 0.0], [1.0, 0.5]])) == 25.0


@pytest.mark.parametrize("exact", [False, True])
def test_visible_squares_of_a_sparse_matrix_are_those_of_the_dense_one(exact):
    """Cells that are hidden hold 0, as in a `Problem`; of a fit that is all but exact the digits are kept."""
    random = np.random.default_rng(3)
    W, H = random.random((3, 2, 40)), random.random((3, 2, 30))
    W[:, :, :15] = 0
    hidden = random.random((40, 30)) < 0.2
    V = np.where(random.random((40, 30)) < 0.3, random.random((40, 30)), 0)
    if exact:
        V = W[0].T @ H[0] * (1 + 1e-9 * random.random((40, 30)))
    V = np.where(hidden, 0, V)
    expected = [0.5 * (~hidden * (V - w.T @ h) ** 2).sum() for w, h in zip(W, H, strict=True)]
    cells, groups = sparse.csr_array(hidden.astype(float)), Groups.of(range(3))
    found = visible_squares(sparse.csr_array(V), cells, W, H, groups)
    np.testing.assert_allclose(found, expected, rtol=1e-7 if exact else 1e-12)


@pytest.mark.parametrize("size", [1e1, 1e3, 1e6])
def test_visible_squares_keep_their_digits_whatever_a_fit_says_of_hidden_cells(size):
    random = np.random.default_rng(4)
    V = np.where(random.random((40, 30)) < 0.3, random.random((40, 30)), 0)
    W, H = random.random((5, 2, 40)), random.random((5, 2, 30))
    hidden = np.zeros((40, 30), bool)
    hidden[:20, :15] = True
    W[:, 0, 20:], H[:, 0, 15:] = 0, 0  # a component of hidden cells alone
    W[:, 0] *= size
    V[hidden] = 0
    expected = [0.5 * (~hidden * (V - w.T @ h) ** 2).sum() for w, h in zip(W, H, strict=True)]
    cells = sparse.csr_array(hidden.astype(float))
    found = visible_squares(sparse.csr_array(V), cells, W, H, Groups.of(range(5)))
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("n_runs", [1, CUT_FROM - 1, CUT_FROM, 25])
def test_a_sparse_matrix_that_is_laid_out_for_many_runs_gives_the_same_losses(n_runs):
    random = np.random.default_rng(5)
    V = np.where(random.random((300, 4000)) < 0.05, random.random((300, 4000)), 0)
    W, H = random.random((n_runs, 3, 300)), random.random((n_runs, 3, 4000))
    expected = [0.5 * ((V - w.T @ h) ** 2).sum() for w, h in zip(W, H, strict=True)]
    np.testing.assert_allclose(divergences(sparse.csr_array(V), W, H), expected, rtol=1e-12)
