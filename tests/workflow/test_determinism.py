"""The same sweep gives the same bytes, however it is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY, jobs, run_sweep

import nmfcore
from benchmarks.faulty_sweeps import hashes
from nmfcore.adapters.store import SweepFolder

SCIENCE = ("prepared/matrix.*", "runs/**/*", "ranks/**/*", "selection/*", "solution/*")


@pytest.fixture(scope="session")
def plain_sweep(tmp_path_factory: pytest.TempPathFactory, untracked_config: dict[str, Any]) -> Path:
    """Results of the same sweep in another folder, on one core and without tracking."""
    project = tmp_path_factory.mktemp("plain")
    done = run_sweep(project, untracked_config, "--cores", "1")
    assert done.returncode == 0, done.stdout
    assert not {"track_fits", "track_sweep"} & jobs(done).keys()
    return project / "results/small"


def test_cores_folder_and_time_change_no_byte(finished_sweep: Path, plain_sweep: Path) -> None:
    first, second = (hashes(sweep, *SCIENCE) for sweep in (finished_sweep, plain_sweep))
    assert len(first) > 20
    assert first == second


def test_tracking_changes_no_byte_of_any_result(finished_sweep: Path, plain_sweep: Path) -> None:
    assert hashes(finished_sweep) == hashes(plain_sweep)
    assert not (plain_sweep / "tracking").exists()
    assert not (plain_sweep.parent / "mlflow").exists()


def test_a_dead_tracking_server_costs_no_result(
    own_project: Path, small_config: dict[str, Any], finished_sweep: Path
) -> None:
    dead = {"uri": "http://ann:s3cret@127.0.0.1:9/", "experiment": None}
    # As if nothing had been published yet; and as if a kill had left the scripts of jobs behind.
    done = run_sweep(own_project, {**small_config, "tracking": dead}, "--skip-script-cleanup")
    assert done.returncode == 0, done.stdout
    assert jobs(done) == {"track_fits": 1, "track_sweep": 1}
    markers = sorted((own_project / "results/small/tracking").glob("*.json"))
    assert [marker.name for marker in markers] == ["fits.json", "sweep.json"]
    for marker in markers:
        text = marker.read_text()
        assert "127.0.0.1:9/ cannot be used" in text, marker.name
        assert "s3cret" not in text
        assert "python -m nmfcore.adapters.tracking publish results/small" in text
    assert hashes(own_project / "results/small") == hashes(finished_sweep)
    assert "s3cret" not in (own_project / "results/small/report.html").read_text()
    kept = [path for path in (own_project / ".snakemake").rglob("*") if path.is_file()]
    assert [path for path in kept if path.parent.name == "scripts"]
    assert [path for path in kept if path.parent.name == "metadata"]
    assert not [path for path in kept if b"s3cret" in path.read_bytes()]


def test_another_project_imports_the_workflow(
    tmp_path: Path, untracked_config: dict[str, Any], finished_sweep: Path
) -> None:
    """The library is found beside the imported workflow, by the main process and by its jobs."""
    (tmp_path / "Snakefile").write_text(
        "module nmf:\n"
        f'    snakefile: "{REPOSITORY}/workflow/Snakefile"\n'
        "    config: config\n\n"
        "use rule * from nmf\n"
    )
    answer = "results/small/solution/solution.json"
    done = run_sweep(tmp_path, untracked_config, "--", answer, snakefile=tmp_path / "Snakefile")
    assert done.returncode == 0, done.stdout
    assert hashes(tmp_path / "results/small", *SCIENCE) == hashes(finished_sweep, *SCIENCE)


def test_the_library_gives_the_numbers_of_the_workflow(finished_sweep: Path) -> None:
    folder = SweepFolder(finished_sweep)
    V = folder.matrix.values
    found = nmfcore.sweep(V, range(1, 5), 6, root_seed=42, n_folds=4, n_starts=2)
    table = pd.DataFrame(criteria.as_row() for criteria in found.criteria)
    expected = folder.criteria
    assert table.columns.tolist() == expected.columns.tolist()
    pd.testing.assert_frame_equal(
        table.astype(float), expected.astype(float), rtol=1e-5, atol=1e-9, check_exact=False
    )
    answer = folder.recommendation
    assert found.recommendation.rank == answer["recommended_rank"]
    assert str(found.recommendation.decision) == answer["decision"]
    assert list(map(numberless, found.recommendation.reasons)) == list(
        map(numberless, answer["reasons"])
    )
    assert found.solution is not None
    np.testing.assert_allclose(found.solution.W, folder.W.to_numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.solution.H, folder.H.to_numpy(), rtol=1e-4, atol=1e-2)


def numberless(sentence: str) -> str:
    return re.sub(r"\d+\.\d+", "…", sentence)
