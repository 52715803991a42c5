"""Files to bytes and text; whatever is wrong with a file as such is said here."""

from __future__ import annotations

import difflib
import errno
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from nmfcore.adapters.readers.sizes import unpacked
from nmfcore.adapters.readers.wording import few, quoted
from nmfcore.errors import InputError

GZIP = b"\x1f\x8b"

# What people send in place of a text file, by its first bytes.
FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; in Excel, save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; in Excel, save it as CSV",
    b"\x93NUMPY": "a NumPy file; rename it so that it ends in .npy",
    b"\x89HDF": "an HDF5 file; rename it so that it ends in .h5ad (AnnData) or .h5 (10x)",
    b"PAR1": "a Parquet file; rename it so that it ends in .parquet",
    b"ARROW1": "a Feather file; rename it so that it ends in .feather",
    b"%PDF": "a PDF document; write the matrix as a table",
    b"BZh": "compressed by bzip2; unpack it, or compress it by gzip",
    b"\xfd7zXZ": "compressed by xz; unpack it, or compress it by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it, or compress it by gzip",
    b"<!DOCTYPE": "a web page; download the data file itself",
    b"<!doctype": "a web page; download the data file itself",
    b"<html": "a web page; download the data file itself",
}


@dataclass(frozen=True)
class Text:
    """The lines of a file that are not blank.

    Attributes
    ----------
    name : str
        The file's name, for messages.
    lines : list of str
    numbers : list of int
        Line numbers in the file, counted from 1.
    notices : tuple of str
    """

    name: str
    lines: list[str]
    numbers: list[int]
    notices: tuple[str, ...] = ()

    def at(self, index: int) -> str:
        """Return 'file, line n' of the index-th line that is not blank."""
        return f"{self.name}, line {self.numbers[index]}"


def find(path: str | os.PathLike[str], *, folders: bool = False) -> Path:
    """Return the path of an existing file, or say what is there instead.

    Parameters
    ----------
    path : str or path-like
    folders : bool
        Whether a folder will do.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        If there is no such file, it is a folder, or it cannot be looked at.
    """
    found = Path(path)
    try:
        is_folder = found.is_dir()
        found.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(_missing(found)) from None
    except (OSError, ValueError) as error:
        raise InputError(unreadable(found, error)) from None
    if is_folder and not folders:
        raise InputError(
            f"{found} is a folder, not a file. Give the path of the file in it"
            f"{_listing(found, ': ')}."
        )
    return found


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """Return what is read of a path: the file itself, or the files of a folder at every depth, sorted.

    Hidden files (.DS_Store) are left out, and what is no folder is returned as it is, there or not.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    list of pathlib.Path
    """
    found = Path(path)
    if not found.is_dir():
        return [found]
    return sorted(
        file
        for file in found.rglob("*")
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(found).parts)
    )


def is_remote(path: str) -> bool:
    """Whether an address of object storage (s3://bucket/matrix.tsv) is meant, not a path of this machine."""
    return "://" in path


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked if its name ends in .gz.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        If it cannot be read, is empty, or is not the gzip file it claims to be.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(unreadable(path, error)) from None
    packed, named_packed = content.startswith(GZIP), path.suffix.lower() == ".gz"
    if content and named_packed and not packed:
        raise InputError(
            f"{path.name} ends in .gz but is not compressed by gzip. Rename it to {path.stem}."
        )
    if packed and not named_packed:
        raise InputError(
            f"{path.name} is compressed by gzip but its name does not say so. "
            f"Rename it to {path.name}.gz."
        )
    content = _unpacked(content, path.name) if packed else content
    if not content:
        raise InputError(f"{path.name} is empty: there is nothing to factorise. Write it again.")
    return content


