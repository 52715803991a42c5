from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linear_sum_assignment, nnls

from nmfcore import Status, factorize
from nmfcore.errors import InputError
from nmfcore.limits import N_SPLITS
from nmfcore.local_density import local_density
from nmfcore.runs import concatenate_runs
from nmfcore.solution import SUPPORT_COSINE, Solution, coefficients, stable_solution
from nmfcore.solvers.penalties import Penalties
from nmfcore.split_halves import count_replications
from nmfcore.stability import cluster_components


def planted(rank=4, m=50, n=40, noise=0.0, seed=0):
    """Components that every run should find, of unequal size, and their matrix."""
    random = np.random.default_rng([seed, rank])
    W = random.gamma(0.4, size=(m, rank))
    H = random.gamma(0.5, size=(rank, n)) * np.geomspace(4, 1, rank)[:, None]
    W[:rank], H[:, :rank] = np.eye(rank) * W.max(), np.eye(rank) * H.max()
    V = W @ H
    return np.maximum(V + noise * V.std() * random.standard_normal(V.shape), 0), W, H


def unit(W):
    return W / np.linalg.norm(W, axis=0)


def matched(A, B):
    """Cosines of the columns of A and B, paired as well as can be, in the order of A."""
    cosine = unit(A).T @ unit(B)
    return cosine[linear_sum_assignment(cosine, maximize=True)]


V, W_TRUE, H_TRUE = planted(noise=0.1)
RUNS = factorize(V, 4, range(16))
SOLUTION: Solution


@pytest.fixture(autouse=True)
def _the_solution_of_most_tests():
    """Made for each test, not once for all: a change of the code must show in each (benchmarks/mutation.py)."""
    global SOLUTION
    SOLUTION = stable_solution(V, RUNS)


class TestForm:
    def test_shapes(self):
        assert SOLUTION.rank == 4
        assert SOLUTION.W.shape == (50, 4)
        assert SOLUTION.H.shape == (4, 40)
        assert SOLUTION.W.dtype == SOLUTION.H.dtype == np.float64
        for name in ("support", "stability", "share", "sparseness"):
            assert getattr(SOLUTION, name).shape == (4,)
        assert SOLUTION.labels.shape == (40,)
        assert SOLUTION.n_runs_used == 16

    def test_components_have_unit_norm_and_come_largest_first(self):
        np.testing.assert_allclose(np.linalg.norm(SOLUTION.W, axis=0), 1, rtol=1e-12)
        mass = SOLUTION.W.sum(axis=0) * SOLUTION.H.sum(axis=1)
        np.testing.assert_allclose(SOLUTION.share, mass / mass.sum())
        assert (np.diff(SOLUTION.share) <= 0).all()
        assert SOLUTION.W.min() >= 0
        assert SOLUTION.H.min() >= 0

    def test_two_runs_say_how_far_two_clusterings_agree_and_one_cannot(self):
        assert stable_solution(V, RUNS.take(np.arange(2))).clustering_agreement is not None
        assert stable_solution(V, RUNS.take(np.arange(1))).clustering_agreement is None

    def test_labels_are_the_largest_coefficients(self):
        np.testing.assert_array_equal(SOLUTION.labels, SOLUTION.H.argmax(axis=0))

    def test_losses_are_recomputed_from_the_factors(self):
        loss = 0.5 * np.square(V - SOLUTION.W @ SOLUTION.H).sum()
        assert SOLUTION.loss == pytest.approx(loss, rel=1e-9)
        assert SOLUTION.relative_error == pytest.approx(np.sqrt(2 * loss / np.square(V).sum()))
        assert SOLUTION.best_run_loss == RUNS.loss[RUNS.good].min()
        assert RUNS.loss[SOLUTION.best_run_seed] == SOLUTION.best_run_loss

    def test_it_is_a_stationary_point_of_the_real_problem(self):
        W, H = SOLUTION.W, SOLUTION.H
        residual = W @ H - V
        slack = np.minimum(W, residual @ H.T), np.minimum(H, W.T @ residual)
        size = np.abs(V @ H.T).max()
        assert SOLUTION.converged
        assert max(np.abs(part).max() for part in slack) < 1e-3 * size


