"""A small finished sweep, made once by the real workflow."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import settings

# How long an example takes says nothing on a busy machine.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")

REPOSITORY = Path(__file__).resolve().parents[1]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def planted_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Poisson counts of three components, 40 features × 24 samples, as TSV with annotations beside it."""
    folder = tmp_path_factory.mktemp("planted")
    random = np.random.default_rng(7)
    W = random.dirichlet(np.full(40, 0.2), 3).T
    groups = np.arange(24) % 3
    H = random.dirichlet(np.full(3, 0.3), 24).T + 2 * np.eye(3)[:, groups]
    counts = random.poisson(W @ H * 2000)
    samples = [f"sample_{j}" for j in range(24)]
    lines = ["\t".join(["gene", *samples])]
    lines += ["\t".join([f"gene_{i}", *map(str, row)]) for i, row in enumerate(counts)]
    (folder / "matrix.tsv").write_text("\n".join(lines) + "\n")
    notes = [f"{sample}\tgroup_{group}" for sample, group in zip(samples, groups, strict=True)]
    (folder / "samples.tsv").write_text("\n".join(["sample\tgroup", *notes]) + "\n")
    return folder / "matrix.tsv"


@pytest.fixture(scope="session")
def small_config(planted_table: Path) -> dict[str, Any]:
    """Settings of a sweep that takes seconds."""
    return {
        "name": "small",
        "input": {
            "path": str(planted_table),
            "annotations": str(planted_table.with_name("samples.tsv")),
        },
        "ranks": {"min": 1, "max": 4},
        "seeds": 6,
        "factorize": {"seeds_per_job": 6},
        "validate": {"cross_validation": {"folds": 4, "starts": 2}},
    }


def sweep_command(*options: str, snakefile: Path = REPOSITORY / "Snakefile") -> list[str]:
    """The command that runs `config.yaml` of the current folder; of an option given twice, the last counts."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile)]
    return [*command, "--configfile", "config.yaml", "--cores", "2", *options]


def run_sweep(
    project: Path, config: dict[str, Any], *options: str, snakefile: Path = REPOSITORY / "Snakefile"
) -> subprocess.CompletedProcess[str]:
    """Run the workflow in a folder with the given configuration; all it says is in `stdout`."""
    project.mkdir(exist_ok=True)
    (project / "config.yaml").write_text(yaml.safe_dump(config))
    return subprocess.run(
        sweep_command(*options, snakefile=snakefile),
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def jobs(done: subprocess.CompletedProcess[str]) -> Counter[str]:
    """How many jobs of each rule ran, or in a dry run would; without `all`, which does nothing."""
    names = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):$", done.stdout, re.MULTILINE)
    return Counter(name for name in names if name != "all")


@pytest.fixture(scope="session")
def swept_project(tmp_path_factory: pytest.TempPathFactory, small_config: dict[str, Any]) -> Path:
    """A folder in which the workflow has run once, on two cores with tracking; not to be changed."""
    project = tmp_path_factory.mktemp("project")
    done = run_sweep(project, small_config)
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture(scope="session")
def finished_sweep(swept_project: Path) -> Path:
    """`results/<name>` of a finished sweep; not to be changed."""
    return swept_project / "results/small"


@pytest.fixture(scope="session")
def untracked_config(small_config: dict[str, Any]) -> dict[str, Any]:
    """The same sweep without tracking."""
    return {**small_config, "tracking": {"enabled": False}}


@pytest.fixture
def own_project(swept_project: Path, tmp_path: Path) -> Path:
    """A copy of the finished project that a test may change."""
    copy = tmp_path / "project"
    shutil.copytree(swept_project, copy, copy_function=shutil.copy2)
    return copy


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, driven by Playwright; where either is missing, the test is skipped and says so."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium found; install one, or name it in the variable CHROMIUM")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()
