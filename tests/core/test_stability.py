import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import silhouette_samples

from nmfcore.stability import (
    amari_distance,
    amari_distances,
    amari_instability,
    cluster_components,
    component_silhouettes,
    component_stability,
    cosine_matrix,
    match_components,
    reproduced_share,
)

seeds = st.integers(0, 2**32 - 1)


def cosine_oracle(A, B):
    return np.array(
        [[a @ b / np.sqrt((a @ a) * (b @ b)) for b in B.T] for a in A.T]  # no zero columns
    )


def noisy_runs(rng, n_runs=6, n_features=30, rank=4, noise=0.1):
    """The same components in every run, up to noise, in an order and scale of the run's own."""
    truth = rng.random((n_features, rank)) ** 3
    runs, orders = [], []
    for _ in range(n_runs):
        order = rng.permutation(rank)
        W = (truth + noise * rng.random(truth.shape)) * 10.0 ** rng.uniform(-3, 3, rank)
        runs.append(W[:, order])
        orders.append(order)
    return np.stack(runs), np.stack(orders)


def stack_components(W):
    return np.concatenate(list(W), axis=1)


class TestMatching:
    def test_cosines_match_the_definition(self):
        rng = np.random.default_rng(0)
        A, B = rng.random((7, 3)), rng.random((7, 5))
        np.testing.assert_allclose(cosine_matrix(A, B), cosine_oracle(A, B), rtol=1e-12)

    def test_a_zero_column_is_like_nothing(self):
        A = np.array([[0.0, 1.0], [0.0, 1.0]])
        np.testing.assert_allclose(cosine_matrix(A, A), [[0, 0], [0, 1]], atol=1e-12)

    @pytest.mark.parametrize("scale", [1e-300, 1e300])
    def test_scale_does_not_matter_even_at_the_ends_of_float64(self, scale):
        A = np.array([[1.0, 1.0], [0.0, 1.0]])
        np.testing.assert_allclose(cosine_matrix(scale * A, A), cosine_matrix(A, A), rtol=1e-12)

    def test_never_beyond_one(self):
        A = np.random.default_rng(1).random((50, 40))
        assert cosine_matrix(A, A).max() <= 1.0

    @given(seeds, st.integers(1, 5))
    def test_the_best_permutation(self, seed, rank):
        rng = np.random.default_rng(seed)
        A, B = rng.random((6, rank)), rng.random((6, rank))
        cosine = cosine_oracle(A, B)
        best = max(
            itertools.permutations(range(rank)),
            key=lambda order: sum(cosine[i, j] for i, j in enumerate(order)),
        )
        np.testing.assert_array_equal(match_components(A, B), best)

    def test_the_permutation_indexes_B(self):
        A = np.eye(3)
        order = np.array([2, 0, 1])
        B = A[:, order]
        np.testing.assert_array_equal(B[:, match_components(A, B)], A)

    def test_assignment_not_the_nearest_neighbour(self):
        A = np.array([[1.0, 0.9], [0.0, 0.4]])
        B = np.array([[1.0, 0.0], [0.0, 1.0]])
        assert cosine_matrix(A, B).argmax(axis=1).tolist() == [0, 0]
        assert match_components(A, B).tolist() == [0, 1]

    @pytest.mark.parametrize("compare", [match_components, amari_distance])
    def test_shapes_must_agree(self, compare):
        with pytest.raises(ValueError, match="same shape"):
            compare(np.ones((4, 2)), np.ones((4, 3)))


