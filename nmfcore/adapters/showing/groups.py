"""Components and what is known of the samples: which groups use which part, and its features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nmfcore.adapters.figures.drawing import save
from nmfcore.adapters.figures.style import (
    DOUBLE_COLUMN,
    SEQUENTIAL,
    new_figure,
    place,
    short,
    styled,
    write,
)
from nmfcore.adapters.store import SweepFolder, write_table
from nmfcore.errors import InputError

Array = NDArray[np.float64]
_N_FEATURES = 6


def show(folder: SweepFolder, out: Path, reference: str | None) -> None:
    """Write groups.tsv, the mean share of each component in each group of the first annotation, and groups.svg, .png.

    Parameters
    ----------
    folder : SweepFolder
    out : pathlib.Path
    reference : str, optional
        Name of another annotation.
    """
    document, arrays = folder.solution_at()
    known = folder.annotations
    column = reference or next(iter(known), None)
    if column not in known:
        raise InputError(
            "show: {kind: groups} needs annotations of the samples"
            + (f"; there is no column {column!r}, only {', '.join(known)}" if known else "")
            + ". Name their file in input.annotations."
        )
    amounts = arrays["H"] * np.linalg.norm(arrays["W"], axis=0)[:, None]
    total = amounts.sum(axis=0)
    shares = np.divide(amounts, total, out=np.zeros_like(amounts), where=total > 0)
    groups = np.array(known[column])
    names = sorted(set(known[column]), key=lambda name: -int((groups == name).sum()))
    means = np.array([shares[:, groups == name].mean(axis=1) for name in names])
    # Components in the order of the groups that use them most.
    order = np.lexsort((-means.max(axis=0), means.argmax(axis=0)))
    components = [str(arrays["components"][k]) for k in order]
    sizes = [int((groups == name).sum()) for name in names]
    rows = [
        [name, size, *map(float, m[order])]
        for name, size, m in zip(names, sizes, means, strict=True)
    ]
    write_table(out / "groups.tsv", [column, "n_samples", *components], rows)
    tops = {
        entry["name"]: [str(top["id"]) for top in _most_specific(entry["top_features"])]
        for entry in document["components"]
    }
    labels = [f"{name or 'unknown'} ({size})" for name, size in zip(names, sizes, strict=True)]
    figure = groups_figure(means[:, order], labels, [tops[name] for name in components], components)
    save(figure, out / "groups")


def _most_specific(features: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those of the top features that tell the component from the others best."""
    return sorted(features, key=lambda top: -(top["score"] or 0))[:_N_FEATURES]


@styled
def groups_figure(
    means: Array, groups: list[str], features: list[list[str]], components: list[str]
) -> Figure:
    """Draw the mean share of each component (columns) in each group (rows), with its features below."""
    n_groups, n_components = means.shape
    left, cell = 48.0, min(14.0, (DOUBLE_COLUMN - 62) / n_components)
    height = 5.0 * n_groups
    depth = 4 + 1.3 * max(len(", ".join(map(str, f))) for f in features)
    figure = new_figure(DOUBLE_COLUMN, 16 + height + depth)
    axes = place(figure, left, 12, cell * n_components, height)
    image = axes.imshow(means, cmap=SEQUENTIAL, aspect="auto", vmin=0, vmax=1)
    axes.set_yticks(range(n_groups), [short(name, 34) for name in groups])
    axes.set_xticks(range(n_components), [", ".join(f) for f in features], rotation=90)
    axes.tick_params(length=0)
    names = place(figure, left, 12, cell * n_components, height)
    names.patch.set_visible(False)
    names.set_xlim(-0.5, n_components - 0.5)
    names.set_yticks([])
    names.xaxis.tick_top()
    names.set_xticks(range(n_components), [name.removeprefix("component_") for name in components])
    names.tick_params(length=0)
    for spine in (*axes.spines.values(), *names.spines.values()):
        spine.set_visible(False)
    write(
        figure,
        left,
        2,
        "Mean share of each component in each group; below, features that tell it from the others",
        fontweight="bold",
    )
    bar = place(figure, left + cell * n_components + 4, 12, 3, min(height, 30))
    figure.colorbar(image, cax=bar)
    return figure
