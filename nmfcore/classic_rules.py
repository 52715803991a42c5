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


def dispersion_maximum(criteria: Sequence[Criteria]) -> int | None:
    """Rank of the largest dispersion (Kim & Park 2007)."""
    defined = [c for c in criteria if c.dispersion is not None]
    return max(defined, key=lambda c: _value(c.dispersion)).rank if defined else None


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


def rss_inflection(criteria: Sequence[Criteria]) -> int | None:
    """First inflection of the RSS curve (Hutchins et al. 2008): where its second difference turns from + to −."""
    defined = [c for c in criteria if c.rss is not None]
    ranks = np.array([c.rank for c in defined])
    if len(ranks) < 4 or (np.diff(ranks) != 1).any():
        return None
    curvature = np.diff([_value(c.rss) for c in defined], 2)
    turns = np.flatnonzero((curvature[:-1] > 0) & (curvature[1:] <= 0))
    return int(ranks[turns[0] + 1]) if turns.size else None


def held_out_minimum(criteria: Sequence[Criteria]) -> int | None:
    """Rank of the least held-out error (Wold 1978; Owen & Perry 2009)."""
    defined = [c for c in criteria if c.held_out_error is not None]
    return min(defined, key=lambda c: _value(c.held_out_error)).rank if defined else None


CLASSIC_RULES: dict[str, Rule] = {
    "cophenetic, first fall": cophenetic_first_fall,
    "dispersion, maximum": dispersion_maximum,
    "component stability, threshold": stability_threshold,
    "component stability, maximum": stability_maximum,
    "RSS, first inflection": rss_inflection,
    "held-out error, minimum": held_out_minimum,
}


def _value(number: float | None, otherwise: float = np.nan) -> float:
    return otherwise if number is None else number
