"""The components of every rank, in words: how reproducible, what of, and where they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nmfcore.adapters.report.numbers import percent
from nmfcore.adapters.solving import component_names
from nmfcore.adapters.store import Json, SweepFolder
from nmfcore.component_tree import Branch, Origin, component_tree

TOP_FEATURES = 10
_LEAST_SUPPORT = 0.8
_LEAST_REPLICATION = 0.5


@dataclass(frozen=True)
class Part:
    """A component of the solution of one rank.

    Attributes
    ----------
    known : dict
        Its entry in `solution.json`.
    n_samples : int
        How many samples belong to it most.
    comes_from : str
        What it is of the rank before, in words; empty at the smallest rank.
    caution : str
        Why to read it with care; empty if nothing speaks for that.
    """

    known: Json
    n_samples: int
    comes_from: str
    caution: str


@dataclass(frozen=True)
class RankPanel:
    """What the page shows of one rank.

    Attributes
    ----------
    solution : dict or None
        `ranks/rank-<k>/solution/solution.json`; None where no run converged.
    parts : list of Part
    """

    solution: Json | None
    parts: list[Part]


def rank_panels(folder: SweepFolder) -> dict[int, RankPanel]:
    """By rank: its solution and what there is to say of each component."""
    tree = component_tree({rank: arrays["W"] for rank, (_, arrays) in folder.solutions.items()})
    branches = {(branch.rank, branch.component): branch for branch in tree}
    ranks = list(folder.solutions)
    before = dict(zip(ranks[1:], ranks, strict=False))
    panels = {rank: RankPanel(None, []) for rank in folder.ranks}
    for rank, (document, _) in folder.solutions.items():
        sizes = Counter(line["component"] for line in document["assignments"])
        panels[rank] = RankPanel(
            document, list(_parts(rank, document["components"], sizes, branches, before.get(rank)))
        )
    return panels


def _parts(
    rank: int,
    components: Sequence[Json],
    sizes: Mapping[Any, int],
    branches: Mapping[tuple[int, int], Branch],
    before: int | None,
) -> list[Part]:
    return [
        Part(
            known,
            sizes[known["name"]],
            _origin(branches.get((rank, j)), before),
            _caution(known["run_support"], known["replication"]),
        )
        for j, known in enumerate(components)
    ]


def _origin(branch: Branch | None, before: int | None) -> str:
    if branch is None or before is None:
        return ""
    names = component_names(before)
    parents = " + ".join(names[parent] for parent in branch.parents)
    return {
        Origin.KEPT: f"{parents} of rank {before}",
        Origin.SPLIT: f"split off {parents} of rank {before}",
        Origin.MERGED: f"{parents} of rank {before}, merged",
        Origin.NEW: "new",
    }[branch.origin]


def _caution(run_support: float | None, replication: float | None) -> str:
    """Say what speaks against a component: few runs find it, or few halves of the samples show it."""
    if run_support is not None and run_support < _LEAST_SUPPORT:
        return f"Only {percent(run_support)} of the runs find it."
    if replication is not None and replication < _LEAST_REPLICATION:
        return (
            f"The runs agree on it, but only in {percent(replication)} of the splits do both halves of the samples "
            "show it: it may rest on a few samples, or on noise."
        )
    return ""
