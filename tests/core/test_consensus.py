import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.cluster.hierarchy import cophenet, is_valid_linkage, leaves_list, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import silhouette_score

from nmfcore import consensus
from nmfcore.consensus import (
    _nearest_clusters,
    collapse_labels,
    column_norms,
    consensus_matrix,
    consensus_silhouette,
    consensus_tree,
    cophenetic_correlation,
    dispersion,
    dispersion_from_labels,
    feature_labels,
    pac,
    run_labels,
    sample_labels,
    silhouette_widths,
    summarize_consensus,
)

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


@st.composite
def label_batches(draw, lowest=0, min_samples=3, max_samples=12):
    n_runs = draw(st.integers(1, 7))
    n_samples = draw(st.integers(min_samples, max_samples))
    return draw(arrays(np.intp, (n_runs, n_samples), elements=st.integers(lowest, 3)))


def noisy_labels(rng, n_runs=20, n_samples=60, n_clusters=4, flip=0.1):
    truth = rng.integers(0, n_clusters, n_samples)
    noise = rng.integers(0, n_clusters, (n_runs, n_samples))
    return np.where(rng.random((n_runs, n_samples)) < flip, noise, truth)


def tie_free_consensus(rng, n_samples):
    C = rng.random((n_samples, n_samples))
    C = (C + C.T) / 2
    np.fill_diagonal(C, 1.0)
    return C


def consensus_oracle(labels):
    n_runs, n = labels.shape
    C = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            both = together = 0
            for r in range(n_runs):
                if labels[r, i] >= 0 and labels[r, j] >= 0:
                    both += 1
                    together += labels[r, i] == labels[r, j]
            C[i, j] = 1.0 if i == j else together / both if both else 0.0
    return C


def average_linkage_heights_oracle(C):
    """Merge the two clusters with the least mean pairwise distance until one is left."""
    n = len(C)
    clusters = [[i] for i in range(n)]
    heights = np.zeros((n, n))
    while len(clusters) > 1:
        pairs = itertools.combinations(range(len(clusters)), 2)
        means = {
            (a, b): np.mean([1 - C[i, j] for i in clusters[a] for j in clusters[b]])
            for a, b in pairs
        }
        a, b = min(means, key=means.get)
        for i in clusters[a]:
            for j in clusters[b]:
                heights[i, j] = heights[j, i] = means[a, b]
        clusters[a] += clusters.pop(b)
    return heights


def silhouette_oracle(distance, labels):
    n = len(labels)
    widths = []
    for i in range(n):
        own = [distance[i, j] for j in range(n) if j != i and labels[j] == labels[i]]
        others = [
            np.mean([distance[i, j] for j in range(n) if labels[j] == name])
            for name in set(labels)
            if name != labels[i]
        ]
        a, b = np.mean(own) if own else 0.0, min(others)
        widths.append((b - a) / max(a, b) if own and max(a, b) > 0 else 0.0)
    return np.array(widths)


