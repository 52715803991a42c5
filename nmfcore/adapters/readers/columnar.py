"""Parquet and Feather files to a block: one column a sample or a feature, names in the first or in pandas' index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nmfcore.adapters.readers.files import unreadable
from nmfcore.adapters.readers.packages import load
from nmfcore.adapters.readers.parsed import Parsed
from nmfcore.adapters.readers.wording import counted, few, quoted
from nmfcore.errors import InputError


def read_parquet(path: Path) -> Parsed:
    """Read a Parquet file. See `read_feather` for what it must hold."""
    return _parsed(path, "pyarrow.parquet")


def read_feather(path: Path) -> Parsed:
    """Read a Feather (Arrow IPC) file.

    Parameters
    ----------
    path : pathlib.Path
        Columns of numbers; names of the rows are pandas' index, or a first column of text.

    Returns
    -------
    Parsed
        NaN where the file has a null.

    Raises
    ------
    InputError
        If the file is damaged, or a column holds no numbers.
    """
    return _parsed(path, "pyarrow.feather")


def _parsed(path: Path, module: str) -> Parsed:
    reader = load(module, "pyarrow", "edges", path.name)
    arrow = load("pyarrow", "pyarrow", "edges", path.name)
    try:
        if not path.stat().st_size:
            raise InputError(
                f"{path.name} is empty: there is nothing to factorise. Write it again."
            )
        return _columns(reader.read_table(path, memory_map=False), arrow, path.name)
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(unreadable(path, error)) from None
    # Damaged bytes raise Arrow's errors, and others where pandas' notes or names are broken.
    except Exception as error:
        reason = str(error).split("\n")[0][:160]
        raise InputError(
            f"{path.name} is damaged or not what its name says ({reason}). Copy it again or write it again, for "
            "example by pandas: table.to_parquet(path) or table.to_feather(path)."
        ) from None


def _columns(table: Any, arrow: Any, name: str) -> Parsed:
    index = _index(table, name)
    text = (arrow.types.is_string, arrow.types.is_large_string, arrow.types.is_dictionary)
    if index is None and table.num_columns and any(is_a(table.schema[0].type) for is_a in text):
        index = table.column_names[0]
    row_ids = None
    if index is not None:
        row_ids = ["" if item is None else str(item) for item in table[index].to_pylist()]
        table = table.drop_columns([index])
    if not table.num_columns:
        raise InputError(
            f"{name} has no column of numbers: there is nothing to factorise. Write it again."
        )
    return Parsed(_numbers(table, arrow, name), row_ids, list(table.column_names))


def _index(table: Any, name: str) -> str | None:
    """Return the column that pandas wrote its index to."""
    stored = (table.schema.metadata or {}).get(b"pandas")
    columns = json.loads(stored).get("index_columns", []) if stored else []
    written = [column for column in columns if isinstance(column, str)]
    if len(written) > 1:
        raise InputError(
            f"{name} has an index of {len(written)} levels ({few(written)}). Join them to one name a row, or keep one."
        )
    return written[0] if written and written[0] in table.column_names else None


def _numbers(table: Any, arrow: Any, name: str) -> Any:
    types = arrow.types
    numeric = (
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_decimal,
        types.is_null,
    )
    wrong = [
        f"{quoted(field.name)} ({field.type})"
        for field in table.schema
        if not any(is_a(field.type) for is_a in numeric)
    ]
    if wrong:
        raise InputError(
            f"{name}: {counted(len(wrong), 'column')} hold no numbers: {few(wrong)}. Only the first column, or the "
            "index, may hold names: leave those columns out."
        )
    singles = all(types.is_float32(field.type) for field in table.schema)
    block = np.empty((table.num_rows, table.num_columns), np.float32 if singles else np.float64)
    for j, field in enumerate(table.schema):
        column = table[field.name]
        try:
            block[:, j] = column.cast(arrow.float32() if singles else arrow.float64()).to_numpy()
        except arrow.ArrowInvalid as error:
            raise InputError(
                f"{name}, column {quoted(field.name)}: {str(error)[:120]}. Integers above 2^53 lose digits as 64-bit "
                "floats: check the values, or divide them by a power of ten."
            ) from None
    return block
