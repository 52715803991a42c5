"""The same iteration on a graphics card: parity with the processor. Without a card PyTorch stands in for it."""

import numpy as np
import pytest
from scipy import sparse

from nmfcore import Penalties, factorize
from nmfcore.errors import InputError
from nmfcore.problem import pose
from nmfcore.solvers import device
from nmfcore.solvers.arrays import HOST
from nmfcore.solvers.kernels import sweep
from nmfcore.solvers.registry import choose_solver

random = np.random.default_rng(8)
V = random.poisson(20 * random.gamma(0.5, size=(60, 4)) @ random.gamma(0.5, size=(4, 45)))
V = V.astype(float)


@pytest.fixture
def card(monkeypatch):
    """A card; without one, what PyTorch does on the processor, which runs the same lines."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    if not device.is_available():
        monkeypatch.setattr(device, "DEVICE", "cpu")
        monkeypatch.setattr(device, "is_available", lambda: True)


def components_alike(one, other):
    cosine = one.T @ other / np.outer(*(np.linalg.norm(W, axis=0) for W in (one, other)))
    return cosine.max(axis=1).min()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_runs_are_those_of_the_processor_to_rounding(card, dtype, storage):
    options = {"dtype": dtype, "tol": 1e-8}
    there = factorize(storage(V), 4, range(6), device="cuda", **options)
    here = factorize(storage(V), 4, range(6), **options)
    assert there.good.all()
    assert "on " in there.solver
    assert "on " not in here.solver
    np.testing.assert_allclose(there.loss, here.loss, rtol=1e-3)
    best = int(here.loss.argmin())
    assert components_alike(here.W[best], there.W[best]) > 0.9999
    assert there.kkt_residual.max() < 10 * here.kkt_residual.max() + 1e-6
    # Losses are recomputed from the factors, wherever these come from.
    squares = [0.5 * ((V - W @ H) ** 2).sum() for W, H in zip(there.W, there.H, strict=True)]
    np.testing.assert_allclose(there.loss, squares, rtol=1e-4)


def test_a_first_iteration_is_that_of_the_processor(card):
    options = {"max_iter": 1, "dtype": "float64"}
    there, here = (factorize(V, 5, range(3), device=d, **options) for d in ("cuda", "cpu"))
    np.testing.assert_allclose(there.W, here.W, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(there.H, here.H, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(there.trace, here.trace, rtol=1e-9)


def test_a_large_matrix_is_compressed_there_too(card):
    tall = random.gamma(0.5, size=(700, 3)) @ random.gamma(0.5, size=(3, 600))
    runs = factorize(tall, 3, range(4), device="cuda")
    assert "compressed" in runs.solver
    assert runs.relative_error.min() < 1e-3


def test_runs_do_not_depend_on_the_batch(card):
    together = factorize(V, 3, range(12), device="cuda")
    apart = factorize(V, 3, range(10, 12), device="cuda")
    np.testing.assert_array_equal(together.W[10:], apart.W)


def test_a_component_of_zeros_stays_one(card):
    rhs, gram = random.random((2, 3, 7)), np.zeros((2, 3, 3))
    gram[:, 1:, 1:] = np.eye(2)
    start = random.random((2, 3, 7))
    expected = np.empty_like(start)
    sweep(start, rhs, gram, 2, expected)
    out = device.ARRAYS.put(start)
    device._sweep(*map(device.ARRAYS.put, (start, rhs, gram)), 1e-250, out)
    np.testing.assert_allclose(device.ARRAYS.get(out), expected, rtol=1e-12)


def test_factors_there_are_handled_as_those_here(card):
    new, previous = random.random((2, 4, 3, 6))
    step, runs = random.random(4), np.array([True, False, True, False])
    powers = random.integers(-3, 4, (4, 3))

    def handled(arrays):
        there, before = arrays.put(new), arrays.put(previous)
        out = arrays.empty_like(there)
        arrays.extrapolate(there, before, step, 0.1, out)
        arrays.scale(out, powers)
        arrays.restore(out, before, runs)
        copied = arrays.empty_like(out)
        arrays.copy(copied, out)
        return [arrays.get(copied), arrays.get(arrays.take(out, ~runs)), arrays.norms(out)]

    for there, here in zip(handled(device.ARRAYS), handled(HOST), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-14)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"loss": "kullback-leibler"}, "'cd' is for the processor"),
        ({"solver": "mu"}, "'mu' is for the processor"),
        ({"observed": V > 0}, "hidden and weighted cells"),
        ({"penalties": Penalties(l1_H=1.0)}, "penalties"),
    ],
)
def test_what_a_card_does_not_take_is_refused_and_goes_to_the_processor(
    monkeypatch, options, reason
):
    monkeypatch.setattr(device, "is_available", lambda: True)
    with pytest.raises(InputError, match=reason):
        factorize(V, 2, range(2), device="cuda", **options)
    auto, here = (factorize(V, 2, range(2), device=d, **options) for d in ("auto", "cpu"))
    np.testing.assert_array_equal(auto.W, here.W)


def test_a_matrix_by_blocks_is_for_the_processor(monkeypatch):
    monkeypatch.setattr(device, "is_available", lambda: True)
    monkeypatch.setattr("nmfcore.block_matrix.LARGE", 1)
    with pytest.raises(InputError, match="block by block"):
        choose_solver(pose(V), "auto", "cuda")


def test_without_a_card_the_processor_is_named(monkeypatch):
    monkeypatch.setattr(device, "is_available", lambda: False)
    with pytest.raises(InputError, match="sees no card; choose 'cpu', or 'auto'"):
        factorize(V, 2, range(2), device="cuda")
    assert "on " not in factorize(V, 2, range(2), device="auto").solver


def test_another_device_is_refused():
    with pytest.raises(InputError, match="choose auto, cpu, cuda"):
        factorize(V, 2, range(2), device="tpu")