class TestPenalties:
    """The solution is one of the penalised problem; KKT conditions by hand, coefficients by an augmented NNLS."""

    L1, L2 = 0.3 * float(np.median(V.sum(axis=0))), 2.0
    PENALTIES = Penalties(l1_H=L1, l2_W=L2)

    @pytest.fixture
    def runs(self):
        return factorize(V, 4, range(8), penalties=self.PENALTIES, dtype="float64")

    def test_it_is_a_stationary_point_of_the_penalised_problem(self, runs):
        found = stable_solution(V, runs, penalties=self.PENALTIES, n_splits=0)
        W, H = found.W, found.H
        residual = W @ H - V
        for_H = W.T @ residual + self.L1 + self.L2 * H
        # With ‖w‖ = 1 the terms are l1 ‖h‖₁ ‖w‖ + ½ l2 ‖w‖² ‖h‖², so their slope in w is along w.
        along = self.L1 * H.sum(axis=1) + self.L2 * np.square(H).sum(axis=1)
        for_W = residual @ H.T + along * W
        size = np.abs(V @ H.T).max()
        assert np.abs(np.minimum(H, for_H)).max() < 1e-3 * size
        assert np.abs(np.minimum(W, for_W)).max() < 1e-3 * size

    def test_its_coefficients_are_sparser_and_those_of_new_samples_are_penalised_too(self, runs):
        found = stable_solution(V, runs, penalties=self.PENALTIES, n_splits=0)
        assert (found.H == 0).sum() > (SOLUTION.H == 0).sum() + 10
        new = found.transform(V[:, :5]).H
        np.testing.assert_allclose(new, found.H[:, :5], rtol=1e-5, atol=1e-7 * found.H.max())
        for j in range(5):
            # ½‖v − Wh‖² + l1 Σh + ½ l2 ‖h‖², as least squares: Gram and right-hand side by Cholesky.
            root = np.linalg.cholesky(found.W.T @ found.W + self.L2 * np.eye(4)).T
            right = np.linalg.solve(root.T, found.W.T @ V[:, j] - self.L1)
            np.testing.assert_allclose(new[:, j], nnls(root, right)[0], rtol=1e-4, atol=1e-6)

    def test_a_large_matrix_in_parts_has_the_same_coefficients(self, runs, monkeypatch):
        found = stable_solution(V, runs, penalties=self.PENALTIES, n_splits=0)
        whole = found.transform(V)
        monkeypatch.setattr("nmfcore.block_matrix.LARGE", 1)
        monkeypatch.setattr("nmfcore.solution.BLOCK_CELLS", 300)
        new = found.transform(V)
        assert new.loss == pytest.approx(whole.loss, rel=1e-6)
        np.testing.assert_allclose(new.relative_error, whole.relative_error, rtol=1e-6)
        assert 1 < new.n_iter <= 2 * whole.n_iter
        np.testing.assert_allclose(new.H, found.H, rtol=1e-5, atol=1e-7 * found.H.max())
        assert new.status == Status.CONVERGED
        hasty = coefficients(V, found.W, max_iter=1)
        assert (hasty.status, hasty.n_iter) == (Status.MAX_ITER, 1)

    def test_coefficients_are_iterated_as_far_as_asked(self):
        rough, fine = (coefficients(V, SOLUTION.W, tol=tol) for tol in (0.1, 1e-12))
        assert rough.n_iter < fine.n_iter
        assert rough.loss >= fine.loss


