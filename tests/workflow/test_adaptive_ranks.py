"""Ranks that are tried coarsely, and then around what the evidence speaks for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, jobs, run_sweep

from nmfcore.adapters import store
from nmfcore.adapters.config import load_config
from nmfcore.adapters.recovery import outdated_files
from nmfcore.adapters.store import SweepFolder
from nmfcore.adapters.verification import verify

SCHEMA = REPOSITORY / "workflow/schemas/config.schema.yaml"
COARSE = {"min": 1, "max": 11, "coarse": 5}
FIRST = [1, 6, 11]
AROUND = [2, 3, 4, 5]
"""Rank 3 is planted, and rank 6 errs less than rank 1 and 11."""


@pytest.fixture(scope="module")
def config(untracked_config: dict[str, Any]) -> dict[str, Any]:
    return {**untracked_config, "ranks": COARSE}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("coarse") / "project"
    done = run_sweep(folder, config)
    assert done.returncode == 0, done.stdout
    return folder


def test_the_grid_is_refined_around_the_evidence(project: Path) -> None:
    sweep = SweepFolder(project / "results/small")
    first = store.read_json(sweep.root / "selection/ranks-1.json")
    assert first["tried"] == FIRST
    assert set(AROUND) <= set(first["added"])
    last = max(sweep.root.glob("selection/ranks-*.json"))
    assert store.read_json(last)["added"] == []
    assert sweep.ranks == store.read_json(last)["wanted"] == list(sweep.criteria["rank"])
    assert sweep.recommendation["recommended_rank"] == 3
    drawn = {file.stem for file in (sweep.root / "figures").glob("consensus-rank-*.svg")}
    assert drawn == {f"consensus-rank-{rank}" for rank in sweep.ranks}
    page = (sweep.root / "report.html").read_text(encoding="utf-8")
    assert f"ranks 1 to {sweep.ranks[-1]}" in page


def test_the_record_holds_and_nothing_is_left_to_do(project: Path, config: dict[str, Any]) -> None:
    found = verify(project / "results/small")
    assert not found.defects
    assert not found.notes
    assert not jobs(run_sweep(project, config))


def test_what_was_lost_on_the_way_is_made_again(
    project: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    own = tmp_path / "project"
    shutil.copytree(project, own, copy_function=shutil.copy2)
    results = own / "results/small"
    lost = [results / "selection/ranks-1.json", results / "figures/consensus-rank-6.svg"]
    before = [file.read_bytes() for file in lost]
    for file in lost:
        file.unlink()
    done = run_sweep(own, config)
    assert done.returncode == 0, done.stdout
    assert jobs(done)["factorize"] == jobs(done)["summarize"] == 0
    assert [file.read_bytes() for file in lost] == before
    assert not verify(results).defects


def test_all_ranks_at_once_afterwards_adds_only_those_that_were_left_out(
    project: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    own = tmp_path / "project"
    shutil.copytree(project, own, copy_function=shutil.copy2)
    tried = SweepFolder(own / "results/small").ranks
    done = run_sweep(own, {**config, "ranks": {"min": 1, "max": 11}}, "-n", "--until", "summarize")
    assert jobs(done)["factorize"] == 11 - len(tried)


def test_the_snakemake_report_shows_every_map_with_its_rank(
    project: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    done = run_sweep(project, config, "--report", str(tmp_path / "x.html"))
    assert done.returncode == 0, done.stdout
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "share a cluster over the runs of rank 3." in page
    assert "share a cluster over the runs of rank 6." in page
    assert "snakemake.wildcards" not in page


def test_a_rank_that_the_user_chose_is_tried_in_any_case(
    config: dict[str, Any], tmp_path: Path
) -> None:
    chosen = {**config, "select": {"rank": 9}}
    done = run_sweep(tmp_path / "project", chosen, "--until", "decide_ranks")
    assert done.returncode == 0, done.stdout
    decision = store.read_json(tmp_path / "project/results/small/selection/ranks-1.json")
    assert decision["tried"] == [1, 6, 9, 11]


def test_decisions_are_outdated_by_other_ranks_and_of_no_matter_where_all_are_given(
    project: Path, config: dict[str, Any]
) -> None:
    def outdated(ranks: object) -> list[Path]:
        wanted = load_config({**config, "ranks": ranks}, SCHEMA)
        found = outdated_files(project / "results/small", wanted)
        return [file for file in found if file.name.startswith("ranks-")]

    assert not outdated(COARSE)
    assert outdated({**COARSE, "coarse": 3})
    assert not outdated([1, 2, 3])
