"""HDF5 files: opened, or said why not; their arrays, sparse matrices and names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore import block_matrix
from nmfcore.adapters.readers.arrays import check_compressed
from nmfcore.adapters.readers.files import unreadable
from nmfcore.adapters.readers.packages import load
from nmfcore.adapters.readers.parsed import Block
from nmfcore.adapters.readers.streamed import canonical, large
from nmfcore.block_matrix import BlockMatrix
from nmfcore.errors import InputError

Node = Any
"""h5py.File, Group or Dataset; h5py has no types to say so."""


@contextmanager
def opened(path: Path) -> Iterator[Node]:
    """Open a file for reading; whatever is damaged in it is an error with its name.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    InputError
        If it cannot be read, then or while the block runs.
    """
    h5py = load("h5py", "h5py", "hdf5", path.name)
    try:
        if not path.stat().st_size:
            raise InputError(
                f"{path.name} is empty: there is nothing to factorise. Write it again."
            )
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(unreadable(path, error)) from None
    # h5py raises a dozen kinds on damaged bytes.
    except Exception as error:
        reason = str(error).split("\n")[0].strip() or type(error).__name__
        raise InputError(
            f"{path.name} is damaged or not an HDF5 file ({reason[:160]}). Copy it again or write it again."
        ) from None


def block(node: Node) -> Block:
    """Return a matrix in whatever way it is stored; what is stored sparse stays sparse.

    Parameters
    ----------
    node : h5py.Dataset or h5py.Group
        A two-dimensional array; or data, indices and indptr with the layout in the attributes, as AnnData writes it.
    """
    if not hasattr(node, "keys"):
        return _dense(node)
    layout = text(node.attrs.get("encoding-type", node.attrs.get("h5sparse_format", "")))
    shape = node.attrs.get("shape", node.attrs.get("h5sparse_shape"))
    makers = {"csr": sparse.csr_array, "csc": sparse.csc_array}
    if layout[:3] not in makers or shape is None:
        raise InputError(
            f"{Path(node.file.filename).name}: {node.name} is no matrix ({layout or 'a group'}). "
            "Choose another layer, or write it as an array or a sparse matrix."
        )
    return compressed(node, makers[layout[:3]], (int(shape[0]), int(shape[1])))


def compressed(node: Node, make: Any, shape: tuple[int, int]) -> Block:
    """Return the sparse matrix of a group with data, indices and indptr.

    Parameters
    ----------
    node : h5py.Group
    make : type
        `scipy.sparse.csr_array` or `csc_array`.
    shape : (int, int)

    Returns
    -------
    sparse array or BlockMatrix
        The latter of a large one, whose entries are read later.
    """
    streamed = _streamed(node, make, shape)
    if streamed is not None:
        return streamed
    data, indices, indptr = (node[name][()] for name in ("data", "indices", "indptr"))
    n_major, n_minor = shape if make is sparse.csr_array else shape[::-1]
    # SciPy reads from wherever a damaged indptr points.
    check_compressed(data, indices, indptr, n_major, n_minor)
    # SciPy computes with neither half precision nor foreign byte orders.
    dtype = np.dtype(np.float32) if data.dtype == np.float16 else data.dtype.newbyteorder("=")
    return make((data.astype(dtype, copy=False), indices, indptr), shape=shape)


def _dense(node: Node) -> Block:
    blocks = None
    if node.ndim == 2:
        rows = DenseRows(Path(node.file.filename), node.name, node.shape, node.dtype)
        blocks = large(rows, is_sparse=False)
    return node[()] if blocks is None else blocks


@dataclass(frozen=True)
class DenseRows:
    """Rows of a dense array in a file."""

    path: Path
    name: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        with opened(self.path) as file:
            return np.asarray(file[self.name][rows])


@dataclass(frozen=True)
class SparseRows:
    """Rows of a CSR matrix in a file."""

    path: Path
    name: str
    indptr: NDArray[np.integer]
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __getitem__(self, rows: slice) -> sparse.csr_array:
        indptr = self.indptr[rows.start : rows.stop + 1]
        entries = slice(int(indptr[0]), int(indptr[-1]))
        with opened(self.path) as file:
            node = file[self.name]
            data, indices = node["data"][entries], node["indices"][entries].astype(np.int32)
            own = (indptr - indptr[0]).astype(np.int32)
            check_compressed(data, indices, own, len(own) - 1, self.shape[1])
        return canonical(
            sparse.csr_array((data, indices, own), shape=(len(own) - 1, self.shape[1]))
        )


def _streamed(node: Node, make: Any, shape: tuple[int, int]) -> BlockMatrix | None:
    """Return a large sparse matrix by blocks along its compressed axis, where that is the longer one."""
    data = node["data"]
    if data.ndim != 1 or data.shape[0] <= block_matrix.LARGE:
        return None
    by_rows = make is sparse.csr_array
    major = shape if by_rows else shape[::-1]
    indptr = node["indptr"][()]
    check_compressed(data, node["indices"], indptr, *major, check_indices=False)
    rows = SparseRows(Path(node.file.filename), node.name, indptr, major, data.dtype)
    blocks = large(rows, is_sparse=True)
    return blocks if blocks is None or by_rows else blocks.T


def names(node: Node) -> list[str]:
    """Return a column of text: an array, or one of AnnData's ways to write categories and missing values."""
    if not hasattr(node, "keys"):
        return [text(item) for item in node[()].tolist()]
    if "categories" in node:
        categories = names(node["categories"])
        return [categories[code] if code >= 0 else "" for code in node["codes"][()].tolist()]
    return names(node["values"])


def text(value: object) -> str:
    """Return bytes or anything else as text."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
