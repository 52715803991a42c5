"""One finished sweep → one MLflow run that shows the decision, its evidence and its figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nmfcore.adapters.store import Json, SweepFolder, digest, file_digest
from nmfcore.adapters.tracking import views
from nmfcore.adapters.tracking.records import MAX_TAG, flattened, shortened

PROJECTION = 1

_ARTIFACTS = (
    "report.html",
    "figures/*.svg",
    "figures/*.png",
    "selection/criteria.tsv",
    "selection/recommendation.json",
    "solution/*",
)


@dataclass(frozen=True)
class SweepRecord:
    """What is published of one sweep.

    Attributes
    ----------
    name : str
    tags : dict
    params : dict
    metrics : list of (name, value, step)
        Criteria with the rank as step; finite values only.
    files : list of path
    start, end : int
        Milliseconds since 1970, from the result files.
    """

    name: str
    tags: dict[str, str]
    params: dict[str, object]
    metrics: list[tuple[str, float, int]]
    files: list[Path]
    start: int
    end: int


def read_sweep(folder: SweepFolder, fits_experiment: str) -> SweepRecord:
    """Everything that is published of a finished sweep, but its dataset."""
    decision = folder.recommendation
    rank = decision["recommended_rank"]
    files = [path for pattern in _ARTIFACTS for path in sorted(folder.root.glob(pattern))]
    digests = {path.relative_to(folder.root).as_posix(): file_digest(path) for path in files}
    end = _milliseconds(folder.root / "selection/recommendation.json")
    note = description(folder.name, decision, fits_experiment)
    return SweepRecord(
        name=folder.name,
        tags={
            "sweep": folder.name,
            "recommended_rank": "none" if rank is None else str(rank),
            "decision": str(decision["decision"]),
            "confidence": str(decision["confidence"]),
            "input_sha256": str(decision["provenance"]["input_sha256"]),
            "key": digest({"sweep": folder.name, "projection": PROJECTION, "files": digests}),
            "mlflow.note.content": shortened(note, MAX_TAG),
            "mlflow.source.name": f"results/{folder.name}",
        },
        params=flattened(folder.settings),
        metrics=criteria_points(folder.criteria, rank),
        files=files,
        start=min(_milliseconds(folder.root / "prepared/matrix.npz"), end),
        end=end,
    )


def _milliseconds(path: Path) -> int:
    return int(path.stat().st_mtime * 1000)


def criteria_points(criteria: pd.DataFrame, rank: int | None) -> list[tuple[str, float, int]]:
    """Curve of every criterion over the ranks, and the recommended rank."""
    numbers = criteria.set_index("rank").apply(pd.to_numeric, errors="coerce")
    points = [
        (str(name), float(value), int(step))
        for name, curve in numbers.items()
        for step, value in curve.items()
    ]
    if rank is not None:
        points.append(("recommended_rank", float(rank), 0))
    return [point for point in points if np.isfinite(point[1])]


def description(sweep: str, decision: Json, fits_experiment: str) -> str:
    """Markdown that tells the decision, why, what else was close, and where to look."""
    # Underlined rather than marked with #: a table of sweeps shows the bare beginning.
    parts = [f"{decision['headline']}\n---"]
    parts.append(f"Decision: **{decision['decision']}** · confidence: **{decision['confidence']}**")
    parts.append(_bullets(decision["reasons"]))
    if decision["runners_up"]:
        rows = [
            f"| {other['rank']} | {_cell(other['reason'])} |" for other in decision["runners_up"]
        ]
        parts.append("\n".join(["### Runners-up", "", "| rank | reason |", "|---|---|", *rows]))
    if decision["warnings"]:
        parts.append("### Warnings\n\n" + _bullets(decision["warnings"]))
    parts.append(
        "### Where to look\n\n"
        "- **Model metrics**: every criterion as a curve, *Step is the rank*.\n"
        "- **Artifacts**: `report.html` opens in place; beside it figures and solution.\n"
        f"- **Every fit** of this sweep: [one run for each rank and seed]"
        f"({views.fits_of_sweep_path(fits_experiment, sweep)})."
    )
    return "\n\n".join(part for part in parts if part)


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def dataset_input(folder: SweepFolder) -> Any:
    """Input of the sweep as MLflow's dataset: digest and shape, without reading the matrix."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    info = folder.matrix_info
    source = info["source"]
    spec = [
        {
            "name": "features × samples",
            "type": "tensor",
            "tensor-spec": {"dtype": info["dtype"], "shape": info["shape"]},
        }
    ]
    n_features, n_samples = info["shape"]
    profile = {
        "n_features": n_features,
        "n_samples": n_samples,
        **{name: info[name] for name in ("storage", "density", "n_missing")},
    }
    dataset = Dataset(
        name=Path(str(source["path"])).name,
        digest=str(info["sha256"])[:12],
        source_type="local",
        source=json.dumps({"uri": str(source["path"]), "sha256": source["sha256"]}),
        schema=json.dumps({"mlflow_tensorspec": {"features": json.dumps(spec), "targets": None}}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "factorised")])
