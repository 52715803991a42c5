import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import optimize, sparse, special

from nmfcore.block_matrix import times_transposed
from nmfcore.factorization import factorize
from nmfcore.problem import pose
from nmfcore.solvers import completion, phases
from nmfcore.solvers.alternating import WINDOW, iterate
from nmfcore.solvers.completion import PASSES_MAX, complete, passes
from nmfcore.solvers.cut_matrix import CutMatrix
from nmfcore.solvers.hals import (
    SWEEPS_PER_COSTLY_PRODUCT,
    SWEEPS_PER_PRODUCT,
    HalsUpdates,
    sweeps_per_product,
)
from nmfcore.solvers.kernels import (
    BLOCK,
    extrapolate,
    inner_products,
    logarithms,
    sampled_product,
    sweep,
)
from nmfcore.solvers.kl_kernels import kl_curvatures, kl_largest_falls
from nmfcore.solvers.kullback_leibler import TILE_COLUMNS, KullbackLeiblerUpdates
from nmfcore.solvers.lacking import DAMPING, LackingCells
from nmfcore.solvers.phases import SETTLED_WINDOW
from nmfcore.solvers.products import (
    WholeProducts,
    compress,
    squares,
)
from nmfcore.solvers.registry import (
    COMPRESSION_GAIN,
    choose_solver,
    compression_width,
)

bounded = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
streams = st.integers(0, 2**32 - 1).map(np.random.default_rng)
TOLERANCE = {np.float32: 2e-4, np.float64: 1e-9}


def sweep_slowly(x, rhs, gram, n_sweeps):
    """One component, one entry at a time, in float64."""
    x, rhs, gram = (np.array(a, np.float64) for a in (x, rhs, gram))
    n_runs, rank, length = x.shape
    for s in range(n_runs):
        for _ in range(n_sweeps):
            for j in range(rank):
                if gram[s, j, j] > 0:
                    for c in range(length):
                        slope = gram[s, j] @ x[s, :, c] - rhs[s, j, c]
                        x[s, j, c] = max(x[s, j, c] - slope / gram[s, j, j], 0)
    return x


def random_batch(random, n_runs, rank, length, dtype=np.float64):
    return random.random((n_runs, rank, length)).astype(dtype)


class TestSweep:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("rank", [1, 3, 4, 5, 8, 11])
    @pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
    def test_is_coordinate_descent(self, dtype, rank, length):
        random = np.random.default_rng([rank, length])
        fixed = random_batch(random, 2, rank, 3 * rank + 2)
        gram = fixed @ fixed.transpose(0, 2, 1)
        start = random_batch(random, 2, rank, length)
        rhs = 3 * random.standard_normal((2, rank, length)) + gram @ start
        out = np.full((2, rank, length), np.nan, dtype)
        sweep(start.astype(dtype), rhs.astype(dtype), gram.astype(dtype), 3, out)
        expected = sweep_slowly(start, rhs, gram, 3)
        assert (expected == 0).any()
        np.testing.assert_allclose(out, expected, atol=TOLERANCE[dtype] * expected.max())

    def test_may_write_where_it_reads(self):
        random = np.random.default_rng(1)
        fixed, start = random_batch(random, 1, 3, 9), random_batch(random, 1, 3, 200)
        gram, rhs = fixed @ fixed.transpose(0, 2, 1), random_batch(random, 1, 3, 200)
        out = np.empty_like(start)
        sweep(start, rhs, gram, 2, out)
        sweep(start, rhs, gram, 2, start)
        np.testing.assert_array_equal(start, out)

    def test_a_component_without_partner_is_left_as_it_is(self):
        random = np.random.default_rng(2)
        fixed, start = random_batch(random, 1, 3, 9), random_batch(random, 1, 3, 20)
        fixed[0, 1] = 0
        gram, out = fixed @ fixed.transpose(0, 2, 1), np.empty_like(start)
        sweep(start, random_batch(random, 1, 3, 20), gram, 2, out)
        np.testing.assert_array_equal(out[0, 1], start[0, 1])

    def test_many_sweeps_reach_the_nonnegative_least_squares_solution(self):
        random = np.random.default_rng(3)
        fixed, data = random.random((12, 4)), random.random((12, 6))
        out = np.ones((1, 4, 6))
        sweep(out, (fixed.T @ data)[None], (fixed.T @ fixed)[None], 3000, out)
        expected = np.stack([optimize.nnls(fixed, column)[0] for column in data.T], axis=1)
        np.testing.assert_allclose(out[0], expected, atol=1e-8)


