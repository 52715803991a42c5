"""Figures in the page: as images, or, where a rank can be picked in them, as part of it."""

from __future__ import annotations

import base64
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
from markupsafe import Markup

from nmfcore.adapters.figures.style import PNG_DPI
from nmfcore.adapters.report.numbers import number, percent
from nmfcore.adapters.store import CONSENSUS_FIGURE, SweepFolder

_CSS_PIXELS_AN_INCH = 96 * 1.35  # a little larger than in print
_MOST_SVG_BYTES = 600_000
_MOST_CONSENSUS_BYTES = 4_000_000
_BY_RANK = ("rank_survey", "reconstruction_curve", "component_tree", "component_stability")
_SVG = "http://www.w3.org/2000/svg"
_LINK = "http://www.w3.org/1999/xlink"
_ZONE = re.compile(r"rank-(\d+)-\w+")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


@dataclass(frozen=True)
class Picture:
    """A figure in the page.

    Attributes
    ----------
    name : str
        File below ``figures/``, without suffix.
    source : str or None
        Data URI; None where the page would become too large, or where there is `drawing`.
    alt : str
    width, height : int
        CSS pixels.
    drawing : Markup or None
        The SVG itself, with its ranks marked by ``data-rank``.
    """

    name: str
    source: str | None
    alt: str
    width: int
    height: int
    drawing: Markup | None = None


def picture(figures_dir: Path, name: str, alt: str, *, by_rank: bool = False) -> Picture:
    """Embed a figure: the SVG, or the PNG where that is much smaller.

    Parameters
    ----------
    figures_dir : path
    name, alt : str
    by_rank : bool
        Put it into the page as drawing, so that a rank can be picked in it.
    """
    svg = (figures_dir / f"{name}.svg").read_bytes()
    png = (figures_dir / f"{name}.png").read_bytes()
    width, height = struct.unpack(">II", png[16:24])  # the first fields of every PNG
    scale = _CSS_PIXELS_AN_INCH / PNG_DPI
    size = round(scale * width), round(scale * height)
    if by_rank and len(svg) <= _MOST_SVG_BYTES:
        return Picture(name, None, alt, *size, drawing(svg, name, alt))
    content, kind = (svg, "svg+xml") if len(svg) <= _MOST_SVG_BYTES else (png, "png")
    return Picture(
        name, f"data:image/{kind};base64,{base64.b64encode(content).decode()}", alt, *size
    )


def drawing(svg: bytes, name: str, alt: str) -> Markup:
    """An SVG of `nmfcore.adapters.figures` as part of a page.

    What its style sheet and metadata say is left out, ids get the name before them (a page holds several), and
    zones of ranks become ``<g class="zone" data-rank="…">``.
    """
    for prefix, space in (("", _SVG), ("xlink", _LINK)):
        ElementTree.register_namespace(prefix, space)
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
    used = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == f"{{{_LINK}}}href" and value.startswith("#"):
                used.add(value[1:])
                element.set(key, f"#{name}-{value[1:]}")
            elif found := _REFERENCE.search(value):
                used.add(found[1])
                element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own is None:
            continue
        if zone := _ZONE.fullmatch(own):
            element.set("class", "zone")
            element.set("data-rank", zone[1])
        elif own in used:
            element.set("id", f"{name}-{own}")
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", alt)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def consensus_pictures(
    folder: SweepFolder, figures_dir: Path, criteria: pd.DataFrame
) -> dict[int, Picture]:
    """Embed the consensus maps, those nearest to the answer first, as far as the page may grow."""
    centre = folder.recommendation["chosen_rank"] or folder.ranks[0]
    left = _MOST_CONSENSUS_BYTES
    found = {}
    for rank in sorted(folder.ranks, key=lambda rank: (abs(rank - centre), rank)):
        name = f"{CONSENSUS_FIGURE}{rank}"
        image = picture(figures_dir, name, _consensus_alt(criteria, rank))
        size = len(image.source or "")
        if size > left:
            image = replace(image, source=None)
        else:
            left -= size
        found[rank] = image
    return dict(sorted(found.items()))


def _consensus_alt(criteria: pd.DataFrame, rank: int) -> str:
    cophenetic, pac = (
        float(criteria[column][rank]) for column in ("cophenetic_correlation", "pac")
    )
    return (
        f"Consensus matrix of rank {rank}: for each pair of samples the share of runs that put "
        "both in one cluster, samples in the order of their tree. Cophenetic correlation "
        f"{number(cophenetic)}, ambiguous pairs {percent(pac)}."
    )


def pictures(folder: SweepFolder, figures_dir: Path, criteria: pd.DataFrame) -> dict[str, Picture]:
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
        "component_tree": f"The components of {ranks}, a column a rank, with lines from each one to what it "
        f"becomes at the next rank. {marked} In words: column 'Comes from' of the tables of components.",
        "component_stability": f"Stability, share of the runs and replication of every component of {ranks}. {marked} "
        "The numbers are in the tables of components.",
    }
    return {
        name: picture(figures_dir, name, alt, by_rank=name in _BY_RANK)
        for name, alt in alts.items()
    }


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
