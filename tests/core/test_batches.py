from hypothesis import given, settings
from hypothesis import strategies as st

from nmfcore.batches import (
    JOB_COST,
    LARGEST_BATCH,
    batch_size,
    job_threads,
    plan_batches,
)
from nmfcore.groups import GROUP_SEEDS

bounded = settings(max_examples=30, deadline=None)

n_seeds = st.integers(1, 200)
per_job = st.integers(1, 60)
history = st.lists(st.tuples(st.integers(1, 120), per_job), min_size=1, max_size=4)


def seeds_of(plan):
    return [seed for first, last in plan for seed in range(first, last + 1)]


def grown(steps):
    """Batches on disk after several sweeps, each with more seeds than the one before."""
    total, plan = 0, []
    for more, size in steps:
        total += more
        plan = plan_batches(total, size, existing=plan)
    return total, plan


@bounded
@given(n_seeds, per_job)
def test_a_fresh_plan_covers_each_seed_once_in_order_in_batches_of_the_size_asked(n, size):
    plan = plan_batches(n, size)
    assert seeds_of(plan) == list(range(n))
    assert all(last - first + 1 == size for first, last in plan[:-1])
    assert plan[-1][1] - plan[-1][0] + 1 <= size


@bounded
@given(history)
def test_growing_keeps_what_is_on_disk_and_covers_the_rest_once(steps):
    for stop in range(1, len(steps)):
        _, before = grown(steps[:stop])
        total, after = grown(steps[: stop + 1])
        assert seeds_of(after) == list(range(total))
        assert set(before) <= set(after)
        assert all(last - first < steps[stop][1] for first, last in set(after) - set(before))


@bounded
@given(history)
def test_planning_again_changes_nothing(steps):
    total, plan = grown(steps)
    assert plan_batches(total, 7, existing=plan) == plan
    assert plan_batches(total, 7, existing=reversed(plan)) == plan


@bounded
@given(history, st.randoms(use_true_random=False))
def test_a_lost_batch_is_made_again_and_nothing_else(steps, random):
    total, plan = grown(steps)
    lost = random.choice(plan)
    kept = [batch for batch in plan if batch != lost]
    again = plan_batches(total, 25, existing=kept)
    assert seeds_of(again) == list(range(total))
    assert set(kept) <= set(again)
    assert seeds_of(sorted(set(again) - set(kept))) == list(range(lost[0], lost[1] + 1))


@bounded
@given(history, st.integers(1, 100))
def test_fewer_seeds_than_on_disk_are_covered_by_files_that_exist(steps, n):
    total, plan = grown(steps)
    n = min(n, total)
    fewer = plan_batches(n, 25, existing=plan)
    assert set(fewer) <= set(plan)
    assert seeds_of(fewer)[:n] == list(range(n))


def test_no_seeds_make_no_batch():
    assert plan_batches(0, 10) == []


def test_more_seeds_extend_a_plan_at_multiples_of_the_batch_size():
    assert plan_batches(10, 4) == [(0, 3), (4, 7), (8, 9)]
    assert plan_batches(17, 4, existing=[(0, 3), (4, 7), (8, 9)]) == [
        (0, 3),
        (4, 7),
        (8, 9),
        (10, 11),
        (12, 15),
        (16, 16),
    ]


def time_until_done(n_ranks, n_seeds, size, at_once):
    """Jobs handed to the first that is free, one after the other."""
    free = [0.0] * at_once
    for _ in range(n_ranks):
        for first, last in plan_batches(n_seeds, size):
            free[free.index(min(free))] += JOB_COST + last - first + 1
    return max(free)


@bounded
@given(st.integers(1, 20), n_seeds, st.integers(1, 64))
def test_batches_that_are_chosen_keep_groups_whole_and_are_nearly_the_fastest(ranks, n, at_once):
    size = batch_size("auto", ranks, n, at_once)
    assert size % GROUP_SEEDS == 0
    assert 0 < size <= LARGEST_BATCH
    sizes = range(GROUP_SEEDS, LARGEST_BATCH + 1, GROUP_SEEDS)
    best = min(time_until_done(ranks, n, other, at_once) for other in sizes)
    assert time_until_done(ranks, n, size, at_once) <= 1.5 * best


def test_a_batch_size_that_is_asked_for_is_taken():
    assert batch_size(7, 3, 50, 16) == 7


def test_few_ranks_on_many_cores_leave_none_idle_and_many_ranks_get_big_batches():
    assert batch_size("auto", n_ranks=20, n_seeds=100, at_once=2) == LARGEST_BATCH
    assert batch_size("auto", n_ranks=1, n_seeds=100, at_once=10) == 10
    assert batch_size("auto", n_ranks=1, n_seeds=100, at_once=5) == 20


def test_threads_are_what_jobs_leave_over_and_a_group_each_at_most():
    assert job_threads(n_jobs=8, seeds_per_job=50, at_once=2) == 1
    assert job_threads(n_jobs=1, seeds_per_job=50, at_once=4) == 4
    assert job_threads(n_jobs=1, seeds_per_job=50, at_once=64) == 5
    assert job_threads(n_jobs=3, seeds_per_job=50, at_once=8) == 2
    assert job_threads(n_jobs=0, seeds_per_job=50, at_once=4) == 4
