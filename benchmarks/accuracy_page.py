"""docs/accuracy.md: what `rank_accuracy.py` and `solution_recovery.py` found, each in sections of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from measured import made_with, renew_sections

PAGE = Path(__file__).resolve().parents[1] / "docs/accuracy.md"
PLANTED_RANKS, REAL_DATA = "Planted ranks", "Real data"
COMPONENTS, WEAK, NOISE, HALVES = (
    "Planted components",
    "One weak component beside three strong ones",
    "Support on noise",
    "Two disjoint halves of the seeds",
)
_INTRODUCTION = """\
# Accuracy

How often the recommended rank is the planted one, and whether the solution is. Written by
`benchmarks/rank_accuracy.py --write` and `benchmarks/solution_recovery.py --write`; every section says when.
[Theory](theory.md) explains the rule and the figures of a solution."""


def renew(found: Mapping[str, str]) -> None:
    """Renew sections, by title; each ends with what made it."""
    titles = (PLANTED_RANKS, REAL_DATA, COMPONENTS, WEAK, NOISE, HALVES)
    signed = {title: f"{text}\n\n{made_with()}" for title, text in found.items()}
    renew_sections(PAGE, _INTRODUCTION, titles, signed)


def fenced(text: str) -> str:
    """What a program printed, as it stands."""
    return f"```\n{text.strip()}\n```"
