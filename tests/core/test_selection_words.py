"""What a recommendation says, word for word, and where exactly its thresholds lie.

`approved/recommendations.txt` was read by a person. After a change of wording, write it anew and read it again:
``python tests/core/test_selection_words.py``.
"""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from curves import FOLDS, N_FOLDS, curve, of_rank

from nmfcore.errors import InputError
from nmfcore.selection import Confidence, Decision, SelectionRule, recommend

APPROVED = Path(__file__).parent / "approved/recommendations.txt"
ERRORS = (0.8, 0.5, 0.3, 0.32, 0.34)


def changed(criteria, rank, error, **values):
    """The criteria with those of one rank replaced."""
    return [of_rank(rank, error, **values) if c.rank == rank else c for c in criteria]


def in_two_folds(rank, mean, spread, **values):
    """Criteria whose comparisons are exact in binary: the standard error of a difference is that of the spreads."""
    return of_rank(rank, mean, fold_errors=(mean - spread, mean + spread), **values)


def exact(errors):
    return [of_rank(r, e, fold_errors=(e,) * 4) for r, e in enumerate(errors, start=1)]


def permuted(losses, null):
    return [
        of_rank(r, e, loss=loss, null_losses=own)
        for r, e, loss, own in zip(range(1, 5), [0.8, 0.5, 0.3, 0.33], losses, null, strict=True)
    ]


