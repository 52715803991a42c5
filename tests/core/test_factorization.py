import pickle
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import NMF

from nmfcore import Status, factorize
from nmfcore.errors import InputError
from nmfcore.factorization import factorize_from
from nmfcore.problem import pose
from nmfcore.runs import concatenate_runs
from nmfcore.solvers.registry import compression_width

bounded = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
streams = st.integers(0, 2**32 - 1).map(np.random.default_rng)
TIGHT = {"dtype": "float64", "tol": 1e-12, "max_iter": 20_000}


def planted(rank, m=30, n=24, noise=0.02, seed=0):
    """Product of sparse nonnegative factors, with a little noise."""
    random = np.random.default_rng([seed, rank])
    W = random.gamma(1, size=(m, rank)) * (random.random((m, rank)) < 0.5)
    H = random.gamma(1, size=(rank, n)) * (random.random((rank, n)) < 0.6)
    W[:rank] += np.eye(rank)
    H[:, :rank] += np.eye(rank)
    V = W @ H
    return np.maximum(V + noise * V.std() * random.standard_normal(V.shape), 0)


def losses(V, runs, observed=None):
    """½ Σ (V − WH)² over the visible cells, from the stored factors."""
    residual = V - runs.W.astype(float) @ runs.H.astype(float)
    return 0.5 * np.square(residual if observed is None else residual * observed).sum((1, 2))


def kkt(V, W, H, observed=None):
    """Norm of the projected gradient of balanced factors, by the definition."""
    W, H = np.asarray(W, float), np.asarray(H, float)
    norm_W, norm_H = np.linalg.norm(W, axis=0), np.linalg.norm(H, axis=1)
    alive = (norm_W > 0) & (norm_H > 0)
    c = np.where(alive, np.sqrt(np.where(alive, norm_H, 1) / np.where(alive, norm_W, 1)), 1)
    W, H = W * c, H / c[:, None]
    residual = W @ H - V
    if observed is not None:
        residual = np.where(observed, residual, 0)
    slack_W, slack_H = np.minimum(W, residual @ H.T), np.minimum(H, W.T @ residual)
    return np.sqrt(np.square(slack_W).sum() + np.square(slack_H).sum())


def hals_slowly(V, W, H, n_iter, observed=None):
    """Weighted HALS, one component at a time; with weights of one it is plain HALS."""
    W, H = np.array(W, float), np.array(H, float)
    weight = np.ones(V.shape) if observed is None else observed.astype(float)
    residual = weight * (np.where(weight > 0, V, 0) - W @ H)
    for _ in range(n_iter):
        for j in range(W.shape[1]):
            residual += weight * np.outer(W[:, j], H[j])
            W[:, j] = np.maximum(residual @ H[j], 0) / np.maximum(weight @ H[j] ** 2, 1e-300)
            residual -= weight * np.outer(W[:, j], H[j])
        for j in range(W.shape[1]):
            residual += weight * np.outer(W[:, j], H[j])
            H[j] = np.maximum(W[:, j] @ residual, 0) / np.maximum(W[:, j] ** 2 @ weight, 1e-300)
            residual -= weight * np.outer(W[:, j], H[j])
    return W, H, 0.5 * np.square(residual).sum()


def matched_cosine(A, B):
    """Least cosine of the columns of A and B, paired as well as can be."""
    A, B = (X / np.linalg.norm(X, axis=0) for X in (np.asarray(A, float), np.asarray(B, float)))
    cosine = A.T @ B
    return cosine[linear_sum_assignment(cosine, maximize=True)].min()


def assert_same_bytes(first, second):
    for name in ("W", "H", "loss", "relative_error", "kkt_residual", "n_iter", "status", "trace"):
        a, b = getattr(first, name), getattr(second, name)
        assert a.dtype == b.dtype, name
        assert a.tobytes() == b.tobytes(), name


def assert_sound(V, runs, observed=None):
    """What holds for every fit of every matrix."""
    eps = float(np.finfo(runs.W.dtype).eps)
    total = float(np.square(V if observed is None else V[observed]).sum())
    assert set(runs.status) <= set(Status)
    for run in np.flatnonzero(runs.status != Status.NON_FINITE):
        W, H = runs.W[run], runs.H[run]
        assert np.isfinite(W).all()
        assert np.isfinite(H).all()
        assert W.min() >= 0
        assert H.min() >= 0
        expected = losses(V, runs, observed)[run]
        assert runs.loss[run] == pytest.approx(expected, rel=1e-9, abs=1e-13 * total)
        relative = np.sqrt(2 * expected / total) if total else 0
        assert runs.relative_error[run] == pytest.approx(relative, rel=1e-6, abs=1e-7)
        # A trace has the hidden cells of WH as a difference; they may be larger than all that is seen.
        hidden = 0 if observed is None else np.square((W.astype(float) @ H)[~observed]).sum()
        rounding = 100 * eps * (total + hidden)
        trace = runs.trace[run, : runs.n_iter[run]]
        assert np.isfinite(trace).all()
        assert np.isnan(runs.trace[run, runs.n_iter[run] :]).all()
        assert (trace[1:] <= trace[:-1] * (1 + 1e-12) + rounding).all()
        assert trace[-1] == pytest.approx(runs.loss[run], abs=rounding)


