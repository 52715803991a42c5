import numpy as np
import pytest
from scipy import sparse

from nmfcore import factorize, residuals
from nmfcore.residuals import best_run_residual_excess, residual_excess

stream = np.random.default_rng(0)
W, H = stream.gamma(1, size=(60, 3)), stream.gamma(1, size=(3, 50))
V = stream.poisson(20 * W @ H).astype(float)


def test_by_its_definition():
    found = residual_excess(V, W[:, :2], H[:2], n_flips=5, seed=3)
    residual = V - W[:, :2] @ H[:2]
    flips = np.random.default_rng(3)
    flips.choice(60, 60, replace=False)
    flips.choice(50, 50, replace=False)
    largest = max(
        np.linalg.norm(residual * flips.choice((-1.0, 1.0), (60, 50)), 2) for _ in range(5)
    )
    assert found == pytest.approx(np.linalg.norm(residual, 2) / largest)


@pytest.mark.parametrize("spread", [0.0, 0.05, 3.0])
def test_largest_singular_value_of_a_wide_spectrum_and_of_noise_alone(spread):
    noise = np.random.default_rng(4).standard_normal((700, 400))
    tall = noise + spread * np.linspace(-1, 1, 700)[:, None] * np.linspace(1, 2, 400)
    exact = np.linalg.norm(tall, 2)
    assert residuals._spectral_norm(tall) == pytest.approx(exact, rel=1e-5)


def test_only_a_fit_of_too_few_components_leaves_something():
    excess = [best_run_residual_excess(V, factorize(V, rank, range(4))) for rank in (1, 2, 3, 4)]
    assert min(excess[:2]) > 1.2
    assert max(excess[2:]) < 1.1


def test_noise_of_uneven_size_is_noise():
    uneven = stream.gamma(0.5, size=(80, 1)) * stream.gamma(0.5, size=(1, 70))
    noise = uneven * stream.standard_normal((80, 70))
    nothing = np.zeros((80, 1)), np.zeros((1, 70))
    assert residual_excess(noise, *nothing) < 1.15
    assert residual_excess(noise + 10 * uneven, *nothing) > 1.4


def test_an_exact_fit_has_none():
    assert residual_excess(W @ H, W, H) is None
    assert residual_excess(np.zeros((4, 3)), np.zeros((4, 1)), np.zeros((1, 3))) is None


def test_without_a_good_run_there_is_none():
    assert best_run_residual_excess(V, factorize(V, 3, range(2), max_iter=1)) is None


def test_cells_that_were_not_observed_count_as_fitted():
    observed = stream.random(V.shape) < 0.8
    spoilt = np.where(observed, V, 1e6)
    assert residual_excess(spoilt, W, H, observed) == pytest.approx(
        residual_excess(np.where(observed, V, W @ H), W, H)
    )


def test_sparse_and_dense_are_the_same():
    thin = np.where(V > 30, V, 0)
    found = residual_excess(sparse.csr_array(thin), W, H)
    assert found == pytest.approx(residual_excess(thin, W, H))


def test_of_a_large_matrix_a_part_is_examined(monkeypatch):
    monkeypatch.setattr(residuals, "MAX_ENTRIES", 1000)
    assert residual_excess(V, W[:, :1], H[:1]) is not None


@pytest.mark.parametrize("shape", [(3000, 4000), (10**6, 3), (4, 10**7), (50_000, 50_000)])
def test_the_part_has_a_bounded_size(shape):
    rows, columns = residuals._sampled(shape, np.random.default_rng(0))
    assert 0.2 * residuals.MAX_ENTRIES < rows.size * columns.size <= residuals.MAX_ENTRIES
