"""Nonnegative matrix factorization with an answer to 'how many parts, which, how sure?'.

V ≈ W H with V (n_features, n_samples), W (n_features, rank), H (rank, n_samples), all nonnegative.
"""

from nmfcore.factorization import Runs, Status, factorize
from nmfcore.selection import Recommendation
from nmfcore.solution import Solution
from nmfcore.sweeping import Sweep, sweep

__version__ = "0.1.0"

__all__ = ["Recommendation", "Runs", "Solution", "Status", "Sweep", "factorize", "sweep"]