class TestShapesAndNames:
    V = planted(3)
    runs = factorize(V, 3, seeds=[4, 0, 9], max_iter=100)

    def test_shapes(self):
        assert self.runs.W.shape == (3, 30, 3)
        assert self.runs.H.shape == (3, 3, 24)
        for name in ("loss", "relative_error", "kkt_residual", "n_iter", "status", "seconds"):
            assert getattr(self.runs, name).shape == (3,)
        assert self.runs.trace.shape == (3, self.runs.n_iter.max())
        assert len(self.runs) == 3
        assert self.runs.rank == 3
        assert self.runs.loss_name == "frobenius"
        np.testing.assert_array_equal(self.runs.seeds, [4, 0, 9])

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_factors_have_the_working_precision_and_figures_have_float64(self, dtype):
        runs = factorize(self.V, 2, range(2), dtype=dtype)
        assert runs.W.dtype == runs.H.dtype == dtype
        for name in ("loss", "relative_error", "kkt_residual", "trace"):
            assert getattr(runs, name).dtype == np.float64
        assert np.issubdtype(runs.n_iter.dtype, np.integer)
        assert np.issubdtype(runs.seeds.dtype, np.integer)

    def test_arrays_are_contiguous_as_they_are_written_to_files(self):
        assert self.runs.W.flags.c_contiguous
        assert self.runs.H.flags.c_contiguous

    def test_status_is_one_of_three_words_without_pickles(self):
        assert self.runs.status.dtype.kind == "U"
        assert {str(s) for s in Status} == {"converged", "max_iter", "non_finite"}

    def test_explained_variance_is_one_minus_rss_over_total(self):
        expected = 1 - 2 * losses(self.V, self.runs) / np.square(self.V).sum()
        np.testing.assert_allclose(self.runs.explained_variance, expected, rtol=1e-6)

    def test_seconds_are_shares_of_the_batch(self):
        assert (self.runs.seconds > 0).all()
        np.testing.assert_allclose(
            self.runs.seconds / self.runs.seconds.sum(), self.runs.n_iter / self.runs.n_iter.sum()
        )

    def test_runs_survive_a_process_boundary(self):
        assert_same_bytes(pickle.loads(pickle.dumps(self.runs)), self.runs)


class TestEveryFit:
    @bounded
    @given(
        streams,
        st.integers(1, 7),
        st.sampled_from(["float32", "float64"]),
        st.booleans(),
        st.sampled_from(["gamma", "counts", "binary", "uniform"]),
    )
    def test_is_sound(self, random, rank, dtype, masked, kind):
        m, n = random.integers(2, 15, 2)
        V = {
            "gamma": lambda: random.gamma(0.3, size=(m, n)),
            "counts": lambda: random.poisson(2.0, (m, n)).astype(float),
            "binary": lambda: (random.random((m, n)) < 0.5).astype(float),
            "uniform": lambda: random.random((m, n)),
        }[kind]()
        observed = None
        if masked:
            observed = random.random((m, n)) < 0.9
            observed[0] = observed[:, 0] = True
        runs = factorize(V, rank, range(3), dtype=dtype, max_iter=150, observed=observed)
        assert_sound(V, runs, observed)

    def test_no_fit_beats_the_truncated_svd(self):
        V = np.random.default_rng(0).random((12, 9))
        tails = np.append(np.cumsum(np.linalg.svd(V, compute_uv=False)[::-1] ** 2)[::-1], 0)
        for rank in range(1, 12):
            runs = factorize(V, rank, range(4), dtype="float64")
            assert (2 * runs.loss >= tails[min(rank, 9)] * (1 - 1e-9) - 1e-12).all()

    @bounded
    @given(streams)
    def test_rank_one_is_the_leading_singular_pair(self, random):
        V = random.gamma(0.5, size=(9, 7)) + 1e-3
        runs = factorize(V, 1, range(3), **TIGHT)
        u, s, vt = np.linalg.svd(V)
        np.testing.assert_allclose(2 * runs.loss, np.square(s[1:]).sum(), rtol=1e-9)
        assert (runs.status == Status.CONVERGED).all()
        np.testing.assert_allclose(
            (runs.W @ runs.H)[0], s[0] * np.outer(abs(u[:, 0]), abs(vt[0])), atol=1e-5 * s[0]
        )

    def test_more_components_never_fit_worse(self):
        V = planted(4, noise=0.2)
        best = [factorize(V, rank, range(8), dtype="float64").loss.min() for rank in range(1, 7)]
        assert (np.diff(best) < 0).all()

    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("rank", [1, 2, 4])
    def test_a_converged_fit_is_a_stationary_point(self, rank, masked):
        V = planted(4, noise=0.1)
        V *= 3 / V.max()  # the residual is not homogeneous in V; here the solver leaves V as it is
        observed = np.random.default_rng(1).random(V.shape) < 0.9 if masked else None
        runs = factorize(V, rank, range(3), observed=observed, **TIGHT)
        at_start = factorize(V, rank, range(3), observed=observed, dtype="float64", max_iter=0)
        assert (runs.status == Status.CONVERGED).all()
        for run in range(3):
            residual = kkt(V, runs.W[run], runs.H[run], observed)
            start = kkt(V, at_start.W[run], at_start.H[run], observed)
            assert residual < 1e-4 * start
            assert runs.kkt_residual[run] == pytest.approx(residual / start, rel=0.05, abs=1e-9)
        np.testing.assert_allclose(at_start.kkt_residual, 1)


