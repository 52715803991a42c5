import numpy as np
import pytest
from scipy import optimize, sparse

from nmfcore import cross_validation
from nmfcore.errors import InputError
from nmfcore.factorization import factorize
from nmfcore.problem import pose
from nmfcore.solvers.ceiling import CEILING, bounded, highest
from nmfcore.solvers.hals import HalsUpdates
from nmfcore.solvers.kullback_leibler import KullbackLeiblerUpdates
from nmfcore.solvers.multiplicative import MultiplicativeUpdates
from nmfcore.solvers.products import WholeProducts

SOLVERS = [
    ("frobenius", "hals"),
    ("frobenius", "mu"),
    ("kullback-leibler", "cd"),
    ("kullback-leibler", "mu"),
    ("itakura-saito", "mu"),
]


def parts(runs):
    """What each component makes of its largest cell, (n_runs, rank)."""
    return runs.W.max(axis=1) * runs.H.max(axis=2)


def with_holes(random):
    """Counts with two parts, and what is seen of them."""
    rates = 3 * random.gamma(0.5, 1, (40, 2)) @ random.gamma(1, 1, (2, 60))
    return random.poisson(rates).astype(float) + 1e-3, random.random(rates.shape) >= 0.3


class TestHighest:
    def test_a_component_at_its_highest_makes_the_ceiling_of_its_largest_cell(self):
        fixed = np.random.default_rng(0).random((2, 3, 5))
        np.testing.assert_allclose(highest(fixed, 7.0) * fixed.max(axis=2), 7, rtol=1e-12)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_is_finite_where_nothing_bounds_a_component(self, dtype):
        fixed = np.zeros((1, 3, 2), dtype)
        fixed[0, 1], fixed[0, 2] = np.finfo(dtype).tiny, 1
        largest = np.finfo(dtype).max
        assert highest(fixed, 40.0)[0].tolist() == [largest, largest, 40]
        assert (highest(fixed, np.inf) == largest).all()
        assert (highest(np.ones((1, 1, 2), dtype), 0.0) == 0).all()  # nothing but zeros is seen

    def test_what_is_higher_is_lowered_and_nothing_else(self):
        moving, fixed = np.array([[[1.0, 5.0], [2.0, 0.5]]]), np.array([[[1.0, 2.0], [6.0, 3.0]]])
        start, top = bounded(moving, fixed, 6.0)
        assert top.tolist() == [[3, 1]]
        assert start.tolist() == [[[1, 3], [1, 0.5]]]

    def test_without_a_ceiling_nothing_is_lowered_or_copied(self):
        moving = np.array([[[1.0, 5.0], [2.0, 0.5]]])
        start, top = bounded(moving, moving, np.inf)
        assert start is moving
        assert (top == np.finfo(float).max).all()


