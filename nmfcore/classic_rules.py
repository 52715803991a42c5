"""What the rules of other tools and papers would have said; for comparison, they decide nothing here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from nmfcore.criteria import Criteria

Rule = Callable[[Sequence[Criteria]], int | None]


def cophenetic_first_fall(criteria: Sequence[Criteria]) -> int | None:
    """Smallest rank after which the cophenetic correlation falls (Brunet et al. 2004)."""
    defined = [c for c in criteria if c.cophenetic_correlation is not None]
    for here, after in pairwise(defined):
        if _value(after.cophenetic_correlation) < _value(here.cophenetic_correlation):
            return here.rank
    return None


def cophenetic_maximum(criteria: Sequence[Criteria]) -> int | None:
    """Rank of the largest cophenetic correlation, as R NMF's plot is often read."""
    return _largest(criteria, "cophenetic_correlation")


def dispersion_maximum(criteria: Sequence[Criteria]) -> int | None:
    """Rank of the largest dispersion (Kim & Park 2007)."""
    return _largest(criteria, "dispersion")


def consensus_silhouette_maximum(criteria: Sequence[Criteria]) -> int | None:
    """Rank of the largest silhouette of the consensus (R NMF, CellChat)."""
    return _largest(criteria, "consensus_silhouette")


def pac_minimum(criteria: Sequence[Criteria]) -> int | None:
    """Rank of the least proportion of ambiguous pairs (Şenbabaoğlu et al. 2014)."""
    return _least(criteria, "pac")


def stability_threshold(criteria: Sequence[Criteria]) -> int | None:
    """Largest rank with mean component silhouette ≥ 0.8 and least ≥ 0.2 (SigProfilerExtractor's thresholds)."""
    stable = [
        c.rank
        for c in criteria
        if _value(c.component_stability, -1) >= 0.8 and _value(c.component_stability_min, -1) >= 0.2
    ]
    return max(stable, default=None)


def stability_maximum(criteria: Sequence[Criteria]) -> int | None:
    """Largest rank of the greatest mean component silhouette, to three digits (cNMF's plot, read by its advice)."""
    defined = [c for c in criteria if c.component_stability is not None]
    if not defined:
        return None
    best = max(round(_value(c.component_stability), 3) for c in defined)
    return max(c.rank for c in defined if round(_value(c.component_stability), 3) == best)


def amari_minimum(criteria: Sequence[Criteria]) -> int | None:
    """Rank > 1 of the least Amari instability (staNMF, Wu et al. 2016); rank 1 is stable on any data."""
    return _least([c for c in criteria if c.rank > 1], "amari_instability")


def rss_inflection(criteria: Sequence[Criteria]) -> int | None:
    """First inflection of the RSS curve (Hutchins et al. 2008): where its second difference turns from + to −."""
    defined = [c for c in criteria if np.isfinite(_value(c.rss))]
    ranks = np.array([c.rank for c in defined])
    if len(ranks) < 4 or (np.diff(ranks) != 1).any():
        return None
    curvature = np.diff([_value(c.rss) for c in defined], 2)
    turns = np.flatnonzero((curvature[:-1] > 0) & (curvature[1:] <= 0))
    return int(ranks[turns[0] + 1]) if turns.size else None


def permuted_slope(criteria: Sequence[Criteria]) -> int | None:
    """Smallest rank k whose fall of the loss to k + 1 is less than on permuted data (Frigyesi & Höglund 2008)."""
    defined = [c for c in criteria if c.loss is not None and c.null_losses]
    for here, after in pairwise(defined):
        gain = _value(here.loss) - _value(after.loss)
        if after.rank == here.rank + 1 and gain < _null_loss(here) - _null_loss(after):
            return here.rank
    return None


def held_out_minimum(criteria: Sequence[Criteria]) -> int | None:
    """Rank of the least held-out error (Wold 1978; Owen & Perry 2009)."""
    return _least(criteria, "held_out_error")


def held_out_one_standard_error(criteria: Sequence[Criteria]) -> int | None:
    """Smallest rank whose held-out error is within one standard error of the least (Breiman et al. 1984)."""
    best = held_out_minimum(criteria)
    limits = [
        _value(c.held_out_error) + _value(c.held_out_error_se, 0)
        for c in criteria
        if c.rank == best
    ]
    within = [c.rank for c in criteria if limits and _value(c.held_out_error, np.inf) <= limits[0]]
    return min(within, default=None)


def bi_cross_validation_minimum(criteria: Sequence[Criteria]) -> int | None:
    """Rank of the least error over held-out blocks (Owen & Perry 2009)."""
    return _least(criteria, "bi_cross_validation_error")


CLASSIC_RULES: dict[str, Rule] = {
    "cophenetic, first fall": cophenetic_first_fall,
    "cophenetic, maximum": cophenetic_maximum,
    "dispersion, maximum": dispersion_maximum,
    "consensus silhouette, maximum": consensus_silhouette_maximum,
    "PAC, minimum": pac_minimum,
    "component stability, threshold": stability_threshold,
    "component stability, maximum": stability_maximum,
    "Amari instability, minimum": amari_minimum,
    "RSS, first inflection": rss_inflection,
    "loss, slope of permuted data": permuted_slope,
    "held-out error, minimum": held_out_minimum,
    "held-out error, one standard error": held_out_one_standard_error,
    "bi-cross-validation, minimum": bi_cross_validation_minimum,
}


def _value(number: float | None, otherwise: float = np.nan) -> float:
    return otherwise if number is None or not np.isfinite(number) else number


def _null_loss(criteria: Criteria) -> float:
    return float(np.mean(criteria.null_losses or np.nan))


def _largest(criteria: Sequence[Criteria], name: str) -> int | None:
    defined = [c for c in criteria if np.isfinite(_value(getattr(c, name)))]
    return max(defined, key=lambda c: float(getattr(c, name))).rank if defined else None


def _least(criteria: Sequence[Criteria], name: str) -> int | None:
    defined = [c for c in criteria if np.isfinite(_value(getattr(c, name)))]
    return min(defined, key=lambda c: float(getattr(c, name))).rank if defined else None
