import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def printed():
    done = subprocess.run(
        [sys.executable, "benchmarks/solvers.py", "--quick"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OPENBLAS_CORETYPE": "Haswell"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(printed, title):
    section = printed.split(f"## {title}\n")[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|") and not line.startswith("|-")
    ]


@pytest.mark.parametrize("matrix", ["Leukaemia", "Single-cell-like counts", "Text-like counts"])
def test_every_matrix_is_compared_for_both_losses(printed, matrix):
    table = rows(printed, f"{matrix} beside other programs")
    peers = {row[2] for row in table if row[0] != "rank"}
    assert {"scikit-learn CD (1)", "scikit-learn MU (1)", "truncated SVD: the bound"} <= peers
    compared = [row for row in table if row[2].startswith("scikit-learn")]
    assert all(float(row[10]) > 0 for row in compared)


def test_no_loss_lies_below_the_bound(printed):
    table = rows(printed, "Leukaemia beside other programs")
    (bound,) = [float(row[4]) for row in table if row[2].startswith("truncated SVD")]
    reached = [float(row[7]) for row in table if row[2] == "scikit-learn CD (1)"]
    assert reached
    assert min(reached) >= bound


def test_shares_of_the_profile_add_up(printed):
    table = rows(printed, "Where time goes")
    assert table[0][:4] == ["fit", "CPU s", "products", "sweeps"]
    for row in table[1:]:
        assert sum(int(cell.strip("%")) for cell in row[2:8]) == pytest.approx(100, abs=5)


def test_the_memory_formula_holds_within_a_fifth(printed):
    ratios = [float(row[6]) for row in rows(printed, "Memory of a batch")[1:]]
    assert ratios
    assert all(0.8 <= ratio <= 1.2 for ratio in ratios)


def test_the_kernel_is_the_one_that_openblas_chooses(printed):
    first = printed.splitlines()[0]
    assert "BLAS kernels reported by threadpoolctl" in first
    assert "Haswell" not in first or "avx512" not in Path("/proc/cpuinfo").read_text()
