"""Seeds are added until intervals are tight, and what they give is what a sweep of as many seeds gives."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmfcore import SeedRule, factorize, sweep
from nmfcore.criteria import summarize_rank
from nmfcore.errors import InputError
from nmfcore.seed_decisions import decide_seeds, stability_width

random = np.random.default_rng(5)
V = random.poisson(20 * random.gamma(0.4, size=(50, 3)) @ random.gamma(0.4, size=(3, 30)))


@given(st.integers(1, 60), st.integers(0, 300))
def test_stages_double_from_the_least_to_the_most(least, more):
    stages = SeedRule(least, least + more).stages()
    assert (stages[0], stages[-1]) == (least, least + more)
    assert all(b <= 2 * a < 2 * b for a, b in pairwise(stages))


@pytest.mark.parametrize(
    ("least", "most", "width"), [(0, 5, 0.1), (6, 5, 0.1), (5, 6, 0), (5, 6, np.nan)]
)
def test_a_rule_that_fits_no_number_is_refused(least, most, width):
    with pytest.raises(InputError, match="are needed"):
        SeedRule(least, most, width)


def test_the_width_is_that_of_the_intervals_in_the_criteria():
    runs = factorize(V, 5, range(16))
    criteria = summarize_rank(runs).criteria
    widths = [
        getattr(criteria, f"{name}_high") - getattr(criteria, f"{name}_low")
        for name in ("component_stability", "component_stability_min")
    ]
    assert stability_width(runs) == max(widths) > 0
    assert stability_width(runs.take(np.arange(5))) is None


def test_seeds_are_added_until_the_interval_is_tight_and_no_further():
    runs = factorize(V, 5, range(16))
    width = stability_width(runs)
    enough = decide_seeds(SeedRule(8, 64, width), runs)
    assert (enough.wanted, enough.width) == (16, width)
    assert "tight enough" in enough.reason
    more = decide_seeds(SeedRule(8, 64, np.nextafter(width, 0)), runs)
    assert more.wanted == 32
    assert "16 seeds are added" in more.reason
    last = decide_seeds(SeedRule(8, 16, 1e-9), runs)
    assert last.wanted == 16
    assert "not allowed" in last.reason


def test_a_single_component_needs_no_more_seeds_whatever_the_rule():
    decision = decide_seeds(SeedRule(2, 20, 1e-9), factorize(V, 1, range(2)))
    assert (decision.wanted, decision.width) == (2, None)
    assert "one component" in decision.reason


def test_too_few_runs_for_an_interval_want_more():
    assert decide_seeds(SeedRule(2, 20), factorize(V, 2, range(2))).wanted == 4


def test_an_adaptive_sweep_gives_the_bits_of_a_sweep_of_the_seeds_it_ended_with():
    rule = SeedRule(10, 40, 0.02)
    found = sweep(V, [2, 5], rule, n_folds=0)
    numbers = {rank: len(runs) for rank, runs in found.runs.items()}
    assert numbers[2] < numbers[5], "the ranks were meant to differ"
    for rank, runs in found.runs.items():
        assert [d.n_seeds for d in found.seed_decisions[rank]][-1] == len(runs)
        plain = sweep(V, [rank], len(runs), n_folds=0)
        np.testing.assert_array_equal(runs.W, plain.runs[rank].W)
        np.testing.assert_array_equal(runs.loss, plain.runs[rank].loss)
        assert plain.criteria[0] == found.summaries[rank].criteria
