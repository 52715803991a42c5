"""Nonnegative matrix factorization with an answer to 'how many parts, which, how sure?'.

V ≈ W H with V (n_features, n_samples), W (n_features, rank), H (rank, n_samples), all nonnegative.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nmfcore.factorization import Transformed, factorize, transform
    from nmfcore.rank_rule import RankRule
    from nmfcore.runs import Runs, Status
    from nmfcore.seed_rule import SeedRule
    from nmfcore.selection import Recommendation
    from nmfcore.solution import Solution
    from nmfcore.solvers.penalties import Penalties
    from nmfcore.sweeping import Sweep, sweep

__version__ = "0.1.0"

_HOME = {
    "Penalties": "solvers.penalties",
    "RankRule": "rank_rule",
    "Recommendation": "selection",
    "Runs": "runs",
    "SeedRule": "seed_rule",
    "Solution": "solution",
    "Status": "runs",
    "Sweep": "sweeping",
    "Transformed": "factorization",
    "factorize": "factorization",
    "sweep": "sweeping",
    "transform": "factorization",
}

__all__ = [
    "Penalties",
    "RankRule",
    "Recommendation",
    "Runs",
    "SeedRule",
    "Solution",
    "Status",
    "Sweep",
    "Transformed",
    "factorize",
    "sweep",
    "transform",
]


def __getattr__(name: str) -> object:
    """Load what is asked for; a job that reads files should not wait for the compiler of the solvers."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
