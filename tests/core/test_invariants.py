"""What holds for every matrix and every start, of every loss and solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solvers_of_losses import PAIRS

from nmfcore.consensus import run_labels
from nmfcore.divergence import divergences
from nmfcore.factorization import factorize, factorize_from
from nmfcore.problem import parse_loss, pose
from nmfcore.solvers.registry import choose_solver

EPSILON = np.finfo(float).eps
few = settings(max_examples=8, deadline=None, derandomize=True)
every = pytest.mark.parametrize(("loss", "solver"), PAIRS)


@st.composite
def problems(draw):
    """A matrix (with zeros or none, noisy or of low rank), a rank, and a stream for the rest."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_features, n_samples = draw(st.integers(3, 12)), draw(st.integers(3, 10))
    inner = draw(st.integers(1, 4))
    V = random.gamma(0.7, size=(n_features, inner)) @ random.gamma(0.7, size=(inner, n_samples))
    V = V * random.lognormal(0, draw(st.sampled_from([0.0, 0.5])), V.shape)
    V[random.random(V.shape) < draw(st.sampled_from([0.0, 0.0, 0.3]))] = 0
    return V + 1e-3 * (V.sum() == 0), draw(st.integers(1, 4)), random


def taken(V, loss):
    """The matrix as the loss can take it: no zeros where they cost infinitely much."""
    return np.maximum(V, 1e-3 * V.max()) if parse_loss(loss)[1] < 1 else V


def value(V, W, H, loss, weights=None):
    return divergences(V, W.T[None], H[None], parse_loss(loss)[1], weights)[0]


def start(random, V, rank):
    return random.gamma(2.0, size=(V.shape[0], rank)), random.gamma(2.0, size=(rank, V.shape[1]))


def size(V, loss):
    """What rounding of the objective is measured by: ‖V‖² for Frobenius, its like for the others."""
    beta = parse_loss(loss)[1]
    return float(np.sum(V[V > 0] ** beta)) + V.size


@every
@few
@given(problems())
def test_monotone_nonnegative_finite_and_with_the_loss_of_its_factors(loss, solver, problem):
    V, rank, _ = problem
    V = taken(V, loss)
    runs = factorize(V, rank, range(3), loss=loss, solver=solver, dtype="float64", max_iter=80)
    for W, H, said, trace in zip(runs.W, runs.H, runs.loss, runs.trace, strict=True):
        for factor in (W, H):
            assert np.isfinite(factor).all()
            assert (factor >= 0).all()
        assert said == pytest.approx(value(V, W, H, loss), rel=1e-9, abs=1e-13 * size(V, loss))
        seen = trace[np.isfinite(trace)]
        # Coordinate descent of Kullback–Leibler takes Newton steps, which all but never rise.
        slack = 1e-12 if solver != "cd" else 1e-9
        rises = np.diff(seen) - slack * seen[:-1]
        assert rises.max(initial=0) <= 100 * EPSILON * size(V, loss)


@few
@given(problems())
def test_no_fit_is_below_the_truncated_svd(problem):
    V, rank, _ = problem
    singular = np.linalg.svd(V, compute_uv=False)
    runs = factorize(V, rank, range(3), dtype="float64", tol=1e-10)
    assert (2 * runs.loss >= (singular[rank:] ** 2).sum() - 1e-12 * (singular**2).sum()).all()


@few
@given(problems())
def test_rank_one_has_the_known_optimum(problem):
    V, _, _ = problem
    singular = np.linalg.svd(V, compute_uv=False)
    best = factorize(V, 1, range(3), dtype="float64", tol=1e-14).loss.min()
    assert 2 * best == pytest.approx((singular[1:] ** 2).sum(), rel=1e-6, abs=1e-9 * (V**2).sum())

    kept = V[V.sum(axis=1) > 0][:, V.sum(axis=0) > 0]
    margins = np.outer(kept.sum(axis=1), kept.sum(axis=0)) / kept.sum()
    for solver in ("cd", "mu"):
        run = factorize(
            kept, 1, [0], loss="kullback-leibler", solver=solver, dtype="float64", tol=1e-14
        )
        np.testing.assert_allclose(run.W[0] @ run.H[0], margins, rtol=1e-5, atol=1e-8 * V.max())


