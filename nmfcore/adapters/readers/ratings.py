"""Ratings, one a line (user, item, rating), to items × users; a pair without a line is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse

from nmfcore.adapters.readers import cells
from nmfcore.adapters.readers.files import Text, read_text
from nmfcore.adapters.readers.parsed import Parsed
from nmfcore.adapters.readers.tables import SEPARATOR, Grid, guess_delimiter, read_grid
from nmfcore.adapters.readers.wording import counted, few, quoted
from nmfcore.errors import InputError

WHAT = ("user", "item", "rating")


def read(
    path: Path, *, user: str | None = None, item: str | None = None, rating: str | None = None
) -> Parsed:
    """Read a delimited table of ratings (also with '::', as MovieLens writes it), with or without a header.

    Parameters
    ----------
    path : pathlib.Path
    user, item, rating : str, optional
        Names of the columns in the header. Without them, the first three columns are taken.

    Returns
    -------
    Parsed
        Sparse, with every rating listed, zeros too.

    Raises
    ------
    InputError
        If a column is missing, a rating is no number, or a user rates an item twice.
    """
    text = _tabbed(read_text(path))
    grid = read_grid(text, guess_delimiter(text))
    if grid.width < 3:
        raise InputError(
            f"{text.name} has {counted(grid.width, 'column')} (delimiter guessed: {grid.delimiter}); ratings need "
            "three: user, item, rating. Add the missing one."
        )
    columns, start = _columns(grid, (user, item, rating))
    rows = [line.split(SEPARATOR) for line in grid.text.lines[start:]]
    users, items = (
        _ids(grid, start, [row[c].strip() for row in rows], what)
        for c, what in zip(columns[:2], WHAT[:2], strict=True)
    )
    values = _ratings(grid, start, [row[columns[2]] for row in rows])
    user_ids, j = _numbered(users)
    item_ids, i = _numbered(items)
    _refuse_repeated(grid, start, users, items)
    names = [grid.first[c].strip() if start else f"column {c + 1}" for c in columns]
    notice = (
        f"{text.name}: {', '.join(names)} are read as {', '.join(WHAT)}: {counted(len(rows), 'rating')} of "
        f"{counted(len(item_ids), 'item')} by {counted(len(user_ids), 'user')}."
    )
    return Parsed(
        sparse.coo_array((values, (i, j)), shape=(len(item_ids), len(user_ids))),
        feature_ids=item_ids,
        sample_ids=user_ids,
        notices=(*text.notices, notice),
        is_oriented=True,
        absent="missing",
    )


def _tabbed(text: Text) -> Text:
    if "::" not in text.lines[0]:
        return text
    return replace(text, lines=[line.replace("::", "\t") for line in text.lines])


def _columns(grid: Grid, wanted: tuple[str | None, ...]) -> tuple[list[int], int]:
    """Return the places of user, item and rating, and the index of the first line of ratings."""
    header = [cell.strip() for cell in grid.first]
    has_header = len(header) == grid.width and not cells.is_number(
        header[2] if None in wanted else ""
    )
    if not any(wanted):
        return [0, 1, 2], int(has_header)
    if None in wanted:
        given = [what for what, name in zip(WHAT, wanted, strict=True) if name]
        raise InputError(
            f"{grid.text.name}: only the column of {' and '.join(given)} is named in input.ratings. "
            "Name all of user, item and rating, or none."
        )
    unknown = [quoted(str(name)) for name in wanted if name not in header]
    if unknown:
        raise InputError(
            f"{grid.text.at(0)}: no column {few(unknown)} in the header ({few(header, 8)}). Correct the names in "
            "input.ratings."
        )
    return [header.index(str(name)) for name in wanted], 1


def _ids(grid: Grid, start: int, ids: list[str], what: str) -> list[str]:
    blank = [grid.text.numbers[start + k] for k, name in enumerate(ids) if not name]
    if blank:
        raise InputError(
            f"{grid.text.name}: {counted(len(blank), 'line')} without {what}, line {few(blank)}. Fill it in or delete "
            "the line."
        )
    return ids


def _ratings(grid: Grid, start: int, texts: list[str]) -> np.ndarray:
    wrong = [k for k, text in enumerate(texts) if not cells.is_number(text)]
    if wrong:
        first = texts[wrong[0]].strip()
        comma = " with a decimal point" * cells.has_comma_in_number(first)
        raise InputError(
            f"{grid.text.at(start + wrong[0])}: the rating {quoted(first)} is not a number "
            f"({counted(len(wrong), 'such line')}). Write a number{comma}, or delete the line: a rating that is not "
            "listed is missing."
        )
    if not texts:
        raise InputError(
            f"{grid.text.name} holds a header line and nothing below it: there is nothing to factorise. Write it again."
        )
    return np.array(texts, float)


def _numbered(names: list[str]) -> tuple[list[str], np.ndarray]:
    """Return the distinct names in order of appearance, and the number of each."""
    numbers = {name: k for k, name in enumerate(dict.fromkeys(names))}
    return list(numbers), np.array([numbers[name] for name in names])


def _refuse_repeated(grid: Grid, start: int, users: list[str], items: list[str]) -> None:
    seen: dict[tuple[str, str], int] = {}
    repeated = []
    for k, pair in enumerate(zip(users, items, strict=True)):
        line = grid.text.numbers[start + k]
        if pair in seen:
            repeated.append(
                f"{quoted(pair[0])} of {quoted(pair[1])} (lines {seen[pair]} and {line})"
            )
        seen.setdefault(pair, line)
    if repeated:
        raise InputError(
            f"{grid.text.name}: {counted(len(repeated), 'rating')} given more than once: by {few(repeated)}. Keep one "
            "of each, such as the latest."
        )
