"""NumPy and SciPy files (.npy, .npz) to a block; never a pickle."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from scipy import sparse

from nmfcore.adapters.readers.files import unreadable
from nmfcore.adapters.readers.parsed import Block, Parsed
from nmfcore.adapters.readers.sizes import refuse_large_archive
from nmfcore.adapters.readers.streamed import large
from nmfcore.adapters.readers.wording import few
from nmfcore.adapters.stored_rows import OpenFile, StoredArray
from nmfcore.block_matrix import BlockMatrix
from nmfcore.errors import InputError

IDS = ("feature_ids", "sample_ids")
COMPRESSED = ("csr", "csc", "bsr")


def read(path: Path) -> Parsed:
    """Read an array, a sparse matrix, or values with their ids.

    Parameters
    ----------
    path : pathlib.Path
        A .npy file; or a .npz file written by `scipy.sparse.save_npz`, or by `numpy.savez` with
        one two-dimensional array, beside which ``feature_ids`` and ``sample_ids`` may stand.

    Returns
    -------
    Parsed

    Raises
    ------
    InputError
        If the file is damaged, holds objects, or no or several matrices.
    """
    with damage_named(path):
        content = _content(path)
        if isinstance(content, BlockMatrix):
            return Parsed(content)
        if isinstance(content, np.ndarray):
            return Parsed(_two_dimensional(content, path.name))
        if sparse.issparse(content):
            return _supported(content, path.name)
        ids = {key: _ids(content.pop(key), key, path.name) for key in IDS if key in content}
        values, notices = _values(content, path.name)
        return Parsed(
            values,
            feature_ids=ids.get("feature_ids"),
            sample_ids=ids.get("sample_ids"),
            notices=notices,
        )


def read_stack(path: Path) -> Block:
    """Read a stack of images, (n_images, height, width): the only array of three dimensions in the file.

    Raises
    ------
    InputError
        If there is none.
    """
    with damage_named(path):
        content = _content(path)
        arrays = content if isinstance(content, dict) else {"array": content}
        stacks = [array for array in arrays.values() if getattr(array, "ndim", 0) == 3]
        if len(stacks) != 1 or stacks[0].dtype.names:
            found = few((f"{key} {np.shape(array)}" for key, array in arrays.items()), 6)
            raise InputError(
                f"{path.name} must hold one stack of grey images (images × height × width); it holds "
                f"{found or 'nothing'}. Reshape it, or average the colours, and save it again."
            )
        return stacks[0]


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn whatever NumPy raises on a damaged file into an error with its name."""
    try:
        # NumPy warns about odd headers of damaged files before it fails on them.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(unreadable(path, error)) from None
    # zipfile, zlib and NumPy's header parser raise a dozen kinds on damaged bytes.
    except Exception as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        if "Object arrays" in reason:
            raise InputError(
                f"{path.name} holds Python objects (dtype object), which are not read because they "
                "may run code. Save numbers: np.save(path, array.astype(float))."
            ) from None
        if "allow_pickle" in reason:
            reason = "its first bytes are not those of one"
        raise InputError(
            f"{path.name} is damaged or not a NumPy file ({reason[:200]}). "
            "Copy it again or write it again by np.save, np.savez or scipy.sparse.save_npz."
        ) from None


