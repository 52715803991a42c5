"""Components of mutation catalogues as signatures, beside known ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import nnls

from nmfcore.adapters.figures.drawing import save
from nmfcore.adapters.figures.style import DOUBLE_COLUMN, OKABE_ITO, new_figure, place, styled
from nmfcore.adapters.readers import read_matrix
from nmfcore.adapters.readers.mutations import SBS96, SUBSTITUTIONS
from nmfcore.adapters.showing.cosines import cosines
from nmfcore.adapters.store import SweepFolder, write_table
from nmfcore.errors import InputError

Array = NDArray[np.float64]
LEAST_SHARE = 0.1
"""Known signatures with less of a mixture are left out of it."""


def show(folder: SweepFolder, out: Path, reference: str | None) -> None:
    """Write signatures.tsv (of every rank, with the known ones most alike) and signatures.svg, .png of the chosen one.

    Parameters
    ----------
    folder : SweepFolder
    out : pathlib.Path
    reference : path, optional
        Table of known signatures, mutation types × signatures.
    """
    known, names = _known(reference)
    table: list[list[object]] = []
    drawn: list[tuple[Array, str]] = []
    for rank in folder.ranks:
        document, arrays = folder.solution_at(rank)
        if document["rank"] is None:
            continue
        shares, amounts = _profiles(arrays)
        for k, profile in enumerate(shares.T):
            alike = _alike(profile, known, names)
            table.append([rank, str(arrays["components"][k]), float(amounts[k]), *alike])
            if rank == folder.solution["rank"]:
                title = f"signature {k + 1}: {amounts[k]:.0%} of the mutations"
                if names:
                    title += f"; {alike[2]} (cosine {alike[3]:.2f})"
                drawn.append((profile, title))
    columns = ["known", "cosine", "mixture", "mixture_cosine"] if names else []
    write_table(
        out / "signatures.tsv", ["rank", "component", "share_of_mutations", *columns], table
    )
    shares = np.array([profile for profile, _ in drawn]).T
    save(signatures_figure(shares, [title for _, title in drawn]), out / "signatures")


def _profiles(arrays: dict[str, Any]) -> tuple[Array, Array]:
    """Return the share of each of the 96 types in each component, and the share of mutations that it explains."""
    places = {str(name): i for i, name in enumerate(arrays["feature_ids"])}
    if not set(places) <= set(SBS96):
        raise InputError(
            "show: {kind: signatures} needs the 96 types of single substitutions as features. Read the input by "
            "`format: mutations`, or show another kind."
        )
    W = np.zeros((96, arrays["W"].shape[1]))
    rows = [k for k, name in enumerate(SBS96) if name in places]
    W[rows] = arrays["W"][[places[SBS96[k]] for k in rows]]
    amounts = arrays["H"].sum(axis=1) * W.sum(axis=0)
    return W / W.sum(axis=0), amounts / amounts.sum()


def _alike(profile: Array, known: Array, names: list[str]) -> list[Any]:
    """Return the known signature most like a profile, and the mixture of known ones nearest to it, with cosines.

    The mixture is the nonnegative least-squares fit of those that make up at least a tenth of the unrestricted one.
    """
    if not names:
        return []
    cosine = cosines(profile[:, None], known)[0]
    nearest = int(cosine.argmax())
    weights = nnls(known, profile)[0]
    used = np.flatnonzero(weights >= LEAST_SHARE * weights.sum())
    weights = nnls(known[:, used], profile)[0]
    order = np.argsort(-weights, kind="stable")
    words = [f"{weights[i] / weights.sum():.0%} {names[used[i]]}" for i in order if weights[i] > 0]
    mixture = (known[:, used] @ weights)[:, None]
    return [
        names[nearest],
        float(cosine[nearest]),
        " + ".join(words),
        float(cosines(profile[:, None], mixture)[0, 0]),
    ]


def _known(reference: str | None) -> tuple[Array, list[str]]:
    """Return known signatures, (96, n), and their names."""
    if reference is None:
        return np.zeros((96, 0)), []
    matrix = read_matrix(reference)
    places = {str(name): i for i, name in enumerate(matrix.feature_ids)}
    absent = [name for name in SBS96 if name not in places]
    if absent:
        raise InputError(
            f"{reference} lacks {len(absent)} of the 96 types of single substitutions, first {absent[0]}. Give a table "
            "of types × signatures, such as that of COSMIC."
        )
    values = np.asarray(matrix.values, float)[[places[name] for name in SBS96]]
    return values, [str(name) for name in matrix.sample_ids]


@styled
def signatures_figure(shares: Array, titles: list[str]) -> Figure:
    """Draw the share of each of the 96 types, one row of bars a signature."""
    height = 24.0
    figure = new_figure(DOUBLE_COLUMN, height * len(titles) + 8)
    colours = np.repeat(OKABE_ITO[:6], 16)
    for k, title in enumerate(titles):
        axes = place(figure, 12, 5 + k * height, DOUBLE_COLUMN - 14, height - 9)
        axes.bar(range(96), 100 * shares[:, k], color=colours, width=0.8)
        axes.set_xlim(-0.8, 95.8)
        axes.set_title(title)
        axes.set_ylabel("%")
        axes.set_xticks([])
        if k == len(titles) - 1:
            axes.set_xticks(np.arange(6) * 16 + 7.5, SUBSTITUTIONS)
            axes.tick_params(axis="x", length=0)
    return figure
