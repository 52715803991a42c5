"""Beside a running sweep: publish its batches as they finish, in a process that ends with Snakemake.

Short sweeps are over before it begins, and pay nothing for MLflow but one import at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nmfcore
from nmfcore.adapters.store import RunFile, find_run_files
from nmfcore.adapters.tracking.patience import SERVER_S
from nmfcore.adapters.tracking.places import Destination
from nmfcore.adapters.tracking.publishing import publish_fits

# Together less than a minute, with time to publish in.
FIRST_S = 45.0
EVERY_S = 30.0
_WATCH_S = 1.0

Stamp = tuple[Path, int]


def start_following(
    root: str | Path, enabled: bool, uri: str | None = None, experiment: str | None = None
) -> subprocess.Popen[str] | None:
    """Start the process beside this one, which it does not outlive by more than what it is just publishing.

    Parameters
    ----------
    root : path
        `results/<name>`.
    enabled, uri, experiment
        The configuration's `tracking`; nothing is started unless enabled.
    """
    if not enabled:
        return None
    library = str(Path(nmfcore.__file__).resolve().parents[1])
    paths = [library, *filter(None, [os.environ.get("PYTHONPATH")])]
    follower = subprocess.Popen(
        [sys.executable, "-m", "nmfcore.adapters.tracking", "follow"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # Ctrl-C is for Snakemake, which ends in order, and this with it
    )
    assert follower.stdin is not None
    # Not on the command line, where everybody on the machine reads an address with its password.
    with follower.stdin as order:
        sweep = {"root": str(Path(root).resolve()), "uri": uri, "experiment": experiment}
        json.dump({**sweep, "parent": os.getpid()}, order)
    return follower


def follow(
    root: Path,
    destination: Destination,
    is_wanted: Callable[[], bool],
    first: float = FIRST_S,
    every: float = EVERY_S,
) -> None:
    """Publish the batches of a sweep as they finish, until it is over.

    Parameters
    ----------
    root : path
        `results/<name>`.
    destination : Destination
    is_wanted : callable
        Whether the sweep is still running.
    first, every : float
        Seconds until the first look, and between looks.
    """
    published: set[Stamp] = set()
    due = time.monotonic() + first
    while is_wanted():
        time.sleep(min(_WATCH_S, every))
        if time.monotonic() < due:
            continue
        due = time.monotonic() + every  # not after what is published now, which may take as long
        new = {_stamp(file): file for file in find_run_files(root) if file.tsv.is_file()}
        for stamp in published & new.keys():
            del new[stamp]
        if new:
            batches = [file.npz for file in new.values()]
            report = publish_fits(batches, destination, root.name, budget=max(every, SERVER_S))
            _write(root / "logs/track/following.log", report.line)
            if report.pending is None:
                published |= new.keys()


def run_follower() -> None:
    """Do as `start_following` says on standard input, as long as its process lives."""
    order = json.load(sys.stdin)
    root = Path(order["root"])
    destination = Destination.of(order["uri"], order["experiment"], root.parent)
    follow(root, destination, lambda: os.getppid() == order["parent"])


def _stamp(file: RunFile) -> Stamp:
    return file.npz, file.npz.stat().st_mtime_ns


def _write(log: Path, line: str) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file:
        file.write(line + "\n")
