"""What is to be factorised: V checked, brought to a safe scale and stored the cheaper way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from nmfcore import block_matrix
from nmfcore.block_matrix import BlockMatrix
from nmfcore.divergence import (
    divergence_from_constant,
    divergences,
    sum_of_squares,
    visible_squares,
)
from nmfcore.errors import InputError
from nmfcore.groups import Groups
from nmfcore.solvers.penalties import Penalties

Floats = NDArray[np.floating]
Values: TypeAlias = Any
"""ndarray, csr_array or BlockMatrix of a floating dtype; SciPy has no types to say so."""

LOSSES = {"frobenius": 2.0, "kullback-leibler": 1.0, "itakura-saito": 0.0}
"""Losses by name, and the β of their divergence."""
DTYPES = ("float32", "float64")

DENSE_FROM_DENSITY = {2.0: 0.3, 1.0: 0.3}
"""Share of nonzeros from which a fit is faster on the dense matrix than on CSR, by β (docs/performance.md).

It decides whatever V was given as, so the same numbers get the same fit. Other losses know dense matrices only.
"""
DENSE_BYTES_MAX = 2 << 30
"""A sparse matrix is never made dense beyond this."""


@dataclass(frozen=True)
class Problem:
    """A nonnegative matrix at a safe scale, the loss, which cells count, and penalties.

    Attributes
    ----------
    V : (n_features, n_samples) ndarray, csr_array or BlockMatrix of the working dtype
        The given matrix times 4^−exponent, so that its largest entry lies in [1, 4), times the weights.
    exponent : int
        Factors of the given matrix are those of `V` times 2^exponent each, exactly.
    lack : (n_features, n_samples) csr_array or None
        1 − weight where a cell is missing, held out or trusted less; None where all cells count fully.
    loss : str
        Name of the loss; 'beta=…' for a divergence without one.
    beta : float
    penalties : Penalties
        At the scale of `V`.
    given : (n_features, n_samples) ndarray, csr_array or BlockMatrix
        The matrix before it was scaled, weighted and rounded; 0 in hidden cells.
    ceiling : float
        What a component may make of a cell of `V`; infinite if anything.
    """

    V: Values
    exponent: int
    lack: sparse.csr_array | None
    loss: str
    beta: float
    penalties: Penalties
    given: Values
    ceiling: float

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

    @property
    def is_sparse(self) -> bool:
        """Whether the solvers see V as CSR."""
        return self.V.is_sparse if isinstance(self.V, BlockMatrix) else sparse.issparse(self.V)

    @cached_property
    def exact(self) -> Values:
        """The matrix at the scale of `V` in float64, unweighted: what losses are reported for."""
        return scaled(self.given, -2 * self.exponent, np.float64)

    @cached_property
    def weights(self) -> Floats | None:
        """Weights in full, or None where all cells count fully."""
        return None if self.lack is None else 1 - self.lack.toarray()

    @cached_property
    def is_masked(self) -> bool:
        """Whether cells are hidden, and all others count fully."""
        return self.lack is not None and bool((self.lack.data == 1).all())

    @cached_property
    def squares(self) -> float:
        """Σ w v² at the scale of `V`."""
        return sum_of_squares(self.exact, None if self.is_masked else self.weights)

    @cached_property
    def null_loss(self) -> float:
        """What losses are relative to: that of the mean in every cell; for Frobenius of no component at all."""
        if self.beta == 2:
            return 0.5 * self.squares
        return divergence_from_constant(self.exact, self.beta, self.weights)

    def part(self, kept: NDArray[np.intp], of_features: bool) -> Problem:
        """Return the problem of some features or samples alone, at the same scale; not for a matrix by blocks."""

        def taken(values: Values) -> Values:
            return values[kept] if of_features else values[:, kept]

        lack = None if self.lack is None else taken(self.lack)
        return replace(self, V=taken(self.V), lack=lack, given=taken(self.given))

    def losses(self, W: Floats, H: Floats, groups: Groups | None = None) -> NDArray[np.float64]:
        """Losses of runs at the scale of `V`, in float64; see `nmfcore.divergence.divergences`."""
        if (
            self.beta == 2
            and self.lack is not None
            and self.is_masked
            and sparse.issparse(self.exact)
        ):
            return visible_squares(self.exact, self.lack, W, H, groups or Groups.of(range(len(W))))
        return divergences(self.exact, W, H, self.beta, self.weights, groups)

    @cached_property
    def mean(self) -> float:
        """Weighted mean of the cells of `V`."""
        rows, columns = self.shape
        weight = rows * columns - (
            0 if self.lack is None else float(self.lack.sum(dtype=np.float64))
        )
        return float(self.V.sum(dtype=np.float64)) / max(weight, np.finfo(float).tiny)

    def in_units(self, loss: NDArray[np.float64]) -> NDArray[np.float64]:
        """Losses of `V` as those of the given matrix; 0 or inf past the range of float64."""
        power = 2 * self.exponent * self.beta
        whole = int(power)
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(np.ldexp(loss * 2.0 ** (power - whole), whole))


def as_values(V: ArrayLike | Any) -> Values:
    """V as a floating ndarray or canonical CSR, checked; the caller's object is left as it is.

    Raises
    ------
    InputError
        If V is not two-dimensional, holds no numbers, or holds negative or non-finite ones.
    """
    if isinstance(V, BlockMatrix):
        return _checked_blocks(V)
    if sparse.issparse(V):
        values: Any = sparse.csr_array(V, copy=True)
        values.sum_duplicates()
        data = values.data = _as_floats(values.data)
        values.eliminate_zeros()
    else:
        values = data = _as_floats(_as_array(V))
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"V has shape {values.shape}; a matrix (n_features, n_samples) is needed.")
    if not np.isfinite(data).all():
        raise _not_finite(int(np.count_nonzero(~np.isfinite(data))))
    if data.size and data.min() < 0:
        raise _negative(int(np.count_nonzero(data < 0)), float(data.min()))
    return values


def _checked_blocks(V: BlockMatrix) -> BlockMatrix:
    facts = V.source.facts
    if facts.n_not_finite:
        raise _not_finite(facts.n_not_finite)
    if facts.n_negative:
        raise _negative(facts.n_negative, facts.smallest)
    return V


def _not_finite(count: int) -> InputError:
    return InputError(
        f"V has {count} NaN or infinite entries; "
        "remove them, or pass `observed` with False in these cells and any number in V."
    )


def _negative(count: int, smallest: float) -> InputError:
    return InputError(
        f"V has {count} negative entries (smallest {smallest:g}); NMF needs "
        "nonnegative data. Logged, centred or z-scored data must be taken back to their original scale."
    )


def _as_array(V: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(V)
    except ValueError as error:
        raise InputError(f"V is no matrix: {error}.") from None


def _as_floats(data: NDArray[Any]) -> Floats:
    if data.dtype in (np.float32, np.float64):
        return np.asarray(data)
    if data.dtype.kind not in "buif":
        raise InputError(f"V has dtype {data.dtype}; numbers are needed.")
    return data.astype(np.float64)


def parse_loss(loss: str | float) -> tuple[str, float]:
    """Name and β of a loss given by name or by its β.

    Raises
    ------
    InputError
        If it is neither.
    """
    if isinstance(loss, str) and loss in LOSSES:
        return loss, LOSSES[loss]
    try:
        beta = float(str(loss).removeprefix("beta="))
    except ValueError:
        raise InputError(
            f"loss {loss!r} is not known; choose {', '.join(LOSSES)}, or give a number: the β of a β-divergence."
        ) from None
    if not -2 <= beta <= 4:
        raise InputError(f"β = {beta:g} is outside −2 … 4, where the β-divergences are of use.")
    names = {value: name for name, value in LOSSES.items()}
    return names.get(beta, f"beta={beta:g}"), beta


def pose(
    V: ArrayLike | Any,
    observed: ArrayLike | None = None,
    loss: str | float = "frobenius",
    dtype: str = "float32",
    weights: ArrayLike | None = None,
    penalties: Penalties | None = None,
    by_blocks: bool = True,
    ceiling: float | None = None,
) -> Problem:
    """Check V and the choices made for it, and bring it to the form that the solvers work on.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
        Nonnegative. The masked cells of a masked array are not observed.
    observed : (n_features, n_samples) array_like of bool, optional
        False where a cell must not influence the fit; whatever stands there in V is ignored.
    loss : str or float
        A name of `LOSSES`, or the β of a β-divergence.
    dtype : {"float32", "float64"}
        Working precision.
    weights : (n_features, n_samples) array_like, optional
        In [0, 1]: how much each cell counts.
    penalties : Penalties, optional
        In the units of V.
    by_blocks : bool
        Whether a large matrix without weights becomes a `BlockMatrix`, for the Frobenius loss. All other losses, and
        weights, have V in memory.
    ceiling : float, optional
        Times the largest cell that counts; of no effect where all count fully.

    Raises
    ------
    InputError
        If V or a choice cannot be used, saying what can.
    """
    if isinstance(V, np.ma.MaskedArray):
        present = ~np.ma.getmaskarray(V)
        observed = present if observed is None else present & np.asarray(observed, bool)
        V = V.filled(0)
    if not sparse.issparse(V) and not isinstance(V, BlockMatrix):
        V = _as_array(V)
    name, beta = parse_loss(loss)
    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is not known; choose float32 or float64.")
    if ceiling is not None and not ceiling >= 1:
        raise InputError(
            f"ceiling {ceiling!r}: a number of at least 1 is needed, or none; it is times the largest cell of V."
        )
    weight = _weights(np.shape(V), observed, weights)
    if isinstance(V, BlockMatrix) and not (by_blocks and weight is None and beta == 2):
        V = V.loaded()
    values = as_values(V if weight is None else _without(V, weight == 0))
    if by_blocks and weight is None and beta == 2:
        values = in_blocks(values)
    dense_from = DENSE_FROM_DENSITY.get(beta, 0.0)
    values = _few_as_sparse(values, dense_from)
    if beta <= 0 and _count_zeros(values, weight):
        raise InputError(
            f"V has {_count_zeros(values, weight)} zeros, where the {name} divergence is infinite; use "
            "kullback-leibler, hide these cells with `observed`, or add a small constant to V."
        )
    largest = float(values.max())
    # V · 4^−p keeps every bit but in subnormal numbers, and so do W · 2^p and H · 2^p on the way back.
    exponent = int(np.floor(np.log2(largest) / 2)) if largest > 0 else 0
    working = scaled(values, -2 * exponent, dtype)
    lack = None
    if weight is not None and not (weight == 1).all():
        lack = _lack(weight, dtype)
        if weight.dtype != bool:  # what a mask hides is 0 already
            working = (
                sparse.csr_array(working.multiply(weight.astype(dtype)))
                if sparse.issparse(working)
                else working * weight.astype(dtype)
            )
    return Problem(
        _many_as_dense(working, dense_from),
        exponent,
        lack,
        name,
        beta,
        (penalties or Penalties()).at_scale(-2 * exponent, beta),
        values,
        np.inf if lack is None or ceiling is None else ceiling * np.ldexp(largest, -2 * exponent),
    )


def scaled(values: Values, exponent: int, dtype: Any) -> Values:
    """`values` times 2^exponent in the given dtype; the same object where that changes nothing."""
    if isinstance(values, BlockMatrix):
        return replace(values, exponent=values.exponent + exponent, dtype=np.dtype(dtype))
    if exponent == 0 and values.dtype == np.dtype(dtype):
        return values
    data = values.data if sparse.issparse(values) else values
    moved = np.ldexp(data.astype(np.float64, copy=False), exponent).astype(dtype, copy=False)
    if not sparse.issparse(values):
        return np.ascontiguousarray(moved)
    return sparse.csr_array((moved, values.indices, values.indptr), shape=values.shape)


def _weights(
    shape: tuple[int, ...], observed: ArrayLike | None, weights: ArrayLike | None
) -> NDArray[Any] | None:
    """Weight of every cell, as bool where there is a mask only: an eighth of the memory."""
    weight: NDArray[Any] | None = None
    for name, given in (("observed", observed), ("weights", weights)):
        if given is None:
            continue
        array = np.asarray(given, bool if name == "observed" else float)
        if array.shape != shape:
            raise InputError(f"{name} has shape {array.shape}, V has {shape}.")
        weight = array if weight is None else weight * array
    if weight is None:
        return None
    if not np.isfinite(weight).all() or weight.min() < 0 or weight.max() > 1:
        raise InputError("weights must lie between 0 and 1; divide them by the largest.")
    if not weight.any():
        raise InputError("No cell of V is observed; there is nothing to factorise.")
    return weight


def _lack(weight: NDArray[Any], dtype: str) -> sparse.csr_array:
    """1 − weight where that is not 0."""
    if weight.dtype == bool:
        return sparse.csr_array(~weight).astype(dtype)
    return sparse.csr_array((1 - weight).astype(dtype))


def _without(V: Any, hidden: NDArray[np.bool_]) -> Any:
    if not sparse.issparse(V):
        return np.where(hidden, 0, np.asarray(V))
    coo = sparse.coo_array(V)
    kept = ~hidden[coo.row, coo.col]
    return sparse.coo_array((coo.data[kept], (coo.row[kept], coo.col[kept])), shape=coo.shape)


def _count_zeros(values: Values, weight: NDArray[Any] | None) -> int:
    n_cells = values.shape[0] * values.shape[1] if weight is None else int(np.count_nonzero(weight))
    positive = values.nnz if sparse.issparse(values) else int(np.count_nonzero(values))
    return n_cells - positive


def _few_as_sparse(values: Values, dense_from: float) -> Values:
    """Return a dense matrix as CSR where so few of its entries are not 0 that fits are faster."""
    if not isinstance(values, np.ndarray):
        return values
    counts = np.count_nonzero(values, axis=1)
    n_nonzero = int(counts.sum())
    if n_nonzero >= dense_from * values.size:
        return values
    # Here, because who only reads and writes matrices should not wait for the compiler.
    from nmfcore.solvers.csr_kernels import fill_csr

    index_dtype = sparse.get_index_dtype(maxval=max(n_nonzero, values.shape[1]))
    indptr = np.zeros(len(values) + 1, index_dtype)
    np.cumsum(counts, out=indptr[1:])
    indices, data = np.empty(n_nonzero, indptr.dtype), np.empty(n_nonzero, values.dtype)
    fill_csr(values, indptr, indices, data)
    return sparse.csr_array((data, indices, indptr), shape=values.shape)


def _many_as_dense(values: Values, dense_from: float) -> Values:
    """Return CSR of many entries dense, for the same reason; never beyond `DENSE_BYTES_MAX`."""
    if isinstance(values, BlockMatrix):
        return values
    if not sparse.issparse(values):
        return np.ascontiguousarray(values)
    size = values.shape[0] * values.shape[1]
    fits = size * values.dtype.itemsize <= DENSE_BYTES_MAX
    return values.toarray() if values.nnz >= dense_from * size and fits else values


def in_blocks(values: Values) -> Values:
    """Return a large matrix by blocks, dense or CSR as Frobenius fits have it; a smaller one as it is.

    Parameters
    ----------
    values : ndarray, csr_array or BlockMatrix
        Nonnegative.
    """
    size = values.shape[0] * values.shape[1]
    if isinstance(values, BlockMatrix) or sparse.issparse(values):
        n_nonzero = values.nnz
    elif size <= block_matrix.LARGE:
        return values
    else:
        n_nonzero = np.count_nonzero(values)
    few = n_nonzero < DENSE_FROM_DENSITY[2.0] * size
    if (n_nonzero if few else size) <= block_matrix.LARGE:
        return values.loaded() if isinstance(values, BlockMatrix) else values
    blocks = values if isinstance(values, BlockMatrix) else BlockMatrix.of(values)
    return replace(blocks, is_sparse=few)
