import numpy as np
import pytest
from scipy.stats import binomtest

from nmfcore import factorize
from nmfcore.solution_evidence import (
    Assignment,
    assignments,
    bootstrap_interval,
    coefficient_intervals,
    label_agreement,
    match_runs,
    shown_components,
    support_bars,
    wilson_interval,
)
from nmfcore.stability import cosine_matrix

RANDOM = np.random.default_rng(0)
W = RANDOM.gamma(0.5, size=(30, 3))
H = RANDOM.gamma(0.5, size=(3, 20))
RUNS = factorize(W @ H, 3, range(8), dtype="float64")


def test_matching_undoes_a_permutation():
    orders = np.array([[2, 0, 1], [0, 1, 2], [1, 2, 0]])
    matched = match_runs(np.stack([W[:, order] for order in orders]), W)
    np.testing.assert_array_equal(matched.partner, np.argsort(orders, axis=1))
    np.testing.assert_allclose(matched.cosine, 1)


@pytest.mark.parametrize("successes", [0, 1, 7, 20])
def test_wilson_is_that_of_scipy(successes):
    (interval,) = wilson_interval(np.array([successes]), 20)
    expected = binomtest(successes, 20).proportion_ci(method="wilson")
    np.testing.assert_allclose(interval, [expected.low, expected.high], atol=1e-12)


def test_the_bootstrap_covers_the_mean_as_often_as_it_says():
    random = np.random.default_rng(1)
    samples = random.normal(size=(300, 40))
    intervals = np.concatenate([bootstrap_interval(s[:, None]) for s in samples])
    covered = (intervals[:, 0] <= 0) & (intervals[:, 1] >= 0)
    assert covered.mean() == pytest.approx(0.94, abs=0.04)


def test_the_bootstrap_is_free_of_the_order_of_the_runs():
    values = np.random.default_rng(2).random((15, 2))
    np.testing.assert_array_equal(bootstrap_interval(values), bootstrap_interval(values[::-1]))


def test_a_version_that_reaches_the_bar_of_one_component_reaches_that_of_no_other():
    random = np.random.default_rng(3)
    for _ in range(200):
        basis = random.gamma(random.uniform(0.2, 20), size=(6, 3))
        unit = basis / np.linalg.norm(basis, axis=0)
        version = np.abs(unit[:, 0] + random.uniform(0, 0.5) * random.standard_normal(6))
        cosine = version @ unit / np.linalg.norm(version)
        assert (cosine >= support_bars(basis)).sum() <= 1


def test_far_components_need_the_common_cosine_only():
    np.testing.assert_allclose(support_bars(np.eye(4)), 0.9)
    assert support_bars(np.ones((4, 1))) == pytest.approx(0.9)


def test_intervals_of_coefficients_are_percentiles_of_the_matched_runs():
    matched = match_runs(RUNS.W, W)
    low, high = coefficient_intervals(RUNS, matched, 0)
    norms = np.linalg.norm(RUNS.W, axis=1)
    values = np.stack(
        [(RUNS.H[r] * norms[r][:, None])[matched.partner[r]] for r in range(len(RUNS))]
    )
    np.testing.assert_allclose(low, np.percentile(values, 2.5, axis=0))
    np.testing.assert_allclose(high, np.percentile(values, 97.5, axis=0))


def test_agreement_is_the_share_of_runs_with_that_label():
    matched = match_runs(RUNS.W, W)
    truth = (H * np.linalg.norm(W, axis=0)[:, None]).argmax(axis=0)
    agreement = label_agreement(RUNS, matched, truth)
    assert agreement.mean() > 0.9
    others = sum(label_agreement(RUNS, matched, (truth + shift) % 3) for shift in (1, 2))
    np.testing.assert_allclose(others, 1 - agreement)


def test_what_is_said_of_a_sample():
    coefficients = np.array([[10.0, 10, 10, 0], [1.0, 8.5, 1, 0]])
    said = assignments(coefficients, np.array([0, 0, 0, -1]), np.array([1, 1, 0.4, 1]))
    assert said.tolist() == [
        Assignment.ASSIGNED,
        Assignment.MIXED,
        Assignment.UNASSIGNED,
        Assignment.UNASSIGNED,
    ]
    alone = assignments(np.ones((1, 2)), np.zeros(2, int), np.ones(2))
    assert alone.tolist() == [Assignment.ASSIGNED] * 2


class TestShownComponents:
    """One component, 90 features: three may be heavy."""

    bars = np.array([0.9])

    def component(self, heavy, rest):
        """Heavy features first, and what the others have."""
        return np.concatenate([heavy, rest])[:, None]

    def pair(self, heavy, seed_of_other_rest):
        rests = [
            0.1 * np.random.default_rng(seed).random(90 - len(heavy)) ** 4
            for seed in (0, seed_of_other_rest)
        ]
        return [self.component(heavy, rest) for rest in rests]

    @pytest.mark.parametrize("heavy", [[5.0], [5.0, 4.0], [5.0, 4.0, 3.0]])
    def test_heavy_features_alone_confirm_nothing(self, heavy):
        W, other = self.pair(heavy, 1)
        assert cosine_matrix(W, other)[0, 0] > 0.99
        assert not shown_components(other, W, self.bars)[0]

    @pytest.mark.parametrize("heavy", [[5.0], [5.0, 4.0, 3.0]])
    def test_they_do_with_the_rest(self, heavy):
        W, other = self.pair(heavy, 0)
        assert shown_components(1.1 * other, W, self.bars)[0]

    def test_four_features_are_a_component(self):
        W, other = self.pair([5.0, 4.0, 3.0, 3.0], 1)
        assert shown_components(other, W, self.bars)[0]

    def test_a_feature_may_be_one_where_there_is_nothing_else(self):
        W = self.component([1.0], np.zeros(89))
        other = self.component([2.0], np.full(89, 1e-6))
        assert shown_components(other, W, self.bars)[0]
        spread = self.component([1.0], np.full(89, 0.02))
        assert cosine_matrix(W, spread)[0, 0] > 0.9
        assert not shown_components(spread, W, self.bars)[0]

    @pytest.mark.parametrize(("n_features", "shown"), [(29, True), (30, False)])
    def test_of_few_features_one_may_well_be_a_component(self, n_features, shown):
        W = self.component([5.0], np.eye(n_features - 1)[0])
        other = self.component([5.0], np.eye(n_features - 1)[1])
        assert shown_components(other, W, self.bars)[0] == shown

    def test_components_are_paired_by_assignment_and_reach_their_own_bars(self):
        W = np.kron(np.eye(3), np.ones((30, 1)))
        tilted = W[:, [2, 0, 1]] + 0.3 * W[:, [0, 1, 2]]
        cosine = 1 / np.sqrt(1.09)
        bars = np.array([cosine - 0.01, cosine + 0.01, cosine - 0.01])
        assert shown_components(tilted, W, bars).tolist() == [True, False, True]
