import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import nnls

from nmfcore import Penalties, factorize
from nmfcore.bi_cross_validation import bi_cross_validate, nonnegative_least_squares
from nmfcore.errors import InputError

stream = np.random.default_rng(0)
V = stream.poisson(30 * stream.gamma(0.5, size=(40, 3)) @ stream.gamma(0.5, size=(3, 36)))
V = V.astype(float)


@pytest.mark.parametrize("penalties", [None, Penalties(l1_H=30.0)])
def test_block_by_block_by_the_definition(penalties):
    found = bi_cross_validate(V, 3, n_starts=2, root_seed=5, penalties=penalties)
    shuffles = np.random.default_rng(np.random.SeedSequence([5, 0x626C6F63]))
    rows = np.array_split(shuffles.permutation(40), 2)
    columns = np.array_split(shuffles.permutation(36), 2)
    expected = []
    for held_rows in rows:
        for held_columns in columns:
            rest_rows = np.setdiff1d(range(40), held_rows)
            rest_columns = np.setdiff1d(range(36), held_columns)
            D = V[np.ix_(rest_rows, rest_columns)]
            fit = {"max_iter": 500, "tol": 1e-5, "penalties": penalties}
            runs = factorize(D, 3, range(2), 5, **fit)
            W, H = (f[runs.loss.argmin()].astype(float) for f in (runs.W, runs.H))
            L = np.array([nnls(H.T, b)[0] for b in V[np.ix_(held_rows, rest_columns)]])
            R = np.array([nnls(W, c)[0] for c in V[np.ix_(rest_rows, held_columns)].T]).T
            A = V[np.ix_(held_rows, held_columns)]
            expected.append(np.linalg.norm(A - L @ R) / np.linalg.norm(A))
    np.testing.assert_allclose(found.block_errors, expected, rtol=1e-8)
    assert found.error == pytest.approx(np.mean(expected))
    assert found.standard_error == pytest.approx(np.std(expected, ddof=1) / 2)


def test_is_least_at_the_planted_rank():
    errors = [bi_cross_validate(V, rank).error for rank in (1, 2, 3, 6)]
    assert int(np.argmin(errors)) == 2


def test_sparse_and_dense_are_the_same():
    thin = np.where(V > 8, V, 0)
    a, b = (bi_cross_validate(X, 2) for X in (thin, sparse.csr_array(thin)))
    np.testing.assert_allclose(a.block_errors, b.block_errors, rtol=1e-9)


def test_the_root_seed_draws_other_blocks():
    a, b, c = (bi_cross_validate(V, 2, root_seed=seed).block_errors for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_a_rank_beyond_what_remains_is_undefined():
    found = bi_cross_validate(V, 19)
    assert np.isnan(found.block_errors).all()
    assert found.error is found.standard_error is None


@pytest.mark.parametrize("groups", [(1, 2), (2, 1), (41, 2), (2, 37)])
def test_groups_that_do_not_fit_are_refused_with_words(groups):
    with pytest.raises(InputError, match="blocks"):
        bi_cross_validate(V, 2, *groups)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 4))
def test_least_squares_meet_their_optimality_conditions(seed, rank, n):
    draw = np.random.default_rng(seed)
    A, B = draw.standard_normal((9, rank)), draw.standard_normal((9, n))
    X = nonnegative_least_squares(A, B)
    gradient = A.T @ (A @ X - B)
    assert (X >= 0).all()
    assert (gradient > -1e-8).all()
    assert np.abs(gradient * X).max() < 1e-8