class TestTruth:
    @pytest.mark.parametrize(("noise", "least"), [(0.0, 0.9999), (0.1, 0.999), (0.3, 0.99)])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_planted_components_are_recovered(self, noise, least, seed):
        matrix, W, H = planted(noise=noise, seed=seed)
        solution = stable_solution(matrix, factorize(matrix, 4, range(12)))
        assert matched(W, solution.W).min() > least
        assert matched(H.T, solution.H.T).min() > least - 0.01
        assert (solution.run_support > 0.5).all()
        assert np.median(solution.support) > 0.5  # half of the samples are harder to read

    def test_samples_are_assigned_to_the_planted_components(self):
        cosine = unit(W_TRUE).T @ SOLUTION.W
        match = linear_sum_assignment(cosine, maximize=True)[1]
        expected = match[(np.linalg.norm(W_TRUE, axis=0)[:, None] * H_TRUE).argmax(axis=0)]
        assert np.mean(SOLUTION.labels == expected) > 0.9

    @pytest.mark.parametrize(("noise", "least"), [(0.0, 0.9999), (0.1, 0.999)])
    def test_two_halves_of_the_seeds_give_the_same_solution(self, noise, least):
        matrix, _, _ = planted(noise=noise, seed=2)
        first, second = (
            stable_solution(matrix, factorize(matrix, 4, seeds))
            for seeds in (range(10), range(10, 20))
        )
        cosine = (first.W * second.W).sum(axis=0)
        assert cosine.min() > least

    def test_agreement_costs_next_to_nothing(self):
        assert SOLUTION.loss <= SOLUTION.best_run_loss * (1 + 1e-4)

    @pytest.mark.parametrize("rank", [2, 3, 5, 6])
    def test_at_a_wrong_rank_it_is_hardly_worse_than_the_best_run(self, rank):
        solution = stable_solution(V, factorize(V, rank, range(10)))
        assert solution.loss <= solution.best_run_loss * 1.05

    def test_rank_one_is_the_leading_singular_pair(self):
        solution = stable_solution(V, factorize(V, 1, range(4)))
        u, s, vt = np.linalg.svd(V)
        np.testing.assert_allclose(solution.W[:, 0], np.abs(u[:, 0]), atol=1e-5)
        np.testing.assert_allclose(solution.H[0], s[0] * np.abs(vt[0]), atol=1e-4 * s[0])
        assert solution.stability is None
        np.testing.assert_array_equal(solution.support, 1)
        np.testing.assert_allclose(solution.share, 1)


class TestSymmetries:
    @pytest.mark.parametrize("stream", range(3))
    def test_the_order_of_the_runs_changes_nothing(self, stream):
        order = np.random.default_rng(stream).permutation(16)
        turned = stable_solution(V, RUNS.take(order))
        np.testing.assert_allclose(turned.W, SOLUTION.W, atol=1e-6)
        np.testing.assert_allclose(turned.H, SOLUTION.H, atol=1e-5 * SOLUTION.H.max())
        np.testing.assert_allclose(turned.support, SOLUTION.support)
        np.testing.assert_allclose(turned.stability, SOLUTION.stability, atol=1e-9)
        assert turned.best_run_seed == SOLUTION.best_run_seed

    def test_the_order_of_features_and_samples_and_of_components_changes_nothing(self):
        random = np.random.default_rng(0)
        rows, columns = random.permutation(50), random.permutation(40)
        swapped = [random.permutation(4) for _ in range(16)]
        W = np.stack([w[rows][:, p] for w, p in zip(RUNS.W, swapped, strict=True)])
        H = np.stack([h[p][:, columns] for h, p in zip(RUNS.H, swapped, strict=True)])
        turned = stable_solution(V[np.ix_(rows, columns)], replace(RUNS, W=W, H=H))
        np.testing.assert_allclose(turned.W, SOLUTION.W[rows], atol=1e-5)
        np.testing.assert_allclose(turned.loss, SOLUTION.loss, rtol=1e-7)
        np.testing.assert_array_equal(turned.labels, SOLUTION.labels[columns])
        np.testing.assert_allclose(turned.support, SOLUTION.support)

    def test_how_runs_split_the_scale_changes_nothing(self):
        powers = np.random.default_rng(1).integers(-20, 20, (16, 1, 4))
        W = np.ldexp(RUNS.W.astype(float), powers)
        H = np.ldexp(RUNS.H.astype(float), -powers.transpose(0, 2, 1))
        turned = stable_solution(V, replace(RUNS, W=W, H=H))
        np.testing.assert_allclose(turned.W, SOLUTION.W, atol=1e-6)
        np.testing.assert_allclose(turned.support, SOLUTION.support)

    @pytest.mark.parametrize("power", [-400, -100, 100, 400])
    def test_the_units_of_the_matrix_go_into_H(self, power):
        scaled = np.ldexp(V, 2 * power)
        solution = stable_solution(scaled, factorize(scaled, 4, range(16)))
        np.testing.assert_allclose(solution.W, SOLUTION.W, atol=1e-5)
        np.testing.assert_allclose(
            np.ldexp(solution.H, -2 * power), SOLUTION.H, rtol=1e-3, atol=1e-3
        )
        assert solution.relative_error == pytest.approx(SOLUTION.relative_error, rel=1e-6)

    def test_the_largest_numbers_there_are(self):
        scaled = V * (1.7e308 / V.max())
        solution = stable_solution(scaled, factorize(scaled, 4, range(16)))
        np.testing.assert_allclose(solution.W, SOLUTION.W, atol=1e-4)

    def test_sparse_and_dense_have_the_same_solution(self):
        few = np.where(np.quantile(V, 0.7) < V, V, 0)
        runs = factorize(few, 3, range(6))
        a, b = stable_solution(few, runs), stable_solution(sparse.csr_array(few), runs)
        np.testing.assert_allclose(a.W, b.W, atol=1e-6)


