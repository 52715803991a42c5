"""Sweeps whose jobs run elsewhere: the same bytes as here, and what was killed is tried again with more."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from benchmarks import clusters, services
from benchmarks.faulty_sweeps import Project, hashes, tiny_config
from nmfcore.adapters import store

PROFILES = REPOSITORY / "workflow/profiles"
CONFIG = tiny_config(ranks=[1, 2], factorize={"seeds_per_job": 4})
DECISION = f"results/{CONFIG['name']}/selection/recommendation.json"


def asked(project: Project) -> list[int]:
    """Megabytes that the jobs asked for."""
    jobs = (project.folder / ".snakemake/cluster-generic").glob("*.json")
    return [json.loads(job.read_text())["mem_mb"] for job in jobs]


def test_a_sweep_by_cluster_generic_gives_the_same_bytes_though_a_job_was_killed(
    tmp_path: Path,
) -> None:
    pytest.importorskip(
        "snakemake_executor_plugin_cluster_generic", reason="the extra 'clusters' is not installed"
    )
    here, there = Project(tmp_path / "here", CONFIG), Project(tmp_path / "there", CONFIG)
    assert here.start(options=("--", DECISION)).end().returncode == 0
    profile = str(PROFILES / "cluster-generic")
    options = ("--profile", profile, "--latency-wait", "10", "--", DECISION)
    done = there.start("fsync:4:kill-job", options=options).end()
    assert done.returncode == 0, done.text
    assert "Trying to restart job" in done.text
    assert hashes(there.sweep) == hashes(here.sweep)
    # prepare, two batches, two cross-validations, two summaries, the decision; and the one that was killed, with twice
    # the memory.
    memory = asked(there)
    assert len(memory) == 9
    assert any(2 * once == again for once in memory for again in memory)


@pytest.mark.parametrize("name", ["cluster-generic", "kubernetes", "slurm"])
def test_a_profile_is_one_that_snakemake_takes(tmp_path: Path, name: str) -> None:
    pytest.importorskip(
        f"snakemake_executor_plugin_{name.replace('-', '_')}",
        reason="the extra 'clusters' is not installed",
    )
    profile = yaml.safe_load((PROFILES / name / "config.yaml").read_text())
    assert profile["executor"] == name
    assert profile["retries"] > 0
    project = Project(tmp_path / "project", CONFIG)
    options, variables = ["--profile", str(PROFILES / name), "--dry-run"], {}
    with contextlib.ExitStack() as stack:
        if profile.get("default-storage-provider") == "s3":
            pytest.importorskip("moto.server", reason="moto, a server that speaks S3, is missing")
            address, variables = stack.enter_context(services.s3(tmp_path, clusters.BUCKET))
            options += ["--default-storage-prefix", f"s3://{clusters.BUCKET}/out"]
            options += ["--storage-s3-endpoint-url", address]
        # A dry run asks nothing of a cluster.
        done = project.start(options=tuple(options), variables=variables).end()
    assert done.returncode == 0, done.text
    assert "This was a dry-run" in done.text


def test_jobs_elsewhere_that_see_no_results_need_a_batch_size(tmp_path: Path) -> None:
    pytest.importorskip(
        "snakemake_storage_plugin_s3", reason="the extra 'clusters' is not installed"
    )
    project = Project(tmp_path / "project", {**CONFIG, "factorize": {"seeds_per_job": "auto"}})
    options = ["--profile", str(PROFILES / "kubernetes"), "--dry-run"]
    done = project.start(options=tuple(options)).end()
    assert done.returncode != 0
    assert "factorize.seeds_per_job: with results on object storage" in done.text


def test_results_and_input_on_object_storage_give_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip(
        "snakemake_storage_plugin_s3", reason="the extra 'clusters' is not installed"
    )
    pytest.importorskip("moto.server", reason="moto, a server that speaks S3, is not installed")
    here = Project(tmp_path / "here", CONFIG)
    assert here.start(options=("--", DECISION)).end().returncode == 0
    answer, _done = clusters.on_object_storage(tmp_path / "s3", CONFIG, here.folder)
    assert answer == clusters.Answer.of(here.sweep)
    assert len(answer.runs) == 2
    source = store.read_json(tmp_path / "s3/out/results/tiny/prepared/matrix.json")["source"]
    assert source["path"] == "s3://sweeps/matrix.tsv"
    assert (tmp_path / "s3/out/results/tiny/report.html").stat().st_size > 100_000


@pytest.mark.slow
@pytest.mark.skipif(
    "NMFCORE_TEST_SLURM" not in os.environ,
    reason="minutes; NMFCORE_TEST_SLURM=1 asks for it, and benchmarks/clusters.py does the same",
)
def test_slurm_kills_a_job_for_its_memory_and_the_sweep_is_finished(tmp_path: Path) -> None:
    try:
        with services.slurm(tmp_path / "service") as node:
            project = Project(tmp_path / "project", CONFIG)
            done = clusters.too_large(project, node)
    except services.MissingServiceError as missing:
        pytest.skip(str(missing))
    assert done.returncode == 0, done.text
    assert "Trying to restart job" in done.text
    assert len(clusters.Answer.of(project.sweep).runs) == 2
