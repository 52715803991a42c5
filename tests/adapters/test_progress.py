"""Progress: counted from the events of the log, with time from the jobs that are done."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any

from nmfcore.adapters.progress import ProgressHandler

STATS = {"factorize": 4, "summarize": 2, "solve_rank": 2, "select": 1, "total": 9}

BATCH = defaultdict(lambda: {"rank": "2"}, factorize={"rank": "2", "first": "10", "last": "19"})


class Sweep:
    """A handler, a clock, and what was said."""

    def __init__(self, **sizes: int) -> None:
        self.time = 100.0
        self.said: list[str] = []
        sizes = {"n_seeds": 20, "n_batches": 4, "n_present": 0} | sizes
        self.handler = ProgressHandler((1, 2), **sizes, say=self.said.append, now=lambda: self.time)
        self.event("run_info", stats=STATS)

    def event(self, name: str | None, **fields: Any) -> None:
        record = logging.makeLogRecord({"msg": "", "event": name, **fields})
        self.handler.handle(record)

    def job(self, number: int, rule: str, seconds: float) -> None:
        self.event("job_info", jobid=number, rule_name=rule, wildcards=BATCH[rule])
        self.time += seconds
        self.event("job_finished", job_id=number)


def test_fits_ranks_and_time_are_told() -> None:
    sweep = Sweep()
    sweep.job(1, "factorize", 20)
    assert sweep.said == [
        "Progress: 10 of 40 fits, 0 of 2 ranks done; about 3 min left"  # 8 jobs of 20 s
    ]
    sweep.job(2, "factorize", 40)
    sweep.job(3, "summarize", 15)
    sweep.job(4, "solve_rank", 15)
    # 2 × 30 s, 15 s, 15 s, and one of a rule not seen yet at the mean, 22.5 s
    assert sweep.said[-1] == "Progress: 20 of 40 fits, 1 of 2 ranks done; about 2 min left"


def test_jobs_at_once_share_the_time() -> None:
    sweep = Sweep()
    for number in (1, 2):
        sweep.event("job_info", jobid=number, rule_name="summarize", wildcards={"rank": "2"})
    sweep.time += 20
    sweep.event("job_finished", job_id=1)
    assert sweep.said[-1].endswith("about 80 s left")


def test_fits_on_disk_count_as_done() -> None:
    sweep = Sweep(n_batches=8, n_seeds=52, n_present=64)  # four of eight batches are to be computed
    sweep.job(1, "factorize", 20)
    assert sweep.said[-1].startswith("Progress: 74 of 104 fits")


def test_fits_on_disk_that_are_all_computed_again_do_not() -> None:
    sweep = Sweep(n_present=40)
    sweep.job(1, "factorize", 20)
    assert sweep.said[-1].startswith("Progress: 10 of 40 fits")


def test_quick_jobs_and_the_last_one_are_not_told_of() -> None:
    sweep = Sweep()
    rules = [rule for rule, n in STATS.items() if rule != "total" for _ in range(n)]
    for number, rule in enumerate(rules):
        sweep.job(number, rule, 0.5)
    assert len(sweep.said) == 1
    sweep.time += 60
    sweep.event("job_finished", job_id=99)  # of nobody
    assert len(sweep.said) == 1


def test_ranks_that_are_added_on_the_way_count_from_their_first_job() -> None:
    sweep = Sweep()
    sweep.event("run_info", stats={"factorize": 2, "summarize": 1, "total": 3})
    wildcards = {"rank": "7", "first": "0", "last": "9"}
    sweep.event("job_info", jobid=1, rule_name="factorize", wildcards=wildcards)
    sweep.time += 20
    sweep.event("job_finished", job_id=1)
    assert sweep.said[-1].startswith("Progress: 10 of 60 fits, 2 of 3 ranks done")


def test_other_messages_pass() -> None:
    sweep = Sweep()
    sweep.event(None)
    sweep.handler.handle(logging.makeLogRecord({"msg": "no event"}))
    assert sweep.said == []