class TestClusters:
    @given(seeds, st.integers(0, 5))
    def test_planted_components_are_found(self, seed, start):
        W, orders = noisy_runs(np.random.default_rng(seed), noise=0.02)
        clusters = cluster_components(W, start)
        assert clusters.converged
        of_start = np.argsort(orders[start])
        np.testing.assert_array_equal(clusters.labels, of_start[orders])

    @given(seeds, st.integers(1, 5))
    def test_one_component_of_each_run_in_each_cluster(self, seed, rank):
        W = np.random.default_rng(seed).random((5, 6, rank))
        clusters = cluster_components(W, 2)
        np.testing.assert_array_equal(np.sort(clusters.labels), np.tile(np.arange(rank), (5, 1)))
        np.testing.assert_array_equal(clusters.labels[2], np.arange(rank))

    def test_clusters_are_named_by_the_start_run_even_where_it_moved(self):
        # Found by search: in the iteration the start run goes to clusters 0, 3, 1, 2, 4.
        W = np.random.default_rng(2).random((456, 4, 3, 5))[455] ** 3
        clusters = cluster_components(W, 0)
        np.testing.assert_array_equal(clusters.labels[0], np.arange(5))
        for r in range(4):
            np.testing.assert_array_equal(
                clusters.labels[r], match_components(W[r], clusters.centres)
            )

    def test_two_like_components_of_a_run_are_kept_apart(self):
        W = np.array(
            [[[1, 0], [0, 1], [0, 0]], [[1, 1], [0, 0.1], [0, 0]], [[0, 1], [1, 0], [0, 0]]],
            dtype=float,
        )
        assert cluster_components(W, 0).labels.tolist() == [[0, 1], [0, 1], [1, 0]]

    @given(seeds)
    def test_it_stops_where_no_run_has_a_better_permutation(self, seed):
        rng = np.random.default_rng(seed)
        W = rng.random((6, 8, 3))
        clusters = cluster_components(W, 0)
        assert clusters.converged
        for r in range(6):
            cosine = cosine_oracle(W[r], clusters.centres)
            ours = cosine[np.arange(3), clusters.labels[r]].sum()
            best = max(
                cosine[np.arange(3), list(order)].sum()
                for order in itertools.permutations(range(3))
            )
            assert ours == pytest.approx(best, rel=1e-12)

    def test_centres_are_unit_means_of_unit_members(self):
        W, _ = noisy_runs(np.random.default_rng(0))
        clusters = cluster_components(W)
        for j in range(4):
            members = [W[r][:, list(row).index(j)] for r, row in enumerate(clusters.labels)]
            mean = np.mean([w / np.linalg.norm(w) for w in members], axis=0)
            np.testing.assert_allclose(
                clusters.centres[:, j], mean / np.linalg.norm(mean), rtol=1e-12
            )

    def test_the_cosines_are_those_of_all_components(self):
        W, _ = noisy_runs(np.random.default_rng(1))
        everything = stack_components(W)
        np.testing.assert_allclose(
            cluster_components(W).cosine, cosine_oracle(everything, everything), rtol=1e-12
        )

    def test_running_out_of_iterations_is_reported(self):
        W, _ = noisy_runs(np.random.default_rng(2))
        assert not cluster_components(W, max_iter=1).converged
        assert cluster_components(W, max_iter=2).converged

    def test_centres_move_off_the_start_run(self):
        # The start run's second component lies nearer the others' first.
        angles = np.deg2rad([[0, 40], [35, 80], [37, 82], [36, 81]])
        W = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        clusters = cluster_components(W, 0)
        assert clusters.labels.tolist() == [[0, 1]] * 4
        centre = np.rad2deg(np.arctan2(clusters.centres[1], clusters.centres[0]))
        assert centre[0] == pytest.approx(27, abs=1)
        assert centre[1] == pytest.approx(71, abs=1)

    def test_a_component_that_is_zero_in_some_run(self):
        W = np.stack([np.eye(3)] * 3)
        W[1, :, 2] = 0.0
        stability = component_stability(cluster_components(W))
        np.testing.assert_allclose(stability.matched_cosine, [1, 1, 1 / 3], rtol=1e-12)
        # The zero component is at distance 1 of everything, the other two at 1/2 of their own.
        np.testing.assert_allclose(
            stability.silhouette, [1, 1, (1 / 2 + 0 + 1 / 2) / 3], atol=1e-12
        )

    def test_fast_at_full_size(self):
        W, _ = noisy_runs(np.random.default_rng(3), 50, 5000, 8)
        started = time.perf_counter()
        component_stability(cluster_components(W))
        assert time.perf_counter() - started < 2.0  # 0.05 s on an idle machine


