"""Where the factors of a batch live while they are iterated: what the iteration does with them, but for half-steps."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nmfcore.norms import batch_norms
from nmfcore.solvers.kernels import extrapolate

Floats = NDArray[np.floating]
Factor = Any
"""(n_runs, rank, length), an array of the place."""


class Arrays(Protocol):
    """A place for factors. What is known of each run, such as its objective, stays on the host."""

    def put(self, factor: Floats) -> Factor:
        """A copy of a factor in this place."""
        ...

    def get(self, factor: Factor) -> Floats:
        """A factor of this place on the host."""
        ...

    def empty_like(self, factor: Factor) -> Factor:
        """Room for another one."""
        ...

    def take(self, factor: Factor, runs: NDArray[np.bool_]) -> Factor:
        """Some of the runs."""
        ...

    def restore(self, into: Factor, source: Factor, runs: NDArray[np.bool_]) -> None:
        """Write some of the runs of one factor into another."""
        ...

    def copy(self, into: Factor, source: Factor) -> None:
        """Write a factor into another."""
        ...

    def norms(self, factor: Factor) -> NDArray[np.float64]:
        """Euclidean norms of the components, (n_runs, rank), summed in float64."""
        ...

    def scale(self, factor: Factor, powers: NDArray[np.int64]) -> None:
        """Multiply components by powers of 2, (n_runs, rank), in place."""
        ...

    def extrapolate(
        self, new: Factor, previous: Factor, step: NDArray[np.floating], keep: float, out: Factor
    ) -> None:
        """``out = max(new + step · (new − previous), keep · new)``, with one step a run."""
        ...


class HostArrays:
    """Memory of this machine; NumPy and compiled loops."""

    def put(self, factor: Floats) -> Floats:
        """See `Arrays`."""
        return np.array(factor)

    def get(self, factor: Floats) -> Floats:
        """See `Arrays`."""
        return factor

    def empty_like(self, factor: Floats) -> Floats:
        """See `Arrays`."""
        return np.empty_like(factor)

    def take(self, factor: Floats, runs: NDArray[np.bool_]) -> Floats:
        """See `Arrays`."""
        return factor[runs]

    def restore(self, into: Floats, source: Floats, runs: NDArray[np.bool_]) -> None:
        """See `Arrays`."""
        into[runs] = source[runs]

    def copy(self, into: Floats, source: Floats) -> None:
        """See `Arrays`."""
        np.copyto(into, source)

    def norms(self, factor: Floats) -> NDArray[np.float64]:
        """See `Arrays`."""
        return batch_norms(factor)

    def scale(self, factor: Floats, powers: NDArray[np.int64]) -> None:
        """See `Arrays`."""
        np.ldexp(factor, powers[..., None], out=factor)

    def extrapolate(
        self, new: Floats, previous: Floats, step: NDArray[np.floating], keep: float, out: Floats
    ) -> None:
        """See `Arrays`."""
        extrapolate(new, previous, step, keep, out)


HOST = HostArrays()