def _content(path: Path) -> Any:
    """Return an array, a sparse matrix, or a dict of arrays, by what the file holds."""
    if not path.stat().st_size:
        raise InputError(f"{path.name} is empty: there is nothing to factorise. Write it again.")
    refuse_large_archive(path)
    with path.open("rb") as stream:
        blocks = _large_array(stream)
        if blocks is not None:
            return blocks
        loaded = np.load(stream, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if "format" not in loaded.files:
                members = ((key, loaded[key]) for key in loaded.files)
                return {key: array for key, array in members if isinstance(array, np.ndarray)}
    matrix = sparse.load_npz(path)
    if matrix.format in COMPRESSED:
        height, width = matrix.blocksize if matrix.format == "bsr" else (1, 1)
        sides = matrix.shape[0] // height, matrix.shape[1] // width
        if matrix.format == "csc":
            sides = sides[::-1]
        check_compressed(matrix.data, matrix.indices, matrix.indptr, *sides)
    return matrix


def _large_array(stream: IO[bytes]) -> BlockMatrix | None:
    """Return a large .npy by blocks, where its rows, or its columns, follow one another along the longer side."""
    try:
        if npy.read_magic(stream) == (1, 0):
            shape, fortran_order, dtype = npy.read_array_header_1_0(stream)
            if (
                len(shape) == 2
                and _size(stream) >= stream.tell() + math.prod(shape) * dtype.itemsize
            ):
                sides = shape[::-1] if fortran_order else shape
                rows = StoredArray(OpenFile(stream), stream.tell(), sides, dtype)
                blocks = large(rows, is_sparse=False)
                return blocks.T if blocks is not None and fortran_order else blocks
    except ValueError:
        pass  # no .npy, or a damaged one: what is wrong is said by np.load
    finally:
        stream.seek(0)
    return None


def _size(stream: IO[bytes]) -> int:
    return os.fstat(stream.fileno()).st_size


def check_compressed(
    data: Block,
    indices: Block,
    indptr: Block,
    n_major: int,
    n_minor: int,
    *,
    check_indices: bool = True,
) -> None:
    """Refuse indices that would make SciPy's compiled code write outside its memory.

    `check_format(full_check=True)` looks no further where ``indptr`` ends in a negative number.

    Parameters
    ----------
    data, indices, indptr : ndarray
        Of a CSR or CSC matrix.
    n_major, n_minor : int
        Length of the axis that ``indptr`` counts, and of the other one.
    check_indices : bool
        Whether to look at the indices themselves.

    Raises
    ------
    ValueError
        If they do not fit together.
    """
    if indptr.shape != (n_major + 1,) or indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any():
        raise ValueError("indptr does not rise from 0, with one step a row or column")
    if indices.shape != (indptr[-1],) or len(data) != indptr[-1]:
        raise ValueError("indptr, indices and data differ in length")
    if check_indices and indices.size and (indices.min() < 0 or indices.max() >= n_minor):
        raise ValueError(f"an index lies outside 0 … {n_minor - 1}")


def _supported(matrix: Block, name: str) -> Parsed:
    """Return the matrix with entries of a type that SciPy can compute with."""
    dtype = matrix.dtype
    if dtype.kind not in "fiub" or (dtype.isnative and dtype != np.float16):
        return Parsed(matrix)
    target = np.dtype(float) if dtype.itemsize == 2 and dtype.kind == "f" else dtype
    matrix.data = matrix.data.astype(target.newbyteorder("="))
    return Parsed(matrix, notices=(f"{name}: {dtype} values are converted to {matrix.dtype}.",))


def _two_dimensional(array: Block, name: str) -> Block:
    if array.ndim != 2 or array.dtype.names:
        what = "named fields" if array.dtype.names else f"shape {array.shape}"
        raise InputError(
            f"{name} holds an array with {what}, not a matrix of two dimensions. "
            "Reshape it to features × samples and save it again; a stack of images (images × height × width) is read "
            "where `format: images` is set."
        )
    return array


def _ids(array: Block, key: str, name: str) -> list[str]:
    if array.ndim != 1 or array.dtype.kind not in "USTiu":
        raise InputError(
            f"{name}: {key} has shape {array.shape} and type {array.dtype}; expected is one text "
            "for each row or column. Save it as np.array(ids, dtype=str)."
        )
    if array.dtype.kind == "S":
        return [item.decode("utf-8") for item in array.tolist()]
    return [str(item) for item in array.tolist()]


def _values(content: dict[str, Block], name: str) -> tuple[Block, tuple[str, ...]]:
    matrices = [key for key, array in content.items() if array.ndim == 2]
    chosen = "values" if "values" in content else matrices[0] if len(matrices) == 1 else None
    if chosen is None:
        found = few((f"{key} {array.shape}" for key, array in content.items()), 6) or "nothing"
        raise InputError(
            f"{name} must hold one matrix, or name it 'values'; it holds {found}. Save it by "
            "np.savez(path, values=..., feature_ids=..., sample_ids=...)."
        )
    others = [key for key in content if key != chosen]
    notices = (f"{name}: '{chosen}' is read; ignored: {few(others)}.",) if others else ()
    return _two_dimensional(content[chosen], name), notices