@every
def test_the_kkt_residual_falls_to_zero(loss, solver):
    """From many iterations on, of every start; multiplicative updates may stall at a zero, here there is none."""
    random = np.random.default_rng(3)
    V = random.gamma(1.0, size=(10, 2)) @ random.gamma(1.0, size=(2, 8)) + 0.3
    V *= random.lognormal(0, 0.1, V.shape)
    options = {"loss": loss, "solver": solver, "dtype": "float64", "tol": 0.0}
    short, long = (
        factorize(V, 2, range(4), max_iter=n, **options).kkt_residual for n in (20, 6000)
    )
    assert (long <= short + 1e-12).all()
    # Beyond β = 2 multiplicative updates take small steps (their exponent is below 1).
    assert np.median(long) < (1e-4 if parse_loss(loss)[1] <= 2 else 1e-2)
    assert long.min() < 1e-6


@few
@given(problems())
def test_a_full_multiplicative_step_of_H_keeps_the_mass_of_every_sample(problem):
    V, rank, random = problem
    posed = pose(V, loss="kullback-leibler", dtype="float64")
    updates = choose_solver(posed, "mu").updates(posed)
    W, H = start(random, V, rank)
    out = np.empty((1, *H.shape))
    updates.improve_H(np.ascontiguousarray(W.T[None]), np.ascontiguousarray(H[None]), out)
    # WH is kept 1e-10 above 0, the entries of V being about 1.
    np.testing.assert_allclose(
        (W @ out[0]).sum(axis=0), posed.exact.sum(axis=0), rtol=1e-8, atol=1e-9
    )


@every
@few
@given(problems(), st.integers(-60, 60), st.floats(-3, 3))
def test_scale(loss, solver, problem, power, exponent):
    """c = 4^p changes no bit of the factors; any other c multiplies the loss by c^β."""
    V, rank, random = problem
    V = taken(V, loss)
    W, H = start(random, V, rank)
    beta = parse_loss(loss)[1]
    plain = factorize_from(V, W, H, loss, 30, 0, solver=solver)
    moved = factorize_from(
        np.ldexp(V, 2 * power), np.ldexp(W, power), np.ldexp(H, power), loss, 30, 0, solver=solver
    )
    np.testing.assert_array_equal(np.ldexp(plain.W, power), moved.W)
    np.testing.assert_array_equal(np.ldexp(plain.H, power), moved.H)
    np.testing.assert_allclose(moved.loss, plain.loss * 4.0 ** (power * beta), rtol=1e-12)

    c = 10.0**exponent
    other = factorize_from(c * V, np.sqrt(c) * W, np.sqrt(c) * H, loss, 30, 0, solver=solver)
    assert other.relative_error[0] == pytest.approx(plain.relative_error[0], rel=0.02, abs=1e-6)
    own = value(c * V, other.W[0], other.H[0], loss)
    assert own == pytest.approx(
        c**beta * value(V, other.W[0] / c, other.H[0], loss),
        rel=1e-9,
        abs=1e-12 * c**beta * size(V, loss),
    )


@every
@few
@given(problems())
def test_permuted_features_and_samples_and_the_transpose(loss, solver, problem):
    V, rank, random = problem
    V = taken(V, loss)
    rows, columns = random.permutation(V.shape[0]), random.permutation(V.shape[1])
    W, H = start(random, V, rank)
    plain = factorize_from(V, W, H, loss, 15, 0, solver=solver)
    moved = factorize_from(V[rows][:, columns], W[rows], H[:, columns], loss, 15, 0, solver=solver)
    # Of the fit: once converged, rounding decides on an extrapolation, and with it on the split of scale.
    fit = plain.W[0] @ plain.H[0]
    np.testing.assert_allclose(
        fit[rows][:, columns], moved.W[0] @ moved.H[0], rtol=1e-5, atol=1e-7 * fit.max()
    )
    # The other way round W is improved first, so it is another path; the loss of one pair is the same.
    turned = value(V.T, plain.H[0].T, plain.W[0].T, loss)
    assert turned == pytest.approx(plain.loss[0], rel=1e-9, abs=1e-12 * size(V, loss))


