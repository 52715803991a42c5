"""Compiled loops over a batch of factors.

A batch holds one factor of every run, component by component: ``(n_runs, rank, length)``, C-contiguous. Blocks of
`BLOCK` columns are copied to scratch that stays in the first-level cache, where several sweeps run before the
result is written back; this is what lifts the arithmetic from memory speed to that of the processor.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

BLOCK = 128

compiled: Any = numba.njit(fastmath=True, cache=True, nogil=True, error_model="numpy")
compiled_to_the_bit: Any = numba.njit(cache=True, nogil=True, error_model="numpy")
"""For loops that store quotients.

Under fast arithmetic, vectors are divided by an approximation and single numbers are not; and a loop goes by single
numbers where its arrays happen to lie close to each other in memory. Results would depend on that.
"""

Batch = Any  # (n_runs, rank, length) array of one floating dtype; numba's signatures are untyped


@compiled
def sweep(start: Batch, rhs: Batch, gram: Batch, n_sweeps: int, out: Batch) -> None:
    """Coordinate descent on min ½‖V − WH‖² in one factor, the other being fixed (HALS).

    Parameters
    ----------
    start, out : (n_runs, rank, length)
        Factor before and after; may be the same array.
    rhs : (n_runs, rank, length)
        Products of V with the fixed factor.
    gram : (n_runs, rank, rank)
        Gram matrices of the fixed factor. A component whose diagonal entry is 0, or so small that its inverse might
        overflow, is left as it is.
    n_sweeps : int
        Sweeps over the components for one product.
    """
    n_runs, rank, length = start.shape
    x = np.empty((rank, BLOCK), start.dtype)
    b = np.empty((rank, BLOCK), start.dtype)
    t = np.empty(BLOCK, start.dtype)
    zero = start.dtype.type(0)
    one = start.dtype.type(1)
    least = start.dtype.type(1e-30 if start.itemsize == 4 else 1e-250)
    x[:] = zero
    b[:] = zero
    for s in range(n_runs):
        for first in range(0, length, BLOCK):
            width = min(BLOCK, length - first)
            for j in range(rank):
                for c in range(width):
                    x[j, c] = start[s, j, first + c]
                    b[j, c] = rhs[s, j, first + c]
            for _ in range(n_sweeps):
                for j in range(rank):
                    g = gram[s, j, j]
                    if g <= least:
                        continue
                    inverse = one / g
                    for c in range(BLOCK):
                        t[c] = b[j, c]
                    i = 0
                    while i + 4 <= rank:
                        g0 = gram[s, j, i]
                        g1 = gram[s, j, i + 1]
                        g2 = gram[s, j, i + 2]
                        g3 = gram[s, j, i + 3]
                        for c in range(BLOCK):
                            t[c] -= (
                                g0 * x[i, c]
                                + g1 * x[i + 1, c]
                                + g2 * x[i + 2, c]
                                + g3 * x[i + 3, c]
                            )
                        i += 4
                    while i < rank:
                        g0 = gram[s, j, i]
                        for c in range(BLOCK):
                            t[c] -= g0 * x[i, c]
                        i += 1
                    for c in range(BLOCK):
                        v = x[j, c] + t[c] * inverse
                        x[j, c] = v if v > zero else zero
            for j in range(rank):
                for c in range(width):
                    out[s, j, first + c] = x[j, c]


@compiled
def extrapolate(new: Batch, previous: Batch, step: Batch, keep: float, out: Batch) -> None:
    """``out = max(new + step · (new − previous), keep · new)``, with one step a run."""
    n_runs, rank, length = new.shape
    share = new.dtype.type(keep)
    for s in range(n_runs):
        beta = step[s]
        for j in range(rank):
            for c in range(length):
                v = new[s, j, c] + beta * (new[s, j, c] - previous[s, j, c])
                out[s, j, c] = max(v, share * new[s, j, c])


@compiled
def sampled_product(indptr: Any, indices: Any, left: Any, right: Any, out: Any) -> None:
    """Entries of ``left @ right.T`` at the places of a CSR matrix; left (n_rows, rank), right (n_columns, rank)."""
    for i in range(len(indptr) - 1):
        a = left[i]
        for p in range(indptr[i], indptr[i + 1]):
            b = right[indices[p]]
            total = out.dtype.type(0)
            for j in range(len(a)):
                total += a[j] * b[j]
            out[p] = total


@compiled
def products_at(rows: Any, columns: Any, left: Any, right: Any, out: Any) -> None:
    """Entries of ``left @ right.T`` at some cells, summed in float64; left (n_rows, rank), right (n_columns, rank)."""
    for c in range(len(rows)):
        a, b = left[rows[c]], right[columns[c]]
        total = 0.0
        for j in range(len(a)):
            total += np.float64(a[j]) * np.float64(b[j])
        out[c] = total


@compiled
def entries_at(indptr: Any, indices: Any, data: Any, rows: Any, columns: Any, out: Any) -> None:
    """Entries of a CSR matrix with sorted indices at some cells, which are sorted by row and column."""
    p, row = 0, -1
    for c in range(len(rows)):
        if rows[c] != row:
            row = rows[c]
            p = indptr[row]
        while p < indptr[row + 1] and indices[p] < columns[c]:
            p += 1
        found = p < indptr[row + 1] and indices[p] == columns[c]
        out[c] = data[p] if found else 0.0


@compiled
def inner_products(a: Batch, b: Batch) -> Any:
    """Σ a·b of every run, accumulated in float64."""
    n_runs, rank, length = a.shape
    out = np.zeros(n_runs)
    for s in range(n_runs):
        total = 0.0
        for j in range(rank):
            partial = 0.0
            for c in range(length):
                partial += np.float64(a[s, j, c]) * np.float64(b[s, j, c])
            total += partial
        out[s] = total
    return out


@compiled
def pair_products(factor: Any, out: Any) -> None:
    """Products of every two components of a factor.

    Parameters
    ----------
    factor : (rank, length)
    out : (rank · (rank + 1) / 2, length)
        Row j (j + 1) / 2 + i holds component j times component i ≤ j: the lower triangle, row by row.
    """
    rank, length = factor.shape
    pair = 0
    for j in range(rank):
        for i in range(j + 1):
            for c in range(length):
                out[pair, c] = factor[j, c] * factor[i, c]
            pair += 1


@compiled
def _place(i: int, j: int) -> int:
    """Row of a lower triangle, row by row, that holds entries (i, j) and (j, i)."""
    high, low = max(i, j), min(i, j)
    return high * (high + 1) // 2 + low


@compiled
def add_symmetric_product(triangles: Any, j: int, factor: Any, sign: int, total: Any) -> None:
    """``total += sign · Σ_i M_ji factor_i`` for symmetric matrices M, one a column, given as lower triangles."""
    weight = total.dtype.type(sign)
    rank = len(factor)
    i = 0
    # Four at a time, for each of which `total` need not be fetched and put back.
    while i + 4 <= rank:
        m0, m1 = triangles[_place(i, j)], triangles[_place(i + 1, j)]
        m2, m3 = triangles[_place(i + 2, j)], triangles[_place(i + 3, j)]
        f0, f1, f2, f3 = factor[i], factor[i + 1], factor[i + 2], factor[i + 3]
        for c in range(len(total)):
            total[c] += weight * (m0[c] * f0[c] + m1[c] * f1[c] + m2[c] * f2[c] + m3[c] * f3[c])
        i += 4
    while i < rank:
        entry, values = triangles[_place(i, j)], factor[i]
        for c in range(len(total)):
            total[c] += weight * entry[c] * values[c]
        i += 1


@compiled
def uneven_sweep(
    start: Any,
    rhs: Any,
    gram: Any,
    lacking: Any,
    top: Any,
    damping: float,
    n_sweeps: int,
    out: Any,
) -> None:
    """Like `sweep` for one run in which every column has a Gram matrix of its own.

    Parameters
    ----------
    start, rhs, out : (rank, length)
    gram : (rank, rank)
        Gram matrix of the fixed factor over all cells.
    lacking : (rank · (rank + 1) / 2, length)
        What the cells of less than full weight take from it, column by column: lower triangles, row by row.
    top : (rank,)
        Largest coefficients; `start` has no larger ones.
    damping : float
        Share of a diagonal entry of `gram` that the step's curvature has at least. A coefficient that hardly any cell
        determines moves slowly, and not by what rounding makes of a difference.
    n_sweeps : int
    """
    rank, length = start.shape
    x = np.zeros((rank, BLOCK), start.dtype)
    b = np.zeros((rank, BLOCK), start.dtype)
    g = np.zeros((len(lacking), BLOCK), start.dtype)
    t = np.empty(BLOCK, start.dtype)
    zero = start.dtype.type(0)
    least = start.dtype.type(1e-30 if start.itemsize == 4 else 1e-250)
    share = start.dtype.type(damping)
    for first in range(0, length, BLOCK):
        width = min(BLOCK, length - first)
        last = first + width
        pair = 0
        for j in range(rank):
            x[j, :width] = start[j, first:last]
            b[j, :width] = rhs[j, first:last]
            for i in range(j + 1):
                whole = gram[j, i]
                taken = lacking[pair, first:last]
                for c in range(width):
                    g[pair, c] = whole - taken[c]
                pair += 1
        for _ in range(n_sweeps):
            for j in range(rank):
                floor = share * gram[j, j]
                if gram[j, j] <= least:
                    continue
                t[:] = b[j]
                add_symmetric_product(g, j, x, -1, t)
                own = g[j * (j + 3) // 2]
                for c in range(BLOCK):
                    v = x[j, c] + t[c] / max(own[c], floor)
                    x[j, c] = min(v if v > zero else zero, top[j])
        for j in range(rank):
            out[j, first:last] = x[j, :width]


@compiled
def times_lacking(lacking: Any, factor: Any, out: Any) -> None:
    """Product of every column of a factor with its matrix in `lacking`; arguments as for `uneven_sweep`."""
    rank, length = factor.shape
    out[:] = 0
    for first in range(0, length, BLOCK):
        last = min(first + BLOCK, length)
        for j in range(rank):
            product = out[j, first:last]
            for i in range(rank):
                high, low = max(i, j), min(i, j)
                taken = lacking[high * (high + 1) // 2 + low, first:last]
                x = factor[i, first:last]
                for c in range(len(x)):
                    product[c] += taken[c] * x[c]


_SIGNIFICAND = 0x000FFFFFFFFFFFFF
_ONE = 0x3FF0000000000000
_HALF_SQRT = 1.4142135623730951


@compiled
def logarithms(values: Any, n: int) -> None:
    """Replace the first `n` positive normal `values` (float64) by their natural logarithms.

    As accurate as the C library's to a few units in the last place, but a loop that the compiler vectorises:
    log(2^e m) = e log 2 + 2 artanh((m − 1) / (m + 1)).
    """
    for c in range(n):
        whole = np.float64(values[c]).view(np.int64)
        exponent = np.float64((whole >> 52) - 1023)
        m = np.int64((whole & _SIGNIFICAND) | _ONE).view(np.float64)
        high = m > _HALF_SQRT
        m = 0.5 * m if high else m
        exponent = exponent + 1.0 if high else exponent
        # Division in float32 is many times faster; two steps of Newton's method make up for its rounding.
        inverse = np.float64(np.float32(1.0) / np.float32(m + 1.0))
        inverse = inverse * (2.0 - (m + 1.0) * inverse)
        inverse = inverse * (2.0 - (m + 1.0) * inverse)
        s = (m - 1.0) * inverse
        z = s * s
        series = 1 / 19.0
        series = series * z + 1 / 17.0
        series = series * z + 1 / 15.0
        series = series * z + 1 / 13.0
        series = series * z + 1 / 11.0
        series = series * z + 1 / 9.0
        series = series * z + 1 / 7.0
        series = series * z + 1 / 5.0
        series = series * z + 1 / 3.0
        series = series * z + 1.0
        values[c] = exponent * 0.6931471805599453 + 2.0 * s * series