class TestLabels:
    def test_the_label_is_the_largest_coefficient(self):
        W = np.eye(3)[:, :2]
        H = np.array([[3.0, 1.0], [1.0, 2.0]])
        assert sample_labels(W, H).tolist() == [0, 1]

    def test_the_scale_of_W_moves_into_H_first(self):
        W = np.array([[1.0, 0.0], [0.0, 10.0]])
        H = np.array([[2.0], [1.0]])
        assert H.argmax() == 0
        assert sample_labels(W, H).tolist() == [1]

    def test_the_norm_is_euclidean(self):
        # Norms of the columns: L1 4 and 3, L2 2 and 3, so the norms disagree on the label.
        W = np.array([[1.0, 3.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
        assert sample_labels(W, np.array([[1.0], [0.9]])).tolist() == [1]

    def test_ties_and_zero_samples_are_unassigned(self):
        H = np.array([[1.0, 0.0, 2.0, 1.0], [1.0, 0.0, 1.0, 1.0 + 1e-6]])
        assert sample_labels(np.eye(2), H).tolist() == [-1, -1, 0, 1]

    @pytest.mark.parametrize("gap", [0.0, 1e-15, 1e-10])
    def test_a_tie_is_relative_and_survives_rounding(self, gap):
        for scale in (1e-200, 1.0, 1e200):
            H = scale * np.array([[1.0], [1.0 + gap]])
            assert sample_labels(np.eye(2), H).tolist() == [-1]
            assert sample_labels(np.eye(2), H, relative_tie=1e-16).tolist() == [
                -1 if gap == 0 else 1
            ]

    def test_a_component_that_is_zero_in_W_labels_nothing(self):
        W = np.array([[1.0, 0.0], [1.0, 0.0]])
        assert sample_labels(W, np.array([[1.0, 0.0], [9.0, 9.0]])).tolist() == [0, -1]
        assert sample_labels(np.zeros((2, 2)), np.ones((2, 3))).tolist() == [-1, -1, -1]

    def test_rank_one_labels_every_nonzero_sample_0(self):
        assert sample_labels(np.ones((3, 1)), np.array([[1.0, 0.0, 1e-300]])).tolist() == [0, -1, 0]

    def test_runs_are_labelled_as_if_alone(self):
        rng = np.random.default_rng(0)
        W, H = rng.random((4, 6, 3)), rng.random((4, 3, 9))
        batch = run_labels(W, H)
        assert batch.dtype == np.intp
        for r in range(4):
            np.testing.assert_array_equal(batch[r], sample_labels(W[r], H[r]))
            np.testing.assert_array_equal(
                batch[r], (np.linalg.norm(W[r], axis=0)[:, None] * H[r]).argmax(axis=0)
            )

    @given(st.integers(0, 2**32 - 1))
    def test_gauge_and_order_of_components_change_no_label(self, seed):
        rng = np.random.default_rng(seed)
        W, H = rng.random((6, 4)), rng.random((4, 15))
        D = 10.0 ** rng.uniform(-30, 30, 4)
        order = rng.permutation(4)
        labels = sample_labels(W, H)
        np.testing.assert_array_equal(sample_labels(W * D, H / D[:, None]), labels)
        np.testing.assert_array_equal(order[sample_labels(W[:, order], H[order])], labels)

    @pytest.mark.parametrize("scale", [1e-300, 1e300])
    def test_column_norms_neither_overflow_nor_underflow(self, scale):
        W = np.array([[3.0, 0.0], [4.0, 0.0]])
        np.testing.assert_allclose(column_norms(scale * W), [5 * scale, 0.0], rtol=1e-15)

    @pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
    def test_the_size_of_W_changes_no_label(self, scale):
        rng = np.random.default_rng(3)
        W, H = rng.random((4, 6, 3)), rng.random((4, 3, 9))
        expected = run_labels(W, H)
        assert (expected >= 0).all()
        sizes = np.array([scale, 1.0, 1.0, 1 / scale])[:, None, None]
        np.testing.assert_array_equal(run_labels(W * sizes, H), expected)
        np.testing.assert_array_equal(run_labels(W, H * np.minimum(sizes, 1e200)), expected)

    def test_tiny_factors_are_labelled_like_others(self):
        rng = np.random.default_rng(5)
        W, H = rng.random((4, 6, 3)), rng.random((4, 3, 9))
        np.testing.assert_array_equal(run_labels(1e-200 * W, 1e-200 * H), run_labels(W, H))

    def test_a_tie_is_met_exactly(self):
        W = np.eye(2)[None]
        H = np.array([[[1.0, 1.0], [0.5, np.nextafter(0.5, 0)]]])
        assert run_labels(W, H, relative_tie=0.5).tolist() == [[-1, 0]]

    def test_float32_is_measured_in_float64(self):
        W = np.full((3, 1), 1e30, dtype=np.float32)
        assert column_norms(W).dtype == np.float64
        assert np.isfinite(column_norms(W)).all()


class TestConsensusMatrix:
    @given(label_batches(lowest=-1))
    def test_oracle(self, labels):
        np.testing.assert_array_equal(consensus_matrix(labels), consensus_oracle(labels))

    @given(label_batches(lowest=-1))
    def test_symmetric_with_unit_diagonal(self, labels):
        C = consensus_matrix(labels)
        assert C.dtype == np.float64
        np.testing.assert_array_equal(C, C.T)
        np.testing.assert_array_equal(np.diag(C), 1.0)

    @given(label_batches())
    def test_entries_are_counts_divided_by_the_runs(self, labels):
        n_runs = len(labels)
        allowed = {count / n_runs for count in range(n_runs + 1)}
        assert set(consensus_matrix(labels).ravel()) <= allowed

    @given(label_batches(lowest=-1), st.randoms(use_true_random=False))
    def test_run_order_and_label_names_do_not_matter(self, labels, random):
        renamed = labels.copy()
        for row in renamed:
            names = random.sample(range(4), 4)
            row[row >= 0] = np.array(names)[row[row >= 0]]
        order = random.sample(range(len(labels)), len(labels))
        np.testing.assert_array_equal(consensus_matrix(renamed[order]), consensus_matrix(labels))

    @given(label_batches(), st.integers(0, 2**32 - 1))
    def test_mergeable(self, labels, seed):
        more = np.random.default_rng(seed).integers(0, 4, (3, labels.shape[1]))
        merged = (consensus_matrix(labels) * len(labels) + consensus_matrix(more) * 3) / (
            len(labels) + 3
        )
        np.testing.assert_allclose(consensus_matrix(np.vstack([labels, more])), merged, **CLOSE)

    def test_pairs_count_only_runs_that_assign_both(self):
        labels = np.array([[0, 0, -1, -1], [0, -1, 0, -1], [0, 1, -1, -1]])
        C = consensus_matrix(labels)
        assert C[0, 1] == 1 / 2
        assert C[0, 2] == 1
        assert C[1, 2] == 0
        assert C[3].tolist() == [0, 0, 0, 1]

    def test_counts_are_exact_for_many_runs(self):
        labels = np.zeros((5001, 2), dtype=np.intp)
        labels[:2, 0] = 1
        assert consensus_matrix(labels)[0, 1] == 4999 / 5001

    def test_no_runs_is_an_error(self):
        with pytest.raises(ValueError, match="n_runs >= 1"):
            consensus_matrix(np.empty((0, 5), dtype=np.intp))

    def test_no_samples(self):
        assert consensus_matrix(np.empty((2, 0), dtype=np.intp)).shape == (0, 0)


class TestCollapse:
    @given(label_batches(lowest=-1, min_samples=0))
    def test_columns_are_distinct_and_complete(self, labels):
        collapsed = collapse_labels(labels)
        np.testing.assert_array_equal(collapsed.labels[:, collapsed.inverse], labels)
        columns = {tuple(column) for column in labels.T}
        assert {tuple(column) for column in collapsed.labels.T} == columns
        assert collapsed.weights.size == collapsed.labels.shape[1] == len(columns)
        assert collapsed.weights.sum() == labels.shape[1]
        np.testing.assert_array_equal(
            collapsed.weights, np.bincount(collapsed.inverse, minlength=len(columns))
        )

    @given(label_batches())
    def test_every_criterion_is_the_same_on_distinct_rows(self, labels):
        collapsed = collapse_labels(labels)
        C, small = consensus_matrix(labels), consensus_matrix(collapsed.labels)
        weights = collapsed.weights
        clusters = consensus_tree(C, 3).labels
        of_rows = np.empty(weights.size, dtype=np.intp)
        of_rows[collapsed.inverse] = clusters
        full = [
            cophenetic_correlation(C),
            dispersion(C),
            pac(C),
            consensus_silhouette(C, clusters),
        ]
        weighted = [
            cophenetic_correlation(small, weights),
            dispersion(small, weights),
            pac(small, weights=weights),
            consensus_silhouette(small, of_rows, weights),
        ]
        for value, expected in zip(weighted, full, strict=True):
            assert (value is None) == (expected is None)
            if expected is not None:
                assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)


class TestTree:
    @pytest.mark.parametrize("n_samples", [2, 3, 5, 30])
    def test_heights_match_scipy_and_the_definition(self, n_samples):
        rng = np.random.default_rng(n_samples)
        C = tie_free_consensus(rng, n_samples)
        ours = cophenet(consensus_tree(C, 2).linkage)
        np.testing.assert_allclose(
            ours, cophenet(linkage(squareform(1 - C, checks=False), "average")), **CLOSE
        )
        np.testing.assert_allclose(squareform(ours), average_linkage_heights_oracle(C), **CLOSE)

    @given(label_batches(lowest=-1), st.integers(1, 5))
    def test_the_linkage_is_valid_and_its_leaves_are_the_order(self, labels, n_clusters):
        assigned = (labels >= 0).any(axis=0)
        tree = consensus_tree(consensus_matrix(labels), n_clusters, assigned)
        members = np.flatnonzero(assigned)
        np.testing.assert_array_equal(np.sort(tree.order), members)
        assert tree.linkage.shape == (max(members.size - 1, 0), 4)
        np.testing.assert_array_equal(tree.labels == -1, ~assigned)
        np.testing.assert_array_equal(tree.assigned, assigned)
        if members.size > 1:
            assert is_valid_linkage(tree.linkage)
            assert (np.diff(tree.linkage[:, 2]) > -1e-12).all()
            np.testing.assert_array_equal(members[leaves_list(tree.linkage)], tree.order)

    @given(label_batches(), st.integers(1, 5))
    def test_the_cut_has_k_clusters_and_never_divides_equal_samples(self, labels, n_clusters):
        tree = consensus_tree(consensus_matrix(labels), n_clusters)
        collapsed = collapse_labels(labels)
        expected = min(n_clusters, collapsed.weights.size)
        assert sorted(set(tree.labels)) == list(range(expected))
        for row in range(collapsed.weights.size):
            assert len(set(tree.labels[collapsed.inverse == row])) == 1

    def test_the_cut_undoes_the_last_merges(self):
        rng = np.random.default_rng(1)
        C = tie_free_consensus(rng, 20)
        heights = average_linkage_heights_oracle(C)
        for k in range(1, 21):
            labels = consensus_tree(C, k).labels
            together = labels[:, None] == labels
            merges = np.sort(np.unique(heights[heights > 0]))
            threshold = merges[len(merges) - k] if k <= len(merges) else 0.0
            np.testing.assert_array_equal(together, heights <= threshold)

    def test_clusters_are_numbered_by_first_appearance(self):
        labels = np.array([[2, 0, 2, 1, 0, -1]] * 3)
        assigned = labels[0] >= 0
        tree = consensus_tree(consensus_matrix(labels), 3, assigned)
        assert tree.labels.tolist() == [0, 1, 0, 2, 1, -1]

    def test_the_leaf_order_keeps_clusters_together_and_is_optimal(self):
        rng = np.random.default_rng(2)
        labels = noisy_labels(rng, n_samples=40)
        C = consensus_matrix(labels)
        order = consensus_tree(C, 4).order
        y = squareform(1 - C, checks=False)
        plain, best = (
            leaves_list(linkage(y, "average", optimal_ordering=optimal))
            for optimal in (False, True)
        )

        def length(leaves):
            return (1 - C)[leaves[:-1], leaves[1:]].sum()

        assert length(order) < length(plain)
        assert length(order) == pytest.approx(length(best), rel=0.05)

    @given(label_batches(max_samples=9), st.randoms(use_true_random=False))
    def test_sample_order_changes_no_criterion_and_no_group(self, labels, random):
        order = np.array(random.sample(range(labels.shape[1]), labels.shape[1]))
        before, after = (summarize_consensus(batch, 2) for batch in (labels, labels[:, order]))
        for name in CRITERIA:
            value, expected = getattr(after, name), getattr(before, name)
            assert value == expected or value == pytest.approx(expected, abs=1e-12)
        then, now = before.tree.labels[order], after.tree.labels
        if before.consensus_silhouette is not None:
            assert sorted(np.bincount(then)) == sorted(np.bincount(now))

    def test_sample_order_does_not_decide_ties(self):
        rng = np.random.default_rng(3)
        labels = noisy_labels(rng, n_runs=3, n_samples=40, n_clusters=3, flip=0.3)
        before = summarize_consensus(labels, 3)
        for _ in range(10):
            order = rng.permutation(40)
            after = summarize_consensus(labels[:, order], 3)
            assert after.cophenetic_correlation == pytest.approx(
                before.cophenetic_correlation, abs=1e-12
            )
            assert after.consensus_silhouette == pytest.approx(
                before.consensus_silhouette, abs=1e-12
            )
            then, now = before.tree.labels[order], after.tree.labels
            np.testing.assert_array_equal(then[:, None] == then, now[:, None] == now)

    @pytest.mark.parametrize(
        "labels",
        [
            [[0, 1, 2, 0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1, 2, 2, 2]],
            [[2, 2, 1, 1, 2], [1, 2, 1, 0, 2], [2, 0, 2, 0, 2], [2, 1, 0, 0, 0]],
            [[0, 1, 1, 0, 1, 1, 0], [1, 0, 2, 1, 1, 1, 0]],
            [[0, 1, 2, 2, 0, 0, 0, 1, 2, 2, 0, 1], [0, 0, 2, 0, 2, 2, 0, 2, 2, 2, 0, 0]],
        ],
    )
    def test_sample_order_does_not_decide_ties_among_symmetric_rows(self, labels):
        labels = np.array(labels)
        rng = np.random.default_rng(0)
        expected = cophenetic_correlation(consensus_matrix(labels))
        for _ in range(50):
            shuffled = labels[:, rng.permutation(labels.shape[1])]
            value = cophenetic_correlation(consensus_matrix(shuffled))
            assert value == pytest.approx(expected, abs=1e-12)
            summary = summarize_consensus(shuffled, 3)
            assert summary.cophenetic_correlation == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("n_samples", [0, 1])
    def test_without_pairs_the_tree_is_empty(self, n_samples):
        tree = consensus_tree(np.ones((n_samples, n_samples)), 2)
        assert tree.linkage.shape == (0, 4)
        assert tree.labels.tolist() == tree.order.tolist() == [0] * n_samples

    def test_rows_with_the_same_signature_are_compared(self, monkeypatch):
        monkeypatch.setattr(consensus, "_random_coefficients", np.ones)
        C = consensus_matrix(np.array([[0, 1, 2, 2], [0, 1, 2, 2]]))
        C[0, 1] = C[1, 0] = 1.0
        assert consensus_tree(C, 2).labels.tolist() == [0, 0, 1, 1]
        assert consensus_tree(C, 4).labels.tolist() == [0, 0, 1, 1]
        assert cophenetic_correlation(C) == 1.0

    @pytest.mark.parametrize("value", [0.3, np.nan])
    def test_not_a_consensus_matrix(self, value):
        C = np.eye(4)
        C[1, 2] = value
        with pytest.raises(ValueError, match=r"^a consensus matrix is symmetric and without NaN$"):
            consensus_tree(C, 2)

    def test_all_samples_are_assigned_unless_said_otherwise(self):
        tree = consensus_tree(tie_free_consensus(np.random.default_rng(0), 6), 2)
        assert tree.assigned.dtype == bool
        assert tree.assigned.all()

    @pytest.mark.parametrize("n_samples", [40, 300])
    def test_equal_samples_stand_side_by_side_in_their_own_order(self, n_samples):
        labels = np.random.default_rng(n_samples).integers(0, 3, n_samples)
        order = consensus_tree(consensus_matrix(np.vstack([labels] * 2)), 3).order
        groups = [list(group) for _, group in itertools.groupby(order, key=lambda i: labels[i])]
        assert len(groups) == 3
        assert all(group == sorted(group) for group in groups)

    def test_the_input_is_left_alone(self):
        C = tie_free_consensus(np.random.default_rng(0), 6)
        C.flags.writeable = False
        consensus_tree(C, 2)
        assert cophenetic_correlation(C) is not None


class TestCophenetic:
    @pytest.mark.parametrize("n_samples", [3, 10, 40])
    def test_pearson_over_pairs(self, n_samples):
        C = tie_free_consensus(np.random.default_rng(n_samples), n_samples)
        above = np.triu_indices(n_samples, 1)
        heights = average_linkage_heights_oracle(C)
        expected = np.corrcoef((1 - C)[above], heights[above])[0, 1]
        assert cophenetic_correlation(C) == pytest.approx(expected, rel=1e-12)
        y = squareform(1 - C, checks=False)
        assert cophenetic_correlation(C) == pytest.approx(
            cophenet(linkage(y, "average"), y)[0], rel=1e-12
        )

    def test_not_the_square_matrix_nor_complete_linkage(self):
        C = tie_free_consensus(np.random.default_rng(5), 12)
        y = squareform(1 - C, checks=False)
        value = cophenetic_correlation(C)
        assert abs(value - cophenet(linkage(y, "complete"), y)[0]) > 1e-3

    def test_weights_are_repeats(self):
        rng = np.random.default_rng(6)
        C = tie_free_consensus(rng, 9)
        weights = rng.integers(1, 5, 9)
        repeated = np.repeat(np.arange(9), weights)
        full = C[np.ix_(repeated, repeated)]
        y = squareform(1 - full, checks=False)
        expected = cophenet(linkage(y, "average"), y)[0]
        assert cophenetic_correlation(C, weights) == pytest.approx(expected, rel=1e-12)
        assert cophenetic_correlation(full) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
    def test_constant_consensus_is_undefined(self, value):
        C = np.full((5, 5), value)
        np.fill_diagonal(C, 1.0)
        assert cophenetic_correlation(C) is None

    @pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint8, np.float32])
    def test_weights_of_any_kind_neither_overflow_nor_round(self, kind):
        C = tie_free_consensus(np.random.default_rng(7), 6)
        labels = np.array([0, 0, 1, 1, 2, 2])
        weights = np.array([100, 90, 120, 3, 60, 127])
        for criterion in (
            cophenetic_correlation,
            dispersion,
            lambda C, weights: pac(C, weights=weights),
            lambda C, weights: consensus_silhouette(C, labels, weights),
        ):
            expected = criterion(C, weights.astype(float))
            assert criterion(C, weights.astype(kind)) == pytest.approx(expected, rel=1e-12)

    def test_a_perfect_hierarchy_is_never_above_one(self):
        rng = np.random.default_rng(11)
        for _ in range(300):
            heights = cophenet(linkage(rng.random((7, 2)), "average"))
            C = 1 - squareform(heights / heights.max())
            value = cophenetic_correlation(C, rng.integers(1, 9, 7))
            assert 1 - 1e-9 < value <= 1

    def test_fewer_than_three_samples_is_undefined(self):
        assert cophenetic_correlation(np.array([[1.0, 0.5], [0.5, 1.0]])) is None
        assert cophenetic_correlation(np.ones((1, 1))) is None
        assert cophenetic_correlation(np.ones((0, 0))) is None

    def test_perfect_blocks_give_one(self):
        assert cophenetic_correlation(consensus_matrix(np.array([[0, 0, 1, 1, 2]] * 4))) == 1.0