class TestStability:
    @given(seeds, st.integers(2, 4))
    def test_silhouettes_match_scikit_learn(self, seed, rank):
        W, _ = noisy_runs(np.random.default_rng(seed), rank=rank, noise=0.5)
        clusters = cluster_components(W)
        everything = stack_components(W)
        distance = 1 - cosine_oracle(everything, everything)
        np.fill_diagonal(distance, 0.0)
        expected = silhouette_samples(
            np.maximum(distance, 0.0), clusters.labels.ravel(), metric="precomputed"
        ).reshape(6, rank)
        np.testing.assert_allclose(component_silhouettes(clusters), expected, atol=1e-12)
        stability = component_stability(clusters)
        per_cluster = [expected[clusters.labels == j].mean() for j in range(rank)]
        np.testing.assert_allclose(stability.silhouette, per_cluster, atol=1e-12)
        assert stability.mean == pytest.approx(np.mean(per_cluster), abs=1e-12)
        assert stability.minimum == pytest.approx(np.min(per_cluster), abs=1e-12)

    def test_matched_cosine_is_the_mean_over_pairs_of_runs(self):
        W, _ = noisy_runs(np.random.default_rng(0), noise=0.5)
        clusters = cluster_components(W)
        for j in range(4):
            members = [W[r][:, list(row).index(j)] for r, row in enumerate(clusters.labels)]
            cosines = [
                a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                for a, b in itertools.combinations(members, 2)
            ]
            assert component_stability(clusters).matched_cosine[j] == pytest.approx(
                np.mean(cosines), rel=1e-12
            )

    def test_identical_runs_are_perfectly_stable(self):
        W = np.stack([np.eye(4)[:, :3]] * 5)
        stability = component_stability(cluster_components(W))
        np.testing.assert_array_equal(stability.silhouette, 1.0)
        assert stability.mean == stability.minimum == 1.0

    def test_rank_one_has_a_matched_cosine_but_no_silhouette(self):
        W = np.random.default_rng(0).random((4, 9, 1))
        clusters = cluster_components(W)
        stability = component_stability(clusters)
        assert component_silhouettes(clusters) is None
        assert stability.silhouette is stability.mean is stability.minimum is None
        assert 0 < stability.matched_cosine[0] < 1

    def test_one_run_is_no_evidence(self):
        W = np.random.default_rng(0).random((1, 9, 3))
        clusters = cluster_components(W)
        stability = component_stability(clusters)
        assert component_silhouettes(clusters) is None
        assert stability.silhouette is stability.mean is stability.minimum is None
        assert stability.matched_cosine is None
        assert amari_instability(W) is None

    @settings(max_examples=30)
    @given(seeds)
    def test_gauge_component_order_and_run_order_change_nothing(self, seed):
        rng = np.random.default_rng(seed)
        W, _ = noisy_runs(rng)
        runs = np.concatenate([[0], 1 + rng.permutation(5)])
        other = np.stack(
            [W[r][:, rng.permutation(4)] * 10.0 ** rng.uniform(-20, 20, 4) for r in runs]
        )
        one, two = (component_stability(cluster_components(batch)) for batch in (W, other))
        assert two.mean == pytest.approx(one.mean, abs=1e-12)
        assert two.minimum == pytest.approx(one.minimum, abs=1e-12)
        np.testing.assert_allclose(
            np.sort(two.matched_cosine), np.sort(one.matched_cosine), rtol=1e-12
        )
        assert amari_instability(other) == pytest.approx(amari_instability(W), abs=1e-12)


