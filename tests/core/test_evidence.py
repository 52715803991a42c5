from dataclasses import replace

import numpy as np
import pytest

from nmfcore.criteria import Criteria
from nmfcore.evidence import EXACT, REPRODUCED, HeldOut


def held_out(errors, costs=None, rounds=1):
    """Evidence of consecutive ranks from their fold errors."""
    criteria = [
        Criteria(
            rank=rank,
            n_runs=5,
            n_good=5,
            fold_errors=tuple(folds),
            held_out_cost=None if costs is None else costs[rank - 1],
            n_fold_rounds=rounds,
        )
        for rank, folds in enumerate(errors, start=1)
    ]
    return HeldOut.of(criteria)


def folds(level, *wobbles):
    return [level + w for w in wobbles]


class TestComparison:
    def test_is_by_differences_within_folds(self):
        found = held_out([folds(0.5, 0.1, 0.2, 0.3), folds(0.4, 0.1, 0.2, 0.33)], [0.02, 0.02])
        comparison = found.compare(1, 2)
        differences = np.array([0.1, 0.1, 0.07])
        assert comparison.excess == pytest.approx(differences.mean())
        assert comparison.standard_error == pytest.approx(differences.std(ddof=1) / np.sqrt(3))
        assert comparison.in_costs == pytest.approx(differences.mean() / 0.02)
        assert found.compare(2, 1).excess == pytest.approx(-comparison.excess)

    def test_the_cost_is_of_all_components_between(self):
        found = held_out([[0.5, 0.5], [0.45, 0.46], [0.4, 0.4]], [0.03, 0.02, 0.01])
        assert found.compare(1, 3).cost == pytest.approx(0.06)
        assert found.compare(3, 1).cost == pytest.approx(0.06)

    def test_one_extreme_fold_counts_no_more_than_the_next(self):
        usual = [0.5, 0.51, 0.49, 0.5, 0.52, 0.48, 0.5, 0.51, 0.49, 0.5]
        spoilt = [*usual[:-1], 50.0]
        found = held_out([usual, spoilt])
        assert found.compare(2, 1).excess == pytest.approx(0, abs=1e-12)
        assert found.best == 1

    def test_rounds_are_not_more_folds(self):
        once = held_out([folds(0.5, 0.1, 0.2, 0.3), folds(0.4, 0.11, 0.2, 0.32)])
        twice = held_out([folds(0.5, 0.1, 0.2, 0.3) * 2, folds(0.4, 0.11, 0.2, 0.32) * 2], rounds=2)
        ratio = twice.compare(1, 2).standard_error / once.compare(1, 2).standard_error
        assert 0.7 < ratio < 1.1

    def test_differences_below_what_fits_resolve_are_none(self):
        found = held_out([[0.0, 1e-5], [0.0, 0.0]], [1e-9, 1e-9])
        comparison = found.compare(1, 2)
        assert comparison.in_standard_errors == comparison.in_costs == 0
        assert found.best == 1

    def test_no_spread_and_no_cost_is_infinitely_clear(self):
        comparison = held_out([[0.5, 0.5], [0.4, 0.4]]).compare(1, 2)
        assert comparison.in_standard_errors == comparison.in_costs == np.inf


class TestComplete:
    def of(self, errors_of_runs):
        levels = [[0.5, 0.52], [0.3, 0.32], [0.2, 0.22], [0.1, 0.12]]
        return HeldOut.of(
            [
                Criteria(rank, 5, 5, fold_errors=tuple(level), reconstruction_error=error)
                for rank, (level, error) in enumerate(
                    zip(levels, errors_of_runs, strict=True), start=1
                )
            ]
        )

    def test_nothing_is_best_beyond_a_rank_that_leaves_nothing(self):
        found = self.of([0.4, 0.2, REPRODUCED, 0.0])
        assert found.complete == found.best == 3
        assert not found.suffices(2, 1, 1)

    def test_a_smaller_rank_may_still_predict_best(self):
        assert self.of([0.4, 0.2, 0.1, 0.0]).best == 4
        overfitted = held_out([[0.5, 0.52], [0.3, 0.32], [0.4, 0.42]])
        assert replace(overfitted, complete=3).best == 2

    def test_unknown_errors_are_not_exact(self):
        assert self.of([None, None, 2 * REPRODUCED, None]).complete is None


class TestSuffices:
    found = held_out(
        [[0.5, 0.51, 0.5, 0.51], [0.4, 0.41, 0.40, 0.41], [0.39, 0.40, 0.389, 0.401]],
        [0.02, 0.02, 0.02],
    )

    def test_the_best_always_does(self):
        assert self.found.best == 3
        assert self.found.suffices(3, 0, 0)

    def test_a_gain_below_its_cost_is_not_worth_it_however_sure(self):
        assert self.found.compare(2, 3).in_standard_errors > 5
        assert self.found.suffices(2, 1, 1)
        assert not self.found.suffices(2, 1, 0.3)
        assert not self.found.suffices(1, 1, 1)

    def test_what_the_folds_cannot_tell_apart_is_the_same(self):
        unsure = held_out([[0.5, 0.3, 0.5, 0.3], [0.3, 0.49, 0.3, 0.49]], [1e-3, 1e-3])
        assert unsure.suffices(1, 1, 0)


class TestMissing:
    def test_nothing_known_is_none(self):
        assert HeldOut.of([]) is None
        assert HeldOut.of([Criteria(1, 5, 5)]) is None
        assert held_out([[np.nan, np.nan], [np.nan, np.nan]]) is None

    def test_ranks_without_most_folds_are_left_out(self):
        found = held_out([[0.5, 0.5, 0.5, 0.5], [np.nan, np.nan, np.nan, 0.4]])
        assert found.ranks == (1,)

    def test_then_folds_that_a_rank_lacks(self):
        found = held_out([[0.5, 0.6, 0.7], [0.4, np.nan, 0.6]])
        assert found.ranks == (1, 2)
        np.testing.assert_array_equal(found.fold_errors, [[0.5, 0.7], [0.4, 0.6]])


def test_of_ranks_that_fit_exactly_the_smallest_is_best():
    found = held_out([[0.5, 0.5], [EXACT / 3, EXACT / 2], [0.0, 0.0]])
    assert found.best == 2
