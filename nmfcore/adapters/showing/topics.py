"""Components of text as topics: their words, their documents, how well the words of a topic belong together."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.adapters.figures.drawing import save
from nmfcore.adapters.figures.style import (
    BEST,
    DOUBLE_COLUMN,
    mark_rank,
    new_figure,
    place,
    rank_axis,
    short,
    styled,
)
from nmfcore.adapters.store import SweepFolder, write_table
from nmfcore.blocks import in_memory

Array = NDArray[np.float64]
N_WORDS = 10


def show(folder: SweepFolder, out: Path, reference: str | None) -> None:
    """Write topics.tsv, coherence.tsv (of every rank) and topics.svg, .png.

    Parameters
    ----------
    folder : SweepFolder
    out : pathlib.Path
    reference : None
    """
    document, arrays = folder.solution_at()
    V = in_memory(folder.matrix.values)
    present = sparse.csr_array(V > 0)
    W, H, terms = arrays["W"], arrays["H"], arrays["feature_ids"]
    coherence = {rank: _coherences(folder, rank, present) for rank in folder.ranks}
    chosen = coherence[int(document["rank"])]
    rows: list[list[object]] = []
    for k, name in enumerate(arrays["components"]):
        documents = arrays["sample_ids"][np.argsort(-H[k], kind="stable")[:3]]
        rows.append(
            [
                str(name),
                ", ".join(map(str, terms[_top(W[:, k])])),
                int(np.count_nonzero(H.argmax(axis=0) == k)),
                float(chosen[k]),
                ", ".join(map(str, documents)),
            ]
        )
    columns = ["topic", "words", "n_documents", "coherence", "first_documents"]
    write_table(out / "topics.tsv", columns, rows)
    means = {rank: float(np.mean(c)) if len(c) else math.nan for rank, c in coherence.items()}
    write_table(out / "coherence.tsv", ["rank", "coherence"], [[*item] for item in means.items()])
    save(topics_figure(W, terms, means, int(document["rank"])), out / "topics")


def npmi(present: sparse.csr_array, words: NDArray[np.intp]) -> float:
    """Mean normalised pointwise mutual information of all pairs of words (Bouma 2009).

    ln(p(a, b) / (p(a) p(b))) / −ln p(a, b), where p is the share of documents: 1 for words that always come together,
    0 for words that come together by chance, −1 for words that never do.

    Parameters
    ----------
    present : (n_terms, n_documents) csr_array of bool
    words : (n_words,) ndarray of int
    """
    chosen = present[words].astype(float)
    n = present.shape[1]
    joint = (chosen @ chosen.T).toarray() / n
    alone = np.diag(joint)
    values = []
    for i in range(len(words)):
        for j in range(i):
            p = joint[i, j]
            if p == 0:
                values.append(-1.0)
            elif p == 1:
                values.append(1.0)
            else:
                values.append(math.log(p / (alone[i] * alone[j])) / -math.log(p))
    return float(np.mean(values))


def _top(weights: Array, count: int = N_WORDS) -> NDArray[np.intp]:
    return np.argsort(-weights, kind="stable")[:count]


def _coherences(folder: SweepFolder, rank: int, present: sparse.csr_array) -> list[float]:
    """Coherence of every topic of a rank; empty where it has no solution."""
    document, arrays = folder.solution_at(rank)
    if document["rank"] is None:
        return []
    return [npmi(present, _top(w)) for w in arrays["W"].T]


@styled
def topics_figure(
    W: Array, terms: NDArray[np.str_], coherence: dict[int, float], rank: int
) -> Figure:
    """Draw the words of each topic as bars, and the mean coherence over the ranks."""
    n_columns = 5
    n_rows = math.ceil(W.shape[1] / n_columns)
    figure = new_figure(DOUBLE_COLUMN, 36 * n_rows + 48)
    for k, weights in enumerate(W.T):
        row, column = divmod(k, n_columns)
        axes = place(figure, 17 + column * 36, 6 + row * 36, 16, 27)
        top = _top(weights, 8)[::-1]
        axes.barh(range(len(top)), weights[top], color=BEST)
        axes.set_yticks(range(len(top)), [short(term, 14) for term in terms[top]])
        axes.set_xticks([])
        axes.tick_params(axis="y", length=0)
        axes.spines["bottom"].set_visible(False)
        axes.set_title(f"topic {k + 1}", x=0)
    axes = place(figure, 17, 36 * n_rows + 10, 70, 28)
    ranks = sorted(coherence)
    axes.plot(ranks, [coherence[r] for r in ranks], "o-", color=BEST)
    mark_rank(axes, rank)
    rank_axis(axes, ranks)
    axes.set_xlabel("rank")
    axes.set_ylabel("coherence (NPMI)")
    axes.set_title("Do the words of a topic belong together?")
    return figure
