"""One finished sweep → one MLflow run that shows the decision, its evidence and its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nmfcore.adapters.store import Json, SweepFolder, digest, file_digest
from nmfcore.adapters.tracking import views
from nmfcore.adapters.tracking.records import MAX_TAG, flattened, shortened

PROJECTION = 3

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
    source : str
        Name of the input file.
    params : dict
    metrics : list of (name, value, step)
        Criteria with the rank as step; finite values only.
    files : list of path
    start, end : int
        Milliseconds since 1970, from the result files.
    """

    name: str
    tags: dict[str, str]
    source: str
    params: dict[str, object]
    metrics: list[tuple[str, float, int]]
    files: list[Path]
    start: int
    end: int


def read_sweep(folder: SweepFolder) -> SweepRecord:
    """Everything that is published of a finished sweep, but its dataset."""
    decision = folder.recommendation
    rank = decision["recommended_rank"]
    files = [path for pattern in _ARTIFACTS for path in sorted(folder.root.glob(pattern))]
    digests = {path.relative_to(folder.root).as_posix(): file_digest(path) for path in files}
    end = _milliseconds(folder.root / "selection/recommendation.json")
    source = folder.matrix_info["source"]
    return SweepRecord(
        name=folder.name,
        tags={
            "sweep": folder.name,
            "recommended_rank": "none" if rank is None else str(rank),
            "decision": str(decision["decision"]),
            "confidence": str(decision["confidence"]),
            "input_sha256": str(decision["provenance"]["input_sha256"]),
            "source_sha256": str(source["sha256"]),
            "key": digest({"sweep": folder.name, "projection": PROJECTION, "files": digests}),
            "mlflow.source.name": f"results/{folder.name}",
        },
        source=Path(str(source["path"])).name,
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


def note(folder: SweepFolder, sweeps_experiment: str, run: str, fits_experiment: str) -> str:
    """Note of a sweep's run, in Markdown: the decision, why, what else was close, and where to look."""
    links = {
        "The report": views.run_path(sweeps_experiment, run, "artifacts/report.html"),
        "Every criterion as a curve, the step being the rank": views.run_path(
            sweeps_experiment, run, "model-metrics"
        ),
        "Every fit, grouped by rank": views.fits_of_sweep_path(fits_experiment, folder.name),
        "All sweeps of the same file": views.comparison_path(
            sweeps_experiment, str(folder.matrix_info["source"]["sha256"])
        ),
    }
    return shortened(description(folder.recommendation, links), MAX_TAG)


def description(decision: Json, links: Mapping[str, str]) -> str:
    """Markdown that tells the decision, where to look, why, and what else was close."""
    # Underlined rather than marked with #: a table of sweeps shows the bare beginning.
    parts = [f"{decision['headline']}\n---"]
    parts.append(f"Decision: **{decision['decision']}** · confidence: **{decision['confidence']}**")
    parts.append(" · ".join(f"[{title}]({path})" for title, path in links.items()))
    parts.append(_bullets(decision["reasons"]))
    if decision["runners_up"]:
        rows = [
            f"| {other['rank']} | {_cell(other['reason'])} |" for other in decision["runners_up"]
        ]
        parts.append("\n".join(["### Runners-up", "", "| rank | reason |", "|---|---|", *rows]))
    if decision["warnings"]:
        parts.append("### Warnings\n\n" + _bullets(decision["warnings"]))
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