class TestAgainstOtherPrograms:
    @pytest.mark.parametrize(("rank", "noise"), [(2, 0.1), (4, 0.3), (6, 1.0)])
    def test_the_best_of_a_few_starts_is_no_worse_than_that_of_scikit_learn(self, rank, noise):
        V = planted(4, noise=noise, seed=3)
        ours = factorize(V, rank, range(8), tol=1e-9, dtype="float64", max_iter=5000).loss.min()
        theirs = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for seed in range(8):
                model = NMF(rank, init="random", random_state=seed, tol=1e-7, max_iter=1500)
                W = model.fit_transform(V)
                theirs.append(0.5 * np.square(V - W @ model.components_).sum())
        assert ours <= min(theirs) * (1 + 1e-5)

    def test_a_start_near_a_solution_is_not_left_for_that_of_a_completed_matrix(self):
        random = np.random.default_rng(5)
        V = random.random((40, 30)) * 10.0 ** random.normal(size=(40, 1))
        observed = random.random(V.shape) < 0.7
        solved = factorize(V, 6, range(4), observed=observed, tol=1e-8, dtype="float64")
        for W, H, loss in zip(solved.W, solved.H, solved.loss, strict=True):
            again = factorize_from(V, W, H, observed=observed)
            assert again.loss[0] <= loss * (1 + 1e-9)

    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("rank", [1, 2, 3])
    def test_the_textbook_algorithm_reaches_the_same_loss_from_the_same_start(self, rank, masked):
        V = planted(3, m=15, n=12, noise=0.1)
        random = np.random.default_rng(rank)
        observed = random.random(V.shape) < 0.85 if masked else None
        W, H = random.random((15, rank)), random.random((rank, 12))
        run = factorize_from(V, W, H, observed=observed, tol=1e-12, max_iter=20_000)
        slow_W, slow_H, slow_loss = hals_slowly(V, W, H, 3000, observed)
        assert run.status[0] == Status.CONVERGED
        assert run.loss[0] == pytest.approx(slow_loss, rel=1e-5)
        np.testing.assert_allclose(run.W[0] @ run.H[0], slow_W @ slow_H, atol=1e-2 * V.max())


class TestRecovery:
    @staticmethod
    def separable(seed, m=25, n=20, rank=3):
        random = np.random.default_rng(seed)
        W = np.vstack([np.eye(rank), random.dirichlet(np.ones(rank), m - rank)])
        H = np.hstack([np.eye(rank), random.dirichlet(np.ones(rank), n - rank).T])
        W, H = W[random.permutation(m)], H[:, random.permutation(n)]
        return W * random.uniform(0.5, 2, rank), H

    @pytest.mark.parametrize("seed", range(4))
    def test_separable_matrices_are_taken_apart_exactly(self, seed):
        W, H = self.separable(seed)
        runs = factorize(W @ H, 3, range(6), **TIGHT)
        best = int(runs.loss.argmin())
        assert runs.relative_error[best] < 1e-6
        assert matched_cosine(runs.W[best], W) > 0.999
        assert matched_cosine(runs.H[best].T, H.T) > 0.999

    def test_blocks_are_found_in_single_precision_too(self):
        W, H = np.kron(np.eye(3), np.ones((5, 1))), np.kron(np.eye(3), np.ones((1, 4)))
        runs = factorize(W @ H, 3, range(10))
        best = int(runs.loss.argmin())
        assert runs.relative_error[best] < 1e-3
        assert matched_cosine(runs.W[best], W) > 0.999

    def test_the_rank_may_exceed_both_dimensions(self):
        V = np.random.default_rng(0).random((4, 3))
        runs = factorize(V, 9, range(3), dtype="float64")
        assert runs.W.shape == (3, 4, 9)
        assert (runs.relative_error < 1e-2).all()
        assert_sound(V, runs)

    def test_nonnegative_rank_above_linear_rank(self):
        # Linear rank 3, nonnegative rank 4 (Thomas 1974): rank 3 must leave an error, rank 4 none.
        V = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1.0]])
        assert np.linalg.matrix_rank(V) == 3
        assert factorize(V, 3, range(20), **TIGHT).relative_error.min() > 0.05
        assert factorize(V, 4, range(20), **TIGHT).relative_error.min() < 1e-6