def scenarios():
    unstable = {"stability": 0.3, "weakest": -0.4}
    null = [(100.0,) * 19, (95.0,) * 19, (90.0,) * 19, (85.0,) * 19]
    costly = {"held_out_cost": 0.01}
    coarse = curve([0.8, 0.5, 0.3, 0.33], dispersion=0.9)
    without = [of_rank(1), of_rank(2), of_rank(3), of_rank(4, stability=0.5, weakest=0.0)]
    return {
        "clear": (curve(ERRORS), None),
        "clear with a spent residual": (curve(ERRORS, residual_excess=1.02), None),
        "structure left in the residual": (curve(ERRORS, residual_excess=1.3), None),
        "cannot be told apart": (curve([0.8, 0.5, 0.3, 0.3, 0.3, 0.3], wobble=0.01), None),
        "slight gains": (curve([0.8, 0.5, 0.3, 0.295, 0.292, 0.31], **costly), None),
        "slight gain of one": (curve([0.8, 0.5, 0.3, 0.295, 0.31], **costly), None),
        "more than its cost": (curve([0.8, 0.5, 0.3, 0.27, 0.24, 0.27], **costly), None),
        "tie by cost": (curve([0.8, 0.5, 0.3, 0.292, 0.31], **costly), None),
        "tie by folds": (curve([0.8, 0.5, 0.303, 0.3, 0.4], wobble=0.006), None),
        "smaller is not clearly worse": (curve([0.8, 0.5, 0.313, 0.3, 0.32], **costly), None),
        "gains of all but what they cost": (
            curve([0.8, 0.5, 0.3, 0.2919, 0.2838, 0.31], **costly),
            None,
        ),
        "gains that other thresholds call slight": (
            curve([0.8, 0.5, 0.3, 0.282, 0.31], **costly),
            SelectionRule(min_gain=3.0),
        ),
        "the smallest stable rank is not as good as the best": (
            [
                of_rank(1, 0.8),
                of_rank(2, 0.31, wobble=0.1, **unstable),
                of_rank(3, 0.33),
                of_rank(4, 0.3),
                of_rank(5, 0.4),
            ],
            None,
        ),
        "a larger stable rank takes the place of a better one": (
            changed(
                changed(curve([0.8, 0.5, 0.3, 0.3], wobble=0.01), 3, 0.3, wobble=0.01, **unstable),
                4,
                0.304,
                wobble=0.012,
            ),
            None,
        ),
        "the rank below is a little better but unstable": (
            [
                of_rank(1, 0.8),
                of_rank(2, 0.3, wobble=0.02, **unstable),
                of_rank(3, 0.306, wobble=0.02),
                of_rank(4, 0.4),
            ],
            None,
        ),
        "silhouettes that round to zero": (
            curve([0.8, 0.5, 0.3, 0.33], stability=0.004, weakest=-0.004),
            None,
        ),
        "no tie with an unstable best": (
            changed(curve([0.8, 0.5, 0.3, 0.292, 0.31], **costly), 4, 0.292, **unstable),
            None,
        ),
        "unstable gives way": (
            changed(curve([0.8, 0.5, 0.3, 0.3, 0.4], wobble=0.01), 3, 0.3, wobble=0.01, **unstable),
            None,
        ),
        "found again by some": (
            changed(curve([0.8, 0.5, 0.3, 0.33]), 3, 0.3, best_run_reproduced=0.6, **unstable),
            None,
        ),
        "agreed and found again by most": (
            changed(curve([0.8, 0.5, 0.3, 0.33]), 3, 0.3, best_run_reproduced=0.9),
            None,
        ),
        "found again by too few": (
            changed(
                curve([0.8, 0.5, 0.3, 0.33], **unstable),
                3,
                0.3,
                best_run_reproduced=0.4,
                **unstable,
            ),
            None,
        ),
        "all agree but on one": (curve([0.8, 0.5, 0.3, 0.32], stability=0.82, weakest=-0.3), None),
        "of ranks as good, the one with all its components": (
            changed(
                curve([0.8, 0.5, 0.3, 0.3, 0.4], wobble=0.01), 3, 0.3, wobble=0.01, weakest=-0.3
            ),
            None,
        ),
        "a larger rank with a weak component": (
            changed(curve([0.8, 0.5, 0.3, 0.3], wobble=0.01), 4, 0.3, wobble=0.01, weakest=-0.3),
            None,
        ),
        "the least but for one fold": (
            changed(
                curve([0.8, 0.5, 0.31, 0.3, 0.4]),
                4,
                0.3,
                fold_errors=tuple(0.3 + FOLDS + 0.3 * (np.arange(N_FOLDS) == 0)),
            ),
            None,
        ),
        "shaky components": (curve([0.8, 0.5, 0.3, 0.32], stability=0.82, weakest=0.3), None),
        "a coarser view": (
            changed(coarse, 2, 0.5, dispersion=1.0, cophenetic_correlation=1.0),
            None,
        ),
        "two coarser views alike": (
            changed(
                changed(curve([0.8, 0.5, 0.4, 0.2, 0.3], dispersion=0.9), 2, 0.5, dispersion=0.95),
                3,
                0.4,
                dispersion=0.95,
            ),
            None,
        ),
        "the clearer of two coarser views": (
            changed(
                changed(curve([0.8, 0.5, 0.4, 0.2, 0.3], dispersion=0.9), 2, 0.5, dispersion=1.0),
                3,
                0.4,
                dispersion=0.95,
            ),
            None,
        ),
        "a coarser view just as clear": (
            changed(coarse, 2, 0.5, dispersion=0.9),
            None,
        ),
        "no coarser view where the clearness is unknown": (
            changed(
                curve([0.8, 0.5, 0.3, 0.33], dispersion=0.9), 3, 0.3, cophenetic_correlation=None
            ),
            None,
        ),
        "a residual at the bound": (curve(ERRORS, residual_excess=1.1), None),
        "as good as the best by a standard error": (
            [
                in_two_folds(1, 1.0, 0.0),
                in_two_folds(2, 0.75, 0.0),
                in_two_folds(3, 0.25 + 1 / 16, 0.0),
                in_two_folds(4, 0.25, 1 / 16),
                in_two_folds(5, 0.25 + 1 / 8, 1 / 16),
            ],
            None,
        ),
        "a larger one takes over by a standard error": (
            [
                in_two_folds(1, 1.0, 0.0),
                in_two_folds(2, 0.25, 0.0, **unstable),
                in_two_folds(3, 0.25 + 1 / 16, 1 / 16),
            ],
            None,
        ),
        "exact to the bound": (exact([0.8, 0.5, 1e-3, 1e-3]), None),
        "no coarser view where the tree fits worse": (
            changed(coarse, 2, 0.5, dispersion=1.0, cophenetic_correlation=0.9),
            None,
        ),
        "no coarser view that is as clear": (changed(coarse, 2, 0.5, dispersion=0.8), None),
        "no coarser view of unknown clearness": (changed(coarse, 2, 0.5), None),
        "no coarser view that disagrees": (
            changed(coarse, 2, 0.5, dispersion=1.0, **unstable),
            None,
        ),
        "permuted": (permuted([100.0, 50.0, 20.0, 18.0], null), None),
        "permuted without effect": (permuted([100.0, 96.0, 92.0, 88.0], null), None),
        "exact": (exact([0.8, 0.5, 1e-4, 1e-5, 0.0]), None),
        "exact at rank 1": (exact([0.0, 0.0, 0.0]), None),
        "exact, a residual": (
            [
                of_rank(r, e, fold_errors=(e,) * 4, residual_excess=2.0)
                for r, e in enumerate([0.8, 0.5, 0.0, 0.0], start=1)
            ],
            None,
        ),
        "exact at rank 1, a residual": (
            [of_rank(r, 0.0, fold_errors=(0.0,) * 4, residual_excess=2.0) for r in (1, 2)],
            None,
        ),
        "reproduced, larger ranks err less": (
            changed(curve([0.8, 0.5, 0.3, 0.1, 0.05]), 3, 0.3, reconstruction_error=1e-5),
            None,
        ),
        "reproduced at the end of the grid": (
            changed(curve([0.8, 0.5, 0.3]), 3, 0.3, reconstruction_error=1e-5, residual_excess=2.0),
            None,
        ),
        "reproduced at rank 1": (
            changed(curve([0.8, 0.5, 0.3]), 1, 0.8, reconstruction_error=1e-5),
            None,
        ),
        "as good as the best, not tied": (curve([0.8, 0.5, 0.3005, 0.3, 0.4], wobble=0.006), None),
        "found again by all": (
            changed(curve([0.8, 0.5, 0.3, 0.33]), 3, 0.3, best_run_reproduced=1.0),
            None,
        ),
        "the larger of unknown stability": (
            changed(curve([0.8, 0.5, 0.3, 0.3], wobble=0.01), 4, 0.3, wobble=0.01, stability=None),
            None,
        ),
        "two smaller ones are stable": (
            changed(
                changed(curve([0.8, 0.5, 0.4, 0.2, 0.3]), 4, 0.2, **unstable), 5, 0.3, **unstable
            ),
            None,
        ),
        "two converged and disagree": (
            curve([0.8, 0.3, 0.4], stability=0.3, weakest=-0.4, n_good=2),
            None,
        ),
        "permuted, two significant": (permuted([100.0, 50.0, 20.0, 5.0], null), None),
        "permuted at some ranks": (
            [
                of_rank(1, 0.8),
                of_rank(2, 0.5, loss=50.0, null_losses=(95.0,) * 19),
                of_rank(3, 0.3, loss=20.0, null_losses=(90.0,) * 19),
                of_rank(4, 0.33, loss=18.0),
            ],
            None,
        ),
        "no structure, the best at the edge": (curve([0.3, 0.298], **costly), None),
        "no structure and no difference": (curve([0.3, 0.29999], wobble=0.01), None),
        "no structure": (curve([0.3, 0.35, 0.4, 0.5]), None),
        "no structure, two ranks": (curve([0.3, 0.35]), None),
        "no structure, one rank": (curve([0.3]), None),
        "no structure that can be told": (curve([0.3, 0.3, 0.3, 0.5], wobble=0.02), None),
        "no structure worth its cost": (curve([0.3, 0.295, 0.31], **costly), None),
        "no structure, unspent": (curve([0.3, 0.35, 0.4], residual_excess=1.3), None),
        "no stable solution": (curve([0.8, 0.5, 0.3, 0.35], **unstable), None),
        "no stable solution but a smaller one": (
            changed(
                changed(curve([0.8, 0.5, 0.4, 0.2, 0.3]), 4, 0.2, **unstable), 5, 0.3, **unstable
            ),
            None,
        ),
        "no stable solution at the edge": (curve([0.8, 0.5, 0.3], **unstable), None),
        "too few converged": (
            curve([0.8, 0.3, 0.4], stability=None, weakest=None, n_good=0, n_non_finite=2),
            None,
        ),
        "edge": (curve([0.8, 0.6, 0.4, 0.2]), None),
        "no rank 1": ([of_rank(2, 0.5), of_rank(3, 0.3), of_rank(4, 0.4)], None),
        "smallest of the grid": ([of_rank(3, 0.3), of_rank(4, 0.4), of_rank(6, 0.5)], None),
        "some did not converge": (changed(curve(ERRORS), 3, 0.3, n_good=13), None),
        "a rank without held-out error": (
            changed(
                curve([0.8, 0.5, 0.3, 0.4]),
                4,
                0.1,
                fold_errors=(np.nan,) * N_FOLDS,
                held_out_error=np.nan,
            ),
            None,
        ),
        "without cross-validation": (without, None),
        "without cross-validation, disagreeing": (
            [of_rank(rank, stability=0.1, weakest=-0.5) for rank in (1, 2, 3)],
            None,
        ),
        "other thresholds": (
            curve([0.8, 0.5, 0.3, 0.35], **unstable),
            SelectionRule(min_stability=0.2, min_component_stability=-0.5),
        ),
    }