class TestBoundedSteps:
    """Many half-steps reach what a general solver of bounded problems finds for each column."""

    random = np.random.default_rng(1)
    W, V = random.random((1, 3, 12)), random.gamma(1, 1, (12, 5))
    weights = np.where(random.random(V.shape) < 0.3, random.choice([0.0, 0.4], V.shape), 1)
    ceiling = 0.5
    top = ceiling / W[0].max(axis=1)

    def updates(self, kind):
        lack, weighted = sparse.csr_array(1 - self.weights), self.weights * self.V
        if kind == "hals":
            products = WholeProducts(weighted)
            products.squared_norm = float((self.weights * self.V**2).sum())
            return HalsUpdates(products, lack, ceiling=self.ceiling)
        if kind in ("cd", "sparse cd"):
            V = weighted if kind == "cd" else sparse.csr_array(weighted)
            return KullbackLeiblerUpdates(V, lack, ceiling=self.ceiling)
        beta = 2 if kind == "mu of frobenius" else 1
        return MultiplicativeUpdates(self.V, beta, self.weights, ceiling=self.ceiling)

    def expected(self, column, frobenius):
        v, w, A = self.V[:, column], self.weights[:, column], self.W[0].T

        def objective(h):
            p = A @ h
            cells = 0.5 * (v - p) ** 2 if frobenius else v * np.log(v / p) - v + p
            slopes = p - v if frobenius else 1 - v / p
            return (w * cells).sum(), A.T @ (w * slopes)

        bounds = [(1e-9, top) for top in self.top]
        options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000}
        found = optimize.minimize(
            objective, self.top / 2, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        return found.x, found.fun

    @pytest.mark.parametrize("kind", ["hals", "mu of frobenius", "cd", "sparse cd", "mu"])
    def test_minimise_the_loss_below_the_ceiling(self, kind):
        updates = self.updates(kind)
        H, out = np.ones((1, 3, 5)), np.empty((1, 3, 5))
        last = np.inf
        for _ in range(3000):
            objective = updates.improve_H(self.W, H, out)[0]
            assert objective <= last + 1e-9
            H, out, last = out, H, objective
        columns = [self.expected(c, "hals" in kind or "frobenius" in kind) for c in range(5)]
        np.testing.assert_allclose(H[0].T, [h for h, _ in columns], atol=2e-4)
        assert last == pytest.approx(sum(value for _, value in columns), rel=1e-6)
        at_top = np.isclose(H[0], self.top[:, None])
        assert at_top.any()
        assert not at_top.all()

    @pytest.mark.parametrize("kind", ["hals", "cd", "sparse cd"])
    def test_the_other_factor_is_bounded_as_well(self, kind):
        H, W = self.random.random((1, 3, 5)), np.ones((1, 3, 12))
        out = np.empty_like(W)
        self.updates(kind).improve_W(W, H, out)
        assert (out[0].max(axis=1) * H[0].max(axis=1)).max() == pytest.approx(self.ceiling)


class TestFits:
    @pytest.mark.parametrize(("loss", "solver"), SOLVERS)
    def test_no_component_makes_more_of_a_cell(self, loss, solver):
        V, seen = with_holes(np.random.default_rng(2))
        options = {"loss": loss, "observed": seen, "solver": solver, "max_iter": 600}
        runs = factorize(V, 12, range(3), ceiling=2, **options)
        assert parts(runs).max() <= 2 * V[seen].max() * (1 + 1e-5)

    @pytest.mark.parametrize(("loss", "solver", "times"), [(*SOLVERS[0], 1.3), (*SOLVERS[2], 1000)])
    def test_cells_hidden_at_random_are_predicted_better_for_it(self, loss, solver, times):
        V, seen = with_holes(np.random.default_rng(2))
        options = {"loss": loss, "observed": seen, "solver": solver}
        errors = [
            np.square(runs.W @ runs.H - V)
            for runs in (factorize(V, 12, range(3), ceiling=c, **options) for c in (CEILING, None))
        ]
        assert times * errors[0][:, ~seen].mean() < errors[1][:, ~seen].mean()

    @pytest.mark.parametrize(("loss", "solver"), [SOLVERS[0], SOLVERS[2]])
    def test_fits_at_the_ceiling_are_stationary(self, loss, solver):
        V, seen = with_holes(np.random.default_rng(2))
        options = {"dtype": "float64", "tol": 1e-12, "max_iter": 20_000, "observed": seen}
        runs = factorize(V, 12, range(3), loss=loss, solver=solver, ceiling=CEILING, **options)
        assert (parts(runs) > 0.999 * CEILING * V[seen].max()).any()
        assert (runs.kkt_residual < 1e-4).all()

    def test_there_is_none_unless_it_is_asked_for_and_cells_are_hidden(self):
        V, seen = with_holes(np.random.default_rng(3))
        assert pose(V, ceiling=3).ceiling == np.inf
        assert pose(V, seen).ceiling == np.inf
        masked = pose(V, seen, ceiling=3)
        assert masked.ceiling == 3 * masked.exact.max()

    @pytest.mark.parametrize("ceiling", [0.5, -1, np.nan])
    def test_one_that_is_lower_than_what_is_seen_is_refused(self, ceiling):
        with pytest.raises(InputError, match="at least 1"):
            factorize(np.ones((3, 3)), 1, ceiling=ceiling)

    def test_large_cells_that_are_missing_are_found_without_one(self):
        w, h = np.r_[30.0, np.ones(9)], np.r_[30.0, np.ones(14)]
        V = np.outer(w, h)
        runs = factorize(V, 1, [0], observed=V < 900, dtype="float64", tol=1e-12)
        assert runs.W[0, 0, 0] * runs.H[0, 0, 0] == pytest.approx(900, rel=1e-4)


class TestCrossValidation:
    """Cells that are hidden at random have one."""

    @pytest.fixture
    def asked(self, monkeypatch):
        found = []

        def watched(*args, **options):
            found.append(options["ceiling"])
            return factorize(*args, **options)

        monkeypatch.setattr(cross_validation, "factorize", watched)
        return found

    @pytest.mark.parametrize(("missing", "expected"), [(False, CEILING), (True, None)])
    def test_has_one_where_all_cells_were_seen_before(self, asked, missing, expected):
        V, seen = with_holes(np.random.default_rng(4))
        cross_validation.cross_validate(
            V, 2, n_folds=2, n_starts=1, max_iter=5, observed=seen if missing else None
        )
        assert set(asked) == {expected}