class TestOtherKernels:
    @bounded
    @given(streams, st.sampled_from([0.0, 0.1]))
    def test_extrapolation_steps_on_and_leaves_the_share_to_keep(self, random, keep):
        new, previous = random_batch(random, 3, 2, 5), random_batch(random, 3, 2, 5)
        step, out = random.random(3), np.empty((3, 2, 5))
        extrapolate(new, previous, step, keep, out)
        expected = np.maximum(new + step[:, None, None] * (new - previous), keep * new)
        np.testing.assert_allclose(out, expected, rtol=1e-13)

    def test_no_step_is_a_copy(self):
        random = np.random.default_rng(0)
        new, out = random_batch(random, 1, 2, 5), np.empty((1, 2, 5))
        extrapolate(new, random_batch(random, 1, 2, 5), np.zeros(1), 0.0, out)
        np.testing.assert_array_equal(out, new)

    def test_inner_products_do_not_round_to_float32(self):
        factor = np.array([[[1 + 2.0**-12, 2.0**-20]]], np.float32)
        assert inner_products(factor, factor)[0] == (1 + 2.0**-12) ** 2 + 2.0**-40

    @bounded
    @given(streams)
    def test_inner_products_are_of_each_run(self, random):
        a, b = random_batch(random, 3, 2, 7), random_batch(random, 3, 2, 7)
        np.testing.assert_allclose(inner_products(a, b), (a * b).sum((1, 2)), rtol=1e-13)

    @bounded
    @given(streams, st.floats(0, 1))
    def test_a_sampled_product_is_the_product_at_its_places(self, random, share):
        left, right = random.random((6, 3)), random.random((5, 3))
        places = sparse.csr_array((random.random((6, 5)) < share).astype(float))
        out = np.empty(places.nnz)
        sampled_product(places.indptr, places.indices, left, right, out)
        np.testing.assert_allclose(out, (left @ right.T)[places.nonzero()], rtol=1e-13)


UNBOUNDED = np.full((1, 3), np.finfo(float).max)


class TestLackingCells:
    @staticmethod
    def problem(random, share, m=7, n=2 * BLOCK + 3, rank=3):
        """A start and what each column's weighted least-squares problem is made of."""
        W, H, V = random.random((1, rank, m)), random.random((1, rank, n)), random.random((m, n))
        # How much a cell lacks of full weight: nothing, a part, or all of it.
        lack = np.where(random.random((m, n)) < share, random.choice([0.3, 1.0], (m, n)), 0)
        return W, H, (1 - lack) * V, lack

    @bounded
    @given(streams, st.floats(0, 1))
    def test_a_sweep_is_coordinate_descent_on_each_column(self, random, share):
        W, H, V, lack = self.problem(random, share)
        gram, rhs, out = W[0] @ W[0].T, W[0] @ V, np.empty_like(H)
        top = np.array([[0.4, 0.8, 2.0]])
        H = np.minimum(H, top[..., None])
        damping = DAMPING * np.sqrt(np.finfo(float).eps)
        squares = LackingCells(sparse.csr_array(lack.T)).sweep(
            H, rhs[None], gram[None], W, top, 2, True, out
        )
        expected = H[0].copy()
        for c in range(H.shape[2]):
            own = (W[0] * (1 - lack[:, c])) @ W[0].T
            for j in [0, 1, 2] * 2:
                slope = own[j] @ expected[:, c] - rhs[j, c]
                step = slope / max(own[j, j], damping * gram[j, j])
                expected[j, c] = np.clip(expected[j, c] - step, 0, top[0, j])
        np.testing.assert_allclose(out[0], expected, rtol=1e-7, atol=1e-9)
        fit = W[0].T @ out[0]
        np.testing.assert_allclose(squares, (lack * fit**2).sum(), rtol=1e-9, atol=1e-12)

    def test_many_sweeps_reach_the_weighted_nonnegative_least_squares_solution(self):
        random = np.random.default_rng(0)
        W, H, V, lack = self.problem(random, 0.3, m=12, n=6)
        step = H, (W[0] @ V)[None], (W[0] @ W[0].T)[None], W, UNBOUNDED
        LackingCells(sparse.csr_array(lack.T)).sweep(*step, 3000, False, H)
        for c, h in enumerate(H[0].T):
            root = np.sqrt(1 - lack[:, c])
            data = np.divide(V[:, c], root, out=np.zeros(12), where=root > 0)
            expected = optimize.nnls(root[:, None] * W[0].T, data)[0]
            np.testing.assert_allclose(h, expected, atol=1e-7)

    def test_slopes_are_those_of_the_squares(self):
        W, H, _, lack = self.problem(np.random.default_rng(1), 0.4)
        slopes = LackingCells(sparse.csr_array(lack.T)).slopes(H, W)
        np.testing.assert_allclose(slopes[0], W[0] @ (lack * (W[0].T @ H[0])), rtol=1e-12)

    def test_a_coefficient_that_no_cell_determines_stays(self):
        W, H, _, _ = self.problem(np.random.default_rng(2), 0)
        cells, out = LackingCells(sparse.csr_array(np.ones((H.shape[2], 7)))), np.empty_like(H)
        gram = W @ W.transpose(0, 2, 1)
        cells.sweep(H, np.zeros_like(H), gram, W, UNBOUNDED, 3, False, out)
        np.testing.assert_allclose(out, H, rtol=1e-7)


