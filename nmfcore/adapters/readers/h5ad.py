"""AnnData files (.h5ad), observations × variables, to features × samples.

Read by h5py: of a large file only the matrix that is asked for comes into memory, and AnnData itself forbids the
pandas that the rest of this project uses. Files of AnnData before 0.7 are read too.
"""

from __future__ import annotations

from pathlib import Path

from nmfcore.adapters.readers.hdf5 import Node, block, names, opened, text
from nmfcore.adapters.readers.parsed import Parsed
from nmfcore.adapters.readers.wording import few
from nmfcore.errors import InputError


def read(
    path: Path,
    *,
    layer: str | None = None,
    raw: bool = False,
    var_names: str | None = None,
    obs_names: str | None = None,
) -> Parsed:
    """Read X, a layer, or the raw counts.

    Parameters
    ----------
    path : pathlib.Path
    layer : str, optional
        Of `layers`, instead of X.
    raw : bool
        Whether to read `raw` (all genes, before they were filtered or scaled) instead of X.
    var_names, obs_names : str, optional
        Column of `var`, `obs` that names features, samples, instead of their index.

    Returns
    -------
    Parsed

    Raises
    ------
    InputError
        If the file is damaged or holds no such matrix or column.
    """
    if layer is not None and raw:
        raise InputError(
            f"{path.name}: both layer ({layer}) and raw are asked for. Choose one of them."
        )
    with opened(path) as file:
        where = f"layers/{layer}" if layer is not None else _raw(file) if raw else "X"
        offered = _offered(file)
        if where is None or where not in file:
            asked = "raw" if raw else f"layer {layer!r}" if layer else "X"
            raise InputError(
                f"{path.name} has no {asked}. It holds {few(offered, 9) or 'no matrix'}. Choose one of these by "
                "`input: {h5ad: {layer: NAME}}` or `{raw: true}`, or write the file again by AnnData."
            )
        others = [name for name in offered if name != ("raw" if raw else layer or "X")]
        var = {"raw/X": "raw/var", "raw.X": "raw.var"}.get(where, "var")
        return Parsed(
            block(file[where]).T,
            feature_ids=axis_names(file, var, var_names),
            sample_ids=axis_names(file, "obs", obs_names),
            is_oriented=True,
            remedy=f"{path.name} also holds {few(others, 9)}: see input.h5ad." if others else "",
        )


def _raw(file: Node) -> str | None:
    return next((name for name in ("raw/X", "raw.X") if name in file), None)


def _offered(file: Node) -> list[str]:
    found = ["X"] if "X" in file else []
    found += ["raw"] if _raw(file) else []
    return found + sorted(file.get("layers", ()))


def axis_names(file: Node, table: str, column: str | None = None) -> list[str]:
    """Return names of the rows of `obs` or `var`: a group of columns, or, before AnnData 0.7, an array of records."""
    name = Path(file.filename).name
    if table not in file:
        raise InputError(f"{name} has no {table}, which names its axis. Write it again by AnnData.")
    node = file[table]
    if not hasattr(node, "keys"):
        fields = list(node.dtype.names or ())
        wanted = column or next((key for key in ("index", "_index") if key in fields), None)
        if wanted in fields:
            return [text(item) for item in node[wanted].tolist()]
    else:
        fields = sorted(node)
        wanted = column or text(node.attrs.get("_index", "_index"))
        if wanted in node:
            return names(node[wanted])
    raise InputError(
        f"{name}: {table} has no column {wanted!r}. It has {few(fields, 9)}. Name one of these in "
        "input.h5ad (var_names or obs_names), or leave that out."
    )
