import numpy as np
import pytest

from benchmarks.planted import KINDS, NOISE_KINDS, SHAPES, VISIBILITY, plant


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", ["low", "moderate", "high"])
def test_a_matrix_is_as_hard_as_its_level_says(kind, level):
    for rank, shape_name in ((3, "square"), (6, "wide")):
        planted = plant(kind, rank, level, shape_name, 0)
        assert planted.V.shape == SHAPES[shape_name]
        assert (planted.V >= 0).all()
        # Missing cells take some of the noise with them.
        assert planted.visibility == pytest.approx(VISIBILITY[level], rel=0.3)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_noise_has_no_parts(kind):
    planted = plant(kind, 9, "moderate", "tall", 0)
    assert planted.rank == 1
    assert planted.V.any()


def test_draws_depend_on_every_choice_and_on_nothing_else():
    first = plant("Poisson", 3, "moderate", "square", 5).V
    np.testing.assert_array_equal(first, plant("Poisson", 3, "moderate", "square", 5).V)
    others = [("Poisson", 3, "moderate", "square", 6), ("Poisson", 3, "high", "square", 5)]
    for other in [*others, ("Poisson", 4, "moderate", "square", 5)]:
        assert (first != plant(*other).V).any()


def test_missing_cells_are_marked_and_hold_zero():
    planted = plant("missing cells", 3, "moderate", "square", 0)
    assert 0.1 < np.mean(~planted.observed) < 0.2
    assert not planted.V[~planted.observed].any()