def read_text(path: Path, *, zero_padded: bool = False) -> Text:
    """Return the lines of a text file, whatever its encoding and line ends.

    Parameters
    ----------
    path : pathlib.Path
    zero_padded : bool
        Whether zero bytes at the end are cut off with a notice. Elsewhere they are refused, since
        an interrupted copy leaves them too; allow them only where the number of lines is checked.

    Returns
    -------
    Text

    Raises
    ------
    InputError
        If the file cannot be read or is not text.
    """
    content = read_bytes(path)
    for start, what in FOREIGN.items():
        if content.startswith(start):
            raise InputError(f"{path.name} is not a text file but {what}.")
    text, notices = _decoded(content, path.name)
    n_zeros = len(text) - len(text.rstrip("\x00"))
    if n_zeros and zero_padded:
        text = text[:-n_zeros]
        notices += (f"{path.name} ends in {n_zeros:,} zero bytes, which are ignored.",)
    elif n_zeros and "\x00" not in text[:-n_zeros]:
        raise InputError(
            f"{path.name} ends in {n_zeros:,} zero bytes, as after an interrupted copy. "
            "Copy it again, or remove them if the table is complete."
        )
    if "\x00" in text:
        raise InputError(
            f"{path.name} is not a text file (it holds zero bytes). "
            "Write it as a table in UTF-8, or give it the suffix of its true format."
        )
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = [(number, line) for number, line in enumerate(lines, 1) if line and not line.isspace()]
    if not kept:
        raise InputError(
            f"{path.name} is empty: it has no line with text, so there is nothing to factorise. "
            "Write it again."
        )
    return Text(path.name, [line for _, line in kept], [number for number, _ in kept], notices)


def _unpacked(content: bytes, name: str) -> bytes:
    try:
        return unpacked(content, name)
    except EOFError:
        reason = "its compressed data ends too early, so it was copied incompletely"
    except (OSError, zlib.error) as error:
        reason = f"its compressed data is damaged ({error})"
    raise InputError(
        f"{name}: {reason}. Copy or download it again (`gzip -t {name}` tests the file)."
    )


def _decoded(content: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    encoding = _unicode_encoding(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise InputError(
                f"{name} begins like {encoding.upper()} text but breaks off at byte "
                f"{error.start:,}. Save it again, best as UTF-8."
            ) from None
        return _western(content, name, error.start)
    if encoding.startswith(("utf-16", "utf-32")):
        return text, (f"{name} is {encoding.upper()} text, read as such.",)
    return text, ()


def _unicode_encoding(content: bytes) -> str:
    marks = {
        b"\xff\xfe\x00\x00": "utf-32",
        b"\x00\x00\xfe\xff": "utf-32",
        b"\xff\xfe": "utf-16",
        b"\xfe\xff": "utf-16",
    }
    for mark, encoding in marks.items():
        if content.startswith(mark):
            return encoding
    # Without a byte-order mark, plain letters in UTF-16 show as every other byte being zero.
    head = content[:1000]
    if len(head) >= 4 and not any(head[1::2]):
        return "utf-16-le"
    if len(head) >= 4 and not any(head[0::2]):
        return "utf-16-be"
    return "utf-8-sig"


def _western(content: bytes, name: str, position: int) -> tuple[str, tuple[str, ...]]:
    before = content[:position].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    line = before.count(b"\n") + 1
    try:
        text, encoding = content.decode("cp1252"), "Windows-1252 (Latin-1)"
    except UnicodeDecodeError:
        text, encoding = content.decode("latin-1"), "Latin-1"
    after = content[position : position + 10].decode("latin-1").split("\n")[0].rstrip("\r")
    start = before.rpartition(b"\n")[2][-10:].decode("latin-1")
    return text, (
        f"{name} is not UTF-8 (first seen on line {line}, near {quoted(start + after)}); "
        f"read as {encoding}. If ids look wrong, save the file as UTF-8.",
    )


def _missing(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"{path} does not exist: there is no folder {folder}. Check the path."
    names = _names(folder)
    lower = {name.lower(): name for name in names}
    close = [lower[n] for n in difflib.get_close_matches(path.name.lower(), lower, n=3)]
    if close:
        return f"{path} does not exist. Did you mean {' or '.join(close)}?"
    return f"{path} does not exist. Check the path{_listing(folder, '; its folder holds ')}."


def unreadable(path: Path, error: Exception) -> str:
    """Return why the system would not read a file."""
    if isinstance(error, PermissionError):
        return (
            f"{path} may not be read by this user (permission denied). "
            f"Allow it, for example by `chmod u+r {path.name}`."
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        reason = "the name is too long"
    return f"{quoted(str(path), 200)} cannot be read: {reason}. Check the path."


def _listing(folder: Path, lead: str) -> str:
    names = _names(folder)
    return lead + few(names) if names else ""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return []
