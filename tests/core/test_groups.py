"""Groups are what makes neither threads nor batches change a bit."""

import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmfcore import factorize
from nmfcore.batches import plan_batches
from nmfcore.groups import GROUP_SEEDS, Groups, in_threads
from nmfcore.runs import Runs, concatenate_runs

PROBLEMS = {
    "dense": ("frobenius", 40, 30, 1.0, False),
    "sparse": ("frobenius", 300, 200, 0.03, False),
    "compressed": ("frobenius", 400, 300, 1.0, False),
    "hidden cells": ("frobenius", 60, 50, 1.0, True),
    "sparse Kullback–Leibler": ("kullback-leibler", 60, 50, 0.1, False),
    "dense Kullback–Leibler": ("kullback-leibler", 40, 30, 1.0, True),
    "multiplicative": ("itakura-saito", 20, 15, 1.0, False),
}


def solved(problem: str, seeds: range, threads: int = 1) -> Runs:
    loss, m, n, density, hidden = PROBLEMS[problem]
    random = np.random.default_rng(0)
    V = random.gamma(0.5, size=(m, 3)) @ random.gamma(0.5, size=(3, n)) + 0.01
    V = V * (random.random((m, n)) < density)
    observed = random.random((m, n)) < 0.9 if hidden else None
    return factorize(
        V, 3, seeds, loss=loss, max_iter=40, tol=1e-4, observed=observed, threads=threads
    )


def assert_same_bits(found: Runs, expected: Runs) -> None:
    for name in ("seeds", "W", "H", "loss", "relative_error", "kkt_residual", "n_iter", "status"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    np.testing.assert_array_equal(found.trace, expected.trace)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_threads_change_no_bit(problem):
    assert_same_bits(solved(problem, range(25), threads=3), solved(problem, range(25)))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_batches_cut_between_groups_change_no_bit(problem):
    parts = [range(first, last + 1) for first, last in plan_batches(30, GROUP_SEEDS)]
    assert len(parts) == 3
    alone = concatenate_runs([solved(problem, part) for part in parts])
    assert_same_bits(alone, solved(problem, range(30)))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40))
def test_a_group_is_what_a_batch_holds_of_ten_seeds(seeds):
    parts = Groups.of(seeds).parts
    assert [seeds[i] for part in parts for i in range(part.start, part.stop)] == seeds
    tens = [{seed // GROUP_SEEDS for seed in seeds[part]} for part in parts]
    assert all(len(ten) == 1 for ten in tens)
    assert all(a != b for a, b in pairwise(tens))


def test_threads_work_at_the_same_time_and_keep_the_order():
    meeting = threading.Barrier(3, timeout=60)  # nobody passes before three are there

    def act(number: int) -> int:
        meeting.wait()
        return number * number

    assert in_threads(act, range(3), threads=3) == [0, 1, 4]


def test_an_error_in_a_thread_is_raised():
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda number: 1 // number, [1, 0], threads=2)