def amari_oracle(A, B):
    rank = A.shape[1]
    c = np.array([[abs(np.corrcoef(a, b)[0, 1]) for b in B.T] for a in A.T])
    return (2 * rank - c.max(axis=1).sum() - c.max(axis=0).sum()) / (2 * rank)


class TestAmari:
    @given(seeds, st.integers(1, 4))
    def test_distance_matches_the_definition(self, seed, rank):
        rng = np.random.default_rng(seed)
        A, B = rng.random((7, rank)), rng.random((7, rank))
        assert amari_distance(A, B) == pytest.approx(amari_oracle(A, B), abs=1e-12)
        assert 0 <= amari_distance(A, B) <= 1

    @given(seeds, st.integers(1, 4))
    def test_instability_is_the_mean_over_pairs_of_runs(self, seed, rank):
        W = np.random.default_rng(seed).random((5, 7, rank))
        pairs = itertools.combinations(W, 2)
        expected = np.mean([amari_oracle(A, B) for A, B in pairs])
        assert amari_instability(W) == pytest.approx(expected, abs=1e-12)

    def test_distances_are_those_of_every_two_runs(self):
        W = np.random.default_rng(0).random((4, 7, 3))
        expected = [[amari_oracle(A, B) if A is not B else 0 for B in W] for A in W]
        np.testing.assert_allclose(amari_distances(W), expected, atol=1e-12)

    def test_the_correlation_is_absolute(self):
        a = np.array([[0.0], [1.0], [2.0]])
        assert amari_distance(a, 2 - a) == pytest.approx(0.0, abs=1e-12)

    def test_not_symmetric_in_rows_and_columns_of_one_pair(self):
        A = np.array([[1.0, 1.0], [0.0, 0.1], [0.0, 0.0], [0.5, 0.4]])
        B = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.5, 0.0]])
        c = np.abs([[np.corrcoef(a, b)[0, 1] for b in B.T] for a in A.T])
        assert c.max(axis=0).mean() != pytest.approx(c.max(axis=1).mean(), abs=0.01)
        assert amari_distance(A, B) == pytest.approx(amari_oracle(A, B), abs=1e-12)

    def test_the_same_components_in_another_order_are_at_distance_zero(self):
        A = np.random.default_rng(0).random((9, 4))
        assert amari_distance(A, 3 * A[:, [2, 0, 3, 1]]) == pytest.approx(0.0, abs=1e-12)

    @pytest.mark.parametrize("level", [0.0, 0.1, 1e300])
    @pytest.mark.parametrize("n_features", [1, 9, 11, 23, 1000])
    def test_a_constant_component_correlates_with_nothing(self, level, n_features):
        A = np.full((n_features, 1), level)
        B = np.random.default_rng(0).random((n_features, 1))
        assert amari_distance(A, B) == 1.0
        assert amari_instability(np.stack([A, B])) == 1.0
        assert amari_distance(A, A) == 1.0


class TestReproduced:
    def test_counts_the_other_runs_that_find_every_component(self):
        stream = np.random.default_rng(0)
        truth = np.eye(6)[:, :3]
        W = np.stack([truth[:, stream.permutation(3)] * stream.gamma(2, size=3) for _ in range(5)])
        W[3, :, 0] = np.ones(6)  # one component lost
        clusters = cluster_components(W)
        assert reproduced_share(clusters, 0) == pytest.approx(3 / 4)
        assert reproduced_share(clusters, 3) == 0

    def test_by_the_cosine_of_the_least_alike(self):
        a, b = np.eye(2), np.array([[1.0, 0.0], [0.5, 1.0]])
        clusters = cluster_components(np.stack([a, b]))
        least = 1 / np.sqrt(1.25)
        assert reproduced_share(clusters, 0, least - 1e-9) == 1
        assert reproduced_share(clusters, 0, least + 1e-9) == 0

    def test_one_run_is_no_evidence(self):
        assert reproduced_share(cluster_components(np.ones((1, 4, 2))), 0) is None
