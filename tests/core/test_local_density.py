import numpy as np
import pytest

from nmfcore.local_density import NEVER_OUTLYING, local_density, two_group_cut


def components(n_runs=12, rank=3, n_features=40, n_strange=0, spread=0.01, seed=0):
    """Cosines of the components of runs that agree to within `spread`, but for the last runs' first component."""
    random = np.random.default_rng(seed)
    centres = random.gamma(0.5, size=(rank, n_features))
    W = np.abs(centres + spread * random.standard_normal((n_runs, rank, n_features)))
    if n_strange:
        W[-n_strange:, 0] = random.gamma(0.3, size=(n_strange, n_features))
    units = (W / np.linalg.norm(W, axis=2, keepdims=True)).reshape(n_runs * rank, n_features)
    return units @ units.T


def brute_force(cosine, n_runs):
    """Mean distance of every component to its nearest neighbours, one at a time."""
    distances = []
    for i, row in enumerate(cosine):
        others = np.sqrt(np.maximum(2 - 2 * np.delete(row, i), 0))
        distances.append(np.sort(others)[: max(1, int(0.3 * n_runs))].mean())
    return np.array(distances)


@pytest.mark.parametrize("n_runs", [2, 3, 12])
def test_distances_are_those_to_the_nearest_third(n_runs):
    cosine = components(n_runs, n_strange=1)
    found = local_density(cosine, n_runs)
    np.testing.assert_allclose(found.distance.ravel(), brute_force(cosine, n_runs), atol=1e-7)
    assert found.distance.shape == (n_runs, 3)


@pytest.mark.parametrize("n_strange", [1, 2, 3])
def test_strange_components_are_left_out_and_no_others(n_strange):
    found = local_density(components(n_strange=n_strange), 12)
    expected = np.ones((12, 3), bool)
    expected[-n_strange:, 0] = False
    np.testing.assert_array_equal(found.kept, expected)
    assert found.counts.sum() == 36
    assert len(found.edges) == len(found.counts) + 1


@pytest.mark.parametrize("spread", [0.0, 1e-6, 0.02])
def test_where_all_agree_nothing_is_left_out(spread):
    assert local_density(components(spread=spread), 12).kept.all()


def test_a_threshold_never_cuts_among_components_that_are_all_alike():
    cosine = components(spread=1e-3)
    cosine[0, 1:] = cosine[1:, 0] = np.minimum(cosine[0, 1:], 1 - 1e-4)
    found = local_density(cosine, 12)
    assert found.threshold is None or found.threshold >= NEVER_OUTLYING
    assert found.kept.all()


def test_the_cut_of_two_groups_leaves_the_least_variance_within_them():
    values = np.array([1.0, 1.1, 1.3, 8.0, 8.2])

    def within(cut):
        groups = values[values <= cut], values[values > cut]
        return sum(g.size * g.var() for g in groups)

    cut = two_group_cut(np.random.default_rng(0).permutation(values))
    middles = (values[1:] + values[:-1]) / 2
    assert cut == pytest.approx(min(middles, key=within))


@pytest.mark.parametrize("draw", ["random", "standard_normal"])
def test_one_group_has_no_cut(draw):
    assert two_group_cut(getattr(np.random.default_rng(0), draw)(500)) is None
    assert two_group_cut(np.ones(5)) is None
    assert two_group_cut(np.ones(1)) is None
