"""`report.html`: one self-contained page that states the answer, its evidence and how it was made.

Everything is read from result files; no clock, no measured time and no path of this machine enters,
so the same results give the same bytes.
"""

from __future__ import annotations

import base64
import math
import platform
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import yaml

import nmfcore
from nmfcore.adapters import store
from nmfcore.adapters.figures.style import PNG_DPI
from nmfcore.runs import Status

_TEMPLATES = Path(__file__).parent / "templates"
_CSS_PIXELS_AN_INCH = 96 * 1.35  # a little larger than in print
_MOST_SVG_BYTES = 600_000
_MOST_CONSENSUS_BYTES = 4_000_000
_MOST_SAMPLES = 200
_MOST_DROPPED = 20
_MOST_LEVELS = 12
_PACKAGES = ("numpy", "scipy", "numba", "pandas", "matplotlib", "snakemake", "mlflow")


@dataclass(frozen=True)
class Criterion:
    """A column of the criteria in words."""

    key: str
    label: str
    better: str
    meaning: str


CRITERIA = (
    Criterion(
        "held_out_error",
        "Held-out error",
        "lower",
        "Some entries are hidden, the rest is factorised, and the hidden ones are predicted. Too few "
        "components miss structure, too many fit noise: both predict worse. The strongest evidence "
        "for a rank.",
    ),
    Criterion(
        "held_out_error_se",
        "— its standard error",
        "",
        "How much the held-out error varies with the choice of hidden entries. Ranks that differ by "
        "less than one standard error cannot be told apart by it.",
    ),
    Criterion(
        "component_stability",
        "Component stability, mean",
        "higher",
        "Components of all runs are matched; 1 says that every random start finds the same ones, "
        "0 that they are no more alike than components of different kinds.",
    ),
    Criterion(
        "component_stability_min",
        "Component stability, weakest",
        "higher",
        "The same for the least reproducible component: whether all of them can be interpreted, or "
        "only some.",
    ),
    Criterion(
        "cophenetic_correlation",
        "Cophenetic correlation",
        "higher",
        "How well a tree describes which samples the runs put together. 1 means clear-cut groups; a "
        "fall from one rank to the next is the classic sign of a rank too large.",
    ),
    Criterion(
        "dispersion",
        "Dispersion",
        "higher",
        "How close the consensus is to plain yes and no: 1 if each pair of samples is always or "
        "never together, 0 if every pair is together in half of the runs.",
    ),
    Criterion(
        "pac",
        "Ambiguous pairs (PAC)",
        "lower",
        "Share of pairs of samples that are together in some runs and apart in others (between 10 % "
        "and 90 % of them).",
    ),
    Criterion(
        "consensus_silhouette",
        "Consensus silhouette",
        "higher",
        "How much closer samples are to their own group than to the next one, counted in runs that "
        "put them together. Undefined for one group.",
    ),
    Criterion(
        "reconstruction_error",
        "Relative error, best run",
        "",
        "What the factorisation leaves unexplained of the data it was fitted to. It always falls "
        "with the rank, so it cannot choose one.",
    ),
    Criterion(
        "reconstruction_error_median",
        "Relative error, median run",
        "",
        "Far above the best run, it tells of many poor local minima.",
    ),
    Criterion(
        "svd_error",
        "Relative error, truncated SVD",
        "",
        "The least squared error that any factorisation of this rank can reach, nonnegative or not.",
    ),
    Criterion(
        "explained_variance",
        "Explained variance",
        "",
        "One minus the squared relative error of the best run, not centred.",
    ),
    Criterion(
        "held_out_cost",
        "— cost of a component",
        "",
        "What one more component would add to the held-out error if it found nothing but noise.",
    ),
    Criterion(
        "bi_cross_validation_error",
        "Block error",
        "lower",
        "Whole blocks of features and samples are hidden and predicted from the rest of their rows and columns.",
    ),
    Criterion(
        "bi_cross_validation_error_se",
        "— its uncertainty",
        "",
        "Standard error of the block error over the blocks.",
    ),
    Criterion(
        "residual_excess",
        "Residual structure",
        "lower",
        "Strongest direction left in the residual, over what sign-flipped copies of it show; 1 or less means that "
        "only noise is left.",
    ),
    Criterion(
        "best_run_reproduced",
        "Best run found again",
        "higher",
        "Share of the other runs that find every component of the best one.",
    ),
    Criterion(
        "amari_instability",
        "Amari instability",
        "lower",
        "How unlike the components of two runs are, averaged over all pairs of runs; 0 if they are the same.",
    ),
    Criterion("loss", "Loss, best run", "", "The number that the runs minimise."),
    Criterion("rss", "Residual sum of squares", "", "Σ (V − WH)² of the best run."),
    Criterion(
        "sparseness_W",
        "Sparseness of W",
        "",
        "1 if each component consists of one feature, 0 if of all alike. Descriptive.",
    ),
    Criterion(
        "sparseness_H",
        "Sparseness of H",
        "",
        "1 if each component is used by one sample, 0 if by all alike. Descriptive.",
    ),
)


