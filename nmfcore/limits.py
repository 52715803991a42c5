"""How much of something large is looked at, and how often of something small: bounds of time and memory."""

MIN_SCORED_CELLS = 10_000
"""Smaller matrices are hidden in several rounds of folds, until as many cells have been scored."""
MAX_ROUNDS = 5
"""Of folds."""
MAX_CELLS = 20_000_000
"""Of larger matrices, some rows or columns of the longer side are drawn, so that so many cells are left."""
MAX_HIDDEN = 500_000
"""Cells that a fold hides at most: more make a fit slower, and no error better known than the folds differ."""
HELD_OUT_FOLDS = 5
"""Folds of the held-out errors of the samples."""
MAX_SAMPLES = 5000
"""Distinct label vectors up to which a consensus is exact."""
SAMPLED = 3000
"""Of more, so many samples drawn at random stand for all: a second and a quarter of a gigabyte a rank."""
N_SPLITS = 12
"""Random splits of the samples in which components are looked for again."""
DRAWN_AT_ONCE = 8
"""Figures that are drawn at the same time, a process and a few hundred megabytes each."""
EXCERPT_SHARE = 4
"""An excerpt, which fits may begin with, has one in so many features, or samples."""
PANEL_BYTES = 384
"""Of a column of the factors that are multiplied with a sparse matrix side by side: six of the widest registers."""


def side_by_side(n_rows: int, n_runs: int, itemsize: int) -> int:
    """Runs whose factors, of so many rows each, are multiplied with a sparse matrix side by side."""
    return max(1, min(PANEL_BYTES // (itemsize * n_rows), n_runs))
