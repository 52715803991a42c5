"""Compiled coordinate descent on the Kullback–Leibler divergence.

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

from nmfcore.solvers.kernels import Batch, compiled, logarithms

LANES = 64


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
    tiny = p.dtype.type(1e-10)
    for c in range(n):
        p[c] = tiny
    for j in range(len(x)):
        for c in range(n):
            p[c] += x[j] * a[j, c]


@compiled
def _descend_row(
    v: Any, a: Any, S: Any, linear: Any, quadratic: Any, n_sweeps: int, n: int, x: Any, p: Any
) -> None:
    """Sweeps over the coefficients `x` of a row, in place; `p` is its fit."""
    tiny = p.dtype.type(1e-10)
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
            moved = _moved(x[j], G, D, E, total, quadratic[j])
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
            _descend_row(v, a, S, linear[s], quadratic[s], n_sweeps, n, x, p)
            for j in range(rank):
                out[s, j, i] = x[j]
            if measure:
                _fit_row(a, x, n, p)
                objective[s] += _row_divergence(v, x, S, n, p, logs)
    return objective


@compiled
def kl_sweep_rows(
    start: Batch,
    fixed: Batch,
    totals: Any,
    V: Any,
    lack_indptr: Any,
    lack_indices: Any,
    lack: Any,
    linear: Any,
    quadratic: Any,
    n_sweeps: int,
    measure: bool,
    out: Batch,
) -> Any:
    """Like `kl_sweep_sparse` for a dense V, (n_moving, n_fixed) with long rows: one row after the other."""
    n_runs, rank, n_moving = start.shape
    n_fixed = fixed.shape[2]
    p = np.empty(n_fixed, start.dtype)
    x = np.empty(rank, start.dtype)
    S = np.empty(rank, start.dtype)
    logs = np.empty(n_fixed)
    objective = np.zeros(n_runs)
    for i in range(n_moving):
        v = V[i]
        for s in range(n_runs):
            for j in range(rank):
                x[j] = start[s, j, i]
                S[j] = totals[s, j]
            for q in range(lack_indptr[i], lack_indptr[i + 1]):
                for j in range(rank):
                    S[j] -= lack[q] * fixed[s, j, lack_indices[q]]
            _fit_row(fixed[s], x, n_fixed, p)
            _descend_row(v, fixed[s], S, linear[s], quadratic[s], n_sweeps, n_fixed, x, p)
            for j in range(rank):
                out[s, j, i] = x[j]
            if measure:
                _fit_row(fixed[s], x, n_fixed, p)
                objective[s] += _row_divergence(v, x, S, n_fixed, p, logs)
    return objective


@compiled
def kl_sweep_columns(
    start: Batch,
    fixed: Batch,
    totals: Any,
    V: Any,
    lack_indptr: Any,
    lack_indices: Any,
    lack: Any,
    linear: Any,
    quadratic: Any,
    n_sweeps: int,
    measure: bool,
    out: Batch,
) -> Any:
    """Like `kl_sweep_sparse` for a dense V, (n_fixed, n_moving) with short columns: `LANES` of them abreast."""
    n_runs, rank, n_moving = start.shape
    n_fixed = fixed.shape[2]
    tiny = start.dtype.type(1e-10)
    zero = start.dtype.type(0)
    p = np.empty((n_fixed, LANES), start.dtype)
    v = np.zeros((n_fixed, LANES), start.dtype)
    x = np.zeros((rank, LANES), start.dtype)
    S = np.zeros((rank, LANES), start.dtype)
    G = np.empty(LANES, start.dtype)
    D = np.empty(LANES, start.dtype)
    E = np.empty(LANES, start.dtype)
    delta = np.empty(LANES, start.dtype)
    logs = np.empty(LANES)
    objective = np.zeros(n_runs)
    for first in range(0, n_moving, LANES):
        width = min(LANES, n_moving - first)
        for c in range(n_fixed):
            for w in range(width):
                v[c, w] = V[c, first + w]
            for w in range(width, LANES):
                v[c, w] = zero
        for s in range(n_runs):
            for j in range(rank):
                for w in range(width):
                    x[j, w] = start[s, j, first + w]
                    S[j, w] = totals[s, j]
                for w in range(width, LANES):
                    x[j, w] = zero
                    S[j, w] = totals[s, j]
            for w in range(width):
                for q in range(lack_indptr[first + w], lack_indptr[first + w + 1]):
                    for j in range(rank):
                        S[j, w] -= lack[q] * fixed[s, j, lack_indices[q]]
            for c in range(n_fixed):
                for w in range(LANES):
                    p[c, w] = tiny
                for j in range(rank):
                    f = fixed[s, j, c]
                    for w in range(LANES):
                        p[c, w] += x[j, w] * f
            for _ in range(n_sweeps):
                for j in range(rank):
                    for w in range(LANES):
                        G[w] = zero
                        D[w] = zero
                        E[w] = zero
                    for c in range(n_fixed):
                        f = fixed[s, j, c]
                        for w in range(LANES):
                            ratio = f / p[c, w]
                            t = v[c, w] * ratio
                            G[w] += t
                            D[w] += t * ratio
                            E[w] += t * ratio * ratio
                    for w in range(width):
                        total = max(S[j, w], zero) + linear[s, j]
                        moved = _moved(x[j, w], G[w], D[w], E[w], total, quadratic[s, j])
                        delta[w] = moved - x[j, w]
                        x[j, w] = moved
                    for w in range(width, LANES):
                        delta[w] = zero
                    for c in range(n_fixed):
                        f = fixed[s, j, c]
                        for w in range(LANES):
                            moved_p = p[c, w] + delta[w] * f
                            p[c, w] = moved_p if moved_p > tiny else tiny
            for j in range(rank):
                for w in range(width):
                    out[s, j, first + w] = x[j, w]
            if measure:
                for c in range(n_fixed):
                    for w in range(LANES):
                        p[c, w] = tiny
                    for j in range(rank):
                        f = fixed[s, j, c]
                        for w in range(LANES):
                            p[c, w] += x[j, w] * f
                value = 0.0
                for c in range(n_fixed):
                    for w in range(LANES):
                        ratio64 = np.float64(v[c, w]) / np.float64(p[c, w])
                        logs[w] = ratio64 if ratio64 > 1e-300 else 1.0
                    logarithms(logs, LANES)
                    for w in range(LANES):
                        value += v[c, w] * (logs[w] - 1.0)
                for j in range(rank):
                    for w in range(width):
                        value += x[j, w] * S[j, w]
                objective[s] += value
    return objective


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
    tiny = moving.dtype.type(1e-10)
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