class TestDispersion:
    @given(label_batches(lowest=-1))
    def test_definition(self, labels):
        C = consensus_matrix(labels)
        n = len(C)
        expected = sum(4 * (C[i, j] - 0.5) ** 2 for i in range(n) for j in range(n)) / n**2
        assert dispersion(C) == pytest.approx(expected, rel=1e-12)

    @given(label_batches())
    def test_contingency_tables_give_the_same(self, labels):
        assert dispersion_from_labels(labels) == pytest.approx(
            dispersion(consensus_matrix(labels)), rel=1e-12, abs=1e-12
        )

    def test_the_diagonal_counts_and_the_sum_is_divided_by_n_squared(self):
        C = np.array([[1.0, 0.5], [0.5, 1.0]])
        assert dispersion(C) == 0.5

    def test_perfect_blocks_give_one(self):
        labels = np.array([[0, 0, 1, 1, 2]] * 4)
        assert dispersion(consensus_matrix(labels)) == dispersion_from_labels(labels) == 1.0

    def test_contingency_tables_need_complete_labels(self):
        said = r"^unassigned samples: use dispersion\(consensus_matrix\(labels\)\) instead$"
        with pytest.raises(ValueError, match=said):
            dispersion_from_labels(np.array([[0, -1], [0, 0]]))


