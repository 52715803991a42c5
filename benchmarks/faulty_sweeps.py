"""Small real sweeps in folders of their own, and ways to break them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
NAME = "tiny"

# Read by every Python process of a sweep. FAULT is '<call>:<n>:<action>': at the n-th call, over all processes, that
# brings a result file to disk.
INJECTION = """
import errno, fcntl, os, signal

def _inject(call, number, action):
    original = getattr(os, call)

    def wrapped(*arguments, **options):
        name = str(arguments[0])
        if call == "fsync":
            name = os.readlink(f"/proc/self/fd/{arguments[0]}")
        if not name.endswith(".tmp"):
            return original(*arguments, **options)
        with open(os.environ["FAULT_COUNT"], "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write("x")
            file.flush()
            hit = file.tell() == int(number)
        if hit and action == "fail":
            raise OSError(errno.EIO, "Input/output error", name)
        if hit and action == "kill-after":
            original(*arguments, **options)
        if hit:
            os.kill(os.getpid(), signal.SIGKILL) if action == "kill-job" else os.killpg(0, signal.SIGKILL)
        return original(*arguments, **options)

    setattr(os, call, wrapped)

if os.environ.get("FAULT"):
    _inject(*os.environ["FAULT"].split(":"))
"""


def hashes(sweep: Path, *patterns: str) -> dict[str, str]:
    """SHA-256 of the result files of `results/<name>/` but for what tells of one execution: logs, seconds, record."""
    found = {}
    for path in sorted(p for pattern in patterns or ("**/*",) for p in sweep.glob(pattern)):
        name = path.relative_to(sweep).as_posix()
        if path.is_dir() or name.startswith(("logs/", "tracking/", "provenance")):
            continue
        content = path.read_bytes()
        if name.startswith("runs/") and path.suffix == ".tsv":
            content = re.sub(rb"\t[^\t\n]*$", b"", content, flags=re.MULTILINE)
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def tiny_config(**changes: Any) -> dict[str, Any]:
    """A sweep of seconds: two ranks, two batches each."""
    config: dict[str, Any] = {
        "name": NAME,
        "input": {"path": "matrix.tsv"},
        "ranks": [1, 2],
        "seeds": 4,
        "factorize": {"seeds_per_job": 2},
        "validate": {"cross_validation": {"folds": 2, "starts": 1}},
        "tracking": {"enabled": False},
    }
    return {**config, **changes}


def tiny_matrix(seed: int = 3) -> str:
    """Counts of two components, 20 features × 12 samples, as TSV."""
    random = np.random.default_rng(seed)
    W = random.dirichlet(np.full(20, 0.3), 2).T
    H = random.dirichlet(np.full(2, 0.4), 12).T
    counts = random.poisson(1 + 1000 * W @ H)
    lines = ["\t".join(["feature", *(f"sample_{j}" for j in range(12))])]
    lines += ["\t".join([f"feature_{i}", *map(str, row)]) for i, row in enumerate(counts)]
    return "\n".join(lines) + "\n"


def copy_repository(place: Path) -> Path:
    """Copy workflow and library, so that they stay the same while sweeps run, or can be changed."""
    for part in ("nmfcore", "workflow"):
        shutil.copytree(REPOSITORY / part, place / part, copy_function=shutil.copy2)
    shutil.copy2(REPOSITORY / "Snakefile", place)
    return place


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    text: str
    seconds: float

    @property
    def jobs(self) -> Counter[str]:
        """How many jobs of each rule were started."""
        return Counter(re.findall(r"^(?:local)?rule (\w+):$", self.text, re.MULTILINE))

    @property
    def finished_fits(self) -> int:
        """How many fits were finished."""
        return len(re.findall(r"Finished jobid: \d+ \(Rule: factorize\)", self.text))


@dataclass
class Project:
    """A folder with a matrix and a configuration, in which sweeps run.

    Attributes
    ----------
    folder : path
    config : dict
    repository : path
        Where workflow and library are.
    """

    folder: Path
    config: dict[str, Any] = field(default_factory=tiny_config)
    repository: Path = REPOSITORY

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "matrix.tsv").write_text(tiny_matrix())
        (self.folder / "inject").mkdir()
        (self.folder / "inject/sitecustomize.py").write_text(INJECTION)
        self.configure(self.config)

    @property
    def sweep(self) -> Path:
        """The results."""
        return self.folder / "results" / self.config["name"]

    def configure(self, config: dict[str, Any]) -> None:
        """Write another configuration."""
        self.config = config
        (self.folder / f"{config['name']}.yaml").write_text(yaml.safe_dump(config))

    def start(
        self,
        fault: str | None = None,
        name: str | None = None,
        options: tuple[str, ...] = (),
        variables: dict[str, str] | None = None,
    ) -> Running:
        """Start the one command that every test uses, with or without a fault in its jobs."""
        name = name or self.config["name"]
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "inject"), **(variables or {})}
        if fault:
            count = self.folder / "count"
            count.unlink(missing_ok=True)
            environment |= {"FAULT": fault, "FAULT_COUNT": str(count)}
        snakefile = str(self.repository / "Snakefile")
        command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--cores", "2"]
        profile = str(self.repository / "workflow/profiles/default")
        command += ["--configfile", f"{name}.yaml", "--workflow-profile", profile, *options]
        log = self.folder / f"{name}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Running(process, log, time.monotonic())

    def run(self, fault: str | None = None) -> Done:
        """Run the one command to its end."""
        return self.start(fault).end()

    def hashes(self) -> dict[str, str]:
        """SHA-256 of every result file; see `hashes`."""
        return hashes(self.sweep)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder)


@dataclass
class Running:
    """A sweep under way in a process group of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    started: float

    def wait(self, seconds: float) -> bool:
        """Let it run for so long; return whether it is still alive."""
        try:
            self.process.wait(max(self.started + seconds - time.monotonic(), 0.001))
        except subprocess.TimeoutExpired:
            return True
        return False

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Let it run until it has said something."""
        end = time.monotonic() + seconds
        while text not in self.log.read_text(errors="replace"):
            if time.monotonic() > end or self.process.poll() is not None:
                return
            time.sleep(0.02)

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to Snakemake and all of its jobs."""
        os.killpg(self.process.pid, number)

    def signal_one(self, number: signal.Signals) -> None:
        """Send a signal to Snakemake alone."""
        self.process.send_signal(number)

    def end(self, seconds: float = 600) -> Done:
        """Wait for its end."""
        self.process.wait(seconds)
        took = time.monotonic() - self.started
        return Done(self.process.returncode, self.log.read_text(errors="replace"), took)


def orphans(group: int) -> list[int]:
    """Processes of a group that are still alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found
