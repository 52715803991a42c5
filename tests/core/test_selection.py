from dataclasses import replace

import numpy as np
import pytest
from curves import N_FOLDS, curve, of_rank, words
from hypothesis import given, settings
from hypothesis import strategies as st

from nmfcore.classic_rules import CLASSIC_RULES
from nmfcore.selection import Confidence, Decision, SelectionRule, key_ranks, recommend


class TestRank:
    found = recommend(curve([0.8, 0.5, 0.3, 0.32, 0.34]))

    def test_the_clear_minimum_of_the_held_out_error_is_recommended(self):
        assert self.found.rank == 3
        assert self.found.decision == Decision.RANK
        assert self.found.confidence == Confidence.HIGH
        assert self.found.runners_up == ()

    def test_the_headline_names_the_rank_and_the_reasons_their_figures(self):
        assert "3" in self.found.headline
        assert "0.3000" in words(self.found)
        assert "0.97" in words(self.found)
        assert "20 of 20" in words(self.found)

    def test_the_smallest_of_ranks_that_cannot_be_told_apart(self):
        found = recommend(curve([0.8, 0.5, 0.3, 0.3, 0.3, 0.3], wobble=0.01))
        assert found.rank == 3
        assert found.decision in (Decision.RANK, Decision.TIE)
        assert {runner.rank for runner in found.runners_up} == {4, 5, 6}

    def test_a_larger_rank_is_named_even_if_one_between_is_worse(self):
        criteria = curve([0.8, 0.5, 0.3, 0.4], wobble=0.01)
        found = recommend([*criteria, of_rank(5, 0.3, wobble=0.01)])
        assert found.rank == 3
        assert [runner.rank for runner in found.runners_up] == [5]

    def test_ranks_are_compared_fold_by_fold_not_by_their_means(self):
        # The folds differ by 0.1, the ranks by 0.005, but in every fold.
        found = recommend(curve([0.8, 0.5, 0.305, 0.3, 0.31]))
        assert found.rank == 4

    def test_an_unstable_rank_gives_way_to_a_stable_one_that_predicts_as_well(self):
        criteria = curve([0.8, 0.5, 0.3, 0.3, 0.4], wobble=0.01)
        criteria[2] = of_rank(3, 0.3, stability=0.4, weakest=-0.2, wobble=0.01)
        found = recommend(criteria)
        assert found.rank == 4
        assert found.confidence == Confidence.LOW
        assert "0.40" in words(found)

    def test_shaky_components_lower_the_confidence(self):
        found = recommend(curve([0.8, 0.5, 0.3, 0.32], stability=0.82, weakest=0.3))
        assert found.rank == 3
        assert found.confidence != Confidence.HIGH

    def test_a_grid_may_have_gaps(self):
        gap = [of_rank(1, 0.8), of_rank(3, 0.3), of_rank(6, 0.4)]
        assert recommend(gap).rank == 3


class TestGain:
    """What the components beyond a rank gain is weighed against what they would cost if they found nothing."""

    def test_slight_gains_are_named_but_not_taken(self):
        criteria = curve([0.8, 0.5, 0.3, 0.295, 0.292, 0.31], held_out_cost=0.01)
        found = recommend(criteria)
        assert found.rank == 3
        assert found.confidence == Confidence.MODERATE
        assert {runner.rank for runner in found.runners_up} == {4, 5}
        assert "0.4 times" in words(found)
        assert recommend(criteria, SelectionRule(min_gain=0.3)).rank == 5

    def test_gains_above_the_cost_are(self):
        found = recommend(curve([0.8, 0.5, 0.3, 0.27, 0.24, 0.27], held_out_cost=0.01))
        assert found.rank == 5
        assert found.confidence == Confidence.HIGH

    def test_just_below_the_cost_is_a_tie(self):
        found = recommend(curve([0.8, 0.5, 0.3, 0.292, 0.31], held_out_cost=0.01))
        assert (found.rank, found.decision) == (3, Decision.TIE)

    def test_structure_of_slight_gain_is_none(self):
        found = recommend(curve([0.3, 0.295, 0.31], held_out_cost=0.01))
        assert found.decision == Decision.NO_STRUCTURE
        assert found.confidence == Confidence.MODERATE
        assert [runner.rank for runner in found.runners_up] == [2]


