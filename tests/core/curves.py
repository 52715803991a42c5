"""Criteria of ranks with given held-out errors."""

from dataclasses import fields

import numpy as np

from nmfcore.criteria import Criteria

N_FOLDS = 8
# The same folds are hard at every rank: only paired differences can tell ranks apart.
FOLDS = np.linspace(-0.1, 0.1, N_FOLDS)
ALTERNATING = np.resize([1.0, -1.0], N_FOLDS)


def of_rank(
    rank, error=None, stability=0.97, weakest=0.9, *, wobble=0.001, n_runs=20, n_good=None, **more
):
    """Criteria of a rank with the held-out error given, up to what differs between folds."""
    sign = ALTERNATING if rank % 2 else -ALTERNATING
    errors = None if error is None else tuple(error + FOLDS + wobble * sign)
    alone = rank == 1
    values = {
        "rank": rank,
        "n_runs": n_runs,
        "n_good": n_runs if n_good is None else n_good,
        "held_out_error": None if errors is None else float(np.mean(errors)),
        "held_out_error_se": None
        if errors is None
        else float(np.std(errors, ddof=1) / np.sqrt(N_FOLDS)),
        "fold_errors": errors,
        "component_stability": None if alone else stability,
        "component_stability_min": None if alone else weakest,
        "cophenetic_correlation": None if alone else 0.99,
        "reconstruction_error": 0.9 / rank,
        **more,
    }
    return Criteria(**{**{field.name: None for field in fields(Criteria)}, **values})


def curve(errors, **more):
    return [of_rank(rank, error, **more) for rank, error in enumerate(errors, start=1)]


def words(found):
    return " ".join(
        [found.headline, *found.reasons, *found.warnings, *(r.reason for r in found.runners_up)]
    )
