"""Is the forecast of `make plan` right? Three sweeps: what was said, and what it took.

Run from the root of the repository: ``python benchmarks/forecast.py``. Time is compared in processor seconds, which
the load of the machine changes least, and by the clock, which means something on an idle machine only.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matrices
import numpy as np
import yaml
from scipy import sparse

ROOT = Path(__file__).resolve().parents[1]

CASES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "leukaemia, 5000 × 38": (matrices.leukemia, {"ranks": {"max": 8}, "seeds": 50}),
    "cells, KL, 1000 × 800": (
        lambda: matrices.single_cell(1000, 800),
        {"ranks": {"max": 6}, "seeds": 20, "factorize": {"loss": "kullback-leibler"}},
    ),
    "text, sparse, 4000 × 1000": (
        lambda: matrices.text(4000, 1000),
        {"ranks": [1, 2, 4, 8], "seeds": 30},
    ),
}


def prepared(folder: Path, make: Callable[[], Any], settings: dict[str, Any]) -> list[str]:
    """Write matrix and configuration, and run the first job; return the command of the sweep."""
    V = make()
    path = folder / "V.npz"
    sparse.save_npz(path, sparse.csr_array(V)) if sparse.issparse(V) else np.savez(path, V)
    config = {"name": "sweep", "input": {"path": "V.npz"}, **settings}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", "config.yaml", "--cores", "2"]
    subprocess.run([*command, "prepare"], cwd=folder, check=True, capture_output=True)
    return command


def said(folder: Path) -> dict[str, float]:
    """Forecast in a fresh process, on one thread as the jobs of a sweep."""
    code = (
        "import json, yaml; from pathlib import Path; from nmfcore.adapters import forecast as f, store;"
        "c = f.load_config(yaml.safe_load(Path('config.yaml').read_text()), f.SCHEMA);"
        "V, _ = store.read_matrix('results/sweep/prepared/matrix.npz');"
        "r = f.forecast(V.shape, f.matrix_bytes(V), c, f.calibrate(V, c), 2);"
        "print(json.dumps([sum(r.seconds.values()), r.wall, r.memory, r.disk]))"
    )
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    place = {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, check=True, capture_output=True, env=os.environ | threads | place
    )
    return dict(
        zip(("processor", "clock", "memory", "disk"), yaml.safe_load(done.stdout), strict=True)
    )


def took(command: list[str], folder: Path) -> dict[str, float]:
    """Run the sweep and measure it."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    files = [path for path in (folder / "results").rglob("*") if path.is_file()]
    return {
        "processor": after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime,
        "clock": time.monotonic() - started,
        "memory": 1024.0 * after.ru_maxrss,
        "disk": float(sum(path.stat().st_size for path in files)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(CASES), metavar="NAME", help="beginnings")
    options = parser.parse_args()
    print(f"{'sweep':28} {'what':10} {'said':>9} {'took':>9} {'ratio':>6}")
    for name, (make, settings) in CASES.items():
        if not name.startswith(tuple(options.only)):
            continue
        with tempfile.TemporaryDirectory(prefix="nmfcore-forecast-") as place:
            command = prepared(Path(place), make, settings)
            forecast = said(Path(place))
            truth = took(command, Path(place))
        for what, value in truth.items():
            scale, unit = (1.0, "s") if what in ("processor", "clock") else (1e6, "MB")
            print(
                f"{name:28} {what:10} {forecast[what] / scale:6.0f} {unit:2} {value / scale:6.0f} {unit:2} "
                f"{forecast[what] / value:6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
