"""Delimited text (.csv, .tsv, .txt) to a block with ids."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nmfcore.adapters.readers import cells
from nmfcore.adapters.readers.files import Text, read_text
from nmfcore.adapters.readers.parsed import Parsed
from nmfcore.adapters.readers.wording import counted, few, quoted
from nmfcore.errors import InputError

DELIMITERS = {"\t": "tab", ";": "semicolon", ",": "comma", " ": "space"}
N_SNIFFED_LINES, N_SNIFFED_CELLS = 20, 50

# Once delimiter and quotes are understood, cells are separated by this, whatever the file has.
SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Grid:
    """Lines whose cells are separated by ``SEPARATOR``, all but the first of one width.

    Attributes
    ----------
    text : Text
    delimiter : str
        Its name, for messages.
    width : int
        Cells in each line below the first.
    first : list of str
        The cells of the first line: as many, or one fewer (no cell above the row ids).
    """

    text: Text
    delimiter: str
    width: int
    first: list[str]


def read(path: Path) -> Parsed:
    """Read a table with or without ids.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    Parsed

    Raises
    ------
    InputError
        If the table is not rectangular, or a cell is neither a number nor missing.
    """
    return parse(read_text(path))


def parse(text: Text) -> Parsed:
    """Parse the lines of a table. See `read`."""
    if text.lines[0].startswith("%%MatrixMarket"):
        raise InputError(f"{text.name} is a Matrix Market file. Rename it so that it ends in .mtx.")
    grid = read_grid(text, guess_delimiter(text))
    lines = grid.text.lines
    if _is_purely_numeric(grid):
        return Parsed(
            _numbers(grid, lines, row_ids=None, column_ids=None),
            notices=(*text.notices, _notice_no_ids(grid)),
        )
    parts = [line.partition(SEPARATOR) for line in lines[1:]]
    if not parts:
        raise InputError(
            f"{text.name} holds a header line and nothing below it: there is nothing to factorise. "
            "Check how the file was written."
        )
    row_ids = [name.strip() for name, _, _ in parts]
    column_ids = [name.strip() for name in grid.first[-(grid.width - 1) :]]
    _refuse_blank_ids(grid, row_ids, column_ids)
    notices = (
        *text.notices,
        *_numeric_ids(column_ids, f"the column ids of {text.name} (line {text.numbers[0]})"),
        *_numeric_ids(row_ids, f"the row ids of {text.name} (its first column)"),
    )
    _refuse_trailing_delimiter(grid)
    values = _numbers(grid, [rest for _, _, rest in parts], row_ids, column_ids)
    return Parsed(values, row_ids, column_ids, notices=notices)


def guess_delimiter(text: Text) -> str:
    """Guess what separates the cells from how evenly it cuts lines and how many numbers it gives.

    Parameters
    ----------
    text : Text

    Returns
    -------
    str

    Raises
    ------
    InputError
        If nothing that is tried gives more than one column.
    """
    lines = text.lines[:N_SNIFFED_LINES]
    scores = {delimiter: _score(lines, delimiter) for delimiter in DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    if scores[best] > (0, 0):
        return best
    by_suffix = "comma" if ".csv" in text.name.lower() else "tab"
    raise InputError(
        f"{text.name} has a single column (delimiter guessed from the name: {by_suffix}; "
        f"{', '.join(DELIMITERS.values())} were tried). Line {text.numbers[0]} is "
        f"{quoted(text.lines[0])}. Write the table with tabs or commas between the cells, "
        "ids in the first line and the first column."
    )


def read_grid(text: Text, delimiter: str) -> Grid:
    """Cut lines into cells and check that they form a rectangle.

    Parameters
    ----------
    text : Text
    delimiter : str

    Returns
    -------
    Grid

    Raises
    ------
    InputError
        If a quote is not closed or lines differ in the number of cells.
    """
    lines = []
    for index, line in enumerate(text.lines):
        try:
            lines.append(_separated(line, delimiter))
        except csv.Error as error:
            raise InputError(
                f"{text.at(index)}: the quotes in {quoted(line)} do not pair up ({error}). "
                'Write a quote inside a cell twice (""), and no line break inside quotes.'
            ) from None
    widths = [line.count(SEPARATOR) + 1 for line in lines]
    width = _common_width(text, widths, DELIMITERS[delimiter])
    cut = Text(text.name, lines, text.numbers, text.notices)
    return Grid(cut, DELIMITERS[delimiter], width, lines[0].split(SEPARATOR))


def _separated(line: str, delimiter: str) -> str:
    if '"' in line:
        parts = next(csv.reader([line], delimiter=delimiter, strict=True))
        return SEPARATOR.join(parts if delimiter != " " else filter(None, parts))
    if delimiter == " ":
        return SEPARATOR.join(filter(None, line.split(" ")))
    return line.replace(delimiter, SEPARATOR)


def _score(lines: Sequence[str], delimiter: str) -> tuple[float, float]:
    """Return (evenness × share of numbers, evenness); zeros if there is one column."""
    rows = []
    for line in lines:
        try:
            rows.append(_separated(line, delimiter).split(SEPARATOR))
        except csv.Error:
            continue
    body = rows[1:] or rows
    if not body:
        return 0.0, 0.0
    width, frequency = Counter(len(row) for row in body).most_common(1)[0]
    evenness = frequency / len(body)
    if width < 2:
        return 0.0, 0.0
    inner = [cell for row in body for cell in row[1 : 1 + N_SNIFFED_CELLS]]
    numeric = sum(_like_number(cell) or cells.has_comma_in_number(cell) for cell in inner)
    return evenness * numeric / max(len(inner), 1), evenness


def _like_number(cell: str) -> bool:
    return cells.is_number(cell) or cell.strip() in cells.MISSING


def _common_width(text: Text, widths: list[int], delimiter: str) -> int:
    """Return the width of the lines below the first, which may lack the cell above the row ids."""
    first, below = widths[0], widths[1:]
    if not below:
        return first
    counts = Counter(below)
    width = max((first, first + 1), key=lambda candidate: counts[candidate])
    common, frequency = counts.most_common(1)[0]
    guessed = f"(delimiter guessed: {delimiter})"
    if not counts[width] and frequency > 1:
        commas = delimiter == "comma" and common >= 2 * first - 1 and first > 1
        raise InputError(
            f"{text.at(0)}: {counted(first, 'cell')} where the lines below have {common} {guessed}."
            + (
                " If numbers have a decimal comma, write them with a point."
                if commas
                else " If the line is a title or a comment, delete it; else complete the header."
            )
        )
    ragged = [index for index, count in enumerate(below, 1) if count != width]
    if not ragged:
        return width
    expected = f"the header has {width}" if width == first else f"{width} are expected"
    others = (
        f" {counted(len(ragged), 'line')} like this: {few(text.numbers[i] for i in ragged)}."
        if len(ragged) > 1
        else ""
    )
    raise InputError(
        f"{text.at(ragged[0])}: {counted(widths[ragged[0]], 'cell')} where {expected} {guessed}."
        f"{others} Check for a missing value or a stray delimiter in that line."
    )


def _is_purely_numeric(grid: Grid) -> bool:
    """Return whether neither the first line nor the first column can be ids."""
    if len(grid.first) != grid.width or not grid.first[0].strip():
        return False
    return all(map(_like_number, grid.first)) and all(
        _like_number(line.partition(SEPARATOR)[0]) for line in grid.text.lines
    )


def _notice_no_ids(grid: Grid) -> str:
    counting = [[str(start + i) for i in range(grid.width)] for start in (0, 1)]
    doubt = (
        " Its first line counts 0, 1, 2, … or 1, 2, 3, …: if that numbers the columns, delete it."
        if grid.width > 2 and [cell.strip() for cell in grid.first] in counting
        else ""
    )
    return (
        f"{grid.text.name} holds only numbers, so its first line and first column are read as "
        f"values, not as ids.{doubt}"
    )


def _refuse_blank_ids(grid: Grid, row_ids: list[str], column_ids: list[str]) -> None:
    text = grid.text
    blank_columns = [i for i, name in enumerate(column_ids, 1) if not name]
    if blank_columns:
        raise InputError(
            f"{text.at(0)}: {counted(len(blank_columns), 'column')} without an id, of "
            f"{len(column_ids)} columns of values: number {few(blank_columns)} (delimiter guessed: "
            f"{grid.delimiter}). Name every column; if lines end in a stray delimiter, remove it."
        )
    blank_rows = [i for i, name in enumerate(row_ids) if not name]
    if blank_rows:
        numbers = few(text.numbers[i + 1] for i in blank_rows)
        raise InputError(
            f"{text.name}: {counted(len(blank_rows), 'row')} without an id in the first column, "
            f"on line {numbers}. Name every row, or delete empty rows."
        )


def _refuse_trailing_delimiter(grid: Grid) -> None:
    if all(line.endswith(SEPARATOR) for line in grid.text.lines[1:]):
        raise InputError(
            f"{grid.text.name}: every line from line {grid.text.numbers[1]} ends in a delimiter "
            f"(guessed: {grid.delimiter}), so the last column is empty. "
            "Remove the delimiter at the line ends, or the empty column."
        )


def _numeric_ids(ids: list[str], which: str) -> tuple[str, ...]:
    """Return a notice if all ids are numbers; refuse them if they can only be values."""
    if not all(map(cells.is_number, ids)):
        return ()
    whole = all(name.lstrip("+-").isdigit() for name in ids)
    if whole and len(set(ids)) == len(ids):
        return (f"All {which} are numbers ({few(ids)}); they are read as ids, not as values.",)
    what = "repeated" if whole else "decimal"
    raise InputError(
        f"{which[0].upper()}{which[1:]} are {what} numbers ({few(ids)}) and look like values. "
        "If they are values, add a line of column ids and a column of row ids; "
        "if they are ids, put a letter before each."
    )


def _numbers(
    grid: Grid, lines: list[str], row_ids: list[str] | None, column_ids: list[str] | None
) -> object:
    width = grid.width if row_ids is None else grid.width - 1
    numbers = cells.parse(lines, SEPARATOR, width)
    bad = numbers.not_numbers or numbers.inexact
    if bad is None:
        return numbers.values

    def place(row: int, column: int, content: str) -> str:
        line = grid.text.numbers[row + (row_ids is not None)]
        row_name = f"row {quoted(row_ids[row])}" if row_ids else f"row {row + 1}"
        column_name = (
            f"column {quoted(column_ids[column])}" if column_ids else f"column {column + 1}"
        )
        return f"line {line}, {row_name}, {column_name}: {quoted(content)}"

    first = "; ".join(place(*offender) for offender in bad.first)
    shown = f"{first}{'; …' if bad.count > len(bad.first) else ''}"
    if numbers.not_numbers is None:
        raise InputError(
            f"{grid.text.name}: {counted(bad.count, 'integer')} above 2^53 would lose digits as "
            f"a 64-bit float: {shown}. Check the column, or divide it by a power of ten."
        )
    raise InputError(
        f"{grid.text.name}: {counted(bad.count, 'cell')} "
        f"{'is not a number' if bad.count == 1 else 'are not numbers'}: {shown}. "
        + _remedy(bad, len(lines), column_ids, grid.delimiter)
    )


def _remedy(bad: cells.BadCells, n_rows: int, column_ids: list[str] | None, delimiter: str) -> str:
    if any(cells.has_comma_in_number(content) for _, _, content in bad.first):
        return (
            "A comma stands inside a number: as decimal comma or between thousands. Write numbers "
            "with a decimal point and nothing between thousands (1234.5), for example by "
            f'write.table(dec=".") in R. The delimiter guessed is {delimiter}.'
        )
    column, count = bad.per_column.most_common(1)[0]
    if n_rows > 1 and 2 * count > n_rows:
        name = quoted(column_ids[column]) if column_ids else str(column + 1)
        return (
            f"Most of column {name} is text: only the first column may hold names, "
            "so delete that column."
        )
    return "Write a number there; a missing value is left blank or written NA (missing: mask)."
