"""Components with their names, and what they say of new samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmfcore.adapters import store
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.readers.wording import few
from nmfcore.adapters.store import Json, SweepFolder
from nmfcore.errors import InputError, ResultError
from nmfcore.runs import Status
from nmfcore.solution import coefficients
from nmfcore.solvers.penalties import Penalties

LEAST_SHARE = 0.5
"""Share of the model's features that new samples must have at least."""
_WORTH_SAYING = 0.9
"""Share of a component's squared weight on the present features below which a notice says so."""


@dataclass(frozen=True)
class Applied:
    """Coefficients of new samples.

    Attributes
    ----------
    H : (n_components, n_samples) ndarray of float64
        In the units of the samples, for components of unit norm over all the model's features.
    reconstruction_error : (n_samples,) ndarray of float64
        ‖v − Wh‖ / ‖v‖ over the observed cells of the model's features; NaN for a sample of zeros.
    notices : tuple of str
        What a person should know of how the features were matched, in sentences.
    """

    H: NDArray[np.float64]
    reconstruction_error: NDArray[np.float64]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class FittedComponents:
    """Components of a solution by the names of their features.

    Attributes
    ----------
    W : (n_features, n_components) ndarray of float64
    feature_ids : (n_features,) ndarray of str
        Of the features that took part in the fit.
    names : tuple of str
        Of the components.
    loss : str
    penalties : Penalties
        Of the fit.
    notices : tuple of str
        What holds for every use, such as how the training matrix was prepared.
    """

    W: NDArray[np.float64]
    feature_ids: NDArray[np.str_]
    names: tuple[str, ...]
    loss: str
    penalties: Penalties
    notices: tuple[str, ...] = ()

    def apply(self, samples: LabelledMatrix) -> Applied:
        """Coefficients and reconstruction error of new samples.

        Features are matched by id, in whatever order they come. Those that the model does not know are ignored; those
        that are missing are hidden from the fit, as long as `LEAST_SHARE` of the model's features remain.

        Parameters
        ----------
        samples : LabelledMatrix
            New samples in the units of the training matrix.

        Raises
        ------
        InputError
            If too few features are known, or an id stands twice.
        """
        ids = [str(i) for i in samples.feature_ids]
        if len(set(ids)) < len(ids):
            repeated = sorted({i for i in ids if ids.count(i) > 1})
            raise InputError(
                f"Feature ids stand more than once in the new samples ({few(repeated)}); name every feature once."
            )
        places = {name: row for row, name in enumerate(ids)}
        known = np.array([str(i) in places for i in self.feature_ids], bool)
        self._refuse_if_few(known, ids)
        rows = np.array([places[str(i)] for i in self.feature_ids[known]], np.intp)
        observed = None if samples.observed is None else samples.observed[rows]
        fit = coefficients(
            samples.values[rows],
            self.W[known],
            self.loss,
            observed=observed,
            penalties=self.penalties,
        )
        notices = [*self.notices, *self._about(known, ids)]
        if fit.status == Status.MAX_ITER:
            notices.append(
                "The fit stopped at its largest number of iterations; the last digits are open."
            )
        return Applied(np.asarray(fit.H, np.float64), fit.relative_error, tuple(notices))

    def _refuse_if_few(self, known: NDArray[np.bool_], ids: Sequence[str]) -> None:
        if known.any() and known.mean() >= LEAST_SHARE:
            return
        raise InputError(
            f"The new samples have {int(known.sum())} of the model's {known.size} features; at least "
            f"{math.ceil(LEAST_SHARE * known.size)} ({LEAST_SHARE:.0%}) are needed. The model knows "
            f"{few(self.feature_ids)}; the new samples have {few(ids)}. Check the ids, and which axis holds the "
            "features."
        )

    def _about(self, known: NDArray[np.bool_], ids: Sequence[str]) -> list[str]:
        """How the features were matched, in sentences; empty where they are the same in the same order."""
        notices = []
        missing = self.feature_ids[~known]
        if missing.size:
            squares = self.W**2
            totals = squares.sum(axis=0)
            left = squares[known].sum(axis=0) / np.where(totals > 0, totals, 1)
            worst = int(left.argmin())
            effect = (
                f"; {self.names[worst]} keeps {left[worst]:.0%} of its squared weight"
                if left[worst] < _WORTH_SAYING
                else ""
            )
            notices.append(
                f"{missing.size} of the model's {known.size} features are missing ({few(missing)}); they are hidden "
                f"from the fit{effect}."
            )
        extra = sorted(set(ids) - set(map(str, self.feature_ids)))
        if extra:
            notices.append(
                f"{len(extra)} features are not known to the model and were ignored ({few(extra)})."
            )
        own = set(map(str, self.feature_ids))
        if [i for i in ids if i in own] != [str(i) for i in self.feature_ids[known]]:
            notices.append("The features came in another order and were matched by id.")
        return notices


# ---------------------------------------------------------------- files


def read_fitted(root: str | Path, rank: int | None = None) -> FittedComponents:
    """Components of a finished sweep.

    Parameters
    ----------
    root : path
        `results/<name>`.
    rank : int, optional
        The solution of that rank instead of the recommended one.

    Raises
    ------
    ResultError
        If there is no such solution.
    """
    folder = SweepFolder(root)
    if not (folder.root / "selection/recommendation.json").is_file():
        raise ResultError(f"{root}: no finished sweep; name a folder such as results/leukemia.")
    document, arrays = folder.solution_at(rank)
    if document["rank"] is None:
        ranks = ", ".join(map(str, folder.ranks))
        raise ResultError(
            f"{root} has no such solution: {document['reason']} Ranks of this sweep are {ranks}; name another."
        )
    return FittedComponents(
        W=arrays["W"],
        feature_ids=arrays["feature_ids"],
        names=tuple(map(str, arrays["components"])),
        loss=str(folder.settings["factorize"]["loss"]),
        penalties=Penalties(**folder.settings["factorize"]["penalties"]),
        notices=_about_preparation(folder.matrix_info),
    )


def _about_preparation(info: Json) -> tuple[str, ...]:
    if not info["steps"]:
        return ()
    names = ", ".join(str(step["name"]) for step in info["steps"])
    return (
        f"The training matrix was prepared ({names}); new samples must have gone through the same steps.",
    )


def write_fitted(path: str | Path, fitted: FittedComponents, provenance: Json) -> None:
    """Write components to a sealed npz without pickles."""
    arrays: dict[str, Any] = {
        "W": fitted.W,
        "feature_ids": fitted.feature_ids,
        "components": np.array(fitted.names),
        "loss": np.array(fitted.loss),
        "penalties": np.array(astuple(fitted.penalties)),
        "notices": np.array(fitted.notices, np.str_),
    }
    store.write_npz(path, arrays, provenance)


def read_components(path: str | Path) -> FittedComponents:
    """Components of the npz that `write_fitted` wrote.

    Raises
    ------
    ResultError
        If the file is missing or damaged.
    """
    arrays = store.read_npz(path)
    return FittedComponents(
        arrays["W"],
        arrays["feature_ids"],
        tuple(map(str, arrays["components"])),
        str(arrays["loss"]),
        Penalties(*map(float, arrays["penalties"])),
        tuple(map(str, arrays["notices"])),
    )
