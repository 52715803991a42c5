"""One sweep in four places — here, by SLURM, by cluster-generic, on object storage — and jobs that SLURM kills.

The sweep is that of the leukaemia data. Compared are the bytes of all runs and the recommendation. SLURM is a real one
whose only node is this machine (root; Debian's `slurm-wlm` and `munge`), object storage a server that speaks S3 (moto).
What is not installed is left out and says so.

Examples
--------
::

    python benchmarks/clusters.py --quick            # 2 ranks × 4 seeds of a tiny matrix
    python benchmarks/clusters.py --only SLURM
    python benchmarks/clusters.py --write            # all, to docs/clusters.md
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import services
from benchmarks.faulty_sweeps import REPOSITORY, Done, Project, hashes, tiny_config
from benchmarks.measured import write_section
from nmfcore.adapters import store

PROFILES = REPOSITORY / "workflow/profiles"
BUCKET = "sweeps"
# A SLURM without accounting that answers at once.
SLURM = (
    *("--profile", str(PROFILES / "slurm"), "--slurm-no-account"),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"),
    *("--seconds-between-status-checks", "2", "--jobs", "2", "--latency-wait", "15"),
)
DECISION = ("--", "results/tiny/selection/recommendation.json")
_LONG_S = 3000.0
GENERIC = ("--profile", str(PROFILES / "cluster-generic"))

# The first job of a rule that comes here stays for so many seconds.
STAY = """
import os, sys, time