class TestConfidence:
    clear = (0.8, 0.5, 0.3, 0.32, 0.34)

    def test_a_residual_with_structure_lowers_it(self):
        for excess, confidence in ((1.02, Confidence.HIGH), (1.3, Confidence.MODERATE)):
            found = recommend(curve(self.clear, residual_excess=excess))
            assert found.confidence == confidence
            assert f"{excess:.2f}" in words(found)

    def test_more_components_that_cost_less_than_noise_would_lower_it(self):
        found = recommend(curve([0.8, 0.5, 0.3, 0.302, 0.304], held_out_cost=0.01))
        assert found.rank == 3
        assert found.confidence == Confidence.MODERATE

    def test_the_smaller_rank_must_be_clearly_worse(self):
        found = recommend(curve([0.8, 0.5, 0.313, 0.3, 0.32], held_out_cost=0.01))
        assert found.rank == 4
        assert found.confidence == Confidence.MODERATE


class TestOneSolutionOfSeveral:
    def test_the_best_is_trusted_if_half_of_the_runs_find_it_again(self):
        for share, rank in ((0.6, 3), (0.4, None)):
            criteria = curve([0.8, 0.5, 0.3, 0.33], stability=0.4, weakest=-0.2)
            criteria[2] = of_rank(3, 0.3, stability=0.4, weakest=-0.2, best_run_reproduced=share)
            found = recommend(criteria)
            assert found.rank == rank
            assert "60%" in words(found) or "40%" in words(found)
            assert found.confidence != Confidence.HIGH

    @pytest.mark.parametrize(
        ("stability_above", "weakest_above", "rank"),
        [(0.8, 0.4, 4), (0.8, -0.3, 3), (0.49, 0.4, 3)],
    )
    def test_it_gives_way_to_a_rank_that_the_runs_agree_on(
        self, stability_above, weakest_above, rank
    ):
        """Breast cancer genomes: ranks 3 and 4 predict equally well, and the runs agree on those of rank 4 alone."""
        found = recommend(
            [
                of_rank(1, 0.8),
                of_rank(2, 0.5),
                of_rank(3, 0.301, wobble=0.02, stability=0.55, best_run_reproduced=0.6),
                of_rank(
                    4,
                    0.3,
                    wobble=0.02,
                    stability=stability_above,
                    weakest=weakest_above,
                    best_run_reproduced=0.1,
                ),
                of_rank(5, 0.4),
            ]
        )
        assert found.rank == rank
        assert ("do not agree on every component" in words(found)) == (rank == 4)
        assert found.confidence == Confidence.LOW or rank == 3


class TestCoarserView:
    def test_the_smaller_rank_that_consensus_measures_favour_is_named(self):
        criteria = curve([0.8, 0.5, 0.3, 0.33], dispersion=0.9)
        criteria[1] = of_rank(2, 0.5, dispersion=1.0, cophenetic_correlation=1.0)
        found = recommend(criteria)
        assert found.rank == 3
        assert [runner.rank for runner in found.runners_up] == [2]
        assert "60%" in found.runners_up[0].reason


class TestPermutation:
    def test_corrected_p_values_are_told(self):
        losses = [100.0, 50.0, 20.0, 18.0]
        null = [(100.0,) * 19, (95.0,) * 19, (90.0,) * 19, (85.0,) * 19]
        criteria = [
            of_rank(rank, error, loss=loss, null_losses=own)
            for rank, error, loss, own in zip(
                range(1, 5), [0.8, 0.5, 0.3, 0.33], losses, null, strict=True
            )
        ]
        assert "p = 0.050" in words(recommend(criteria))
        assert "the largest rank with p ≤ 0.05 is 3" in words(recommend(criteria))


class TestExact:
    def test_the_smallest_rank_that_fits_all_but_exactly(self):
        criteria = [
            of_rank(rank, error, fold_errors=(error,) * 4)
            for rank, error in enumerate([0.8, 0.5, 1e-4, 1e-5, 0.0], start=1)
        ]
        found = recommend(criteria)
        assert found.rank == 3
        assert found.confidence == Confidence.HIGH
        assert found.runners_up == ()
        assert not any("edge" in warning for warning in found.warnings)


