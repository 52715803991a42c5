"""What a format's reader hands on: a block of values as the file has it, before any judgement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Any array, dense or sparse, of any type: the validation decides what is acceptable.
Block = Any


@dataclass(frozen=True)
class Parsed:
    """Rows and columns of a file, not yet turned to features × samples.

    Attributes
    ----------
    values : (n_rows, n_columns) ndarray or sparse matrix
        NaN where the file has a blank, ``NA`` or ``NaN``. A sparse matrix that is to say which cells are observed
        lists each of them once, zeros too.
    row_ids, column_ids : list of str, optional
        Where the file names its rows or columns, whatever they are.
    feature_ids, sample_ids : list of str, optional
        Where the file says itself which ids are which.
    notices : tuple of str
        What the reader assumed or converted.
    is_oriented : bool
        Whether the format itself says that rows are features and columns are samples.
    absent : {'zero', 'missing'}
        What a cell is that a sparse matrix does not list, where nobody says otherwise.
    remedy : str
        What else the file offers, told where its values cannot be used.
    """

    values: Block
    row_ids: list[str] | None = None
    column_ids: list[str] | None = None
    feature_ids: list[str] | None = None
    sample_ids: list[str] | None = None
    notices: tuple[str, ...] = ()
    is_oriented: bool = False
    absent: str = "zero"
    remedy: str = ""
