"""Solutions in formats that people load elsewhere: ``python -m nmfcore.adapters.exports results/<name> -o folder``.

A solution is six tables: W (features × components), H and its interval (samples × components), components and
samples, one line each. Features and samples without a positive value took no part and are left out of the first four.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nmfcore.adapters.anndata_files import add_to_h5ad
from nmfcore.adapters.solution_tables import SolutionTables
from nmfcore.adapters.store import Json, SweepFolder, write_bytes
from nmfcore.errors import InputError, NmfcoreError, ResultError

H5AD = ".h5ad"
_NESTED = ("top_features", "top_samples", "comes_from", "becomes")


def solution_tables(folder: SweepFolder, rank: int | None = None) -> SolutionTables:
    """Tables of the recommended solution, or of that of another rank.

    Raises
    ------
    ResultError
        If there is none.
    """
    document, arrays = folder.solution_at(rank)
    if document["rank"] is None:
        raise ResultError(
            f"{folder.root} has no such solution: {document['reason']} Name another rank with --rank."
        )
    names = pd.Index(arrays["components"])
    features = pd.Index(arrays["feature_ids"], name="feature")
    samples = pd.Index(arrays["sample_ids"], name="sample")
    components = [
        {key: value for key, value in entry.items() if key not in _NESTED}
        for entry in document["components"]
    ]
    return SolutionTables(
        pd.DataFrame(arrays["W"], features, names),
        pd.DataFrame(arrays["H"].T, samples, names),
        pd.DataFrame(arrays["H_low"].T, samples, names),
        pd.DataFrame(arrays["H_high"].T, samples, names),
        _flat(components, "name").rename_axis("component"),
        _flat(document["assignments"], "sample"),
    )


def _flat(entries: Sequence[Json], index: str) -> pd.DataFrame:
    """One line an entry; an interval [low, high] becomes two columns."""
    lines = []
    for entry in entries:
        line: dict[str, Any] = {}
        for key, value in entry.items():
            if isinstance(value, list):
                line |= {f"{key}_low": value[0], f"{key}_high": value[1]}
            else:
                line[key] = value
        lines.append(line)
    return pd.DataFrame(lines).set_index(index)


def export(
    folder: SweepFolder, out: str | Path, kind: str = "parquet", rank: int | None = None
) -> list[Path]:
    """Write a solution in another format.

    Parameters
    ----------
    folder : SweepFolder
    out : path
        Folder to write to.
    kind : {'tsv', 'parquet', 'h5ad'}
    rank : int, optional
        The solution of that rank instead of the recommended one.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    InputError
        If the format is not known or cannot be written here.
    """
    if kind not in FORMATS:
        raise InputError(f"format {kind!r} is not known; choose one of {', '.join(FORMATS)}.")
    tables = solution_tables(folder, rank)
    return FORMATS[kind](folder, tables, Path(out))


def _write_tsv(folder: SweepFolder, tables: SolutionTables, out: Path) -> list[Path]:
    written = []
    for name, table in tables.named.items():
        path = out / f"{name}.tsv"
        write_bytes(path, table.to_csv(sep="\t", lineterminator="\n").encode())
        written.append(path)
    return written


def _write_parquet(folder: SweepFolder, tables: SolutionTables, out: Path) -> list[Path]:
    written = []
    for name, table in tables.named.items():
        path = out / f"{name}.parquet"
        content = table.to_parquet(engine="pyarrow")
        assert content is not None
        write_bytes(path, content)
        written.append(path)
    return written


def _write_h5ad(folder: SweepFolder, tables: SolutionTables, out: Path) -> list[Path]:
    """Copy the input with the solution in `varm`, `obsm`, `obs` and `uns`."""
    source = Path(folder.matrix_info["source"]["path"])
    if source.suffix.lower() != H5AD:
        raise InputError(
            f"The input was {source.name}, no {H5AD} file to add a solution to; choose tsv or parquet."
        )
    settings = folder.settings["input"]["h5ad"]
    path = out / source.name
    if path.resolve() == source.resolve():
        raise InputError(f"{path} is the input itself; name another folder.")
    out.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        shutil.copyfile(source, unfinished)
        add_to_h5ad(unfinished, tables, settings["var_names"], settings["obs_names"])
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return [path]


FORMATS: dict[str, Callable[[SweepFolder, SolutionTables, Path], list[Path]]] = {
    "tsv": _write_tsv,
    "parquet": _write_parquet,
    "h5ad": _write_h5ad,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m nmfcore.adapters.exports")
    parser.add_argument("folder", type=Path, help="results/<name>")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--format", choices=tuple(FORMATS), default="parquet")
    parser.add_argument(
        "--rank", type=int, help="the solution of this rank instead of the recommended one"
    )
    options = parser.parse_args(arguments)
    try:
        written = export(SweepFolder(options.folder), options.output, options.format, options.rank)
    except NmfcoreError as error:
        print(error, file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
