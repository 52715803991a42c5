"""Cells of text to numbers, strictly: a cell is a number, missing, or an offender."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MISSING = frozenset(["", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NAN", "NULL", "null", "None"])

_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)", re.IGNORECASE | re.ASCII
)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_WITH_COMMA = re.compile(r"[+-]?\d+(?:[.,' ]\d{3})*,\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)
EXACT_INTEGERS = 2**53  # 2^53 + 1 is the first integer that float64 cannot hold
N_SHOWN = 3


@dataclass(frozen=True)
class BadCells:
    """Cells that cannot be used.

    Attributes
    ----------
    count : int
    first : list of (row, column, text)
        The first few.
    per_column : Counter
        How many there are in each column.
    """

    count: int
    first: list[tuple[int, int, str]]
    per_column: Counter[int]


@dataclass(frozen=True)
class Numbers:
    """The numbers of a block of text.

    Attributes
    ----------
    values : (n_lines, n_columns) ndarray of float64
        NaN where missing, and where a cell is not a number.
    not_numbers : BadCells, optional
        Cells with text.
    inexact : BadCells, optional
        Integers beyond 2⁵³ that float64 would change.
    """

    values: NDArray[np.float64]
    not_numbers: BadCells | None = None
    inexact: BadCells | None = None


def is_number(text: str) -> bool:
    """Return whether the whole cell is one number, in the notation that the parser accepts."""
    return _NUMBER.fullmatch(text.strip()) is not None


def has_comma_in_number(text: str) -> bool:
    """Return whether the cell is a number with a comma as decimal or thousands sign."""
    return _WITH_COMMA.fullmatch(text.strip()) is not None


def parse(lines: list[str], separator: str | None, n_columns: int) -> Numbers:
    """Return the numbers in lines that all have the same number of cells.

    Parameters
    ----------
    lines : list of str
    separator : str or None
        Between cells; None: any white space.
    n_columns : int

    Returns
    -------
    Numbers
    """
    values = _parse_fast(lines, separator, n_columns)
    not_numbers = None
    if values is None:
        values, not_numbers = _parse_carefully(lines, separator, n_columns)
    return Numbers(values, not_numbers, _inexact(values, lines, separator))


def _parse_fast(
    lines: list[str], separator: str | None, n_columns: int
) -> NDArray[np.float64] | None:
    # NumPy's reader skips blank lines, which in a single column are missing values.
    if n_columns < 2 or not lines:
        return None
    try:
        values = np.loadtxt(lines, np.float64, comments=None, delimiter=separator, ndmin=2)
    except ValueError:
        return None
    return values if values.shape == (len(lines), n_columns) else None


def _parse_carefully(
    lines: list[str], separator: str | None, n_columns: int
) -> tuple[NDArray[np.float64], BadCells | None]:
    values = np.full((len(lines), n_columns), np.nan)
    bad = _Collector()
    for row, line in enumerate(lines):
        cells = line.split(separator)
        try:
            values[row] = [float("nan" if cell in MISSING else cell) for cell in cells]
        except ValueError:
            pass
        else:
            # float() also takes underscores and the digits of other scripts.
            if line.isascii() and "_" not in line:
                continue
        for column, cell in enumerate(cells):
            text = cell.strip()
            if is_number(text):
                values[row, column] = float(text)
            elif text not in MISSING:
                bad.add(row, column, text)
    return values, bad.result()


def _inexact(
    values: NDArray[np.float64], lines: list[str], separator: str | None
) -> BadCells | None:
    lowest, highest = (f.reduce(values, axis=None, initial=0) for f in (np.fmin, np.fmax))
    if max(highest, -lowest) < EXACT_INTEGERS:
        return None
    large = np.isfinite(values) & (np.abs(values) >= EXACT_INTEGERS)
    bad = _Collector()
    for row, columns in _by_row(large):
        cells = lines[row].split(separator)
        for column in columns:
            text = cells[column].strip()
            if _INTEGER.fullmatch(text) and int(text) != int(values[row, column]):
                bad.add(row, column, text)
    return bad.result()


def _by_row(mask: NDArray[np.bool_]) -> Iterator[tuple[int, list[int]]]:
    for row in np.flatnonzero(mask.any(axis=1)).tolist():
        yield row, np.flatnonzero(mask[row]).tolist()


class _Collector:
    """Counts offenders and keeps the first few, however many there are."""

    def __init__(self) -> None:
        self.first: list[tuple[int, int, str]] = []
        self.per_column: Counter[int] = Counter()

    def add(self, row: int, column: int, text: str) -> None:
        self.per_column[column] += 1
        if len(self.first) < N_SHOWN:
            self.first.append((row, column, text))

    def result(self) -> BadCells | None:
        count = self.per_column.total()
        return BadCells(count, self.first, self.per_column) if count else None
