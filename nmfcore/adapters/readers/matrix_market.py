"""Matrix Market (.mtx) to a block, strictly.

`scipy.io.mmread` reads ``1 1 1,5`` as 1.0, ``1.5`` in an integer file as 1 and ignores what
follows the third number; here these are errors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.adapters.readers import cells
from nmfcore.adapters.readers.files import Text, read_text
from nmfcore.adapters.readers.parsed import Block, Parsed
from nmfcore.adapters.readers.wording import counted, few, quoted
from nmfcore.errors import InputError

BANNER = "%%matrixmarket"
REWRITE = "Write the file again, for example by scipy.io.mmwrite."
FIELDS = ("real", "double", "integer", "unsigned-integer")
SYMMETRIES = ("general", "symmetric", "skew-symmetric")


def read(path: Path) -> Parsed:
    """Read a coordinate (sparse) or array (dense) matrix.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    Parsed

    Raises
    ------
    InputError
        If header, indices, values or their count are wrong.
    """
    text = read_text(path)
    layout, field, symmetry = _banner(text)
    start = next((i for i, line in enumerate(text.lines) if not line.startswith("%")), None)
    if start is None:
        raise InputError(
            f"{text.name} ends before its size line ('rows columns entries'). {REWRITE}"
        )
    sizes = _sizes(text, start, 3 if layout == "coordinate" else 2)
    body = Text(text.name, text.lines[start + 1 :], text.numbers[start + 1 :])
    if symmetry != "general" and sizes[0] != sizes[1]:
        raise InputError(
            f"{text.at(start)}: a {symmetry} matrix must be square, not {sizes[0]} × {sizes[1]}. "
            + REWRITE
        )
    read_body = _coordinate if layout == "coordinate" else _array
    values = read_body(body, sizes, field, symmetry)
    return Parsed(values, notices=(*text.notices, *_notice(text, symmetry)))


def _notice(text: Text, symmetry: str) -> tuple[str, ...]:
    if symmetry == "general":
        return ()
    return (f"{text.name} stores one half of a {symmetry} matrix; both halves are filled.",)


def _banner(text: Text) -> tuple[str, str, str]:
    words = text.lines[0].lower().split()
    if not words or words[0] != BANNER:
        raise InputError(
            f"{text.name} does not begin with %%MatrixMarket but with {quoted(text.lines[0])}. "
            "Give a Matrix Market file, or name a table .csv, .tsv or .txt."
        )
    if len(words) != 5 or words[1] != "matrix" or words[2] not in ("coordinate", "array"):
        raise InputError(
            f"{text.at(0)}: {quoted(text.lines[0], 80)} is not a header that is understood, such "
            f"as '%%MatrixMarket matrix coordinate integer general'. {REWRITE}"
        )
    layout, field, symmetry = words[2:]
    if field == "pattern":
        raise InputError(
            f"{text.at(0)}: a 'pattern' file says where entries are but not their values. "
            "Write the values (integer or real); if every entry means 1, write a 1 at each."
        )
    if field not in FIELDS or symmetry not in SYMMETRIES:
        raise InputError(
            f"{text.at(0)}: a {field} {symmetry} matrix is not read; values must be real and "
            f"nonnegative. Read are {', '.join(FIELDS)} and {', '.join(SYMMETRIES)}. {REWRITE}"
        )
    return layout, field, symmetry


def _sizes(text: Text, index: int, n_sizes: int) -> list[int]:
    words = text.lines[index].split()
    if len(words) == n_sizes and all(w.isascii() and w.isdigit() and len(w) < 16 for w in words):
        return [int(word) for word in words]
    expected = "'rows columns entries'" if n_sizes == 3 else "'rows columns'"
    raise InputError(
        f"{text.at(index)}: {quoted(text.lines[index])} where {expected} in whole numbers "
        f"is expected. {REWRITE}"
    )


def _check_count(body: Text, expected: int, promise: str) -> None:
    found = len(body.lines)
    if found == expected:
        return
    what = (
        "the file was cut short; copy or download it again"
        if found < expected
        else "check the size line or delete the surplus"
    )
    raise InputError(
        f"{body.name} promises {promise} but holds {found:,}: {what}."
        + (f" The surplus begins on line {body.numbers[expected]}." if found > expected else "")
    )


def _numbers(body: Text, n_cells: int, field: str) -> NDArray[np.float64]:
    wrong = [i for i, line in enumerate(body.lines) if len(line.split()) != n_cells]
    if wrong:
        form = "'row column value'" if n_cells == 3 else "one value"
        raise InputError(
            f"{body.at(wrong[0])}: {quoted(body.lines[wrong[0]])} where {form} is expected"
            f"{_like_this(body, wrong)}. {REWRITE}"
        )
    numbers = cells.parse(body.lines, None, n_cells)
    bad = numbers.not_numbers or numbers.inexact
    if bad is not None:
        row, _, content = bad.first[0]
        comma = " with a decimal point instead of a comma" * cells.has_comma_in_number(content)
        problem, remedy = (
            ("is not a number", f"Write a number{comma}.")
            if numbers.not_numbers
            else (
                "is an integer above 2^53 and would lose digits as a 64-bit float",
                "Divide the values by a power of ten.",
            )
        )
        more = f" ({bad.count:,} such values)" if bad.count > 1 else ""
        raise InputError(f"{body.at(row)}: {quoted(content)} {problem}{more}. {remedy}")
    if "integer" in field:
        broken = np.flatnonzero(np.floor(numbers.values[:, -1]) != numbers.values[:, -1]).tolist()
        if broken:
            raise InputError(
                f"{body.at(broken[0])}: {quoted(body.lines[broken[0]])} does not hold a whole "
                f"number though the header says {field}{_like_this(body, broken)}. "
                "Write 'real' in the header, or correct the values."
            )
    return numbers.values


def _like_this(body: Text, indices: list[int]) -> str:
    if len(indices) == 1:
        return ""
    return f" ({counted(len(indices), 'such line')}: {few(body.numbers[i] for i in indices)})"


def _coordinate(body: Text, sizes: list[int], field: str, symmetry: str) -> Block:
    n_rows, n_columns, n_entries = sizes
    _check_count(body, n_entries, counted(n_entries, "entry", "entries"))
    if not n_entries:
        return sparse.coo_array((n_rows, n_columns))
    table = _numbers(body, 3, field)
    row, column, data = table.T
    for name, index, size in (("row", row, n_rows), ("column", column, n_columns)):
        fits = (index >= 1) & (index <= size) & (np.floor(index) == index)
        _refuse_indices(body, np.flatnonzero(~fits).tolist(), name, size)
    i, j = row.astype(np.int64) - 1, column.astype(np.int64) - 1
    if symmetry != "general":
        _refuse_other_half(body, np.flatnonzero(i < j).tolist(), symmetry)
        off = i != j
        sign = -1.0 if symmetry == "skew-symmetric" else 1.0
        i, j = np.concatenate([i, j[off]]), np.concatenate([j, i[off]])
        data = np.concatenate([data, sign * data[off]])
    return sparse.coo_array((data, (i, j)), shape=(n_rows, n_columns))


def _refuse_indices(body: Text, wrong: list[int], name: str, size: int) -> None:
    if wrong:
        zero = any(body.lines[i].split()[name == "column"] == "0" for i in wrong)
        raise InputError(
            f"{body.at(wrong[0])}: {quoted(body.lines[wrong[0]])} names a {name} outside "
            f"1 … {size:,}{_like_this(body, wrong)}. "
            + ("Indices begin at 1, not 0: add 1 to all of them." if zero else REWRITE)
        )


def _refuse_other_half(body: Text, wrong: list[int], symmetry: str) -> None:
    if wrong:
        raise InputError(
            f"{body.at(wrong[0])}: {quoted(body.lines[wrong[0]])} lies above the diagonal of a "
            f"{symmetry} matrix{_like_this(body, wrong)}. Keep the lower half, or write 'general'."
        )


def _array(body: Text, sizes: list[int], field: str, symmetry: str) -> Block:
    n_rows, n_columns = sizes
    skipped = int(symmetry == "skew-symmetric")
    halved = symmetry != "general"
    n_values = n_rows * n_columns
    if halved:
        n_values = n_rows * (n_rows + 1) // 2 - skipped * n_rows
    _check_count(body, n_values, f"{counted(n_values, 'value')} ({n_rows:,} × {n_columns:,})")
    data = _numbers(body, 1, field)[:, 0] if n_values else np.zeros(0)
    if not halved:
        return data.reshape(n_columns, n_rows).T
    # Values run down the columns of the lower half: the upper half by rows, seen transposed.
    half = np.zeros((n_rows, n_rows))
    half[np.triu_indices(n_rows, skipped)] = data
    strict = np.triu(half, 1)
    return half.T + (-strict if skipped else strict)
