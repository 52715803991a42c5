import numpy as np
import pytest

from nmfcore import factorize
from nmfcore.component_tree import Origin, component_tree


def spread(*parts):
    """Columns that each cover some of six disjoint blocks of features."""
    blocks = np.kron(np.eye(6), np.ones((5, 1)))
    return np.stack([blocks[:, list(part)].sum(axis=1) for part in parts], axis=1)


def origins(before, after):
    tree = component_tree({before.shape[1]: before, after.shape[1]: after})
    return [(branch.origin, branch.parents) for branch in tree]


def test_components_that_stay_are_kept_whatever_their_order_and_scale():
    before = spread((0, 1), (2, 3), (4, 5))
    after = np.column_stack([before[:, [2, 0, 1]] * [1, 7, 0.1], spread((0, 2, 4))])
    found = origins(before, after)
    assert found[:3] == [(Origin.KEPT, (2,)), (Origin.KEPT, (0,)), (Origin.KEPT, (1,))]


def test_halves_of_a_component_are_a_split():
    found = origins(spread((0, 1), (2, 3)), spread((0,), (1,), (2, 3)))
    assert found == [(Origin.SPLIT, (0,)), (Origin.SPLIT, (0,)), (Origin.KEPT, (1,))]


def test_a_sum_of_components_is_a_merger():
    found = origins(spread((0,), (1,)), spread((0, 1), (4,), (5,)))
    assert found[0] == (Origin.MERGED, (0, 1))


def test_what_nothing_before_is_like_is_new():
    found = origins(spread((0, 1), (2, 3)), spread((0, 1), (2, 3), (5,)))
    assert found == [(Origin.KEPT, (0,)), (Origin.KEPT, (1,)), (Origin.NEW, ())]


def test_a_grid_may_have_gaps_and_the_smallest_rank_has_no_parents():
    tree = component_tree({5: np.eye(8)[:, :5], 2: np.eye(8)[:, :2], 3: np.eye(8)[:, :3]})
    assert [(b.rank, b.component) for b in tree] == [
        *((3, j) for j in range(3)),
        *((5, j) for j in range(5)),
    ]
    assert component_tree({3: np.eye(4)[:, :3]}) == ()


def test_zero_components_are_new_and_break_nothing():
    before, after = spread((0,), (1,)), spread((0,), (1,), (2,))
    after[:, 2] = 0
    assert origins(before, after)[2] == (Origin.NEW, ())


def test_from_runs_a_planted_group_splits():
    stream = np.random.default_rng(0)
    W = spread((0, 1), (2, 3), (2, 4)).astype(float)
    V = stream.poisson(100 * W @ stream.dirichlet([0.3] * 3, 40).T).astype(float)
    bases = {}
    for rank in (2, 3):
        runs = factorize(V, rank, range(5))
        bases[rank] = runs.W[runs.loss.argmin()]
    tree = component_tree(bases)
    assert len(tree) == 3
    assert sum(branch.origin == Origin.KEPT for branch in tree) >= 1
    assert all(branch.cosine == pytest.approx(branch.cosine) for branch in tree)
