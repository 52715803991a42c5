"""A wide grid is tried coarsely, then around what the evidence speaks for, and ends where the whole grid would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmfcore import RankRule, sweep
from nmfcore.criteria import Criteria
from nmfcore.errors import InputError
from nmfcore.rank_decisions import decide_ranks
from nmfcore.selection import key_ranks

ranks_ = st.sets(st.integers(1, 60), min_size=1).map(lambda found: tuple(sorted(found)))
random = np.random.default_rng(3)
OPTIONS = {"seeds": 6, "n_folds": 5, "max_iter": 300}


def planted(rank: int) -> np.ndarray:
    means = random.gamma(0.3, size=(50, rank)) @ random.gamma(0.4, size=(rank, 40))
    return random.poisson(40 * means).astype(float)


@given(ranks_, st.integers(1, 9), st.data())
def test_the_first_ranks_are_every_so_many_with_both_ends(ranks, coarse, data):
    always = data.draw(st.sampled_from([None, *ranks]))
    first = RankRule(ranks, coarse, always).first
    assert first == tuple(sorted({*ranks[::coarse], ranks[-1], *([always] if always else [])}))


@given(ranks_, st.integers(2, 9), st.data())
def test_repeated_until_nothing_is_added_every_centre_has_its_neighbours(ranks, coarse, data):
    rule = RankRule(ranks, coarse)
    tried = set(rule.first)
    for _ in range(len(ranks) + 1):
        centres = data.draw(st.sets(st.sampled_from(sorted(tried)), min_size=1))
        added = rule.around(tried, centres)
        assert not tried & set(added)
        assert list(added) == sorted(added)
        # Nothing lies between a centre and what has now been tried but what has been tried.
        tried |= set(added)
        for centre in centres:
            place = ranks.index(centre)
            assert {*ranks[max(place - 1, 0) : place + 2]} <= tried
        assert not rule.around(tried, centres)


@given(ranks_)
def test_a_step_of_one_tries_every_rank(ranks):
    assert RankRule(ranks).first == ranks


@pytest.mark.parametrize("ranks", [(), (0, 1), (2, 2), (3, 1)])
def test_ranks_that_do_not_ascend_are_refused(ranks):
    with pytest.raises(InputError, match="ascending"):
        RankRule(ranks)


def test_a_step_below_one_is_refused():
    with pytest.raises(InputError, match="at least 1"):
        RankRule((1, 2), 0)


def test_nothing_to_decide_on_is_refused():
    with pytest.raises(InputError, match="no criteria"):
        key_ranks([])


@pytest.mark.parametrize(("rank", "coarse"), [(2, 4), (5, 3)])
def test_a_coarse_sweep_recommends_what_the_whole_grid_does_and_tries_fewer(rank, coarse):
    V = planted(rank)
    whole = sweep(V, range(1, 13), **OPTIONS)
    found = sweep(V, RankRule(tuple(range(1, 13)), coarse), **OPTIONS)
    assert whole.recommendation.rank == rank
    assert found.recommendation.rank == rank
    tried = list(found.runs)
    assert tried == sorted(tried)
    assert {rank - 1, rank, rank + 1} <= set(tried)
    assert len(tried) < 12
    for criteria in found.criteria:
        assert criteria == whole.summaries[criteria.rank].criteria
    assert not found.rank_decisions[-1].added
    assert found.rank_decisions[-1].tried == tuple(tried)
    for earlier, later in zip(found.rank_decisions, found.rank_decisions[1:], strict=False):
        assert earlier.wanted == later.tried
        assert ", ".join(map(str, earlier.added[:-1])) in earlier.reason


def test_noise_is_looked_at_between_rank_1_and_the_next_before_it_is_called_so():
    V = random.gamma(4.0, size=(40, 30))
    found = sweep(V, RankRule(tuple(range(1, 10)), 4), **OPTIONS)
    assert found.recommendation.decision == "no_structure"
    assert {1, 2, 3, 4, 5} <= set(found.runs)


def test_without_held_out_errors_the_most_stable_rank_is_the_centre():
    def criteria(rank: int, stability: float) -> Criteria:
        V = np.ones((4, 5))
        own = sweep(V, [1], 2, n_folds=0).criteria[0].as_document()
        return Criteria.from_document({**own, "rank": rank, "component_stability": stability})

    tried = [criteria(1, 0.0), criteria(4, 0.3), criteria(7, 0.45), criteria(10, 0.2)]
    decision = decide_ranks(RankRule(tuple(range(1, 11)), 3), tried)
    assert decision.added == (5, 6, 8, 9)
    assert "rank 7 of the 4 that were tried" in decision.reason


def test_ranks_that_are_not_whole_are_refused():
    with pytest.raises(InputError, match="whole numbers"):
        sweep(np.ones((6, 5)), [1.0, 2.5], 2, n_folds=0)