@every
@few
@given(problems(), st.lists(st.floats(-6, 6), min_size=4, max_size=4))
def test_the_split_of_scale_changes_no_loss_and_no_label(loss, solver, problem, exponents):
    V, rank, _ = problem
    V = taken(V, loss)
    run = factorize(V, rank, [0], loss=loss, solver=solver, dtype="float64", max_iter=40)
    W, H = run.W[0], run.H[0]
    D, order = 10.0 ** np.array(exponents[:rank]), np.arange(rank)[::-1]
    W_moved, H_moved = (W * D)[:, order], (H / D[:, None])[order]
    moved = value(V, W_moved, H_moved, loss)
    assert moved == pytest.approx(run.loss[0], rel=1e-9, abs=1e-12 * size(V, loss))
    (labels,), (again,) = run_labels(W[None], H[None]), run_labels(W_moved[None], H_moved[None])
    np.testing.assert_array_equal(np.where(again < 0, again, rank - 1 - again), labels)


@pytest.mark.parametrize(("loss", "solver"), [("frobenius", "hals"), ("kullback-leibler", "cd")])
@pytest.mark.parametrize("seed", range(2))
def test_separable_matrices_are_recovered(loss, solver, seed):
    """V = W[I, H′]Π, of the losses that allow for zeros; multiplicative updates only creep towards them."""
    random = np.random.default_rng(seed)
    W = np.vstack([np.eye(3), random.dirichlet(np.ones(3), 17)])[random.permutation(20)]
    H = np.hstack([np.eye(3), random.dirichlet(np.ones(3), 12).T])[:, random.permutation(15)]
    runs = factorize(
        W @ H, 3, range(6), loss=loss, solver=solver, dtype="float64", tol=1e-14, max_iter=20_000
    )
    best = int(runs.loss.argmin())
    error = np.linalg.norm(W @ H - runs.W[best] @ runs.H[best]) / np.linalg.norm(W @ H)
    assert error < 1e-6
    unit = [f / np.linalg.norm(f, axis=0) for f in (W, runs.W[best])]
    assert (unit[0].T @ unit[1]).max(axis=1).min() > 0.999


@every
@few
@given(problems())
def test_a_run_does_not_depend_on_its_batch(loss, solver, problem):
    V, rank, _ = problem
    V = taken(V, loss)
    options = {"loss": loss, "solver": solver, "max_iter": 40, "dtype": "float64"}
    batch = factorize(V, rank, range(6), **options)
    alone = factorize(V, rank, [4], **options)
    np.testing.assert_allclose(batch.loss[4], alone.loss[0], rtol=1e-6, atol=1e-9 * size(V, loss))
    fits = [W @ H for W, H in ((batch.W[4], batch.H[4]), (alone.W[0], alone.H[0]))]
    np.testing.assert_allclose(*fits, rtol=1e-4, atol=1e-6 * V.max())
    reversed_ = factorize(V, rank, range(5, -1, -1), **options)
    np.testing.assert_allclose(
        reversed_.loss[::-1], batch.loss, rtol=1e-6, atol=1e-9 * size(V, loss)
    )


@every
@few
@given(problems())
def test_hidden_cells_never_influence_and_a_full_mask_hides_nothing(loss, solver, problem):
    V, rank, random = problem
    V = taken(V, loss)
    options = {"loss": loss, "solver": solver, "max_iter": 25}
    plain = factorize(V, rank, range(2), **options)
    full = factorize(V, rank, range(2), observed=np.ones(V.shape, bool), **options)
    np.testing.assert_array_equal(plain.W, full.W)
    np.testing.assert_array_equal(plain.H, full.H)

    observed = random.random(V.shape) > 0.2
    observed[0, 0] = True
    if not V[observed].any():
        return
    fits = [
        factorize(np.where(observed, V, other), rank, range(2), observed=observed, **options)
        for other in (0.0, np.nan, -7.0, 1e9)
    ]
    for other in fits[1:]:
        assert other.W.tobytes() == fits[0].W.tobytes()
        assert other.H.tobytes() == fits[0].H.tobytes()
        assert other.loss.tobytes() == fits[0].loss.tobytes()
