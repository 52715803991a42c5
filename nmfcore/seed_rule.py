"""How many seeds a rank gets, where that depends on what its runs say.

A rank begins with a least number of seeds, which is doubled until the intervals of its stability are tight, or a
largest number is reached. Stages depend on the rule alone and the decision (`nmfcore.seed_decisions`) on the runs
alone, so a sweep that was interrupted, or that is run again, adds the same seeds, and its runs are those of a sweep
that was asked for them at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from nmfcore.errors import InputError

DEFAULT_WIDTH = 0.05


@dataclass(frozen=True)
class SeedRule:
    """When a rank has seeds enough.

    Attributes
    ----------
    least, most : int
        Seeds of a rank.
    width : float
        Add no more once the 95 % intervals of the mean and of the least component silhouette are no wider.

    Raises
    ------
    InputError
        If no number of seeds fits.
    """

    least: int
    most: int
    width: float = DEFAULT_WIDTH

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most or not self.width > 0:
            raise InputError(
                f"Seeds from {self.least} to {self.most} until an interval of {self.width:g}: at least 1, no fewer at "
                "most than at least, and a width above 0 are needed."
            )

    def stages(self) -> tuple[int, ...]:
        """Numbers of seeds after which it is decided whether to add more.

        Examples
        --------
        >>> SeedRule(20, 200).stages()
        (20, 40, 80, 160, 200)
        """
        found = [self.least]
        while found[-1] < self.most:
            found.append(min(2 * found[-1], self.most))
        return tuple(found)