class TestPac:
    @given(label_batches(lowest=-1))
    def test_definition(self, labels):
        C = consensus_matrix(labels)
        pairs = list(itertools.combinations(range(len(C)), 2))
        expected = sum(0.1 < C[i, j] < 0.9 for i, j in pairs) / len(pairs)
        assert pac(C) == pytest.approx(expected, rel=1e-12)

    def test_the_diagonal_does_not_count(self):
        assert pac(np.array([[1.0, 0.5], [0.5, 1.0]])) == 1.0
        assert pac(np.full((3, 3), 0.5)) == 1.0

    @pytest.mark.parametrize("n_runs", [10, 20, 30, 50, 100])
    def test_the_cut_points_are_strict(self, n_runs):
        labels = np.zeros((n_runs, 3), dtype=np.intp)
        labels[: n_runs // 10, 0] = 1
        labels[: 9 * n_runs // 10, 1] = 2
        C = consensus_matrix(labels)
        assert C[0, 2] == 0.9
        assert C[1, 2] == 0.1
        assert pac(C) == 0.0
        assert pac(C, low=0.09, high=0.91) == 1.0
        assert pac(C, low=0.0, high=1.0) == 1.0

    def test_the_cut_points_may_be_the_ends(self):
        C = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.4], [1.0, 0.4, 1.0]])
        assert pac(C, low=0.0, high=1.0) == pytest.approx(1 / 3)

    def test_one_sample_is_undefined(self):
        assert pac(np.ones((1, 1))) is None

    @pytest.mark.parametrize(("low", "high"), [(0.9, 0.1), (0.5, 0.5), (-0.1, 0.5), (0.5, 1.1)])
    def test_cut_points_out_of_order(self, low, high):
        with pytest.raises(ValueError, match="cut points"):
            pac(np.ones((3, 3)), low, high)