class TestOutliers:
    @staticmethod
    def with_garbage(n_garbage):
        """Garbage that claims to have converged."""
        random = np.random.default_rng(9)
        some = RUNS.take(np.arange(n_garbage))
        garbage = replace(
            some,
            seeds=some.seeds + 100,
            W=random.random(some.W.shape).astype(np.float32),
            H=random.random(some.H.shape).astype(np.float32),
            loss=some.loss * 50,
            relative_error=some.relative_error * 7,
        )
        return concatenate_runs([RUNS, garbage])

    @pytest.mark.parametrize("n_garbage", [1, 3])
    def test_garbage_does_not_move_the_solution(self, n_garbage):
        solution = stable_solution(V, self.with_garbage(n_garbage))
        assert (solution.W * SOLUTION.W).sum(axis=0).min() > 0.9999
        assert solution.loss == pytest.approx(SOLUTION.loss, rel=1e-5)
        assert solution.n_runs_used == 16 + n_garbage

    @pytest.mark.parametrize("n_garbage", [1, 3])
    def test_garbage_does_not_even_move_the_centres_before_they_are_polished(self, n_garbage):
        clean = stable_solution(V, RUNS, max_iter=0)
        dirty = stable_solution(V, self.with_garbage(n_garbage), max_iter=0)
        assert matched(clean.W, dirty.W).min() > 0.99999

    def test_support_and_stability_stay_with_their_component(self):
        # Components in ascending order of mass, the largest replaced by garbage in five runs.
        W, H = RUNS.W.astype(float), RUNS.H.astype(float)
        for run in range(16):
            order = np.argsort(W[run].sum(axis=0) * H[run].sum(axis=1))
            W[run], H[run] = W[run][:, order], H[run][order]
        best = int(RUNS.loss.argmin())
        spoilt = [run for run in range(16) if run != best][:5]
        W[spoilt, :, 3] = np.random.default_rng(4).random((5, 50))
        solution = stable_solution(V, replace(RUNS, W=W, H=H))
        np.testing.assert_allclose(solution.run_support, [11 / 16, 1, 1, 1])
        assert solution.stability.argmin() == 0
        assert solution.stability[0] < 0.8 < solution.stability[1:].min()

    def test_garbage_supports_nothing(self):
        solution = stable_solution(V, self.with_garbage(4))
        np.testing.assert_allclose(solution.run_support, SOLUTION.run_support * 16 / 20, atol=1e-9)
        assert (solution.stability < SOLUTION.stability).all()

    def test_support_is_the_share_of_runs_that_hold_the_component(self):
        cosine = np.stack([unit(W.astype(float)).T @ SOLUTION.W for W in RUNS.W])
        expected = (cosine.max(axis=1) >= SUPPORT_COSINE).mean(axis=0)
        np.testing.assert_allclose(SOLUTION.run_support, expected, atol=1 / 16)
        assert (SOLUTION.run_support <= 1).all()

    def test_components_of_noise_have_no_full_support(self):
        noise = np.random.default_rng(3).gamma(1, size=(40, 30))
        solution = stable_solution(noise, factorize(noise, 12, range(12)))
        assert solution.run_support.min() < 0.8
        assert solution.stability.min() < 0.5

    def test_runs_that_did_not_converge_take_no_part(self):
        status = RUNS.status.copy()
        status[::2] = Status.MAX_ITER
        W = RUNS.W.copy()
        W[::2] = np.nan
        solution = stable_solution(V, replace(RUNS, status=status, W=W))
        expected = stable_solution(V, RUNS.take(np.arange(1, 16, 2)))
        np.testing.assert_array_equal(solution.W, expected.W)
        assert solution.n_runs_used == 8

    def test_without_a_converged_run_there_is_no_solution(self):
        with pytest.raises(InputError, match="4"):
            stable_solution(V, replace(RUNS, status=np.full(16, str(Status.MAX_ITER))))

    def test_a_single_run_is_polished_and_has_no_stability(self):
        solution = stable_solution(V, RUNS.take(np.array([3])))
        assert solution.stability is None
        np.testing.assert_array_equal(solution.run_support, 1)
        assert solution.loss <= RUNS.loss[3] * (1 + 1e-6)
        assert solution.density is None

    def test_two_runs_already_have_densities(self):
        assert stable_solution(V, RUNS.take(np.array([3, 5])), n_splits=0).density is not None


