import numpy as np
import pytest

from nmfcore.consensus import consensus_matrix, dispersion
from nmfcore.intervals import (
    MIN_RUNS,
    consensus_intervals,
    fold_interval,
    run_interval,
    stability_intervals,
)
from nmfcore.stability import cluster_components, component_stability


class TestFolds:
    def test_covers_the_mean_about_as_often_as_it_says(self):
        stream = np.random.default_rng(0)
        hits = [
            low <= 1 <= high
            for low, high in (fold_interval(stream.normal(1, 0.1, 20)) for _ in range(300))
        ]
        assert 0.88 < np.mean(hits) < 0.98

    def test_is_as_wide_as_the_standard_error_says(self):
        folds = np.random.default_rng(1).normal(1, 0.1, 400)
        low, high = fold_interval(folds)
        assert high - low == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)

    def test_rounds_do_not_narrow_it(self):
        folds = np.random.default_rng(1).normal(1, 0.1, 10)
        once, often = fold_interval(folds), fold_interval(np.tile(folds, 4), 4)
        assert often[1] - often[0] == pytest.approx(once[1] - once[0], rel=0.1)

    def test_folds_that_failed_are_left_out_and_too_few_have_none(self):
        folds = np.array([0.3, np.nan, 0.5, 0.4])
        assert fold_interval(folds) == fold_interval(folds[[0, 2, 3]])
        assert fold_interval(folds[:3]) is None


class TestRuns:
    def test_is_as_wide_as_the_standard_error_of_a_mean(self):
        values = np.random.default_rng(0).normal(0.5, 0.1, 50)
        low, high = run_interval(
            lambda runs: float(values[runs].mean()), 50, float(values.mean()), (0, 1), n_halves=2000
        )
        assert high - low == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(50), rel=0.15)
        assert low < values.mean() < high

    def test_stays_within_the_range_and_about_the_value(self):
        low, high = run_interval(lambda runs: runs.mean() / 50, 50, 1.0, (0, 1))
        assert low < high == 1.0

    def test_undefined_or_few_have_none(self):
        assert run_interval(lambda runs: 0.5, 50, None, (0, 1)) is None
        assert run_interval(lambda runs: 0.5, MIN_RUNS - 1, 0.5, (0, 1)) is None
        assert run_interval(lambda runs: None, 50, 0.5, (0, 1)) is None


class TestConsensus:
    @staticmethod
    def labels(n_runs, n_samples=30, flip=0.2, seed=0):
        stream = np.random.default_rng(seed)
        truth = np.arange(n_samples) % 3
        flips = stream.random((n_runs, n_samples)) < flip
        return np.where(flips, stream.integers(0, 3, (n_runs, n_samples)), truth)

    def test_spread_is_that_of_other_sets_of_runs(self):
        values = [dispersion(consensus_matrix(self.labels(40, seed=s))) for s in range(60)]
        labels = self.labels(40)
        known = dict.fromkeys(("cophenetic_correlation", "pac", "consensus_silhouette"))
        value = dispersion(consensus_matrix(labels))
        low, high = consensus_intervals(labels, 3, {**known, "dispersion": value})["dispersion"]
        assert low < value < high
        assert 0.5 < (high - low) / (4 * np.std(values)) < 2

    def test_runs_that_agree_leave_no_doubt(self):
        labels = self.labels(10, flip=0)
        values = {"cophenetic_correlation": 1.0, "dispersion": 1.0, "pac": 0.0}
        found = consensus_intervals(labels, 3, {**values, "consensus_silhouette": 1.0})
        for name, value in {**values, "consensus_silhouette": 1.0}.items():
            assert found[name] == pytest.approx((value, value))

    def test_rounding_among_ties_breaks_no_tree(self):
        """SciPy's average linkage of these labels, met in a real sweep, is no tree: its chain returns to a cluster
        that is gone."""
        runs = [
            "3333303323133333333133333313332331333323333333333332333",
            "3333303313233333333233333323331332333313333333333331333",
            "0000000000000000000000000000001000000000000000000000000",
            "0000000000000000000000000000003000000000000000000000000",
            "1111111111111111111111111111110111111111111111111111111",
        ]
        labels = np.array([[int(label) for label in run] for run in runs], np.intp)
        values = {"cophenetic_correlation": 0.9, "consensus_silhouette": 0.5}
        found = consensus_intervals(
            np.repeat(labels, 2, axis=0), 4, values | {"dispersion": 0.5, "pac": 0.5}
        )
        for name, value in values.items():
            interval = found[name]
            assert interval is not None
            assert interval[0] < value < interval[1]

    def test_samples_that_were_never_assigned_do_not_matter(self):
        labels = self.labels(12)
        values = dict.fromkeys(("cophenetic_correlation", "pac", "consensus_silhouette"), 0.5)
        values["dispersion"] = 0.5
        more = np.column_stack([labels, np.full((12, 3), -1)])
        assert consensus_intervals(more, 3, values) == consensus_intervals(labels, 3, values)

    def test_no_samples_or_few_runs_have_none(self):
        values = dict.fromkeys(
            ("cophenetic_correlation", "dispersion", "pac", "consensus_silhouette"), 0.5
        )
        for labels in (self.labels(3), np.full((20, 5), -1)):
            assert set(consensus_intervals(labels, 3, values).values()) == {None}


class TestStability:
    def test_surrounds_the_value_and_widens_with_disagreement(self):
        stream = np.random.default_rng(0)
        truth = stream.random((30, 3)) ** 3
        widths = []
        for noise in (0.01, 0.3):
            W = np.stack([truth + noise * stream.random(truth.shape) for _ in range(20)])
            clusters = cluster_components(W)
            stability = component_stability(clusters)
            mean, least = stability_intervals(clusters, stability.mean, stability.minimum)
            assert mean[0] <= stability.mean <= mean[1]
            assert least[0] <= stability.minimum <= least[1]
            widths.append(mean[1] - mean[0])
        assert widths[0] < widths[1]

    def test_rank_one_has_none(self):
        clusters = cluster_components(np.random.default_rng(0).random((8, 5, 1)))
        assert stability_intervals(clusters, None, None) == (None, None)
