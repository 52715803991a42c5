"""Whether ranks between those that were tried are wanted, by what the criteria say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nmfcore.criteria import Criteria
from nmfcore.rank_rule import RankRule
from nmfcore.selection import SelectionRule, key_ranks


@dataclass(frozen=True)
class RankDecision:
    """What is decided after a stage.

    Attributes
    ----------
    tried, added : tuple of int
        Ranks until now, ascending, and those that are tried next.
    reason : str
        A sentence.
    """

    tried: tuple[int, ...]
    added: tuple[int, ...]
    reason: str

    @property
    def wanted(self) -> tuple[int, ...]:
        """All of them, ascending."""
        return tuple(sorted({*self.tried, *self.added}))


def decide_ranks(
    rule: RankRule, criteria: Sequence[Criteria], selection: SelectionRule | None = None
) -> RankDecision:
    """Decide after a stage whether ranks between those that were tried are wanted.

    Parameters
    ----------
    rule : RankRule
    criteria : sequence of Criteria
        One for every rank that was tried.
    selection : SelectionRule, optional
        Thresholds of the recommendation.

    Raises
    ------
    InputError
        Without any criteria.
    """
    tried = tuple(sorted(c.rank for c in criteria))
    centres = key_ranks(criteria, selection)
    added = rule.around(tried, centres)
    said = f"The evidence speaks for {_ranks(centres)} of the {len(tried)} that were tried"
    if not added:
        return RankDecision(tried, (), f"{said}, and all ranks beside were.")
    return RankDecision(tried, added, f"{said}; {_ranks(added)} beside them are tried too.")


def _ranks(ranks: Sequence[int]) -> str:
    *but_one, last = map(str, ranks)
    return f"ranks {', '.join(but_one)} and {last}" if but_one else f"rank {last}"
