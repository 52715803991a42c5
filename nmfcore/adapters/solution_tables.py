"""A solution as tables, as other programs take it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pandas as pd


@dataclass(frozen=True)
class SolutionTables:
    """A solution as tables.

    Attributes
    ----------
    W : DataFrame
        Features × components.
    H : DataFrame
        Samples × components: one line a sample, as in every other table of samples.
    H_low, H_high : DataFrame
        Interval of `H` over the runs.
    components, samples : DataFrame
        One line each, with what is known of it.
    """

    W: pd.DataFrame
    H: pd.DataFrame
    H_low: pd.DataFrame
    H_high: pd.DataFrame
    components: pd.DataFrame
    samples: pd.DataFrame

    @property
    def named(self) -> dict[str, pd.DataFrame]:
        """Tables by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