class TestScale:
    V = planted(3, m=12, n=10, noise=0.1)

    @pytest.mark.parametrize("power", [-500, -151, -31, -1, 1, 30, 152, 500])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_by_a_power_of_four_scales_the_factors_bit_by_bit(self, power, dtype):
        base = factorize(self.V, 3, range(3), dtype=dtype)
        scaled = factorize(np.ldexp(self.V, 2 * power), 3, range(3), dtype=dtype)
        for name in ("W", "H"):
            expected = np.ldexp(getattr(base, name).astype(float), power)
            got = getattr(scaled, name)
            assert np.isfinite(got).all()
            # float32 has no room for the least entries of factors of small matrices.
            tiny = 0 if got.dtype == np.float64 else 1e-37
            large = expected > tiny
            np.testing.assert_array_equal(got.astype(float)[large], expected[large])
            assert (got[~large] <= tiny).all()
        for name in ("relative_error", "kkt_residual", "n_iter", "status"):
            np.testing.assert_array_equal(getattr(scaled, name), getattr(base, name))

    @pytest.mark.parametrize("power", [-100, -3, 3, 100])
    def test_multiplies_the_loss_by_its_square(self, power):
        base = factorize(self.V, 2, range(2))
        scaled = factorize(np.ldexp(self.V, 2 * power), 2, range(2))
        np.testing.assert_array_equal(scaled.loss, np.ldexp(base.loss, 4 * power))
        np.testing.assert_array_equal(scaled.trace, np.ldexp(base.trace, 4 * power))

    @bounded
    @given(st.floats(-290, 290))
    def test_any_other_factor_changes_rounding_only(self, exponent):
        base = factorize(self.V, 2, range(2), dtype="float64")
        scaled = factorize(self.V * 10.0**exponent, 2, range(2), dtype="float64")
        np.testing.assert_allclose(scaled.relative_error, base.relative_error, rtol=1e-6)
        assert (scaled.status == Status.CONVERGED).all()

    @pytest.mark.parametrize("largest", [1e300, 1.7e308, 1e38, 3e38, 1e-38, 1e-45, 1e-300])
    def test_the_ends_of_the_number_range_are_fitted_like_any_other(self, largest):
        base = factorize(self.V, 3, range(2), dtype="float64")
        V = self.V * (largest / self.V.max())
        runs = factorize(V, 3, range(2), dtype="float64")
        assert (runs.status == Status.CONVERGED).all()
        np.testing.assert_allclose(runs.relative_error, base.relative_error, rtol=1e-5)
        fit = runs.W[0] @ (runs.H[0] / largest)
        np.testing.assert_allclose(fit, V / largest, atol=0.5)
        assert np.linalg.norm(fit - V / largest) == pytest.approx(
            runs.relative_error[0] * np.linalg.norm(V / largest), rel=1e-4
        )

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_subnormal_entries_are_numbers_like_any_other(self, dtype):
        counts = np.random.default_rng(0).poisson(20, (8, 7)).astype(float)
        base = factorize(counts, 2, range(2), dtype=dtype)
        runs = factorize(counts * 5e-324, 2, range(2), dtype=dtype)
        np.testing.assert_array_equal(runs.W, np.ldexp(base.W.astype(float), -537))
        np.testing.assert_array_equal(runs.H, np.ldexp(base.H.astype(float), -537))
        np.testing.assert_array_equal(runs.relative_error, base.relative_error)

    @pytest.mark.parametrize("scale", [3e38, 1e-38, 1e-45])
    def test_the_ends_of_float32(self, scale):
        V = (self.V / self.V.max() * scale).astype(np.float32)
        runs = factorize(V, 3, range(2))
        assert (runs.status == Status.CONVERGED).all()
        assert np.isfinite(runs.loss).all()
        assert (runs.loss > 0).all()
        expected = factorize(V.astype(float), 3, range(2))
        np.testing.assert_array_equal(runs.W, expected.W)

    def test_a_loss_below_the_range_of_float64_is_zero_not_infinite(self):
        runs = factorize(self.V * 1e-300, 2, range(2))
        np.testing.assert_array_equal(runs.loss, 0)

    def test_an_exact_fit_of_a_tiny_matrix_has_no_loss(self):
        runs = factorize(np.full((2, 2), 1e-300), 1, range(30), dtype="float64")
        assert not np.isnan(runs.loss).any()

    def test_a_loss_beyond_the_range_of_float64_is_infinite_and_the_error_is_not(self):
        runs = factorize(self.V * 1e250, 2, range(2))
        assert np.isposinf(runs.loss).all()
        assert np.isfinite(runs.relative_error).all()


class TestSymmetries:
    V = planted(3, noise=0.05)
    random = np.random.default_rng(2)
    W, H = random.random((30, 3)), random.random((3, 24))
    run = factorize_from(V, W, H, tol=1e-13, max_iter=20_000)
    fit = run.W[0] @ run.H[0]

    def test_permuted_features_and_samples_permute_the_factors(self):
        rows, columns = self.random.permutation(30), self.random.permutation(24)
        V = self.V[np.ix_(rows, columns)]
        run = factorize_from(V, self.W[rows], self.H[:, columns], tol=1e-13, max_iter=20_000)
        np.testing.assert_allclose(run.loss, self.run.loss, rtol=1e-10)
        np.testing.assert_allclose(run.W[0], self.run.W[0][rows], atol=1e-4)
        np.testing.assert_allclose(run.H[0], self.run.H[0][:, columns], atol=1e-4)

    def test_the_transposed_matrix_has_the_transposed_factors(self):
        run = factorize_from(self.V.T, self.H.T, self.W.T, tol=1e-13, max_iter=20_000)
        np.testing.assert_allclose(run.loss, self.run.loss, rtol=1e-9)
        np.testing.assert_allclose((run.W[0] @ run.H[0]).T, self.fit, atol=1e-4)

    @pytest.mark.parametrize("spread", [1, 40, 200])
    def test_the_split_of_scale_and_the_order_of_components_do_not_matter(self, spread):
        order = [2, 0, 1]
        powers = np.array([-spread, 0, spread])
        W, H = np.ldexp(self.W, powers), np.ldexp(self.H, -powers[:, None])
        same_order = factorize_from(self.V, W, H, tol=1e-13, max_iter=20_000)
        np.testing.assert_allclose(same_order.loss, self.run.loss, rtol=1e-10)
        other = factorize_from(self.V, W[:, order], H[order], tol=1e-13, max_iter=20_000)
        np.testing.assert_allclose(other.loss, self.run.loss, rtol=1e-9)
        np.testing.assert_allclose(other.W[0] @ other.H[0], self.fit, atol=1e-4)

    def test_the_residual_does_not_depend_on_the_split_of_scale(self):
        W, H = np.ldexp(self.W, 30), np.ldexp(self.H, -30)
        a = factorize_from(self.V, self.W, self.H, max_iter=3)
        b = factorize_from(self.V, W, H, max_iter=3)
        np.testing.assert_allclose(a.kkt_residual, b.kkt_residual, rtol=1e-9)

    def test_a_start_is_not_changed(self):
        W, H = self.W.copy(), self.H.copy()
        W.flags.writeable = H.flags.writeable = False
        factorize_from(self.V, W, H, max_iter=5)
        np.testing.assert_array_equal(W, self.W)

    def test_a_stationary_start_stays(self):
        again = factorize_from(self.V, self.run.W[0], self.run.H[0], tol=1e-8)
        np.testing.assert_allclose(again.W[0] @ again.H[0], self.fit, atol=1e-4)
        assert again.loss[0] <= self.run.loss[0] * (1 + 1e-12)

    def test_the_start_is_in_the_units_of_V(self):
        run = factorize_from(self.V * 1e6, self.W * 1e3, self.H * 1e3, max_iter=0)
        np.testing.assert_allclose(run.W[0], self.W * 1e3, rtol=1e-12)
        np.testing.assert_allclose(run.H[0], self.H * 1e3, rtol=1e-12)

    def test_all_zero_factors_are_no_success(self):
        run = factorize_from(self.V, self.W * 0, self.H * 0)
        assert run.status.tolist() == [Status.NON_FINITE]
        assert not run.good.any()


