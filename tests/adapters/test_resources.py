"""What jobs ask a scheduler for: enough for what they were measured to take, and more each time."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from nmfcore import block_matrix, factorize
from nmfcore.adapters import forecast, store
from nmfcore.adapters.config import load_config
from nmfcore.adapters.resources import MatrixSize, batch_bytes, request
from nmfcore.errors import ResultError
from nmfcore.problem import pose

SIZE = MatrixSize(2000, 500, 1_000_000, False)


def config_of(**changes: Any) -> dict[str, Any]:
    return load_config({"name": "x", "input": {"path": "x.tsv"}, **changes}, forecast.SCHEMA)


EVERYTHING = config_of(validate={"permutation": {}, "bi_cross_validation": {}})
FITTING = ("factorize", "validate", "permute", "validate_blocks", "solve_rank", "solve")
BATCH = {"rank": "5", "first": "0", "last": "49"}


@pytest.mark.parametrize("rule", FITTING)
def test_more_components_and_a_larger_matrix_ask_for_more(rule: str) -> None:
    small = request(rule, SIZE, EVERYTHING, BATCH)
    deep = request(rule, SIZE, EVERYTHING, {**BATCH, "rank": "50"})
    large = request(rule, MatrixSize(20_000, 500, 10_000_000, False), EVERYTHING, BATCH)
    assert large.mem_mb > small.mem_mb
    assert large.runtime > small.runtime
    if rule != "solve":  # whatever rank is chosen
        assert deep.mem_mb > small.mem_mb
        assert deep.runtime > small.runtime


def test_a_batch_asks_for_its_seeds() -> None:
    few, many = (
        request("factorize", SIZE, EVERYTHING, {**BATCH, "last": last}) for last in ("4", "99")
    )
    # 100 seeds in float64 beside their float32, start and end, and 10 of them in products; 5 that are iterated.
    factors = (100 * (2 + 2) + 10 * 2 - 5 * (2 + 5)) * 5 * 2500 * 4 / 1e6
    assert many.mem_mb - few.mem_mb == pytest.approx(factors, abs=2)
    assert many.runtime > few.runtime


def test_folds_that_are_worked_on_at_once_ask_for_as_many_copies() -> None:
    one, two, three = (
        request("validate", SIZE, EVERYTHING, BATCH, threads=n).mem_mb for n in (1, 2, 3)
    )
    assert three - two == pytest.approx(two - one, abs=2)
    # V at its scale, in two precisions, at the least.
    assert two - one >= SIZE.n_features * SIZE.n_samples * 12 / 1e6


def test_groups_that_are_iterated_at_once_ask_for_what_they_work_with() -> None:
    batch = {**BATCH, "first": "0", "last": "29"}
    one, two, many = (
        request("factorize", SIZE, EVERYTHING, batch, threads=n).mem_mb for n in (1, 2, 9)
    )
    assert one < two < many
    assert request("factorize", SIZE, EVERYTHING, batch, threads=3).mem_mb == many  # three groups


@pytest.mark.parametrize("rule", ["prepare", "summarize", "report", *FITTING])
def test_a_job_that_was_killed_asks_for_twice_as_much(rule: str) -> None:
    once, again, third = (request(rule, SIZE, EVERYTHING, BATCH, 5e7, n) for n in (1, 2, 3))
    assert (again.mem_mb, again.runtime) == (2 * once.mem_mb, 2 * once.runtime)
    assert (third.mem_mb, third.runtime) == (4 * once.mem_mb, 4 * once.runtime)


def test_files_that_are_gathered_or_parsed_count() -> None:
    for rule in ("prepare", "summarize", "solve_rank"):
        small, large = (request(rule, SIZE, EVERYTHING, BATCH, n) for n in (0.0, 1e9))
        assert large.mem_mb >= small.mem_mb + 3000


@pytest.mark.parametrize("kind", ["dense", "fortran", "few", "sparse"])
def test_a_batch_takes_what_is_said(kind: str) -> None:
    random = np.random.default_rng(0)
    V: Any = random.random((600, 500))
    if kind == "fortran":
        V = np.asfortranarray(V)
    if kind in ("few", "sparse"):
        V = sparse.random_array((3000, 500), density=0.05, rng=random, format="csr")
    if kind == "few":
        V = V.toarray()
    is_sparse = sparse.issparse(V)
    n_nonzero = V.nnz if is_sparse else np.count_nonzero(V)
    size = MatrixSize(
        *V.shape, V.nnz if is_sparse else V.size, is_sparse, density=n_nonzero / np.prod(V.shape)
    )
    factorize(V[:50], 2, range(2), max_iter=2)  # what is loaded once is not the batch's
    tracemalloc.start()
    factorize(V, 6, range(40), max_iter=10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    said = batch_bytes(size, 6, 40, 4)
    assert peak < 1.2 * said
    assert said < 2 * peak


def test_the_size_is_that_of_the_prepared_matrix(finished_sweep: Path, tmp_path: Path) -> None:
    V, _ = store.read_matrix(finished_sweep / "prepared/matrix.npz")
    size = MatrixSize.of(finished_sweep / "prepared/matrix.json")
    density = np.count_nonzero(V.values) / V.values.size
    assert size == MatrixSize(*V.shape, V.values.size, False, density=pytest.approx(density))
    assert size.n_bytes == V.values.nbytes
    with pytest.raises(ResultError, match="no such result file"):
        MatrixSize.of(tmp_path / "matrix.json")


@pytest.mark.parametrize("shape", [(5000, 38), (300, 300), (200, 20_000)])
def test_a_file_alone_tells_a_size_that_is_enough(shape: tuple[int, int]) -> None:
    guessed = MatrixSize.of_file(8.0 * shape[0] * shape[1])
    true = MatrixSize(*shape, shape[0] * shape[1], False)
    for rule in ("factorize", "validate"):
        known, asked = (request(rule, size, EVERYTHING, BATCH) for size in (true, guessed))
        assert known.mem_mb * 0.9 < asked.mem_mb < 3 * known.mem_mb


@pytest.mark.parametrize("density", [0.1, 0.29, 0.31, 1.0])
def test_jobs_and_fits_agree_on_which_matrix_is_large(
    density: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_matrix, "LARGE", 2500)
    V = sparse.random_array((100, 100), density=density, rng=np.random.default_rng(0)).toarray()
    info = {"shape": V.shape, "storage": "dense", "density": density, "n_missing": 0}
    store.write_json(tmp_path / "matrix.json", info)
    size, problem = MatrixSize.of(tmp_path / "matrix.json"), pose(V)
    assert size.stays_on_disk == isinstance(problem.V, block_matrix.BlockMatrix)
    assert size.as_fitted.is_sparse == problem.is_sparse


def test_a_large_matrix_is_not_held() -> None:
    large = MatrixSize(2000, 100_000, 200_000_000, False, stays_on_disk=True)
    held = replace(large, stays_on_disk=False)
    for rule in ("factorize", "summarize", "solve_rank"):
        asked = [request(rule, size, EVERYTHING, BATCH).mem_mb for size in (large, held)]
        assert asked[1] - asked[0] > 2900, rule
    for rule in ("permute", "validate_blocks"):
        asked = [request(rule, size, EVERYTHING, BATCH).mem_mb for size in (large, held)]
        assert asked[0] == asked[1], rule
    counts = {**EVERYTHING, "factorize": {**EVERYTHING["factorize"], "loss": "kullback-leibler"}}
    assert request("factorize", large, counts, BATCH) == request("factorize", held, counts, BATCH)


def test_cross_validation_of_a_larger_matrix_asks_for_no_more() -> None:
    sizes = [MatrixSize(2000, n, 2000 * n, False, stays_on_disk=True) for n in (10**5, 10**6)]
    first, second = (request("validate", size, EVERYTHING, BATCH) for size in sizes)
    assert first == second
