"""The estimator: scikit-learn's own checks, and that it says what the library says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import nmfcore
from nmfcore.adapters.estimator import StableNMF
from nmfcore.errors import InputError

RANDOM = np.random.default_rng(0)
X = RANDOM.poisson(40 * RANDOM.gamma(0.5, size=(40, 3)) @ RANDOM.gamma(0.5, size=(3, 30))) + 0.0


# No check is exempted. Fixed ranks, as a sweep a check would only repeat them; 'auto' is tested below.
@parametrize_with_checks([StableNMF(n_components=2, n_starts=2)])
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def model() -> StableNMF:
    return StableNMF(n_components=3, n_starts=6, random_state=4).fit(X)


def test_it_is_the_solution_of_the_library(model: StableNMF) -> None:
    runs = nmfcore.factorize(X.T, 3, range(6), root_seed=4)
    expected = nmfcore.solution.stable_solution(X.T, runs)
    np.testing.assert_array_equal(model.components_, expected.W.T)
    np.testing.assert_array_equal(model.transform(X), expected.transform(X.T).H.T)
    assert model.reconstruction_err_ == expected.loss
    assert model.sweep_ is None


def test_samples_come_back(model: StableNMF) -> None:
    error = np.linalg.norm(model.inverse_transform(model.transform(X)) - X) / np.linalg.norm(X)
    assert error == pytest.approx(model.solution_.relative_error, rel=1e-6)
    assert error < 0.2


def test_auto_takes_the_recommended_rank() -> None:
    model = StableNMF(ranks=(1, 2, 3, 4), n_starts=8).fit(X)
    assert model.sweep_ is not None
    assert model.n_components_ == model.sweep_.recommendation.rank == 3
    assert list(model.get_feature_names_out()) == ["stablenmf0", "stablenmf1", "stablenmf2"]


def test_auto_says_why_there_is_no_rank() -> None:
    noise = np.random.default_rng(1).gamma(3, size=(40, 30))
    with pytest.warns(UserWarning, match="One component is fitted"):
        model = StableNMF(ranks=(1, 2, 3), n_starts=6).fit(noise)
    assert model.n_components_ == 1


def test_sparse_and_dense_agree(model: StableNMF) -> None:
    other = clone(model).fit(sparse.csc_matrix(X))
    np.testing.assert_allclose(other.components_, model.components_, atol=1e-6)
    np.testing.assert_allclose(
        other.transform(sparse.csr_array(X)), model.transform(X), rtol=1e-4, atol=1e-4
    )


def test_it_drops_into_a_pipeline_of_tables() -> None:
    table = pd.DataFrame(X, columns=[f"gene_{i}" for i in range(30)])
    pipeline = make_pipeline(MaxAbsScaler(), StableNMF(2, n_starts=3)).set_output(
        transform="pandas"
    )
    found = pipeline.fit_transform(table)
    assert list(found.columns) == ["stablenmf0", "stablenmf1"]
    assert list(pipeline[-1].feature_names_in_) == list(table.columns)


@pytest.mark.parametrize("rank", [0, -1, 2.5, "many"])
def test_an_impossible_rank_is_refused(rank: Any) -> None:
    with pytest.raises(InputError, match="n_components"):
        StableNMF(rank, n_starts=2).fit(X)
