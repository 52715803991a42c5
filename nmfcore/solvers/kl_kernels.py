"""Compiled loops over the Kullback–Leibler divergence: coordinate descent for sparse V, Newton steps for dense V.

For one coefficient x of one component with the others fixed, the divergence has the slope S − φ(δ) with
φ(δ) = Σ v a / (p + δ a): v the data, p the current fit, a the fixed factor, S the sum of a. As 1/φ is concave, its
tangent gives a step upward that never passes the minimum, δ = B (G / S − 1) with G = φ(0), D = Σ v a² / p², B = G / D:
Newton's method on 1/φ, exact for a single component. Downward that step goes too far, and the second-order expansion
of 1/φ, with E = Σ v a³ / p³, takes its place. The multiplicative update (Lee & Seung 2001) is the same step with
B = x, the smallest that B can be.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nmfcore.solvers.kernels import (
    BLOCK,
    Batch,
    add_symmetric_product,
    compiled,
    compiled_to_the_bit,
    logarithms,
)

FLOOR = 1e-10
"""Least value of the fit in a cell, V being at the scale of `nmfcore.problem`."""


@compiled
def _moved(x: Any, G: Any, D: Any, E: Any, S: Any, quadratic: Any) -> Any:
    """New value of a coefficient; `S` holds the linear penalty already."""
    zero = x - x
    if not S:
        return x  # the fixed component is zero, so nothing depends on this one
    if min(G, D) <= zero:
        return zero
    B = G / D
    if quadratic > zero:
        # Root of A / (B + δ) = S + quadratic (x + δ) with A = G B, in u = B + δ.
        c = S + quadratic * (x - B)
        step = (np.sqrt(c * c + 4 * quadratic * G * B) - c) / (2 * quadratic) - B
    else:
        step = B * (G / S - 1)
    if step < zero:
        fall = 1 - G / (S + quadratic * x)
        slope = D / G
        bend = max(E / G - slope * slope, zero)
        step = max(step, -2 * fall / (slope + np.sqrt(slope * slope + 4 * bend * fall)))
    moved = x + step
    return moved if moved > zero else zero


@compiled
def _fit_row(a: Any, x: Any, n: int, p: Any) -> None:
    """Fit of a row, p = Σ_j x_j a_j, a little above 0."""
    tiny = p.dtype.type(FLOOR)
    for c in range(n):
        p[c] = tiny
    for j in range(len(x)):
        for c in range(n):
            p[c] += x[j] * a[j, c]


@compiled
def _descend_row(
    v: Any,
    a: Any,
    S: Any,
    linear: Any,
    quadratic: Any,
    top: Any,
    n_sweeps: int,
    n: int,
    x: Any,
    p: Any,
) -> None:
    """Sweeps over the coefficients `x` of a row, in place; `p` is its fit."""
    tiny = p.dtype.type(FLOOR)
    zero = p.dtype.type(0)
    for _ in range(n_sweeps):
        for j in range(len(x)):
            G = zero
            D = zero
            E = zero
            for c in range(n):
                ratio = a[j, c] / p[c]
                t = v[c] * ratio
                G += t
                D += t * ratio
                E += t * ratio * ratio
            total = max(S[j], zero) + linear[j]
            moved = min(_moved(x[j], G, D, E, total, quadratic[j]), top[j])
            delta = moved - x[j]
            if delta != zero:
                x[j] = moved
                for c in range(n):
                    moved_p = p[c] + delta * a[j, c]
                    p[c] = moved_p if moved_p > tiny else tiny


@compiled
def _row_divergence(v: Any, x: Any, S: Any, n: int, p: Any, logs: Any) -> float:
    """Σ v log(v/p) − Σ v + Σ p of a row, p its fit."""
    for c in range(n):
        ratio = np.float64(v[c]) / np.float64(p[c])
        logs[c] = ratio if ratio > 1e-300 else 1.0
    logarithms(logs, n)
    value = 0.0
    for c in range(n):
        value += v[c] * (logs[c] - 1.0)
    for j in range(len(x)):
        value += x[j] * S[j]
    return value


@compiled
def kl_sweep_sparse(
    start: Batch,
    fixed: Batch,
    totals: Any,
    indptr: Any,
    indices: Any,
    data: Any,
    lack_indptr: Any,
    lack_indices: Any,
    lack: Any,
    linear: Any,
    quadratic: Any,
    top: Any,
    n_sweeps: int,
    measure: bool,
    out: Batch,
) -> Any:
    """Sweeps over the components of every row of V; returns Σ v log(v/p) + Σ p − Σ v of every run at the end.

    Parameters
    ----------
    start, out : (n_runs, rank, n_moving)
    fixed : (n_runs, rank, n_fixed)
    totals : (n_runs, rank)
        Sums of `fixed`.
    indptr, indices, data : CSR of V with a row for each index of the moving factor; zeros not stored
    lack_indptr, lack_indices, lack : CSR of 1 − weight, the same way round
    linear, quadratic : (n_runs, rank)
        Penalties.
    top : (n_runs, rank)
        Largest coefficients; `start` has no larger ones.
    measure : bool
        Whether the objective is wanted; without it 0 is returned.
    """
    n_runs, rank, n_moving = start.shape
    n_fixed = fixed.shape[2]
    longest = 1
    for i in range(n_moving):
        longest = max(longest, indptr[i + 1] - indptr[i])
    rows = np.empty((n_fixed, rank), start.dtype)
    a = np.empty((rank, longest), start.dtype)
    p = np.empty(longest, start.dtype)
    v = np.empty(longest, start.dtype)
    x = np.empty(rank, start.dtype)
    S = np.empty(rank, start.dtype)
    logs = np.empty(longest)
    objective = np.zeros(n_runs)
    for s in range(n_runs):
        for j in range(rank):
            for c in range(n_fixed):
                rows[c, j] = fixed[s, j, c]
        for i in range(n_moving):
            first = indptr[i]
            n = indptr[i + 1] - first
            for j in range(rank):
                x[j] = start[s, j, i]
                S[j] = totals[s, j]
            for q in range(lack_indptr[i], lack_indptr[i + 1]):
                for j in range(rank):
                    S[j] -= lack[q] * rows[lack_indices[q], j]
            for c in range(n):
                v[c] = data[first + c]
                index = indices[first + c]
                for j in range(rank):
                    a[j, c] = rows[index, j]
            _fit_row(a, x, n, p)
            _descend_row(v, a, S, linear[s], quadratic[s], top[s], n_sweeps, n, x, p)
            for j in range(rank):
                out[s, j, i] = x[j]
            if measure:
                _fit_row(a, x, n, p)
                objective[s] += _row_divergence(v, x, S, n, p, logs)
    return objective


@compiled_to_the_bit
def kl_curvatures(V: Any, fit: Any, out: Any) -> None:
    """``out = V / fit²``, all of one shape and C-contiguous."""
    v, p, q = V.ravel(), fit.ravel(), out.ravel()
    for c in range(len(v)):
        q[c] = v[c] / (p[c] * p[c])


@compiled
def kl_newton_directions(
    x: Any,
    sums: Any,
    hessian: Any,
    linear: Any,
    quadratic: Any,
    top: Any,
    n_sweeps: int,
    d: Any,
    descent: Any,
    curvature: Any,
) -> None:
    """Minimise the second-order expansion of the penalised divergence over −x ≤ d ≤ top − x, column by column.

    Coordinate descent from d = 0. The gradient needs no sums of its own: Σ v a_j / p is Σ_i H_ji x_i, as p = Σ_i x_i
    a_i, with the floor of p as one more component whose coefficient is 1.

    Parameters
    ----------
    x, d : (rank, length)
        Coefficients, and the direction from them (written).
    sums : (rank, length)
        Sums of the fixed components over the cells of each column.
    hessian : ((rank + 1) · (rank + 2) / 2, length)
        Σ v a_j a_i / p² for i ≤ j, row by row; the last component is the floor of p.
    linear, quadratic : (rank,)
        Penalties.
    top : (rank,)
        Largest coefficients; `x` has no larger ones.
    n_sweeps : int
    descent, curvature : (length,)
        −slope and second derivative of the objective along d, at d = 0 (written).
    """
    rank, length = x.shape
    h = np.zeros((len(hessian), BLOCK), x.dtype)
    slopes = np.zeros((rank, BLOCK), x.dtype)
    start = np.zeros((rank, BLOCK), x.dtype)
    y = np.empty((rank, BLOCK), x.dtype)
    t = np.empty(BLOCK, x.dtype)
    fall = np.empty(BLOCK, x.dtype)
    bend = np.empty(BLOCK, x.dtype)
    zero = x.dtype.type(0)
    least = x.dtype.type(1e-30 if x.itemsize == 4 else 1e-250)
    floor = rank * (rank + 1) // 2
    for first in range(0, length, BLOCK):
        width = min(BLOCK, length - first)
        for pair in range(len(hessian)):
            for c in range(width):
                h[pair, c] = hessian[pair, first + c]
        for j in range(rank):
            for c in range(width):
                start[j, c] = x[j, first + c]
                slopes[j, c] = sums[j, first + c]
        for j in range(rank):
            slope = slopes[j]
            for c in range(BLOCK):
                slope[c] += linear[j] + quadratic[j] * start[j, c] - h[floor + j, c]
            add_symmetric_product(h, j, start, -1, slope)
        for j in range(rank):
            own = h[j * (j + 3) // 2]
            for c in range(BLOCK):
                own[c] += quadratic[j]
        y[:] = zero
        for _ in range(n_sweeps):
            for j in range(rank):
                t[:] = slopes[j]
                add_symmetric_product(h, j, y, 1, t)
                own = h[j * (j + 3) // 2]
                for c in range(BLOCK):
                    moved = max(y[j, c] - t[c] / max(own[c], least), -start[j, c])
                    y[j, c] = min(moved, top[j] - start[j, c])
        fall[:] = zero
        bend[:] = zero
        for j in range(rank):
            t[:] = zero
            add_symmetric_product(h, j, y, 1, t)
            for c in range(BLOCK):
                bend[c] += t[c] * y[j, c]
                fall[c] -= slopes[j, c] * y[j, c]
            for c in range(width):
                d[j, first + c] = y[j, c]
        for c in range(width):
            descent[first + c] = fall[c]
            curvature[first + c] = bend[c]


@compiled_to_the_bit
def kl_largest_falls(V: Any, fit: Any, change: Any, out: Any) -> None:
    """Largest relative fall, −change / fit, of the cells of each column that hold something."""
    zero = fit.dtype.type(0)
    out[:] = zero
    for r in range(len(V)):
        v, p, d = V[r], fit[r], change[r]
        for c in range(len(out)):
            fall = -d[c] / p[c]
            fall = fall if v[c] > zero else zero
            out[c] = fall if fall > out[c] else out[c]


@compiled
def kl_log_fit(V: Any, fit: Any, change: Any, steps: Any) -> float:
    """Σ v log(fit + step · change) in float64, with one step a column."""
    logs = np.empty(len(steps))
    tiny = fit.dtype.type(FLOOR)
    total = 0.0
    for r in range(len(V)):
        v, p, d = V[r], fit[r], change[r]
        for c in range(len(steps)):
            logs[c] = np.float64(max(p[c] + steps[c] * d[c], tiny))
        logarithms(logs, len(logs))
        for c in range(len(steps)):
            total += v[c] * logs[c]
    return total


@compiled
def kl_gradient(
    moving: Batch,
    fixed: Batch,
    indptr: Any,
    indices: Any,
    data: Any,
    lack_indptr: Any,
    lack_indices: Any,
    lack: Any,
    out: Batch,
) -> None:
    """Gradient of the divergence: Σ a − Σ v a / p; arguments as for `kl_sweep_sparse`."""
    n_runs, rank, n_moving = moving.shape
    n_fixed = fixed.shape[2]
    tiny = moving.dtype.type(FLOOR)
    zero = moving.dtype.type(0)
    rows = np.empty((n_fixed, rank), moving.dtype)
    slope = np.empty(rank, moving.dtype)
    for s in range(n_runs):
        totals = np.zeros(rank)
        for c in range(n_fixed):
            for j in range(rank):
                rows[c, j] = fixed[s, j, c]
                totals[j] += fixed[s, j, c]
        for i in range(n_moving):
            for j in range(rank):
                slope[j] = totals[j]
            for q in range(lack_indptr[i], lack_indptr[i + 1]):
                for j in range(rank):
                    slope[j] -= lack[q] * rows[lack_indices[q], j]
            for q in range(indptr[i], indptr[i + 1]):
                c = indices[q]
                p = zero
                for j in range(rank):
                    p += moving[s, j, i] * rows[c, j]
                ratio = data[q] / max(p, tiny)
                for j in range(rank):
                    slope[j] -= ratio * rows[c, j]
            for j in range(rank):
                out[s, j, i] = slope[j]
