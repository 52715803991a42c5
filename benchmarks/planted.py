"""Matrices with a known number of parts, and matrices of noise.

How hard a matrix is, is one number whatever its kind: the *visibility* of its weakest direction, the k-th singular
value of the signal over the largest singular value of the noise. Below 1 the weakest part lies under the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Stream = np.random.Generator

VISIBILITY = {"low": 5.0, "moderate": 2.5, "high": 1.3, "extreme": 0.7}
"""Visibility aimed at, by level of noise."""

SHAPES = {"square": (100, 100), "tall": (300, 40), "wide": (60, 200)}


@dataclass(frozen=True)
class Planted:
    """A matrix and what is known of it.

    Attributes
    ----------
    kind, level, shape_name : str
    rank : int
        Number of planted parts; 1 for noise.
    V : (n_features, n_samples) ndarray
    observed : (n_features, n_samples) ndarray of bool or None
    visibility : float
        σ_k(signal) / σ_1(noise), measured on the matrix as it is; NaN for noise only.
    """

    kind: str
    level: str
    shape_name: str
    rank: int
    V: Array
    observed: NDArray[np.bool_] | None
    visibility: float


def plant(kind: str, rank: int, level: str, shape_name: str, seed: int) -> Planted:
    """Draw a matrix of one of `KINDS` or `NOISE_KINDS`.

    Parameters
    ----------
    kind : str
    rank : int
        Ignored for noise.
    level : str
        A key of `VISIBILITY`; ignored for noise.
    shape_name : str
        A key of `SHAPES`.
    seed : int
    """
    words = [sum(map(ord, word)) for word in (kind, level, shape_name)]
    stream = np.random.default_rng([seed, rank, *words])
    shape = SHAPES[shape_name]
    if kind in NOISE_KINDS:
        V = NOISE_KINDS[kind](stream, shape)
        return Planted(kind, "noise", shape_name, 1, V, None, float("nan"))
    signal, noise = KINDS[kind]
    W, H = signal(stream, shape, rank)
    mean = W @ H
    mean *= 1.0 / mean.mean()
    V, scaled = _at_visibility(stream, mean, rank, noise, VISIBILITY[level])
    observed = None
    if kind == "missing cells":
        observed = stream.random(shape) > 0.15
        V = np.where(observed, V, 0.0)
    visibility = _visibility(scaled, V if observed is None else np.where(observed, V, scaled), rank)
    return Planted(kind, level, shape_name, rank, V, observed, visibility)


def _visibility(mean: Array, V: Array, rank: int) -> float:
    signal = np.linalg.svd(mean, compute_uv=False)[rank - 1]
    return float(signal / np.linalg.norm(V - mean, 2))


def _at_visibility(
    stream: Stream, mean: Array, rank: int, noise: Callable[..., Array], target: float
) -> tuple[Array, Array]:
    """Raise or lower the amount of noise until the weakest direction has the visibility wanted."""
    amount = 1.0
    seed = int(stream.integers(2**32))
    for _ in range(12):
        V, scaled = _observed(np.random.default_rng(seed), mean, noise, amount)
        reached = _visibility(scaled, V, rank)
        if abs(np.log(reached / target)) < 0.02:
            break
        amount *= (reached / target) ** 0.9
    return V, scaled


def _observed(
    stream: Stream, mean: Array, noise: Callable[..., Array], amount: float
) -> tuple[Array, Array]:
    """Observation of a mean at an amount of noise, and the mean in its units."""
    scale = noise(None, mean, amount)
    scaled = mean * scale
    return noise(stream, scaled, amount), scaled


# ---------------------------------------------------------------- noise around a mean
# Called with a stream of None, each returns the scale at which the mean is to be observed.


def _gaussian(stream: Stream | None, mean: Array, amount: float) -> Any:
    if stream is None:
        return 1.0
    return np.maximum(mean + stream.normal(0, 0.3 * amount, mean.shape), 0)


def _poisson(stream: Stream | None, mean: Array, amount: float) -> Any:
    if stream is None:
        return 20.0 / amount**2
    return stream.poisson(mean).astype(float)


def _overdispersed(stream: Stream | None, mean: Array, amount: float) -> Any:
    if stream is None:
        return 50.0 / amount**2
    shape = 10.0 / amount**2
    return stream.poisson(mean * stream.gamma(shape, 1 / shape, mean.shape)).astype(float)


def _multiplicative(stream: Stream | None, mean: Array, amount: float) -> Any:
    if stream is None:
        return 1.0
    return mean * stream.lognormal(0, 0.3 * amount, mean.shape)


# ---------------------------------------------------------------- parts


def _gamma_parts(stream: Stream, shape: tuple[int, int], rank: int) -> tuple[Array, Array]:
    """Half of the entries of W are zero."""
    m, n = shape
    W = stream.gamma(1, 1, (m, rank)) * (stream.random((m, rank)) < 0.5)
    return W, stream.gamma(1, 1, (rank, n))


def _profiles(stream: Stream, shape: tuple[int, int], rank: int) -> tuple[Array, Array]:
    """Profiles like mutational signatures, mixed unevenly."""
    m, n = shape
    return stream.dirichlet(np.full(m, 0.15), rank).T, stream.gamma(0.5, 1, (rank, n))


def _topics(stream: Stream, shape: tuple[int, int], rank: int) -> tuple[Array, Array]:
    """Samples of uneven depth, few parts each."""
    m, n = shape
    W = stream.dirichlet(np.full(m, 0.1), rank).T
    return W, stream.dirichlet(np.full(rank, 0.3), n).T * stream.lognormal(0, 0.4, n)


def _correlated(stream: Stream, shape: tuple[int, int], rank: int) -> tuple[Array, Array]:
    """Profiles with a common part, mutual cosines up to about 0.9."""
    m, n = shape
    common = stream.dirichlet(np.full(m, 0.5))
    own = stream.dirichlet(np.full(m, 0.3), rank)
    W = (0.6 * common + 0.4 * own).T
    return W, stream.dirichlet(np.full(rank, 0.4), n).T * stream.lognormal(0, 0.3, n)


def _unequal(stream: Stream, shape: tuple[int, int], rank: int) -> tuple[Array, Array]:
    """Parts from the largest down to 3 % of the mass (or an even share where that is less)."""
    m, n = shape
    share = np.geomspace(1, min(1.0, 0.03 * rank), rank)
    share *= 1 / share.sum()
    W = stream.dirichlet(np.full(m, 0.15), rank).T
    return W, stream.gamma(0.5, 1, (rank, n)) * share[:, None]


def _separable(stream: Stream, shape: tuple[int, int], rank: int) -> tuple[Array, Array]:
    """Every part has features of its own."""
    m, n = shape
    W = stream.gamma(1, 1, (m, rank))
    own = max(2, m // (5 * rank))
    for j in range(rank):
        W[j * own : (j + 1) * own] = 0
        W[j * own : (j + 1) * own, j] = stream.gamma(2, 1, own)
    return W[stream.permutation(m)], stream.dirichlet(np.full(rank, 0.5), n).T


def _heavy_features(stream: Stream, shape: tuple[int, int], rank: int) -> tuple[Array, Array]:
    """Groups of samples; levels of features over four orders of magnitude, as in expression data."""
    m, n = shape
    level = stream.lognormal(0, 1.2, (m, 1))
    W = level * (0.3 + stream.gamma(0.7, 1, (m, rank)))
    H = 0.15 * stream.gamma(1, 1, (rank, n))
    H[stream.permutation(np.arange(n) % rank), np.arange(n)] += 1
    return W, H


def _outlying_samples(stream: Stream, shape: tuple[int, int], rank: int) -> tuple[Array, Array]:
    """Three in a hundred samples (at least two) are ten times deeper than the others."""
    W, H = _gamma_parts(stream, shape, rank)
    n_out = max(2, shape[1] * 3 // 100)
    H[:, stream.choice(shape[1], n_out, replace=False)] *= 10
    return W, H


KINDS: dict[str, tuple[Callable[..., tuple[Array, Array]], Callable[..., Array]]] = {
    "Gaussian": (_gamma_parts, _gaussian),
    "Poisson": (_profiles, _poisson),
    "overdispersed": (_profiles, _overdispersed),
    "low-depth counts": (_topics, _poisson),
    "correlated": (_correlated, _poisson),
    "unequal sizes": (_unequal, _poisson),
    "heavy tails": (_heavy_features, _multiplicative),
    "outlying samples": (_outlying_samples, _poisson),
    "missing cells": (_gamma_parts, _gaussian),
    "separable": (_separable, _gaussian),
}
"""Parts and noise of each kind."""


# ---------------------------------------------------------------- noise only


def _margins(stream: Stream, shape: tuple[int, int]) -> Array:
    """One profile at uneven depths: structure of rank 1, no more."""
    return stream.gamma(1, 1, (shape[0], 1)) * stream.lognormal(0, 0.3, (1, shape[1]))


NOISE_KINDS: dict[str, Callable[[Stream, tuple[int, int]], Array]] = {
    "noise: Gaussian": lambda stream, shape: np.abs(stream.normal(1, 0.3, shape)),
    "noise: uniform": lambda stream, shape: stream.random(shape),
    "noise: Poisson": lambda stream, shape: stream.poisson(5 * _margins(stream, shape)).astype(
        float
    ),
    "noise: sparse counts": lambda stream, shape: stream.poisson(
        0.3 * _margins(stream, shape)
    ).astype(float),
    "noise: exponential": lambda stream, shape: (
        stream.exponential(1, shape) * _margins(stream, shape)
    ),
    "noise: log-normal": lambda stream, shape: (
        stream.lognormal(0, 1, shape) * _margins(stream, shape)
    ),
}
