import numpy as np
import pytest
from scipy.stats import entropy

from nmfcore.feature_scores import feature_scores, feature_shares, marker_features

W = np.random.default_rng(0).gamma(0.5, size=(30, 4))


def test_scores_are_one_minus_the_entropy_of_the_shares():
    unit = W / np.linalg.norm(W, axis=0)
    np.testing.assert_allclose(feature_scores(W), 1 - entropy(unit, axis=1, base=4), atol=1e-12)
    np.testing.assert_allclose(feature_shares(W).sum(axis=1), 1)


def test_the_scale_of_the_components_changes_nothing():
    scaled = W * np.ldexp(1.0, [900, -900, 3, 0])
    np.testing.assert_allclose(feature_scores(scaled), feature_scores(W), rtol=1e-12)
    np.testing.assert_array_equal(marker_features(scaled), marker_features(W))


def test_ends_of_the_range():
    own, shared = np.eye(3), np.ones((1, 3))
    scores = feature_scores(np.vstack([own, shared, np.zeros((1, 3))]))
    np.testing.assert_allclose(scores[:3], 1)
    assert scores[3] == pytest.approx(0, abs=1e-12)
    assert np.isnan(scores[4])


def test_rank_one_has_neither_scores_nor_markers():
    assert np.isnan(feature_scores(W[:, :1])).all()
    assert (marker_features(W[:, :1]) == -1).all()


def test_markers_are_the_features_of_one_component():
    random = np.random.default_rng(1)
    basis = random.uniform(0.9, 1.1, (60, 3))
    basis[:5] = [5, 0.01, 0.01]
    basis[5:9] = [0.01, 0.01, 5]
    expected = np.repeat([0, 2, -1], [5, 4, 51])
    found = marker_features(basis)
    np.testing.assert_array_equal(found[:9], expected[:9])
    assert (found[9:] == -1).mean() > 0.9
