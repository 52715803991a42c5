"""10x Genomics' count matrices: a folder with matrix.mtx, or a .h5 file; genes × cells."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from scipy import sparse

from nmfcore.adapters.readers import matrix_market
from nmfcore.adapters.readers.files import read_text
from nmfcore.adapters.readers.hdf5 import Node, compressed, names, opened
from nmfcore.adapters.readers.parsed import Block, Parsed
from nmfcore.adapters.readers.wording import counted, few
from nmfcore.errors import InputError

MATRIX = ("matrix.mtx", "matrix.mtx.gz")
FEATURES = ("features.tsv", "features.tsv.gz", "genes.tsv", "genes.tsv.gz")
BARCODES = ("barcodes.tsv", "barcodes.tsv.gz")


def read(path: Path, *, feature_type: str = "Gene Expression") -> Parsed:
    """Read counts with the names of genes and the barcodes of cells.

    Parameters
    ----------
    path : pathlib.Path
        A folder such as filtered_feature_bc_matrix, or a .h5 file, of Cell Ranger 2 or later.
    feature_type : str
        Which features are read, where the file tells types apart (such as 'Antibody Capture').

    Returns
    -------
    Parsed
        Genes by name; of those that share a name, each with its id.

    Raises
    ------
    InputError
        If a part is missing, damaged, or does not fit the others.
    """
    values, table, barcodes = _folder(path) if path.is_dir() else _file(path)
    kept, type_notice = _of_type(table, feature_type, path.name)
    if len(table) != values.shape[0] or len(barcodes) != values.shape[1]:
        raise InputError(
            f"{path.name}: the matrix has {counted(values.shape[0], 'row')} × "
            f"{counted(values.shape[1], 'column')}, but {counted(len(table), 'feature')} and "
            f"{counted(len(barcodes), 'barcode')} are named. The parts are of different runs, or one was cut short: "
            "copy all of them again."
        )
    genes, name_notice = _unique([row for row, keep in zip(table, kept, strict=True) if keep])
    return Parsed(
        values if all(kept) else sparse.csr_array(values)[np.flatnonzero(kept)],
        feature_ids=genes,
        sample_ids=barcodes,
        notices=(*type_notice, *name_notice),
        is_oriented=True,
    )


def _folder(path: Path) -> tuple[Block, list[list[str]], list[str]]:
    matrix, features, barcodes = (_part(path, choices) for choices in (MATRIX, FEATURES, BARCODES))
    table = [line.split("\t") for line in read_text(features, zero_padded=True).lines]
    cells = [line.split("\t")[0].strip() for line in read_text(barcodes, zero_padded=True).lines]
    return matrix_market.read(matrix).values, table, cells


def _part(path: Path, choices: tuple[str, ...]) -> Path:
    found = [path / name for name in choices if (path / name).is_file()]
    if found:
        return found[0]
    there = few(sorted(file.name for file in path.iterdir()), 6)
    raise InputError(
        f"{path.name} has no {choices[0]} (nor {', '.join(choices[1:])}); it holds {there}. "
        "A 10x folder holds the matrix, the features and the barcodes: copy the whole folder."
    )


def _file(path: Path) -> tuple[Block, list[list[str]], list[str]]:
    with opened(path) as file:
        group = _group(file, path.name)
        shape = tuple(int(n) for n in group["shape"][()])
        values = compressed(group, sparse.csc_array, (shape[0], shape[1]))
        features = group.get("features", group)
        columns = ("id", "name", "feature_type") if "features" in group else ("genes", "gene_names")
        table = [names(features[column]) for column in columns if column in features]
        return values, [list(row) for row in zip(*table, strict=True)], names(group["barcodes"])


def _group(file: Node, name: str) -> Node:
    """Return the group of the matrix: 'matrix', or in older files that of the only genome."""
    if "matrix" in file:
        return file["matrix"]
    genomes = [key for key in file if hasattr(file[key], "keys") and "barcodes" in file[key]]
    if len(genomes) == 1:
        return file[genomes[0]]
    what = f"the genomes {few(genomes)}" if genomes else f"{few(file, 6) or 'nothing'}"
    raise InputError(
        f"{name} is no 10x matrix of one genome: it holds {what}. Give the file filtered_feature_bc_matrix.h5 "
        "of Cell Ranger; if it is an AnnData file, rename it so that it ends in .h5ad."
    )


def _of_type(table: list[list[str]], wanted: str, name: str) -> tuple[list[bool], tuple[str, ...]]:
    """Return which features are of the type, where types are told."""
    types = Counter(row[2].strip() for row in table if len(row) > 2)
    if not types:
        return [True] * len(table), ()
    told = ", ".join(f"{kind} ({count:,})" for kind, count in types.most_common())
    if wanted not in types:
        raise InputError(
            f"{name} has no features of type {wanted!r}; it has {told}. Name one of them: "
            "`input: {10x: {feature_type: NAME}}`."
        )
    kept = [len(row) > 2 and row[2].strip() == wanted for row in table]
    left = len(table) - sum(kept)
    return kept, (f"{name}: features of type {wanted} are read, of {told}.",) if left else ()


def _unique(table: list[list[str]]) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of genes, with the id where several share one."""
    ids = [row[0].strip() for row in table]
    called = [row[1].strip() if len(row) > 1 else row[0].strip() for row in table]
    shared = {name for name, count in Counter(called).items() if count > 1}
    genes = [
        f"{name} ({id_})" if name in shared else name for name, id_ in zip(called, ids, strict=True)
    ]
    if not shared:
        return genes, ()
    return genes, (
        f"{counted(len(shared), 'name')} of genes stand for several each ({few(sorted(shared))}); "
        "these carry their ids too.",
    )
