"""One thread for BLAS while a batch is solved, and as many as before after it."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nmfcore import cross_validation, factorize
from nmfcore.blas_threads import one_blas_thread
from nmfcore.cross_validation import cross_validate


def blas_threads() -> set[int]:
    """Threads of every BLAS library that is loaded."""
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def _two_threads():
    limits = threadpool_limits(
        2, "blas"
    )  # no context, which would keep other threads from setting it
    if blas_threads() != {2}:
        pytest.skip("this BLAS has one thread")
    yield
    limits.restore_original_limits()


def test_one_inside_and_as_many_as_before_after_it():
    assert one_blas_thread(blas_threads)() == {1}
    assert blas_threads() == {2}


def test_an_error_lifts_it():
    @one_blas_thread
    def fail() -> None:
        raise ValueError("a reason")

    with pytest.raises(ValueError, match="a reason"):
        fail()
    assert blas_threads() == {2}


def test_folds_in_threads_do_not_lift_it_for_each_other(monkeypatch):
    seen: list[set[int]] = []
    score = cross_validation._held_out_errors

    def watched(*given):
        seen.append(blas_threads())
        return score(*given)

    monkeypatch.setattr(cross_validation, "_held_out_errors", watched)
    cross_validate(np.random.default_rng(0).random((60, 40)), 2, threads=3)
    assert len(seen) >= 10
    assert all(threads == {1} for threads in seen)
    assert blas_threads() == {2}


@pytest.mark.parametrize(
    "solve", [lambda V: factorize(V, 3, range(3)).W, lambda V: cross_validate(V, 3).start_errors]
)
def test_results_do_not_depend_on_the_threads_of_blas(solve):
    V = np.random.default_rng(0).poisson(5, (600, 400)).astype(float)
    with threadpool_limits(1, "blas"):
        alone = solve(V)
    np.testing.assert_array_equal(solve(V), alone)