class TestSilhouette:
    @given(st.integers(0, 2**32 - 1))
    def test_widths_match_the_definition(self, seed):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 12))
        distance = 1 - tie_free_consensus(rng, n)
        labels = rng.integers(0, 4, n)
        labels[:2] = 0, 1
        np.testing.assert_allclose(
            silhouette_widths(distance, labels), silhouette_oracle(distance, labels), **CLOSE
        )

    def test_matches_scikit_learn(self):
        rng = np.random.default_rng(0)
        C = consensus_matrix(noisy_labels(rng, flip=0.3))
        labels = consensus_tree(C, 4).labels
        assert consensus_silhouette(C, labels) == pytest.approx(
            silhouette_score(1 - C, labels, metric="precomputed"), rel=1e-12
        )

    def test_weights_are_repeats(self):
        rng = np.random.default_rng(1)
        C = tie_free_consensus(rng, 8)
        labels = np.array([0, 0, 1, 1, 1, 2, 3, 3])
        weights = np.array([3, 1, 2, 5, 1, 1, 2, 2])
        repeated = np.repeat(np.arange(8), weights)
        assert consensus_silhouette(C, labels, weights) == pytest.approx(
            silhouette_score(
                1 - C[np.ix_(repeated, repeated)], labels[repeated], metric="precomputed"
            ),
            rel=1e-12,
        )

    def test_alone_in_a_cluster_is_zero(self):
        distance = np.array([[0.0, 0.1, 0.9], [0.1, 0.0, 0.9], [0.9, 0.9, 0.0]])
        np.testing.assert_allclose(
            silhouette_widths(distance, np.array([0, 0, 1])), [8 / 9, 8 / 9, 0.0], **CLOSE
        )

    def test_undefined_cases(self):
        C = tie_free_consensus(np.random.default_rng(2), 4)
        assert consensus_silhouette(C, np.zeros(4, dtype=np.intp)) is None
        assert consensus_silhouette(C, np.arange(4)) is None
        assert consensus_silhouette(C[:2, :2], np.arange(2)) is None
        constant = np.full((4, 4), 0.4)
        np.fill_diagonal(constant, 1.0)
        assert consensus_silhouette(constant, np.array([0, 0, 1, 1])) is None
        # Rows that stand for two samples each, all of them always together.
        assert consensus_silhouette(np.ones((2, 2)), np.array([0, 1]), np.array([2, 2])) is None


