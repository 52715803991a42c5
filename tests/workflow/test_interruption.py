"""Killed, damaged or run twice at once: nothing is lost, nothing wrong is accepted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml
from conftest import jobs, run_sweep, sweep_command

from benchmarks.faulty_sweeps import hashes

DECISION = "results/small/selection/recommendation.json"
ANSWER = "results/small/solution/solution.json"


def test_a_killed_sweep_is_finished_by_the_same_command(
    tmp_path: Path, untracked_config: dict[str, Any], finished_sweep: Path
) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(untracked_config))
    runs = tmp_path / "results/small/runs"
    with (tmp_path / "log").open("w+") as log:
        sweep = subprocess.Popen(
            sweep_command("--", ANSWER),
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for(lambda: "(Rule: prepare)" in (tmp_path / "log").read_text())
            second = run_sweep(tmp_path, untracked_config, "--", ANSWER)
            wait_for(lambda: finished_fits(tmp_path) > 0)
        finally:
            os.killpg(sweep.pid, signal.SIGKILL)
            sweep.wait()

    # While the first lived, the second one kept out.
    assert second.returncode != 0
    assert "cannot be locked" in second.stdout
    assert sorted((tmp_path / ".snakemake/locks").iterdir()), "killed too late to leave a lock"

    kept = {path: path.stat().st_mtime_ns for path in runs.glob("*/*.npz")}
    n_finished = finished_fits(tmp_path)
    assert len(kept) >= n_finished
    done = run_sweep(tmp_path, untracked_config, "--", ANSWER)
    assert done.returncode == 0, done.stdout
    assert "Removing the lock of a run of small that was killed." in done.stdout
    assert jobs(done)["factorize"] <= 4 - n_finished
    assert sum(path.stat().st_mtime_ns == written for path, written in kept.items()) >= n_finished
    patterns = ("prepared/matrix.*", "runs/**/*", "ranks/**/*", "selection/*", "solution/*")
    assert hashes(tmp_path / "results/small", *patterns) == hashes(finished_sweep, *patterns)


def finished_fits(project: Path) -> int:
    return len(
        re.findall(r"Finished jobid: \d+ \(Rule: factorize\)", (project / "log").read_text())
    )


def wait_for(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the sweep did not get there"
        time.sleep(0.01)


def test_a_lock_of_another_machine_is_left_alone(
    own_project: Path, small_config: dict[str, Any]
) -> None:
    locks = own_project / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text(f"{DECISION}\n")
    (own_project / ".snakemake/small.alive").write_text("another-machine")
    for _ in range(2):
        done = run_sweep(own_project, small_config, "--forcerun", "select")
        assert done.returncode != 0
        assert "--unlock" in done.stdout
    assert run_sweep(own_project, small_config, "--unlock").returncode == 0
    assert not list(locks.glob("*.lock"))


def test_a_damaged_run_file_is_named_and_repeated_alone(
    own_project: Path, untracked_config: dict[str, Any], finished_sweep: Path
) -> None:
    sweep = own_project / "results/small"
    damaged = sweep / "runs/rank-2/seeds-0-5.npz"
    content = bytearray(damaged.read_bytes())
    stat = damaged.stat()
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    os.utime(damaged, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as silent as a failing disk
    for lost in ("ranks/rank-2/summary.json", "selection/recommendation.json"):
        (sweep / lost).unlink()

    done = run_sweep(own_project, untracked_config, "--", DECISION)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert "runs/rank-2/seeds-0-5.npz: its checksum does not fit its content" in done.stdout
    assert "delete it and run the same command again" in done.stdout

    damaged.unlink()
    done = run_sweep(own_project, untracked_config, "--", DECISION)
    assert done.returncode == 0, done.stdout
    assert jobs(done) == {"factorize": 1, "summarize": 1, "select": 1}
    patterns = ("runs/**/*", "ranks/**/*", "selection/*")
    assert hashes(sweep, *patterns) == hashes(finished_sweep, *patterns)
