"""Frobenius half-steps on a graphics card, by PyTorch: the same iteration, its products and sweeps there.

Needs the extra ``gpu``. Results differ from those of the processor as those of two processors do: by rounding.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.solvers.arrays import Arrays
from nmfcore.solvers.hals import sweeps_per_product
from nmfcore.solvers.products import CompressedProducts, Products, WholeProducts

Floats = NDArray[np.floating]
Tensor = Any

DEVICE = "cuda"
"""As PyTorch calls it."""

_LEAST = {"float32": 1e-30, "float64": 1e-250}
"""A component whose squared norm is smaller is left as it is: its inverse might overflow."""


def is_available() -> bool:
    """Whether PyTorch is installed and sees a card."""
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


class DeviceArrays:
    """Memory of the card. See `nmfcore.solvers.arrays.Arrays`."""

    def put(self, factor: Floats) -> Tensor:
        """See `Arrays`."""
        import torch

        return torch.from_numpy(np.array(factor)).to(DEVICE)

    def get(self, factor: Tensor) -> Floats:
        """See `Arrays`."""
        host: Floats = factor.cpu().numpy()
        return host

    def empty_like(self, factor: Tensor) -> Tensor:
        """See `Arrays`."""
        return factor.new_empty(factor.shape)

    def take(self, factor: Tensor, runs: NDArray[np.bool_]) -> Tensor:
        """See `Arrays`."""
        return factor[_to_device(np.flatnonzero(runs))]

    def restore(self, into: Tensor, source: Tensor, runs: NDArray[np.bool_]) -> None:
        """See `Arrays`."""
        places = _to_device(np.flatnonzero(runs))
        into[places] = source[places]

    def copy(self, into: Tensor, source: Tensor) -> None:
        """See `Arrays`."""
        into.copy_(source)

    def norms(self, factor: Tensor) -> NDArray[np.float64]:
        """See `Arrays`."""
        import torch

        squares = (factor * factor).sum(dim=2, dtype=torch.float64)
        return np.asarray(np.sqrt(squares.cpu().numpy()))

    def scale(self, factor: Tensor, powers: NDArray[np.int64]) -> None:
        """See `Arrays`."""
        factor.copy_(factor.ldexp(_to_device(powers)[..., None]))

    def extrapolate(
        self, new: Tensor, previous: Tensor, step: NDArray[np.floating], keep: float, out: Tensor
    ) -> None:
        """See `Arrays`."""
        import torch

        torch.sub(new, previous, out=out)
        out.mul_(_to_device(step)[:, None, None]).add_(new)
        torch.maximum(out, new * keep, out=out)


ARRAYS = DeviceArrays()


class DeviceHalsUpdates:
    """Half-steps on ½‖V − WH‖², as `nmfcore.solvers.hals.HalsUpdates` without weights and penalties.

    Parameters
    ----------
    products : Products
        Products with V on the host; its matrices are copied to the card.
    """

    keep = 0.0
    ceiling = np.inf
    arrays: Arrays = ARRAYS

    def __init__(self, products: Products) -> None:
        self.products = _on_device(products)
        self.squared_norm = products.squared_norm
        self.cost = products.cost
        self.least = _LEAST[products.dtype.name]
        self.resolution = 0.5 * self.squared_norm * float(np.finfo(products.dtype).eps) * 0.05

    def improve_W(self, W: Tensor, H: Tensor, out: Tensor) -> None:
        """See `Updates`."""
        rhs = self.products.with_samples(H)
        _sweep(W, rhs, _gram(H), self.least, sweeps_per_product(self.cost, W, H), out)

    def improve_H(self, W: Tensor, H: Tensor, out: Tensor) -> NDArray[np.float64]:
        """See `Updates`."""
        visible, gram_W = self.products.with_features(W), _gram(W)
        _sweep(H, visible, gram_W, self.least, sweeps_per_product(self.cost, W, H), out)
        products = -2 * _inner_products(visible, out) + _inner_products(gram_W, _gram(out))
        return np.asarray(0.5 * (self.squared_norm + products.cpu().numpy()))

    def gradients(self, W: Floats, H: Floats) -> tuple[Floats, Floats]:
        """See `Updates`."""
        there_W, there_H = ARRAYS.put(W), ARRAYS.put(H)
        slopes_W = _gram(there_H) @ there_W - self.products.with_samples(there_H)
        slopes_H = _gram(there_W) @ there_H - self.products.with_features(there_W)
        return ARRAYS.get(slopes_W), ARRAYS.get(slopes_H)


class _DeviceProducts:
    """Products with V = Q B, or with V itself where there is no Q; see `Products`."""

    def __init__(self, B: Tensor, BT: Tensor, Q: Tensor | None = None) -> None:
        self.B, self.BT, self.Q = B, BT, Q

    def with_samples(self, H: Tensor) -> Tensor:
        product = self.B @ H.reshape(-1, H.shape[2]).T
        if self.Q is not None:
            product = self.Q @ product
        return product.T.reshape(*H.shape[:2], -1)

    def with_features(self, W: Tensor) -> Tensor:
        factor = W.reshape(-1, W.shape[2]).T
        if self.Q is not None:
            factor = self.Q.T @ factor
        return (self.BT @ factor).T.reshape(*W.shape[:2], -1)


def _on_device(products: Products) -> _DeviceProducts:
    if isinstance(products, CompressedProducts):
        B = _to_device(products.B)
        return _DeviceProducts(B, B.T, _to_device(products.Q))
    assert isinstance(products, WholeProducts), "larger matrices are refused before"
    V: Any = products.V
    if sparse.issparse(V):
        return _DeviceProducts(_csr(V), _csr(V.T.tocsr()))
    V = _to_device(V)
    return _DeviceProducts(V, V.T)


def _csr(matrix: sparse.csr_array) -> Tensor:
    import torch

    parts = (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data)
    return torch.sparse_csr_tensor(*map(_to_device, parts), size=matrix.shape, device=DEVICE)


def _to_device(array: NDArray[Any]) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(DEVICE)


def _gram(factor: Tensor) -> Tensor:
    return factor @ factor.transpose(1, 2)


def _inner_products(a: Tensor, b: Tensor) -> Tensor:
    import torch

    return (a * b).sum(dim=(1, 2), dtype=torch.float64)


def _sweep(
    start: Tensor, rhs: Tensor, gram: Tensor, least: float, n_sweeps: int, out: Tensor
) -> None:
    """Coordinate descent over the components, as `nmfcore.solvers.kernels.sweep`."""
    import torch

    out.copy_(start)
    diagonal = torch.diagonal(gram, dim1=1, dim2=2)
    inverse = torch.where(diagonal > least, 1 / diagonal, torch.zeros_like(diagonal))
    for _ in range(n_sweeps):
        for j in range(gram.shape[1]):
            slope = torch.baddbmm(rhs[:, j : j + 1], gram[:, j : j + 1], out, alpha=-1)
            # Where the inverse is 0 the component stays: it is not below 0 already.
            out[:, j] = (out[:, j] + slope[:, 0] * inverse[:, j, None]).clamp_(min=0)
