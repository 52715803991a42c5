from dataclasses import replace

import numpy as np
import pytest

from nmfcore import factorize

RUNS = factorize(np.random.default_rng(0).random((12, 10)), 2, range(4))


@pytest.mark.parametrize(
    ("loss", "position"),
    [
        ([3.0, 1.0, 2.0, 1.5], 1),
        ([np.nan, np.inf, 2.0, 3.0], 2),
        ([-np.inf, 4.0, 5.0, 4.0], 1),
        ([np.nan, np.inf, np.nan, np.inf], 0),
    ],
)
def test_the_least_loss_is_a_finite_one_if_there_is_one(loss, position):
    assert replace(RUNS, loss=np.array(loss)).least_loss == position
