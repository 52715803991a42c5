"""The benchmark of threads runs, and its batches agree to the bit."""

import subprocess
import sys

from conftest import REPOSITORY


def test_a_quick_run_prints_a_line_a_batch_and_all_bits_agree():
    done = subprocess.run(
        [sys.executable, "benchmarks/threads.py", "--quick"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| rank")]
    assert len(rows) == 3
    assert all(row.endswith("| yes |") for row in rows)