def text_of(found):
    lines = [f"rank {found.rank}, {found.decision}, {found.confidence}", found.headline]
    lines += [f"- {reason}" for reason in found.reasons]
    lines += [f"* rank {runner.rank}: {runner.reason}" for runner in found.runners_up]
    return lines + [f"! {warning}" for warning in found.warnings]


def whole_text():
    parts = []
    for name, (criteria, rule) in scenarios().items():
        parts += [f"# {name}", *text_of(recommend(criteria, rule)), ""]
    return "\n".join(parts)


def test_every_kind_of_answer_reads_as_approved():
    assert whole_text().split("\n# ") == APPROVED.read_text(encoding="utf-8").split("\n# ")


def test_numbers_are_finite_and_signs_mean_something():
    odd = re.findall(r"\binf\b|\bnan\b|(?<!\w)-[\d.]+|[+−]0\.0+(?!\d)|only 1\.0", whole_text())
    assert not odd


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(InputError, match=r"^There are no criteria to recommend a rank from\.$"):
        recommend([])


# ---------------------------------------------------------------- thresholds, met exactly


@pytest.mark.parametrize(
    ("values", "agrees", "on_all"),
    [
        ({"stability": 0.6, "weakest": 0.1}, True, True),
        ({"stability": 0.599, "weakest": 0.1}, True, False),
        ({"stability": 0.5, "weakest": 0.1}, True, False),
        ({"stability": 0.499, "weakest": 0.1}, False, False),
        ({"stability": 0.6, "weakest": 0.099}, True, False),
        ({"stability": None, "weakest": 0.5}, False, False),
        ({"stability": 0.9, "weakest": None}, True, False),
    ],
)
def test_agreement_begins_at_its_thresholds(values, agrees, on_all):
    criteria = of_rank(3, **values)
    assert SelectionRule().agrees(criteria) is agrees
    assert SelectionRule().agrees_on_all(criteria) is on_all


