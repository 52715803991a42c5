"""What is known about the samples, to be shown beside the consensus."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from nmfcore.adapters.readers.files import find, read_text
from nmfcore.adapters.readers.tables import SEPARATOR, Grid, read_grid
from nmfcore.adapters.readers.wording import counted, few, quoted
from nmfcore.errors import InputError


def read_annotations(
    path: str | os.PathLike[str],
    sample_ids: Sequence[str],
    feature_ids: Sequence[str] | None = None,
) -> dict[str, list[str]]:
    """Read a TSV with a header line and one line a sample.

    Lines beyond the samples are ignored if every sample has a line (a table of the full cohort);
    where both sides have ids left over, they were meant to match, and that is an error.

    Parameters
    ----------
    path : str or path-like
        The first column holds sample ids, each further column is an annotation.
    sample_ids : sequence of str
        The samples of the matrix, in order.
    feature_ids : sequence of str, optional
        Helps to say that the matrix is transposed.

    Returns
    -------
    dict of list of str
        For each column a text for each sample, '' where the file has no line for it.

    Raises
    ------
    InputError
        If the file is not such a table, or its ids are not those of the samples.
    """
    grid = _grid(path)
    name = grid.text.name
    rows = [line.split(SEPARATOR) for line in grid.text.lines[1:]]
    ids = [row[0].strip() for row in rows]
    columns = [cell.strip() for cell in grid.first[-(grid.width - 1) :]]
    if grid.first[0].strip() in set(sample_ids) and len(grid.first) == grid.width:
        raise InputError(
            f"{grid.text.at(0)} is about the sample {quoted(grid.first[0])}; expected are column "
            "names. Put a header line first, such as 'sample', 'subtype' between tabs."
        )
    for what, names in (("sample id", ids), ("column", columns)):
        _refuse_repeated(name, what, names)
    _refuse_mismatch(name, ids, list(map(str, sample_ids)), feature_ids)
    by_id = {sample: row[1:] for sample, row in zip(ids, rows, strict=True)}
    blank = [""] * len(columns)
    return {
        column: [by_id.get(str(sample), blank)[j].strip() for sample in sample_ids]
        for j, column in enumerate(columns)
    }


def _grid(path: str | os.PathLike[str]) -> Grid:
    text = read_text(find(path))
    delimiter = next((d for d in "\t;," if d in text.lines[-1]), "\t")
    grid = read_grid(text, delimiter)
    if len(text.lines) == 1:
        raise InputError(
            f"{text.name} has a single line; expected are a header line and one line a sample."
        )
    if grid.width < 2:
        raise InputError(
            f"{text.name} has a single column (delimiter guessed: {grid.delimiter}); line "
            f"{text.numbers[0]} is {quoted(text.lines[0])}. Write sample ids, a tab, and at least "
            "one column to show."
        )
    return grid


def _refuse_repeated(name: str, what: str, names: list[str]) -> None:
    if not all(names):
        raise InputError(
            f"{name}: {counted(names.count(''), what)} left blank, first at position "
            f"{names.index('') + 1}. Fill it in."
        )
    repeated = [quoted(item) for item, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"{name}: {counted(len(repeated), what)} more than once: {few(repeated)}. "
            "Keep one of each."
        )


def _refuse_mismatch(
    name: str, ids: list[str], sample_ids: list[str], feature_ids: Sequence[str] | None
) -> None:
    known, named = set(sample_ids), set(ids)
    unknown = [item for item in ids if item not in known]
    unnamed = [sample for sample in sample_ids if sample not in named]
    if not unknown or not unnamed:
        return
    features = set(map(str, feature_ids if feature_ids is not None else ()))
    hint = (
        "They are ids of features: the matrix is transposed (change `orientation`), or this file "
        "is about features."
        if any(item in features for item in unknown)
        else "Write the ids exactly as in the matrix; delete lines of samples that are not in it."
    )
    raise InputError(
        f"{name}: {counted(len(unknown), 'id')} of {len(ids):,} not among the samples "
        f"({few(map(quoted, unknown))}), while {counted(len(unnamed), 'sample')} of "
        f"{len(sample_ids):,} have no line ({few(map(quoted, unnamed))}). {hint}"
    )
