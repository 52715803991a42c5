"""What a change repeats, and what it leaves alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, jobs, run_sweep

from benchmarks.faulty_sweeps import hashes
from nmfcore.adapters import store

DECISION = "results/small/selection/recommendation.json"
NOTHING = "Nothing to be done"
ANSWER = {"select": 1, "caption": 1, "solve": 1, "report": 1, "record": 1}


def planned(project: Path, config: dict[str, Any]) -> dict[str, int]:
    """Jobs that a change of the configuration would run."""
    done = run_sweep(project, config, "--dry-run")
    assert done.returncode == 0, done.stdout
    return dict(jobs(done))


def times(sweep: Path, pattern: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sweep.glob(pattern)}


def test_a_second_run_has_nothing_to_do(own_project: Path, small_config: dict[str, Any]) -> None:
    done = run_sweep(own_project, small_config)
    assert done.returncode == 0
    assert NOTHING in done.stdout
    assert not jobs(done)


@pytest.mark.parametrize(
    "change",
    [
        {"factorize": {"seeds_per_job": 2}},
        {"tracking": {"enabled": False}},
        {"factorize": {"tol": "1e-6", "seeds_per_job": 6, "max_iter": 2000}},
    ],
    ids=["another batch size", "no tracking", "keys in another order"],
)
def test_what_no_result_depends_on_repeats_nothing(
    own_project: Path, small_config: dict[str, Any], change: dict[str, Any]
) -> None:
    assert planned(own_project, {**small_config, **change}) == {}


def test_a_part_of_a_sweep_can_be_asked_for(
    tmp_path: Path, untracked_config: dict[str, Any]
) -> None:
    done = run_sweep(tmp_path, untracked_config, "--", "results/small/prepared/matrix.npz")
    assert done.returncode == 0, done.stdout
    assert jobs(done) == {"prepare": 1}


def test_a_lost_result_file_is_made_anew(
    own_project: Path, untracked_config: dict[str, Any]
) -> None:
    sweep = own_project / "results/small"
    for lost, expected in {
        "solution/W.tsv": {"solve": 1, "report": 1, "record": 1},
        "runs/rank-2/seeds-0-5.npz": {"factorize": 1, "summarize": 1, "solve_rank": 1} | ANSWER,
        "figures/rank_survey.png": {"report": 1, "record": 1},
    }.items():
        (sweep / lost).rename(sweep / "aside")
        assert planned(own_project, untracked_config) == expected
        (sweep / "aside").rename(sweep / lost)


def test_another_rank_by_the_user_repeats_the_answer_only(
    own_project: Path, untracked_config: dict[str, Any]
) -> None:
    chosen = {**untracked_config, "select": {"rank": 2}}
    done = run_sweep(own_project, chosen)
    assert done.returncode == 0, done.stdout
    assert jobs(done) == ANSWER
    folder = store.SweepFolder(own_project / "results/small")
    assert folder.recommendation["recommended_rank"] == 3
    assert folder.recommendation["decision"] == "chosen by the user"
    assert folder.solution["rank"] == folder.recommendation["chosen_rank"] == 2
    assert "chosen by the user" in (folder.root / "report.html").read_text()


def test_an_input_file_that_was_touched_repeats_nothing(
    own_project: Path, small_config: dict[str, Any]
) -> None:
    inputs = [Path(small_config["input"][key]) for key in ("path", "annotations")]
    before = [path.stat() for path in inputs]
    try:
        for path in inputs:
            os.utime(path)
        assert planned(own_project, small_config) == {}
    finally:
        for path, stat in zip(inputs, before, strict=True):
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_fresh_clone_repeats_nothing(
    own_project: Path, small_config: dict[str, Any], tmp_path: Path
) -> None:
    """There, scripts are younger than any result."""
    clone = tmp_path / "clone"
    ignored = shutil.ignore_patterns(".*", "results", "tests", "docs")
    shutil.copytree(REPOSITORY, clone, symlinks=True, ignore=ignored)
    for script in (clone / "workflow/scripts").iterdir():
        os.utime(script)
    done = run_sweep(own_project, small_config, "--dry-run", snakefile=clone / "Snakefile")
    assert done.returncode == 0, done.stdout
    assert dict(jobs(done)) == {}


def test_more_seeds_add_runs_and_leave_the_others_as_they_are(
    own_project: Path, untracked_config: dict[str, Any]
) -> None:
    sweep = own_project / "results/small"
    before, written = hashes(sweep, "runs/**/*"), times(sweep, "runs/*/*")
    validated = hashes(sweep, "ranks/*/cross_validation.json")
    done = run_sweep(own_project, untracked_config, "--config", "seeds=8", "--", DECISION)
    assert done.returncode == 0, done.stdout
    assert jobs(done) == {"factorize": 4, "summarize": 4, "select": 1}
    after = hashes(sweep, "runs/**/*")
    added = {f"runs/rank-{k}/seeds-6-7.{suffix}" for k in range(1, 5) for suffix in ("npz", "tsv")}
    assert after.keys() - before.keys() == added
    assert before.items() <= after.items()
    assert written.items() <= times(sweep, "runs/*/*").items()
    assert hashes(sweep, "ranks/*/cross_validation.json") == validated
    assert store.read_json(sweep / "ranks/rank-2/summary.json")["n_runs"] == 8


def test_another_rank_adds_its_own_jobs(
    own_project: Path, untracked_config: dict[str, Any]
) -> None:
    wider = {**untracked_config, "ranks": [1, 2, 3, 4, 5]}
    added = {"factorize": 1, "validate": 1, "summarize": 1, "solve_rank": 1}
    assert planned(own_project, wider) == added | ANSWER


def test_settings_of_the_fit_repeat_the_runs_only(
    own_project: Path, untracked_config: dict[str, Any]
) -> None:
    changed = {**untracked_config, "factorize": {"seeds_per_job": 6, "tol": 1e-4}}
    assert (
        planned(own_project, changed) == {"factorize": 4, "summarize": 4, "solve_rank": 4} | ANSWER
    )


def test_settings_of_the_decision_repeat_the_decision(
    own_project: Path, untracked_config: dict[str, Any]
) -> None:
    changed = {**untracked_config, "select": {"min_stability": 0.5}}
    assert planned(own_project, changed) == ANSWER


def test_other_annotations_repeat_no_fit(
    own_project: Path, untracked_config: dict[str, Any], small_config: dict[str, Any]
) -> None:
    lines = Path(small_config["input"]["annotations"]).read_text().splitlines()
    more = [f"{line}\t{'batch' if i == 0 else i % 2}" for i, line in enumerate(lines)]
    (own_project / "more.tsv").write_text("\n".join(more) + "\n")
    for path in ("more.tsv", None):
        source = {**untracked_config["input"], "annotations": path}
        repeated = planned(own_project, {**untracked_config, "input": source})
        assert repeated == {"annotate": 1} | ANSWER
