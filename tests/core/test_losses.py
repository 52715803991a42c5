"""Every loss and solver against theorems and slow, obvious references."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import minimize
from solvers_of_losses import PAIRS

from nmfcore.divergence import divergences
from nmfcore.errors import InputError
from nmfcore.factorization import factorize, factorize_from, transform
from nmfcore.problem import pose
from nmfcore.solvers.penalties import Penalties
from nmfcore.solvers.registry import SOLVERS, choose_solver

LOSSES = {
    "frobenius": 2.0,
    "kullback-leibler": 1.0,
    "itakura-saito": 0.0,
    "beta=0.5": 0.5,
    "beta=1.5": 1.5,
}
bounded = settings(max_examples=15, deadline=None, derandomize=True)


def positive(seed, n_features=12, n_samples=9, rank=3, noise=0.2):
    random = np.random.default_rng(seed)
    V = random.gamma(1.0, size=(n_features, rank)) @ random.gamma(1.0, size=(rank, n_samples))
    return V * random.lognormal(0, noise, V.shape) + 0.05


def beta_of(loss):
    return LOSSES[loss] if loss in LOSSES else float(loss.removeprefix("beta="))


def divergence(V, W, H, loss, weights=None):
    return divergences(V, W.T[None], H[None], beta_of(loss), weights)[0]


def obvious_mu(V, W, H, beta, n_iter, weights=None):
    """Multiplicative updates as in the paper (Févotte & Idier 2011), one line a factor."""
    gamma = 1 / (2 - beta) if beta < 1 else 1 if beta <= 2 else 1 / (beta - 1)
    M = np.ones_like(V) if weights is None else weights
    for _ in range(n_iter):
        P = W @ H
        W = W * (((M * V * P ** (beta - 2)) @ H.T) / ((M * P ** (beta - 1)) @ H.T)) ** gamma
        P = W @ H
        H = H * ((W.T @ (M * V * P ** (beta - 2))) / (W.T @ (M * P ** (beta - 1)))) ** gamma
    return W, H


def gradients(V, W, H, beta, weights=None):
    M = np.ones_like(V) if weights is None else weights
    P = W @ H
    R = M * P ** (beta - 2) * (P - V)
    return R @ H.T, W.T @ R


@pytest.mark.parametrize(("loss", "solver"), PAIRS)
class TestEverySolver:
    def test_reaches_what_many_plain_multiplicative_updates_reach(self, loss, solver):
        V = positive(0)
        random = np.random.default_rng(1)
        W, H = random.gamma(1.0, size=(12, 3)) + 0.1, random.gamma(1.0, size=(3, 9)) + 0.1
        run = factorize_from(V, W, H, loss, 5000, 1e-12, solver=solver)
        reference = obvious_mu(V, W, H, beta_of(loss), 5000)
        assert run.loss[0] <= divergence(V, *reference, loss) * 1.02

    def test_the_trace_never_rises(self, loss, solver):
        V = positive(2)
        runs = factorize(V, 3, range(4), loss=loss, solver=solver, dtype="float64", tol=1e-10)
        for trace in runs.trace:
            kept = trace[np.isfinite(trace)]
            assert (np.diff(kept) <= 1e-12 * kept[:-1] + 1e-13 * np.square(V).sum()).all()

    def test_with_weights_the_trace_ends_at_the_loss(self, loss, solver):
        V = positive(4)
        weights = np.random.default_rng(5).choice([0, 0.25, 0.5, 1], V.shape)
        for store in (np.asarray, sparse.csr_array):
            runs = factorize(
                store(V), 2, range(3), loss=loss, solver=solver, dtype="float64", weights=weights
            )
            for trace, n_iter, value in zip(runs.trace, runs.n_iter, runs.loss, strict=True):
                assert trace[n_iter - 1] == pytest.approx(value, rel=1e-6)

    def test_the_loss_is_that_of_the_factors(self, loss, solver):
        V = positive(3)
        for dtype in ("float32", "float64"):
            runs = factorize(V, 2, range(3), loss=loss, solver=solver, dtype=dtype)
            for W, H, value in zip(runs.W, runs.H, runs.loss, strict=True):
                assert value == pytest.approx(divergence(V, W, H, loss), rel=1e-9)
                assert min(W.min(), H.min()) >= 0
                assert np.isfinite(W).all()
                assert np.isfinite(H).all()

    def test_it_ends_at_a_stationary_point(self, loss, solver):
        V = positive(4)
        run = factorize(
            V, 2, [0], loss=loss, solver=solver, dtype="float64", tol=1e-14, max_iter=30_000
        )
        W, H = run.W[0], run.H[0]
        for factor, slope in zip((W, H), gradients(V, W, H, beta_of(loss)), strict=True):
            scale = np.abs(slope).max() + (factor * np.abs(slope)).max() + 1
            # A zero that multiplicative updates cannot leave may hide a negative slope.
            allowed = np.where(
                factor > 1e-6, np.abs(slope), np.maximum(-slope, 0) if solver != "mu" else 0
            )
            assert allowed.max() <= 2e-3 * scale

    def test_scale(self, loss, solver):
        """V → cV multiplies the loss by c^β; with c a power of 4 the factors are the same to the bit."""
        V = positive(5)
        plain = factorize(V, 2, range(2), loss=loss, solver=solver, max_iter=30)
        for power in (-40, -1, 7, 60):
            moved = factorize(
                np.ldexp(V, 2 * power), 2, range(2), loss=loss, solver=solver, max_iter=30
            )
            np.testing.assert_array_equal(np.ldexp(plain.W.astype(float), power), moved.W)
            np.testing.assert_array_equal(np.ldexp(plain.H.astype(float), power), moved.H)
            np.testing.assert_allclose(
                moved.loss, plain.loss * 4.0 ** (power * beta_of(loss)), rtol=1e-12
            )
            np.testing.assert_array_equal(plain.relative_error, moved.relative_error)

    @pytest.mark.parametrize("c", [1e-300, 1e-150, 1e150, 1e300])
    def test_the_ends_of_the_number_range(self, loss, solver, c):
        runs = factorize(positive(6) * c, 2, range(2), loss=loss, solver=solver, max_iter=50)
        assert np.isfinite(runs.W).all()
        assert np.isfinite(runs.H).all()
        assert (runs.W.max(axis=(1, 2)) > 0).all()
        assert np.isfinite(runs.relative_error).all()
        assert (runs.status != "non_finite").all()

    def test_permuted_features_and_samples(self, loss, solver):
        V, random = positive(7), np.random.default_rng(8)
        rows, columns = random.permutation(12), random.permutation(9)
        W, H = random.gamma(2.0, size=(12, 3)), random.gamma(2.0, size=(3, 9))
        a = factorize_from(V, W, H, loss, 60, 0, solver=solver)
        b = factorize_from(V[rows][:, columns], W[rows], H[:, columns], loss, 60, 0, solver=solver)
        np.testing.assert_allclose(a.W[0][rows], b.W[0], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(a.H[0][:, columns], b.H[0], rtol=1e-6, atol=1e-8)

    def test_gauge(self, loss, solver):
        """Rescaled and reordered components end at the same fit."""
        V, random = positive(9), np.random.default_rng(10)
        W, H = random.gamma(2.0, size=(12, 3)), random.gamma(2.0, size=(3, 9))
        D, order = np.array([1e-3, 1.0, 1e4]), [0, 1, 2]
        a = factorize_from(V, W, H, loss, 40, 0, solver=solver)
        b = factorize_from(
            V, (W * D)[:, order], (H / D[:, None])[order], loss, 40, 0, solver=solver
        )
        # The balanced starts differ by less than a factor of 2 a component, which extrapolation can feel.
        assert b.loss[0] == pytest.approx(a.loss[0], rel=0.05)

    def test_batch_is_single(self, loss, solver):
        V = positive(11)
        options = {"loss": loss, "solver": solver, "dtype": "float64", "max_iter": 60}
        batch = factorize(V, 3, range(5), **options)
        alone = factorize(V, 3, [3], **options)
        np.testing.assert_allclose(batch.W[3], alone.W[0], rtol=1e-6, atol=1e-9)
        assert batch.n_iter[3] == alone.n_iter[0]

    def test_all_observed_is_the_plain_fit(self, loss, solver):
        V = positive(12)
        plain = factorize(V, 2, range(2), loss=loss, solver=solver, max_iter=40)
        masked = factorize(
            V, 2, range(2), loss=loss, solver=solver, max_iter=40, observed=np.ones(V.shape, bool)
        )
        np.testing.assert_array_equal(plain.W, masked.W)

    def test_hidden_values_have_no_influence(self, loss, solver):
        V, hidden = positive(13), np.zeros((12, 9), bool)
        hidden[[0, 3, 7, 7], [2, 2, 1, 8]] = True
        fits = []
        for value in (0.0, 1e6, np.nan, -1.0):
            filled = np.where(hidden, value, V)
            fits.append(
                factorize(
                    filled, 2, range(2), loss=loss, solver=solver, max_iter=40, observed=~hidden
                )
            )
        for other in fits[1:]:
            np.testing.assert_array_equal(fits[0].W, other.W)
            np.testing.assert_array_equal(fits[0].H, other.H)
            np.testing.assert_array_equal(fits[0].loss, other.loss)

    def test_hidden_cells_of_an_exact_matrix_are_recovered(self, loss, solver):
        random = np.random.default_rng(14)
        V = (random.gamma(2.0, size=(20, 2)) + 0.2) @ (random.gamma(2.0, size=(2, 15)) + 0.2)
        hidden = random.random(V.shape) < 0.1
        observed = ~hidden
        runs = factorize(
            V,
            2,
            range(4),
            loss=loss,
            solver=solver,
            dtype="float64",
            tol=1e-12,
            max_iter=20_000,
            observed=observed,
        )
        best = runs.loss.argmin()
        predicted = (runs.W[best] @ runs.H[best])[hidden]
        np.testing.assert_allclose(predicted, V[hidden], rtol=0.05)

    def test_weights_against_the_obvious_reference(self, loss, solver):
        V, random = positive(15), np.random.default_rng(16)
        weights = random.choice([0.0, 0.3, 1.0], V.shape, p=[0.1, 0.3, 0.6])
        W, H = random.gamma(1.0, size=(12, 2)) + 0.1, random.gamma(1.0, size=(2, 9)) + 0.1
        run = factorize_from(V, W, H, loss, 5000, 1e-12, solver=solver, weights=weights)
        reference = obvious_mu(V, W, H, beta_of(loss), 4000, weights)
        assert run.loss[0] <= divergence(V, *reference, loss, weights) * 1.02
        assert run.loss[0] == pytest.approx(
            divergence(V, run.W[0], run.H[0], loss, weights), rel=1e-9
        )

    def test_transform_is_the_minimum_over_H(self, loss, solver):
        V, W = positive(17), np.random.default_rng(18).gamma(1.0, size=(12, 3)) + 0.05
        found = transform(V, W, loss, 20_000, 1e-13, solver=solver)
        assert found.status == "converged"
        beta = beta_of(loss)
        for j in range(3):

            def value(h, v=V[:, [j]]):
                return divergences(v, W.T[None], np.maximum(h, 0)[None, :, None], beta)[0]

            best = min(
                minimize(value, start, method="L-BFGS-B", bounds=[(1e-9, None)] * 3).fun
                for start in (np.full(3, 0.5), found.H[:, j] + 1e-3)
            )
            assert value(found.H[:, j]) <= best * (1 + 1e-4) + 1e-9

    def test_transform_with_hidden_cells(self, loss, solver):
        random = np.random.default_rng(19)
        W, H = random.gamma(1.0, size=(25, 2)) + 0.1, random.gamma(1.0, size=(2, 6)) + 0.1
        V = W @ H
        observed = random.random(V.shape) > 0.2
        found = transform(
            np.where(observed, V, np.nan), W, loss, 20_000, 1e-14, observed=observed, solver=solver
        )
        np.testing.assert_allclose(found.H, H, rtol=0.02)
        assert (found.relative_error < 0.01).all()

    def test_penalties_shrink_and_are_not_escaped_by_rescaling(self, loss, solver):
        V = positive(20)
        options = {"loss": loss, "solver": solver, "dtype": "float64", "max_iter": 2000}
        plain = factorize(V, 3, range(3), **options)
        strength = 0.05 * V.mean() ** (beta_of(loss) - 1)
        runs = factorize(V, 3, range(3), penalties=Penalties(l1_H=strength), **options)

        def measured(fit):
            norms = np.linalg.norm(fit.W, axis=1)
            return (fit.H.sum(axis=2) * norms).sum(axis=1)

        assert np.isfinite(runs.W).all()
        assert measured(runs).mean() < measured(plain).mean()
        assert runs.loss.min() > plain.loss.min()
        # The objective is invariant to the split of scale: a rescaled end stays where it is.
        D = np.array([10.0, 0.1, 1.0])
        again = factorize_from(
            V,
            runs.W[0] * D,
            runs.H[0] / D[:, None],
            loss,
            200,
            1e-10,
            penalties=Penalties(l1_H=strength),
            solver=solver,
        )
        assert measured(again)[0] == pytest.approx(measured(runs)[0], rel=0.02)

    def test_the_penalised_objective_never_rises(self, loss, solver):
        V = positive(21)
        strength = 0.02 * V.mean() ** (beta_of(loss) - 1)
        penalties = Penalties(l1_W=strength, l1_H=strength, l2_W=strength / 10, l2_H=strength / 10)
        runs = factorize(
            V, 3, range(3), loss=loss, solver=solver, dtype="float64", penalties=penalties
        )
        for trace in runs.trace:
            kept = trace[np.isfinite(trace)]
            assert (np.diff(kept) <= 1e-10 * kept[:-1]).all()


@pytest.mark.parametrize(
    ("loss", "solver"), [("frobenius", "hals"), ("frobenius", "mu"), ("kullback-leibler", "cd")]
)
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_coefficients_are_penalised_right_when_a_component_goes_out(loss, solver, hidden, dtype):
    """The weight of ‖h‖₂ has no bound near 0."""
    random = np.random.default_rng(0)
    W, H = random.random((20, 3)), random.random((3, 8))
    W[:, 2], H[2] = np.r_[np.zeros(10), np.full(10, 50.0)], 0
    V = W @ H
    V[10:] *= 0.3
    weights = np.where(hidden & (random.random(V.shape) < 0.1), 0.0, 1)
    penalties = Penalties(l1_W=0.1, l1_H=0.5)

    def objective(H):
        of_data = divergence(V, W, H, loss, weights)
        return of_data + penalties.value(W.T[None], H[None])[0]

    options = {"observed": weights > 0, "penalties": penalties, "dtype": dtype}
    found = transform(V, W, loss, solver=solver, **options)
    slow = minimize(
        lambda h: objective(np.maximum(h, 1e-12).reshape(3, 8)),
        np.ones(24),
        bounds=[(0, None)] * 24,
        method="L-BFGS-B",
        options={"maxfun": 100_000},
    )
    assert found.status == "converged"
    assert objective(found.H) == pytest.approx(slow.fun, rel=1e-5)
    assert found.H[2].max() < 1e-6


class TestTheorems:
    def test_rank_one_under_frobenius_is_the_first_singular_pair(self):
        V = positive(30)
        run = factorize(V, 1, [0], dtype="float64", tol=1e-14)
        sigma = np.linalg.svd(V, compute_uv=False)
        assert 2 * run.loss[0] == pytest.approx((sigma[1:] ** 2).sum(), rel=1e-9)

    @pytest.mark.parametrize("solver", ["cd", "mu"])
    @pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
    def test_rank_one_under_kullback_leibler_is_the_product_of_the_margins(self, solver, store):
        V = np.random.default_rng(31).poisson(1.0, (14, 10)).astype(float)
        if solver == "mu" and store is sparse.csr_array:
            V = V + 1  # stored dense, as most entries are positive
        run = factorize(
            store(V), 1, [0], loss="kullback-leibler", dtype="float64", tol=1e-14, solver=solver
        )
        margins = np.outer(V.sum(axis=1), V.sum(axis=0)) / V.sum()
        np.testing.assert_allclose(run.W[0] @ run.H[0], margins, rtol=1e-5, atol=1e-8)

    @pytest.mark.parametrize("solver", ["cd", "mu"])
    def test_a_kullback_leibler_fit_has_the_mass_of_the_data(self, solver):
        """At a stationary point the column sums of WH are those of V."""
        V = positive(32)
        run = factorize(
            V,
            3,
            [0],
            loss="kullback-leibler",
            dtype="float64",
            tol=1e-13,
            solver=solver,
            max_iter=20_000,
        )
        np.testing.assert_allclose((run.W[0] @ run.H[0]).sum(axis=0), V.sum(axis=0), rtol=1e-3)

    @bounded
    @given(st.integers(0, 10**6), st.integers(1, 3))
    def test_coordinate_descent_is_no_worse_than_multiplicative_updates(self, seed, rank):
        V = np.random.default_rng(seed).poisson(2.0, (11, 8)).astype(float)
        V[V.sum(axis=1) == 0, 0] = 1
        best = [
            factorize(
                V,
                rank,
                range(12),
                loss="kullback-leibler",
                solver=s,
                dtype="float64",
                max_iter=3000,
                tol=1e-9,
            ).loss.min()
            for s in ("cd", "mu")
        ]
        assert best[0] <= best[1] * 1.02 + 1e-6

    @bounded
    @given(st.integers(0, 10**6), st.floats(0.02, 0.6))
    def test_sparse_is_dense_under_kullback_leibler(self, seed, density):
        random = np.random.default_rng(seed)
        V = random.poisson(3.0, (40, 30)) * (random.random((40, 30)) < density)
        V = V.astype(float)
        V[0, 0] = 1
        options = {"loss": "kullback-leibler", "dtype": "float64", "max_iter": 25, "tol": 0}
        dense, thin = (
            factorize(V, 2, range(2), **options),
            factorize(sparse.csr_array(V), 2, range(2), **options),
        )
        np.testing.assert_allclose(dense.loss, thin.loss, rtol=1e-7)
        fits = [run.W @ run.H for run in (dense, thin)]
        np.testing.assert_allclose(fits[0], fits[1], rtol=1e-3, atol=1e-3)

    def test_duality(self):
        """Vᵀ = HᵀWᵀ: the transposed problem has the transposed optimum."""
        V = positive(33)
        for loss in ("frobenius", "kullback-leibler"):
            a = factorize(V, 2, range(8), loss=loss, dtype="float64", tol=1e-12)
            b = factorize(V.T, 2, range(8), loss=loss, dtype="float64", tol=1e-12)
            assert a.loss.min() == pytest.approx(b.loss.min(), rel=1e-5)


class TestChoosing:
    def test_auto_takes_the_fastest(self):
        V = positive(40)
        for loss, name in (
            ("frobenius", "hals"),
            ("kullback-leibler", "cd"),
            ("itakura-saito", "mu"),
            (1.5, "mu"),
        ):
            assert choose_solver(pose(V, loss=loss)).name == name
            assert factorize(V, 2, [0], loss=loss, max_iter=2).solver.startswith(name)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"loss": "itakura-saito", "solver": "hals"}, "mu"),
            ({"loss": "frobenius", "solver": "cd"}, "hals"),
            ({"solver": "als"}, "auto"),
            ({"loss": 9.0}, "outside"),
            ({"start": "warm"}, "nndsvd"),
            ({"start": "nndsvd", "rank": 10}, "random"),
            ({"weights": np.full((12, 9), 2.0)}, "between 0 and 1"),
        ],
    )
    def test_what_does_not_fit_is_refused_with_the_alternative(self, options, words):
        with pytest.raises(InputError, match=words):
            factorize(positive(41), **{"rank": 2, "seeds": [0], **options})

    def test_itakura_saito_refuses_zeros_with_the_remedy(self):
        V = positive(42)
        V[3, 4] = 0
        with pytest.raises(InputError, match="kullback-leibler"):
            factorize(V, 2, [0], loss="itakura-saito")
        observed = V > 0
        assert (
            factorize(V, 2, [0], loss="itakura-saito", observed=observed).status[0] == "converged"
        )

    def test_sparse_input_is_not_made_dense_beyond_the_bound(self, monkeypatch):
        V = sparse.random_array(
            (400, 300), density=0.01, rng=np.random.default_rng(0), format="csr"
        )
        assert factorize(V, 2, [0], loss="kullback-leibler", solver="mu").solver == "mu (dense)"
        for module in ("nmfcore.problem", "nmfcore.solvers.registry"):
            monkeypatch.setattr(f"{module}.DENSE_BYTES_MAX", 400 * 300)
        with pytest.raises(InputError, match="cd"):
            factorize(V, 2, [0], loss="kullback-leibler", solver="mu")

    def test_every_solver_says_what_it_refuses(self):
        problem = pose(positive(43), loss=1.5)
        assert {s for s in SOLVERS if SOLVERS[s].refusal(problem)} == {"hals", "cd"}


class TestStarts:
    @pytest.mark.parametrize("start", ["random", "columns", "nndsvdar"])
    def test_seeds_vary_every_start_that_can_vary(self, start):
        runs = factorize(positive(50), 3, range(2), start=start, max_iter=0)
        assert not np.array_equal(runs.W[0], runs.W[1])

    @pytest.mark.parametrize("start", ["nndsvd", "nndsvda"])
    def test_others_are_the_same_for_every_seed(self, start):
        runs = factorize(positive(51), 3, range(2), start=start, max_iter=0)
        np.testing.assert_array_equal(runs.W[0], runs.W[1])

    @pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
    def test_nndsvd_is_that_of_scikit_learn(self, store):
        from sklearn.decomposition._nmf import _initialize_nmf

        V = positive(52)
        W, H = _initialize_nmf(V, 4, init="nndsvd", random_state=0)
        runs = factorize(store(V), 4, [0], start="nndsvd", max_iter=0, dtype="float64")
        np.testing.assert_allclose(runs.W[0] @ runs.H[0], W @ H, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("start", ["random", "columns", "nndsvd", "nndsvda", "nndsvdar"])
    @pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
    def test_all_lead_to_a_good_fit(self, start, loss):
        V = positive(53)
        runs = factorize(V, 3, range(3), start=start, loss=loss, dtype="float64")
        reference = factorize(V, 3, range(10), loss=loss, dtype="float64")
        assert runs.loss.min() <= reference.loss.min() * 1.3
        assert (runs.status == "converged").all()
