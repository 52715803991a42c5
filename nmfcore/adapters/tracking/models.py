"""The solution of a sweep as a registered model, under the sweep's name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nmfcore.adapters.model import pack_model
from nmfcore.adapters.store import SweepFolder, digest, file_digest
from nmfcore.adapters.tracking.patience import Patience

RECOMMENDED = "recommended"
CHOSEN = "chosen"

_PACKING = 1
_ARTIFACT = "model"


def upload(
    client: Any, run_id: str, root: Path, files: Iterable[Path], place: str, patience: Patience
) -> None:
    """Add files to the artifacts of a run, under a folder `place` as they lie under `root`."""
    for path in files:
        patience.check()
        below = (Path(place) / path.parent.relative_to(root)).as_posix()
        client.log_artifact(run_id, str(path), None if below == "." else below)
        patience.allow(1)


def publish_model(client: Any, folder: SweepFolder, run_id: str, patience: Patience) -> bool:
    """Register the solution of a sweep, and let the alias point to it.

    The alias is `recommended`, or `chosen` where the user named the rank. A solution that is registered already, by the
    digest of its file, makes no new version.

    Parameters
    ----------
    client : MlflowClient
    folder : SweepFolder
    run_id : str
        The sweep's run; the model is among its artifacts.
    patience : Patience

    Returns
    -------
    bool
        Whether a version was made.
    """
    npz = folder.root / "solution/solution.npz"
    decision = folder.recommendation
    rank = decision.get("chosen_rank")
    if rank is None or not npz.is_file() or folder.solution["rank"] is None:
        return False
    alias = RECOMMENDED if rank == decision["recommended_rank"] else CHOSEN
    key = digest({"solution": file_digest(npz), "packing": _PACKING})
    held = [v for v in _versions(client, folder.name) if v.tags.get("key") == key]
    version = held[0].version if held else _register(client, folder, run_id, key, patience)
    aliases = client.get_registered_model(folder.name).aliases
    if str(aliases.get(alias)) != str(version):
        client.set_registered_model_alias(folder.name, alias, version)
    return not held


def _versions(client: Any, name: str) -> list[Any]:
    return list(client.search_model_versions(f"name='{name}'"))


def _register(client: Any, folder: SweepFolder, run_id: str, key: str, patience: Patience) -> Any:
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory(prefix="nmfcore-") as scratch:
        packed = Path(scratch) / _ARTIFACT
        with patience.paused():
            pack_model(folder, packed)
        files = sorted(path for path in packed.rglob("*") if path.is_file())
        upload(client, run_id, packed, files, _ARTIFACT, patience)
    try:
        client.create_registered_model(
            folder.name,
            description=f"Components of the sweep {folder.name}: coefficients and reconstruction error of new samples.",
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {
        "key": key,
        "rank": str(folder.solution["rank"]),
        "input_sha256": str(folder.recommendation["provenance"]["input_sha256"]),
    }
    made = client.create_model_version(
        folder.name, f"runs:/{run_id}/{_ARTIFACT}", run_id, tags, await_creation_for=None
    )
    return made.version
