"""Compile the solvers once (``python -m nmfcore.warm_up``), so that no job of a sweep has to."""

import numpy as np
from scipy import sparse

from nmfcore.block_matrix import BlockMatrix
from nmfcore.cross_validation import cross_validate
from nmfcore.factorization import factorize


def warm_up() -> None:
    """Compile and cache every kernel for both working precisions."""
    V = np.random.default_rng(0).gamma(1.0, size=(30, 40))
    hole = np.ones(V.shape, bool)
    hole[0, 0] = False
    few = V * (V > 3)  # dense, and worked on as CSR
    thin = sparse.csr_array(few)
    wide = sparse.csr_array(np.tile(few, (1, 400)))  # cut into several blocks
    for dtype in ("float32", "float64"):
        for loss in ("frobenius", "kullback-leibler", "itakura-saito"):
            for observed in (None, hole):
                factorize(V, 2, range(2), loss=loss, max_iter=3, observed=observed, dtype=dtype)
        for loss in ("frobenius", "kullback-leibler"):
            factorize(thin, 2, range(2), loss=loss, max_iter=3, dtype=dtype)
        for values in (few, few.astype(np.float32), wide):
            factorize(values, 2, range(5), max_iter=3, dtype=dtype)
        cross_validate(thin, 2, 2, 1, max_iter=3, dtype=dtype)
        large = BlockMatrix.of(thin.astype(dtype))
        for blocks in (large, large.T):
            blocks.times(np.ones((1, blocks.shape[1]), dtype))


if __name__ == "__main__":
    warm_up()
