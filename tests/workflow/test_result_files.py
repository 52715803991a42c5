"""A finished sweep holds the files of docs/architecture.md, complete, readable and without pickles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from nmfcore.adapters import store
from nmfcore.adapters.store import figure_names
from nmfcore.criteria import Criteria

RANKS = (1, 2, 3, 4)
SOLUTION = ("W.tsv", "H.tsv", "solution.npz", "solution.json")
PROVENANCE = {"input_sha256", "settings_sha256", "settings", "code", "environment"}
# Keys below these are data, not format.
FREE = {
    "provenance",
    "columns",
    "parameters",
    "classic_rules",
    "packages",
    "settings",
    "environments",
    "files",
}


def described(start: str) -> set[str]:
    """Words set as code in the paragraph of docs/architecture.md that begins with `start`."""
    text = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    (paragraph,) = (part for part in re.split(r"\n\s*\n", text) if part.startswith(start))
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", paragraph))))


def keys(value: Any) -> Iterator[str]:
    """All keys of a document, at any depth."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            if key not in FREE:
                yield from keys(part)
    elif isinstance(value, list):
        for part in value:
            yield from keys(part)


def test_the_files_are_those_that_are_documented(finished_sweep: Path) -> None:
    expected = {"report.html", "provenance.json", "figures/captions/report.rst"}
    expected |= {f"prepared/{name}" for name in ("matrix.npz", "matrix.json", "annotations.json")}
    expected |= {f"selection/{name}" for name in ("criteria.tsv", "recommendation.json")}
    expected |= {f"solution/{name}" for name in SOLUTION}
    expected |= {"tracking/fits.json", "tracking/sweep.json"}
    for name in figure_names(RANKS):
        expected |= {f"figures/{name}.svg", f"figures/{name}.png", f"figures/captions/{name}.rst"}
    for rank in RANKS:
        expected |= {f"runs/rank-{rank}/seeds-0-5.{suffix}" for suffix in ("npz", "tsv")}
        expected |= {
            f"ranks/rank-{rank}/{name}"
            for name in ("consensus.npz", "summary.json", "cross_validation.json")
        }
        expected |= {f"ranks/rank-{rank}/solution/{name}" for name in SOLUTION}
    found = {p.relative_to(finished_sweep).as_posix() for p in finished_sweep.rglob("*")}
    folders = {name for name in found if (finished_sweep / name).is_dir()}
    assert {name for name in found - folders if not name.startswith("logs/")} == expected


def test_every_npz_is_sealed_without_pickles_and_says_where_it_comes_from(
    finished_sweep: Path,
) -> None:
    files = sorted(finished_sweep.rglob("*.npz"))
    assert len(files) == 2 + 3 * len(RANKS)
    matrix = store.read_json(finished_sweep / "prepared/matrix.json")["sha256"]
    for file in files:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        assert not any(array.dtype.hasobject for array in arrays.values()), file
        assert arrays.keys() == store.read_npz(file).keys()
        provenance = store.provenance_of(arrays)
        assert provenance.keys() >= PROVENANCE, file
        assert provenance["input_sha256"] == matrix
        assert provenance["settings_sha256"] == store.digest(provenance["settings"])


def test_every_json_is_sealed_and_says_where_it_comes_from(finished_sweep: Path) -> None:
    for file in sorted(finished_sweep.rglob("*.json")):
        document = store.read_json(file)
        if file.parent.name != "tracking" and file.name != "provenance.json":
            assert document["provenance"].keys() == PROVENANCE, file
        # Strict JSON: no reader may meet NaN.
        json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("file", "start"),
    [
        ("prepared/matrix.json", "`prepared/matrix.json`"),
        ("prepared/annotations.json", "`prepared/annotations.json`"),
        ("ranks/rank-2/cross_validation.json", "`ranks/rank-<k>/cross_validation.json`"),
        ("ranks/rank-2/summary.json", "`ranks/rank-<k>/summary.json`"),
        ("selection/recommendation.json", "`selection/recommendation.json`"),
        ("solution/solution.json", "`solution/solution.json`"),
        ("ranks/rank-2/solution/solution.json", "`solution/solution.json`"),
        ("tracking/sweep.json", "`figures/captions"),
        ("provenance.json", "`provenance.json`"),
    ],
)
def test_every_key_is_documented(finished_sweep: Path, file: str, start: str) -> None:
    found = set(keys(store.read_json(finished_sweep / file))) - {"provenance"}
    assert found - described(start) == set()


