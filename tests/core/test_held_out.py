import numpy as np
import pytest
from scipy import sparse

from nmfcore import Penalties
from nmfcore.cross_validation import held_out_cells
from nmfcore.held_out import held_out_by_sample

RANDOM = np.random.default_rng(0)
EXACT = RANDOM.gamma(0.5, size=(40, 3)) @ RANDOM.gamma(0.5, size=(3, 30)) + 0.01


def test_hidden_cells_of_an_exact_matrix_are_predicted():
    found = held_out_by_sample(EXACT, 3, max_iter=2000, tol=1e-9)
    assert np.median(found.error) < 0.02
    assert (found.error < found.baseline).mean() > 0.95


def test_noise_is_predicted_no_better_than_by_the_mean():
    noise = np.random.default_rng(1).gamma(2, size=(60, 40))
    found = held_out_by_sample(noise, 4)
    assert np.median(found.error / found.baseline) > 0.98


def test_cells_are_those_of_the_folds():
    found = held_out_by_sample(EXACT, 2, n_folds=3, fraction=0.2, root_seed=4)
    columns = np.concatenate([c for _, c in held_out_cells(EXACT.shape, 3, 0.2, 4)])
    np.testing.assert_array_equal(found.n_cells, np.bincount(columns, minlength=30))


def test_folds_are_fitted_under_the_penalties_of_the_solution():
    strong = Penalties(l1_H=0.5 * EXACT.sum(axis=0).max())
    plain, penalised = (held_out_by_sample(EXACT, 3, penalties=p) for p in (None, strong))
    assert np.median(penalised.error) > 2 * np.median(plain.error)
    scaled = held_out_by_sample(1024 * EXACT, 3, penalties=Penalties(l1_H=1024 * strong.l1_H))
    np.testing.assert_allclose(scaled.error, penalised.error, rtol=1e-5)


def test_the_baseline_is_the_mean_of_what_is_visible():
    found = held_out_by_sample(EXACT, 1, n_folds=2, fraction=0.1)
    squares, totals = np.zeros(30), np.zeros(30)
    for rows, columns in held_out_cells(EXACT.shape, 2, 0.1, 0):
        visible = np.ma.masked_array(EXACT, np.zeros(EXACT.shape, bool))
        visible[rows, columns] = np.ma.masked
        mean = visible.mean(axis=1).data
        np.add.at(squares, columns, (EXACT[rows, columns] - mean[rows]) ** 2)
        np.add.at(totals, columns, EXACT[rows, columns] ** 2)
    np.testing.assert_allclose(found.baseline, np.sqrt(squares / totals), rtol=1e-9)


def test_sparse_and_dense_agree_and_unseen_cells_are_never_scored():
    few = np.where(np.quantile(EXACT, 0.6) < EXACT, EXACT, 0)
    observed = np.random.default_rng(2).random(few.shape) < 0.8
    dense = held_out_by_sample(few, 2, observed=observed)
    thin = held_out_by_sample(sparse.csr_array(few), 2, observed=observed)
    np.testing.assert_allclose(dense.error, thin.error, rtol=1e-4)
    rubbish = held_out_by_sample(np.where(observed, few, 1e6), 2, observed=observed)
    np.testing.assert_array_equal(dense.error, rubbish.error)


def test_threads_change_no_bit():
    one, three = (held_out_by_sample(EXACT, 3, threads=threads) for threads in (1, 3))
    for name in ("error", "baseline", "n_cells"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


def test_a_sample_of_zeros_has_no_error():
    matrix = EXACT.copy()
    matrix[:, 5] = 0
    found = held_out_by_sample(matrix, 2)
    assert np.isnan(found.error[5])
    assert np.isfinite(np.delete(found.error, 5)).all()


@pytest.mark.parametrize("power", [-300, 300])
def test_units_change_nothing(power):
    found = held_out_by_sample(np.ldexp(EXACT, 2 * power), 2)
    np.testing.assert_allclose(found.error, held_out_by_sample(EXACT, 2).error, rtol=1e-5)