class TestComplete:
    """Starts miss the solution that leaves nothing, so larger ranks predict hidden cells better."""

    criteria = curve([0.8, 0.5, 0.3, 0.1, 0.05])

    def test_the_smallest_rank_that_reproduces_the_data(self):
        criteria = [*self.criteria]
        for i in (2, 3, 4):
            criteria[i] = replace(criteria[i], reconstruction_error=1e-5)
        found = recommend(criteria)
        assert found.rank == 3
        assert found.decision == Decision.RANK
        assert found.headline.startswith("Rank 3: the smallest rank that reproduces the data")
        assert "there a run reproduces all of the data" in found.reasons[0]
        assert any("starts at rank 3 miss" in reason for reason in found.reasons)
        assert not any(runner.rank > 3 for runner in found.runners_up)
        assert not any("edge" in warning for warning in found.warnings)

    def test_at_the_edge_of_the_grid_nothing_is_left_to_extend_to(self):
        criteria = [*self.criteria]
        assert any("edge" in warning for warning in recommend(criteria).warnings)
        criteria[4] = replace(criteria[4], reconstruction_error=1e-5)
        found = recommend(criteria)
        assert found.rank == 5
        assert not any("edge" in warning for warning in found.warnings)
        assert "the least, where a run reproduces all of the data" in found.reasons[0]
        assert not any("starts at rank 5 miss" in reason for reason in found.reasons)

    @pytest.mark.parametrize("beyond", [0.3, 0.3005, 0.4])
    def test_larger_ranks_that_err_as_much_need_no_excuse(self, beyond):
        criteria = curve([0.8, 0.5, 0.3, beyond])
        criteria[2] = replace(criteria[2], reconstruction_error=1e-5)
        found = recommend(criteria)
        assert found.rank == 3
        assert not any("miss that solution" in reason for reason in found.reasons)
        assert "the least, where" in found.reasons[0]

    def test_if_its_runs_disagree_a_larger_rank_takes_its_place(self):
        criteria = [*self.criteria]
        criteria[2] = replace(
            criteria[2],
            reconstruction_error=1e-5,
            component_stability=0.3,
            component_stability_min=-0.5,
            best_run_reproduced=0.0,
        )
        assert recommend(criteria).rank == 4


class TestTie:
    def test_two_ranks_that_differ_a_little_tie_and_the_simpler_is_given(self):
        found = recommend(curve([0.8, 0.5, 0.303, 0.3, 0.4], wobble=0.006))
        assert found.rank == 3
        assert found.decision == Decision.TIE
        assert found.confidence == Confidence.LOW
        assert "3" in found.headline
        assert "4" in found.headline
        assert 4 in {runner.rank for runner in found.runners_up}


class TestNoStructure:
    def test_rank_one_predicts_best(self):
        found = recommend(curve([0.3, 0.35, 0.4, 0.5]))
        assert found.rank is None
        assert found.decision == Decision.NO_STRUCTURE
        assert found.confidence == Confidence.HIGH
        assert "0.3000" in words(found)
        assert "structure" in found.headline

    def test_rank_one_predicts_as_well_as_the_best(self):
        found = recommend(curve([0.3, 0.3, 0.3, 0.5], wobble=0.02))
        assert found.decision == Decision.NO_STRUCTURE
        assert found.confidence != Confidence.HIGH
        assert found.runners_up

    def test_stable_components_of_noise_are_not_structure(self):
        found = recommend(curve([0.3, 0.4, 0.5], stability=1.0, weakest=1.0))
        assert found.decision == Decision.NO_STRUCTURE

    def test_what_rank_one_leaves_decides_on_the_confidence_not_what_the_next_does(self):
        for left_by, confidence in (((1.0, 2.0), Confidence.HIGH), ((2.0, 1.0), "moderate")):
            criteria = [
                of_rank(rank, error, residual_excess=excess)
                for rank, error, excess in zip((1, 2), (0.3, 0.4), left_by, strict=True)
            ]
            found = recommend(criteria)
            assert found.decision == Decision.NO_STRUCTURE
            assert found.confidence == confidence

    def test_rank_one_that_is_exact_needs_no_rise_after_it(self):
        found = recommend(curve([0.0, 0.01], wobble=0.05))
        assert found.decision == Decision.NO_STRUCTURE
        assert found.confidence == Confidence.HIGH

    def test_a_constant_matrix_has_the_same_error_at_every_rank(self):
        found = recommend(curve([0.0, 0.0, 0.0], wobble=0))
        assert found.decision == Decision.NO_STRUCTURE