class TestMask:
    def test_hidden_values_never_reach_the_solution(self):
        observed = np.random.default_rng(5).random(V.shape) < 0.85
        runs = factorize(V, 4, range(10), observed=observed)
        a, b = (
            stable_solution(np.where(observed, V, rubbish), runs, observed=observed)
            for rubbish in (0.0, np.nan)
        )
        np.testing.assert_array_equal(a.W, b.W)
        np.testing.assert_array_equal(a.H, b.H)
        residual = np.where(observed, V - a.W @ a.H, 0)
        assert a.loss == pytest.approx(0.5 * np.square(residual).sum(), rel=1e-9)
        seen = np.square(V[observed]).sum()
        assert a.relative_error == pytest.approx(np.sqrt(2 * a.loss / seen), rel=1e-9)
        assert matched(W_TRUE, a.W).min() > 0.99


def test_samples_of_zeros_belong_to_no_component():
    matrix = V.copy()
    matrix[:, [3, 8]] = 0
    solution = stable_solution(matrix, factorize(matrix, 4, range(6)))
    np.testing.assert_array_equal(solution.labels[[3, 8]], -1)
    assert (np.delete(solution.labels, [3, 8]) >= 0).all()
    assert (solution.assignment[[3, 8]] == "unassigned").all()


def test_an_all_zero_matrix_has_an_all_zero_solution():
    solution = stable_solution(np.zeros((5, 4)), factorize(np.zeros((5, 4)), 2, range(3)))
    assert solution.loss == 0
    assert np.isfinite(solution.W).all()
    assert (solution.labels == -1).all()


