"""The benchmarks of size run, and their arithmetic holds."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "benchmarks"))

from consensus_size import planted_labels  # noqa: E402
from scaling import makespan, slope  # noqa: E402


def printed(*command):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_slope_of_a_power():
    sizes = [100, 200, 400]
    assert slope(sizes, [3 * n**1.5 for n in sizes]) == pytest.approx(1.5)


@pytest.mark.parametrize(("n_cores", "expected"), [(1, 13), (2, 7), (3, 5), (50, 5)])
def test_makespan(n_cores, expected):
    assert makespan([2, 5, 3, 3], n_cores) == expected


def test_labels_agree_but_for_the_noise():
    labels = planted_labels(4, 20_000, 5)
    # Two runs share a group where neither label was changed: given by how often two labels meet.
    table = np.zeros((5, 5))
    np.add.at(table, (labels[0], labels[1]), 1)
    assert table.max(axis=1).sum() / 20_000 == pytest.approx(0.9**2 + 0.19 / 5, abs=0.02)


def test_sections_of_growth():
    out = printed("benchmarks/scaling.py", "--quick", "--only", "samples", "nodes")
    assert "## Samples" in out
    assert "**slope** (ideal 1)" in out
    assert "**Simulated** from job times measured here" in out


def test_every_stage_of_a_large_matrix():
    out = printed("benchmarks/large_matrices.py", "--quick")
    for stage in ("write", "factorize, seeds 15 to 19", "validate", "summarize", "solve_rank"):
        assert f"| {stage}" in out
    assert out.count("20 of 20 runs converged") == 2