class TestNoStableSolution:
    found = recommend(curve([0.8, 0.5, 0.3, 0.35], stability=0.3, weakest=-0.4))

    def test_structure_on_which_no_runs_agree(self):
        assert self.found.rank is None
        assert self.found.decision == Decision.NO_STABLE_SOLUTION
        assert "0.30" in words(self.found)
        assert "-0.40" in words(self.found) or "−0.40" in words(self.found)

    def test_one_weak_component_is_no_reason_to_decline_but_to_be_careful(self):
        found = recommend(curve([0.8, 0.5, 0.3, 0.35], stability=0.95, weakest=0.05))
        assert (found.rank, found.decision) == (3, Decision.RANK)
        assert found.confidence == Confidence.LOW
        assert "Not on every one" in words(found)
        assert "most of its components" in found.headline

    def test_without_held_out_errors_one_weak_component_is(self):
        found = recommend([of_rank(1), of_rank(2), of_rank(3, weakest=0.05)])
        assert found.rank == 2

    @pytest.mark.parametrize("n_stable", [1, 3])
    def test_the_largest_stable_rank_is_named(self, n_stable):
        criteria = curve([0.9, 0.8, 0.7, 0.6, 0.3, 0.35], stability=0.3, weakest=-0.4)
        for rank in range(2, 2 + n_stable):
            criteria[rank - 1] = of_rank(rank, criteria[rank - 1].held_out_error)
        found = recommend(criteria)
        assert found.decision == Decision.NO_STABLE_SOLUTION
        assert [runner.rank for runner in found.runners_up] == [1 + n_stable]

    def test_the_thresholds_can_be_chosen(self):
        rule = SelectionRule(min_stability=0.2, min_component_stability=-0.5)
        found = recommend(curve([0.8, 0.5, 0.3, 0.35], stability=0.3, weakest=-0.4), rule)
        assert found.rank == 3

    def test_without_converged_runs_nothing_is_stable(self):
        criteria = curve([0.8, 0.3, 0.4], stability=None, weakest=None, n_good=0)
        found = recommend(criteria)
        assert found.rank is None
        assert found.decision == Decision.NO_STABLE_SOLUTION
        assert any("converge" in warning for warning in found.warnings)


class TestKeyRanks:
    """What an answer hangs on: the ranks whose neighbours must have been tried."""

    @pytest.mark.parametrize("turned", [1, -1])
    @pytest.mark.parametrize(
        ("criteria", "keys"),
        [
            (curve([0.8, 0.5, 0.3, 0.32, 0.34]), (3,)),
            (curve([0.8, 0.5, 0.3, 0.295, 0.292, 0.31], held_out_cost=0.01), (3, 5)),
            (curve([0.3, 0.35, 0.4]), (1,)),
            (curve([0.8, 0.5, 0.3, 0.35], stability=0.3, weakest=-0.4), (3,)),
            (curve([None] * 4), (4,)),
            ([of_rank(1), of_rank(2, None, 0.2, -0.4), of_rank(4, None, 0.1, -0.4)], (2,)),
            ([of_rank(3, None, 0.1, -0.4), of_rank(5, None, 0.2, -0.4)], (5,)),
        ],
        ids=["best", "slight gain", "noise", "unstable", "by runs", "by runs, unstable", "last"],
    )
    def test_are_the_best_the_smallest_that_suffices_and_the_recommended(
        self, criteria, keys, turned
    ):
        assert key_ranks(criteria[::turned]) == keys

    def test_follow_the_thresholds(self):
        criteria = curve([0.8, 0.5, 0.3, 0.295, 0.292, 0.31], held_out_cost=0.01)
        assert key_ranks(criteria, SelectionRule(min_gain=0.3)) == (5,)

    def test_hold_the_stable_rank_that_takes_the_place_of_another(self):
        criteria = curve([0.8, 0.5, 0.3, 0.3, 0.3, 0.4], wobble=0.01)
        for rank in (3, 4):
            criteria[rank - 1] = of_rank(rank, 0.3, 0.4, -0.2, wobble=0.01)
        found = recommend(criteria).rank
        assert found == 5
        assert {3, 5} <= set(key_ranks(criteria))