def test_rank_one_needs_a_run_that_converged():
    of_one = [of_rank(1, n_good=n, weakest=None) for n in (0, 1, 2)]
    assert [SelectionRule().agrees(c) for c in of_one] == [False, True, True]
    assert [SelectionRule().agrees_on_all(c) for c in of_one] == [False, True, True]


@pytest.mark.parametrize(
    ("n_good", "share", "stable"), [(2, 0.5, True), (1, 0.5, False), (2, 0.49, False)]
)
def test_being_found_again_counts_from_two_runs_and_half_of_them(n_good, share, stable):
    criteria = of_rank(3, stability=0.1, weakest=0.0, n_good=n_good, best_run_reproduced=share)
    assert SelectionRule().is_stable(criteria) is stable


def confidence(**values):
    return recommend(changed(curve(ERRORS), 3, 0.3, **values)).confidence


def test_high_confidence_begins_at_its_thresholds():
    assert confidence(stability=0.9, weakest=0.6) == Confidence.HIGH
    assert confidence(stability=0.899, weakest=0.6) == Confidence.MODERATE
    assert confidence(stability=0.9, weakest=0.599) == Confidence.MODERATE
    assert confidence(residual_excess=1.1) == Confidence.HIGH
    assert confidence(residual_excess=1.101) == Confidence.MODERATE
    # Found again by enough, but the silhouettes are unknown.
    assert confidence(stability=None, best_run_reproduced=0.9) == Confidence.MODERATE
    # The runs agree, but not on the weakest component.
    assert confidence(stability=0.9, weakest=0.1) == Confidence.MODERATE
    assert confidence(stability=0.9, weakest=0.099) == Confidence.LOW


