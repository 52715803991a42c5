import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmfcore.deviation import absolute_deviation

positive = st.floats(1e-3, 1e3)


@given(positive, positive)
def test_by_the_formulas(v, p):
    cells, predictions = np.array([v]), np.array([p])
    by_hand = {
        2: abs(v - p),
        1: np.sqrt(2 * max(v * np.log(v / p) - v + p, 0)),
        0: np.sqrt(2 * max(v / p - np.log(v / p) - 1, 0)),
    }
    for beta, expected in by_hand.items():
        found = absolute_deviation(cells, predictions, beta)
        assert found[0] == pytest.approx(expected, abs=1e-5 * max(v, p, 1))


@pytest.mark.parametrize("beta", [2.0, 1.0, 0.0, 0.5, 1.5])
def test_zero_where_equal_and_more_the_further_off(beta):
    predictions = np.array([0.5, 1.0, 2.0, 4.0])
    found = absolute_deviation(np.full(4, 1.0), predictions, beta)
    assert found[1] == pytest.approx(0, abs=1e-7)
    assert found[0] > 0
    assert found[1] < found[2] < found[3]


def test_a_count_of_zero_costs_what_was_predicted():
    found = absolute_deviation(np.zeros(2), np.array([2.0, 8.0]), 1)
    np.testing.assert_allclose(found, [2, 4])


def test_what_was_held_impossible_is_infinitely_far():
    assert absolute_deviation(np.ones(1), np.zeros(1), 1) == np.inf
    assert absolute_deviation(np.zeros(1), np.ones(1), 0) == np.inf


def test_kullback_leibler_is_in_units_of_the_noise_of_counts():
    counts = np.random.default_rng(0).poisson(50, 20_000).astype(float)
    found = absolute_deviation(counts, np.full(counts.shape, 50.0), 1)
    assert np.sqrt(np.mean(found**2)) == pytest.approx(1, abs=0.02)
