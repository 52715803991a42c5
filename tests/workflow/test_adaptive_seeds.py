"""Seeds that are added until the intervals of a rank are tight."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY, jobs, run_sweep

from nmfcore.adapters import store
from nmfcore.adapters.config import load_config
from nmfcore.adapters.recovery import outdated_files
from nmfcore.adapters.verification import verify

SCHEMA = REPOSITORY / "workflow/schemas/config.schema.yaml"
UNTIL = {"min": 10, "max": 40, "until": 0.02}
RANKS = {"min": 1, "max": 4}


@pytest.fixture(scope="module")
def config(small_config: dict[str, Any]) -> dict[str, Any]:
    return {
        **small_config,
        "ranks": RANKS,
        "seeds": UNTIL,
        "factorize": {"seeds_per_job": 10},
        "tracking": {"enabled": False},
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("adaptive") / "project"
    done = run_sweep(folder, config)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def decisions(results: Path, rank: int) -> list[dict[str, Any]]:
    files = results.glob(f"ranks/rank-{rank}/seeds-*.json")
    return sorted((store.read_json(file) for file in files), key=lambda d: d["n_seeds"])


def test_every_rank_gets_seeds_until_its_own_intervals_are_tight(project: Path) -> None:
    sweep = store.SweepFolder(project / "results/small")
    ends = {}
    for rank in sweep.ranks:
        made = decisions(sweep.root, rank)
        assert [d["n_seeds"] for d in made] == [10, 20][: len(made)]
        for decision in made[:-1]:
            assert decision["width"] > UNTIL["until"]
        ends[rank] = made[-1]["wanted"]
        assert ends[rank] == 40 or rank == 1 or made[-1]["width"] <= UNTIL["until"]
        assert sweep.n_seeds(rank) == ends[rank] == len(sweep.runs(rank))
        assert (
            store.read_json(sweep.root / f"ranks/rank-{rank}/summary.json")["n_runs"] == ends[rank]
        )
    assert ends[1] == ends[3] == 10  # one component; the planted rank
    assert ends[4] > 10
    assert len(sweep.runs_table) == sum(ends.values())
    assert f"{UNTIL['max']} were reached" in (sweep.root / "report.html").read_text()


def test_the_record_holds_and_nothing_is_left_to_do(project: Path, config: dict[str, Any]) -> None:
    found = verify(project / "results/small")
    assert not found.defects
    assert not found.notes
    assert not jobs(run_sweep(project, config))


def test_runs_are_those_of_a_sweep_that_was_asked_for_as_many_at_once(
    project: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    n_seeds = store.SweepFolder(project / "results/small").n_seeds(4)
    done = run_sweep(tmp_path / "project", {**config, "seeds": n_seeds}, "--until", "factorize")
    assert done.returncode == 0, done.stdout + done.stderr
    files = sorted((tmp_path / "project/results/small/runs/rank-4").glob("*.npz"))
    at_once, _ = store.read_runs(files)
    added = store.SweepFolder(project / "results/small").runs(4)
    np.testing.assert_array_equal(at_once.W, added.W)
    np.testing.assert_array_equal(at_once.loss, added.loss)


def test_a_looser_bound_decides_again_and_fits_nothing(
    project: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    own = tmp_path / "project"
    shutil.copytree(project, own)
    done = run_sweep(own, {**config, "seeds": {**UNTIL, "until": 1.0}})
    assert done.returncode == 0, done.stdout + done.stderr
    assert jobs(done)["decide_seeds"] == 4
    assert jobs(done)["factorize"] == 0
    assert store.SweepFolder(own / "results/small").n_seeds(4) == 10
    assert not verify(own / "results/small").defects


def test_decisions_are_outdated_by_another_rule_and_of_no_matter_where_the_number_is_given(
    project: Path, config: dict[str, Any]
) -> None:
    def outdated(seeds: object) -> list[Path]:
        wanted = load_config({**config, "seeds": seeds}, SCHEMA)
        found = outdated_files(project / "results/small", wanted)
        return [file for file in found if file.name.startswith("seeds-")]

    assert not outdated(UNTIL)
    assert len(outdated({**UNTIL, "until": 1.0})) >= 4
    assert not outdated(10)


def test_what_was_lost_on_the_way_is_made_again(
    project: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    own = tmp_path / "project"
    shutil.copytree(project, own)
    results = own / "results/small"
    lost = [results / "runs/rank-4/seeds-10-19.npz", results / "ranks/rank-4/seeds-10.json"]
    before = [file.read_bytes() for file in lost]
    for file in lost:
        file.unlink()
    done = run_sweep(own, config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert jobs(done)["factorize"] == 1
    assert store.read_json(lost[1])["wanted"] == 20
    with (
        np.load(lost[0]) as again,
        np.load(project / "results/small/runs/rank-4/seeds-10-19.npz") as first,
    ):
        np.testing.assert_array_equal(again["W"], first["W"])
    assert [file.read_bytes() for file in lost] == before
