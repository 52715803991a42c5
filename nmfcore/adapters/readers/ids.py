"""Files of ids, one a line, for formats that carry none."""

from __future__ import annotations

import re
from pathlib import Path

from nmfcore.adapters.readers.files import read_text
from nmfcore.adapters.readers.wording import counted, few, quoted
from nmfcore.errors import InputError

# First lines that can only be a header; guessing further could shift every id by one.
HEADERS = re.compile(
    r"#?(?:feature|gene|sample|barcode|cell|probe|probeset|term|otu|taxon|item|user)s?"
    r"(?:[ _.]?(?:id|name|symbol)s?)?|#?(?:name|id|symbol|accession|index|x)s?",
    re.IGNORECASE,
)


def read_ids(path: Path, axis: str, shape: tuple[int, int]) -> tuple[list[str], tuple[str, ...]]:
    """Read the ids of one axis: the first tab-separated cell of each line.

    Parameters
    ----------
    path : pathlib.Path
    axis : {'feature', 'sample'}
    shape : (n_features, n_samples)

    Returns
    -------
    ids : list of str
    notices : tuple of str

    Raises
    ------
    InputError
        If the count does not fit the axis, or an id is blank.
    """
    text = read_text(path, zero_padded=True)
    names = [line.split("\t")[0].strip().strip('"') for line in text.lines]
    here, other = shape if axis == "feature" else shape[::-1]
    other_axis = "sample" if axis == "feature" else "feature"
    blank = [text.numbers[i] for i, name in enumerate(names) if not name]
    if blank:
        raise InputError(
            f"{text.name}: {counted(len(blank), 'line')} without an id in the first column, "
            f"line {few(blank)}. Write one id on each line."
        )
    notices = text.notices
    if len(names) == here + 1 and HEADERS.fullmatch(names[0]):
        notices += (f"{text.name}: the first line ({names[0]}) is read as a header, not as an id.",)
        names = names[1:]
    if len(names) == here:
        return names, notices
    if len(names) == other:
        hint = (
            f"As many as it has {other_axis}s: the matrix may be transposed (change `orientation`)"
            " or the two id files exchanged."
        )
    elif len(names) == here + 1:
        hint = f"If its first line ({quoted(names[0])}) is a header, delete that line."
    else:
        hint = f"Write one id a line, in the order of the {axis}s."
    raise InputError(
        f"{text.name} names {counted(len(names), axis)} ({few(names)}) but the matrix has "
        f"{counted(shape[0], 'feature')} × {counted(shape[1], 'sample')}. {hint}"
    )