@dataclass(frozen=True)
class Picture:
    """A figure in the page.

    Attributes
    ----------
    name : str
        File below ``figures/``, without suffix.
    source : str or None
        Data URI; None where the page would become too large.
    alt : str
    width, height : int
        CSS pixels.
    """

    name: str
    source: str | None
    alt: str
    width: int
    height: int


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


# ---------------------------------------------------------------- words and numbers


def _is_undefined(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def number(value: object) -> str:
    """Return a number for people: four significant digits, a dash where undefined."""
    if _is_undefined(value):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{float(mantissa):g} × 10{_superscript(int(exponent))}".replace("-", "−")
    return (f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}").replace("-", "−")


def decimal(value: float) -> str:
    """Return a number for a column of numbers of one order: four decimals."""
    return "–" if _is_undefined(value) else f"{value:.4f}".replace("-", "−")


def _superscript(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def percent(value: float | None) -> str:
    """Return a share as a percentage, a dash where undefined."""
    return "–" if value is None or _is_undefined(value) else f"{100 * value:.3g} %"


# ---------------------------------------------------------------- pictures


def _picture(figures_dir: Path, name: str, alt: str) -> Picture:
    """Embed a figure: the SVG, or the PNG where that is much smaller."""
    svg = (figures_dir / f"{name}.svg").read_bytes()
    png = (figures_dir / f"{name}.png").read_bytes()
    content, kind = (svg, "svg+xml") if len(svg) <= _MOST_SVG_BYTES else (png, "png")
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    width, height = struct.unpack(">II", png[16:24])  # the first fields of every PNG
    scale = _CSS_PIXELS_AN_INCH / PNG_DPI
    return Picture(name, source, alt, round(scale * width), round(scale * height))


def _consensus_pictures(
    folder: store.SweepFolder, figures_dir: Path, criteria: pd.DataFrame
) -> dict[int, Picture]:
    """Embed the consensus maps, those nearest to the answer first, as far as the page may grow."""
    centre = folder.recommendation["recommended_rank"] or folder.ranks[0]
    left = _MOST_CONSENSUS_BYTES
    pictures = {}
    for rank in sorted(folder.ranks, key=lambda rank: (abs(rank - centre), rank)):
        name = f"consensus-rank-{rank}"
        picture = _picture(figures_dir, name, _consensus_alt(criteria, rank))
        size = len(picture.source or "")
        if size > left:
            picture = Picture(name, None, picture.alt, picture.width, picture.height)
        else:
            left -= size
        pictures[rank] = picture
    return dict(sorted(pictures.items()))


def _consensus_alt(criteria: pd.DataFrame, rank: int) -> str:
    cophenetic, pac = (
        float(criteria[column][rank]) for column in ("cophenetic_correlation", "pac")
    )
    return (
        f"Consensus matrix of rank {rank}: for each pair of samples the share of runs that put "
        "both in one cluster, samples in the order of their tree. Cophenetic correlation "
        f"{number(cophenetic)}, ambiguous pairs {percent(pac)}."
    )


def _pictures(
    folder: store.SweepFolder, figures_dir: Path, criteria: pd.DataFrame
) -> dict[str, Picture]:
    """Embed every figure but the consensus maps, each with what it says in words."""
    recommended = folder.recommendation["recommended_rank"]
    marked = f"Rank {recommended} is marked." if recommended else "No rank is marked."
    ranks = f"ranks {folder.ranks[0]} to {folder.ranks[-1]}"
    alts = {
        "rank_survey": f"Eight small charts over {ranks}: cophenetic correlation, dispersion, "
        "ambiguous pairs, consensus silhouette, component stability, held-out error, explained "
        f"variance and sparseness. {marked} The numbers are in the table of criteria.",
        "reconstruction_curve": f"Relative error over {ranks}. {_fall(criteria)} {marked}",
        "error_by_seed": f"Relative error of every run over {ranks}, with median and quartiles; runs "
        "that did not converge stand out. The counts are in the table of runs.",
        "error_histories": f"Loss over iterations for {ranks}, a panel each: how far each run is "
        "above the best loss of its rank.",
        "components": "Two heat maps: the share of each component in the reconstruction of its top "
        "features, and in the reconstruction of each sample.",
    }
    return {name: _picture(figures_dir, name, alt) for name, alt in alts.items()}


def _fall(criteria: pd.DataFrame) -> str:
    """Describe the curves of error in words."""
    errors, held_out = (
        criteria[column].dropna() for column in ("reconstruction_error", "held_out_error")
    )
    words = []
    if len(errors):
        words.append(
            f"The best run goes from {number(float(errors.iloc[0]))} at rank {errors.index[0]} "
            f"to {number(float(errors.iloc[-1]))} at rank {errors.index[-1]}."
        )
    if len(held_out):
        words.append(
            f"Held-out error is lowest at rank {held_out.idxmin()} ({number(float(held_out.min()))})."
        )
    return " ".join(words)


# ---------------------------------------------------------------- tables


def _criteria_table(criteria: pd.DataFrame) -> list[tuple[Criterion, str, list[float]]]:
    """One line a criterion: its unit, and its value at each rank.

    Criteria that are defined nowhere are left out; very large and very small ones share a power of ten.
    """
    lines = []
    for criterion in (c for c in CRITERIA if c.key in criteria):
        values = criteria[criterion.key].to_numpy(dtype=float)
        if not np.isfinite(values).any():
            continue
        size = np.nanmax(np.abs(values))
        exponent = math.floor(math.log10(size)) if size > 0 and not 1e-2 <= size < 100 else 0
        unit = f"10{_superscript(exponent)}" if exponent else ""
        lines.append((criterion, unit, (values / 10.0**exponent).tolist()))
    return lines


def _run_counts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Count how the runs of each rank ended."""
    lines = []
    for rank, group in runs.groupby("rank"):
        ended = Counter(group["status"])
        lines.append(
            {
                "rank": rank,
                "runs": len(group),
                **{status.value: ended[status.value] for status in Status},
                "iterations": float(group["n_iter"].median()),
                "best": float(group["relative_error"].min()),
                "worst": float(group["relative_error"].max()),
            }
        )
    return lines


@dataclass(frozen=True)
class Assignment:
    """A sample, its component (None without one), and what is known of it."""

    sample: str
    component: str | None
    known: list[object]


def _assignments(
    folder: store.SweepFolder, annotations: Mapping[str, Sequence[object]]
) -> list[Assignment]:
    """Join assignments and annotations; nothing is known of samples that were dropped."""
    position = {str(sample): i for i, sample in enumerate(folder.matrix.sample_ids)}

    def known(sample: str) -> list[object]:
        i = position.get(sample)
        return [None if i is None else values[i] for values in annotations.values()]

    return [
        Assignment(line["sample"], line["component"], known(line["sample"]))
        for line in folder.solution.get("assignments", ())
    ]


def _cross_tables(
    components: Sequence[str], assignments: Sequence[Assignment], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Count samples by component and by each annotation with few levels."""
    tables = []
    for i, name in enumerate(columns):
        counts = Counter(
            (line.component, str(line.known[i]))
            for line in assignments
            if line.known[i] not in (None, "")
        )
        levels = sorted({level for _, level in counts})
        if 2 <= len(levels) <= _MOST_LEVELS:
            rows = [(part, [counts[part, level] for level in levels]) for part in components]
            tables.append({"name": name, "levels": levels, "rows": rows})
    return tables


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings as lines of dotted key and value."""
    lines: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            lines += _flat(value, f"{prefix}{key}.")
        else:
            text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
            lines.append((f"{prefix}{key}", text.removesuffix("...\n").strip()))
    return lines


def _versions() -> list[tuple[str, str]]:
    """Versions of what made this report, as far as installed."""
    found = [("nmfcore", nmfcore.__version__), ("Python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found


# ---------------------------------------------------------------- the page


def _context(folder: store.SweepFolder, figures_dir: Path) -> dict[str, Any]:
    criteria = folder.criteria.set_index("rank")
    info = folder.matrix_info
    annotations = folder.annotations
    solution = folder.solution
    components = [part["name"] for part in solution.get("components", ())]
    assignments = _assignments(folder, annotations)
    return {
        "name": folder.name,
        "answer": folder.recommendation,
        "ranks": folder.ranks,
        "pictures": _pictures(folder, figures_dir, criteria),
        "consensus": _consensus_pictures(folder, figures_dir, criteria),
        "criteria": _criteria_table(criteria),
        "runs": _run_counts(folder.runs_table),
        "solution": solution,
        "sizes": Counter(line.component for line in assignments),
        "assignments": assignments,
        "cross_tables": _cross_tables(components, assignments, list(annotations)),
        "annotations": annotations,
        "most_samples": _MOST_SAMPLES,
        "most_dropped": _MOST_DROPPED,
        "data": info,
        "provenance": folder.recommendation["provenance"],
        "settings": folder.settings,
        "settings_lines": _flat(folder.settings),
        "settings_yaml": yaml.safe_dump(folder.settings, sort_keys=False, allow_unicode=True),
        "solver": _solver(folder),
        "versions": _versions(),
        "bibtex": (_TEMPLATES / "references.bib").read_text(encoding="utf-8"),
    }


def _solver(folder: store.SweepFolder) -> str:
    """Name the solver, as one of the batches tells."""
    runs, _ = store.read_runs([folder.run_files(folder.ranks[-1])[0].npz])
    return runs.solver
