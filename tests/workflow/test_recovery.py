"""Where Snakemake's memory is lost, or the clock was wrong, result files are asked themselves."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, jobs, run_sweep

from benchmarks.faulty_sweeps import hashes
from nmfcore.adapters import store
from nmfcore.adapters.code_digests import CODE
from nmfcore.adapters.config import load_config
from nmfcore.adapters.recovery import forget_future, outdated_files

SCHEMA = REPOSITORY / "workflow/schemas/config.schema.yaml"
GATHERED = ("summary.json", "consensus.npz", "solution/solution.json", "solution/solution.npz")
DECISION = {"selection/recommendation.json", "solution/solution.json", "solution/solution.npz"}
SUMMARIES = {f"ranks/rank-{rank}/{name}" for rank in range(1, 5) for name in GATHERED}
RUNS = {f"runs/rank-{rank}/seeds-0-5.npz" for rank in range(1, 5)}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, set()),
        ({"tracking": {"enabled": False}, "factorize": {"seeds_per_job": 2}}, set()),
        ({"select": {"min_stability": 0.5}}, DECISION),
        ({"seeds": 8}, DECISION | SUMMARIES),
        ({"factorize": {"tol": 1e-4}}, DECISION | SUMMARIES | RUNS),
        ({"ranks": [2, 3]}, DECISION),
    ],
    ids=["nothing", "nothing that matters", "select", "seeds", "fits", "ranks"],
)
def test_a_file_is_outdated_where_its_own_settings_are(
    finished_sweep: Path,
    small_config: dict[str, Any],
    change: dict[str, Any],
    expected: set[str],
) -> None:
    config = load_config({**small_config, **change}, SCHEMA)
    found = outdated_files(finished_sweep, config)
    assert {path.relative_to(finished_sweep).as_posix() for path in found} == expected
    assert outdated_files(finished_sweep / "absent", config) == []


def test_damaged_files_another_input_and_other_code_are_outdated(
    own_project: Path, small_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = own_project / "results/small"
    config = load_config(small_config, SCHEMA)
    with monkeypatch.context() as patch:
        patch.setitem(CODE, "select", "new")
        assert outdated_files(sweep, config) == [sweep / "selection/recommendation.json"]
    damaged = sweep / "runs/rank-1/seeds-0-5.npz"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (sweep / "report.html").write_text("by hand")
    caption = sweep / "figures/captions/components.rst"
    caption.write_text("by hand")
    assert outdated_files(sweep, config) == [damaged, sweep / "report.html", caption]

    other = own_project / "other.tsv"
    other.write_text(Path(small_config["input"]["path"]).read_text().replace("\t0\t", "\t1\t", 1))
    document = store.read_json(sweep / "prepared/matrix.json")
    document["source"]["sha256"] = store.file_digest(other)
    store.write_json(sweep / "prepared/matrix.json", document)
    found = {path.relative_to(sweep).as_posix() for path in outdated_files(sweep, config)}
    assert {"prepared/matrix.npz", "runs/rank-2/seeds-0-5.npz"} <= found


def test_files_of_the_future_are_dated_now_and_others_left(tmp_path: Path) -> None:
    for name, age in (("old", -100.0), ("future", 86400.0)):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (time.time(), time.time() + age))
    before = (tmp_path / "old").stat().st_mtime_ns
    assert forget_future(tmp_path) == [tmp_path / "future"]
    assert (tmp_path / "future").stat().st_mtime <= time.time()
    assert (tmp_path / "old").stat().st_mtime_ns == before


def test_without_the_memory_of_snakemake_nothing_sound_is_repeated(
    own_project: Path, untracked_config: dict[str, Any]
) -> None:
    shutil.rmtree(own_project / ".snakemake")
    done = run_sweep(own_project, untracked_config)
    assert done.returncode == 0, done.stdout
    assert not jobs(done)
    assert "made anew" not in done.stdout


def test_without_the_memory_of_snakemake_no_outdated_file_is_trusted(
    own_project: Path, untracked_config: dict[str, Any]
) -> None:
    """A dry run does not make it forget what it has found."""
    shutil.rmtree(own_project / ".snakemake")
    changed = {**untracked_config, "select": {"rank": 2}}
    repeated = {"select": 1, "caption": 1, "solve": 1, "report": 1, "record": 1}
    asked = run_sweep(own_project, changed, "--dry-run")
    assert "3 files there are not what is asked for" in asked.stdout
    assert jobs(asked) == repeated
    done = run_sweep(own_project, changed)
    assert done.returncode == 0, done.stdout
    assert jobs(done) == repeated
    assert store.SweepFolder(own_project / "results/small").solution["rank"] == 2


def test_results_dated_into_the_future_are_finished(
    own_project: Path, untracked_config: dict[str, Any], finished_sweep: Path
) -> None:
    sweep = own_project / "results/small"
    for path in sweep.rglob("*"):
        os.utime(path, (time.time(), time.time() + 86400))
    (sweep / "ranks/rank-2/summary.json").unlink()
    done = run_sweep(own_project, untracked_config)
    assert done.returncode == 0, done.stdout
    assert "were dated into the future" in done.stdout
    assert "factorize" not in jobs(done)
    assert hashes(sweep) == hashes(finished_sweep)
