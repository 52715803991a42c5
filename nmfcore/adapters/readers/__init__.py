"""Files to a `LabelledMatrix`: every defect is named with its place and a remedy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.readers.annotations import read_annotations
from nmfcore.adapters.readers.files import files_of, find
from nmfcore.adapters.readers.formats import FORMATS, recognised, settings_of
from nmfcore.adapters.readers.ids import read_ids
from nmfcore.adapters.readers.streamed import loaded
from nmfcore.adapters.readers.validation import validate
from nmfcore.adapters.readers.wording import few
from nmfcore.errors import ConfigError, InputError

__all__ = [
    "FORMATS",
    "describe",
    "files_of",
    "format_of",
    "read_annotations",
    "read_matrix",
    "validate",
]

ORIENTATIONS = ("features_by_samples", "samples_by_features")

# Names are made for each row and column, so an absurd size in a damaged header must stop before.
LARGEST_AXIS = 10**8


def read_matrix(
    path: str | os.PathLike[str],
    *,
    format_name: str | None = None,
    orientation: str = "features_by_samples",
    missing: str = "error",
    absent: str | None = None,
    negative_tolerance: float = 0.0,
    feature_ids: str | os.PathLike[str] | None = None,
    sample_ids: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    min_samples: int = 2,
    stream: bool = False,
) -> LabelledMatrix:
    """Read a matrix from a file or folder and check it.

    Parameters
    ----------
    path : str or path-like
        A file, or a folder of images, of texts, or of 10x.
    format_name : str, optional
        One of `FORMATS`; without it, the ending of the file or what the folder holds decides.
    orientation : {'features_by_samples', 'samples_by_features'}
        What the rows of the file are, for formats that do not say it themselves.
    missing : {'error', 'mask'}
        Whether a blank, NA or NaN is an error or a missing value.
    absent : {'zero', 'missing'}, optional
        What a cell is that a sparse file does not list; without it, missing for ratings and zero for all others.
    negative_tolerance : float
        Values in [-negative_tolerance, 0) are read as 0, with a notice.
    feature_ids, sample_ids : str or path-like, optional
        Files with one id a line, for matrices without ids. Without both, ids are feature_1, ….
    settings : mapping of str to mapping, optional
        For each format the keywords of its reader, such as ``{"h5ad": {"layer": "counts"}}``.
    min_samples : int
        2 for a matrix to factorise, 1 for new samples of components that are known.
    stream : bool
        Whether a large matrix may stay in its file, to be read block by block (`nmfcore.block_matrix`).

    Returns
    -------
    LabelledMatrix
        Features × samples, whatever the orientation of the file.

    Raises
    ------
    InputError
        If the file cannot be read or the matrix cannot be factorised.
    ConfigError
        If a setting makes no sense.
    """
    if orientation not in ORIENTATIONS:
        raise ConfigError(
            f"orientation is {orientation!r}; choose one of {', '.join(ORIENTATIONS)}."
        )
    found = find(path, folders=True)
    entry = recognised(found, format_name)
    parsed = entry.read(found, **settings_of(entry, settings or {}, found.name))
    values = parsed.values if stream else loaded(parsed.values)
    ids = (parsed.row_ids, parsed.column_ids)
    if orientation == "samples_by_features" and not parsed.is_oriented:
        values, ids = values.T, ids[::-1]
    if max(values.shape) > LARGEST_AXIS:
        raise InputError(
            f"{found.name} says it has {values.shape[0]:,} features × {values.shape[1]:,} samples, "
            f"more than {LARGEST_AXIS:,} along one axis. Check its header or write it again."
        )
    own_features, own_samples = parsed.feature_ids or ids[0], parsed.sample_ids or ids[1]
    features, feature_notices = _ids("feature", own_features, feature_ids, values.shape, found.name)
    samples, sample_notices = _ids("sample", own_samples, sample_ids, values.shape, found.name)
    return validate(
        values,
        features,
        samples,
        source=found.name,
        missing=missing,
        absent=absent or parsed.absent,
        negative_tolerance=negative_tolerance,
        notices=(*parsed.notices, *feature_notices, *sample_notices),
        remedy=parsed.remedy,
        min_samples=min_samples,
    )


def format_of(path: str | os.PathLike[str], format_name: str | None = None) -> str:
    """Return the name of the format that `read_matrix` reads a path as.

    Raises
    ------
    InputError, ConfigError
        As there.
    """
    return recognised(find(path, folders=True), format_name).name


def describe(matrix: LabelledMatrix) -> str:
    """Return one line for the log that shows which axis is which.

    Parameters
    ----------
    matrix : LabelledMatrix

    Returns
    -------
    str
        Such as '5000 features (M12759_at, U46006_s_at, …) × 38 samples (ALL_1, ALL_2, …)'.
    """
    n_features, n_samples = matrix.shape
    return (
        f"{n_features} features ({few(matrix.feature_ids, 2)}) × "
        f"{n_samples} samples ({few(matrix.sample_ids, 2)})"
    )


def _ids(
    axis: str,
    own: list[str] | None,
    path: str | os.PathLike[str] | None,
    shape: tuple[int, int],
    source: str,
) -> tuple[list[str], tuple[str, ...]]:
    """Return the ids of an axis: its own, those of a file, or made-up ones."""
    if path is not None and own is not None:
        raise InputError(
            f"{source} names its {axis}s itself ({few(own)}), yet {axis}_ids gives the file "
            f"{path}. Leave out {axis}_ids."
        )
    if path is not None:
        return read_ids(find(path), axis, shape)
    if own is not None:
        return own, ()
    n = shape[axis == "sample"]
    notice = f"{source} does not name its {axis}s; they are called {axis}_1 … {axis}_{n}."
    return [f"{axis}_{i}" for i in range(1, n + 1)], (notice,)
