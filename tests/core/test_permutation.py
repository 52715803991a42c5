import numpy as np
import pytest
from scipy import sparse

from nmfcore import Penalties, factorize
from nmfcore.permutation import (
    permutation_null,
    permutation_p_values,
    permuted_within_features,
)

stream = np.random.default_rng(0)
V = stream.poisson(30 * stream.gamma(0.5, size=(40, 3)) @ stream.gamma(0.5, size=(3, 36)))
V = V.astype(float)


class TestPermuted:
    def test_every_feature_keeps_its_values_in_another_order(self):
        shuffled = permuted_within_features(V, 0, 0)
        np.testing.assert_array_equal(np.sort(shuffled, axis=1), np.sort(V, axis=1))
        assert (shuffled != V).any(axis=1).mean() > 0.9

    def test_features_are_shuffled_each_on_its_own(self):
        same = np.tile(np.arange(36.0), (40, 1))
        assert len(np.unique(permuted_within_features(same, 0, 0), axis=0)) == 40

    def test_sparse_stays_sparse_and_keeps_the_values_of_every_feature(self):
        thin = sparse.csr_array(np.where(V > 8, V, 0))
        shuffled = permuted_within_features(thin, 0, 0)
        assert sparse.issparse(shuffled)
        found, given = shuffled.toarray(), thin.toarray()
        np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(given, axis=1))
        assert (found != given).any()

    def test_missing_cells_stay_where_they_are(self):
        observed = stream.random(V.shape) < 0.7
        shuffled = permuted_within_features(np.where(observed, V, -7), 0, 0, observed)
        assert (shuffled[~observed] == -7).all()
        for row, seen, given in zip(shuffled, observed, V, strict=True):
            np.testing.assert_array_equal(np.sort(row[seen]), np.sort(given[seen]))

    def test_the_index_and_the_root_seed_draw_others(self):
        a, b, c, d = (permuted_within_features(V, *key) for key in ((0, 0), (0, 0), (0, 1), (1, 0)))
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
        assert (a != d).any()


class TestNull:
    def test_is_the_best_loss_of_the_same_seeds_on_each_permuted_matrix(self):
        found = permutation_null(V, 2, range(3), n_permutations=2, root_seed=4)
        expected = [
            factorize(permuted_within_features(V, 4, i), 2, range(3), 4).loss.min() for i in (0, 1)
        ]
        np.testing.assert_array_equal(found.losses, expected)

    def test_copies_are_fitted_like_the_matrix(self):
        like = {"penalties": Penalties(l1_H=30.0), "solver": "mu", "start": "columns"}
        found = permutation_null(V, 2, range(3), n_permutations=1, root_seed=4, **like)
        runs = factorize(permuted_within_features(V, 4, 0), 2, range(3), 4, **like)
        np.testing.assert_array_equal(found.losses, [runs.loss.min()])
        for name in like:
            other = {key: value for key, value in like.items() if key != name}
            plain = permutation_null(V, 2, range(3), n_permutations=1, root_seed=4, **other)
            assert plain.losses[0] != found.losses[0], name

    def test_structure_gains_more_than_chance_up_to_its_rank(self):
        ranks = range(1, 6)
        parts = np.kron(np.eye(3), np.ones((12, 1)))
        grouped = stream.poisson(20 * parts @ stream.dirichlet([0.3] * 3, 40).T).astype(float)
        losses = np.array([factorize(grouped, rank, range(4)).loss.min() for rank in ranks])
        null = np.array([permutation_null(grouped, rank, range(4), 19).losses for rank in ranks])
        p = permutation_p_values(losses, null)
        assert np.isnan(p[0])
        np.testing.assert_allclose(p[1:3], 0.05)
        assert (p[3:] > 0.05).all()

    def test_noise_does_not(self):
        noise = stream.gamma(5, size=(40, 30))
        losses = np.array([factorize(noise, rank, range(4)).loss.min() for rank in (1, 2, 3)])
        null = np.array([permutation_null(noise, rank, range(4), 19).losses for rank in (1, 2, 3)])
        assert (permutation_p_values(losses, null)[1:] > 0.05).all()


class TestPValues:
    def test_by_hand(self):
        losses = np.array([10.0, 6.0, 5.0, 3.0])
        null = np.array([[10.0, 10, 10], [9, 9, 5], [8.5, 7, 4.5], [8, 6, 4]])
        # Gains 4, 1, 2 against (1, 1, 5), (.5, 2, .5), (.5, 1, .5): raw p 2/4, 2/4, 1/4.
        np.testing.assert_allclose(permutation_p_values(losses, null)[1:], [0.5, 0.5, 0.5])

    def test_are_never_less_than_one_in_so_many_and_never_fall_again(self):
        draw = np.random.default_rng(1)
        losses = np.sort(draw.random(8))[::-1]
        p = permutation_p_values(losses, np.sort(draw.random((8, 9)), axis=0)[::-1])[1:]
        assert (p >= 0.1).all()
        assert (np.diff(p) >= 0).all()

    @pytest.mark.parametrize("missing", [0, 1, 2])
    def test_missing_losses_have_none(self, missing):
        losses = np.array([5.0, 3.0, 2.0])
        losses[missing] = np.nan
        p = permutation_p_values(losses, np.array([[5.0], [4.0], [3.0]]))
        assert np.isnan(p[missing])
