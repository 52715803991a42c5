"""A solution into an AnnData file, after the specification of its format on disk (0.8 and later).

Written by h5py: AnnData itself forbids the pandas that the rest of this project uses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nmfcore.adapters.readers import h5ad, hdf5
from nmfcore.adapters.readers.packages import load
from nmfcore.adapters.solution_tables import SolutionTables
from nmfcore.errors import InputError

KEY = "nmf"
"""Name of the solution in `varm`, `obsm` and `uns`, and how its columns of `obs` begin."""


def add_to_h5ad(
    path: Path,
    tables: SolutionTables,
    var_names: str | None = None,
    obs_names: str | None = None,
) -> None:
    """Put a solution into a file (samples × features): W in `varm`, H in `obsm`, the rest in `obs` and `uns`.

    Parameters
    ----------
    path : pathlib.Path
        Changed in place.
    tables : SolutionTables
    var_names, obs_names : str, optional
        Columns that hold the ids of features and samples; without them, the index.

    Raises
    ------
    InputError
        If the file was written by AnnData before 0.7.
    """
    h5py = load("h5py", "h5py", "hdf5", path.name)
    with h5py.File(path, "r+") as file:
        if not all(isinstance(file.get(table), h5py.Group) for table in ("obs", "var")):
            raise InputError(
                f"{path.name.strip('.').removesuffix('.tmp')} was written by AnnData before 0.7, to which nothing is "
                "added. Read and write it once by AnnData, or choose tsv or parquet."
            )
        features = h5ad.axis_names(file, "var", var_names)
        samples = h5ad.axis_names(file, "obs", obs_names)
        _put(_mapping(file, "varm"), KEY, tables.W.reindex(features).fillna(0.0))
        _put(_mapping(file, "obsm"), KEY, tables.H.reindex(samples).fillna(0.0))
        lines = tables.samples.reindex(samples)
        for name, column in lines.items():
            _put(file["obs"], f"{KEY}_{name}", column)
        added = [f"{KEY}_{name}" for name in lines.columns]
        order = [hdf5.text(name) for name in file["obs"].attrs.get("column-order", ())]
        file["obs"].attrs["column-order"] = np.array(
            [*(name for name in order if name not in added), *added], h5py.string_dtype()
        )
        of_components = _mapping(_mapping(file, "uns"), KEY)
        for name, column in tables.components.reset_index().items():
            _put(of_components, str(name), column)


def _mapping(parent: Any, name: str) -> Any:
    """Return a group of that name, made where there is none."""
    group = parent.require_group(name)
    group.attrs.setdefault("encoding-type", "dict")
    group.attrs.setdefault("encoding-version", "0.1.0")
    return group


def _put(group: Any, name: str, values: pd.Series | pd.DataFrame) -> None:
    """Write an array of numbers or of text in place of what has that name."""
    array = values.to_numpy()
    kind = "array"
    if array.dtype.kind not in "iufb":
        kind = "string-array"
        array = np.array(["" if pd.isna(item) else str(item) for item in array], object)
    if name in group:
        del group[name]
    node = group.create_dataset(name, data=array)
    node.attrs["encoding-type"], node.attrs["encoding-version"] = kind, "0.2.0"
