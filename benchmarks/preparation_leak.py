"""What preparation gives away to cross-validation: factors computed from all cells, and from the visible ones only.

    python benchmarks/preparation_leak.py

Both ways the same cells are hidden, and the errors are in the same units, those of the factors from all cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from planted import plant

from nmfcore import factorize
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.steps import apply_steps, completed
from nmfcore.cross_validation import held_out_cells

RANKS = range(1, 7)
PLANTED = 3
FOLDS, FRACTION, STARTS = 10, 0.1, 2
STEPS = (
    {"step": "scale_variance"},
    {"step": "tf_idf"},
    {"step": "normalize", "of": "features"},
    {"step": "normalize", "of": "samples"},
    {"step": "sample_totals"},
)


def factors(V: np.ndarray, observed: np.ndarray, steps: Sequence[dict]) -> np.ndarray:
    """What the steps multiply every cell with, when only the observed ones are seen; all are linear in V."""
    names = [np.array([str(i) for i in range(n)]) for n in V.shape]
    matrix = LabelledMatrix(np.where(observed, V, 0), *names, observed)
    prepared = apply_steps(matrix, completed(steps))[0].values
    known = observed & (V > 0)
    ratio = np.where(known, prepared / np.where(known, V, 1), np.nan)
    # One factor a feature, or one a sample: along which axis it does not vary.
    axis = 1 if np.nanmax(np.nanstd(ratio, axis=1)) < np.nanmax(np.nanstd(ratio, axis=0)) else 0
    return np.broadcast_to(np.nanmedian(ratio, axis=axis, keepdims=True), V.shape)


def errors(V: np.ndarray, steps: Sequence[dict]) -> np.ndarray:
    """Held-out error at every rank, (2, n_ranks): factors from all cells, from visible ones."""
    everywhere = factors(V, np.ones(V.shape, bool), steps)
    squares, total = np.zeros((2, len(RANKS))), 0.0
    for rows, columns in held_out_cells(V.shape, FOLDS, FRACTION, 0):
        visible = np.ones(V.shape, bool)
        visible[rows, columns] = False
        truth = (V * everywhere)[rows, columns]
        total += float(truth @ truth)
        for way, used in enumerate((everywhere, factors(V, visible, steps))):
            for place, rank in enumerate(RANKS):
                runs = factorize(
                    V * used, rank, range(STARTS), observed=visible, max_iter=150, tol=3e-5
                )
                W, H = runs.W[runs.loss.argmin()], runs.H[runs.loss.argmin()]
                predicted = (W @ H * everywhere / used)[rows, columns]
                squares[way, place] += float(((truth - predicted) ** 2).sum())
    return np.sqrt(squares / total)


def main() -> None:
    V = plant("Poisson", PLANTED, "moderate", "tall", 1000).V
    V = V[(V > 0).sum(axis=1) >= 10]
    print(f"{V.shape[0]} × {V.shape[1]} Poisson counts of {PLANTED} parts, {FOLDS} folds.\n")
    print(
        "| step | best rank, all cells | visible cells | error at the best | largest change up to there |"
    )
    print("|---|---|---|---|---|")
    for step in STEPS:
        everywhere, visible = errors(V, [step])
        up_to_best = slice(
            everywhere.argmin() + 1
        )  # beyond it, fits of noise differ from each other anyway
        change = np.abs(visible / everywhere - 1)[up_to_best].max()
        name = " ".join(str(value) for value in step.values())
        best = [RANKS[e.argmin()] for e in (everywhere, visible)]
        print(f"| {name} | {best[0]} | {best[1]} | {everywhere.min():.4f} | {change:.2%} |")


if __name__ == "__main__":
    main()
