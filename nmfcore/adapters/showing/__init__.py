"""What a solution means in its field: parts as images, topics as words, parts as sounds, and what supports it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from nmfcore.adapters.showing import groups, images, predictions, signatures, sounds, topics
from nmfcore.adapters.store import SweepFolder, write_bytes

__all__ = ["KINDS", "show"]

Show = Callable[[SweepFolder, Path, str | None], None]

KINDS: dict[str, Show] = {
    "groups": groups.show,
    "images": images.show,
    "predictions": predictions.show,
    "signatures": signatures.show,
    "sounds": sounds.show,
    "topics": topics.show,
}


def show(folder: SweepFolder, out: Path, kind: str, reference: str | None = None) -> None:
    """Write figures and tables of one kind for the chosen rank; without a solution, why there is none.

    Parameters
    ----------
    folder : SweepFolder
    out : pathlib.Path
        Folder that is written anew, complete or not at all.
    kind : str
        One of `KINDS`.
    reference : path, optional
        What is known of the truth; what it must be depends on the kind.

    Raises
    ------
    InputError
        If the data are not of that kind, or the reference does not fit.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        made = Path(temporary) / out.name
        made.mkdir()
        if folder.solution["rank"] is None:
            write_bytes(made / "README.txt", (folder.solution["reason"] + "\n").encode())
        else:
            KINDS[kind](folder, made, reference)
        shutil.rmtree(out, ignore_errors=True)
        made.replace(out)