CRITERIA = ("cophenetic_correlation", "dispersion", "pac", "consensus_silhouette")


class TestSummary:
    @given(label_batches(lowest=-1))
    def test_the_numbers_are_those_of_the_full_matrix_of_assigned_samples(self, labels):
        summary = summarize_consensus(labels, 3)
        np.testing.assert_array_equal(summary.consensus, consensus_matrix(labels))
        assert (summary.rank, summary.n_runs, summary.sampled) == (3, len(labels), None)
        assigned = (labels >= 0).any(axis=0)
        np.testing.assert_array_equal(summary.tree.assigned, assigned)
        if len(labels) == 1 or not assigned.any():
            return
        C = consensus_matrix(labels[:, assigned])
        expected = [
            cophenetic_correlation(C),
            dispersion(C),
            pac(C),
            consensus_silhouette(C, summary.tree.labels[assigned]),
        ]
        for name, value in zip(CRITERIA, expected, strict=True):
            ours = getattr(summary, name)
            assert (ours is None) == (value is None), name
            if value is not None:
                assert ours == pytest.approx(value, rel=1e-12, abs=1e-12), name

    def test_large_input_goes_through_distinct_rows_and_gives_the_same(self):
        labels = noisy_labels(np.random.default_rng(0), n_runs=5, n_samples=400, flip=0.03)
        full = summarize_consensus(labels, 4)
        n_distinct = collapse_labels(labels).weights.size
        assert n_distinct < 200
        large = summarize_consensus(labels, 4, max_samples=n_distinct)
        assert large.consensus is None
        assert large.sampled is None
        for name in CRITERIA:
            assert getattr(large, name) == getattr(full, name)
        np.testing.assert_array_equal(large.tree.labels, full.tree.labels)
        np.testing.assert_array_equal(large.tree.linkage, full.tree.linkage)

    def test_larger_input_is_sampled_and_says_so(self):
        labels = noisy_labels(np.random.default_rng(0), n_samples=900, flip=0.2)
        labels[:, 7] = -1
        full = summarize_consensus(labels, 4)
        summary = summarize_consensus(labels, 4, max_samples=300, seed=1)
        assert summary.consensus is None
        assert summary.sampled.size == np.unique(summary.sampled).size == 300
        assert 7 not in summary.sampled
        assert summary.tree.labels[7] == -1
        np.testing.assert_array_equal(np.sort(summary.tree.order), summary.sampled)
        np.testing.assert_array_equal(summary.tree.assigned, full.tree.assigned)
        assert summary.dispersion == pytest.approx(full.dispersion, rel=1e-12)
        for name in CRITERIA:
            assert getattr(summary, name) == pytest.approx(getattr(full, name), abs=0.02)
            assert getattr(summary, name) != 1.0
        agreement = np.equal.outer(summary.tree.labels, summary.tree.labels) == np.equal.outer(
            full.tree.labels, full.tree.labels
        )
        assert agreement.mean() > 0.999
        again = summarize_consensus(labels, 4, max_samples=300, seed=1)
        np.testing.assert_array_equal(again.sampled, summary.sampled)
        drawn = [
            summarize_consensus(labels, 4, max_samples=300, **s).sampled for s in ({}, {"seed": 0})
        ]
        np.testing.assert_array_equal(*drawn)
        other = summarize_consensus(labels, 4, max_samples=300, seed=2)
        assert (other.sampled != summary.sampled).any()

    def test_samples_outside_the_drawn_ones_get_the_cluster_they_share_most_with(self):
        rng = np.random.default_rng(4)
        labels = noisy_labels(rng, n_runs=9, n_samples=200, flip=0.4)
        labels[rng.random(labels.shape) < 0.1] = -1
        summary = summarize_consensus(labels, 4, max_samples=60)
        drawn = summary.sampled
        outside = np.setdiff1d(np.arange(200), drawn)
        clusters = summary.tree.labels
        for sample in outside:
            scores = []
            for cluster in range(4):
                members = drawn[clusters[drawn] == cluster]
                pairs = [
                    (labels[r, sample], labels[r, j])
                    for r in range(9)
                    for j in members
                    if labels[r, sample] >= 0 and labels[r, j] >= 0
                ]
                scores.append(np.mean([a == b for a, b in pairs]) if pairs else 0.0)
            assert scores[clusters[sample]] == pytest.approx(max(scores))

    @given(st.integers(0, 2**32 - 1))
    def test_the_nearest_cluster_by_brute_force(self, seed):
        rng = np.random.default_rng(seed)
        n_runs, n_new, n_known = rng.integers(1, 6), 4, int(rng.integers(2, 7))
        labels = rng.integers(-1, 3, (n_runs, n_new))
        reference = rng.integers(-1, 3, (n_runs, n_known))
        clusters = rng.integers(0, 3, n_known)
        nearest = _nearest_clusters(labels, reference, clusters)
        for sample in range(n_new):
            scores = {}
            for cluster in np.unique(clusters):
                known = reference[:, clusters == cluster]
                own = labels[:, [sample]]
                both = (own >= 0) & (known >= 0)
                scores[cluster] = ((own == known) & both).sum() / max(both.sum(), 1)
            assert nearest[sample] in scores
            assert scores[nearest[sample]] == pytest.approx(max(scores.values()))

    def test_as_many_samples_as_are_allowed_are_not_drawn_from(self):
        labels = noisy_labels(np.random.default_rng(0), n_samples=40, flip=0.2)
        assert summarize_consensus(labels, 4, max_samples=40).consensus is not None
        assert summarize_consensus(labels, 4, max_samples=39).consensus is None

    def test_rank_two_is_defined(self):
        labels = noisy_labels(np.random.default_rng(1), n_samples=40, flip=0.2) % 2
        summary = summarize_consensus(labels, 2)
        assert None not in [getattr(summary, name) for name in CRITERIA]

    def test_one_run_is_no_evidence(self):
        summary = summarize_consensus(np.array([[0, 0, 1, 1, 2]]), 3)
        assert [getattr(summary, name) for name in CRITERIA] == [None] * 4
        assert summary.tree.labels.tolist() == [0, 0, 1, 1, 2]

    def test_rank_one_is_undefined(self):
        summary = summarize_consensus(np.zeros((10, 6), dtype=np.intp), 1)
        assert [getattr(summary, name) for name in CRITERIA] == [None] * 4

    def test_identical_runs_with_one_group_have_no_correlation(self):
        summary = summarize_consensus(np.zeros((10, 6), dtype=np.intp), 3)
        assert summary.cophenetic_correlation is None
        assert summary.consensus_silhouette is None
        assert summary.dispersion == 1.0

    def test_samples_no_run_assigns_change_nothing(self):
        labels = noisy_labels(np.random.default_rng(8), n_samples=30)
        extended = np.insert(labels, [0, 4, 30], -1, axis=1)
        one, other = summarize_consensus(labels, 4), summarize_consensus(extended, 4)
        for name in CRITERIA:
            assert getattr(one, name) == getattr(other, name)
        np.testing.assert_array_equal(other.tree.labels[other.tree.assigned], one.tree.labels)
        assert other.tree.assigned.sum() == 30

    def test_nothing_assigned(self):
        summary = summarize_consensus(np.full((3, 4), -1), 2)
        assert [getattr(summary, name) for name in CRITERIA] == [None] * 4
        assert summary.tree.labels.tolist() == [-1] * 4

    @settings(max_examples=25)
    @given(st.integers(0, 2**32 - 1))
    def test_run_order_and_label_names_change_nothing(self, seed):
        rng = np.random.default_rng(seed)
        labels = noisy_labels(rng, n_runs=6, n_samples=15, flip=0.3)
        renamed = np.array([rng.permutation(4)[row] for row in rng.permutation(labels)])
        one, other = summarize_consensus(labels, 4), summarize_consensus(renamed, 4)
        for name in CRITERIA:
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-12)


