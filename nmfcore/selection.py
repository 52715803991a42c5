"""The recommendation: held-out error says how much structure there is, stability what can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from nmfcore.classic_rules import CLASSIC_RULES
from nmfcore.criteria import Criteria


class Decision(StrEnum):
    """What can be said of the rank."""

    RANK = "rank"
    TIE = "tie"
    NO_STRUCTURE = "no_structure"
    NO_STABLE_SOLUTION = "no_stable_solution"


class Confidence(StrEnum):
    """How clearly the evidence speaks."""

    HIGH = "high"
    MODERATE = "moderate"
    LOW = "low"


@dataclass(frozen=True)
class RunnerUp:
    """Another rank that the evidence does not exclude, and why."""

    rank: int
    reason: str


@dataclass(frozen=True)
class Recommendation:
    """The rank, or why there is none.

    Attributes
    ----------
    rank : int or None
        None where there is no structure beyond rank 1, or none that the runs agree on. In a tie, the smaller rank.
    decision : Decision
    confidence : Confidence
    headline : str
        The decision in one sentence.
    reasons : tuple of str
        The evidence in words, with its figures.
    runners_up : tuple of RunnerUp
    warnings : tuple of str
        What limits the recommendation.
    classic_rules : dict
        Name of each rule of `nmfcore.classic_rules` and the rank it gives, or None.
    """

    rank: int | None
    decision: Decision
    confidence: Confidence
    headline: str
    reasons: tuple[str, ...]
    runners_up: tuple[RunnerUp, ...]
    warnings: tuple[str, ...]
    classic_rules: dict[str, int | None]


@dataclass(frozen=True)
class SelectionRule:
    """The thresholds of the rule.

    Attributes
    ----------
    min_stability : float
        Least mean component silhouette of a rank that counts as stable.
    min_component_stability : float
        The same for its weakest component.
    max_standard_errors : float
        Ranks whose held-out error exceeds the least by at most this many standard errors (of the paired
        differences over the folds) cannot be told from the best.
    """

    min_stability: float = 0.8
    min_component_stability: float = 0.2
    max_standard_errors: float = 1.0

    def is_stable(self, criteria: Criteria) -> bool:
        """Whether the runs of a rank agree on its components; rank 1 has nothing to disagree on."""
        if criteria.rank == 1:
            return criteria.n_good > 0
        mean, least = criteria.component_stability, criteria.component_stability_min
        return (
            mean is not None
            and least is not None
            and mean >= self.min_stability
            and least >= self.min_component_stability
        )


def recommend(criteria: Sequence[Criteria], rule: SelectionRule | None = None) -> Recommendation:
    """Recommend a rank, or decline.

    The held-out error of each rank is compared with the least one, fold by fold. The smallest rank that cannot be
    told from the best (`SelectionRule.max_standard_errors`) is how much structure the data show; it is recommended
    if the runs agree on its components. A larger rank that cannot be told from the best either, and is stable
    where the smaller is not, takes its place.

    Parameters
    ----------
    criteria : sequence of Criteria
        One a rank, in ascending order; rank 1 among them, or 'no structure' cannot be seen.
    rule : SelectionRule, optional
    """
    rule = rule or SelectionRule()
    classic = {name: classic_rule(criteria) for name, classic_rule in CLASSIC_RULES.items()}
    warnings = _warnings(criteria)
    evidence = _held_out_evidence(criteria)
    if evidence is None:
        found = _by_stability(criteria, rule)
    else:
        found = _by_evidence(criteria, evidence, rule)
    if found.warning:
        warnings.append(found.warning)
    return Recommendation(
        rank=found.rank,
        decision=found.decision,
        confidence=found.confidence,
        headline=found.headline,
        reasons=tuple(found.reasons),
        runners_up=tuple(found.runners_up),
        warnings=tuple(warnings),
        classic_rules=classic,
    )


@dataclass(frozen=True)
class _HeldOut:
    """Held-out error of every rank, and its excess over the least in paired standard errors."""

    ranks: list[int]
    error: NDArray[np.float64]
    excess: NDArray[np.float64]

    def at(self, rank: int) -> tuple[float, float]:
        i = self.ranks.index(rank)
        return float(self.error[i]), float(self.excess[i])

    @property
    def best(self) -> int:
        return self.ranks[int(self.error.argmin())]

    def between(self, low: int, high: int) -> float:
        return self.at(low)[0] - self.at(high)[0]


@dataclass(frozen=True)
class _Finding:
    rank: int | None
    decision: Decision
    confidence: Confidence
    headline: str
    reasons: list[str]
    runners_up: list[RunnerUp]
    warning: str | None = None


def _held_out_evidence(criteria: Sequence[Criteria]) -> _HeldOut | None:
    known = [c for c in criteria if c.fold_errors and np.isfinite(c.fold_errors).all()]
    if not known:
        return None
    errors = np.array([c.fold_errors for c in known])
    mean = errors.mean(axis=1)
    differences = errors - errors[mean.argmin()]
    spread = differences.std(axis=1, ddof=1) / np.sqrt(errors.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.where(differences.any(axis=1), differences.mean(axis=1) / spread, 0.0)
    return _HeldOut([c.rank for c in known], mean, excess)


def _by_evidence(criteria: Sequence[Criteria], held_out: _HeldOut, rule: SelectionRule) -> _Finding:
    by_rank = {c.rank: c for c in criteria}
    plausible = [
        rank
        for rank, excess in zip(held_out.ranks, held_out.excess, strict=True)
        if excess <= rule.max_standard_errors
    ]
    structure = plausible[0]
    if structure == 1:
        return _no_structure(held_out, plausible)
    stable = [rank for rank in plausible if rule.is_stable(by_rank[rank])]
    if not stable:
        return _no_stable_solution(by_rank, held_out, structure, rule)
    rank = stable[0]
    reasons = [_reason_for_structure(held_out, rank), _reason_for_stability(by_rank[rank])]
    runners_up = _runners_up(by_rank, held_out, rank, plausible, rule)
    tied = held_out.best != rank and held_out.best in stable and held_out.at(rank)[1] > 0.5
    if rank != structure:
        reasons.append(
            f"Rank {structure} predicts hidden cells about as well, but its runs disagree: "
            f"{_stability_words(by_rank[structure])}."
        )
    confidence = _confidence(by_rank[rank], held_out, rank, structure, tied)
    edge = held_out.best == max(held_out.ranks) and len(held_out.ranks) > 1
    warning = (
        f"The held-out error is least at rank {held_out.best}, the edge of the grid: extend the ranks."
        if edge
        else None
    )
    if tied:
        headline = (
            f"Ranks {rank} and {held_out.best} tie: rank {held_out.best} predicts hidden cells slightly better, "
            f"rank {rank} is the simpler."
        )
    else:
        headline = f"Rank {rank}: {_headline_reason(held_out, rank)}, and the runs agree on its components."
    return _Finding(
        rank,
        Decision.TIE if tied else Decision.RANK,
        Confidence.LOW if edge else confidence,
        headline,
        reasons,
        runners_up,
        warning,
    )


def _confidence(
    criteria: Criteria, held_out: _HeldOut, rank: int, structure: int, tied: bool
) -> Confidence:
    """High where a smaller rank is clearly worse, no larger one is better, and the runs agree closely."""
    below = [excess for r, excess in zip(held_out.ranks, held_out.excess, strict=True) if r < rank]
    clearly_needed = not below or min(below) > 2
    agrees = (criteria.component_stability or 0) >= 0.9 and (
        criteria.component_stability_min or 0
    ) >= 0.6
    if tied or rank != structure:
        return Confidence.LOW
    if clearly_needed and agrees and held_out.best == rank:
        return Confidence.HIGH
    return Confidence.MODERATE


def _no_structure(held_out: _HeldOut, plausible: list[int]) -> _Finding:
    least = held_out.at(held_out.best)[0]
    alone = held_out.at(1)[0]
    reasons = [
        f"Rank 1 — one profile, scaled for every sample — predicts hidden cells with relative error {alone:.4f}; "
        f"no rank does better than {least:.4f}"
        + (
            "."
            if held_out.best == 1
            else f" (rank {held_out.best}), which the folds cannot tell apart."
        ),
    ]
    clear = held_out.best == 1 and len(plausible) == 1
    return _Finding(
        None,
        Decision.NO_STRUCTURE,
        Confidence.HIGH if clear else Confidence.MODERATE,
        "No structure beyond rank 1: more components do not predict hidden cells better than one profile does.",
        reasons,
        [
            RunnerUp(
                rank,
                f"held-out error {held_out.at(rank)[0]:.4f} cannot be told from that of rank 1",
            )
            for rank in plausible[1:]
        ],
    )


def _no_stable_solution(
    by_rank: dict[int, Criteria], held_out: _HeldOut, structure: int, rule: SelectionRule
) -> _Finding:
    fallback = [r for r in held_out.ranks if 1 < r < structure and rule.is_stable(by_rank[r])]
    reasons = [
        _reason_for_structure(held_out, structure),
        f"But its runs disagree on the components: {_stability_words(by_rank[structure])}; stable means a mean "
        f"silhouette of at least {rule.min_stability:g} and {rule.min_component_stability:g} for the weakest.",
    ]
    return _Finding(
        None,
        Decision.NO_STABLE_SOLUTION,
        Confidence.MODERATE,
        f"There is structure, about {structure} components of it, but no stable solution: the runs disagree.",
        reasons,
        [
            RunnerUp(
                rank, f"stable ({_stability_words(by_rank[rank])}), but predicts hidden cells worse"
            )
            for rank in fallback[-1:]
        ],
        "More seeds, or a smaller tol with more iterations, may show whether the runs can agree.",
    )


def _by_stability(criteria: Sequence[Criteria], rule: SelectionRule) -> _Finding:
    """Without held-out errors only agreement is known: the largest stable rank, with little confidence."""
    stable = [c for c in criteria if c.rank > 1 and rule.is_stable(c)]
    if not stable:
        return _Finding(
            None,
            Decision.NO_STABLE_SOLUTION,
            Confidence.LOW,
            "No stable rank: the runs disagree at every rank.",
            ["No rank reaches the required component stability."],
            [],
        )
    chosen = stable[-1]
    return _Finding(
        chosen.rank,
        Decision.RANK,
        Confidence.LOW,
        f"Rank {chosen.rank}, by stability alone: the largest rank on whose components the runs agree.",
        [_reason_for_stability(chosen)],
        [RunnerUp(c.rank, f"also stable: {_stability_words(c)}") for c in stable[:-1]],
        "Without cross-validation nothing tells structure from noise; stable components of noise are common.",
    )


def _runners_up(
    by_rank: dict[int, Criteria],
    held_out: _HeldOut,
    rank: int,
    plausible: list[int],
    rule: SelectionRule,
) -> list[RunnerUp]:
    return [
        RunnerUp(
            other,
            f"held-out error {held_out.at(other)[0]:.4f} against {held_out.at(rank)[0]:.4f}, not to be told apart; "
            + ("stable: " if rule.is_stable(by_rank[other]) else "not stable: ")
            + _stability_words(by_rank[other]),
        )
        for other in plausible
        if other != rank
    ]


def _headline_reason(held_out: _HeldOut, rank: int) -> str:
    if held_out.best == rank:
        return "it predicts hidden cells best"
    return (
        f"the smallest rank that predicts hidden cells as well as the best (rank {held_out.best})"
    )


def _reason_for_structure(held_out: _HeldOut, rank: int) -> str:
    error, excess = held_out.at(rank)
    text = f"Held-out relative error {error:.4f} at rank {rank}"
    if held_out.best == rank:
        text += ", the least of all ranks"
    else:
        least = held_out.at(held_out.best)[0]
        text += (
            f", {excess:.1f} standard errors above the least ({least:.4f} at rank {held_out.best})"
        )
    below = [r for r in held_out.ranks if r < rank]
    if below:
        error, excess = held_out.at(below[-1])
        text += f"; rank {below[-1]} has {error:.4f}, {excess:.1f} standard errors above the least"
    above = [r for r in held_out.ranks if r > rank]
    if above and held_out.best == rank:
        error, excess = held_out.at(above[0])
        text += f"; rank {above[0]} has {error:.4f} ({excess:.1f})"
    return text + "."


def _reason_for_stability(criteria: Criteria) -> str:
    text = f"{criteria.n_good} of {criteria.n_runs} runs at rank {criteria.rank} converged"
    words = _stability_words(criteria)
    if criteria.cophenetic_correlation is not None:
        words += f", cophenetic correlation {criteria.cophenetic_correlation:.3f}"
    return f"{text}; {words}."


def _stability_words(criteria: Criteria) -> str:
    if criteria.component_stability is None or criteria.component_stability_min is None:
        return "component stability undefined"
    return (
        f"component silhouettes {criteria.component_stability:.2f} on average, "
        f"{criteria.component_stability_min:.2f} for the weakest"
    )


def _warnings(criteria: Sequence[Criteria]) -> list[str]:
    warnings = []
    if criteria[0].rank != 1:
        warnings.append(
            "Rank 1 is not in the grid, so 'no structure' cannot be seen: set ranks to begin at 1."
        )
    for c in criteria:
        if c.n_good < c.n_runs:
            warnings.append(
                f"Rank {c.rank}: {c.n_runs - c.n_good} of {c.n_runs} runs did not converge and are left out; "
                "raise factorize.max_iter to use them."
            )
    return warnings