@pytest.mark.parametrize(
    ("file", "start"),
    [
        ("prepared/matrix.npz", "`prepared/matrix.npz`"),
        ("runs/rank-2/seeds-0-5.npz", "`runs/rank-<k>"),
        ("ranks/rank-2/consensus.npz", "`ranks/rank-<k>/consensus.npz`"),
        ("solution/solution.npz", "`solution/solution.npz`"),
    ],
)
def test_every_array_is_documented(finished_sweep: Path, file: str, start: str) -> None:
    found = set(store.read_npz(finished_sweep / file)) - {"provenance"}
    assert found - described(start) == set()


def test_shapes_are_those_that_are_documented(finished_sweep: Path) -> None:
    runs = store.read_npz(finished_sweep / "runs/rank-3/seeds-0-5.npz")
    assert runs["W"].shape == (6, 40, 3)
    assert runs["H"].shape == (6, 3, 24)
    assert runs["seeds"].tolist() == list(range(6))
    assert runs["status"].dtype.kind == "U"
    assert runs["trace"].shape == (6, runs["n_iter"].max())
    for trace, n_iter in zip(runs["trace"], runs["n_iter"], strict=True):
        assert np.isfinite(trace[:n_iter]).all()
        assert np.isnan(trace[n_iter:]).all()
    consensus = store.read_npz(finished_sweep / "ranks/rank-3/consensus.npz")
    assert consensus["consensus"].shape == (24, 24)
    assert consensus["run_labels"].shape == (6, 24)
    assert sorted(consensus["order"]) == list(range(24))
    assert consensus["linkage"].shape == (23, 4)


def test_tables_have_the_documented_columns(finished_sweep: Path) -> None:
    runs = (finished_sweep / "runs/rank-1/seeds-0-5.tsv").read_text().splitlines()
    assert runs[0].split("\t") == list(store.RUN_COLUMNS)
    assert set(store.RUN_COLUMNS) <= described("`runs/rank-<k>")
    assert [line.split("\t")[:2] for line in runs[1:]] == [["1", str(seed)] for seed in range(6)]

    criteria = (finished_sweep / "selection/criteria.tsv").read_text().splitlines()
    summary = store.read_json(finished_sweep / "ranks/rank-1/summary.json")
    assert criteria[0].split("\t") == list(Criteria.from_document(summary).as_row())
    assert [line.split("\t")[0] for line in criteria[1:]] == [str(rank) for rank in RANKS]

    W = pd.read_csv(finished_sweep / "solution/W.tsv", sep="\t", index_col=0)
    H = pd.read_csv(finished_sweep / "solution/H.tsv", sep="\t", index_col=0)
    assert W.index.tolist() == [f"gene_{i}" for i in range(40)]
    assert H.columns.tolist() == [f"sample_{j}" for j in range(24)]
    assert W.columns.tolist() == H.index.tolist() == [f"component_{j}" for j in (1, 2, 3)]


def test_what_is_undefined_is_empty_in_tables_and_null_in_json(finished_sweep: Path) -> None:
    summary = store.read_json(finished_sweep / "ranks/rank-1/summary.json")
    head, line = (
        row.split("\t")
        for row in (finished_sweep / "selection/criteria.tsv").read_text().splitlines()[:2]
    )
    cells = dict(zip(head, line, strict=True))
    assert summary["cophenetic_correlation"] is None
    for name, cell in cells.items():
        assert cell == ("" if summary[name] is None else repr(summary[name])), name
    for file in finished_sweep.rglob("*.tsv"):
        if "logs" not in file.parts:
            assert not re.search(r"(?i)\b(nan|none|inf|null)\b", file.read_text()), file


def test_the_answer_is_the_planted_one_and_its_files_agree(finished_sweep: Path) -> None:
    folder = store.SweepFolder(finished_sweep)
    assert folder.recommendation["recommended_rank"] == 3
    solution = folder.solution
    V = folder.matrix.values
    error = np.linalg.norm(V - folder.W.to_numpy() @ folder.H.to_numpy()) / np.linalg.norm(V)
    assert solution["relative_error"] == pytest.approx(error)
    assigned = pd.Series({line["sample"]: line["component"] for line in solution["assignments"]})
    group = pd.Series(folder.annotations["group"], index=folder.matrix.sample_ids)
    assert len(set(zip(assigned, group[assigned.index], strict=True))) == 3