class TestForms:
    V = np.random.default_rng(6).poisson(1.0, (20, 15)).astype(float)
    base = factorize(V, 3, range(3))

    @pytest.mark.parametrize(
        "make",
        [
            np.asfortranarray,
            lambda V: np.repeat(np.repeat(V, 2, 0), 3, 1)[::2, ::3],
            lambda V: V[::-1, ::-1].copy()[::-1, ::-1],
            lambda V: V.astype(int),
            lambda V: V.astype(np.uint8),
            lambda V: V.astype(np.float16),
            lambda V: V.astype(np.float32),
            lambda V: V.tolist(),
            lambda V: V.astype(">f8"),
            sparse.csr_array,
            sparse.csc_array,
            sparse.coo_matrix,
            lambda V: sparse.csr_array(V.astype(int)),
        ],
        ids=[
            "fortran",
            "strided",
            "negative strides",
            "int",
            "uint8",
            "float16",
            "float32",
            "list",
            "big-endian",
            "csr",
            "csc",
            "coo",
            "sparse int",
        ],
    )
    def test_every_form_of_one_matrix_gives_the_same_bytes(self, make):
        assert_same_bytes(factorize(make(self.V), 3, range(3)), self.base)
        few = np.where(self.V > 1, self.V, 0)  # which is worked on as CSR
        assert_same_bytes(factorize(make(few), 3, range(3)), factorize(few, 3, range(3)))

    def test_booleans_are_zeros_and_ones(self):
        V = self.V > 1
        assert_same_bytes(factorize(V, 2, range(2)), factorize(V.astype(float), 2, range(2)))

    def test_the_matrix_of_the_caller_is_read_only_and_stays_the_same(self):
        V, observed = self.V.copy(), self.V != 2
        V.flags.writeable = observed.flags.writeable = False
        factorize(V, 2, range(2), observed=observed)
        np.testing.assert_array_equal(V, self.V)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("masked", [False, True])
    def test_a_very_sparse_matrix_gives_the_same_fit_as_its_dense_form(self, dtype, masked):
        random = np.random.default_rng(7)
        V = random.gamma(1, size=(80, 60)) * (random.random((80, 60)) < 0.03)
        observed = random.random(V.shape) < 0.95 if masked else None
        coo = sparse.coo_array(V)
        # Each entry in two halves, and a few zeros that are stored.
        doubled = sparse.coo_array(
            (
                np.concatenate([coo.data / 2, np.zeros(5), coo.data / 2]),
                (
                    np.concatenate([coo.row, np.arange(5), coo.row]),
                    np.concatenate([coo.col, np.arange(5), coo.col]),
                ),
            ),
            shape=V.shape,
        )
        options = {"dtype": dtype, "max_iter": 30, "tol": 0, "observed": observed}
        dense = factorize(V, 3, range(3), **options)
        stored = factorize(sparse.csr_array(V), 3, range(3), **options)
        assert "sparse" in stored.solver
        assert_same_bytes(factorize(doubled, 3, range(3), **options), stored)
        rtol = 1e-3 if dtype == "float32" else 1e-8
        np.testing.assert_allclose(stored.loss, dense.loss, rtol=rtol)
        assert_sound(V, stored, observed)


