"""What a sweep finds when it starts: files that nobody vouches for, and files from the future.

Snakemake remembers in `.snakemake` with which settings and code it made a file. Where that memory is lost, or the
results came from elsewhere, it would take a file for good because it exists. But every result file says itself what
made it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nmfcore.adapters import store
from nmfcore.adapters.code_digests import CODE
from nmfcore.adapters.settings import (
    fit_settings,
    matrix_settings,
    permutation_settings,
    sweep_settings,
    validation_settings,
)
from nmfcore.adapters.store import Json
from nmfcore.errors import ResultError

_CLOCK_TOLERANCE_S = 1.0


def outdated_files(root: str | Path, config: Mapping[str, Any]) -> list[Path]:
    """Result files that are damaged, or that another matrix, other settings or other code made.

    Parameters
    ----------
    root : path
        `results/<name>`; may not exist yet.
    config : mapping
        The complete configuration of the sweep that is about to run.
    """
    root = Path(root)
    input_sha256 = _sound_input(root, config)
    found = []
    for stage, pattern, settings in _expected(config):
        wanted = {"settings_sha256": store.digest(settings), "code": CODE[stage]}
        if stage != "prepare":
            wanted["input_sha256"] = input_sha256 or "none that is there"
        for path in sorted(root.glob(pattern)):
            made_by = _provenance(path)
            if stage == "prepare" and input_sha256 is None:
                made_by = None
            if made_by is None or any(made_by.get(key) != value for key, value in wanted.items()):
                found.append(path)
    return found + list(_outdated_pages(root))


def make_oldest(files: Iterable[Path]) -> None:
    """Make files older than anything they are made of, so that they are made anew."""
    for path in files:
        os.utime(path, (1, 1))


def forget_future(root: str | Path) -> list[Path]:
    """Give files that a wrong clock dated into the future the present time; return them."""
    now = time.time()
    future = [
        path
        for path in sorted(Path(root).rglob("*"))
        if path.is_file() and path.stat().st_mtime > now + _CLOCK_TOLERANCE_S
    ]
    for path in future:
        os.utime(path, (now, now))
    return future


def _expected(config: Mapping[str, Any]) -> Iterator[tuple[str, str, Json]]:
    """Stage, files and settings of what the configuration asks for."""
    evidence = config["validate"]
    runs = fit_settings(config)
    folds = validation_settings(config) if evidence["cross_validation"] else None
    permuted = permutation_settings(config) if evidence["permutation"] else None
    kind = "bi_cross_validation"
    blocks = validation_settings(config, kind) if evidence[kind] else None
    gathered = {"runs": runs, "seeds": config["seeds"]}
    summary = {"validate": folds, "permute": permuted, "validate_blocks": blocks, **gathered}
    whole = sweep_settings(config)
    yield "prepare", "prepared/matrix.*", matrix_settings(config)
    yield "annotate", "prepared/annotations.json", {"path": config["input"]["annotations"]}
    yield "factorize", "runs/rank-*/seeds-*.npz", runs
    for stage, name, settings in (
        ("validate", "cross_validation", folds),
        ("permute", "permutation", permuted),
        ("validate_blocks", kind, blocks),
    ):
        if settings is not None:
            yield stage, f"ranks/rank-*/{name}.json", settings
    yield "summarize", "ranks/rank-*/summary.json", summary
    yield "summarize", "ranks/rank-*/consensus.npz", summary
    if isinstance(config["seeds"], Mapping):
        yield "decide_seeds", "ranks/rank-*/seeds-*.json", gathered
    if isinstance(config["ranks"], Mapping):
        yield "decide_ranks", "selection/ranks-*.json", whole
    yield "solve_rank", "ranks/rank-*/solution/solution.*", gathered
    yield "select", "selection/recommendation.json", whole
    yield "solve", "solution/solution.*", whole


def _sound_input(root: Path, config: Mapping[str, Any]) -> str | None:
    """Digest of the prepared matrix, or None where it is damaged or the input is no longer what was read."""
    made_by = _provenance(root / "prepared/matrix.npz")
    source = Path(config["input"]["path"])
    try:
        read = store.read_json(root / "prepared/matrix.json")["source"]["sha256"]
    except ResultError:
        return None
    if made_by is None or (source.is_file() and store.file_digest(source) != read):
        return None
    return str(made_by["input_sha256"])


def _provenance(path: Path) -> Json | None:
    """What a file says of itself; None where it is missing or damaged."""
    try:
        if path.suffix == ".npz":
            return store.provenance_of(store.read_npz(path))
        provenance: Json = store.read_json(path)["provenance"]
    except ResultError:
        return None
    return provenance


def _outdated_pages(root: Path) -> Iterator[Path]:
    """The report and the captions carry no seal; the record says which code made them."""
    stages = {root / "report.html": "report"}
    stages |= dict.fromkeys(sorted(root.glob("figures/captions/*.rst")), "caption")
    try:
        recorded = store.read_json(root / "provenance.json")["files"]
    except (ResultError, KeyError):
        recorded = {}
    for page, stage in stages.items():
        if page.is_file():
            entry = recorded.get(page.relative_to(root).as_posix(), {})
            made_by = entry.get("code"), entry.get("sha256")
            if made_by != (CODE[stage], store.file_digest(page)):
                yield page