class TestComplete:
    random = np.random.default_rng(3)
    V = random.random((60, 3)) @ random.random((3, 50))
    lack = sparse.csr_array((random.random(V.shape) < 0.1).astype(float))
    shown = V * (1 - lack.toarray())

    @pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
    def test_finds_the_hidden_cells_of_a_matrix_of_low_rank(self, kind):
        filled = complete(kind(self.shown), self.lack, 3).matrix
        assert sparse.issparse(filled) == (kind is sparse.csr_array)
        filled = filled.toarray() if sparse.issparse(filled) else filled
        hidden = self.lack.toarray() > 0
        np.testing.assert_array_equal(filled[~hidden], self.V[~hidden])
        error = np.linalg.norm((filled - self.V)[hidden]) / np.linalg.norm(self.V[hidden])
        means = np.broadcast_to(self.V.mean(axis=1, keepdims=True), self.V.shape)
        assert error < 0.2 * np.linalg.norm((means - self.V)[hidden]) / np.linalg.norm(
            self.V[hidden]
        )

    @pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
    def test_a_cell_trusted_in_part_keeps_what_it_is_trusted_for(self, kind):
        lack = self.lack * 0.4
        weighted = self.V * (1 - lack.toarray())
        found = complete(kind(weighted), lack, 3)
        filled = found.matrix.toarray() if kind is sparse.csr_array else found.matrix
        imputed = np.maximum(found.left @ found.right.T, 0)
        np.testing.assert_allclose(filled, weighted + lack.toarray() * imputed, rtol=1e-12)

    def test_more_rounds_the_more_is_hidden(self):
        large = (20_000, 10_000)
        rounds = [passes(share, 5, large) for share in (0, 1e-4, 1e-3, 0.02, 0.1, 0.5, 1)]
        assert rounds[0] >= 1
        assert rounds == sorted(rounds)
        assert rounds[0] < rounds[-1] == rounds[-2] == PASSES_MAX
        assert passes(1e-4, 10, (100, 60)) == PASSES_MAX

    @pytest.mark.parametrize("share", [0.01, 0.1])
    @pytest.mark.parametrize("rank", [3, 8])
    def test_one_more_round_would_hardly_change_it(self, share, rank, monkeypatch):
        random = np.random.default_rng(4)
        V = random.random((400, 3)) @ random.random((3, 300)) * random.gamma(50, 0.02, (400, 300))
        lack = sparse.csr_array((random.random(V.shape) < share).astype(float))
        hidden, shown = lack.toarray() > 0, V * (1 - lack.toarray())
        found = {}
        for extra in (0, 1):
            monkeypatch.setattr(completion, "passes", lambda *a, e=extra: passes(*a) + e)
            found[extra] = complete(shown, lack, rank).matrix[hidden]
        error = np.linalg.norm(found[0] - V[hidden])
        assert np.linalg.norm(found[1] - found[0]) < 0.02 * error

    @pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
    def test_compressed_the_pull_of_what_was_imputed_is_off(self, kind):
        completed = complete(kind(self.shown), self.lack, 3)
        P, share = completed.left @ completed.right.T, self.lack.mean()
        assert completed.share == pytest.approx(share)
        full = completed.matrix.toarray() if kind is sparse.csr_array else completed.matrix
        expected = (full - share * P) / (1 - share)
        found = completed.compressed(40)
        assert np.linalg.norm(found.Q @ found.B - expected) < 1e-3 * np.linalg.norm(expected)
        projected = (full - share * found.Q @ (found.Q.T @ P)) / (1 - share)
        assert found.squared_norm == pytest.approx((projected**2).sum(), rel=1e-10)

    def test_so_its_minimum_is_nearer_that_of_the_problem(self):
        random = np.random.default_rng(5)
        V = random.gamma(0.5, 1, (300, 6)) @ random.gamma(0.5, 1, (6, 200))
        V = random.poisson(V).astype(float)
        observed = random.random(V.shape) >= 0.1
        problem = pose(V, observed, dtype="float64")
        completed = complete(problem.V, problem.lack, 4)
        start = [random_batch(random, 3, 4, n, np.float64) for n in V.shape]
        excess = {}
        for name, matrix in (
            ("completed", WholeProducts(completed.matrix)),
            ("corrected", completed.compressed(150)),
        ):
            rough = iterate(HalsUpdates(matrix), *start, 2000, 1e-10)
            end = iterate(choose_solver(problem).updates(problem), rough.W, rough.H, 2000, 1e-10)
            losses = [problem.losses(found.W, found.H) for found in (rough, end)]
            excess[name] = float(np.mean(losses[0] / losses[1] - 1))
        assert 0 < excess["corrected"] < 0.7 * excess["completed"]

    def test_nothing_is_negative_and_an_empty_row_stays_empty(self):
        shown, lack = self.shown.copy(), self.lack.toarray()
        shown[5], lack[5] = 0, 1
        filled = complete(shown, sparse.csr_array(lack), 3).matrix
        assert filled.min() >= 0
        assert np.isfinite(filled).all()