class TestEvidence:
    def test_intervals_hold_what_they_are_of(self):
        assert (SOLUTION.H_low <= SOLUTION.H).all()
        assert (SOLUTION.H_high >= SOLUTION.H).all()
        for share, interval in (
            (SOLUTION.run_support, SOLUTION.run_support_interval),
            (SOLUTION.support, SOLUTION.support_interval),
            (SOLUTION.replication, SOLUTION.replication_interval),
            (SOLUTION.matched_cosine, SOLUTION.matched_cosine_interval),
        ):
            assert (interval[:, 0] <= share + 1e-12).all()
            assert (share <= interval[:, 1] + 1e-12).all()

    def test_explained_adds_up_to_the_explained_variance(self):
        expected = 1 - SOLUTION.relative_error**2
        assert SOLUTION.explained.sum() == pytest.approx(expected, rel=1e-6)

    def test_explained_adds_up_to_one_for_kullback_leibler(self):
        runs = factorize(V, 4, range(6), loss="kullback-leibler")
        assert stable_solution(V, runs).explained.sum() == pytest.approx(1, rel=1e-6)

    def test_samples_are_assigned_with_confidence(self):
        assert SOLUTION.confidence.min() == 1
        assert (SOLUTION.assignment != "unassigned").all()
        residual = np.linalg.norm(V - SOLUTION.W @ SOLUTION.H, axis=0) / np.linalg.norm(V, axis=0)
        np.testing.assert_allclose(SOLUTION.sample_error, residual, rtol=1e-9)

    def test_another_start_of_the_clustering_gives_the_same_clusters(self):
        assert SOLUTION.clustering_agreement == 1
        assert SOLUTION.n_runs_centre == SOLUTION.n_runs_used == 16

    def test_starts_agree_on_noise_but_samples_do_not(self):
        noise = np.random.default_rng(3).exponential(size=(80, 80))
        solution = stable_solution(noise, factorize(noise, 3, range(10)))
        assert solution.run_support.max() == 1
        assert solution.replication.max() <= 0.25
        np.testing.assert_array_equal(solution.support, solution.replication)
        np.testing.assert_array_equal(solution.support_interval, solution.replication_interval)

    def test_support_is_the_weaker_of_runs_and_samples(self):
        runs, samples = np.array([0.2, 0.9, 0.5, 1.0]), np.array([0.6, 0.3, 0.5, 1.0])
        intervals = np.arange(8.0).reshape(4, 2), -np.arange(8.0).reshape(4, 2)
        known = replace(
            SOLUTION,
            run_support=runs,
            replication=samples,
            run_support_interval=intervals[0],
            replication_interval=intervals[1],
        )
        np.testing.assert_array_equal(known.support, [0.2, 0.3, 0.5, 1.0])
        np.testing.assert_array_equal(known.support_interval[[0, 2]], intervals[0][[0, 2]])
        np.testing.assert_array_equal(known.support_interval[1], intervals[1][1])
        alone = replace(known, replication=None, replication_interval=None)
        np.testing.assert_array_equal(alone.support, runs)
        np.testing.assert_array_equal(alone.support_interval, intervals[0])

    def test_a_component_of_one_sample_is_found_by_every_start_but_not_by_other_samples(self):
        random = np.random.default_rng(6)
        matrix = random.poisson(
            20 * random.gamma(0.5, size=(60, 2)) @ random.gamma(1, size=(2, 40))
        )
        matrix[:, 7] += random.poisson(400 * random.gamma(0.3, size=60))
        solution = stable_solution(matrix, factorize(matrix, 3, range(10)))
        own = int(solution.H[:, 7].argmax())
        assert solution.run_support[own] == 1
        assert solution.replication[own] == solution.support[own] == 0
        assert np.delete(solution.replication, own).min() > 0.7

    @pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
    def test_replication_is_counted_on_the_problem_that_the_runs_solved(self, loss):
        observed = np.random.default_rng(3).random(V.shape) > 0.2
        penalties = Penalties(l1_H=0.5)
        options = {"observed": observed, "penalties": penalties}
        runs = factorize(V, 4, range(4), loss=loss, **options)
        found = stable_solution(V, runs, **options)
        counts = count_replications(V, found.W, loss=loss, **options)
        np.testing.assert_array_equal(found.replication, counts / N_SPLITS)
        assert found.relative_error == pytest.approx(runs.relative_error.min(), rel=0.01)
        others = [
            count_replications(V, found.W, **{"loss": loss, **options, name: other})
            for name, other in (("observed", None), ("penalties", Penalties(l1_H=30.0)))
        ]
        assert any((counts != other).any() for other in others)

    def test_the_density_is_that_of_the_clustered_components(self):
        clusters = cluster_components(RUNS.W[RUNS.good])
        expected = local_density(clusters.cosine, RUNS.good.sum())
        np.testing.assert_allclose(SOLUTION.density.distance, expected.distance)
        assert SOLUTION.density.distance.shape == (16, 4)

    def test_splits_can_be_left_out(self):
        solution = stable_solution(V, RUNS, n_splits=0)
        assert solution.replication is None
        assert solution.replication_interval is None
        np.testing.assert_array_equal(solution.W, SOLUTION.W)


