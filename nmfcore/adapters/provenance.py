"""`provenance.json`: which file has which content, and what made it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import nmfcore
from nmfcore.adapters import store
from nmfcore.adapters.code_digests import CODE
from nmfcore.adapters.environment import environment, versions
from nmfcore.adapters.store import Json, SweepFolder
from nmfcore.adapters.verification import Findings, check_contents
from nmfcore.errors import ResultError


def record_provenance(folder: SweepFolder, files: Iterable[str], json: str) -> None:
    """Record every result file of a sweep by its digest, with the input, settings, code and machine that made it.

    Parameters
    ----------
    folder : SweepFolder
        Of a finished sweep.
    files : iterable of path
        What the sweep consists of.
    json : path
        `provenance.json`.

    Raises
    ------
    ResultError
        If files do not fit each other; nothing is recorded that does not hold.
    """
    found = Findings()
    check_contents(folder.root, found)
    if found.defects:
        name, sentence = next(iter(found.defects.items()))
        raise ResultError(
            f"{folder.root / name}: {sentence}. Delete it and run the same command again: it is made anew."
        )
    environments: list[Json] = []
    entries = {}
    for file in sorted(files):
        origin = _origin(folder, Path(file))
        made_under = origin.pop("environment")
        if made_under not in environments:
            environments.append(made_under)
        entries[Path(file).relative_to(folder.root).as_posix()] = {
            "sha256": store.file_digest(file),
            "size": Path(file).stat().st_size,
            "input_sha256": origin["input_sha256"],
            "settings_sha256": origin["settings_sha256"],
            "code": origin["code"],
            "environment": environments.index(made_under),
        }
    store.write_json(
        json,
        {
            "name": folder.name,
            "version": nmfcore.__version__,
            "packages": versions(),
            "input": {
                **folder.matrix_info["source"],
                "matrix_sha256": folder.matrix_info["sha256"],
            },
            "settings": folder.settings,
            "environments": environments,
            "files": entries,
        },
    )


def _origin(folder: SweepFolder, file: Path) -> Json:
    """Provenance of a file: its own, or of the file of the same job that carries it."""
    place, *below = file.relative_to(folder.root).parts
    if place in ("figures", "report.html"):
        return {
            **folder.recommendation["provenance"],
            "code": CODE["caption" if below[:1] == ["captions"] else "report"],
            "environment": environment(),
        }
    if file.suffix == ".json":
        return dict(store.read_json(file)["provenance"])
    npz = file
    if file.suffix == ".tsv":
        beside = {"selection": "recommendation.json"}.get(place)
        if beside:
            return dict(store.read_json(file.with_name(beside))["provenance"])
        npz = file.with_suffix(".npz") if place == "runs" else file.with_name("solution.npz")
    if place == "runs":  # whose content was checked above; reading it again takes long
        return store.read_provenance(npz)
    return store.provenance_of(store.read_npz(npz))
