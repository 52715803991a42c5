"""A team's tracking server: MLflow on PostgreSQL, with artifacts on S3, and many jobs that publish at once.

Counts what is lost and what is doubled, also after jobs were killed, and measures how fast runs are published. Needs
Debian's `postgresql` and the extra `clusters`; all servers are on the loopback interface.

Examples
--------
::

    python benchmarks/team_tracking.py --quick    # 40 runs
    python benchmarks/team_tracking.py --write    # 1,000 runs from 8 jobs, to docs/clusters.md
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import services
from benchmarks.measured import write_section
from nmfcore.adapters import store
from nmfcore.adapters.tracking import Destination, records
from nmfcore.runs import Runs

REPOSITORY = Path(__file__).resolve().parents[1]
SWEEP = "cohort"
_ENVIRONMENT = dict(os.environ)  # without what is set here for counting
_TRIES = 5
_POINTS = 60  # of an error history before it is thinned


def write_batch(results: Path, rank: int, n_seeds: int, tol: float = 1e-6) -> None:
    """Write the files of a finished batch, as a sweep does."""
    random = np.random.default_rng(rank)
    error = 0.5 / rank + 0.001 * random.random(n_seeds)
    loss = 50 * error**2
    runs = Runs(
        rank=rank,
        seeds=np.arange(n_seeds),
        W=np.ones((n_seeds, 6, rank)),
        H=np.ones((n_seeds, rank, 5)),
        loss=loss,
        relative_error=error,
        kkt_residual=np.full(n_seeds, 1e-5),
        n_iter=np.full(n_seeds, _POINTS),
        status=np.array(["converged"] * n_seeds, dtype="U12"),
        trace=loss[:, None] * (1 + 3 * np.exp(-np.arange(_POINTS) / 5)),
        seconds=np.full(n_seeds, 0.25),
        loss_name="frobenius",
        solver="hals",
    )
    settings = {"loss": "frobenius", "max_iter": 500, "tol": tol, "root_seed": 42}
    provenance = {
        "input_sha256": "a" * 64,
        "settings_sha256": store.digest(settings),
        "settings": settings,
        "code": "c0de",
    }
    npz = results / SWEEP / f"runs/rank-{rank}/seeds-0-{n_seeds - 1}.npz"
    store.write_runs(npz, npz.with_suffix(".tsv"), runs, provenance)


def start_publishing(results: Path, server: str, user: str) -> subprocess.Popen[bytes]:
    """A job that publishes everything below a results folder."""
    command = [sys.executable, "-m", "nmfcore.adapters.tracking", "publish", str(results / SWEEP)]
    with open(results / "log", "a") as log:
        return subprocess.Popen(
            [*command, "--uri", server],
            env={**_ENVIRONMENT, "PYTHONPATH": str(REPOSITORY), "LOGNAME": user},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


@dataclass(frozen=True)
class Held:
    """What the server holds of a user."""

    runs: int
    doubled: int
    unfinished: int


def held(server: str, user: str) -> Held:
    """Count the runs of a user."""
    connection = records.connect(Destination.of(server, None, Path("results")))
    found: list[Any] = []
    token = None
    while True:
        page = connection.client.search_runs([connection.fits], max_results=1000, page_token=token)
        found += [run for run in page if run.data.tags["mlflow.user"] == user]
        token = page.token
        if not token:
            break
    times = Counter((run.data.tags["rank"], run.data.tags["seed"]) for run in found)
    unfinished = sum(run.info.status != "FINISHED" for run in found)
    return Held(len(times), len(found) - len(times), unfinished)


def publish_at_once(
    place: Path,
    server: str,
    n_jobs: int,
    n_runs: int,
    user: str,
    kill_after: float | None = None,
) -> float:
    """Publish from jobs that share nothing, each a rank of its own; return the seconds."""
    folders = [place / f"{user}-{job}" for job in range(n_jobs)]
    for job, folder in enumerate(folders):
        if not folder.exists():
            write_batch(folder, job + 1, n_runs // n_jobs)
    started = time.monotonic()
    jobs = [start_publishing(folder, server, user) for folder in folders]
    if kill_after is not None:
        time.sleep(kill_after)
        for job in jobs:
            job.send_signal(signal.SIGKILL)
    for folder, job in zip(folders, jobs, strict=True):
        tries = 1
        # Where the server was too busy, the command that a sweep names at its end is given again.
        while job.wait() and kill_after is None:
            if tries == _TRIES:
                raise SystemExit((folder / "log").read_text())
            job, tries = start_publishing(folder, server, user), tries + 1
    return time.monotonic() - started


def measure(place: Path, n_jobs: int, n_runs: int) -> list[str]:
    """Lines of the table."""
    lines = ["| what | runs | lost | doubled | unfinished | seconds | runs a second |"]
    lines.append("|---|---|---|---|---|---|---|")

    def line(what: str, user: str, seconds: float) -> None:
        found = held(server, user)
        counts = f"{n_runs - found.runs} | {found.doubled} | {found.unfinished}"
        rate = f"{n_runs / seconds:.0f}" if seconds else ""
        shown = f"{seconds:.0f}" if seconds else ""
        lines.append(f"| {what} | {n_runs:,} | {counts} | {shown} | {rate} |")
        print(lines[-1], flush=True)

    with (
        services.postgres(place / "database") as database,
        services.s3(place, "artifacts") as (_, variables),
        services.mlflow_server(place, database, "s3://artifacts/mlflow", variables) as server,
    ):
        records.connect(Destination.of(server, None, place))
        seconds = publish_at_once(place, server, n_jobs, n_runs, "ann")
        line(f"{n_jobs} jobs at once", "ann", seconds)
        publish_at_once(place, server, n_jobs, n_runs, "bob", kill_after=seconds / 2)
        killed_at = held(server, "bob").runs
        publish_at_once(place, server, n_jobs, n_runs, "bob")
        line(f"{n_jobs} jobs, all killed after {killed_at} runs, and again", "bob", 0)
        line("the first user's, after the second published the same sweep", "ann", 0)
        publish_at_once(place, server, n_jobs, n_runs, "ann")
        line("published again: all there", "ann", 0)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 runs from 4 jobs")
    parser.add_argument("--write", action="store_true", help="renew docs/clusters.md")
    options = parser.parse_args()
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = (
        "60"  # counting all runs takes long on a busy machine
    )
    with tempfile.TemporaryDirectory(prefix="nmfcore-team-") as place:
        try:
            lines = measure(Path(place), *((4, 40) if options.quick else (8, 1000)))
        except services.MissingServiceError as missing:
            raise SystemExit(str(missing)) from None
    if options.write:
        write_section("A team's server", "python benchmarks/team_tracking.py --write", lines)


if __name__ == "__main__":
    main()
