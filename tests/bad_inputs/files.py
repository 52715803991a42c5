"""How the files of the corpus are made."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

Content = bytes | str | Mapping[str, bytes | str]
"""Of a file, or of the files of a folder."""


@dataclass(frozen=True)
class Case:
    """A file that cannot be used.

    Attributes
    ----------
    name : str
    path : str
        Name of the file or folder.
    content : Content
    options : dict
        Further keys of `input` in the configuration.
    fragments : list of str
        What the message must contain.
    """

    name: str
    path: str
    content: Content
    options: dict[str, Any]
    fragments: list[str]

    def write(self, folder: Path) -> Path:
        """Write the file into a folder and return its path."""
        path = folder / self.path
        if isinstance(self.content, Mapping):
            path.mkdir(parents=True)
            for name, content in self.content.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(encoded(content))
        else:
            path.write_bytes(encoded(self.content))
        return path

    @property
    def arguments(self) -> dict[str, Any]:
        """The options as `read_matrix` takes them."""
        sections = {key: value for key, value in self.options.items() if isinstance(value, dict)}
        plain = {key: value for key, value in self.options.items() if key not in sections}
        if "format" in plain:
            plain["format_name"] = plain.pop("format")
        return plain | {"settings": sections}


def encoded(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content


GOOD = "id\ts1\ts2\ts3\ng1\t1\t2\t3\ng2\t4\t5\t6\n"


def npy(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def sparse_npz(matrix: Any) -> bytes:
    stream = io.BytesIO()
    sparse.save_npz(stream, matrix)
    return stream.getvalue()


def csr(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> bytes:
    """Write what no honest matrix would let pass."""
    return npz(
        format=np.array(b"csr"),
        shape=np.array(shape),
        data=np.array(data),
        indices=np.array(indices),
        indptr=np.array(indptr),
    )


def mtx(body: str, header: str = "coordinate real general") -> str:
    return f"%%MatrixMarket matrix {header}\n{body}"


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def workbook() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return stream.getvalue()


OBJECTS = npy(np.array([["a", 1], [2, 3]], dtype=object), allow_pickle=True)
ZSCORED = np.arange(40.0).reshape(4, 10) % 10
ZSCORED = (ZSCORED - ZSCORED.mean(1, keepdims=True)) / ZSCORED.std(1, keepdims=True)
