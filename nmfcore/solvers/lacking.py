"""Cells of V that count less than the others, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.limits import side_by_side
from nmfcore.solvers.cut_matrix import CutMatrix
from nmfcore.solvers.kernels import (
    inner_products,
    pair_products,
    times_lacking,
    uneven_sweep,
)

Floats = NDArray[np.floating]

DAMPING = 10
"""Times the root of the dtype's resolution; see `uneven_sweep`. Where less is left of a Gram matrix, its rounding would
move a coefficient by more than a tenth of that root."""


class LackingCells:
    """Cells with a weight below 1, for the Frobenius step in one factor: what they take from its Gram matrices.

    With cells of unequal weight, every column of the moving factor has a least-squares problem of its own; its
    Gram matrix is that of the fixed factor less Σ (1 − w) a aᵀ over the column's cells. These sums are one sparse
    product with the table of products of every two components, in which the values of cells of weight 0 have no part.

    Parameters
    ----------
    lack : (n_moving, n_fixed) csr_array
        1 − weight where that is not 0.
    """

    def __init__(self, lack: sparse.csr_array) -> None:
        self.cut = CutMatrix.of(lack)
        self.room = _Room()

    def sweep(
        self,
        moving: Floats,
        rhs: Floats,
        gram: Floats,
        fixed: Floats,
        top: Floats,
        n_sweeps: int,
        measure: bool,
        out: Floats,
    ) -> NDArray[np.float64]:
        """Improve the moving factor of every run; returns Σ (1 − w) (wh)² of each, for the factor it wrote.

        Parameters
        ----------
        moving, rhs, out : (n_runs, rank, n_moving) ndarray
            As for `nmfcore.solvers.kernels.sweep`.
        gram : (n_runs, rank, rank) ndarray
        fixed : (n_runs, rank, n_fixed) ndarray
        top : (n_runs, rank) ndarray
            Largest coefficients; `moving` has no larger ones.
        n_sweeps : int
        measure : bool
            Whether the squares are wanted; without it 0 is returned.
        """
        squares = np.zeros(len(moving))
        product = np.empty_like(moving[0])
        damping = DAMPING * float(np.sqrt(np.finfo(moving.dtype).eps))
        for s, lacking in self._lacking_grams(fixed):
            uneven_sweep(moving[s], rhs[s], gram[s], lacking, top[s], damping, n_sweeps, out[s])
            if measure:
                times_lacking(lacking, out[s], product)
                squares[s] = inner_products(product[None], out[s][None])[0]
        return squares

    def slopes(self, moving: Floats, fixed: Floats) -> Floats:
        """What these cells take from the gradient over all cells, (n_runs, rank, n_moving)."""
        slopes = np.empty_like(moving)
        for s, lacking in self._lacking_grams(fixed):
            times_lacking(lacking, moving[s], slopes[s])
        return slopes

    def _lacking_grams(self, fixed: Floats) -> Iterator[tuple[int, Floats]]:
        """Each run, and Σ (1 − w) a aᵀ for every column as lower triangles, (n_pairs, n_moving), until the next one."""
        n_runs, rank, n_fixed = fixed.shape
        n_pairs = rank * (rank + 1) // 2
        step = side_by_side(n_pairs, n_runs, fixed.itemsize)
        room = self.room
        if len(room.table) < step * n_pairs:
            room.table = np.empty((step * n_pairs, n_fixed), fixed.dtype)
            room.grams = np.empty((step * n_pairs, self.cut.starts.shape[1]), fixed.dtype)
        for first in range(0, n_runs, step):
            runs = fixed[first : first + step]
            rows = len(runs) * n_pairs
            table, grams = room.table[:rows], room.grams[:rows]
            for s, factor in enumerate(runs):
                pair_products(factor, table[s * n_pairs :])
            self.cut.times(table, grams)
            for s in range(len(runs)):
                yield first + s, grams[s * n_pairs : (s + 1) * n_pairs]


class _Room(threading.local):
    """Arrays that a thread writes again and again."""

    def __init__(self) -> None:
        self.table: Floats = np.empty((0, 0))
        self.grams: Floats = np.empty((0, 0))