class TestCsrProducts:
    """Of shapes on either side of every way a product is cut."""

    shapes = pytest.mark.parametrize(
        ("n_out", "n_in", "share", "n_rows"),
        [
            (7, 5, 0.5, 1),  # one vector, one block of columns
            (300, 5000, 0.2, 33),  # blocks of columns, few rows
            (5000, 300, 0.2, 100),  # one block, rows in turn
            (3000, 2500, 0.01, 81),  # entries too few for blocks
            (4000, 4500, 0.1, 100),  # wide blocks: the sums do not stay in a cache
            (1, 9000, 1.0, 17),
            (9000, 1, 1.0, 3),
            (40, 3000, 0.0, 4),  # nothing stored
            (60, 2000, 0.3, 300),  # several panels
        ],
    )

    @staticmethod
    def drawn(n_out, n_in, share, n_rows, dtype="float64"):
        random = np.random.default_rng([n_out, n_in, n_rows])
        matrix = sparse.random_array((n_out, n_in), density=share, format="csr", rng=random)
        matrix.sort_indices()
        return matrix.astype(dtype), random.random((n_rows, n_in)).astype(dtype)

    @shapes
    @pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
    def test_are_those_of_scipy(self, n_out, n_in, share, n_rows, dtype, tolerance):
        matrix, factors = self.drawn(n_out, n_in, share, n_rows, dtype)
        expected = (matrix.astype(float) @ factors.T.astype(float)).T
        for form in (matrix, matrix.tocsc()):
            given = times_transposed(factors, form)
            assert given.dtype == dtype
            np.testing.assert_allclose(given, expected, rtol=tolerance, atol=tolerance)

    @pytest.mark.parametrize("index", [np.int32, np.int64])
    def test_take_indices_of_either_width(self, index):
        matrix, factors = self.drawn(300, 5000, 0.05, 20)
        expected = times_transposed(factors, matrix)
        matrix.indices, matrix.indptr = matrix.indices.astype(index), matrix.indptr.astype(index)
        np.testing.assert_array_equal(times_transposed(factors, matrix), expected)

    @shapes
    def test_have_the_same_bits_whatever_they_are_stacked_with(self, n_out, n_in, share, n_rows):
        matrix, factors = self.drawn(n_out, n_in, share, n_rows, "float32")
        together = times_transposed(factors, matrix)
        for some in (factors[:1], factors[: n_rows // 2 + 1]):
            np.testing.assert_array_equal(times_transposed(some, matrix), together[: len(some)])

    @shapes
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_a_matrix_laid_out_for_them_gives_the_same_bits(
        self, n_out, n_in, share, n_rows, dtype
    ):
        matrix, factors = self.drawn(n_out, n_in, share, n_rows, dtype)
        given = CutMatrix.of(matrix).times(factors)
        np.testing.assert_array_equal(given, times_transposed(factors, matrix))

    def test_a_wide_matrix_is_laid_out_block_by_block_and_a_narrow_one_is_not_copied(self):
        wide, _ = self.drawn(300, 5000, 0.05, 1)
        cut = CutMatrix.of(wide)
        assert len(cut.starts) > 1
        for block, (starts, ends) in enumerate(zip(cut.starts, cut.ends, strict=True)):
            columns = cut.indices[starts[0] : ends[-1]]
            assert ((columns // cut.step) == block).all()
        narrow, _ = self.drawn(300, 200, 0.05, 1)
        assert np.shares_memory(CutMatrix.of(narrow).data, narrow.data)


class TestProducts:
    random = np.random.default_rng(4)
    V = np.where(random.random((9, 7)) < 0.4, random.random((9, 7)), 0)
    W, H = random.random((3, 2, 9)), random.random((3, 2, 7))

    @pytest.mark.parametrize(
        "products",
        [
            WholeProducts(V),
            WholeProducts(np.asfortranarray(V)),
            WholeProducts(sparse.csr_array(V)),
            compress(V, 7),
            compress(sparse.csr_array(V), 7),
        ],
        ids=["dense", "fortran", "sparse", "compressed", "compressed sparse"],
    )
    def test_are_the_products_of_every_run_with_V(self, products):
        np.testing.assert_allclose(
            products.with_samples(self.H), np.einsum("mn,skn->skm", self.V, self.H), atol=1e-12
        )
        np.testing.assert_allclose(
            products.with_features(self.W), np.einsum("mn,skm->skn", self.V, self.W), atol=1e-12
        )
        assert products.squared_norm == pytest.approx(np.square(self.V).sum(), rel=1e-13)
        for result in (products.with_samples(self.H), products.with_features(self.W)):
            assert result.flags.c_contiguous

    def test_compression_is_exact_at_the_linear_rank_and_the_same_each_time(self):
        V = self.random.random((60, 4)) @ self.random.random((4, 50))
        first, second = compress(V, 4), compress(V, 4)
        np.testing.assert_allclose(first.Q @ first.B, V, atol=1e-10)
        np.testing.assert_allclose(first.Q.T @ first.Q, np.eye(4), atol=1e-12)
        np.testing.assert_array_equal(first.B, second.B)

    @pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
    @pytest.mark.parametrize("threads", [2, 3, 40])
    def test_threads_of_a_compression_change_no_bit(self, kind, threads):
        V = kind(self.random.random((300, 200)) * (self.random.random((300, 200)) < 0.2))
        alone, shared = compress(V, 23), compress(V, 23, threads=threads)
        np.testing.assert_array_equal(alone.Q, shared.Q)
        np.testing.assert_array_equal(alone.B, shared.B)

    def test_compression_is_nearly_as_good_as_the_truncated_svd(self):
        V = self.random.random((80, 5)) @ self.random.random((5, 70))
        V += 0.05 * self.random.random(V.shape)
        rough = compress(V, 12)
        best = np.sqrt(np.square(np.linalg.svd(V, compute_uv=False)[12:]).sum())
        assert np.linalg.norm(V - rough.Q @ rough.B) < 1.1 * best

    def test_squares_are_summed_in_float64(self):
        values = np.full(10_000, 0.1, np.float32)
        assert squares(values) == pytest.approx(1e4 * float(np.float32(0.1)) ** 2, rel=1e-12)


class TestSweepsPerProduct:
    """The more, the less a sweep costs beside a product."""

    @pytest.mark.parametrize(
        ("V", "expected"),
        [
            (np.ones((1000, 1200)), SWEEPS_PER_COSTLY_PRODUCT),
            (sparse.random_array((1000, 1200), density=0.2), SWEEPS_PER_COSTLY_PRODUCT),
            (sparse.random_array((1000, 1200), density=0.01), SWEEPS_PER_PRODUCT),
            (np.ones((5000, 38)), SWEEPS_PER_PRODUCT),
        ],
        ids=["large", "sparse", "nearly empty", "tall"],
    )
    def test_depends_on_the_cost_of_both(self, V, expected):
        W, H = (np.ones((1, 10, length)) for length in V.shape)
        products = WholeProducts(sparse.csr_array(V) if sparse.issparse(V) else V)
        assert sweeps_per_product(products.cost, W, H) == expected
        assert sweeps_per_product(compress(products.V, 30).cost, W, H) == SWEEPS_PER_PRODUCT


class TestCompressionWidth:
    def test_small_matrices_are_not_compressed(self):
        random = np.random.default_rng(0)
        assert compression_width(pose(random.random((50, 40))), 3) == 0
        V = random.random((300, 280))
        width = compression_width(pose(V), 3)
        assert 3 < width <= V.size / (COMPRESSION_GAIN * sum(V.shape))


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, ", compressed to 26"), (0.1, ", completed, compressed to 26"), (0.6, "")],
)
def test_rough_iterations_never_take_hidden_cells_for_zeros(share, said):
    random = np.random.default_rng(0)
    V = random.gamma(0.5, size=(600, 500))
    observed = random.random(V.shape) >= share if share else None
    assert factorize(V, 3, [0], observed=observed, max_iter=8).solver == f"hals (dense{said})"


def test_a_polish_that_has_nothing_to_do_ends_after_its_first_window(monkeypatch):
    random = np.random.default_rng(0)
    V = random.random((600, 3)) @ random.random((3, 500)) * random.gamma(4, 0.25, (600, 500))
    ends = []

    def noted(*args):
        ends.append(iterate(*args))
        return ends[-1]

    monkeypatch.setattr(phases, "iterate", noted)
    runs = factorize(V, 3, range(4), tol=1e-3)
    assert "compressed" in runs.solver
    rough, polish = ends
    assert (rough.n_iter > WINDOW).all()
    np.testing.assert_array_equal(polish.n_iter, SETTLED_WINDOW + 1)
    np.testing.assert_array_equal(runs.n_iter, rough.n_iter + polish.n_iter)


class TestIterate:
    @staticmethod
    def start(problem, rank, n_runs, seed=0):
        random = np.random.default_rng(seed)
        m, n = problem.shape
        return (
            random_batch(random, n_runs, rank, m, problem.dtype),
            random_batch(random, n_runs, rank, n, problem.dtype),
        )

    @bounded
    @given(streams, st.sampled_from(["float32", "float64"]), st.booleans(), st.integers(1, 6))
    def test_the_loss_never_rises_from_the_first_step_on(self, random, dtype, masked, rank):
        V = random.gamma(0.5, size=(12, 10)) * (random.random((12, 10)) < 0.7)
        observed = random.random(V.shape) < 0.85 if masked else None
        if observed is not None:
            observed[0], observed[:, 0] = True, True
        problem = pose(V, observed, dtype=dtype)
        W, H = self.start(problem, rank, 3)
        before = W.copy(), H.copy()
        end = iterate(choose_solver(problem).updates(problem), W, H, 60, 1e-9)
        np.testing.assert_array_equal(W, before[0])
        np.testing.assert_array_equal(H, before[1])

        visible = np.ones(V.shape, bool) if observed is None else observed
        scaled = np.asarray(problem.V.toarray() if sparse.issparse(problem.V) else problem.V, float)
        fits = np.einsum("skm,skn->smn", end.W.astype(float), end.H.astype(float))
        # What the fits say of hidden cells is subtracted again, however large it is.
        summed = np.square(scaled).sum() + (np.square(fits) * ~visible).sum((1, 2)).max()
        slack = 100 * np.finfo(problem.dtype).eps * summed
        losses = 0.5 * (np.square(scaled - fits) * visible).sum((1, 2))
        starts = np.einsum("skm,skn->smn", W.astype(float), H.astype(float))
        at_start = 0.5 * (np.square(scaled - starts) * visible).sum((1, 2))
        for run, length in enumerate(end.n_iter):
            trace = end.trace[run, :length]
            assert np.isfinite(trace).all()
            assert np.isnan(end.trace[run, length:]).all()
            assert trace[0] <= at_start[run] * (1 + 1e-12) + slack
            assert (trace[1:] <= trace[:-1] * (1 + 1e-12) + slack).all()
            assert trace[-1] == pytest.approx(losses[run], abs=slack)
        assert end.W.min() >= 0
        assert end.H.min() >= 0

    def test_a_run_that_leaves_the_batch_takes_nothing_from_the_others(self):
        random = np.random.default_rng(5)
        problem = pose(random.gamma(0.5, size=(30, 25)), dtype="float64")
        W, H = self.start(problem, 3, 6)
        updates = choose_solver(problem).updates(problem)
        together = iterate(updates, W, H, 500, 1e-6)
        assert len(set(together.n_iter)) > 1
        for run in range(6):
            alone = iterate(updates, W[run : run + 1], H[run : run + 1], 500, 1e-6)
            assert alone.n_iter[0] == together.n_iter[run]
            assert alone.converged[0] == together.converged[run]
            np.testing.assert_allclose(alone.W[0], together.W[run], atol=1e-9)
            np.testing.assert_allclose(
                alone.trace[0], together.trace[run, : alone.n_iter[0]], rtol=1e-9
            )

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_an_extrapolated_step_that_leaves_the_number_range_is_taken_back(self, bad):
        problem = pose(np.random.default_rng(6).random((12, 10)), dtype="float64")
        W, H = self.start(problem, 2, 1)
        updates = choose_solver(problem).updates(problem)
        undisturbed = iterate(updates, W, H, 500, 1e-10)
        improve_H, calls = updates.improve_H, []

        def improve_and_fail_once(W, H, out):
            objective = improve_H(W, H, out)
            calls.append(None)
            if len(calls) == 4:
                out[:] = bad
                return np.full_like(objective, bad)
            return objective

        updates.improve_H = improve_and_fail_once
        end = iterate(updates, W, H, 500, 1e-10)
        assert end.converged.all()
        assert end.trace[0, 3] == end.trace[0, 2]
        assert np.isfinite(end.H).all()
        np.testing.assert_allclose(end.trace[0, -1], undisturbed.trace[0, -1], rtol=1e-6)

    @pytest.mark.parametrize(
        ("fall", "n_iter"), [(0.9e-3 / WINDOW, 3), (1.1e-3 / WINDOW, 40), (0.0, 3)]
    )
    def test_a_first_window_that_is_shorter_asks_for_the_same_rate(self, fall, n_iter):
        problem = pose(np.random.default_rng(7).random((12, 10)), dtype="float64")
        W, H = self.start(problem, 2, 1)
        updates, objectives = choose_solver(problem).updates(problem), []

        def fall_steadily(W, H, out):
            out[:] = H
            objectives.append(1 - fall * len(objectives))
            return np.array(objectives[-1:])

        updates.improve_H = fall_steadily
        assert iterate(updates, W, H, 40, 1e-3, first_window=2).n_iter[0] == n_iter
        objectives.clear()
        assert iterate(updates, W, H, 40, 1e-3).n_iter[0] == max(n_iter, WINDOW + 1)
        objectives.clear()
        updates.resolution = 1e-3  # so the few iterations might show rounding only
        assert iterate(updates, W, H, 40, 1e-3, first_window=2).n_iter[0] == max(n_iter, WINDOW + 1)

    def test_no_iterations_give_the_start_back(self):
        problem = pose(np.random.default_rng(0).random((5, 4)), dtype="float64")
        W, H = self.start(problem, 2, 2)
        end = iterate(choose_solver(problem).updates(problem), W, H, 0, 1e-6)
        np.testing.assert_array_equal(end.W, W)
        assert not end.converged.any()
        assert end.trace.shape == (2, 0)


class TestKullbackLeiblerHalfSteps:
    """Both ways through V: coordinate descent along the entries of CSR, Newton steps on dense tiles."""

    @staticmethod
    def problem(random, kind, share_hidden, share_zero, m=8, n=TILE_COLUMNS + 5, rank=3):
        V = random.gamma(0.5, size=(m, n)) * (random.random((m, n)) >= share_zero)
        lack = np.where(random.random((m, n)) < share_hidden, random.choice([0.3, 1.0], (m, n)), 0)
        W, H = random.gamma(0.7, size=(1, rank, m)), random.gamma(0.7, size=(1, rank, n))
        H[random.random(H.shape) < 0.2] = 0
        weighted = (1 - lack) * V
        return weighted, lack, W, H, KullbackLeiblerUpdates(kind(weighted), sparse.csr_array(lack))

    @staticmethod
    def divergence(weighted, lack, W, H):
        """Σ w (v log(v / p) − v + p)."""
        fit = W[0].T @ H[0]
        logs = special.xlogy(weighted, np.maximum(fit, 1e-10))
        V = np.divide(weighted, 1 - lack, out=np.ones_like(weighted), where=weighted > 0)
        own = special.xlogy(weighted, V) - weighted
        return float((own - logs + (1 - lack) * fit).sum())

    @bounded
    @given(
        streams,
        st.sampled_from([np.asarray, sparse.csr_array]),
        st.floats(0, 0.5),
        st.floats(0, 0.9),
    )
    def test_a_step_reports_what_it_reached_and_never_rises(self, random, kind, hidden, zero):
        weighted, lack, W, H, updates = self.problem(random, kind, hidden, zero)
        H = np.maximum(H, 1e-3)
        for _ in range(4):
            before = self.divergence(weighted, lack, W, H)
            out = np.empty_like(H)
            objective = updates.improve_H(W, H, out)
            after = self.divergence(weighted, lack, W, out)
            assert out.min() >= 0
            assert after <= before + 1e-9 * (1 + abs(before))
            assert objective[0] == pytest.approx(after, rel=1e-6, abs=1e-6)
            H = out

    @pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
    def test_many_steps_reach_the_minimum(self, kind):
        random = np.random.default_rng(1)
        weighted, lack, W, H, updates = self.problem(random, kind, 0.2, 0.3, n=6)
        H = np.maximum(H, 0.1)
        for _ in range(300):
            updates.improve_H(W, H.copy(), H)

        def value(h):
            return self.divergence(weighted, lack, W, h.reshape(H.shape))

        best = optimize.minimize(value, np.ones(H.size), bounds=[(0, None)] * H.size).fun
        assert value(H) <= best + 1e-5 * abs(best)

    @pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
    def test_gradients_are_the_slopes_of_the_divergence(self, kind):
        random = np.random.default_rng(2)
        weighted, lack, W, H, updates = self.problem(random, kind, 0.2, 0.3, n=6)
        H = np.maximum(H, 0.1)
        slopes = optimize.approx_fprime(
            H.ravel(), lambda h: self.divergence(weighted, lack, W, h.reshape(H.shape)), 1e-7
        )
        np.testing.assert_allclose(updates.gradients(W, H)[1].ravel(), slopes, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("kernel", [kl_curvatures, kl_largest_falls])
    def test_where_arrays_lie_in_memory_changes_no_bit(self, kernel):
        # Compiled loops have a path of their own for arrays close to each other.
        random = np.random.default_rng(0)
        for length in np.repeat(np.arange(1, 60), 5):
            values = random.uniform(0.1, 2, (3, length)).astype(np.float32)
            results = set()
            for gap in (0, 1, 4, 5000):
                room = np.zeros((4, length + gap), np.float32)
                V, fit, change, out = (room[i : i + 1, :length] for i in range(4))
                V[:], fit[:], change[:] = values[0], values[1], -values[2]
                kernel(V, fit, *((out,) if kernel is kl_curvatures else (change, out[0])))
                results.add(out.tobytes())
            assert len(results) == 1, length

    def test_a_newton_step_is_exact_for_one_component(self):
        V = np.random.default_rng(3).gamma(1.0, size=(5, 7))
        W, H = np.ones((1, 1, 5)), np.full((1, 1, 7), 0.5)
        updates = KullbackLeiblerUpdates(V, sparse.csr_array(V.shape))
        for _ in range(8):
            updates.improve_H(W, H.copy(), H)
        np.testing.assert_allclose(H[0, 0], V.mean(axis=0), rtol=1e-9)

    @bounded
    @given(streams)
    def test_logarithms_are_those_of_the_library(self, random):
        values = np.exp(random.uniform(-600, 600, 100))
        expected = np.log(values)
        logarithms(values, 100)
        np.testing.assert_allclose(values, expected, rtol=1e-15, atol=1e-15)
