"""Figures of a finished sweep, from its result files to SVG and PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nmfcore.adapters import store
from nmfcore.adapters.figures.components import component_heatmap
from nmfcore.adapters.figures.consensus_map import consensus_heatmap
from nmfcore.adapters.figures.curves import rank_survey, reconstruction_curve
from nmfcore.adapters.figures.runs import error_by_seed, error_histories
from nmfcore.adapters.figures.style import note, styled
from nmfcore.adapters.store import CONSENSUS_FIGURE, figure_names
from nmfcore.consensus import consensus_matrix


@styled
def save(figure: Figure, path: str | Path) -> tuple[Path, Path]:
    """Write a figure as SVG and PNG; equal figures give equal bytes.

    Parameters
    ----------
    figure : Figure
    path : path
        Without suffix.

    Returns
    -------
    svg, png : Path
    """
    path = Path(path)
    svg, png = path.with_name(f"{path.name}.svg"), path.with_name(f"{path.name}.png")
    with warnings.catch_warnings():
        # An id in a script that the font lacks is drawn as a box; that is no reason to fail.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        store.write_bytes(svg, _rendered(figure, "svg", metadata={"Date": None}))
        store.write_bytes(png, _rendered(figure, "png", pil_kwargs={"compress_level": 1}))
    return svg, png


def _rendered(figure: Figure, suffix: str, **options: Any) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=suffix, **options)
    return content.getvalue()


def draw(folder: store.SweepFolder, name: str) -> Figure:
    """Draw one figure of a finished sweep.

    Parameters
    ----------
    folder : SweepFolder
    name : str
        One of `figure_names`.

    Returns
    -------
    Figure
        If there is nothing to draw (no rank was recommended, no run converged), one that says so.
    """
    if name.startswith(CONSENSUS_FIGURE):
        return _consensus(folder, int(name.removeprefix(CONSENSUS_FIGURE)))
    return _DRAW[name](folder)


def draw_all(folder: store.SweepFolder, names: Collection[str] | None = None) -> list[Path]:
    """Draw figures of a finished sweep into its folder ``figures``.

    Parameters
    ----------
    folder : SweepFolder
    names : collection of str, optional
        Only these, out of `figure_names`.

    Returns
    -------
    list of Path
        The SVG and PNG files written.
    """
    written: list[Path] = []
    for name in figure_names(folder.ranks):
        if names is None or name in names:
            written += save(draw(folder, name), folder.root / "figures" / name)
    return written


def _reconstruction_curve(folder: store.SweepFolder) -> Figure:
    return reconstruction_curve(folder.criteria, folder.recommendation["recommended_rank"])


def _rank_survey(folder: store.SweepFolder) -> Figure:
    return rank_survey(folder.criteria, folder.recommendation["recommended_rank"])


def _error_by_seed(folder: store.SweepFolder) -> Figure:
    return error_by_seed(folder.runs_table, folder.recommendation["recommended_rank"])


def _error_histories(folder: store.SweepFolder) -> Figure:
    return error_histories({rank: folder.runs(rank).trace for rank in folder.ranks})


def _components(folder: store.SweepFolder) -> Figure:
    solution = folder.solution
    if solution["rank"] is None:
        return note("No rank was recommended, so there is no solution to show.")
    top = [[top["id"] for top in part["top_features"]] for part in solution["components"]]
    return component_heatmap(folder.W, folder.H, top)


def _consensus(folder: store.SweepFolder, rank: int) -> Figure:
    line = folder.criteria.set_index("rank").loc[rank]
    arrays = folder.consensus(rank)
    order = arrays["order"]
    if len(order) == 0:
        return note(f"Too few runs of rank {rank} converged for a consensus.")
    shown = np.arange(len(arrays["labels"]))
    if "consensus" not in arrays:  # too many samples: the tree is over some, drawn at random
        shown = np.sort(order)
        order = np.searchsorted(shown, order)
        arrays["consensus"] = consensus_matrix(arrays["run_labels"][:, shown])
    cophenetic = line["cophenetic_correlation"]
    return consensus_heatmap(
        arrays["consensus"],
        arrays["linkage"],
        order,
        arrays["labels"][shown],
        folder.matrix.sample_ids[shown],
        rank,
        None if pd.isna(cophenetic) else float(cophenetic),
        len(arrays["run_seeds"]),
        {name: [values[i] for i in shown] for name, values in folder.annotations.items()},
    )


_DRAW: dict[str, Callable[[store.SweepFolder], Figure]] = {
    "reconstruction_curve": _reconstruction_curve,
    "rank_survey": _rank_survey,
    "error_by_seed": _error_by_seed,
    "error_histories": _error_histories,
    "components": _components,
}
