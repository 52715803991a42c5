"""Kullback–Leibler half-steps, without a temporary of the size of V.

Given one factor, every row (or column) of V is a convex problem in a few coefficients. Where V is sparse, coordinates
descend one after the other along its entries. Where it is dense, one Newton step for all coefficients of a row costs
less: its second derivatives, Σ v a_j a_i / p², are a matrix product of v / p² with the table of products of every two
components.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import xlogy

from nmfcore.solvers.arrays import HOST, Arrays
from nmfcore.solvers.ceiling import bounded
from nmfcore.solvers.csr_kernels import csr_product
from nmfcore.solvers.kernels import pair_products
from nmfcore.solvers.kl_kernels import (
    FLOOR,
    kl_curvatures,
    kl_gradient,
    kl_largest_falls,
    kl_log_fit,
    kl_newton_directions,
    kl_sweep_sparse,
)
from nmfcore.solvers.penalties import Penalties

Floats = NDArray[np.floating]
Values: TypeAlias = Any  # ndarray or csr_array

SWEEPS = 2
NEWTON_SWEEPS = 4
"""Sweeps over the second-order expansion; they touch no cell of V."""
TILE_CELLS = 2**17
"""Cells of V that a Newton step takes at a time: what stays in the second-level cache."""
TILE_COLUMNS = 48
"""Columns of a tile at least."""
SURE_DESCENT = 0.9
"""Share of the bound on a whole Newton step's curvature that is made use of; see `_DenseRows`."""


class KullbackLeiblerUpdates:
    """Half-steps on Σ w (v log(v/(wh)) − v + wh) plus penalties.

    Parameters
    ----------
    V : (n_features, n_samples) ndarray or csr_array
        Times the weights, where cells have weights.
    lack : (n_features, n_samples) csr_array
        1 − weight where that is not 0.
    penalties : Penalties, optional
    ceiling : float
        See `nmfcore.solvers.ceiling`.
    """

    arrays: Arrays = HOST
    keep = 0.1

    def __init__(
        self,
        V: Values,
        lack: sparse.csr_array,
        penalties: Penalties | None = None,
        ceiling: float = np.inf,
    ) -> None:
        self.penalties = penalties or Penalties()
        self.ceiling = ceiling
        kind = _SparseRows if sparse.issparse(V) else _DenseRows
        self.by_feature, self.by_sample = kind(V, lack), kind(V.T, lack.T)
        data = V.data if sparse.issparse(V) else V
        total = float(np.sum(data, dtype=np.float64))
        self.resolution = total * float(np.finfo(V.dtype).eps) * 0.05
        self.excess = _sum_of_v_log_w(V, lack)

    def improve_W(self, W: Floats, H: Floats, out: Floats) -> None:
        """See `Updates`."""
        start, top = bounded(W, H, self.ceiling)
        self.by_feature.sweep(start, H, self.penalties.on_W(W, H), top, False, out)

    def improve_H(self, W: Floats, H: Floats, out: Floats) -> NDArray[np.float64]:
        """See `Updates`."""
        start, top = bounded(H, W, self.ceiling)
        penalty = self.penalties.on_H(W, H)
        objective = self.by_sample.sweep(start, W, penalty, top, True, out) - self.excess
        return objective + self.penalties.value(W, out) if self.penalties else objective

    def gradients(self, W: Floats, H: Floats) -> tuple[Floats, Floats]:
        """See `Updates`."""
        return self.penalties.add_slopes(
            self.by_feature.gradient(W, H), self.by_sample.gradient(H, W), W, H
        )


def _sum_of_v_log_w(V: Values, lack: sparse.csr_array) -> float:
    """Σ v log w, V being times w: what the divergence of V from weighted fits has too much."""
    partial = (lack.data > 0) & (lack.data < 1)
    if not partial.any():  # a mask
        return 0.0
    log_w = np.zeros(len(lack.data))
    log_w[partial] = np.log1p(-lack.data[partial].astype(np.float64))
    logs = sparse.csr_array((log_w, lack.indices, lack.indptr), shape=lack.shape)
    return float(logs.multiply(V).sum())


class _SparseRows:
    """CSR with a row for each index of the moving factor: coordinate descent along its entries."""

    def __init__(self, V: Values, lack: sparse.csr_array) -> None:
        self.V, self.lack = V.tocsr(), lack.tocsr()

    def sweep(
        self,
        moving: Floats,
        fixed: Floats,
        penalty: tuple[Floats, Floats] | None,
        top: Floats,
        measure: bool,
        out: Floats,
    ) -> NDArray[np.float64]:
        totals = fixed.sum(axis=2, dtype=np.float64).astype(moving.dtype)
        lack, V = self.lack, self.V
        objective: NDArray[np.float64] = kl_sweep_sparse(
            moving,
            fixed,
            totals,
            V.indptr,
            V.indices,
            V.data,
            lack.indptr,
            lack.indices,
            lack.data,
            *_penalty(penalty, moving),
            top,
            SWEEPS,
            measure,
            out,
        )
        return objective

    def gradient(self, moving: Floats, fixed: Floats) -> Floats:
        lack, V = self.lack, self.V
        cells = (V.indptr, V.indices, V.data, lack.indptr, lack.indices, lack.data)
        out = np.empty_like(moving)
        kl_gradient(moving, fixed, *cells, out)
        return out


