"""The corpus of bad files through the workflow: each refused in words, quickly, with nothing half-written.

    python benchmarks/refusals.py               # every file; some minutes
    python benchmarks/refusals.py --every 10

Counted are: exit status not 0, the message in what is printed, no traceback, no file in results/ but logs. Seconds
are of the processor, of Snakemake and its job together, so that a busy machine does not count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import yaml

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("", "tests")]

from bad_inputs.corpus import CASES  # noqa: E402
from bad_inputs.files import Case  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


def refused(case: Case, project: Path) -> tuple[list[str], float]:
    """Run the workflow on a file; return what is wrong with how it was refused, and the seconds."""
    config = {"name": "bad", "input": {**case.options, "path": case.write(project).name}}
    (project / "bad.yaml").write_text(yaml.safe_dump(config))
    before = sum(os.times()[2:4])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--configfile", "bad.yaml", "--cores", "1", "--until", "prepare"),
        ],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = sum(os.times()[2:4]) - before
    results = (project / "results").rglob("*") if (project / "results").exists() else ()
    left = [f.name for f in results if f.is_file() and "logs" not in f.parts]
    faults = {
        "exit status 0": done.returncode == 0,
        "no message": not all(fragment in done.stdout for fragment in case.fragments),
        "traceback": "Traceback" in done.stdout,
        f"left behind: {left}": bool(left),
    }
    return [fault for fault, found in faults.items() if found], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="only every n-th file")
    options = parser.parse_args()
    cases = CASES[:: options.every]
    took: dict[str, float] = {}
    bad = 0
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            faults, seconds = refused(case, Path(folder))
        took[case.name] = seconds
        if faults:
            bad += 1
            print(f"{case.name}: {', '.join(faults)}")
    print(
        f"{len(cases) - bad} of {len(cases)} refused as they should be, in {median(took.values()):.1f} s (median) to "
        f"{max(took.values()):.1f} s ({max(took, key=took.__getitem__)})."
    )


if __name__ == "__main__":
    main()
