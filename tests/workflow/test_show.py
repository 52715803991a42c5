"""What is shown of a solution depends on it, and nothing depends on what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conftest import jobs, run_sweep

from benchmarks.faulty_sweeps import hashes


def test_asking_for_more_to_see_repeats_nothing(
    own_project: Path, small_config: dict[str, Any]
) -> None:
    sweep = own_project / "results/small"
    before = hashes(sweep)
    config = {**small_config, "show": {"kind": "groups"}}
    done = run_sweep(own_project, config)
    assert jobs(done) == {"show": 1}, done.stdout
    shown = {path.name for path in (sweep / "show").glob("[!.]*")}
    assert shown == {"groups.svg", "groups.png", "groups.tsv"}
    after = hashes(sweep)
    assert {name: after[name] for name in before} == before
    assert not jobs(run_sweep(own_project, config))


def test_a_missing_reference_is_said_before_anything_runs(
    tmp_path: Path, small_config: dict[str, Any]
) -> None:
    config = {**small_config, "show": {"kind": "signatures", "reference": "known.tsv"}}
    (tmp_path / "knwon.tsv").write_text("x")
    done = run_sweep(tmp_path, config)
    assert done.returncode != 0
    assert "known.tsv does not exist. Did you mean knwon.tsv?" in done.stdout
    assert not jobs(done)
