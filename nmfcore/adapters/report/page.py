"""The page from result files.

No clock, no measured time and no path of this machine enters, so the same results give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

import nmfcore
from nmfcore.adapters import store
from nmfcore.adapters.report.components import rank_panels
from nmfcore.adapters.report.numbers import decimal, number, percent
from nmfcore.adapters.report.pictures import consensus_pictures, pictures
from nmfcore.adapters.report.tables import (
    assignments,
    criteria_table,
    cross_tables,
    flattened,
    run_counts,
)

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_SAMPLES = 200
_MOST_DROPPED = 20
_READOUT = (
    "held_out_error",
    "held_out_error_se",
    "component_stability",
    "component_stability_min",
    "best_run_reproduced",
    "cophenetic_correlation",
    "dispersion",
    "pac",
    "consensus_silhouette",
    "reconstruction_error",
    "svd_error",
    "explained_variance",
)
_PACKAGES = ("numpy", "scipy", "numba", "pandas", "matplotlib", "snakemake", "mlflow")


def write_report(folder: store.SweepFolder) -> Path:
    """Write ``report.html`` of a sweep whose figures are drawn.

    Parameters
    ----------
    folder : SweepFolder

    Returns
    -------
    Path
        The file written.
    """
    path = folder.root / "report.html"
    store.write_bytes(path, render_report(folder, folder.root / "figures").encode())
    return path


def render_report(folder: store.SweepFolder, figures_dir: str | Path) -> str:
    """Render the report of a sweep.

    Parameters
    ----------
    folder : SweepFolder
    figures_dir : path
        Where `nmfcore.adapters.figures.draw_all` put the figures.

    Returns
    -------
    str
        HTML that needs no other file and loads none.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "decimal": decimal, "percent": percent}
    page = environment.get_template("report.html.j2")
    return page.render(_context(folder, Path(figures_dir)))


def _context(folder: store.SweepFolder, figures_dir: Path) -> dict[str, Any]:
    criteria = folder.criteria.set_index("rank")
    annotations = folder.annotations
    solution = folder.solution
    components = [part["name"] for part in solution.get("components", ())]
    assigned = assignments(folder, annotations)
    answer = folder.recommendation
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    return {
        "name": folder.name,
        "answer": answer,
        "ranks": folder.ranks,
        "shown": answer["chosen_rank"] or folder.ranks[0],
        "pictures": pictures(folder, figures_dir, criteria),
        "consensus": consensus_pictures(folder, figures_dir, criteria),
        "criteria": criteria_table(criteria),
        "readout": _READOUT,
        "panels": rank_panels(folder),
        "runs": run_counts(folder.runs_table),
        "solution": solution,
        "assignments": assigned,
        "cross_tables": cross_tables(components, assigned, list(annotations)),
        "annotations": annotations,
        "most_samples": _MOST_SAMPLES,
        "most_dropped": _MOST_DROPPED,
        "data": folder.matrix_info,
        "digests": _digests(folder),
        "settings": folder.settings,
        "settings_lines": flattened(folder.settings),
        "settings_yaml": yaml.safe_dump(folder.settings, sort_keys=False, allow_unicode=True),
        "solver": _solver(folder),
        "versions": _versions(),
        "bibtex": (_TEMPLATES / "references.bib").read_text(encoding="utf-8"),
        "script": Markup(script),  # ours, and free of anything that a user wrote
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def _digests(folder: store.SweepFolder) -> list[tuple[str, str]]:
    """What made the results: the matrix, the settings, and the code of each stage."""
    decided = folder.recommendation["provenance"]
    rank = folder.ranks[-1]
    summary = folder.summary(rank)
    return [
        ("Matrix", decided["input_sha256"]),
        ("Settings", decided["settings_sha256"]),
        ("Code of the runs", summary["runs"]["code"]),
        ("Code of the criteria", summary["provenance"]["code"]),
        ("Code of the decision", decided["code"]),
        ("Code of the solutions", folder.solution_at(rank)[0]["provenance"]["code"]),
    ]


def _solver(folder: store.SweepFolder) -> str:
    """Name the solver, as the runs of the last rank tell."""
    return str(folder.summary(folder.ranks[-1])["runs"]["solver"])


def _versions() -> list[tuple[str, str]]:
    """Versions of what made this report, as far as installed."""
    found = [("nmfcore", nmfcore.__version__), ("Python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found
