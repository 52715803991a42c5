from dataclasses import fields

import pytest

from nmfcore.classic_rules import (
    CLASSIC_RULES,
    amari_minimum,
    bi_cross_validation_minimum,
    consensus_silhouette_maximum,
    cophenetic_first_fall,
    cophenetic_maximum,
    dispersion_maximum,
    held_out_minimum,
    held_out_one_standard_error,
    pac_minimum,
    permuted_slope,
    rss_inflection,
    stability_maximum,
    stability_threshold,
)
from nmfcore.criteria import Criteria


def curve(name, values, first=1, **others):
    """Criteria of consecutive ranks of which one figure is known, by hand."""
    blank = {field.name: None for field in fields(Criteria)}
    return [
        Criteria(
            **{
                **blank,
                "rank": first + i,
                "n_runs": 10,
                "n_good": 10,
                name: value,
                **{key: column[i] for key, column in others.items()},
            }
        )
        for i, value in enumerate(values)
    ]


class TestCophenetic:
    def test_the_last_rank_before_the_first_fall(self):
        # Brunet et al. 2004, ALL/AML by R NMF: .9979 at 3 is the first fall.
        values = [None, 1.0, 0.9979, 0.9995, 0.9996, 0.9804]
        assert cophenetic_first_fall(curve("cophenetic_correlation", values)) == 2

    def test_equal_values_are_no_fall(self):
        assert cophenetic_first_fall(curve("cophenetic_correlation", [1.0, 1.0, 0.9], 2)) == 3

    @pytest.mark.parametrize("values", [[], [None, None], [0.9], [0.8, 0.9, 1.0]])
    def test_without_a_fall_there_is_no_rank(self, values):
        assert cophenetic_first_fall(curve("cophenetic_correlation", values)) is None


class TestDispersion:
    def test_the_rank_of_the_largest(self):
        assert dispersion_maximum(curve("dispersion", [None, 0.9, 0.97, 0.95])) == 3

    def test_nothing_known(self):
        assert dispersion_maximum(curve("dispersion", [None, None])) is None


class TestStability:
    def test_the_largest_rank_past_both_thresholds(self):
        rules = curve(
            "component_stability",
            [None, 0.99, 0.85, 0.9, 0.79],
            component_stability_min=[None, 0.9, 0.2, 0.19, 0.9],
        )
        assert stability_threshold(rules) == 3

    def test_the_thresholds_belong_to_the_stable_side(self):
        rules = curve("component_stability", [0.8], 2, component_stability_min=[0.2])
        assert stability_threshold(rules) == 2

    def test_no_rank_is_stable(self):
        rules = curve("component_stability", [None, 0.5], component_stability_min=[None, 0.1])
        assert stability_threshold(rules) is None

    def test_the_maximum_is_the_largest_rank_of_those_equal_to_three_digits(self):
        assert stability_maximum(curve("component_stability", [None, 0.99972, 0.99968, 0.9])) == 3
        assert stability_maximum(curve("component_stability", [None, 0.998, 0.999, 0.7])) == 3
        assert stability_maximum(curve("component_stability", [None, 0.999, 0.997, 0.7])) == 2
        assert stability_maximum(curve("component_stability", [None])) is None


class TestRss:
    def test_the_elbow_of_a_broken_line_is_where_it_breaks(self):
        # Steep to rank 3, then level: the second difference turns there.
        assert rss_inflection(curve("rss", [100.0, 70.0, 40.0, 38.0, 36.0, 34.0])) == 3

    def test_a_convex_curve_has_none(self):
        assert rss_inflection(curve("rss", [100.0, 50.0, 25.0, 12.5, 6.25])) is None

    def test_too_few_ranks_or_a_gap_have_none(self):
        assert rss_inflection(curve("rss", [100.0, 50.0, 49.0])) is None
        with_gap = curve("rss", [100.0, 70.0, 40.0, 38.0, 36.0])
        assert rss_inflection([*with_gap[:2], *with_gap[3:]]) is None

    def test_an_infinite_rss_has_none(self):
        assert rss_inflection(curve("rss", [float("inf")] * 5)) is None


class TestHeldOut:
    def test_the_rank_of_the_least(self):
        assert held_out_minimum(curve("held_out_error", [0.5, 0.3, 0.2, 0.4])) == 3

    def test_of_equal_ranks_the_smallest(self):
        assert held_out_minimum(curve("held_out_error", [0.5, 0.3, 0.3])) == 2

    def test_nothing_known(self):
        assert held_out_minimum(curve("held_out_error", [None])) is None

    def test_the_smallest_within_one_standard_error_of_the_least(self):
        errors, spread = [0.5, 0.31, 0.3, 0.32], [0.1, 0.001, 0.02, 0.02]
        assert (
            held_out_one_standard_error(curve("held_out_error", errors, held_out_error_se=spread))
            == 2
        )
        tight = curve("held_out_error", errors, held_out_error_se=[0.001] * 4)
        assert held_out_one_standard_error(tight) == 3


@pytest.mark.parametrize(
    ("rule", "name", "values", "expected"),
    [
        (cophenetic_maximum, "cophenetic_correlation", [None, 0.9, 1.0, 0.95], 3),
        (consensus_silhouette_maximum, "consensus_silhouette", [None, 0.9, 0.7, 0.95], 4),
        (pac_minimum, "pac", [None, 0.2, 0.1, 0.3], 3),
        (amari_minimum, "amari_instability", [0.0, 0.2, 0.1, 0.3], 3),
        (bi_cross_validation_minimum, "bi_cross_validation_error", [0.5, 0.4, 0.45, None], 2),
    ],
)
def test_the_rank_of_the_extreme(rule, name, values, expected):
    assert rule(curve(name, values)) == expected


class TestPermutedSlope:
    def test_the_first_rank_whose_fall_is_less_than_that_of_permuted_data(self):
        null = [(90.0, 92.0), (80.0, 82.0), (70.0, 72.0), (61.0, 61.0)]
        losses = [100.0, 60.0, 55.0, 50.0]
        assert permuted_slope(curve("loss", losses, null_losses=null)) == 2

    def test_always_steeper_has_none(self):
        null = [(90.0,), (89.0,), (88.0,)]
        assert permuted_slope(curve("loss", [100.0, 60.0, 30.0], null_losses=null)) is None


def test_every_rule_is_silent_where_nothing_is_known():
    for criteria in ([], curve("dispersion", [None, None, None])):
        for name, rule in CLASSIC_RULES.items():
            assert rule(criteria) is None, name
