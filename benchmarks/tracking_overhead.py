"""What publishing costs a sweep: the same sweep with tracking and without, and the price of one fit.

Run from the root of the repository: ``python benchmarks/tracking_overhead.py`` (the default sweep), or with
``--configfile`` and ``--config`` as for Snakemake. Wall times mean something on an idle machine only; processor times
always do. The process beside the sweep (`nmfcore.adapters.tracking.following`), which begins after 45 s, is not in
them: what it publishes costs what one fit costs, and the jobs at the end find it done.

With ``--delay`` it is measured instead how long after the file of its batch a fit is in the store while the sweep
runs. That takes a sweep of minutes, such as that of ``--config seeds=400``.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from nmfcore.adapters import tracking
from nmfcore.adapters.store import find_run_files
from nmfcore.adapters.tracking import Destination

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of the processors."""

    wall: float
    cpu: float


def measure(command: list[str], folder: Path) -> Cost:
    """Run a command in a folder; its children count."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Cost(time.monotonic() - started, cpu)


def command_of(folder: Path, options: argparse.Namespace, tracked: bool) -> list[str]:
    """Make the folder of a sweep, and the command that runs it there."""
    folder.mkdir()
    if (ROOT / "resources").is_dir():
        shutil.copytree(ROOT / "resources", folder / "resources")
    switch = "{enabled: true}" if tracked else "{enabled: false}"
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--configfile", str(Path(options.configfile).resolve())),
        *("--cores", str(options.cores), "--config", *options.config, f"tracking={switch}"),
    ]


def delays(folder: Path, options: argparse.Namespace) -> list[float]:
    """Run the sweep; return, for every batch published while it ran, the seconds from its file to its last fit."""
    running = subprocess.Popen(
        command_of(folder, options, True),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found: dict[Path, float] = {}
    while running.poll() is None:
        time.sleep(1)
        for results in (p for p in (folder / "results").glob("*") if p.name != "mlflow"):
            stored = stored_fits(folder / "results/mlflow/mlflow.db")
            for file in find_run_files(results):
                wanted = {(file.rank, seed) for seed in range(file.first, file.last + 1)}
                if file.npz not in found and wanted <= stored:
                    found[file.npz] = time.time() - file.npz.stat().st_mtime
    if running.returncode:
        raise SystemExit(f"The sweep failed, with exit status {running.returncode}.")
    return list(found.values())


def stored_fits(database: Path) -> set[tuple[int, int]]:
    """Rank and seed of every fit in a store."""
    if not database.is_file():
        return set()
    query = "SELECT a.value, b.value FROM tags a JOIN tags b USING (run_uuid) WHERE a.key = 'rank' AND b.key = 'seed'"
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store:
            return {(int(rank), int(seed)) for rank, seed in store.execute(query)}
    except sqlite3.OperationalError:  # its tables are not made yet
        return set()


def price_of_a_fit(results: Path, folder: Path) -> tuple[int, float]:
    """Number of fits of a sweep, and processor seconds that publishing one takes in a warm process."""
    destination = Destination.of(None, None, folder / "results")
    tracking.initialise(destination)
    batches = [file.npz for file in find_run_files(results)]
    started = time.process_time()
    report = tracking.publish_fits(batches, destination, results.name, budget=None)
    assert report.pending is None, report.pending
    return report.published, (time.process_time() - started) / report.published


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", default=str(ROOT / "config/config.yaml"))
    parser.add_argument("--config", nargs="*", default=[], help="as for Snakemake")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--delay", action="store_true", help="of fits while the sweep runs")
    options = parser.parse_args()
    if options.delay:
        with tempfile.TemporaryDirectory(prefix="nmfcore-delay-") as place:
            found = delays(Path(place) / "sweep", options)
        print(
            f"{len(found)} batches published while the sweep ran; seconds from a batch's file to its last fit: "
            f"median {statistics.median(found):.0f}, most {max(found):.0f}"
        )
        return
    with tempfile.TemporaryDirectory(prefix="nmfcore-overhead-") as place:
        costs: dict[bool, list[Cost]] = {False: [], True: []}
        print("tracking   wall (s)   processor (s)")
        for repeat in range(options.repeats):
            for tracked in (False, True):
                folder = Path(place) / f"{repeat}-{tracked}"
                cost = measure(command_of(folder, options, tracked), folder)
                costs[tracked].append(cost)
                print(
                    f"{'on' if tracked else 'off':8}   {cost.wall:8.1f}   {cost.cpu:13.1f}",
                    flush=True,
                )
        off, on = (
            Cost(min(c.wall for c in costs[t]), min(c.cpu for c in costs[t])) for t in (False, True)
        )
        (results,) = (p for p in (folder / "results").iterdir() if p.name != "mlflow")
        n_fits, seconds = price_of_a_fit(results, Path(place) / "price")
    print(
        f"overhead (least of each): wall {on.wall / off.wall - 1:+.1%}, processor {on.cpu / off.cpu - 1:+.1%}"
    )
    print(f"one fit of {n_fits}: {1000 * seconds:.1f} ms of a processor")
    share = 0.03 * 3600 * options.cores / seconds
    print(f"3 % of an hour on {options.cores} cores: {share:,.0f} fits")


if __name__ == "__main__":
    main()
