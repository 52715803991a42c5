"""The steps to a solution one by one, each against its definition written out."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import nnls

from nmfcore import factorize
from nmfcore.divergence import divergences
from nmfcore.errors import InputError
from nmfcore.local_density import LocalDensity
from nmfcore.problem import pose
from nmfcore.solution import (
    NEAR_LOSS,
    NEAR_VARIANCE,
    SAME_LOSS,
    START_FLOOR,
    _centres,
    _clusters,
    _column_exponents,
    _explained,
    _in_units,
    _near_best,
    _polished,
    _scaled_columns,
    _tightness,
    coefficients,
    stable_solution,
)
from nmfcore.stability import ComponentClusters, cluster_components

RANDOM = np.random.default_rng(0)
V = RANDOM.gamma(0.5, size=(20, 3)) @ RANDOM.gamma(0.5, size=(3, 15)) + 0.05
RUNS = factorize(V, 3, range(8))


def unit(W):
    return W / np.linalg.norm(W, axis=0)


def with_components(W, errors=None):
    """Runs with other components, and perhaps other errors."""
    n_runs = len(W)
    runs = RUNS.take(np.arange(n_runs))
    errors = runs.relative_error if errors is None else np.asarray(errors, float)
    return replace(runs, W=W, relative_error=errors)


def tightness_by_hand(W, labels):
    """Sum over the clusters of the length of the sum of their unit members."""
    return sum(
        np.linalg.norm(
            sum(
                unit(w)[:, i]
                for w, own in zip(W, labels, strict=True)
                for i in np.flatnonzero(own == j)
            )
        )
        for j in range(labels.shape[1])
    )


def shares_of_clusters(first, second):
    """Largest share of the components in like clusters, whatever the clusters are called."""
    rank = first.shape[1]
    return max(np.mean(np.array(names)[first] == second) for names in permutations(range(rank)))


class TestClusters:
    @pytest.mark.parametrize("seed", range(12))
    def test_the_tighter_of_two_clusterings_is_kept(self, seed):
        random = np.random.default_rng(seed)
        W, errors = random.gamma(0.4, size=(7, 12, 3)), random.random(7)
        likest = max(
            range(7),
            key=lambda a: sum(
                max(unit(W[a])[:, i] @ unit(W[b])[:, j] for j in range(3))
                for b in range(7)
                for i in range(3)
            ),
        )
        starts = cluster_components(W, int(errors.argmin())), cluster_components(W, likest)
        tightness = [tightness_by_hand(W, start.labels) for start in starts]
        found, agreement = _clusters(with_components(W, errors), int(errors.argmin()))
        expected = starts[int(tightness[1] > tightness[0])]
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert agreement == pytest.approx(shares_of_clusters(starts[0].labels, starts[1].labels))

    def test_of_runs_all_alike_the_worst_is_the_other_start(self, monkeypatch):
        starts = []

        def noted(W, start=0):
            starts.append(start)
            return cluster_components(W, start)

        monkeypatch.setattr("nmfcore.solution.cluster_components", noted)
        W = np.stack([RUNS.W[0]] * 5)
        found, agreement = _clusters(with_components(W, [0.3, 0.2, 0.5, 0.4, 0.25]), 1)
        assert starts == [1, 2]
        assert agreement == 1
        # Equally tight: that of the best run.
        np.testing.assert_array_equal(found.labels, cluster_components(W, 1).labels)

    def test_tightness(self):
        W = np.random.default_rng(1).gamma(0.4, size=(5, 9, 3))
        clusters = cluster_components(W)
        assert _tightness(clusters) == pytest.approx(tightness_by_hand(W, clusters.labels))

    def test_components_of_zeros_add_nothing_to_the_tightness(self):
        W = np.zeros((3, 4, 2))
        W[:, :2, 0] = [3.0, 4.0]
        assert _tightness(cluster_components(W)) == pytest.approx(3)


class TestNearBest:
    @pytest.mark.parametrize("least", [0.3, 1e-5])
    def test_runs_near_in_loss_and_with_the_same_components(self, least):
        limit = least**2 * (1 + NEAR_LOSS) + NEAR_VARIANCE
        same = np.random.default_rng(2).gamma(0.4, size=(30, 3)) + 0.01
        other = same.copy()
        other[:, 2] = np.random.default_rng(3).permutation(other[:, 2])
        W = np.stack([same, same[:, [2, 0, 1]], same, other, other, 7 * same])
        squares = np.array(
            [least**2, 0.999 * limit, 1.001 * limit, least**2, 1.1 * limit, limit * 0.9]
        )
        clusters = cluster_components(W, 0)
        near = _near_best(with_components(W, np.sqrt(squares)), clusters, 0)
        assert near.tolist() == [True, True, False, False, False, True]

    def test_the_best_run_is_always_among_them(self):
        W = np.zeros((2, 4, 2))
        W[1] = np.random.default_rng(0).random((4, 2))
        near = _near_best(with_components(W, [0.2, 0.2]), cluster_components(W), 0)
        assert near.tolist() == [True, False]


class TestCentres:
    @staticmethod
    def clusters_of(labels):
        n, rank = labels.shape
        return ComponentClusters(labels, np.zeros((1, rank)), np.eye(n * rank), True)

    @pytest.mark.parametrize("seed", range(6))
    def test_the_median_of_what_is_near_and_dense(self, seed):
        random = np.random.default_rng(seed)
        W = random.random((6, 10, 3)) * 10.0 ** random.integers(-3, 4, (6, 1, 3))
        labels = np.stack([random.permutation(3) for _ in range(6)])
        near = np.array([True, True, False, True, True, True])
        distance = random.random((6, 3))
        # Nothing of cluster 1 lies in a dense region.
        distance[labels == 1] += 1
        density = LocalDensity(distance, 0.6, np.zeros(1, int), np.zeros(2))
        for filtered in (density, None, replace(density, threshold=None)):
            found = _centres(W, self.clusters_of(labels), near, filtered)
            for j in range(3):
                members = [(r, int(np.flatnonzero(labels[r] == j)[0])) for r in range(6) if near[r]]
                if filtered is density and j != 1:
                    members = [place for place in members if distance[place] <= 0.6] or members
                versions = [W[r][:, i] / np.linalg.norm(W[r][:, i]) for r, i in members]
                centre = np.array([np.median([v[f] for v in versions]) for f in range(10)])
                np.testing.assert_allclose(found[:, j], centre / np.linalg.norm(centre), rtol=1e-12)

    def test_where_the_median_vanishes_it_is_the_mean(self):
        W = np.zeros((3, 6, 1))
        W[0, 0], W[1, 1], W[2, 2] = 2.0, 3.0, 4.0
        found = _centres(W, self.clusters_of(np.zeros((3, 1), int)), np.ones(3, bool), None)
        np.testing.assert_allclose(found[:, 0], np.array([1, 1, 1, 0, 0, 0]) / np.sqrt(3))


def loss_of(matrix, W, H, loss, observed=None):
    problem = pose(matrix, observed, loss, "float64")
    scaled = np.ldexp(H, -2 * problem.exponent)
    basis = np.ascontiguousarray(W.T)[None]
    return float(divergences(problem.exact, basis, scaled[None], problem.beta, problem.weights)[0])


class TestPolish:
    W0 = unit(RUNS.W[0].astype(float))

    @pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler", "itakura-saito"])
    @pytest.mark.parametrize("hidden", [False, True])
    @pytest.mark.parametrize("max_iter", [1, 30])
    def test_it_never_gets_worse_than_the_centre(self, loss, hidden, max_iter):
        if hidden and loss == "frobenius":
            max_iter = 60  # of which the first ones run on a completed matrix
        observed = np.random.default_rng(1).random(V.shape) < 0.8 if hidden else None
        problem = pose(V, observed, loss, "float64")
        W, fit, _ = _polished(problem, self.W0, observed, max_iter, 1e-9)
        scale = 4.0**problem.exponent
        before = coefficients(V, self.W0, loss, observed=observed).H
        start = loss_of(V, self.W0, before, loss, observed)
        assert loss_of(V, W, fit.H * scale, loss, observed) <= start * (1 + 1e-9)

    @pytest.mark.parametrize("hidden", [False, True])
    def test_the_coefficients_are_the_best_ones_for_what_is_observed(self, hidden):
        observed = (
            np.random.default_rng(1).random(V.shape) < 0.7 if hidden else np.ones(V.shape, bool)
        )
        problem = pose(V, observed if hidden else None, "frobenius", "float64")
        W, fit, _ = _polished(problem, self.W0, observed if hidden else None, 5, 1e-9)
        for j in range(V.shape[1]):
            seen = observed[:, j]
            expected, _ = nnls(W[seen], V[seen, j])
            found = fit.H[:, j] * 4.0**problem.exponent
            np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())

    def test_zeros_stay_for_frobenius_and_are_lifted_where_they_could_cost_infinitely_much(self):
        W = self.W0.copy()
        W[:5, 0], W[5:9, 1] = 0, 0
        W[:, 2] *= 1e-3  # its own mean counts
        for loss in ("frobenius", "kullback-leibler", "itakura-saito"):
            start, _, _ = _polished(pose(V, None, loss, "float64"), W, None, 0, 1e-9)
            lifted = W if loss == "frobenius" else np.maximum(W, START_FLOOR * W.mean(axis=0))
            expected = unit(lifted)
            cosine = unit(start).T @ expected
            order = cosine.argmax(axis=1)
            np.testing.assert_allclose(start, expected[:, order], rtol=1e-9, atol=0)

    def test_it_stops_at_the_tolerance_that_was_asked_for(self):
        problem = pose(V, None, "frobenius", "float64")
        flat = self.W0 + 1
        assert [_polished(problem, flat, None, 20, tol)[2] for tol in (1e-3, 1e-12)] == [
            True,
            False,
        ]

    def test_components_come_by_their_mass_not_by_one_factor(self):
        # Sums of the columns of W: 10, 1 and 5; of the rows of H: 2, 10 and 1.
        W = np.zeros((126, 3))
        W[:100, 0], W[100, 1], W[101:, 2] = 0.1, 1.0, 0.2
        H = np.zeros((3, 13))
        H[0, :4], H[1, 4:8], H[2, 8:] = 0.5, 2.5, 0.2
        for turned in permutations(range(3)):
            start = W[:, list(turned)]
            found, fit, _ = _polished(
                pose(W @ H, None, "frobenius", "float64"), start, None, 0, 1e-9
            )
            mass = found.sum(axis=0) * fit.H.sum(axis=1)
            np.testing.assert_allclose(mass / mass[0], [1, 0.5, 0.25], rtol=1e-6)


class TestExplained:
    @pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
    @pytest.mark.parametrize("hidden", [False, True])
    def test_cell_by_cell(self, loss, hidden):
        random = np.random.default_rng(5)
        W, H = random.random((20, 3)), random.random((3, 15))
        observed = random.random(V.shape) < 0.7 if hidden else None
        seen = np.ones(V.shape, bool) if observed is None else observed
        problem = pose(V, observed, loss, "float64")
        at_scale = V / 4.0**problem.exponent
        expected = [
            (W[:, [k]] * H[k] * (at_scale if loss == "frobenius" else 1))[seen].sum()
            / (at_scale ** (2 if loss == "frobenius" else 1))[seen].sum()
            for k in range(3)
        ]
        np.testing.assert_allclose(_explained(problem, W, H), expected, rtol=1e-10)

    def test_of_nothing_nothing_is_explained(self):
        for loss in ("frobenius", "kullback-leibler"):
            problem = pose(np.zeros((4, 3)), None, loss, "float64")
            found = _explained(problem, np.ones((4, 2)), np.zeros((2, 3)))
            np.testing.assert_array_equal(found, 0)


class TestScale:
    @pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
    def test_every_sample_gets_its_own_power_of_two(self, kind):
        values = np.array([[0.0, 1.0, 3.9, 1e-300], [0.0, 0.5, 4.0, 0.0], [0.0, 0.99, 0.0, 1e-310]])
        exponents = _column_exponents(kind(values))
        assert exponents.tolist()[:3] == [0, 0, 2]
        largest = values[:, 1:].max(axis=0) / 2.0 ** exponents[1:]
        assert ((largest >= 1) & (largest < 2)).all()
        scaled = _scaled_columns(kind(values), -exponents)
        dense = scaled.toarray() if sparse.issparse(scaled) else scaled
        assert dense.dtype == np.float64
        np.testing.assert_array_equal(dense, values / 2.0**exponents)

    @pytest.mark.parametrize("power", [-80, 0, 80])
    @pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
    def test_the_loss_of_coefficients_is_in_the_units_of_the_matrix(self, power, loss):
        W, scaled = unit(RUNS.W[0].astype(float)), np.ldexp(V, power)
        found = coefficients(scaled, W, loss)
        fit = W @ np.ldexp(found.H, -power)
        if loss == "frobenius":
            expected = np.ldexp(0.5 * np.square(V - fit).sum(), 2 * power)
        else:
            expected = np.ldexp((V * np.log(V / fit) - V + fit).sum(), power)
        assert found.loss == pytest.approx(expected, rel=1e-9)

    def test_coefficients_too_small_for_a_number_are_zero_without_a_word(self):
        problem = pose(np.full((2, 2), 1e-300), None, "frobenius", "float64")
        with np.errstate(all="raise"):
            assert _in_units(np.array([[1e-300, 1.0]]), problem)[0, 0] == 0
        large = pose(np.full((2, 2), 1e300), None, "frobenius", "float64")
        with np.errstate(all="raise"):
            assert _in_units(np.array([[1e300]]), large)[0, 0] == np.inf

    def test_other_features_are_refused_in_words(self):
        said = "^The solution has 20 features, the new samples have 19; the same .* in the same order are needed.$"
        with pytest.raises(InputError, match=said):
            coefficients(V[:-1], RUNS.W[0].astype(float))

    def test_features_that_nobody_observed_take_no_part(self):
        W = unit(RUNS.W[0].astype(float))
        observed = np.ones(V.shape, bool)
        observed[[2, 7]] = False
        kept = np.delete(np.arange(20), [2, 7])
        found = coefficients(np.where(observed, V, 1e9), W, observed=observed)
        np.testing.assert_allclose(found.H, coefficients(V[kept], W[kept]).H, rtol=1e-9)
        expected = 0.5 * np.square(V[kept] - W[kept] @ found.H).sum()
        assert found.loss == pytest.approx(expected, rel=1e-9)


class TestWords:
    @pytest.fixture(scope="class")
    @staticmethod
    def solution():
        return stable_solution(V, RUNS, n_splits=0)

    @pytest.mark.parametrize(
        ("loss", "best", "expected"),
        [
            (
                2.0,
                2.0 * (1 + 0.9 * SAME_LOSS),
                "The loss is that of the best of 8 runs (seed 5) to within 0.0001: it is the same optimum, and 3 of 8 "
                "runs ended there.",
            ),
            (
                3.0,
                2.0,
                "The loss is 0.5 (relative) above that of the best of 8 runs (seed 5): iterated on from the centre of "
                "the runs near it, V has another optimum that is a little worse; 3 of 8 runs ended there.",
            ),
            (
                1.0,
                2.0,
                "The loss is 0.5 (relative) below that of the best of 8 runs (seed 5): the centre of the runs was "
                "iterated on, in double precision, past the point where they stopped; 3 of 8 runs ended there.",
            ),
        ],
    )
    def test_the_losses_are_compared(self, solution, loss, best, expected):
        said = replace(
            solution,
            loss=loss,
            best_run_loss=best,
            best_run_seed=5,
            n_runs_used=8,
            n_runs_centre=3,
        )
        assert said.comparison == expected

    def test_two_losses_of_zero_are_the_same(self, solution):
        assert "same optimum" in replace(solution, loss=0.0, best_run_loss=0.0).comparison

    def test_without_a_converged_run_there_is_no_solution(self):
        runs = replace(RUNS, status=np.full(8, "max_iter"))
        said = r"^No run of rank 3 converged, so there is no solution to build\.$"
        with pytest.raises(InputError, match=said):
            stable_solution(V, runs)


def test_the_figures_of_a_solution_belong_together():
    """Everything that a solution says of itself, computed again from its factors and the runs."""
    found = stable_solution(V, RUNS)
    good = RUNS.take(np.flatnonzero(RUNS.good))
    best = int(good.loss.argmin())
    assert (found.rank, found.loss_name) == (3, "frobenius")
    assert found.best_run_loss == good.loss[best]
    assert found.best_run_seed == good.seeds[best]
    mass = found.W.sum(axis=0) * found.H.sum(axis=1)
    np.testing.assert_allclose(found.share, mass / mass.sum(), rtol=1e-9)
    difference = V - found.W @ found.H
    assert found.loss == pytest.approx(0.5 * np.square(difference).sum(), rel=1e-9)
    assert found.relative_error == pytest.approx(np.linalg.norm(difference) / np.linalg.norm(V))
    np.testing.assert_allclose(
        found.sample_error, np.linalg.norm(difference, axis=0) / np.linalg.norm(V, axis=0)
    )
    root = np.sqrt(20)
    sparseness = (root - found.W.sum(axis=0)) / (root - 1)
    np.testing.assert_allclose(found.sparseness, sparseness, rtol=1e-9)
    np.testing.assert_array_equal(found.labels, found.H.argmax(axis=0))
    cosine = np.stack([unit(w.astype(float)).T @ found.W for w in good.W])
    matched = np.stack(
        [
            max(permutations(range(3)), key=lambda p, c=c: sum(c[p[k], k] for k in range(3)))
            for c in cosine
        ]
    )
    own = np.stack([c[list(p), range(3)] for c, p in zip(cosine, matched, strict=True)])
    np.testing.assert_allclose(found.matched_cosine, own.mean(axis=0), rtol=1e-9)
    assert found.matched_cosine_interval.shape == found.support_interval.shape == (3, 2)
    assert (found.H_low <= found.H).all()
    assert (found.H_high >= found.H).all()
    assert (found.H_high > found.H_low).any()
    n_splits = 7
    few = stable_solution(V, RUNS, n_splits=n_splits)
    if few.replication is not None:
        counts = few.replication * n_splits
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)
    assert 1 < found.n_runs_centre <= found.n_runs_used == len(good)


def test_a_matrix_of_zeros_is_explained_whole():
    zeros = np.zeros((5, 4))
    found = stable_solution(zeros, factorize(zeros, 2, range(3)))
    assert found.relative_error == 0
    np.testing.assert_array_equal(found.share, 0)
