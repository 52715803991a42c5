"""What publishing costs a sweep: the same sweep with tracking and without, and the price of one fit.

Run from the root of the repository: ``python benchmarks/tracking_overhead.py`` (the default sweep), or with
``--configfile`` and ``--config`` as for Snakemake. Wall times mean something on an idle machine only; processor times
always do. The process beside the sweep (`nmfcore.adapters.tracking.following`), which begins after 45 s, is not in
them: what it publishes costs what one fit costs, and the jobs at the end find it done.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
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


def sweep(folder: Path, options: argparse.Namespace, tracked: bool) -> Cost:
    """Run the sweep in an empty folder."""
    folder.mkdir()
    if (ROOT / "resources").is_dir():
        shutil.copytree(ROOT / "resources", folder / "resources")
    switch = "{enabled: true}" if tracked else "{enabled: false}"
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--configfile", str(Path(options.configfile).resolve())),
        *("--cores", str(options.cores), "--config", *options.config, f"tracking={switch}"),
    ]
    return measure(command, folder)


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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nmfcore-overhead-") as place:
        costs: dict[bool, list[Cost]] = {False: [], True: []}
        print("tracking   wall (s)   processor (s)")
        for repeat in range(options.repeats):
            for tracked in (False, True):
                folder = Path(place) / f"{repeat}-{tracked}"
                cost = sweep(folder, options, tracked)
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