def test_features_are_labelled_by_the_component_they_weigh_most_in():
    W = np.array([[[3.0, 1.0], [1.0, 2.0], [2.0, 2.0], [0.0, 0.0]]])
    H = np.array([[[1.0, 0.0], [3.0, 4.0]]])  # of norm 1 and 5
    assert feature_labels(W, H).tolist() == [[1, 1, 1, -1]]
    assert feature_labels(W, H * [[[10.0], [1.0]]]).tolist() == [[0, -1, 0, -1]]
    assert feature_labels(W, H, relative_tie=1.0).tolist() == [[-1, -1, -1, -1]]


def test_more_distinct_samples_than_are_sampled_are_stated(monkeypatch):
    monkeypatch.setattr("nmfcore.consensus.SAMPLED", 40)
    stream = np.random.default_rng(0)
    labels = stream.integers(3, size=(20, 300))
    summary = summarize_consensus(labels, 3, max_samples=100)
    assert summary.sampled is not None
    assert len(summary.sampled) == 40
    exact = summarize_consensus(labels, 3)
    assert exact.sampled is None
    assert summary.dispersion == pytest.approx(exact.dispersion, abs=1e-12)
    assert summary.pac == pytest.approx(exact.pac, abs=0.05)


def test_the_order_of_leaves_moves_no_number():
    labels = np.random.default_rng(0).integers(3, size=(10, 50))
    with_order = summarize_consensus(labels, 3)
    without = summarize_consensus(labels, 3, leaves_in_order=False)
    for name in ("cophenetic_correlation", "dispersion", "pac", "consensus_silhouette"):
        assert getattr(with_order, name) == getattr(without, name)
    ordered, plain = (s.tree.order.tolist() for s in (with_order, without))
    assert sorted(ordered) == sorted(plain)
    assert ordered != plain


@pytest.mark.parametrize("between", range(3))
@pytest.mark.parametrize("near", range(2))
def test_leaves_of_three_samples_already_lie_beside_those_they_are_like(between, near):
    """Two merges: one sample is like each of the others, which are unlike; it belongs between them."""
    ends = [sample for sample in range(3) if sample != between]
    C = np.eye(3)
    for end, likeness in zip(ends, (0.9, 0.4) if near else (0.4, 0.9), strict=True):
        C[between, end] = C[end, between] = likeness
    assert consensus_tree(C, 2).order[1] == between
