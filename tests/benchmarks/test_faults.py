"""The bench that breaks sweeps: its injected faults strike where they should, and its page keeps what did not run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults import Row, table, trust_page
from benchmarks.faulty_sweeps import INJECTION

WRITE = """
from nmfcore.adapters.store import write_json
for name in "abc":
    write_json(f"{name}.json", {"name": name})
"""


def write_three(folder: Path, fault: str) -> "subprocess.CompletedProcess[str]":
    """Write a.json, b.json and c.json under a fault, in a process group of their own."""
    (folder / "inject").mkdir()
    (folder / "inject/sitecustomize.py").write_text(INJECTION)
    repository = Path(__file__).resolve().parents[2]
    variables = {
        "PYTHONPATH": f"{folder / 'inject'}:{repository}",
        "FAULT": fault,
        "FAULT_COUNT": str(folder / "count"),
    }
    return subprocess.run(
        [sys.executable, "-c", WRITE],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("fault", "ended", "written", "half"),
    [
        ("fsync:2:fail", 1, {"a.json"}, 0),
        ("replace:3:fail", 1, {"a.json", "b.json"}, 0),
        ("fsync:2:kill-job", -signal.SIGKILL, {"a.json"}, 1),
        ("fsync:1:kill-all", -signal.SIGKILL, set(), 1),
        ("replace:2:kill-after", -signal.SIGKILL, {"a.json", "b.json"}, 0),
        ("replace:9:fail", 0, {"a.json", "b.json", "c.json"}, 0),
    ],
)
def test_a_fault_strikes_at_its_call_and_nowhere_else(tmp_path, fault, ended, written, half):
    done = write_three(tmp_path, fault)
    assert done.returncode == ended, done.stderr
    assert {path.name for path in tmp_path.glob("*.json")} == written
    assert len(list(tmp_path.glob(".*.tmp"))) == half


def test_a_line_holds_only_if_every_case_does():
    assert Row("fault", "shown", 3, 3).holds
    assert not Row("fault", "shown", 2, 3).holds
    assert not Row("fault", "shown", 0, 0).holds


def test_sections_that_did_not_run_stay_on_the_page():
    kill, disk = [Row("kill", "same", 2, 2)], [Row("disk", "same", 1, 1, "full")]
    page = trust_page({"kill": kill, "disk": disk}, "")
    renewed = trust_page({"kill": [Row("kill", "same", 7, 7)]}, page)
    assert "| kill | same | 7 of 7 |  |" in renewed
    assert table(kill) not in renewed
    assert table(disk) in renewed
    assert renewed.index("## Killed") < renewed.index("## Disks")
    assert trust_page({"kill": kill}, renewed) == page
