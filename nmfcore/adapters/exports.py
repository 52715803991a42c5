"""Solutions in formats that people load elsewhere: ``python -m nmfcore.adapters.exports results/<name> -o folder``.

A solution is six tables: W (features × components), H and its interval (samples × components), components and
samples, one line each. Features and samples without a positive value took no part and are left out of the first four.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from nmfcore.adapters.store import Json, SweepFolder, write_bytes
from nmfcore.errors import InputError, NmfcoreError, ResultError

H5AD = ".h5ad"
KEY = "nmf"
"""Name of the solution in `varm`, `obsm` and `uns` of an AnnData object."""
_NESTED = ("top_features", "top_samples", "comes_from", "becomes")


@dataclass(frozen=True)
class SolutionTables:
    """A solution as tables.

    Attributes
    ----------
    W : DataFrame
        Features × components.
    H : DataFrame
        Samples × components: one line a sample, as in every other table of samples.
    H_low, H_high : DataFrame
        Interval of `H` over the runs.
    components, samples : DataFrame
        One line each, with what is known of it.
    """

    W: pd.DataFrame
    H: pd.DataFrame
    H_low: pd.DataFrame
    H_high: pd.DataFrame
    components: pd.DataFrame
    samples: pd.DataFrame

    @property
    def named(self) -> dict[str, pd.DataFrame]:
        """Tables by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


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
    if find_spec("anndata") is None:
        raise InputError(
            "Writing .h5ad needs the package anndata, which is not installed: pip install anndata."
        )
    data = import_module("anndata").read_h5ad(source)
    add_to_anndata(data, tables)
    out.mkdir(parents=True, exist_ok=True)
    path = out / source.name
    data.write_h5ad(path)
    return [path]


def add_to_anndata(data: Any, tables: SolutionTables) -> None:
    """Put a solution into an AnnData object (samples × features): W in `varm`, H in `obsm`, the rest in `obs`, `uns`.

    Parameters
    ----------
    data : AnnData
        Its `var_names` and `obs_names` are the ids of features and samples.
    tables : SolutionTables
    """
    data.varm[KEY] = tables.W.reindex(data.var_names).fillna(0.0).to_numpy()
    data.obsm[KEY] = tables.H.reindex(data.obs_names).fillna(0.0).to_numpy()
    samples = tables.samples.reindex(data.obs_names)
    for name, column in samples.items():
        data.obs[f"{KEY}_{name}"] = column.to_numpy()
    data.uns[KEY] = {name: column.to_numpy() for name, column in tables.components.items()} | {
        "component": tables.components.index.to_numpy()
    }


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
