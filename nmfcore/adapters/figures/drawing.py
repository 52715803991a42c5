"""Figures of a finished sweep, from its result files to SVG and PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Collection
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nmfcore.adapters import store
from nmfcore.adapters.figures.components import component_heatmap
from nmfcore.adapters.figures.consensus_map import consensus_heatmap
from nmfcore.adapters.figures.curves import rank_survey, reconstruction_curve
from nmfcore.adapters.figures.runs import error_by_seed, error_histories
from nmfcore.adapters.figures.stability import Reproducibility, component_stability
from nmfcore.adapters.figures.style import note, styled
from nmfcore.adapters.figures.tree import component_tree_figure
from nmfcore.adapters.store import CONSENSUS_FIGURE, figure_names
from nmfcore.component_tree import component_tree
from nmfcore.consensus import consensus_matrix, consensus_tree, silhouette_widths
from nmfcore.limits import SAMPLED


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
        return consensus_figure(folder, int(name.removeprefix(CONSENSUS_FIGURE)))
    return _DRAW[name](folder)


def draw_all(
    folder: store.SweepFolder, names: Collection[str] | None = None, processes: int = 1
) -> list[Path]:
    """Draw figures of a finished sweep into its folder ``figures``.

    Parameters
    ----------
    folder : SweepFolder
    names : collection of str, optional
        Only these, out of `figure_names`.
    processes : int
        Figures that are drawn at the same time; changes no byte.

    Returns
    -------
    list of Path
        The SVG and PNG files written.
    """
    wanted = [name for name in figure_names(folder.ranks) if names is None or name in names]
    act = partial(_draw_into, folder)
    if processes == 1:
        return list(chain.from_iterable(map(act, wanted)))
    # Forked, not spawned: a process that starts anew would run the script of the job again.
    with ProcessPoolExecutor(processes, get_context("fork")) as pool:
        return list(chain.from_iterable(pool.map(act, wanted)))


def _draw_into(folder: store.SweepFolder, name: str) -> tuple[Path, Path]:
    return save(draw(folder, name), folder.root / "figures" / name)


def _reconstruction_curve(folder: store.SweepFolder) -> Figure:
    recommended = folder.recommendation["recommended_rank"]
    return reconstruction_curve(folder.criteria, recommended, _null_errors(folder))


def _rank_survey(folder: store.SweepFolder) -> Figure:
    recommended = folder.recommendation["recommended_rank"]
    return rank_survey(folder.criteria, recommended, _null_errors(folder))


def _null_errors(folder: store.SweepFolder) -> dict[int, NDArray[np.float64]]:
    """Relative errors of the fits of permuted copies, by rank; empty where there are none.

    A permuted copy has the entries of the matrix, so ‖V‖² is the same, and the loss ½‖V − WH‖² gives the error.
    """
    criteria = folder.criteria.set_index("rank")
    errors = {}
    for rank in folder.ranks:
        losses = np.array(folder.summary(rank)["null_losses"] or [], dtype=float)
        rss, error = criteria["rss"][rank], criteria["reconstruction_error"][rank]
        if len(losses) and np.isfinite(rss) and rss > 0:
            errors[rank] = np.sqrt(2 * losses / (rss / error**2))
    return errors


def _error_by_seed(folder: store.SweepFolder) -> Figure:
    return error_by_seed(folder.runs_table, folder.recommendation["recommended_rank"])


def _error_histories(folder: store.SweepFolder) -> Figure:
    return error_histories(
        {rank: folder.consensus(rank, "trace")["trace"] for rank in folder.ranks}
    )


def _components(folder: store.SweepFolder) -> Figure:
    solution = folder.solution
    if solution["rank"] is None:
        return note("No rank was recommended, so there is no solution to show.")
    top = [[top["id"] for top in part["top_features"]] for part in solution["components"]]
    return component_heatmap(folder.W, folder.H, top)


def _component_tree(folder: store.SweepFolder) -> Figure:
    solved = folder.solutions
    if not solved:
        return note("No run converged, so there are no components to follow over the ranks.")
    parts = {rank: document["components"] for rank, (document, _) in solved.items()}
    return component_tree_figure(
        {rank: [part["share"] for part in parts[rank]] for rank in parts},
        {rank: [part["support"] for part in parts[rank]] for rank in parts},
        component_tree({rank: arrays["W"] for rank, (_, arrays) in solved.items()}),
        folder.recommendation["recommended_rank"],
    )


def _component_stability(folder: store.SweepFolder) -> Figure:
    solved = folder.solutions
    if not solved:
        return note("No run converged, so there are no components to judge.")
    names = (
        "stability",
        "run_support",
        "replication",
        "run_support_interval",
        "replication_interval",
    )
    return component_stability(
        {
            rank: [
                Reproducibility(*(part[name] for name in names)) for part in document["components"]
            ]
            for rank, (document, _) in solved.items()
        },
        folder.recommendation["recommended_rank"],
    )


def consensus_figure(folder: store.SweepFolder, rank: int) -> Figure:
    """Consensus of a rank; of many samples, that of `SAMPLED` of them, spread over the tree."""
    line = folder.criteria.set_index("rank").loc[rank]
    arrays = folder.consensus(rank)
    if len(arrays["order"]) == 0:
        return note(f"Too few runs of rank {rank} converged for a consensus.")
    shown: NDArray[np.integer] = np.arange(len(arrays["labels"]))
    consensus, linkage, order = arrays.get("consensus"), arrays["linkage"], arrays["order"]
    if consensus is None:  # there are too many samples for a matrix of all
        shown = spread_samples(order, SAMPLED)
        consensus = consensus_matrix(arrays["run_labels"][:, shown])
        if len(shown) < len(order):
            tree = consensus_tree(consensus, rank)
            linkage, order = tree.linkage, tree.order
        else:
            order = np.searchsorted(shown, order)
    labels = arrays["labels"][shown]
    cophenetic = line["cophenetic_correlation"]
    return consensus_heatmap(
        consensus,
        linkage,
        order,
        labels,
        folder.matrix.sample_ids[shown],
        rank,
        None if pd.isna(cophenetic) else float(cophenetic),
        len(arrays["run_seeds"]),
        {name: [values[i] for i in shown] for name, values in folder.annotations.items()},
        _silhouettes(consensus, labels),
        len(arrays["labels"]),
    )


def spread_samples(order: NDArray[np.integer], most: int) -> NDArray[np.integer]:
    """At most so many samples, ascending, spread evenly over the leaves of a tree: clusters keep their shares."""
    places = np.linspace(0, len(order) - 1, min(len(order), most)).astype(np.intp)
    return np.sort(order[places])


def _silhouettes(
    consensus: NDArray[np.floating], labels: NDArray[np.integer]
) -> NDArray[np.float64] | None:
    """Silhouette of each sample in its cluster; None where there are fewer than two clusters."""
    assigned = labels >= 0
    if len(np.unique(labels[assigned])) < 2:
        return None
    widths = np.full(len(labels), np.nan)
    distance = 1 - consensus[np.ix_(assigned, assigned)].astype(float)
    widths[assigned] = silhouette_widths(distance, labels[assigned].astype(np.intp))
    return widths


_DRAW: dict[str, Callable[[store.SweepFolder], Figure]] = {
    "reconstruction_curve": _reconstruction_curve,
    "rank_survey": _rank_survey,
    "error_by_seed": _error_by_seed,
    "error_histories": _error_histories,
    "components": _components,
    "component_tree": _component_tree,
    "component_stability": _component_stability,
}