class TestSeveralMinima:
    @staticmethod
    def two_minima():
        """Runs of which a third stopped in a poorer minimum, their first component replaced by another."""
        W, H = RUNS.W.astype(float), RUNS.H.astype(float)
        loss, error = RUNS.loss.copy(), RUNS.relative_error.copy()
        W[:5] = np.random.default_rng(8).permuted(W[:5], axis=1)
        loss[:5] *= 1.2
        error[:5] *= np.sqrt(1.2)
        return replace(RUNS, W=W, H=H, loss=loss, relative_error=error)

    def test_the_centre_is_of_the_runs_at_the_least_loss(self):
        solution = stable_solution(V, self.two_minima(), max_iter=0, n_splits=0)
        expected = stable_solution(V, RUNS.take(np.arange(5, 16)), max_iter=0, n_splits=0)
        assert solution.n_runs_centre == expected.n_runs_centre == 11
        assert solution.n_runs_used == 16
        np.testing.assert_allclose(solution.W, expected.W, atol=1e-9)

    def test_the_difference_of_the_losses_is_explained(self):
        assert "same optimum" in SOLUTION.comparison
        assert "16 of 16 runs" in SOLUTION.comparison
        assert "below" in replace(SOLUTION, loss=SOLUTION.best_run_loss / 2).comparison
        assert "above" in replace(SOLUTION, loss=SOLUTION.best_run_loss * 2).comparison


class TestNewSamples:
    @pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler", "itakura-saito"])
    def test_the_training_samples_get_their_own_coefficients(self, loss):
        matrix = V + 0.1
        solution = stable_solution(matrix, factorize(matrix, 3, range(4), loss=loss), n_splits=0)
        size = solution.H.max()
        np.testing.assert_allclose(solution.transform(matrix).H, solution.H, atol=1e-9 * size)
        part = solution.transform(matrix[:, 5:8])
        np.testing.assert_allclose(part.H, solution.H[:, 5:8], atol=1e-4 * size)

    def test_coefficients_are_the_least_squares_ones(self):
        new = W_TRUE @ np.random.default_rng(1).gamma(1, size=(4, 6))
        found = SOLUTION.transform(new)
        for j in range(6):
            expected, residual = nnls(SOLUTION.W, new[:, j])
            np.testing.assert_allclose(found.H[:, j], expected, atol=1e-6 * expected.max())
            error = residual / np.linalg.norm(new[:, j])
            assert found.relative_error[j] == pytest.approx(error, rel=1e-6)

    def test_faint_and_strong_samples_are_solved_alike(self):
        new = V[:, :6] * np.ldexp(1.0, [0, -60, 60, -200, 200, 0])
        found = np.ldexp(SOLUTION.transform(new).H, [0, 60, -60, 200, -200, 0])
        np.testing.assert_allclose(found, SOLUTION.H[:, :6], atol=1e-5 * SOLUTION.H.max())

    def test_hidden_cells_and_features_have_no_influence(self):
        observed = np.ones((50, 3), bool)
        observed[10:20] = False
        observed[30, 1] = False
        new = V[:, :3]
        found = SOLUTION.transform(np.where(observed, new, 1e9), observed=observed).H
        for j in range(3):
            seen = observed[:, j]
            expected, _ = nnls(SOLUTION.W[seen], new[seen, j])
            np.testing.assert_allclose(found[:, j], expected, atol=1e-4 * expected.max())

    def test_a_sample_of_zeros_gets_zeros(self):
        found = SOLUTION.transform(np.zeros((50, 2)))
        np.testing.assert_array_equal(found.H, 0)
        assert np.isnan(found.relative_error).all()

    def test_other_features_are_refused(self):
        with pytest.raises(InputError, match="50 features"):
            SOLUTION.transform(V[:-1])

    def test_cells_are_predicted_by_the_product(self):
        rows, columns = np.array([0, 7, 49]), np.array([3, 3, 39])
        np.testing.assert_allclose(
            SOLUTION.predict(rows, columns), SOLUTION.reconstruct()[rows, columns]
        )

    def test_hidden_ratings_are_predicted_better_than_by_the_mean(self):
        observed = np.random.default_rng(4).random(V.shape) < 0.8
        runs = factorize(V, 4, range(6), observed=observed)
        solution = stable_solution(V, runs, observed=observed, n_splits=0)
        hidden = np.nonzero(~observed)
        error = np.linalg.norm(solution.predict(*hidden) - V[hidden])
        assert error < 0.5 * np.linalg.norm(V[observed].mean() - V[hidden])
