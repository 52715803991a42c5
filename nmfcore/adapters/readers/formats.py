"""Which reader reads what: formats by name, by the ending of a file, by what a folder holds."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmfcore.adapters.readers import (
    arrays,
    columnar,
    h5ad,
    images,
    matrix_market,
    mutations,
    ratings,
    sound,
    tables,
    tenx,
    text,
)
from nmfcore.adapters.readers.files import files_of
from nmfcore.adapters.readers.parsed import Parsed
from nmfcore.adapters.readers.wording import few
from nmfcore.errors import ConfigError, InputError


@dataclass(frozen=True)
class Format:
    """A format and its reader.

    Attributes
    ----------
    name : str
        As in `input.format`.
    read : callable
        Takes the path, and as keywords the settings of the format; all have defaults.
    endings : tuple of str
        Files with these are read so if nothing else is said.
    folder : tuple of str
        Endings of the files of which a folder must hold one to be read so; () if no folder is.
    """

    name: str
    read: Callable[..., Parsed]
    endings: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()

    @property
    def defaults(self) -> dict[str, Any]:
        """Settings of the format."""
        parameters = inspect.signature(self.read).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


TABLES = tuple(ending + packed for ending in (".csv", ".tsv", ".txt") for packed in ("", ".gz"))
FORMATS = {
    entry.name: entry
    for entry in (
        Format("table", tables.read, TABLES),
        Format("matrix-market", matrix_market.read, (".mtx", ".mtx.gz")),
        Format("numpy", arrays.read, (".npy", ".npz")),
        Format("parquet", columnar.read_parquet, (".parquet",)),
        Format("feather", columnar.read_feather, (".feather", ".arrow")),
        Format("h5ad", h5ad.read, (".h5ad",)),
        Format("10x", tenx.read, (".h5",), tenx.MATRIX),
        Format("images", images.read, (), images.SUFFIXES),
        Format("text", text.read, (), (text.SUFFIX,)),
        Format("ratings", ratings.read),
        Format("sound", sound.read, (".wav",)),
        Format("mutations", mutations.read),
    )
}
ENDINGS = {ending: entry for entry in FORMATS.values() for ending in entry.endings}


def recognised(path: Path, name: str | None = None) -> Format:
    """Return the format of that name, or that which the path shows.

    Parameters
    ----------
    path : pathlib.Path
        Of a file or folder that exists.
    name : str, optional

    Raises
    ------
    ConfigError
        If there is no format of that name.
    InputError
        If nothing shows the format, or it is not one of a folder (or of a file).
    """
    if name is not None and name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"format is {name!r}; choose one of {', '.join(FORMATS)}.{hint}")
    if path.is_dir():
        return _of_folder(path, name)
    if name is not None:
        return FORMATS[name]
    lower = path.name.lower()
    for ending, entry in ENDINGS.items():
        if lower.endswith(ending):
            return entry
    raise InputError(
        f"{path.name}: a file with this ending is not read. Read are {', '.join(ENDINGS)}. Save the matrix as one of "
        "these (from Excel: CSV), rename the file if it is one, or say what it is by `input.format`."
    )


def _of_folder(path: Path, name: str | None) -> Format:
    files = files_of(path)
    if name is not None and not FORMATS[name].folder:
        raise InputError(
            f"{path} is a folder, which is not read as {name}. Give the path of the file in it"
            f"{': ' + few([file.name for file in files]) if files else ''}."
        )
    held = [file.name.lower() for file in files]
    found = [
        entry
        for entry in FORMATS.values()
        if entry.folder and any(file.endswith(entry.folder) for file in held)
    ]
    if name is not None:
        return FORMATS[name]
    if len(found) == 1:
        return found[0]
    kinds = [
        f"{entry.name} ({', '.join(entry.folder)})" for entry in FORMATS.values() if entry.folder
    ]
    if found:
        raise InputError(
            f"{path} is a folder of several kinds of files ({few(held, 5)}). Say which are meant: `input: {{format: "
            f"{found[0].name}}}` or {' or '.join(entry.name for entry in found[1:])}."
        )
    raise InputError(
        f"{path} is a folder with none of the files that are read from folders: {', '.join(kinds)}. Give the path of "
        f"the file in it{': ' + few([file.name for file in files]) if files else ''}."
    )


def settings_of(
    entry: Format, given: Mapping[str, Mapping[str, Any]], source: str
) -> dict[str, Any]:
    """Return the settings of a format, and refuse those of others, which would change nothing.

    Parameters
    ----------
    entry : Format
    given : mapping of str to mapping
        Settings by format.
    source : str
        Name of the file, for messages.

    Raises
    ------
    ConfigError
        If a setting is unknown, or of a format that the file does not have.
    """
    for name, settings in given.items():
        known = FORMATS[name].defaults if name in FORMATS else {}
        unknown = [key for key in settings if key not in known]
        if unknown:
            raise ConfigError(
                f"settings of {name}: unknown {few(map(repr, unknown))}; known are {few(known, 9) or 'none'}."
            )
        changed = [key for key, value in settings.items() if value != known[key]]
        if changed and name != entry.name:
            raise ConfigError(
                f"input.{name} ({few(changed)}) is set, but {source} is read as {entry.name}. Remove it, or set "
                f"`format: {name}`."
            )
    return dict(given.get(entry.name, {}))
