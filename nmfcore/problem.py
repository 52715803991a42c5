"""What is to be factorised: V checked, brought to a safe scale and stored the cheaper way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from nmfcore.errors import InputError

Floats = NDArray[np.floating]
Values: TypeAlias = Any
"""ndarray or csr_array of a floating dtype; SciPy has no types to say so."""

LOSSES = ("frobenius",)
DTYPES = ("float32", "float64")

DENSE_FROM_DENSITY = 0.05
"""Share of nonzeros from which products with the dense matrix are faster than with CSR (docs/performance.md)."""
DENSE_BYTES_MAX = 2 << 30
"""A sparse matrix is never made dense beyond this."""


@dataclass(frozen=True)
class Problem:
    """A nonnegative matrix at a safe scale, and which of its cells count.

    Attributes
    ----------
    V : (n_features, n_samples) ndarray or csr_array of the working dtype
        The given matrix times 4^−exponent, so that its largest entry lies in [1, 4); 0 in hidden cells.
    exponent : int
        Factors of the given matrix are those of `V` times 2^exponent each, exactly.
    hidden : (n_features, n_samples) csr_array of bool or None
        Stored where a cell is missing or held out.
    loss : str
    given : (n_features, n_samples) ndarray or csr_array
        The matrix before it was scaled and rounded to the working dtype.
    """

    V: Values
    exponent: int
    hidden: sparse.csr_array | None
    loss: str
    given: Values

    @property
    def shape(self) -> tuple[int, int]:
        """(n_features, n_samples)."""
        rows, columns = self.V.shape
        return int(rows), int(columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Working precision."""
        dtype: np.dtype[Any] = np.dtype(self.V.dtype)
        return dtype

    @cached_property
    def exact(self) -> Values:
        """`V` in float64, before rounding to the working dtype: what losses are reported for."""
        return self.V if self.dtype == np.float64 else _scaled(self.given, self.exponent, "float64")

    @cached_property
    def n_visible(self) -> int:
        """Cells that count."""
        rows, columns = self.shape
        return rows * columns - (0 if self.hidden is None else int(self.hidden.nnz))

    @cached_property
    def mean(self) -> float:
        """Mean of the visible cells of `V`."""
        return float(self.V.sum(dtype=np.float64)) / max(self.n_visible, 1)


def as_values(V: ArrayLike | Any) -> Values:
    """V as a floating ndarray or canonical CSR, checked; the caller's object is left as it is.

    Raises
    ------
    InputError
        If V is not two-dimensional, holds no numbers, or holds negative or non-finite ones.
    """
    if sparse.issparse(V):
        values: Any = sparse.csr_array(V, copy=True)
        values.sum_duplicates()
        values.eliminate_zeros()
        data = values.data = _as_floats(values.data)
    else:
        values = data = _as_floats(np.asarray(V))
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"V has shape {values.shape}; a matrix (n_features, n_samples) is needed.")
    if not np.isfinite(data).all():
        raise InputError(
            f"V has {np.count_nonzero(~np.isfinite(data))} NaN or infinite entries; "
            "remove them, or pass `observed` with False in these cells and any number in V."
        )
    if data.size and data.min() < 0:
        raise InputError(
            f"V has {np.count_nonzero(data < 0)} negative entries (smallest {data.min():g}); NMF needs "
            "nonnegative data. Logged, centred or z-scored data must be taken back to their original scale."
        )
    return values


def _as_floats(data: NDArray[Any]) -> Floats:
    if data.dtype in (np.float32, np.float64):
        return np.asarray(data)
    if data.dtype.kind not in "buif":
        raise InputError(f"V has dtype {data.dtype}; numbers are needed.")
    return data.astype(np.float64)


def pose(
    V: ArrayLike | Any,
    observed: ArrayLike | None = None,
    loss: str = "frobenius",
    dtype: str = "float32",
) -> Problem:
    """Check V and the choices made for it, and bring it to the form that the solvers work on.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
        Nonnegative.
    observed : (n_features, n_samples) array_like of bool, optional
        False where a cell must not influence the fit; whatever stands there in V is ignored.
    loss : str
        One of `LOSSES`.
    dtype : {"float32", "float64"}
        Working precision.

    Raises
    ------
    InputError
        If V or a choice cannot be used, saying what can.
    """
    if loss not in LOSSES:
        raise InputError(f"loss {loss!r} is not known; choose one of {', '.join(LOSSES)}.")
    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is not known; choose float32 or float64.")
    hidden = None
    if observed is not None:
        mask = np.asarray(observed, bool)
        if mask.shape != np.shape(V):
            raise InputError(f"observed has shape {mask.shape}, V has {np.shape(V)}.")
        if not mask.any():
            raise InputError("No cell of V is observed; there is nothing to factorise.")
        V = _blank(V, mask)
        hidden = None if mask.all() else sparse.csr_array(~mask)
    values = as_values(V)
    largest = float(values.max())
    # V · 4^−p keeps every bit but in subnormal numbers, and so do W · 2^p and H · 2^p on the way back.
    exponent = int(np.floor(np.log2(largest) / 2)) if largest > 0 else 0
    return Problem(_stored(_scaled(values, exponent, dtype)), exponent, hidden, loss, values)


def _blank(V: Any, mask: NDArray[np.bool_]) -> Any:
    if not sparse.issparse(V):
        return np.where(mask, np.asarray(V), 0)
    coo = sparse.coo_array(V)
    kept = mask[coo.row, coo.col]
    return sparse.coo_array((coo.data[kept], (coo.row[kept], coo.col[kept])), shape=coo.shape)


def _scaled(values: Values, exponent: int, dtype: str) -> Values:
    data = values.data if sparse.issparse(values) else values
    scaled = np.ldexp(data.astype(np.float64, copy=False), -2 * exponent).astype(dtype, copy=False)
    if not sparse.issparse(values):
        return np.ascontiguousarray(scaled)
    return sparse.csr_array((scaled, values.indices, values.indptr), shape=values.shape)


def _stored(values: Values) -> Values:
    """Return the matrix dense or CSR, whichever makes products faster."""
    if not sparse.issparse(values):
        return values
    size = values.shape[0] * values.shape[1]
    small = size * values.dtype.itemsize <= DENSE_BYTES_MAX
    dense = small and values.nnz >= DENSE_FROM_DENSITY * size
    return values.toarray() if dense else values