class TestDegenerateMatrices:
    def test_zero_rows_and_columns_are_fitted_by_zeros(self):
        V = planted(3)
        V[[2, 11]] = 0
        V[:, 5] = 0
        runs = factorize(V, 3, range(3), dtype="float64")
        fit = runs.W @ runs.H
        assert np.abs(fit[:, [2, 11]]).max() <= 1e-9 * V.max()
        assert np.abs(fit[:, :, 5]).max() <= 1e-9 * V.max()
        assert (runs.status == Status.CONVERGED).all()
        assert_sound(V, runs)

    def test_a_constant_matrix_is_fitted_exactly(self):
        runs = factorize(np.full((6, 5), 7.0), 2, range(4))
        assert (runs.relative_error < 1e-3).all()

    @pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
    def test_an_all_zero_matrix_has_no_error(self, make):
        runs = factorize(make(np.zeros((4, 3))), 2, range(2))
        np.testing.assert_array_equal(runs.loss, 0)
        np.testing.assert_array_equal(runs.relative_error, 0)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 8), (8, 1), (2, 30)])
    def test_thin_matrices(self, shape):
        V = np.random.default_rng(0).random(shape)
        runs = factorize(V, 1, range(2), dtype="float64")
        u = np.linalg.svd(V, compute_uv=False)
        np.testing.assert_allclose(2 * runs.loss, np.square(u[1:]).sum(), atol=1e-9)

    def test_a_single_nonzero_entry(self):
        V = np.zeros((5, 4))
        V[3, 1] = 9.0
        runs = factorize(V, 2, range(5))
        assert_sound(V, runs)
        assert (runs.relative_error < 1e-3).all()


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"rank": 0}, "rank"),
            ({"rank": -3}, "rank"),
            ({"seeds": []}, "seeds"),
            ({"seeds": [3, -1]}, "seeds"),
            ({"loss": "manhattan"}, "manhattan"),
            ({"dtype": "float16"}, "float16"),
            ({"observed": np.ones((3, 3), bool)}, r"\(3, 3\)"),
            ({"V": -np.ones((4, 3))}, "12 negative"),
            ({"V": np.full((4, 3), np.nan)}, "12 NaN"),
            ({"V": np.ones(3)}, "n_features"),
            ({"V": np.ones((0, 3))}, "n_features"),
            ({"V": np.full((2, 2), "x", object)}, "object"),
        ],
    )
    def test_is_refused_with_words(self, options, words):
        with pytest.raises(InputError, match=words):
            factorize(**{"V": np.ones((4, 3)), "rank": 2, "seeds": range(2), **options})

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"rank": 2.5}, "rank"),
            ({"rank": "2"}, "rank"),
            ({"seeds": 5}, "seeds"),
            ({"seeds": [0.5]}, "seeds"),
            ({"max_iter": -1}, "max_iter"),
            ({"tol": float("nan")}, "tol"),
            ({"root_seed": -1}, "root_seed"),
            ({"V": [[1, 2], [3]]}, "matrix"),
        ],
    )
    def test_is_refused_with_words_too(self, options, words):
        with pytest.raises(InputError, match=words):
            factorize(**{"V": np.ones((4, 3)), "rank": 2, "seeds": range(2), **options})

    @pytest.mark.parametrize(
        ("W", "H"),
        [
            (np.ones((3, 2)), np.ones((2, 3))),
            (np.ones((4, 2)), np.ones((1, 3))),
            (np.ones((4, 2)), np.ones((2, 2))),
            (np.full((4, 2), np.nan), np.ones((2, 3))),
            (np.full((4, 2), -1.0), np.ones((2, 3))),
        ],
        ids=["features", "rank", "samples", "NaN", "negative"],
    )
    def test_a_start_that_does_not_fit_is_refused_with_words(self, W, H):
        with pytest.raises(InputError):
            factorize_from(np.ones((4, 3)), W, H)

    def test_the_mask_of_a_masked_array_is_not_dropped(self):
        V = np.ma.masked_equal(planted(2), 0)
        V[3, 4] = np.ma.masked
        try:
            runs = factorize(V, 2, range(2))
        except InputError:
            return
        expected = factorize(V.data, 2, range(2), observed=~V.mask)
        assert_same_bytes(runs, expected)


class TestSeeds:
    V = planted(3, noise=0.3)

    def test_the_stream_of_a_run_is_made_of_root_seed_rank_and_seed(self):
        start = factorize(self.V, 3, [7, 2], root_seed=11, max_iter=0, dtype="float64")
        for position, seed in enumerate([7, 2]):
            stream = np.random.default_rng(np.random.SeedSequence([11, 3, seed]))
            W = np.abs(stream.standard_normal((3, 30)))
            H = np.abs(stream.standard_normal((3, 24)))
            scale = start.W[position].max() / W.max()
            np.testing.assert_allclose(start.W[position], W.T * scale, rtol=1e-12)
            np.testing.assert_allclose(start.H[position], H * scale, rtol=1e-12)
        fits = factorize(self.V, 3, range(40), max_iter=0)
        np.testing.assert_allclose((fits.W @ fits.H).mean(), self.V.mean(), rtol=0.1)

    def test_root_seed_and_seed_make_other_starts(self):
        a, b = (factorize(self.V, 2, range(2), root_seed=r, max_iter=0) for r in (0, 1))
        assert not np.allclose(a.W, b.W)
        assert not np.allclose(a.W[0], a.W[1])

    def test_the_same_call_gives_the_same_bytes(self):
        assert_same_bytes(factorize(self.V, 3, range(4)), factorize(self.V, 3, range(4)))

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_a_run_does_not_depend_on_its_batch_beyond_rounding(self, dtype):
        together = factorize(self.V, 3, range(6), dtype=dtype)
        rtol = 1e-4 if dtype == "float32" else 1e-7
        for seed in range(6):
            alone = factorize(self.V, 3, [seed], dtype=dtype)
            np.testing.assert_allclose(
                alone.relative_error[0], together.relative_error[seed], rtol=rtol
            )
            labels = [
                (np.linalg.norm(W, axis=0)[:, None] * H).argmax(0)
                for W, H in ((alone.W[0], alone.H[0]), (together.W[seed], together.H[seed]))
            ]
            np.testing.assert_array_equal(*labels)

    def test_the_order_of_the_seeds_is_the_order_of_the_runs(self):
        forth = factorize(self.V, 2, [0, 1, 2, 3], dtype="float64")
        back = factorize(self.V, 2, [3, 2, 1, 0], dtype="float64")
        np.testing.assert_allclose(forth.loss, back.loss[::-1], rtol=1e-7)
        np.testing.assert_allclose(forth.W, back.W[::-1], atol=1e-3)

    def test_batches_are_joined_by_seed_and_the_first_of_a_repeated_seed_counts(self):
        first = factorize(self.V, 2, [4, 1], max_iter=40)
        second = factorize(self.V, 2, [0, 4, 2], max_iter=3)
        joined = concatenate_runs([first, second])
        np.testing.assert_array_equal(joined.seeds, [0, 1, 2, 4])
        np.testing.assert_array_equal(joined.W[3], first.W[0])
        np.testing.assert_array_equal(
            joined.loss, [second.loss[0], *first.loss[[1]], *second.loss[[2]], first.loss[0]]
        )
        length = first.trace.shape[1]
        np.testing.assert_array_equal(joined.trace[1, :length], first.trace[1])
        assert np.isnan(joined.trace[0, 3:]).all()

    def test_taken_runs_keep_everything_together(self):
        runs = factorize(self.V, 2, range(5))
        some = runs.take(np.array([3, 1]))
        np.testing.assert_array_equal(some.seeds, [3, 1])
        for name in ("W", "H", "loss", "trace", "n_iter", "status", "seconds", "kkt_residual"):
            np.testing.assert_array_equal(getattr(some, name), getattr(runs, name)[[3, 1]])
        assert len(some) == 2
        np.testing.assert_array_equal(some.take(np.array([False, True])).seeds, [1])


