"""Compiled multiplicative updates for any β-divergence, without a temporary of the size of V."""

from __future__ import annotations

from typing import Any

import numpy as np

from nmfcore.solvers.kernels import Batch, compiled


@compiled
def _power(p: Any, exponent: float) -> Any:
    if exponent == 0.0:
        return p / p
    if exponent == -1.0:
        return 1 / p
    if exponent == -2.0:
        return 1 / (p * p)
    if exponent == 1.0:
        return p
    return p**exponent


@compiled
def _divergence(v: Any, p: Any, beta: float) -> Any:
    """d_β(v, p) of one cell (Févotte & Idier 2011, equation 5)."""
    if beta == 1.0:
        return v * np.log(v / p) - v + p if v > 0 else p
    if beta == 0.0:
        return v / p - np.log(v / p) - 1
    whole = beta * (beta - 1)
    power = p ** (beta - 1)
    own = v**beta if v > 0 else 0.0
    return (own + (beta - 1) * power * p - beta * v * power) / whole


@compiled
def mu_step(
    start: Batch,
    fixed: Batch,
    V: Any,
    weights: Any,
    beta: float,
    exponent: float,
    linear: Any,
    quadratic: Any,
    top: Any,
    gradient: bool,
    out: Batch,
) -> Any:
    """One multiplicative update, or the gradient of the divergence; returns the divergence after the update.

    Parameters
    ----------
    start, out : (n_runs, rank, n_moving)
    fixed : (n_runs, rank, n_fixed)
    V : (n_moving, n_fixed)
    weights : (n_moving, n_fixed), or (0, 0) for none
    beta, exponent : float
        Exponent of the ratio, which makes the update monotone.
    linear, quadratic : (n_runs, rank)
        Penalties.
    top : (n_runs, rank)
        Largest coefficients; `start` has no larger ones.
    gradient : bool
        Write the gradient instead of the update.
    """
    n_runs, rank, n_moving = start.shape
    n_fixed = fixed.shape[2]
    tiny = start.dtype.type(1e-10)
    zero = start.dtype.type(0)
    weighted = weights.shape[0] > 0
    p = np.empty(n_fixed, start.dtype)
    up = np.empty(n_fixed, start.dtype)
    down = np.empty(n_fixed, start.dtype)
    objective = np.zeros(n_runs)
    for s in range(n_runs):
        for i in range(n_moving):
            for c in range(n_fixed):
                p[c] = tiny
            for j in range(rank):
                x = start[s, j, i]
                for c in range(n_fixed):
                    p[c] += x * fixed[s, j, c]
            for c in range(n_fixed):
                power = _power(p[c], beta - 2.0)
                up[c] = V[i, c] * power
                down[c] = p[c] * power
                if weighted:
                    up[c] *= weights[i, c]
                    down[c] *= weights[i, c]
            for j in range(rank):
                numerator = zero
                denominator = linear[s, j] + quadratic[s, j] * start[s, j, i]
                for c in range(n_fixed):
                    numerator += up[c] * fixed[s, j, c]
                    denominator += down[c] * fixed[s, j, c]
                if gradient:
                    out[s, j, i] = denominator - numerator
                    continue
                ratio = numerator / denominator if denominator > zero else zero
                if exponent != 1.0:
                    ratio = ratio**exponent
                out[s, j, i] = min(start[s, j, i] * ratio, top[s, j])
            if gradient:
                continue
            for c in range(n_fixed):
                p[c] = tiny
            for j in range(rank):
                x = out[s, j, i]
                for c in range(n_fixed):
                    p[c] += x * fixed[s, j, c]
            value = 0.0
            for c in range(n_fixed):
                if weighted and weights[i, c] <= zero:
                    continue
                d = _divergence(V[i, c], p[c], beta)
                value += d * weights[i, c] if weighted else d
            objective[s] += value
    return objective
