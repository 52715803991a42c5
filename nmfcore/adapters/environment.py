"""What numbers depend on beside data, settings and our own code: versions, processor, BLAS."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import scipy.linalg  # noqa: F401  # brings its own BLAS, which is then reported in every process alike
from threadpoolctl import threadpool_info

NUMERIC = ("numpy", "scipy", "numba")
"""Packages that the numbers come from."""

PACKAGES = (
    *NUMERIC,
    *("jinja2", "jsonschema", "matplotlib", "mlflow", "pandas", "pyyaml", "snakemake"),
)
"""Packages that a sweep as a whole depends on, its figures, report and workflow with it."""


@cache
def environment() -> dict[str, Any]:
    """Return versions of Python and of the numeric packages, the processor, and each BLAS with its kernel.

    Result files carry it: byte for byte the same is promised only where it is the same.
    """
    return {
        "python": platform.python_version(),
        **versions(NUMERIC),
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "blas": sorted(
            {
                " ".join(str(pool.get(key)) for key in ("internal_api", "version", "architecture"))
                for pool in threadpool_info()
                if pool["user_api"] == "blas"
            }
        ),
    }


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """Return the installed version of each package, None where there is none."""
    found: dict[str, str | None] = dict.fromkeys(packages)
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    """Name of the processor; Python itself knows only its family on Linux."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
