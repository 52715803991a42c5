"""Mutation catalogues: counts of mutation types × genomes, the types checked and put in order."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from nmfcore.adapters.readers import tables
from nmfcore.adapters.readers.files import read_text
from nmfcore.adapters.readers.parsed import Parsed
from nmfcore.adapters.readers.wording import counted, few, quoted
from nmfcore.errors import InputError

COMPLEMENT = str.maketrans("ACGT", "TGCA")
SUBSTITUTIONS = ("C>A", "C>G", "C>T", "T>A", "T>C", "T>G")
SBS96 = tuple(f"{a}[{s}]{b}" for s in SUBSTITUTIONS for a, b in product("ACGT", repeat=2))

_SBS = re.compile(r"([ACGT])\[([ACGT])>([ACGT])\]([ACGT])")
_TWO_COLUMNS = re.compile(r"([ACGT])>([ACGT])\W+([ACGT])([ACGT])([ACGT])")


@dataclass(frozen=True)
class Kind:
    """A classification of mutations other than single substitutions.

    Attributes
    ----------
    name : str
    pattern : Pattern
        Of its types.
    size : int
        How many types there are.
    example : str
    """

    name: str
    pattern: re.Pattern[str]
    size: int
    example: str


OTHERS = (
    Kind("doublet (DBS78)", re.compile(r"[ACGT]{2}>[ACGT]{2}"), 78, "AC>CA"),
    Kind("indel (ID83)", re.compile(r"[1-5]:(?:Del|Ins):(?:[CTRM]):\d"), 83, "1:Del:C:0"),
)


def read(path: Path) -> Parsed:
    """Read a catalogue of single substitutions (SBS96), doublets (DBS78) or indels (ID83).

    Parameters
    ----------
    path : pathlib.Path
        A table, one line a type and one column a genome. Single substitutions are named 'A[C>A]A', or by two columns,
        'C>A' and 'ACA'; those of a purine are turned to the other strand.

    Returns
    -------
    Parsed
        The 96 types of single substitutions in the usual order; others as in the file.

    Raises
    ------
    InputError
        If a type is unknown, repeated or missing, or a count is not whole.
    """
    parsed = _joined(path)
    ids = parsed.row_ids
    if ids is None:
        raise InputError(
            f"{path.name} does not name its mutation types. Put them into the first column, such as 'A[C>A]A'."
        )
    names = [_normal(name) for name in ids]
    kind = next((kind for kind in OTHERS if kind.pattern.fullmatch(names[0])), None)
    values, notices = np.asarray(parsed.values), list(parsed.notices)
    if kind is None:
        values, names, turned = _single(path.name, names, values)
        if turned:
            notices.append(f"{path.name}: {counted(turned, 'type')} turned to the other strand.")
    else:
        _refuse(path.name, kind, names)
    fractions = np.argwhere(np.isfinite(values) & (values != np.floor(values)))
    if len(fractions):
        i, j = fractions[0]
        raise InputError(
            f"{path.name}: a catalogue holds counts, but {counted(len(fractions), 'value')} are not whole, first "
            f"{values[i, j]:g} of {names[i]}. Give counts, or read shares as a plain table (`format: table`)."
        )
    assert parsed.column_ids is not None  # tables without names of rows have none of columns either
    return Parsed(
        values,
        feature_ids=names,
        sample_ids=parsed.column_ids,
        notices=tuple(notices),
        is_oriented=True,
    )


def _joined(path: Path) -> Parsed:
    """Read the table, with the types in one column even where the file has two."""
    text = read_text(path)
    delimiter = tables.guess_delimiter(text)
    cells = [line.split(delimiter) for line in text.lines]
    is_split = len(cells) > 1 and all(
        len(row) > 2 and re.fullmatch(r"\W*[ACGT]>[ACGT]\W*", row[0]) for row in cells[1:]
    )
    if not is_split:
        return tables.parse(text)
    lines = [delimiter.join([" ".join(row[:2]), *row[2:]]) for row in cells]
    return tables.parse(replace(text, lines=lines))


def _normal(name: str) -> str:
    """Return a type without quotes and blanks, single substitutions as A[C>A]A."""
    bare = name.strip().strip("'\"")
    match = _TWO_COLUMNS.fullmatch(bare)
    if match and match[1] == match[4]:
        return f"{match[3]}[{match[1]}>{match[2]}]{match[5]}"
    return bare


def _single(name: str, types: list[str], values: np.ndarray) -> tuple[np.ndarray, list[str], int]:
    """Return the rows in the order of the 96 types, and how many came from the other strand."""
    rows: dict[str, int] = {}
    turned = 0
    for k, given in enumerate(types):
        match = _SBS.fullmatch(given)
        if match is None:
            examples = ", ".join(["A[C>A]A", *(kind.example for kind in OTHERS)])
            raise InputError(
                f"{name}: row {k + 1} is named {quoted(given)}, which is no mutation type (such as {examples}). "
                "Correct it, or read the file as a plain table (`format: table`)."
            )
        left, before, after, right = match.groups()
        usual = given
        if before in "AG":
            usual = f"{right}[{before}>{after}]{left}".translate(COMPLEMENT)
            turned += 1
        if usual in rows:
            raise InputError(
                f"{name}: rows {rows[usual] + 1} and {k + 1} are both {usual}"
                f"{'' if usual == given else f' ({given} on the other strand)'}. Add them up to one row."
            )
        if usual not in SBS96:
            raise InputError(
                f"{name}: row {k + 1}, {quoted(given)}, changes nothing. Correct the type or delete the row."
            )
        rows[usual] = k
    absent = [usual for usual in SBS96 if usual not in rows]
    if absent:
        raise InputError(
            f"{name} has {len(rows)} of the 96 types of single substitutions; missing are {few(absent)}. Add their "
            "rows, with 0 where a type was not seen."
        )
    return values[[rows[usual] for usual in SBS96]], list(SBS96), turned


def _refuse(name: str, kind: Kind, types: list[str]) -> None:
    odd = [(k, given) for k, given in enumerate(types, 1) if not kind.pattern.fullmatch(given)]
    if odd:
        raise InputError(
            f"{name}: row {odd[0][0]} is named {quoted(odd[0][1])}, which is no {kind.name} type (such as "
            f"{kind.example}; {counted(len(odd), 'such row')}). Correct it."
        )
    if len(set(types)) != kind.size:
        raise InputError(
            f"{name} has {counted(len(set(types)), 'type')} where a {kind.name} catalogue has {kind.size}. "
            "Add the missing rows, with 0 where a type was not seen, and delete repeated ones."
        )
