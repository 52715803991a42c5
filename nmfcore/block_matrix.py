"""A matrix too large to be copied: looked at block by block, whether it lies in memory or on disk.

Blocks run along the longer side, and where one ends depends on the shape alone. So every sum over a large matrix has
the same terms in the same order wherever the matrix lies, and fits are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.floating]
Block = Any
"""ndarray or csr_array: SciPy has no types to say so."""

LARGE = 2**26
"""Cells (or stored entries, of a matrix that is worked on as CSR) from which a matrix is worked on by blocks."""
BLOCK_CELLS = 2**23
"""Cells of a block, about; what is held of it in float64 and the working precision is 100 MB where it is dense."""


class Rows(Protocol):
    """A matrix whose rows can be had a slice at a time: ndarray, csr_array, or a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the entries."""
        ...

    def __getitem__(self, rows: slice, /) -> Block:
        """Rows as an ndarray or csr_array."""
        ...


@dataclass(frozen=True)
class Facts:
    """What one pass over a matrix tells.

    Attributes
    ----------
    total, squares : float
        Sums of the entries and of their squares over `largest` squared, in float64.
    largest, smallest : float
    n_nonzero, n_negative, n_not_finite : int
    """

    total: float
    squares: float
    largest: float
    smallest: float
    n_nonzero: int
    n_negative: int
    n_not_finite: int


class Source:
    """Rows of a large matrix and what is known of them; all views of the matrix share it.

    Parameters
    ----------
    rows : Rows
        At least as many rows as columns.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def slices(self) -> list[slice]:
        """Where the blocks are."""
        n_rows, n_columns = self.rows.shape
        step = max(BLOCK_CELLS // n_columns, 1)
        return [slice(first, min(first + step, n_rows)) for first in range(0, n_rows, step)]

    @cached_property
    def facts(self) -> Facts:
        """Computed in one pass, at first use."""
        found: list[Facts] = []
        for rows in self.slices():
            block = self.rows[rows]
            # What is not 0, row by row: the same sums for a dense and a sparse matrix.
            data = block.data if sparse.issparse(block) else block[block != 0]
            largest = float(data.max(initial=0.0))
            with np.errstate(invalid="ignore"):  # what is not finite is counted, and refused
                shares = data / largest if largest > 0 else data
            found.append(
                Facts(
                    float(data.sum(dtype=np.float64)),
                    float(np.einsum("i,i->", shares, shares, dtype=np.float64)),
                    largest,
                    float(data.min(initial=0.0)),
                    int(data.size),
                    int(np.count_nonzero(data < 0)),
                    int(data.size - np.count_nonzero(np.isfinite(data))),
                )
            )
        peak = max(part.largest for part in found)
        return Facts(
            sum(part.total for part in found),
            sum(part.squares * (part.largest / peak) ** 2 for part in found) if peak > 0 else 0.0,
            peak,
            min(part.smallest for part in found),
            sum(part.n_nonzero for part in found),
            sum(part.n_negative for part in found),
            sum(part.n_not_finite for part in found),
        )


@dataclass(frozen=True)
class BlockMatrix:
    """V (n_features, n_samples) times a power of two, in the working precision; made block by block.

    Attributes
    ----------
    source : Source
        V, or its transpose where there are more samples than features.
    transposed : bool
        Whether it is the transpose.
    dtype : dtype
        Of what its blocks and products hold.
    exponent : int
        Entries are those of `source` times 2^exponent.
    is_sparse : bool
        Whether blocks are CSR.
    """

    source: Source
    transposed: bool
    dtype: np.dtype[Any]
    exponent: int = 0
    is_sparse: bool = False

    @classmethod
    def of(cls, values: Any) -> BlockMatrix:
        """Blocks of a matrix in memory, dense or CSR."""
        transposed = values.shape[0] < values.shape[1]
        rows = values.T if transposed else values
        if sparse.issparse(rows):
            rows = sparse.csr_array(rows)
        return cls(Source(rows), transposed, values.dtype, 0, bool(sparse.issparse(rows)))

    @property
    def shape(self) -> tuple[int, int]:
        """(n_features, n_samples)."""
        n_rows, n_columns = self.source.rows.shape
        return (n_columns, n_rows) if self.transposed else (n_rows, n_columns)

    @property
    def T(self) -> BlockMatrix:
        """The transpose."""
        return replace(self, transposed=not self.transposed)

    @property
    def nnz(self) -> int:
        """Entries that are not 0."""
        return self.source.facts.n_nonzero

    @property
    def squares(self) -> float:
        """Sum of squares."""
        facts = self.source.facts
        return facts.squares * float(np.ldexp(facts.largest, self.exponent)) ** 2

    def sum(self, dtype: Any = np.float64) -> float:
        """Sum of the entries."""
        return float(np.asarray(np.ldexp(self.source.facts.total, self.exponent), dtype))

    def max(self) -> float:
        """Largest entry."""
        return float(np.ldexp(self.source.facts.largest, self.exponent))

    def astype(self, dtype: Any) -> BlockMatrix:
        """Return the matrix in another precision."""
        return replace(self, dtype=np.dtype(dtype))

    def blocks(self) -> Iterator[tuple[slice, Block]]:
        """Rows of `source` and what they hold."""
        for rows in self.source.slices():
            yield rows, self._formed(self.source.rows[rows])

    def parts(self) -> Iterator[tuple[slice, slice, Block]]:
        """Features, samples and what V holds there; sparse parts are CSR or CSC."""
        for rows, block in self.blocks():
            if self.transposed:
                yield slice(None), rows, block.T
            else:
                yield rows, slice(None), block

    def times(self, factors: Floats) -> Floats:
        """``factors @ Vᵀ``, (n, n_features), of factors (n, n_samples)."""
        out = np.zeros((len(factors), self.shape[0]), self.dtype)
        for features, samples, part in self.parts():
            out[:, features] += times_transposed(factors[:, samples], part)
        return out

    def __matmul__(self, other: Floats) -> Floats:
        """``V @ other`` of (n_samples, n) or (n_samples,)."""
        columns = np.atleast_2d(np.asarray(other, self.dtype).T)
        product = self.times(np.ascontiguousarray(columns)).T
        return product[:, 0] if np.ndim(other) == 1 else product

    def matvec(self, vector: Floats) -> Floats:
        """``V @ vector``, under the name that SciPy's operators ask for."""
        return self @ vector.ravel()

    def rmatvec(self, vector: Floats) -> Floats:
        """``Vᵀ @ vector``."""
        return self.T @ vector.ravel()

    def gram(self) -> NDArray[np.float64]:
        """Gram matrix of the shorter side, in float64."""
        size = min(self.shape)
        gram = np.zeros((size, size))
        for _, block in self.astype(np.float64).blocks():
            product = block.T @ block
            gram += product.toarray() if sparse.issparse(product) else product
        return gram

    def submatrix(self, features: NDArray[np.intp], samples: NDArray[np.intp]) -> Block:
        """Some rows and columns in memory, as an ndarray or csr_array; indices ascend."""
        along, across = (samples, features) if self.transposed else (features, samples)
        found = []
        for rows in self.source.slices():
            own = along[np.searchsorted(along, rows.start) : np.searchsorted(along, rows.stop)]
            if own.size:
                found.append(self._formed(self.source.rows[rows])[own - rows.start][:, across])
        joined = sparse.vstack(found) if self.is_sparse else np.concatenate(found)
        whole = joined.T if self.transposed else joined
        return sparse.csr_array(whole) if self.is_sparse else np.ascontiguousarray(whole)

    def loaded(self) -> Block:
        """All of it in memory, as an ndarray or csr_array."""
        return self.submatrix(*map(np.arange, self.shape))

    def _formed(self, block: Block) -> Block:
        if self.is_sparse != sparse.issparse(block):
            block = sparse.csr_array(block) if self.is_sparse else block.toarray()
        data = block.data if self.is_sparse else block
        moved = _scaled(np.ascontiguousarray(data), self.exponent, self.dtype)
        if not self.is_sparse:
            return moved
        return sparse.csr_array((moved, block.indices, block.indptr), shape=block.shape)


def _scaled(data: Floats, exponent: int, dtype: np.dtype[Any]) -> Floats:
    """``data · 2^exponent``, rounded once."""
    if exponent == 0:
        return data.astype(dtype, copy=False)
    if abs(exponent) > 1000:  # 2^exponent itself may be out of range
        return np.ldexp(data.astype(np.float64), exponent).astype(dtype)
    out = np.empty(data.shape, dtype)
    np.multiply(data, np.float64(2.0**exponent), out=out, dtype=np.float64, casting="same_kind")
    return out


def times_transposed(factors: Floats, matrix: Block) -> Floats:
    """``factors @ matrixᵀ`` of a dense, CSR or CSC matrix; SciPy takes several times as long for the sparse ones."""
    if not sparse.issparse(matrix):
        return np.asarray(factors @ matrix.T)
    # Here, because who only reads and writes matrices should not wait for the compiler.
    from nmfcore.solvers.csr_kernels import csr_product, csr_transposed_product

    multiply = csr_product if matrix.format == "csr" else csr_transposed_product
    out = np.empty((len(factors), matrix.shape[0]), factors.dtype)
    rows = np.ascontiguousarray(factors)
    multiply(matrix.indptr, matrix.indices, matrix.data.astype(rows.dtype, copy=False), rows, out)
    return out
