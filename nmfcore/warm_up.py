"""Compile the solvers once (``python -m nmfcore.warm_up``), so that no job of a sweep has to."""

import numpy as np

from nmfcore.factorization import factorize


def warm_up() -> None:
    """Compile and cache every kernel for both working precisions."""
    V = np.random.default_rng(0).gamma(1.0, size=(6, 5))
    hole = np.ones(V.shape, bool)
    hole[0, 0] = False
    for dtype in ("float32", "float64"):
        for observed in (None, hole):
            factorize(V, 2, range(2), max_iter=3, observed=observed, dtype=dtype)


if __name__ == "__main__":
    warm_up()
