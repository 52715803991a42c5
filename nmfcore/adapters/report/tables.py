"""Tables of the page: criteria, runs, assignments, settings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import yaml

from nmfcore.adapters.report.criteria import CRITERIA, Criterion
from nmfcore.adapters.report.numbers import superscript
from nmfcore.adapters.store import SweepFolder
from nmfcore.runs import Status

_MOST_LEVELS = 12


def criteria_table(criteria: pd.DataFrame) -> list[tuple[Criterion, str, list[float]]]:
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
        unit = f"10{superscript(exponent)}" if exponent else ""
        lines.append((criterion, unit, (values / 10.0**exponent).tolist()))
    return lines


def run_counts(runs: pd.DataFrame) -> list[dict[str, Any]]:
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


def assignments(
    folder: SweepFolder, annotations: Mapping[str, Sequence[object]]
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


def cross_tables(
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


def flattened(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings as lines of dotted key and value."""
    lines: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            lines += flattened(value, f"{prefix}{key}.")
        else:
            text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
            lines.append((f"{prefix}{key}", text.removesuffix("...\n").strip()))
    return lines
