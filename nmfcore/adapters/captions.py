"""Captions of the figures for `snakemake --report`: what is shown, and what was decided."""

from __future__ import annotations

from pathlib import Path

from nmfcore.adapters import store

EVERY_CONSENSUS = "every_consensus"
"""Name of the caption of all consensus maps, where their ranks are not known beforehand."""

_SHOWS = {
    "report": "The whole answer on one page: decision, evidence, solution, and how it was made.",
    "reconstruction_curve": "Relative error of the fits and of hidden cells over the ranks.",
    "rank_survey": "Every criterion over the ranks.",
    "error_by_seed": "Relative error of every run, with the spread over the seeds.",
    "error_histories": "How far each run is above the best loss of its rank, over the iterations. Rough ones on a "
    "simpler matrix come first; their loss is an estimate.",
    "components": "The components of the stable solution, in features and in samples.",
    "component_tree": "Which components of a rank go on at the next, split, merge or appear.",
    "component_stability": "How reproducible each component is: over the runs, and over halves of the samples.",
}

# Filled in by Snakemake, for the map that it shows.
_ANY_RANK = "{{ snakemake.wildcards.rank }}"

_CATEGORIES = {
    "Ranks": ("rank_survey", "reconstruction_curve"),
    "Components": ("components", "component_tree", "component_stability"),
    "Runs": ("error_by_seed", "error_histories"),
}


def category(name: str) -> str:
    """Under which heading `snakemake --report` lists a figure.

    Parameters
    ----------
    name : str
        One of `figure_names`.
    """
    if name.startswith(store.CONSENSUS_FIGURE):
        return "Consensus"
    return next(title for title, names in _CATEGORIES.items() if name in names)


def labels(name: str) -> dict[str, str]:
    """What `snakemake --report` lists of a figure: what it shows, and of which rank."""
    if name.startswith(store.CONSENSUS_FIGURE):
        return {"figure": "consensus", "rank": name.removeprefix(store.CONSENSUS_FIGURE)}
    rank = "chosen" if name == "components" else "all"
    return {"figure": name.replace("_", " "), "rank": rank}


def write_captions(folder: store.SweepFolder, files: list[str]) -> None:
    """Write captions in reStructuredText.

    Parameters
    ----------
    folder : SweepFolder
    files : list of path
        To write; the name of each, without suffix, is what `caption` takes.
    """
    for file in files:
        store.write_bytes(file, caption(folder, Path(file).stem).encode())


def caption(folder: store.SweepFolder, name: str) -> str:
    """Return the caption of a figure, or of the report.

    Parameters
    ----------
    folder : SweepFolder
    name : str
        One of `figure_names`, 'report', or `EVERY_CONSENSUS`.
    """
    answer = folder.recommendation
    decision = f"**{answer['headline']}** Confidence: {answer['confidence']}."
    every = name == EVERY_CONSENSUS
    if every or name.startswith(store.CONSENSUS_FIGURE):
        rank = _ANY_RANK if every else name.removeprefix(store.CONSENSUS_FIGURE)
        shows = f"How often two samples share a cluster over the runs of rank {rank}."
        if rank == str(answer["recommended_rank"]):
            shows += " This is the recommended rank."
    else:
        shows = _SHOWS[name]
    reasons = answer["reasons"] if name == "report" else []
    return "\n\n".join([decision, shows, *reasons]) + "\n"
