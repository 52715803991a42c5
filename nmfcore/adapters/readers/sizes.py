"""How large a compressed file may become: a few kilobytes can unpack to more than any memory holds."""

from __future__ import annotations

import gzip
import io
import os
import zipfile

from nmfcore.errors import InputError

TEXT_SHARE = 1 / 16
"""Share of the machine's memory that a text may take unpacked; reading it needs several times as much."""

ARRAY_SHARE = 1 / 3
"""The same for arrays."""


def memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def unpacked(content: bytes, name: str) -> bytes:
    """Return what a gzip file holds.

    Raises
    ------
    InputError
        If that is more than the machine could read.
    OSError, EOFError, zlib.error
        If it is damaged.
    """
    limit = int(memory() * TEXT_SHARE)
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        text = stream.read(limit + 1)
    if len(text) > limit:
        raise InputError(_too_large(name, limit))
    return text


def refuse_large_archive(path: str | os.PathLike[str]) -> None:
    """Raise if the members of an .npz would not fit into memory.

    Raises
    ------
    InputError
        Naming the size. Unpacking never gives more than a member announces.
    """
    if not zipfile.is_zipfile(path):
        return
    limit = int(memory() * ARRAY_SHARE)
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > limit:
            raise InputError(_too_large(os.path.basename(path), limit))


def _too_large(name: str, limit: int) -> str:
    return (
        f"{name} unpacks to more than {limit / 1e9:.3g} GB, which this machine's memory "
        f"({memory() / 1e9:.3g} GB) could not hold while it is read. Check that it is the right file; a matrix that "
        "is mostly zeros is better kept sparse (.mtx, or .npz by scipy.sparse.save_npz)."
    )
