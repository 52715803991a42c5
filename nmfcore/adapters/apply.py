"""Coefficients of new samples in a file: ``python -m nmfcore.adapters.apply results/<name> new.tsv -o H_new.tsv``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nmfcore.adapters import readers
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.model.applying import Applied, FittedComponents, read_fitted
from nmfcore.adapters.store import write_table
from nmfcore.consensus import UNASSIGNED, sample_labels
from nmfcore.errors import NmfcoreError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        fitted = read_fitted(options.folder, options.rank)
        samples = readers.read_matrix(
            options.samples,
            orientation=options.orientation,
            missing=options.missing,
            feature_ids=options.feature_ids,
            sample_ids=options.sample_ids,
            min_samples=1,
        )
        print(f"{options.samples}: {readers.describe(samples)}")
        applied = fitted.apply(samples)
        H_path, samples_path = write_applied(options.output, fitted, samples, applied)
    except NmfcoreError as error:
        print(error, file=sys.stderr)
        return 1
    for notice in (*samples.notices, *applied.notices):
        print(notice, file=sys.stderr)
    errors = applied.reconstruction_error
    middle = f"; median reconstruction error {np.nanmedian(errors):.4f}" if errors.size else ""
    print(f"Coefficients in {H_path}, assignments and errors in {samples_path}{middle}.")
    return 0


def write_applied(
    path: str | Path, fitted: FittedComponents, samples: LabelledMatrix, applied: Applied
) -> tuple[Path, Path]:
    """Write the coefficients, components × samples, and beside them one line a sample.

    Parameters
    ----------
    path : path
        TSV of the coefficients; that of the samples has `.samples` before its ending.
    fitted : FittedComponents
    samples : LabelledMatrix
    applied : Applied

    Returns
    -------
    tuple of Path
    """
    H_path = Path(path)
    samples_path = H_path.with_name(f"{H_path.stem}.samples{H_path.suffix}")
    ids = [str(i) for i in samples.sample_ids]
    write_table(
        H_path,
        ["component", *ids],
        [[name, *map(float, row)] for name, row in zip(fitted.names, applied.H, strict=True)],
    )
    labels = sample_labels(np.eye(len(fitted.names)), applied.H)
    rows = [
        [sample, None if label == UNASSIGNED else fitted.names[label], float(error)]
        for sample, label, error in zip(ids, labels, applied.reconstruction_error, strict=True)
    ]
    write_table(samples_path, ["sample", "component", "reconstruction_error"], rows)
    return H_path, samples_path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m nmfcore.adapters.apply",
        description="Coefficients of new samples for the components of a finished sweep. Features are matched by id.",
    )
    parser.add_argument("folder", type=Path, help="results/<name>")
    parser.add_argument(
        "samples", type=Path, help="file of new samples, in any format that is read"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="TSV to write")
    parser.add_argument(
        "--rank", type=int, help="the solution of this rank instead of the recommended one"
    )
    parser.add_argument(
        "--orientation", choices=readers.ORIENTATIONS, default=readers.ORIENTATIONS[0]
    )
    parser.add_argument(
        "--missing",
        choices=("error", "mask"),
        default="error",
        help="whether a blank cell is an error, or hidden from the fit",
    )
    parser.add_argument("--feature-ids", type=Path, help="file with one feature id a line")
    parser.add_argument("--sample-ids", type=Path, help="file with one sample id a line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