class TestWarnings:
    def test_the_best_rank_is_the_edge_of_the_grid(self):
        found = recommend(curve([0.8, 0.6, 0.4, 0.2]))
        assert found.rank == 4
        assert found.confidence == Confidence.LOW
        assert any("4" in warning and "edge" in warning for warning in found.warnings)

    def test_rank_one_is_missing(self):
        found = recommend([of_rank(2, 0.5), of_rank(3, 0.3), of_rank(4, 0.4)])
        assert found.rank == 3
        assert any("ank 1" in warning for warning in found.warnings)
        assert not any("ank 1" in warning for warning in TestRank.found.warnings)

    def test_runs_that_did_not_converge_are_counted(self):
        criteria = curve([0.8, 0.5, 0.3, 0.4])
        criteria[2] = of_rank(3, 0.3, n_good=13)
        found = recommend(criteria)
        assert any("7 of 20" in warning and "3" in warning for warning in found.warnings)
        assert TestRank.found.warnings == ()


class TestWithoutCrossValidation:
    def test_the_largest_stable_rank_with_little_confidence(self):
        criteria = [of_rank(1), of_rank(2), of_rank(3), of_rank(4, stability=0.5, weakest=0.0)]
        found = recommend(criteria)
        assert found.rank == 3
        assert found.confidence == Confidence.LOW
        assert any("ross-validation" in warning for warning in found.warnings)

    def test_nothing_stable_is_declined(self):
        found = recommend([of_rank(rank, stability=0.1, weakest=-0.5) for rank in (1, 2, 3)])
        assert found.rank is None
        assert found.decision == Decision.NO_STABLE_SOLUTION

    def test_errors_that_are_not_numbers_are_no_evidence(self):
        criteria = curve([0.8, 0.5, 0.3, 0.4])
        criteria[3] = of_rank(4, 0.1, fold_errors=(np.nan,) * N_FOLDS, held_out_error=np.nan)
        assert recommend(criteria).rank == 3


errors = st.lists(st.floats(0.01, 5), min_size=1, max_size=7)
stabilities = st.lists(st.floats(-1, 1) | st.none(), min_size=7, max_size=7)


@settings(max_examples=30, deadline=None)
@given(errors, stabilities, st.floats(0, 0.2), st.booleans())
def test_whatever_the_figures_the_answer_hangs_together(errors, stabilities, wobble, validated):
    criteria = [
        of_rank(rank, error if validated else None, stability, stability, wobble=wobble)
        for rank, (error, stability) in enumerate(zip(errors, stabilities, strict=False), start=1)
    ]
    found = recommend(criteria)
    ranks = {c.rank for c in criteria}
    assert found.decision in set(Decision)
    assert found.confidence in set(Confidence)
    assert found.headline.endswith(".")
    assert found.reasons
    assert (found.rank is None) == (
        found.decision in (Decision.NO_STRUCTURE, Decision.NO_STABLE_SOLUTION)
    )
    assert found.rank is None or found.rank in ranks - {1}
    assert {runner.rank for runner in found.runners_up} <= ranks - {found.rank}
    assert set(found.classic_rules) == set(CLASSIC_RULES)
    assert "nan" not in words(found).lower().split()
    if found.rank is not None:
        assert SelectionRule().is_stable(criteria[found.rank - 1])
    assert recommend(criteria) == found


@pytest.mark.parametrize("exact", [True, False])
def test_a_perfect_prediction_is_best_however_small_the_spread(exact):
    criteria = curve([0.5, 0.2, 1e-7, 1e-7], wobble=0 if exact else 1e-9)
    assert recommend(criteria).rank == 3