class _DenseRows:
    """V transposed, in tiles of columns, one for each index of the moving factor: a Newton step for each.

    A step's length is safe. With r the largest relative fall of a cell's fit along the direction, the curvature c
    grows no faster than c / (1 − t r)² (the divergence is self-concordant), and f being the descent at its start,
    the whole step surely descends if c ≤ 2 f (1 − r), and so does t = f / (c + r f) always.
    """

    def __init__(self, V: Floats, lack: sparse.csr_array) -> None:
        columns = V.T
        self.width = max(TILE_CELLS // len(columns), TILE_COLUMNS)
        starts = range(0, columns.shape[1], self.width)
        self.tiles = [np.ascontiguousarray(columns[:, i : i + self.width]) for i in starts]
        self.n_moving = columns.shape[1]
        self.lack = lack.tocsr() if lack.nnz else None
        exact = [tile.astype(np.float64) for tile in self.tiles]
        self.constant = sum(float((xlogy(v, v) - v).sum()) for v in exact)

    def sweep(
        self,
        moving: Floats,
        fixed: Floats,
        penalty: tuple[Floats, Floats] | None,
        top: Floats,
        measure: bool,
        out: Floats,
    ) -> NDArray[np.float64]:
        n_runs, rank, _ = moving.shape
        n_fixed, dtype = fixed.shape[2], moving.dtype
        linear, quadratic = _penalty(penalty, moving)
        # The floor of the fit is a component of its own, whose coefficient is 1.
        components = np.full((rank + 1, n_fixed), FLOOR, dtype)
        table = np.empty(((rank + 1) * (rank + 2) // 2, n_fixed), dtype)
        work = {
            width: _Tile.of(n_fixed, width, rank, dtype)
            for width in {t.shape[1] for t in self.tiles}
        }
        objective = np.full(n_runs, self.constant)
        for s in range(n_runs):
            components[:rank] = fixed[s]
            pair_products(components, table)
            sums = self._sums(fixed[s])
            for v, part in self._parts():
                tile = work[v.shape[1]]
                tile.x[:rank] = moving[s, :, part]
                np.matmul(components.T, tile.x, out=tile.fit)
                kl_curvatures(v, tile.fit, tile.change)
                np.matmul(table, tile.change, out=tile.hessian)
                limits = linear[s], quadratic[s], top[s]
                steps = tile.newton_steps(v, fixed[s], sums[:, part], *limits)
                out[s, :, part] = np.maximum(tile.x[:rank] + steps * tile.direction, 0)
                if measure:
                    objective[s] -= kl_log_fit(v, tile.fit, tile.change, steps)
            if measure:
                objective[s] += np.vdot(sums.astype(np.float64), out[s])
        return objective

    def gradient(self, moving: Floats, fixed: Floats) -> Floats:
        out = np.empty_like(moving)
        for s in range(len(moving)):
            out[s] = self._sums(fixed[s])
            for v, part in self._parts():
                fit = fixed[s].T @ moving[s, :, part]
                out[s, :, part] -= fixed[s] @ (v / np.maximum(fit, FLOOR, out=fit))
        return out

    def _parts(self) -> Iterator[tuple[Floats, slice]]:
        first = 0
        for tile in self.tiles:
            yield tile, slice(first, first + tile.shape[1])
            first += tile.shape[1]

    def _sums(self, fixed: Floats) -> Floats:
        """Weighted sums of the fixed components for every column, (rank, n_moving)."""
        totals = fixed.sum(axis=1, dtype=np.float64).astype(fixed.dtype)
        sums = np.empty((len(fixed), self.n_moving), fixed.dtype)
        if self.lack is None:
            sums[:] = totals[:, None]
            return sums
        csr_product(self.lack.indptr, self.lack.indices, self.lack.data, fixed, sums)
        return np.asarray(np.maximum(totals[:, None] - sums, 0))


class _Tile(NamedTuple):
    """Room for a Newton step on a tile of V."""

    x: Floats
    fit: Floats
    change: Floats
    hessian: Floats
    direction: Floats
    descent: Floats
    curvature: Floats
    falls: Floats

    @classmethod
    def of(cls, n_fixed: int, width: int, rank: int, dtype: Any) -> _Tile:
        shapes = (
            (n_fixed, width),
            (n_fixed, width),
            ((rank + 1) * (rank + 2) // 2, width),
            (rank, width),
            *[(width,)] * 3,
        )
        return cls(np.ones((rank + 1, width), dtype), *(np.empty(s, dtype) for s in shapes))

    def newton_steps(
        self,
        v: Floats,
        fixed: Floats,
        sums: Floats,
        linear: Floats,
        quadratic: Floats,
        top: Floats,
    ) -> Floats:
        """Directions and, in `change`, what they do to the fit; returns how far to go, for each column."""
        x, d, f, c, r = self.x[:-1], self.direction, self.descent, self.curvature, self.falls
        kl_newton_directions(x, sums, self.hessian, linear, quadratic, top, NEWTON_SWEEPS, d, f, c)
        np.matmul(fixed.T, d, out=self.change)
        kl_largest_falls(v, self.fit, self.change, r)
        whole = c <= 2 * SURE_DESCENT * f * (1 - r)
        steps = whole.astype(d.dtype)
        np.divide(f, c + r * f, out=steps, where=~whole & (f > 0))
        return np.minimum(steps, 1)


def _penalty(penalty: tuple[Floats, Floats] | None, moving: Floats) -> tuple[Floats, Floats]:
    none = np.zeros(moving.shape[:2], moving.dtype)
    return penalty or (none, none)
