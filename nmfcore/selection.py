"""The recommendation: held-out error says how much structure there is, stability what can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from nmfcore.classic_rules import CLASSIC_RULES
from nmfcore.criteria import MIN_GOOD_RUNS, Criteria
from nmfcore.errors import InputError
from nmfcore.evidence import EXACT, Comparison, HeldOut
from nmfcore.permutation import permutation_p_values


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
    """Another rank that has something to be said for it, and what."""

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


_LENIENCE = 0.1
"""How far below `SelectionRule.min_stability` the runs of a rank still agree by and large, if not on every component.

On the tuning draws of benchmarks/rank_accuracy.py, anything from 0.05 to 0.3 serves as well.
"""


@dataclass(frozen=True)
class SelectionRule:
    """The thresholds of the rule.

    Attributes
    ----------
    min_stability : float
        Least mean component silhouette of a rank on every component of which the runs agree; they agree by and large
        down to 0.1 less.
    min_component_stability : float
        The same for its weakest component.
    max_standard_errors : float
        A rank whose held-out error exceeds the least by at most this many standard errors (of the paired differences
        over the folds) cannot be told from the best.
    min_gain : float
        Nor is the best preferred where each of its further components lowers the held-out error by at most this
        many times what it would add if it found nothing. On the tuning draws of benchmarks/rank_accuracy.py, anything
        from 0.7 to 0.9 serves best.
    min_reproduced : float
        Where the runs disagree, a rank can still be trusted if this share of the runs finds the best solution again.
    """

    min_stability: float = 0.6
    min_component_stability: float = 0.1
    max_standard_errors: float = 1.0
    min_gain: float = 0.85
    min_reproduced: float = 0.5

    def agrees(self, criteria: Criteria) -> bool:
        """Whether the runs of a rank agree on its components, by and large; rank 1 has nothing to disagree on."""
        if criteria.rank == 1:
            return criteria.n_good > 0
        mean = criteria.component_stability
        return mean is not None and mean >= self.least_stability

    def agrees_on_all(self, criteria: Criteria) -> bool:
        """Whether they agree on every component."""
        if criteria.rank == 1:
            return self.agrees(criteria)
        mean, least = criteria.component_stability, criteria.component_stability_min
        return (
            mean is not None
            and least is not None
            and mean >= self.min_stability
            and least >= self.min_component_stability
        )

    @property
    def least_stability(self) -> float:
        """Mean component silhouette below which the runs disagree."""
        return round(self.min_stability - _LENIENCE, 12)

    def is_stable(self, criteria: Criteria) -> bool:
        """Whether a rank can be trusted: its runs agree, or enough of them find the best solution again."""
        reproduced = criteria.best_run_reproduced
        return self.agrees(criteria) or (
            criteria.n_good >= MIN_GOOD_RUNS
            and reproduced is not None
            and reproduced >= self.min_reproduced
        )


# What makes a finding clear, tuned on the draws that benchmarks/rank_accuracy.py keeps for tuning.
_CLEAR_STANDARD_ERRORS = 3.0
_CLEAR_GAIN = 1.5
_CLEAR_RISE = 0.5
_CLEAR_RISE_STANDARD_ERRORS = 2.0
_CLEAR_RESIDUAL = 1.1
_CLEAR_STABILITY = (0.9, 0.6)
_MANY = 1000
"""Standard errors beyond which their number says nothing more."""
_MARGINAL = (0.5, 0.9)
"""A rank that would not suffice with the thresholds times these (standard errors, gain) ties with the best."""


def recommend(criteria: Sequence[Criteria], rule: SelectionRule | None = None) -> Recommendation:
    """Recommend a rank, or decline.

    1. The best rank is that of the least held-out error. A smaller rank *suffices* if the best one is no better by
       more than `SelectionRule.max_standard_errors`, or by more than `SelectionRule.min_gain` times what its further
       components would cost if they found nothing. The smallest rank that suffices is how much structure there is;
       if that is rank 1, there is none.
    2. It is recommended if the runs agree on all of its components. If not, the smallest larger rank takes its place
       that suffices, or cannot be told from the best, and on all of whose components they do. Failing that, it is the
       smallest of these on whose components they agree by and large; then the smallest stable rank
       (`SelectionRule.is_stable`) up to the best or not to be told from it. Without one there is no stable solution.
    3. It ties with the best where it only just suffices.

    Parameters
    ----------
    criteria : sequence of Criteria
        One a rank, in any order; rank 1 among them, or 'no structure' cannot be seen.
    rule : SelectionRule, optional

    Raises
    ------
    InputError
        Without any criteria.
    """
    if not criteria:
        raise InputError("There are no criteria to recommend a rank from.")
    rule = rule or SelectionRule()
    ordered = sorted(criteria, key=lambda c: c.rank)
    held_out = HeldOut.of(ordered)
    if held_out is None:
        found = _by_stability(ordered, rule)
    else:
        found = _by_evidence(_Case({c.rank: c for c in ordered}, held_out, rule))
    return Recommendation(
        rank=found.rank,
        decision=found.decision,
        confidence=found.confidence,
        headline=found.headline,
        reasons=tuple(found.reasons),
        runners_up=tuple(found.runners_up),
        warnings=(*found.warnings, *_warnings(ordered, held_out)),
        classic_rules={name: classic(ordered) for name, classic in CLASSIC_RULES.items()},
    )


def key_ranks(criteria: Sequence[Criteria], rule: SelectionRule | None = None) -> tuple[int, ...]:
    """Ranks that a recommendation hangs on, and whose neighbours ought to be known.

    The recommended one, that of the least held-out error, and the smallest that suffices; without held-out errors the
    recommended one, or the one whose components are most stable.

    Parameters
    ----------
    criteria, rule
        See `recommend`.

    Returns
    -------
    tuple of int
        Ascending, at least one.

    Raises
    ------
    InputError
        Without any criteria.
    """
    found = recommend(criteria, rule).rank
    ordered = sorted(criteria, key=lambda c: c.rank)
    held_out = HeldOut.of(ordered)
    if held_out is not None:
        case = _Case({c.rank: c for c in ordered}, held_out, rule or SelectionRule())
        keys = {case.best, case.sufficient[0]}
    elif found is None:
        keys = {max(ordered, key=lambda c: c.component_stability or 0.0).rank}
    else:
        keys = set()
    return tuple(sorted(keys if found is None else keys | {found}))


@dataclass(frozen=True)
class _Case:
    """All that a decision by held-out errors rests on."""

    by_rank: dict[int, Criteria]
    held_out: HeldOut
    rule: SelectionRule

    @property
    def best(self) -> int:
        return self.held_out.best

    def suffices(self, rank: int) -> bool:
        return self.held_out.suffices(rank, self.rule.max_standard_errors, self.rule.min_gain)

    @property
    def sufficient(self) -> list[int]:
        """Ranks up to the best that suffice."""
        return [r for r in self.held_out.ranks if r <= self.best and self.suffices(r)]

    def is_within_chance(self, rank: int) -> bool:
        """Whether the folds cannot tell a rank from the best."""
        shortfall = self.held_out.compare(rank, self.best)
        return shortfall.in_standard_errors <= self.rule.max_standard_errors

    def is_in_question(self, rank: int) -> bool:
        """Whether a rank is up to the best, or cannot be told from it."""
        return rank <= self.best or self.is_within_chance(rank)

    def is_marginal(self, rank: int) -> bool:
        """Whether a rank suffices, but only just."""
        return self.suffices(rank) and not self.held_out.suffices(
            rank, _MARGINAL[0] * self.rule.max_standard_errors, _MARGINAL[1] * self.rule.min_gain
        )

    def is_exact(self, rank: int) -> bool:
        """Whether hidden cells are predicted all but exactly."""
        return self.held_out.error(rank) <= EXACT

    def leaves_nothing(self, rank: int) -> bool:
        """Whether more components have nothing to find."""
        return self.is_exact(rank) or rank == self.held_out.complete

    def at_edge(self) -> bool:
        ranks = self.held_out.ranks
        return len(ranks) > 1 and self.best == ranks[-1] and not self.leaves_nothing(self.best)


@dataclass(frozen=True)
class _Finding:
    rank: int | None
    decision: Decision
    confidence: Confidence
    headline: str
    reasons: list[str]
    runners_up: list[RunnerUp]
    warnings: tuple[str, ...] = ()


def _by_evidence(case: _Case) -> _Finding:
    sufficient = case.sufficient
    structure = sufficient[0]
    if structure == 1:
        return _no_structure(case)
    candidates = [r for r in case.held_out.ranks if r >= structure and case.is_in_question(r)]
    as_good = [r for r in candidates if case.suffices(r)]
    preferred = (
        *(r for r in as_good if case.rule.agrees_on_all(case.by_rank[r])),
        *(r for r in as_good if case.rule.agrees(case.by_rank[r])),
        *(r for r in candidates if case.rule.is_stable(case.by_rank[r])),
    )
    if not preferred:
        return _no_stable_solution(case, structure)
    return _rank(case, structure, preferred[0])


# ---------------------------------------------------------------- the four findings


def _rank(case: _Case, structure: int, rank: int) -> _Finding:
    best = case.best
    tied = rank < best and case.is_marginal(rank) and case.rule.is_stable(case.by_rank[best])
    reasons = [
        _course(case.held_out, best),
        *_why_not_less(case, rank),
        *_why_not_more(case, rank),
        _agreement(case.by_rank[rank], case.rule),
        *_residual(case.by_rank[rank], exact=case.leaves_nothing(rank)),
        *_permutation(case, rank),
    ]
    if rank != structure:
        smaller = case.by_rank[structure]
        how = "do not agree on every component" if case.rule.agrees(smaller) else "disagree"
        reasons.insert(
            1,
            f"Rank {structure} predicts hidden cells about as well, but its runs {how}: "
            f"{_stability_words(smaller)}.",
        )
    if tied:
        by_chance = case.is_within_chance(rank)
        slight = (
            "by what the folds may differ" if by_chance else "by what its further components cost"
        )
        headline = (
            f"Ranks {rank} and {best} tie: rank {best} predicts hidden cells better, "
            f"but only just {slight}; rank {rank} is the simpler."
        )
    else:
        headline = (
            f"Rank {rank}: {_headline_reason(case, rank)}, and {_headline_agreement(case, rank)}."
        )
    return _Finding(
        rank,
        Decision.TIE if tied else Decision.RANK,
        _confidence(case, rank, structure, tied),
        headline,
        reasons,
        _runners_up(case, rank),
        _edge(case),
    )


def _no_structure(case: _Case) -> _Finding:
    best, held_out = case.best, case.held_out
    alone = held_out.error(1)
    reasons = []
    if case.is_exact(1):
        reasons.append(
            "Rank 1 — one profile, scaled for every sample — predicts hidden cells all but exactly."
        )
    elif held_out.complete == 1:
        reasons.append(
            "Rank 1 — one profile, scaled for every sample — reproduces the data all but exactly."
        )
    elif best == 1:
        reasons.append(
            "Rank 1 — one profile, scaled for every sample — predicts hidden cells best: relative error "
            f"{alone:.4f}, against {', '.join(_figure(held_out, r) for r in held_out.ranks[1:3])}."
            if len(held_out.ranks) > 1
            else f"Rank 1 predicts hidden cells with relative error {alone:.4f}; no other rank was tried."
        )
    else:
        reasons.append(
            f"Rank {best} predicts hidden cells with relative error {held_out.error(best):.4f}, rank 1 — one "
            f"profile, scaled for every sample — with {alone:.4f}: {_shortfall(held_out.compare(1, best))}."
        )
    reasons += _residual(case.by_rank[1], exact=case.leaves_nothing(1))
    above = held_out.neighbour(1, 1)
    clear = (
        best == 1
        and above is not None
        and (
            case.leaves_nothing(1)
            or (_rises(held_out.compare(above, 1)) and _is_spent(case.by_rank[1]))
        )
    )
    return _Finding(
        None,
        Decision.NO_STRUCTURE,
        Confidence.HIGH if clear else Confidence.MODERATE,
        "No structure beyond rank 1: more components do not predict hidden cells better than one profile does.",
        reasons,
        _larger(case, 1),
        _edge(case),
    )


def _no_stable_solution(case: _Case, structure: int) -> _Finding:
    rule = case.rule
    few = case.by_rank[structure].n_good < MIN_GOOD_RUNS
    reasons = [
        _course(case.held_out, case.best),
        *_why_not_less(case, structure),
        *_why_not_more(case, structure),
        (
            f"But only {case.by_rank[structure].n_good} of its {case.by_rank[structure].n_runs} runs converged, so "
            "nothing can be said of their agreement."
            if few
            else f"But its runs disagree on the components: {_stability_words(case.by_rank[structure])}. Stable means "
            f"a mean silhouette of at least {rule.least_stability:g}, or the best solution found again by "
            f"{rule.min_reproduced:.0%} of the runs."
        ),
    ]
    smaller = [
        r for r in case.held_out.ranks if 1 < r < structure and rule.is_stable(case.by_rank[r])
    ]
    return _Finding(
        None,
        Decision.NO_STABLE_SOLUTION,
        Confidence.LOW if case.at_edge() or few else Confidence.MODERATE,
        f"There is structure, about {structure} components of it, but no stable solution: "
        + ("too few runs converged." if few else "the runs disagree."),
        reasons,
        [
            RunnerUp(
                r,
                f"the largest stable rank ({_stability_words(case.by_rank[r])}), but it predicts hidden cells worse: "
                f"{_figure(case.held_out, r)}",
            )
            for r in smaller[-1:]
        ],
        (
            *_edge(case),
            "More seeds, or more iterations with a smaller tol, may show whether the runs can agree.",
        ),
    )


def _by_stability(criteria: Sequence[Criteria], rule: SelectionRule) -> _Finding:
    """Without held-out errors only agreement is known: the largest stable rank, with little confidence."""
    stable = [c for c in criteria if c.rank > 1 and rule.agrees_on_all(c)]
    caution = (
        "Without cross-validation nothing tells structure from noise; stable components of noise are common.",
    )
    if not stable:
        return _Finding(
            None,
            Decision.NO_STABLE_SOLUTION,
            Confidence.LOW,
            "No stable rank: the runs disagree at every rank.",
            ["No rank above 1 reaches the required component stability."],
            [],
            caution,
        )
    chosen = stable[-1]
    return _Finding(
        chosen.rank,
        Decision.RANK,
        Confidence.LOW,
        f"Rank {chosen.rank}, by stability alone: the largest rank on whose components the runs agree.",
        [_agreement(chosen, rule)],
        [RunnerUp(c.rank, f"also stable: {_stability_words(c)}") for c in stable[:-1]],
        caution,
    )


# ---------------------------------------------------------------- how sure


def _confidence(case: _Case, rank: int, structure: int, tied: bool) -> Confidence:
    """High where less is clearly worse, more is clearly no better, nothing is left, and the runs agree closely."""
    held_out, own = case.held_out, case.by_rank[rank]
    wavers = case.rule.agrees(own) and not case.rule.agrees_on_all(own)
    if tied or wavers or rank != structure or case.at_edge():
        return Confidence.LOW
    below, above = held_out.neighbour(rank, -1), held_out.neighbour(rank, 1)
    needed = below is not None and _is_clear(held_out.compare(below, rank))
    enough = case.leaves_nothing(rank) or (
        case.best == rank
        and above is not None
        and _rises(held_out.compare(above, rank))
        and _is_spent(own)
    )
    agrees = (own.component_stability or 0) >= _CLEAR_STABILITY[0] and (
        own.component_stability_min or 0
    ) >= _CLEAR_STABILITY[1]
    if needed and enough and agrees:
        return Confidence.HIGH
    if below is not None and held_out.compare(below, rank).in_standard_errors < 2:
        return Confidence.LOW
    return Confidence.MODERATE


def _is_clear(shortfall: Comparison) -> bool:
    return (
        shortfall.in_standard_errors >= _CLEAR_STANDARD_ERRORS and shortfall.in_costs >= _CLEAR_GAIN
    )


def _rises(rise: Comparison) -> bool:
    return rise.in_standard_errors >= _CLEAR_RISE_STANDARD_ERRORS and rise.in_costs >= _CLEAR_RISE


def _is_spent(criteria: Criteria) -> bool:
    return criteria.residual_excess is None or criteria.residual_excess <= _CLEAR_RESIDUAL


# ---------------------------------------------------------------- in words


def _headline_reason(case: _Case, rank: int) -> str:
    if case.is_exact(rank):
        return "the smallest rank that predicts hidden cells all but exactly"
    if rank == case.held_out.complete:
        return "the smallest rank that reproduces the data all but exactly"
    if case.best == rank:
        return "it predicts hidden cells best"
    if case.is_within_chance(rank):
        which = "the smallest rank that" if rank == case.sufficient[0] else "it"
        return f"{which} predicts hidden cells as well as the best (rank {case.best})"
    if not case.suffices(rank):
        return f"the smallest stable rank, though rank {case.best} predicts hidden cells better"
    return f"more components, up to rank {case.best}, predict hidden cells only a little better"


def _headline_agreement(case: _Case, rank: int) -> str:
    own = case.by_rank[rank]
    if case.rule.agrees(own):
        most = "" if case.rule.agrees_on_all(own) else "most of "
        return f"the runs agree on {most}its components"
    return f"{own.best_run_reproduced or 0:.0%} of the runs find its best solution again"


def _course(held_out: HeldOut, best: int) -> str:
    """The path of the held-out error from the smallest rank to the best and one beyond."""
    first = held_out.ranks[0]
    text = f"Held-out relative error: {held_out.error(first):.4f} at rank {first}"
    shown = [r for r in held_out.ranks[1:] if r <= best]
    beyond = held_out.neighbour(best, 1)
    previous = first
    for r in shown:
        text += f", {_figure(held_out, r)} ({_change(held_out, previous, r)})"
        previous = r
    least = not _is_passed(held_out, best)
    if least:
        text += ", the least" if shown else " is the least"
        if held_out.error(best) > min(map(held_out.error, held_out.ranks)) + EXACT:
            text += " once the most extreme folds count no more than the next"
    if best == held_out.complete:
        text += f"{', where' if least else ': there'} a run reproduces all of the data but for what rounding leaves"
    if beyond is not None:
        text += f"; {_figure(held_out, beyond)} ({_change(held_out, best, beyond)})"
    return text + "."


def _change(held_out: HeldOut, before: int, after: int) -> str:
    old = held_out.error(before)
    percent = 100 * (held_out.error(after) - old) / old if old > 0 else 0.0
    return "±0.0 %" if abs(percent) < 0.05 else f"{_number(percent, 1, '+')} %"


def _figure(held_out: HeldOut, rank: int) -> str:
    return f"{held_out.error(rank):.4f} at rank {rank}"


def _number(value: float, digits: int, sign: str = "-") -> str:
    """A number as it is printed: with a minus sign, and none where it rounds to zero."""
    return f"{value:{sign}z.{digits}f}".replace("-", "−")


def _in_standard_errors(comparison: Comparison) -> str:
    n = abs(comparison.in_standard_errors)
    # Folds that differ all alike leave next to nothing to divide by.
    return f"{n:.1f} standard errors" if n <= _MANY else f"over {_MANY} standard errors"


def _shortfall(comparison: Comparison) -> str:
    """How a comparison with another rank is to be read."""
    if abs(comparison.excess) <= EXACT:
        return "no difference"
    more = "more" if comparison.excess > 0 else "less"
    text = f"{abs(comparison.excess):.4f} {more}, {_in_standard_errors(comparison)}"
    if comparison.excess > 0 and comparison.cost > 0:
        text += (
            f" and {comparison.in_costs:.1f} times what the components between would cost if they "
            "found nothing"
        )
    return text


def _why_not_less(case: _Case, rank: int) -> list[str]:
    below = case.held_out.neighbour(rank, -1)
    if below is None:
        return [
            f"Rank {rank} is the smallest of the grid, so whether fewer components would do cannot be seen."
        ]
    comparison = case.held_out.compare(below, rank)
    same = abs(comparison.excess) <= EXACT
    return [f"Rank {below} errs by {'as much' if same else _shortfall(comparison)}."]


def _why_not_more(case: _Case, rank: int) -> list[str]:
    best = case.best
    if _is_passed(case.held_out, rank):
        return [
            f"Larger ranks err less where starts at rank {rank} miss that solution; nothing is left to find."
        ]
    if rank >= best:
        return []
    shortfall = case.held_out.compare(rank, best)
    if case.is_within_chance(rank):
        return [
            f"Rank {best} has the least error, but the folds cannot tell it from rank {rank} "
            f"({_in_standard_errors(shortfall)})."
        ]
    n = best - rank
    text = (
        f"Rank {best} predicts better, by {shortfall.excess:.4f} ({_in_standard_errors(shortfall)})"
    )
    parts = "its further component gains" if n == 1 else f"each of its {n} further components gains"
    if not case.suffices(rank):
        return [f"{text}, but rank {rank} is the smallest that is stable."]
    if round(shortfall.in_costs, 1) == 1:
        gain = "about what"
    else:
        only = "only " if shortfall.in_costs < 1 else ""
        gain = f"{only}{shortfall.in_costs:.1f} times what"
    return [
        f"{text}, but {parts} {gain} it would cost if it found nothing: real perhaps, but slight."
    ]


def _is_passed(held_out: HeldOut, rank: int) -> bool:
    """Whether a larger rank errs less although this one leaves nothing."""
    larger = [held_out.error(r) for r in held_out.ranks if r > rank]
    return rank == held_out.complete and min(larger, default=np.inf) < held_out.error(rank) - EXACT


def _agreement(criteria: Criteria, rule: SelectionRule) -> str:
    text = f"{criteria.n_good} of {criteria.n_runs} runs at rank {criteria.rank} converged"
    words = _stability_words(criteria)
    if criteria.cophenetic_correlation is not None:
        words += f", cophenetic correlation {criteria.cophenetic_correlation:.3f}"
    text = f"{text}; {words}."
    if rule.agrees(criteria) and not rule.agrees_on_all(criteria):
        text += " Not on every one, though: the support of each component says how far it can be trusted."
    if not rule.agrees(criteria) and rule.is_stable(criteria):
        text += " The runs fall into several solutions; the best of them is found again often enough to be trusted."
    return text


def _how_stable(rule: SelectionRule, criteria: Criteria) -> str:
    if not rule.is_stable(criteria):
        return "not stable"
    partly = rule.agrees(criteria) and not rule.agrees_on_all(criteria)
    return "stable but for some components" if partly else "stable"


def _stability_words(criteria: Criteria) -> str:
    if criteria.component_stability is None or criteria.component_stability_min is None:
        return "component stability undefined"
    text = (
        f"component silhouettes {_number(criteria.component_stability, 2)} on average, "
        f"{_number(criteria.component_stability_min, 2)} for the weakest"
    )
    if criteria.best_run_reproduced is not None and criteria.best_run_reproduced < 1:
        text += f", best solution found again by {criteria.best_run_reproduced:.0%} of the runs"
    return text


def _residual(criteria: Criteria, *, exact: bool) -> list[str]:
    excess = criteria.residual_excess
    if excess is None or exact:
        return []
    if excess <= _CLEAR_RESIDUAL:
        return [
            f"No direction stands out in what rank {criteria.rank} leaves: the largest is {excess:.2f} times that of "
            "the same residual with signs flipped at random."
        ]
    return [
        f"What rank {criteria.rank} leaves is not all noise: its largest direction is {excess:.2f} times that of the "
        "same residual with signs flipped at random. Weaker structure remains, too weak to predict hidden cells by."
    ]


def _permutation(case: _Case, rank: int) -> list[str]:
    ordered = [c for c in case.by_rank.values() if c.loss is not None and c.null_losses]
    if rank not in [c.rank for c in ordered[1:]]:
        return []
    p = permutation_p_values(
        np.array([c.loss for c in ordered], float), np.array([c.null_losses for c in ordered])
    )
    significant = [c.rank for c, value in zip(ordered, p, strict=True) if value <= 0.05]
    own = float(p[[c.rank for c in ordered].index(rank)])
    n = len(ordered[0].null_losses or ())
    largest = (
        f"the largest rank with p ≤ 0.05 is {significant[-1]}"
        if significant
        else "no rank has p ≤ 0.05"
    )
    return [
        f"The gain in fit at rank {rank} has corrected p = {own:.3f} against {n} permuted matrices; {largest}."
    ]


def _runners_up(case: _Case, rank: int) -> list[RunnerUp]:
    """Larger ranks that predict better or as well, and the smaller one that the runs agree on most."""
    coarser = _coarser(case, rank)
    return _larger(case, rank) + ([coarser] if coarser else [])


def _larger(case: _Case, rank: int) -> list[RunnerUp]:
    held_out, by_rank = case.held_out, case.by_rank
    larger = []
    for r in held_out.ranks:
        if r <= rank or case.leaves_nothing(rank):
            continue
        comparison = held_out.compare(r, rank)
        if comparison.in_standard_errors > case.rule.max_standard_errors:
            continue
        better = comparison.in_standard_errors < -case.rule.max_standard_errors
        larger.append(
            RunnerUp(
                r,
                ("predicts hidden cells better" if better else "cannot be told apart by the folds")
                + f": {_figure(held_out, r)} ({_change(held_out, rank, r)}); "
                + f"{_how_stable(case.rule, by_rank[r])}: {_stability_words(by_rank[r])}",
            )
        )
    return larger


def _coarser(case: _Case, rank: int) -> RunnerUp | None:
    """The smaller rank, above 1, that consensus measures favour over the recommended one."""
    own = _clearness(case.by_rank[rank])
    if own is None:
        return None
    favoured = {}
    for r, c in case.by_rank.items():
        found = _clearness(c)
        smaller = 1 < r < rank and r in case.held_out.ranks and case.rule.agrees_on_all(c)
        if smaller and found is not None and found[0] >= own[0] and found[1] >= own[1]:
            favoured[r] = found
    if not favoured:
        return None
    chosen = max(favoured, key=lambda r: (favoured[r][1], r))
    first = case.held_out.error(case.held_out.ranks[0])
    fall = first - case.held_out.error(rank)
    share = (first - case.held_out.error(chosen)) / fall if fall > 0 else 0.0
    return RunnerUp(
        chosen,
        f"a coarser view: grouping of the samples agrees at least as well over the runs (cophenetic "
        f"{favoured[chosen][0]:.3f}, dispersion {favoured[chosen][1]:.3f}, against {own[0]:.3f} and {own[1]:.3f}), "
        f"with {share:.0%} of the fall in held-out error that rank {rank} has",
    )


def _clearness(criteria: Criteria) -> tuple[float, float] | None:
    """How well the runs agree on the grouping of the samples: cophenetic correlation and dispersion."""
    if criteria.cophenetic_correlation is None or criteria.dispersion is None:
        return None
    return criteria.cophenetic_correlation, criteria.dispersion


def _edge(case: _Case) -> tuple[str, ...]:
    if not case.at_edge():
        return ()
    return (
        f"The held-out error is least at rank {case.best}, the edge of the grid: extend the ranks.",
    )


def _warnings(criteria: Sequence[Criteria], held_out: HeldOut | None) -> list[str]:
    warnings = []
    if criteria[0].rank != 1:
        warnings.append(
            "Rank 1 is not in the grid, so 'no structure' cannot be seen: set ranks to begin at 1."
        )
    for c in criteria:
        if c.n_good < c.n_runs:
            left_out = f"Rank {c.rank}: {c.n_runs - c.n_good} of {c.n_runs} runs did not converge and are left out"
            if c.n_non_finite:
                left_out += f" ({c.n_non_finite} of them broke down)"
            if c.n_good < MIN_GOOD_RUNS:
                left_out += "; too few are left to speak of agreement"
            warnings.append(left_out + "; raise factorize.max_iter to use them.")
        if held_out is not None and c.rank not in held_out.ranks:
            warnings.append(f"Rank {c.rank} has no held-out error and takes no part in the choice.")
    return warnings
