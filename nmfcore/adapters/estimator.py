"""A scikit-learn estimator: sweep, recommended rank and stable solution as a step of a Pipeline."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from nmfcore.errors import InputError
from nmfcore.factorization import factorize
from nmfcore.runs import Runs
from nmfcore.solution import Solution, stable_solution
from nmfcore.sweeping import Sweep, sweep

AUTO = "auto"


class StableNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Nonnegative matrix factorization from many starts, combined to one stable solution.

    scikit-learn has samples in rows, the literature features: X (n_samples, n_features) is Vᵀ. `transform` returns
    Hᵀ (n_samples, n_components), `components_` is Wᵀ (n_components, n_features), and X ≈ transform(X) @ components_.

    Parameters
    ----------
    n_components : int or 'auto'
        Rank. 'auto' sweeps `ranks` and takes the recommended one; where none can be recommended, a warning says why
        and one component is fitted, which is what 'no structure' is judged against.
    ranks : iterable of int
        Ranks that 'auto' tries.
    n_starts : int
        Random starts a rank.
    loss : {'frobenius', 'kullback-leibler', 'itakura-saito'} or float
    max_iter : int
        Iterations of a run at most.
    tol : float
        See `nmfcore.factorize`.
    random_state : int, RandomState instance or None
        Root of all random streams.

    Attributes
    ----------
    components_ : (n_components, n_features) ndarray
        Components of unit Euclidean norm, largest first.
    n_components_ : int
    solution_ : Solution
        With support, stability and intervals of every component.
    sweep_ : Sweep or None
        Evidence for the rank; None where `n_components` is given.
    n_iter_ : int
        Iterations of the longest run.
    reconstruction_err_ : float
        Loss of the solution.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where X names its features.

    Examples
    --------
    >>> import numpy as np
    >>> from nmfcore.adapters.estimator import StableNMF
    >>> random = np.random.default_rng(0)
    >>> X = random.gamma(0.5, size=(40, 3)) @ random.gamma(0.5, size=(3, 60))
    >>> model = StableNMF(n_components=3, n_starts=5, random_state=0).fit(X)
    >>> model.transform(X).shape, model.components_.shape
    ((40, 3), (3, 60))
    """

    def __init__(
        self,
        n_components: int | str = AUTO,
        *,
        ranks: Iterable[int] = (1, 2, 3, 4, 5, 6, 7, 8),
        n_starts: int = 20,
        loss: str | float = "frobenius",
        max_iter: int = 2000,
        tol: float = 1e-6,
        random_state: Any = 0,
    ) -> None:
        self.n_components = n_components
        self.ranks = ranks
        self.n_starts = n_starts
        self.loss = loss
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: None = None) -> StableNMF:
        """Find the components of X.

        Parameters
        ----------
        X : (n_samples, n_features) array_like or sparse
            Nonnegative.
        y : ignored

        Returns
        -------
        StableNMF
        """
        values = self._validated(X, reset=True)
        root_seed = self._root_seed()
        V = values.T
        if self.n_components == AUTO:
            self.sweep_: Sweep | None = sweep(
                V,
                self.ranks,
                self.n_starts,
                root_seed,
                str(self.loss),
                max_iter=self.max_iter,
                tol=self.tol,
            )
            chosen = self.sweep_.recommendation.rank
            if chosen is None or self.sweep_.solution is None:
                runs, self.solution_ = self._declined(V, self.sweep_, root_seed)
            else:
                runs, self.solution_ = self.sweep_.runs[chosen], self.sweep_.solution
        else:
            self.sweep_ = None
            runs, self.solution_ = self._solved(V, self.n_components, root_seed)
        dtype = values.dtype
        self.components_: NDArray[np.floating] = self.solution_.W.T.astype(dtype)
        self.n_components_ = self.solution_.rank
        self.n_iter_ = int(runs.n_iter.max())
        self.reconstruction_err_ = self.solution_.loss
        return self

    def fit_transform(self, X: Any, y: None = None) -> NDArray[np.floating]:
        """Find the components of X and return its coefficients.

        Parameters
        ----------
        X : (n_samples, n_features) array_like or sparse
        y : ignored

        Returns
        -------
        (n_samples, n_components) ndarray
        """
        return self.fit(X).transform(X)

    def transform(self, X: Any) -> NDArray[np.floating]:
        """Coefficients of samples for the components.

        Parameters
        ----------
        X : (n_samples, n_features) array_like or sparse

        Returns
        -------
        (n_samples, n_components) ndarray
        """
        check_is_fitted(self)
        values = self._validated(X, reset=False)
        H = np.asarray(self.solution_.transform(values.T).H)
        return np.asarray(H.T.astype(values.dtype), order="C")

    def inverse_transform(self, X: Any) -> NDArray[np.floating]:
        """Samples that the coefficients stand for.

        Parameters
        ----------
        X : (n_samples, n_components) array_like

        Returns
        -------
        (n_samples, n_features) ndarray
        """
        check_is_fitted(self)
        return np.asarray(np.asarray(X) @ self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    def _validated(self, X: Any, reset: bool) -> Any:
        values = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse=("csr", "csc"),
            dtype=[np.float64, np.float32],
            ensure_non_negative=True,
        )
        return sparse.csr_array(values) if sparse.issparse(values) else values

    def _root_seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _solved(self, V: Any, rank: Any, root_seed: int) -> tuple[Runs, Solution]:
        if not isinstance(rank, int | np.integer) or rank < 1:
            raise InputError(
                f"n_components is {rank!r}; a whole number of at least 1, or 'auto', is needed."
            )
        runs = factorize(
            V, int(rank), range(self.n_starts), root_seed, self.loss, self.max_iter, self.tol
        )
        return runs, stable_solution(V, runs)

    def _declined(self, V: Any, evidence: Sweep, root_seed: int) -> tuple[Runs, Solution]:
        warnings.warn(
            f"{evidence.recommendation.headline} One component is fitted.",
            UserWarning,
            stacklevel=3,
        )
        return self._solved(V, 1, root_seed)