def apart(excess, in_standard_errors):
    """Two ranks whose paired differences have this mean and this many standard errors."""
    spread = np.resize([1.0, -1.0], N_FOLDS)
    unit = np.std(spread, ddof=1) / np.sqrt(N_FOLDS)
    return excess + spread * excess / in_standard_errors / unit


@pytest.mark.parametrize(
    ("n_errors", "expected"),
    [
        (3.01, Confidence.HIGH),
        (2.99, Confidence.MODERATE),
        (2.01, Confidence.MODERATE),
        (1.99, Confidence.LOW),
    ],
)
def test_confidence_by_the_standard_errors_to_the_rank_below(n_errors, expected):
    criteria = changed(
        curve(ERRORS, wobble=0), 2, 0.5, fold_errors=tuple(0.3 + FOLDS + apart(0.2, n_errors))
    )
    found = recommend(criteria)
    assert (found.rank, found.confidence) == (3, expected)


@pytest.mark.parametrize(
    ("n_errors", "expected"), [(2.01, Confidence.HIGH), (1.99, Confidence.MODERATE)]
)
def test_confidence_by_the_standard_errors_to_the_rank_above(n_errors, expected):
    criteria = changed(
        curve(ERRORS, wobble=0), 4, 0.32, fold_errors=tuple(0.3 + FOLDS + apart(0.02, n_errors))
    )
    found = recommend(criteria)
    assert (found.rank, found.confidence) == (3, expected)


@pytest.mark.parametrize(
    ("below", "above", "expected"),
    [
        (0.0151, 0.0051, Confidence.HIGH),
        (0.0149, 0.0051, Confidence.MODERATE),
        (0.0151, 0.0049, Confidence.MODERATE),
    ],
)
def test_confidence_by_the_cost_of_a_component(below, above, expected):
    found = recommend(curve([0.8, 0.3 + below, 0.3, 0.3 + above], wobble=1e-5, held_out_cost=0.01))
    assert (found.rank, found.confidence) == (3, expected)


@pytest.mark.parametrize(
    ("below", "apart_below", "above", "apart_above", "cost", "expected"),
    [
        (
            3 / 16,
            1 / 16,
            1 / 16,
            1 / 32,
            1 / 8,
            Confidence.HIGH,
        ),  # 3 and 2 standard errors, 1.5 and 0.5 costs
        (3 / 16, 5 / 64, 1 / 16, 1 / 32, 1 / 8, Confidence.MODERATE),
        (3 / 16, 1 / 16, 1 / 16, 5 / 128, 1 / 8, Confidence.MODERATE),
        (5 / 32, 1 / 32, 1 / 16, 1 / 32, 1 / 8, Confidence.MODERATE),
        (3 / 16, 1 / 16, 3 / 64, 1 / 64, 1 / 8, Confidence.MODERATE),
        (1 / 8, 1 / 16, 1 / 16, 1 / 32, 1 / 16, Confidence.MODERATE),  # 2 standard errors
        (1 / 8, 5 / 64, 1 / 16, 1 / 32, 1 / 16, Confidence.LOW),
    ],
)
def test_bounds_of_confidence_are_met_exactly(
    below, apart_below, above, apart_above, cost, expected
):
    ranks = [
        in_two_folds(1, 1.0, 0.0),
        in_two_folds(2, 0.25 + below, apart_below),
        in_two_folds(3, 0.25, 0.0),
        in_two_folds(4, 0.25 + above, apart_above),
    ]
    found = recommend([replace(c, held_out_cost=cost) for c in ranks])
    assert (found.rank, found.confidence) == (3, expected)


@pytest.mark.parametrize(
    ("gain", "decision", "rank"),
    [(0.0076, Decision.RANK, 3), (0.0077, Decision.TIE, 3), (0.0086, Decision.RANK, 4)],
)
def test_ranks_tie_from_nine_tenths_of_the_gain_that_is_asked_for(gain, decision, rank):
    found = recommend(curve([0.8, 0.5, 0.3, 0.3 - gain, 0.4], wobble=1e-5, held_out_cost=0.01))
    assert (found.decision, found.rank) == (decision, rank)


if __name__ == "__main__":
    APPROVED.parent.mkdir(exist_ok=True)
    APPROVED.write_text(whole_text(), encoding="utf-8")
