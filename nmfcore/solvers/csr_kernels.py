"""Compiled products of a stack of factors with a CSR matrix.

They take a *panel* of factors at a time, transposed, so that an entry of the matrix meets neighbours in memory. Numba
keeps running sums in memory where they are an array; the loop over the entries of a row is therefore written for LLVM
directly, which keeps them in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nmfcore.limits import PANEL_BYTES
from nmfcore.solvers.kernels import BLOCK, Batch, compiled

VECTOR_BYTES = 64
"""Of a vector: the widest registers there are; LLVM makes two of it for processors that have narrower ones."""
VECTORS_MAX = PANEL_BYTES // VECTOR_BYTES
"""Vectors of a panel at most."""
COLUMNS_AT_A_TIME = 512
"""Columns whose panel stays in a cache."""
COLUMNS_MAX = 2048
"""The same where the sums of all rows, `SUMS_BYTES` or more, come and go, and rows are entered in their middle."""
SUMS_BYTES = 2**20
ENTRIES_LEAST = 50
"""Entries that a row has in a block on the average at least, or its sums come and go too often."""
ROWS_AT_A_TIME = 64
"""Rows whose sums stay in the first-level cache until they are written out."""


def _add_entries(n_vectors: int) -> Any:
    """Function that adds Σ data[p] · panel[indices[p] − first], over p from start to stop, to a row of `sums`.

    Parameters
    ----------
    n_vectors : int
        Width of `panel` and `sums`, which are C-contiguous.
    """

    def add(
        typing_context: Any,
        panel: Any,
        indices: Any,
        data: Any,
        start: Any,
        stop: Any,
        first: Any,
        sums: Any,
        row: Any,
    ) -> Any:
        whole = types.intp
        signature = types.void(panel, indices, data, whole, whole, whole, sums, whole)

        def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
            arrays = [
                cgutils.create_struct_proxy(signature.args[i])(context, builder, arguments[i]).data
                for i in (0, 1, 2, 6)
            ]
            number = context.get_value_type(signature.args[0].dtype)
            n_bytes = signature.args[0].dtype.bitwidth // 8
            _generate_loop(
                builder, n_vectors, number, n_bytes, arrays, (*arguments[3:6], arguments[7])
            )
            return context.get_dummy_value()

        return signature, generate

    return intrinsic(add)


def _generate_loop(
    builder: Any,
    n_vectors: int,
    number: Any,
    n_bytes: int,
    arrays: Sequence[Any],
    bounds: Sequence[Any],
) -> None:
    """Write the loop of `_add_entries`: `n_vectors` sums in registers, one entry a turn."""
    panel, indices, data, sums_of_rows = arrays
    start, stop, first, own_row = bounds
    whole, place = ir.IntType(64), ir.IntType(32)
    lanes = VECTOR_BYTES // n_bytes
    width = ir.Constant(whole, n_vectors * lanes)
    vector = ir.VectorType(number, lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    same_lane = ir.Constant(ir.VectorType(place, lanes), [0] * lanes)

    def vectors_of(array: Any, row: Any) -> list[Any]:
        at = builder.gep(array, [builder.mul(row, width)])
        offsets = [ir.Constant(whole, v * lanes) for v in range(n_vectors)]
        return [builder.bitcast(builder.gep(at, [o]), vector.as_pointer()) for o in offsets]

    before = builder.block
    places = vectors_of(sums_of_rows, own_row)
    given = [builder.load(at, align=n_bytes) for at in places]
    head, body, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
    builder.branch(head)

    builder.position_at_end(head)
    p = builder.phi(whole)
    sums = [builder.phi(vector) for _ in range(n_vectors)]
    builder.cbranch(builder.icmp_signed("<", p, stop), body, after)

    builder.position_at_end(body)
    column = builder.load(builder.gep(indices, [p]))
    if column.type.width < whole.width:
        column = builder.sext(column, whole)
    entry = builder.load(builder.gep(data, [p]))
    spread = builder.shuffle_vector(
        builder.insert_element(undefined, entry, ir.Constant(place, 0)), undefined, same_lane
    )
    # Multiplied and added in one step, but entry by entry: a sum has the same bits in a panel of any width.
    terms = [
        builder.fmul(builder.load(at, align=n_bytes), spread, flags=["contract"])
        for at in vectors_of(panel, builder.sub(column, first))
    ]
    grown = [builder.fadd(s, t, flags=["contract"]) for s, t in zip(sums, terms, strict=True)]
    following = builder.add(p, ir.Constant(whole, 1))
    builder.branch(head)

    for phi, at_first, later in zip((p, *sums), (start, *given), (following, *grown), strict=True):
        phi.add_incoming(at_first, before)
        phi.add_incoming(later, body)
    builder.position_at_end(after)
    for s, at in zip(sums, places, strict=True):
        builder.store(s, at, align=n_bytes)


_add_1, _add_2, _add_3, _add_4 = (_add_entries(n) for n in range(1, 5))
_add_5, _add_6 = (_add_entries(n) for n in range(5, 7))


@compiled
def _add_entries_of(
    starts: Any, ends: Any, indices: Any, data: Any, panel: Any, first: int, sums: Any
) -> None:
    """Add what the entries of every row from its start to its end give to its sums."""
    n_vectors = sums.shape[1] * sums.itemsize // VECTOR_BYTES
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        if n_vectors == 1:
            _add_1(panel, indices, data, start, end, first, sums, i)
        elif n_vectors == 2:
            _add_2(panel, indices, data, start, end, first, sums, i)
        elif n_vectors == 3:
            _add_3(panel, indices, data, start, end, first, sums, i)
        elif n_vectors == 4:
            _add_4(panel, indices, data, start, end, first, sums, i)
        elif n_vectors == 5:
            _add_5(panel, indices, data, start, end, first, sums, i)
        else:
            _add_6(panel, indices, data, start, end, first, sums, i)


@compiled
def _lanes(n_rows: int, itemsize: int) -> int:
    """Width of the next of panels about as wide, as few as possible; no sum changes by how many are made at a time."""
    vector = VECTOR_BYTES // itemsize
    n_vectors = (n_rows + vector - 1) // vector
    n_panels = (n_vectors + VECTORS_MAX - 1) // VECTORS_MAX
    return (n_vectors + n_panels - 1) // n_panels * vector


@compiled
def columns_at_a_time(n_in: int, n_out: int, n_entries: int, least: int) -> int:
    """Width of the blocks of columns: whole, or so that the panel stays in a cache and a row has work in each."""
    step = max(least, ENTRIES_LEAST * n_in * n_out // max(n_entries, 1))
    return n_in if 2 * step > n_in else step


@compiled
def _aligned(length: int, lanes: int, like: Any) -> Any:
    """Zeros (length, lanes) of the dtype of `like` that begin where a vector may.

    Numba's own arrays begin at every other such place; vectors then straddle two lines of the cache, and loops that do
    nothing but read them take twice as long.
    """
    room = np.zeros(length * lanes + VECTOR_BYTES // like.itemsize, like.dtype)
    first = (-room.ctypes.data) % VECTOR_BYTES // like.itemsize
    return room[first : first + length * lanes].reshape(length, lanes)


@compiled
def csr_product(indptr: Any, indices: Any, data: Any, factors: Batch, out: Batch) -> None:
    """``out = factors @ Mᵀ`` for a CSR matrix M (n_out, n_in).

    Parameters
    ----------
    indptr, indices, data : CSR of M
        Indices ascend within a row.
    factors : (n_rows, n_in)
    out : (n_rows, n_out)
    """
    n_rows, n_in = factors.shape
    n_out = out.shape[1]
    few = n_out * _lanes(n_rows, factors.itemsize) * factors.itemsize <= SUMS_BYTES
    least = COLUMNS_AT_A_TIME if few else COLUMNS_MAX
    step = columns_at_a_time(n_in, n_out, indptr[n_out], least)
    starts = np.empty(((n_in + step - 1) // step, n_out), indptr.dtype)
    ends = np.empty_like(starts)
    for block in range(len(starts)):
        starts[block] = ends[block - 1] if block else indptr[:n_out]
        ends[block] = starts[block]
        _advance(indptr, indices, min((block + 1) * step, n_in), ends[block])
    cut_product(starts, ends, indices, data, step, factors, out)


@compiled
def cut_product(
    starts: Any, ends: Any, indices: Any, data: Any, step: int, factors: Batch, out: Batch
) -> None:
    """``out = factors @ Mᵀ`` for a matrix M (n_out, n_in) cut into blocks of columns.

    Parameters
    ----------
    starts, ends : (n_blocks, n_out) array of int
        Where the entries of a row in a block begin and end.
    indices, data : columns and values of the entries
        Columns ascend within a row.
    step : int
        Width of a block.
    factors : (n_rows, n_in)
    out : (n_rows, n_out)
    """
    n_rows, n_in = factors.shape
    n_out = out.shape[1]
    widest = _lanes(n_rows, factors.itemsize)
    panel_room = _aligned(step, widest, factors).ravel()
    whole = len(starts) == 1
    # A row that meets all columns at once is done with, and its sums need no place of their own.
    n_sums = min(ROWS_AT_A_TIME, n_out) if whole else n_out
    sums_room = _aligned(n_sums, widest, factors).ravel()
    top = 0
    while top < n_rows:
        lanes = _lanes(n_rows - top, factors.itemsize)
        panel = panel_room[: step * lanes].reshape(step, lanes)
        sums = sums_room[: n_sums * lanes].reshape(n_sums, lanes)
        width = min(lanes, n_rows - top)
        for upper in range(0, n_out, n_sums):
            lower = min(upper + n_sums, n_out)
            sums[:] = factors.dtype.type(0)
            for block in range(len(starts)):
                first = block * step
                if upper == 0:
                    _fill(factors, top, width, first, min(first + step, n_in), panel)
                own = starts[block][upper:lower], ends[block][upper:lower]
                _add_entries_of(own[0], own[1], indices, data, panel, first, sums)
            _take(sums, width, out, top, upper, lower)
        top += lanes


@compiled
def fill_csr(values: Any, indptr: Any, indices: Any, data: Any) -> None:
    """Write the columns and values of the nonzeros of a dense matrix, row by row; several times as fast as SciPy.

    Parameters
    ----------
    values : (n_rows, n_columns)
    indptr : (n_rows + 1,) array of int
        Where the rows begin.
    indices, data : (nnz,)
        Written to.
    """
    for i in range(len(values)):
        p = indptr[i]
        for j in range(values.shape[1]):
            if p == indptr[i + 1]:
                break
            # Written whatever it is, and written over if it is 0: what is next cannot be guessed.
            indices[p] = j
            data[p] = values[i, j]
            p += values[i, j] != 0


@compiled
def cut_by_columns(
    indptr: Any,
    indices: Any,
    data: Any,
    step: int,
    starts: Any,
    ends: Any,
    cut_indices: Any,
    cut_data: Any,
) -> None:
    """Set the entries of a CSR matrix block of columns by block, row by row within each; see `cut_product`.

    Parameters
    ----------
    indptr, indices, data : CSR
        Indices ascend within a row.
    step : int
    starts, ends, cut_indices, cut_data
        Written to.
    """
    n_blocks, n_rows = starts.shape
    reached = indptr[:n_rows].copy()
    place = 0
    for block in range(n_blocks):
        stop = (block + 1) * step
        for i in range(n_rows):
            starts[block, i] = place
            p, end = reached[i], indptr[i + 1]
            while p < end and indices[p] < stop:
                cut_indices[place] = indices[p]
                cut_data[place] = data[p]
                p += 1
                place += 1
            reached[i] = p
            ends[block, i] = place


@compiled
def _advance(indptr: Any, indices: Any, stop: int, reached: Any) -> None:
    """Move on in every row to the first entry whose column is not below `stop`."""
    for i in range(len(reached)):
        p, end = reached[i], indptr[i + 1]
        while p < end and indices[p] < stop:
            p += 1
        reached[i] = p


@compiled
def _take(sums: Any, width: int, out: Any, top: int, upper: int, lower: int) -> None:
    """Write sums to rows of `out`, transposed."""
    for i in range(upper, lower):
        for r in range(width):
            out[top + r, i] = sums[i - upper, r]


@compiled
def _fill(factors: Any, top: int, width: int, first: int, stop: int, panel: Any) -> None:
    """Transpose some rows and columns of the factors into the panel."""
    for c in range(first, stop):
        for r in range(width):
            panel[c - first, r] = factors[top + r, c]


@compiled
def csr_transposed_product(indptr: Any, indices: Any, data: Any, factors: Any, out: Any) -> None:
    """``out = factors @ M`` for a CSR matrix M (n_in, n_out), at best of few columns.

    Slower than `csr_product`, for a matrix that is met too seldom to be transposed.

    Parameters
    ----------
    indptr, indices, data : CSR of M
    factors : (n_rows, n_in)
    out : (n_rows, n_out)
    """
    n_rows, n_in = factors.shape
    n_out = out.shape[1]
    lanes = _lanes(n_rows, factors.itemsize)
    sums = _aligned(n_out, lanes, factors)
    block = _aligned(BLOCK, lanes, factors)
    for first in range(0, n_rows, lanes):
        width = min(lanes, n_rows - first)
        sums[:] = factors.dtype.type(0)
        for top in range(0, n_in, BLOCK):
            bottom = min(top + BLOCK, n_in)
            _fill(factors, first, width, top, bottom, block)
            for i in range(top, bottom):
                own = block[i - top]
                for p in range(indptr[i], indptr[i + 1]):
                    total, v = sums[indices[p]], data[p]
                    for r in range(lanes):
                        total[r] += v * own[r]
        _take(sums, width, out, first, 0, n_out)