if any(f".{os.environ.get('STAY')}." in word for word in sys.orig_argv):
    try:
        os.close(os.open(os.environ["STAYED"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        pass
    else:
        time.sleep(300)
"""


@dataclass(frozen=True)
class Answer:
    """What a sweep came to: digests of all runs, and the decision."""

    runs: Mapping[str, str]
    decision: Mapping[str, Any]

    @classmethod
    def of(cls, sweep: Path) -> Answer:
        """Read `results/<name>`."""
        decision = store.read_json(sweep / "selection/recommendation.json")
        del decision["provenance"]  # which names the input, and that differs by place
        return cls(hashes(sweep, "runs/*/*.npz"), decision)


def finished(project: Project, options: Sequence[str], variables: Mapping[str, str]) -> Done:
    """Run a sweep to its end, which must be a good one."""
    done = project.start(options=tuple(options), variables=dict(variables)).end(_LONG_S)
    if done.returncode:
        raise SystemExit(done.text)
    return done


def on_object_storage(place: Path, config: dict[str, Any], given: Path) -> tuple[Answer, Done]:
    """Run a sweep whose input and results are objects; what it came to is read back from there."""
    import boto3

    with services.s3(place / "server", BUCKET) as (address, variables):
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
        files = {key: value for key, value in config["input"].items() if key in FILES and value}
        for path in files.values():
            client.upload_file(str(given / path), BUCKET, path)
        remote = {key: f"s3://{BUCKET}/{path}" for key, path in files.items()}
        project = Project(place / "project", {**config, "input": {**config["input"], **remote}})
        prefix = f"s3://{BUCKET}/out"
        options = ["--default-storage-provider", "s3", "--default-storage-prefix", prefix]
        done = finished(project, options, variables)
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="out/"):
            for entry in page["Contents"]:
                copy = place / entry["Key"]
                copy.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(BUCKET, entry["Key"], str(copy))
    assert not project.sweep.joinpath("runs").exists(), "results on this disk"
    return Answer.of(place / "out/results" / config["name"]), done


FILES = ("path", "annotations")


# ---------------------------------------------------------------- the same sweep in four places


def compare(place: Path, config: dict[str, Any]) -> list[str]:
    """Lines of a table: each place beside the sweep that ran here."""
    here = Project(place / "here", config)
    seconds = finished(here, (), {}).seconds
    expected = Answer.of(here.sweep)
    n_runs = len(config_ranks(config)) * config["seeds"]
    lines = [
        f"{config['name']}, {len(config_ranks(config))} ranks × {config['seeds']} seeds, cross-validation, report:",
        "",
        "| where | the same bytes of runs | the same recommendation | jobs | seconds |",
        "|---|---|---|---|---|",
    ]

    def line(where: str, answer: Answer, jobs: int | str, seconds: float) -> None:
        same = sum(expected.runs[name] == answer.runs.get(name) for name in expected.runs)
        whole = f"{same} of {len(expected.runs)} files ({n_runs} runs)"
        decision = "yes" if answer.decision == expected.decision else "**no**"
        lines.append(f"| {where} | {whole} | {decision} | {jobs} | {seconds:.0f} |")
        print(lines[-1], flush=True)

    line("`--cores 2`", expected, "", seconds)
    places: dict[str, Callable[[], tuple[Answer, Done]]] = {
        "cluster-generic": lambda: elsewhere(place / "generic", config, GENERIC),
        "object storage": lambda: on_object_storage(place / "s3", config, here.folder),
        "SLURM": lambda: by_slurm(place / "slurm", config),
    }
    for where, run in places.items():
        try:
            answer, done = run()
        except services.MissingServiceError as missing:
            print(f"{where} is left out: {missing}.", flush=True)
            continue
        line(where, answer, sum(done.jobs.values()), done.seconds)
    return lines


def config_ranks(config: dict[str, Any]) -> list[int]:
    """Ranks of a configuration."""
    ranks = config["ranks"]
    return ranks if isinstance(ranks, list) else list(range(ranks["min"], ranks["max"] + 1))


def elsewhere(place: Path, config: dict[str, Any], options: Sequence[str]) -> tuple[Answer, Done]:
    """Run a sweep by a profile."""
    project = Project(place, config)
    done = finished(project, options, {})
    return Answer.of(project.sweep), done


def by_slurm(place: Path, config: dict[str, Any]) -> tuple[Answer, Done]:
    """Run a sweep by a SLURM of its own."""
    with services.slurm(place / "service"):
        return elsewhere(place / "project", config, SLURM)


# ---------------------------------------------------------------- jobs that SLURM kills


def kill(place: Path) -> list[str]:
    """Lines of a table: what SLURM did to a job of a tiny sweep, and what came of it."""
    config = tiny_config(factorize={"seeds_per_job": 4})
    here = Project(place / "here", config)
    finished(here, DECISION, {})
    expected = Answer.of(here.sweep)
    lines = ["| what SLURM did | how it ended | tried again | the same bytes | seconds |"]
    lines.append("|---|---|---|---|---|")
    faults: dict[str, Callable[[Project, str], Done]] = {
        "killed a job that took more memory than it had asked for": too_large,
        "killed a job after its time": too_long,
        "drained its node under a running job, and killed the job": drained,
    }
    with services.slurm(place / "service") as node:
        for i, (what, run) in enumerate(faults.items()):
            project = Project(place / f"{i}", config)
            done = run(project, node)
            ended = "finished" if done.returncode == 0 else f"**status {done.returncode}**"
            again = len(re.findall(r"^Trying to restart job", done.text, re.MULTILINE))
            same = done.returncode == 0 and Answer.of(project.sweep) == expected
            lines.append(
                f"| {what} | {ended} | {again or 'by SLURM'} | {'yes' if same else '**no**'} | {done.seconds:.0f} |"
            )
            print(lines[-1], flush=True)
            if "**" in lines[-1]:
                print(done.text)
    return lines


def too_large(project: Project, _node: str) -> Done:
    """Ask for too little memory, at first."""
    options = (*SLURM, "--set-resources", "factorize:mem_mb=60 * 10 ** (attempt - 1)", *DECISION)
    return project.start(options=options).end(_LONG_S)


def too_long(project: Project, _node: str) -> Done:
    """Stay for longer than the minute that was asked for."""
    options = (*SLURM, "--set-resources", "factorize:runtime=attempt", *DECISION)
    return staying(project, options).end(_LONG_S)


def drained(project: Project, node: str) -> Done:
    """Drain the node once a batch runs, take it down, and bring it back."""
    running = staying(project, (*SLURM, *DECISION))
    deadline = time.monotonic() + 300
    while not stayed(project).exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    for state in ("DRAIN", "DOWN", "RESUME"):
        command = ["scontrol", "update", f"NodeName={node}", f"State={state}", "Reason=benchmark"]
        subprocess.run(command, check=True)
        time.sleep(3)
    return running.end(_LONG_S)


def staying(project: Project, options: Sequence[str]) -> Any:
    """Start a sweep whose first batch stays for minutes."""
    (project.folder / "inject/sitecustomize.py").write_text(STAY)
    variables = {"STAY": "factorize", "STAYED": str(stayed(project))}
    return project.start(options=tuple(options), variables=variables)


def stayed(project: Project) -> Path:
    """File that says that a job stays."""
    return project.folder / "stayed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tiny matrix, no killed jobs")
    parser.add_argument("--only", choices=("places", "kills"), help="one of the tables")
    parser.add_argument("--seeds", type=int, help="as many as the default sweep has if left out")
    parser.add_argument(
        "--ranks", type=int, help="1 to this many; as the default sweep if left out"
    )
    parser.add_argument("--write", action="store_true", help="renew docs/clusters.md")
    options = parser.parse_args()
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    config |= {"tracking": {"enabled": False}, "seeds": options.seeds or config["seeds"]}
    if options.ranks:
        config["ranks"] = list(range(1, options.ranks + 1))
    if options.quick:
        config = tiny_config()
    tables = {"places": lambda place: compare(place, config), "kills": kill}
    command = " ".join(["python benchmarks/clusters.py", *sys.argv[1:]])
    with tempfile.TemporaryDirectory(prefix="nmfcore-clusters-") as place:
        for name, table in tables.items():
            if options.only not in (None, name) or (options.quick and name == "kills"):
                continue
            try:
                lines = table(Path(place) / name)
            except services.MissingServiceError as missing:
                print(f"{name} are left out: {missing}.")
                continue
            if options.write:
                write_section(name, command, lines)


if __name__ == "__main__":
    main()