class TestEnds:
    V = planted(4, noise=0.3)

    def test_too_few_iterations_end_as_max_iter_and_are_no_evidence(self):
        runs = factorize(self.V, 4, range(3), max_iter=7)
        assert (runs.status == Status.MAX_ITER).all()
        assert (runs.n_iter == 7).all()
        assert not runs.good.any()
        assert_sound(self.V, runs)

    @pytest.mark.parametrize("max_iter", [1, 2, 3, 4, 9])
    @pytest.mark.parametrize("share", [0, 0.1])
    def test_iterations_on_a_simpler_matrix_count(self, max_iter, share):
        random = np.random.default_rng(1)
        V = random.gamma(0.5, size=(600, 500))
        observed = random.random(V.shape) >= share if share else None
        runs = factorize(V, 3, range(2), observed=observed, max_iter=max_iter)
        assert (runs.n_iter == max_iter).all()
        assert runs.trace.shape[1] == max_iter

    def test_enough_iterations_end_as_converged_before_the_last_one(self):
        runs = factorize(self.V, 4, range(3))
        assert (runs.status == Status.CONVERGED).all()
        assert (runs.n_iter < 2000).all()
        assert runs.good.all()

    def test_a_smaller_tol_goes_on_longer_to_a_lower_loss(self):
        rough, fine = (
            factorize(self.V, 4, range(5), tol=tol, dtype="float64") for tol in (1e-3, 1e-9)
        )
        assert (rough.n_iter < fine.n_iter).all()
        assert (fine.loss <= rough.loss * (1 + 1e-12)).all()

    def test_single_precision_does_not_stop_short(self):
        V = planted(4, noise=0.1)
        single, double = (
            factorize(V, 4, range(8), dtype=dtype) for dtype in ("float32", "float64")
        )
        assert (single.status == Status.CONVERGED).all()
        np.testing.assert_allclose(single.loss.min(), double.loss.min(), rtol=3e-5)
        np.testing.assert_allclose(np.median(single.loss), np.median(double.loss), rtol=3e-5)

    def test_converged_means_that_the_loss_fell_by_less_than_tol_in_five_iterations(self):
        runs = factorize(self.V, 3, range(4), tol=1e-4, dtype="float64")
        for run, length in enumerate(runs.n_iter):
            trace = runs.trace[run, :length]
            falls = (trace[:-5] - trace[5:]) / trace[5:]
            assert falls[-1] <= 1e-4
            assert (falls[:-1] > 1e-4).all()


