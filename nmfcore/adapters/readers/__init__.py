"""Files to a `LabelledMatrix`: every defect is named with its place and a remedy."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.readers import arrays, matrix_market, tables
from nmfcore.adapters.readers.annotations import read_annotations
from nmfcore.adapters.readers.files import find
from nmfcore.adapters.readers.ids import read_ids
from nmfcore.adapters.readers.parsed import Parsed
from nmfcore.adapters.readers.validation import validate
from nmfcore.adapters.readers.wording import few
from nmfcore.errors import ConfigError, InputError

__all__ = ["describe", "read_annotations", "read_matrix", "validate"]

ORIENTATIONS = ("features_by_samples", "samples_by_features")

TABLES = {
    suffix + packed: tables.read for suffix in (".csv", ".tsv", ".txt") for packed in ("", ".gz")
}
SUFFIXES: dict[str, Callable[[Path], Parsed]] = {
    **TABLES,
    ".mtx": matrix_market.read,
    ".mtx.gz": matrix_market.read,
    ".npy": arrays.read,
    ".npz": arrays.read,
}

# Names are made for each row and column, so an absurd size in a damaged header must stop before.
LARGEST_AXIS = 10**8


def read_matrix(
    path: str | os.PathLike[str],
    *,
    orientation: str = "features_by_samples",
    missing: str = "error",
    negative_tolerance: float = 0.0,
    feature_ids: str | os.PathLike[str] | None = None,
    sample_ids: str | os.PathLike[str] | None = None,
    min_samples: int = 2,
) -> LabelledMatrix:
    """Read a matrix from a file and check it.

    Parameters
    ----------
    path : str or path-like
        A table (.csv, .tsv, .txt), Matrix Market (.mtx), all also with .gz; or .npy, .npz.
    orientation : {'features_by_samples', 'samples_by_features'}
        What the rows of the file are.
    missing : {'error', 'mask'}
        Whether a blank, NA or NaN is an error or a missing value.
    negative_tolerance : float
        Values in [-negative_tolerance, 0) are read as 0, with a notice.
    feature_ids, sample_ids : str or path-like, optional
        Files with one id a line, for matrices without ids. Without both, ids are feature_1, ….
    min_samples : int
        2 for a matrix to factorise, 1 for new samples of components that are known.

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
    found = find(path)
    parsed = _reader(found)(found)
    values, ids = parsed.values, (parsed.row_ids, parsed.column_ids)
    if orientation == "samples_by_features":
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
        negative_tolerance=negative_tolerance,
        notices=(*parsed.notices, *feature_notices, *sample_notices),
        min_samples=min_samples,
    )


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


def _reader(path: Path) -> Callable[[Path], Parsed]:
    name = path.name.lower()
    for suffix, reader in SUFFIXES.items():
        if name.endswith(suffix):
            return reader
    raise InputError(
        f"{path.name}: a file with this ending is not read. Read are {', '.join(SUFFIXES)}. "
        "Save the matrix as one of these (from Excel: CSV), or rename the file if it is one."
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
