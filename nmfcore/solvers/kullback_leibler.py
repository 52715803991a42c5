"""Kullback–Leibler half-steps: coordinate descent, without a temporary of the size of V."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.solvers.kl_kernels import (
    kl_gradient,
    kl_sweep_columns,
    kl_sweep_rows,
    kl_sweep_sparse,
)
from nmfcore.solvers.penalties import Penalties

Floats = NDArray[np.floating]
Values: TypeAlias = Any  # ndarray or csr_array

SWEEPS = 2
LONG_ROW = 256
"""Cells of a row from which it is worth a loop of its own."""


class KullbackLeiblerUpdates:
    """Half-steps on Σ w (v log(v/(wh)) − v + wh) plus penalties.

    Parameters
    ----------
    V : (n_features, n_samples) ndarray or csr_array
        Times the weights, where cells have weights.
    lack : (n_features, n_samples) csr_array
        1 − weight where that is not 0.
    penalties : Penalties, optional
    """

    keep = 0.1

    def __init__(
        self,
        V: Values,
        lack: sparse.csr_array,
        penalties: Penalties | None = None,
    ) -> None:
        self.penalties = penalties or Penalties()
        self.by_feature, self.by_sample = _Rows(V, lack), _Rows(V.T, lack.T)
        data = V.data if sparse.issparse(V) else V
        total = float(np.sum(data, dtype=np.float64))
        self.resolution = total * float(np.finfo(V.dtype).eps) * 0.05

    def improve_W(self, W: Floats, H: Floats, out: Floats) -> None:
        """See `Updates`."""
        self.by_feature.sweep(W, H, self.penalties.on_W(W, H), False, out)

    def improve_H(self, W: Floats, H: Floats, out: Floats) -> NDArray[np.float64]:
        """See `Updates`."""
        objective = self.by_sample.sweep(H, W, self.penalties.on_H(W, H), True, out)
        return objective + self.penalties.value(W, out) if self.penalties else objective

    def gradients(self, W: Floats, H: Floats) -> tuple[Floats, Floats]:
        """See `Updates`."""
        return self.penalties.add_slopes(
            self.by_feature.gradient(W, H), self.by_sample.gradient(H, W), W, H
        )


class _Rows:
    """V with a row for each index of the moving factor, as the kernels want it."""

    def __init__(self, V: Values, lack: sparse.csr_array) -> None:
        self.sparse = bool(sparse.issparse(V))
        self.long = V.shape[1] >= LONG_ROW
        self.V: Any = V.tocsr() if self.sparse else np.ascontiguousarray(V if self.long else V.T)
        self.lack = lack.tocsr()

    def sweep(
        self,
        moving: Floats,
        fixed: Floats,
        penalty: tuple[Floats, Floats] | None,
        measure: bool,
        out: Floats,
    ) -> NDArray[np.float64]:
        totals = fixed.sum(axis=2, dtype=np.float64).astype(moving.dtype)
        none = np.zeros(moving.shape[:2], moving.dtype)
        linear, quadratic = penalty or (none, none)
        lack, V = self.lack, self.V
        rest = (lack.indptr, lack.indices, lack.data, linear, quadratic, SWEEPS, measure, out)
        objective: NDArray[np.float64]
        if self.sparse:
            objective = kl_sweep_sparse(moving, fixed, totals, V.indptr, V.indices, V.data, *rest)
        else:
            dense_sweep = kl_sweep_rows if self.long else kl_sweep_columns
            objective = dense_sweep(moving, fixed, totals, V, *rest)
        return objective

    def gradient(self, moving: Floats, fixed: Floats) -> Floats:
        lack = self.lack
        rows = self.V if self.sparse else sparse.csr_array(self.V if self.long else self.V.T)
        out = np.empty_like(moving)
        kl_gradient(
            moving,
            fixed,
            rows.indptr,
            rows.indices,
            rows.data,
            lack.indptr,
            lack.indices,
            lack.data,
            out,
        )
        return out
