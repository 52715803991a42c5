"""Rows of a matrix inside an npz file, read when they are asked for; and such files written row by row.

An npz made by NumPy holds its arrays as they are in memory, one after another, so a part of one is a part of the file.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from scipy import sparse

_LOCAL_HEADER = 30  # bytes of a zip entry before its name


class OpenFile:
    """A file that stays open as long as this object lives: were it replaced meanwhile, it would still be the same one.

    Parameters
    ----------
    file : binary file
        May be closed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.name = file.name
        self.descriptor = os.dup(file.fileno())

    def __del__(self) -> None:
        os.close(self.descriptor)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from an offset on."""
        return os.pread(self.descriptor, size, offset)

    def read_into(self, target: NDArray[Any], offset: int) -> None:
        """Fill a contiguous array with the bytes from an offset on."""
        unread: Any = memoryview(target.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        while len(unread):
            n_read = os.preadv(self.descriptor, [unread], offset)
            if not n_read:
                raise EOFError(f"{self.name} ends early")
            unread, offset = unread[n_read:], offset + n_read


@dataclass(frozen=True)
class StoredArray:
    """An array in an open file, of which slices along its first axis are read.

    Attributes
    ----------
    file : OpenFile
    offset : int
        Of the first entry, in bytes.
    shape : tuple of int
    dtype : dtype
    """

    file: OpenFile
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        out = np.empty((rows.stop - rows.start, *self.shape[1:]), self.dtype)
        self.file.read_into(out, self.offset + rows.start * (out.nbytes // max(len(out), 1)))
        return out


@dataclass(frozen=True)
class StoredCsr:
    """Rows of a CSR matrix whose entries are in an open file."""

    data: StoredArray
    indices: StoredArray
    indptr: NDArray[np.integer]
    shape: tuple[int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the entries."""
        return self.data.dtype

    def __getitem__(self, rows: slice) -> sparse.csr_array:
        indptr = self.indptr[rows.start : rows.stop + 1]
        entries = slice(int(indptr[0]), int(indptr[-1]))
        index_dtype = self.indices.dtype
        return sparse.csr_array(
            (self.data[entries], self.indices[entries], (indptr - indptr[0]).astype(index_dtype)),
            shape=(rows.stop - rows.start, self.shape[1]),
        )


def stored_array(file: OpenFile, archive: zipfile.ZipFile, name: str) -> tuple[StoredArray, bool]:
    """Find an array in an npz; also whether it is stored column by column, and so the transpose is returned."""
    entry = archive.getinfo(f"{name}.npy")
    lengths = file.read(entry.header_offset + _LOCAL_HEADER - 4, 4)
    start = entry.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", lengths))
    with archive.open(entry) as member:
        npy.read_magic(member)
        shape, fortran_order, dtype = npy.read_array_header_1_0(member)
        start += member.tell()
    return StoredArray(file, start, shape[::-1] if fortran_order else shape, dtype), fortran_order


@dataclass(frozen=True)
class Stream:
    """An array that is written part by part.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    parts : callable
        Makes an iterator over consecutive parts.
    fortran_order : bool
        Whether the parts are columns.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    parts: Callable[[], Iterator[NDArray[Any]]]
    fortran_order: bool = False


def append_streams(file: IO[bytes], streams: Mapping[str, Stream]) -> None:
    """Add arrays to an npz that is open for reading and writing."""
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        for name, stream in streams.items():
            header = {
                "descr": npy.dtype_to_descr(stream.dtype),
                "fortran_order": stream.fortran_order,
                "shape": stream.shape,
            }
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array_header_1_0(member, header)
                for part in stream.parts():
                    member.write(np.ascontiguousarray(part, stream.dtype).data)