class TestMask:
    def test_a_mask_of_ones_gives_the_bytes_of_the_plain_fit(self):
        V = planted(3)
        plain = factorize(V, 3, range(3))
        assert_same_bytes(factorize(V, 3, range(3), observed=np.ones(V.shape, bool)), plain)
        assert_same_bytes(factorize(V, 3, range(3), observed=np.ones(V.shape).tolist()), plain)

    @pytest.mark.parametrize("rubbish", [0.0, 1e9, -5.0, np.nan, np.inf, 1e300])
    @pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
    def test_hidden_values_never_influence_the_fit(self, rubbish, make):
        V = planted(3)
        observed = np.random.default_rng(0).random(V.shape) < 0.8
        expected = factorize(make(V), 3, range(2), observed=observed, max_iter=50)
        spoilt = make(np.where(observed, V, rubbish))
        assert_same_bytes(factorize(spoilt, 3, range(2), observed=observed, max_iter=50), expected)

    @pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
    def test_hidden_cells_of_a_low_rank_matrix_are_predicted(self, make):
        random = np.random.default_rng(1)
        V = random.gamma(1, size=(30, 2)) @ random.gamma(1, size=(2, 25))
        observed = random.random(V.shape) < 0.8
        runs = factorize(
            make(np.where(observed, V, 0)),
            2,
            range(4),
            observed=observed,
            tol=1e-10,
            max_iter=20_000,
            dtype="float64",
        )
        best = int(runs.loss.argmin())
        fit = runs.W[best] @ runs.H[best]
        hidden = ~observed
        assert np.linalg.norm((fit - V)[hidden]) < 1e-3 * np.linalg.norm(V[hidden])

    def test_the_loss_and_the_error_are_of_the_visible_cells(self):
        V = planted(3, noise=0.3)
        observed = np.random.default_rng(2).random(V.shape) < 0.7
        runs = factorize(V, 2, range(3), observed=observed)
        expected = losses(V, runs, observed)
        np.testing.assert_allclose(runs.loss, expected, rtol=1e-9)
        np.testing.assert_allclose(
            runs.relative_error, np.sqrt(2 * expected / np.square(V[observed]).sum()), rtol=1e-9
        )

    def test_a_row_or_column_hidden_whole_takes_nothing_from_the_rest(self):
        V = planted(2)
        observed = np.ones(V.shape, bool)
        observed[3], observed[:, 7] = False, False
        runs = factorize(V, 2, range(4), observed=observed, dtype="float64", tol=1e-10)
        rest = np.delete(np.delete(V, 3, 0), 7, 1)
        alone = factorize(rest, 2, range(4), dtype="float64", tol=1e-10)
        np.testing.assert_allclose(runs.loss.min(), alone.loss.min(), rtol=1e-5)
        assert (runs.status == Status.CONVERGED).all()

    def test_extrapolation_never_blows_a_component_up(self):
        V = (np.random.default_rng(5).random((40, 35)) < 0.03).astype(float)
        drawn = np.random.default_rng(np.random.SeedSequence([0, 0x666F6C64])).permutation(V.size)
        observed = np.ones(V.size, bool)
        observed[drawn[420:560]] = False
        observed = observed.reshape(V.shape)
        runs = factorize(V, 4, [1], observed=observed)
        assert runs.status[0] != Status.NON_FINITE
        assert_sound(V, runs, observed)

    def test_small_binary_matrices_with_many_holes_end_finite(self):
        for stream in range(25):
            random = np.random.default_rng(stream)
            V = (random.random((8, 7)) < 0.2).astype(float)
            observed = random.random(V.shape) < 0.8
            observed[0, 0] = True
            runs = factorize(V, 3, range(2), observed=observed, dtype="float64", max_iter=200)
            assert (runs.status != Status.NON_FINITE).all()


class TestLargeMatrices:
    """Large enough that most iterations run on a compressed matrix."""

    V = planted(3, m=260, n=240, noise=0.3)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_end_at_a_stationary_point_of_the_matrix_itself(self, dtype):
        assert compression_width(pose(self.V), 3) > 0
        tol = 1e-12 if dtype == "float64" else 1e-7
        runs = factorize(self.V, 3, range(2), tol=tol, dtype=dtype)
        assert (runs.status == Status.CONVERGED).all()
        np.testing.assert_allclose(runs.loss, losses(self.V, runs), rtol=1e-9)
        start = factorize(self.V, 3, range(2), max_iter=0, dtype=dtype)
        for run in range(2):
            residual = kkt(self.V, runs.W[run], runs.H[run])
            at_start = kkt(self.V, start.W[run], start.H[run])
            assert residual < (1e-6 if dtype == "float64" else 1e-3) * at_start
        # Masked fits are never compressed: the same optimum by the long way.
        observed = np.ones(self.V.shape, bool)
        observed[0, 0] = False
        whole = factorize(self.V, 3, range(2), tol=tol, dtype=dtype, observed=observed)
        np.testing.assert_allclose(runs.loss.min(), whole.loss.min(), rtol=1e-3)

    def test_the_trace_may_rise_only_where_the_matrix_itself_takes_over(self):
        runs = factorize(self.V, 3, range(3))
        slack = 100 * float(np.finfo(np.float32).eps) * np.square(self.V).sum()
        for run, length in enumerate(runs.n_iter):
            trace = runs.trace[run, :length]
            assert np.isfinite(trace).all()
            assert np.isnan(runs.trace[run, length:]).all()
            assert (np.diff(trace) > 1e-12 * trace[:-1] + slack).sum() <= 1
            assert trace[-1] == pytest.approx(runs.loss[run], abs=slack)

    def test_sparse_or_dense_they_reach_the_same_optimum(self):
        random = np.random.default_rng(0)
        V = planted(3, m=700, n=600, noise=0) * (random.random((700, 600)) < 0.04)
        stored, dense = (
            factorize(form, 2, range(4), tol=1e-8) for form in (sparse.csr_array(V), V)
        )
        assert "sparse" in stored.solver
        assert (stored.status == Status.CONVERGED).all()
        np.testing.assert_allclose(stored.loss.min(), dense.loss.min(), rtol=1e-4)
        np.testing.assert_allclose(stored.loss, losses(V, stored), rtol=1e-9)

    def test_the_iterations_of_a_run_do_not_depend_on_its_batch(self):
        random = np.random.default_rng(0)
        V = random.poisson(5 * random.gamma(0.5, size=(260, 3)) @ random.gamma(0.5, size=(3, 240)))
        runs = factorize(V, 4, range(8), max_iter=80)
        assert (runs.n_iter[runs.status == Status.MAX_ITER] == 80).all()
