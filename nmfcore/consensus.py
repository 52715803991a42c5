"""Do the runs group the samples alike? Labels, consensus and the numbers read off it.

A run labels each sample by its largest coefficient, after the scale of every component has been
moved into H. The consensus of two samples is the share of runs that give them the same label.
Every number here is a function of the consensus matrix C alone, so renaming the labels of a run or
reordering the runs changes nothing.

Samples with the same label in every run have the same row of C. They are *collapsed* to one row
with a weight, the number of such samples; ``weights`` below always means these multiplicities and
every criterion gives the same value on the collapsed and on the full matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster.hierarchy import cophenet, leaves_list, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from nmfcore.limits import MAX_SAMPLES, SAMPLED
from nmfcore.norms import column_norms

UNASSIGNED = -1
RELATIVE_TIE = 1e-9
# Optimal leaf ordering takes about 1 s at 1,000 rows and 10 s at 2,000.
MAX_ORDERED_ROWS = 1000
# Rounds of tie-breaking among rows; only large matrices full of symmetries need more.
MAX_REFINEMENTS = 200

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class CollapsedLabels:
    """Samples with the same label in every run, merged.

    Attributes
    ----------
    labels : (n_runs, n_distinct) ndarray of int
        The distinct label vectors, one a column.
    weights : (n_distinct,) ndarray of int
        How many samples have each.
    inverse : (n_samples,) ndarray of int
        The column of each sample: ``labels[:, inverse]`` are the labels before collapsing.
    """

    labels: Labels
    weights: Labels
    inverse: Labels


@dataclass(frozen=True)
class ConsensusTree:
    """Average-linkage tree of the distances 1 − C, and its cut.

    Attributes
    ----------
    linkage : (n_leaves − 1, 4) ndarray
        SciPy format. Leaf i is the i-th sample of ``numpy.sort(order)``.
    order : (n_leaves,) ndarray of int
        Samples in the order of the leaves.
    labels : (n_samples,) ndarray of int
        Cluster of each sample, numbered by first appearance; −1 where never assigned.
    assigned : (n_samples,) ndarray of bool
        Whether any run assigned the sample.
    """

    linkage: Array
    order: Labels
    labels: Labels
    assigned: NDArray[np.bool_]


@dataclass(frozen=True)
class ConsensusSummary:
    """What the labels of the runs at one rank say together.

    Attributes
    ----------
    rank, n_runs : int
    consensus : (n_samples, n_samples) ndarray or None
        None where there are more samples than the stated bound.
    tree : ConsensusTree
    cophenetic_correlation, dispersion, pac, consensus_silhouette : float or None
        None where undefined: one run, rank 1, or as each function says. Samples that no run
        assigned are left out.
    sampled : (n_sampled,) ndarray of int or None
        None: the numbers are exact. Otherwise the samples, drawn at random, that they and the tree
        were computed from (the dispersion is exact even then, unless a run left a sample
        unassigned); other samples were given the nearest cluster.
    """

    rank: int
    n_runs: int
    consensus: Array | None
    tree: ConsensusTree
    cophenetic_correlation: float | None
    dispersion: float | None
    pac: float | None
    consensus_silhouette: float | None
    sampled: Labels | None


@dataclass(frozen=True)
class _Dendrogram:
    """Tree over distinct rows of a consensus matrix, in an order free of the samples' order."""

    consensus: Array
    weights: Array
    linkage: Array
    inverse: Labels


def run_labels(
    W: NDArray[np.floating], H: NDArray[np.floating], relative_tie: float = RELATIVE_TIE
) -> Labels:
    """Label every sample in every run by its largest coefficient.

    label_j = argmax_i ‖w_i‖₂ h_ij: the columns of W are scaled to unit Euclidean norm and their
    scale moved into H, so that labels do not depend on how a solver splits the scale.

    Parameters
    ----------
    W : (n_runs, n_features, rank) ndarray, nonnegative
    H : (n_runs, rank, n_samples) ndarray, nonnegative
    relative_tie : float
        A sample is tied where another coefficient is at least (1 − relative_tie) of the largest.

    Returns
    -------
    (n_runs, n_samples) ndarray of int
        0 … rank − 1, or −1 (unassigned) where tied or without a positive coefficient.
    """
    labels = np.empty((H.shape[0], H.shape[2]), np.intp)
    for own, w, h in zip(
        labels, W, H, strict=True
    ):  # a run at a time: float64 copies of all may not fit
        own[:] = sample_labels(w, h, relative_tie)
    return labels


def feature_labels(
    W: NDArray[np.floating], H: NDArray[np.floating], relative_tie: float = RELATIVE_TIE
) -> Labels:
    """Label every feature in every run by the component it weighs most in, as `run_labels` does samples.

    label_i = argmax_k w_ik ‖h_k‖₂: the scale of the rows of H is moved into W.

    Parameters
    ----------
    W : (n_runs, n_features, rank) ndarray, nonnegative
    H : (n_runs, rank, n_samples) ndarray, nonnegative
    relative_tie : float

    Returns
    -------
    (n_runs, n_features) ndarray of int
        0 … rank − 1, or −1 (unassigned).
    """
    return run_labels(H.transpose(0, 2, 1), W.transpose(0, 2, 1), relative_tie)


def sample_labels(
    W: NDArray[np.floating], H: NDArray[np.floating], relative_tie: float = RELATIVE_TIE
) -> Labels:
    """Label every sample of one run by its largest coefficient, as `run_labels` does.

    Parameters
    ----------
    W : (n_features, rank) ndarray, nonnegative
    H : (rank, n_samples) ndarray, nonnegative
    relative_tie : float
        A sample is tied where another coefficient is at least (1 − relative_tie) of the largest.

    Returns
    -------
    (n_samples,) ndarray of int
        0 … rank − 1, or −1 (unassigned) where tied or without a positive coefficient.
    """
    norms = column_norms(W)
    largest = norms.max(initial=0.0)
    shares = norms / np.where(largest > 0, largest, 1.0)
    scaled = shares[:, None] * np.asarray(H, dtype=np.float64)
    top = scaled.max(axis=0, initial=0.0)
    near_top = scaled >= (1.0 - relative_tie) * top
    unique = (top > 0) & (np.count_nonzero(near_top, axis=0) == 1)
    return np.where(unique, scaled.argmax(axis=0), UNASSIGNED)


def consensus_matrix(labels: Labels) -> Array:
    """Share of runs in which two samples have the same label.

    C_ij = #{runs: label_i = label_j} / #{runs that assign both i and j}; 0 where no run assigns
    both; 1 on the diagonal. Source: Monti et al. 2003, Brunet et al. 2004. Range [0, 1]; without
    unassigned samples every entry is exactly a count divided by the number of runs.

    Parameters
    ----------
    labels : (n_runs, n_samples) ndarray of int
        −1 is unassigned.

    Returns
    -------
    (n_samples, n_samples) ndarray of float64
    """
    n_runs, n_samples = _checked(labels).shape
    names = np.arange(labels.max(initial=-1) + 1)
    one_hot = (labels.T[:, :, None] == names).reshape(n_samples, n_runs * names.size)
    # float32 holds counts up to 2²⁴ runs exactly and is twice as fast.
    members = one_hot.astype(np.float32)
    together = members @ members.T
    if labels.min(initial=0) >= 0:
        consensus: Array = np.divide(together, n_runs, dtype=np.float64)
    else:
        present = (labels.T >= 0).astype(np.float32)
        both = present @ present.T
        consensus = np.zeros((n_samples, n_samples))
        np.divide(together, both, out=consensus, where=both > 0, dtype=np.float64)
    np.fill_diagonal(consensus, 1.0)
    return consensus


def collapse_labels(labels: Labels) -> CollapsedLabels:
    """Merge samples that have the same label in every run.

    Parameters
    ----------
    labels : (n_runs, n_samples) ndarray of int

    Returns
    -------
    CollapsedLabels
    """
    n_samples = _checked(labels).shape[1]
    order = np.lexsort(labels)
    columns = labels[:, order]
    is_first = np.ones(n_samples, dtype=bool)
    is_first[1:] = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    inverse = np.empty(n_samples, dtype=np.intp)
    inverse[order] = np.cumsum(is_first) - 1
    return CollapsedLabels(columns[:, is_first], np.bincount(inverse), inverse)


def consensus_tree(
    consensus: Array, n_clusters: int, assigned: NDArray[np.bool_] | None = None
) -> ConsensusTree:
    """Average-linkage tree of a consensus matrix, cut into clusters.

    Distances are 1 − C. The cut undoes the last ``n_clusters`` − 1 merges, but never divides
    samples with identical rows, so there may be fewer clusters. Merges at equal heights leave the
    tree open; they are resolved by the values in the rows rather than by the order of the samples.
    The leaves are ordered optimally where there are at most 1,000 distinct rows.

    Parameters
    ----------
    consensus : (n_samples, n_samples) ndarray
    n_clusters : int
    assigned : (n_samples,) ndarray of bool, optional
        False for samples to leave out of the tree. Default: none.

    Returns
    -------
    ConsensusTree
    """
    n_samples = consensus.shape[0]
    kept = np.ones(n_samples, dtype=bool) if assigned is None else assigned
    members = np.flatnonzero(kept)
    within = consensus if kept.all() else consensus[np.ix_(members, members)]
    dendrogram = _dendrogram(within, np.ones(members.size))
    clusters = _cut(dendrogram.linkage, n_clusters)[dendrogram.inverse]
    labels = np.full(n_samples, UNASSIGNED, dtype=np.intp)
    labels[members] = clusters
    return _tree(dendrogram, members, labels, kept)


def cophenetic_correlation(
    consensus: Array, weights: NDArray[np.number] | None = None
) -> float | None:
    """How well an average-linkage tree preserves the consensus.

    Pearson correlation, over pairs i < j, of 1 − C_ij with the height at which the tree joins i and
    j. Source: Brunet et al. 2004. Range [−1, 1], 1 for a perfect hierarchy.

    Parameters
    ----------
    consensus : (n, n) ndarray
    weights : (n,) ndarray, optional
        How many samples each row stands for. Default: one each.

    Returns
    -------
    float or None
        None where undefined: fewer than three samples, or the same consensus for every pair.
    """
    return _cophenetic_correlation(_dendrogram(consensus, _weights(consensus, weights)))


def dispersion(consensus: Array, weights: NDArray[np.number] | None = None) -> float:
    """How close the consensus is to a matrix of zeros and ones.

    (1/n²) Σ_ij 4 (C_ij − ½)², the diagonal included. Source: Kim & Park 2007. Range [0, 1]: 1 where
    every pair is always together or always apart.

    Parameters
    ----------
    consensus : (n, n) ndarray
    weights : (n,) ndarray, optional
        How many samples each row stands for. Default: one each.

    Returns
    -------
    float
    """
    counts = _weights(consensus, weights)
    return float(counts @ (4 * (consensus - 0.5) ** 2) @ counts / counts.sum() ** 2)


def dispersion_from_labels(labels: Labels) -> float:
    """Dispersion of the consensus of the runs, without the n × n matrix.

    Σ_ij C_ij² = R⁻² Σ_rs ‖N^rs‖_F², where N^rs is the contingency table of the labels of runs r and
    s, and Σ_ij C_ij = R⁻¹ Σ_r Σ_c (size of cluster c in run r)². Exact, in O(R² n).

    Parameters
    ----------
    labels : (n_runs, n_samples) ndarray of int
        Every sample assigned in every run.

    Returns
    -------
    float
        In [0, 1]; equals ``dispersion(consensus_matrix(labels))``.
    """
    n_runs, n_samples = _checked(labels).shape
    if labels.min(initial=0) < 0:
        raise ValueError("unassigned samples: use dispersion(consensus_matrix(labels)) instead")
    n_names = int(labels.max()) + 1
    columns = (labels + n_names * np.arange(n_runs)[:, None]).T.ravel()
    row_starts = np.arange(n_samples + 1) * n_runs
    members = sparse.csr_array(
        (np.ones(columns.size), columns, row_starts), shape=(n_samples, n_runs * n_names)
    )
    contingency = members.T @ members
    sum_of_squares = float(np.square(contingency.data).sum()) / n_runs**2
    total = float(np.square(contingency.diagonal()).sum()) / n_runs
    return float(1.0 - 4.0 * (total - sum_of_squares) / n_samples**2)


def pac(
    consensus: Array,
    low: float = 0.1,
    high: float = 0.9,
    weights: NDArray[np.number] | None = None,
) -> float | None:
    """Proportion of ambiguously clustered pairs.

    Share of pairs i < j with low < C_ij < high, both strict; the diagonal does not count. Source:
    Şenbabaoğlu et al. 2014. Range [0, 1], 0 where no pair is ambiguous.

    Parameters
    ----------
    consensus : (n, n) ndarray
    low, high : float
        Cut points, 0 ≤ low < high ≤ 1.
    weights : (n,) ndarray, optional
        How many samples each row stands for. Default: one each.

    Returns
    -------
    float or None
        None for fewer than two samples.
    """
    if not 0 <= low < high <= 1:
        raise ValueError(f"cut points must satisfy 0 <= low < high <= 1, got {low} and {high}")
    counts = _weights(consensus, weights)
    n_samples = counts.sum()
    if n_samples < 2:
        return None
    ambiguous = (consensus > low) & (consensus < high)
    np.fill_diagonal(ambiguous, False)
    return float(counts @ (ambiguous @ counts) / (n_samples * (n_samples - 1)))


def consensus_silhouette(
    consensus: Array, labels: Labels, weights: NDArray[np.number] | None = None
) -> float | None:
    """Mean silhouette of the samples with distance 1 − C.

    Source: Rousseeuw 1987, as in R NMF. Range [−1, 1].

    Parameters
    ----------
    consensus : (n, n) ndarray
    labels : (n,) ndarray of int
        The cut of the tree of this consensus.
    weights : (n,) ndarray, optional
        How many samples each row stands for. Default: one each.

    Returns
    -------
    float or None
        None where undefined: fewer than three samples, one cluster, only clusters of one sample,
        or the same consensus for every pair.
    """
    counts = _weights(consensus, weights)
    n_samples, n_clusters = counts.sum(), np.unique(labels).size
    if not 2 <= n_clusters < n_samples or _is_constant(consensus, counts):
        return None
    return float(silhouette_widths(1.0 - consensus, labels, counts) @ counts / n_samples)


def silhouette_widths(
    distance: Array, labels: Labels, weights: NDArray[np.number] | None = None
) -> Array:
    """Silhouette of each item: (b − a) / max(a, b).

    a is the mean distance to the other members of the item's own cluster, b the smallest mean
    distance to the members of another. Items alone in their cluster get 0, and so do items with
    a = b = 0. Source: Rousseeuw 1987. Range [−1, 1].

    Parameters
    ----------
    distance : (n, n) ndarray
        Symmetric with a zero diagonal.
    labels : (n,) ndarray of int
        At least two clusters.
    weights : (n,) ndarray, optional
        How many items, at distance 0 of each other, each row stands for. Default: one each.

    Returns
    -------
    (n,) ndarray of float64
    """
    counts = _weights(distance, weights)
    names, own = np.unique(labels, return_inverse=True)
    members = (own[:, None] == np.arange(names.size)) * counts[:, None]
    sizes = members.sum(axis=0)
    totals = distance @ members
    rows = np.arange(own.size)
    means = totals / sizes
    means[rows, own] = np.inf
    between = means.min(axis=1)
    alone = sizes[own] <= 1
    within = totals[rows, own] / np.where(alone, 1.0, sizes[own] - 1)
    larger = np.maximum(within, between)
    widths = (between - within) / np.where(larger > 0, larger, 1.0)
    return np.where(alone, 0.0, widths)


def summarize_consensus(
    labels: Labels,
    rank: int,
    *,
    max_samples: int = MAX_SAMPLES,
    seed: int = 0,
    leaves_in_order: bool = True,
) -> ConsensusSummary:
    """Consensus, its tree cut at the rank, and the four numbers.

    Samples are collapsed first, so the cost is set by the number of distinct label vectors. Where
    these exceed ``max_samples``, a random sample of ``max_samples`` samples (at most `SAMPLED`) stands for all.

    Parameters
    ----------
    labels : (n_runs, n_samples) ndarray of int
        Labels of the good runs at this rank; −1 is unassigned.
    rank : int
        Number of clusters to cut the tree into.
    max_samples : int
        Largest consensus matrix to form, full or collapsed.
    seed : int
        Of the random sample, used only where one is drawn.
    leaves_in_order : bool
        Whether the leaves of the tree are put in order; no number depends on it.

    Returns
    -------
    ConsensusSummary
    """
    n_runs, n_samples = _checked(labels).shape
    assigned: NDArray[np.bool_] = np.any(labels >= 0, axis=0)
    members = np.flatnonzero(assigned)
    sampled: Labels | None = None
    collapsed = collapse_labels(labels[:, members])
    if collapsed.weights.size > max_samples:
        generator = np.random.default_rng(seed)
        size = min(max_samples, SAMPLED)
        sampled = members = np.sort(generator.choice(members, size, replace=False))
        collapsed = collapse_labels(labels[:, members])

    dendrogram = _dendrogram(
        consensus_matrix(collapsed.labels),
        collapsed.weights.astype(np.float64),
        leaves_in_order,
    )
    dendrogram = replace(dendrogram, inverse=dendrogram.inverse[collapsed.inverse])
    row_clusters = _cut(dendrogram.linkage, rank)
    clusters = np.full(n_samples, UNASSIGNED, dtype=np.intp)
    clusters[members] = row_clusters[dendrogram.inverse]
    if sampled is not None:
        rest = np.setdiff1d(np.flatnonzero(assigned), sampled)
        clusters[rest] = _nearest_clusters(labels[:, rest], labels[:, sampled], clusters[sampled])

    # One run, or one group, agrees with itself: no evidence of stability.
    defined = n_runs > 1 and rank > 1 and members.size > 0
    C, weights = dendrogram.consensus, dendrogram.weights
    return ConsensusSummary(
        rank=rank,
        n_runs=n_runs,
        consensus=consensus_matrix(labels) if n_samples <= max_samples else None,
        tree=_tree(dendrogram, members, clusters, assigned),
        cophenetic_correlation=_cophenetic_correlation(dendrogram) if defined else None,
        dispersion=_dispersion(labels[:, assigned], C, weights) if defined else None,
        pac=pac(C, weights=weights) if defined else None,
        consensus_silhouette=consensus_silhouette(C, row_clusters, weights) if defined else None,
        sampled=sampled,
    )


def _checked(labels: Labels) -> Labels:
    if labels.ndim != 2 or labels.shape[0] == 0:
        raise ValueError(f"labels must be (n_runs, n_samples) with n_runs >= 1, got {labels.shape}")
    return labels


def _weights(matrix: Array, weights: NDArray[np.number] | None) -> Array:
    return np.ones(matrix.shape[0]) if weights is None else np.asarray(weights, dtype=np.float64)


def _dispersion(labels: Labels, consensus: Array, weights: Array) -> float:
    """Exact from complete labels, else from the consensus of the distinct rows."""
    if labels.min() >= 0:
        return dispersion_from_labels(labels)
    return dispersion(consensus, weights)


def _is_constant(consensus: Array, weights: Array) -> bool:
    """Whether every pair of samples has the same consensus."""
    pairs = squareform(consensus, checks=False)
    if (weights > 1).any():
        pairs = np.append(pairs, 1.0)
    return pairs.size == 0 or bool(np.ptp(pairs) == 0)


def _dendrogram(consensus: Array, weights: Array, leaves_in_order: bool = True) -> _Dendrogram:
    """Collapse identical rows, put them in canonical order, and build their tree."""
    if not (consensus == consensus.T).all():
        raise ValueError("a consensus matrix is symmetric and without NaN")
    rows, inverse = _distinct_rows(consensus)
    counts = np.bincount(inverse, weights).astype(np.float64)
    order = _canonical_order(consensus[np.ix_(rows, rows)], counts)
    position = np.empty_like(order)
    position[order] = np.arange(order.size)
    distinct = consensus[np.ix_(rows[order], rows[order])]
    linkage = average_linkage(1.0 - distinct, counts[order])
    if leaves_in_order and 2 <= len(linkage) < MAX_ORDERED_ROWS:
        linkage = optimal_leaf_ordering(linkage, squareform(1.0 - distinct, checks=False))
    return _Dendrogram(distinct, counts[order], linkage, position[inverse])


def _distinct_rows(consensus: Array) -> tuple[Labels, Labels]:
    """Index of each distinct row, and which of them each row equals.

    Equal rows are always together: C_ij = C_jj = 1. Those with equal signatures are compared.
    """
    n_rows = consensus.shape[0]
    signature = _as_integers(consensus) @ _random_coefficients(n_rows)
    order = np.argsort(signature, kind="stable")
    left, right = order[:-1], order[1:]
    repeats = signature[left] == signature[right]
    repeats[repeats] = (consensus[left[repeats]] == consensus[right[repeats]]).all(axis=1)
    is_first = np.insert(~repeats, 0, [True] * min(n_rows, 1))
    inverse = np.empty(n_rows, dtype=np.intp)
    inverse[order] = np.cumsum(is_first) - 1
    return order[is_first], inverse


def _canonical_order(consensus: Array, weights: Array) -> Labels:
    """Order rows by their values alone, so that ties in the tree do not depend on sample order.

    Rows are ranked by moments of their values, then by signatures that depend on the ranks of the
    other rows; where such refinement stops short, one row of a tied class is set before the others
    and refinement goes on.
    """
    values = _as_integers(consensus)
    coefficients = _random_coefficients(weights.size)
    squares = _as_integers(consensus * consensus)
    rank = _dense_rank(weights, values @ weights, squares @ weights)
    for _ in range(MAX_REFINEMENTS):
        n_classes = rank.max(initial=-1) + 1
        if n_classes == rank.size:
            break
        rank = _dense_rank(rank, values @ (weights * coefficients[rank]))
        if rank.max() + 1 == n_classes:
            tied = np.flatnonzero(np.bincount(rank) > 1)[0]
            chosen = np.arange(rank.size) == (rank == tied).argmax()
            rank = _dense_rank(rank, ~chosen)
    return np.argsort(rank, kind="stable")


def _as_integers(consensus: Array) -> Array:
    """Round to 14 bits, so that sums of up to 2²⁵ products are exact in any order."""
    return np.rint(consensus * 2.0**14)


def _random_coefficients(n: int) -> Array:
    """Fixed integers of 14 bits, whose sums tell rows apart."""
    return np.random.default_rng(0).integers(1, 2**14, n).astype(np.float64)


def _dense_rank(*keys: NDArray[np.generic]) -> Labels:
    """Rank rows by the first key, then the next; equal rows share a rank and none is skipped."""
    order = np.lexsort(keys[::-1])
    steps = np.zeros(order.size, dtype=np.intp)
    for key in keys:
        steps[1:] |= key[order[1:]] != key[order[:-1]]
    rank = np.empty_like(steps)
    rank[order] = np.cumsum(steps)
    return rank


def average_linkage(distance: Array, weights: Array) -> Array:
    """Average linkage of rows that stand for several samples each, by the nearest-neighbour chain.

    SciPy's own weighs all rows alike, and fails where rounding brings a merged cluster nearer than either of its
    halves: its chain then returns to a cluster that is gone. Here an average stays between what it is made of.

    Parameters
    ----------
    distance : (n_rows, n_rows) ndarray
        Symmetric.
    weights : (n_rows,) ndarray
        Samples that a row stands for.

    Returns
    -------
    (n_rows − 1, 4) ndarray
        SciPy's format; the last column counts rows.
    """
    n_rows = len(weights)
    between = distance.copy()
    np.fill_diagonal(between, np.inf)
    size = weights.copy()
    merges = np.empty((max(n_rows - 1, 0), 2), dtype=np.intp)
    heights = np.empty(len(merges))
    chain: list[int] = []
    for step in range(len(merges)):
        if not chain:
            chain.append(0)  # the bottom of a chain is what a merge keeps, so row 0 is always there
        while True:
            row = between[chain[-1]]
            nearest = int(row.argmin())
            if len(chain) > 1 and row[chain[-2]] <= row[nearest]:
                break
            chain.append(nearest)
        gone, kept = chain.pop(), chain.pop()
        merges[step] = gone, kept
        heights[step] = between[gone, kept]
        total = size[gone] + size[kept]
        halves = between[gone], between[kept]
        joined = (size[gone] * halves[0] + size[kept] * halves[1]) / total
        np.clip(joined, np.minimum(*halves), np.maximum(*halves), out=joined)
        between[kept] = between[:, kept] = joined
        between[gone] = between[:, gone] = np.inf
        size[kept] = total
    return _linkage_from_merges(merges, heights)


def _linkage_from_merges(merges: Labels, heights: Array) -> Array:
    """Sort merges by height and name the clusters as SciPy does."""
    n_rows = len(merges) + 1
    parent = np.arange(2 * n_rows - 1)
    count = np.ones(2 * n_rows - 1)
    linkage = np.empty((len(merges), 4))
    for step, merge in enumerate(np.argsort(heights, kind="stable")):
        roots = sorted(_root(parent, int(row)) for row in merges[merge])
        parent[roots] = n_rows + step
        count[n_rows + step] = count[roots].sum()
        linkage[step] = *roots, heights[merge], count[n_rows + step]
    return linkage


def _root(parent: Labels, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = int(parent[node])
    return node


def _cut(linkage: Array, n_clusters: int) -> Labels:
    """Cluster of each row after undoing the last n_clusters − 1 merges."""
    n_rows = len(linkage) + 1
    n_merges = max(n_rows - n_clusters, 0)
    cluster = np.arange(n_rows + n_merges)
    for step in reversed(range(n_merges)):
        cluster[linkage[step, :2].astype(np.intp)] = cluster[n_rows + step]
    return cluster[:n_rows]


def _tree(
    dendrogram: _Dendrogram, members: Labels, clusters: Labels, assigned: NDArray[np.bool_]
) -> ConsensusTree:
    linkage = _linkage_of_samples(dendrogram.linkage, dendrogram.inverse)
    leaves = leaves_list(linkage) if len(linkage) else np.arange(members.size)
    return ConsensusTree(linkage, members[leaves], _by_first_appearance(clusters), assigned)


def _linkage_of_samples(linkage: Array, inverse: Labels) -> Array:
    """Replace each row by its samples, joined at height 0."""
    n_samples, n_rows = inverse.size, len(linkage) + 1
    if n_samples == 0:
        return np.empty((0, 4))
    samples = np.argsort(inverse, kind="stable")
    node_of_row = np.full(n_rows, -1)
    count = np.ones(2 * n_samples - 1)
    joins: list[tuple[float, float, float, float]] = []

    def join(left: int, right: int, height: float) -> int:
        node = n_samples + len(joins)
        count[node] = count[left] + count[right]
        joins.append((left, right, height, count[node]))
        return node

    for sample in samples:
        node = node_of_row[inverse[sample]]
        node_of_row[inverse[sample]] = sample if node < 0 else join(node, int(sample), 0.0)
    nodes = [int(node) for node in node_of_row]
    for left, right, height, _ in linkage:
        nodes.append(join(nodes[int(left)], nodes[int(right)], height))
    return np.array(joins).reshape(-1, 4)


def _by_first_appearance(labels: Labels) -> Labels:
    """Renumber clusters from 0 in the order in which samples show them; −1 stays."""
    named = labels >= 0
    _, first, inverse = np.unique(labels[named], return_index=True, return_inverse=True)
    number = np.empty(first.size, dtype=np.intp)
    number[np.argsort(first)] = np.arange(first.size)
    renamed = np.full(labels.size, UNASSIGNED, dtype=np.intp)
    renamed[named] = number[inverse]
    return renamed


def _cophenetic_correlation(dendrogram: _Dendrogram) -> float | None:
    weights = dendrogram.weights
    if weights.sum() < 3 or _is_constant(dendrogram.consensus, weights):
        return None
    distance = squareform(1.0 - dendrogram.consensus, checks=False)
    height = cophenet(dendrogram.linkage)
    pairs = squareform(np.outer(weights, weights), checks=False)
    # Pairs of samples within a row: distance and height are both 0.
    within = float((weights * (weights - 1)).sum()) / 2
    n_pairs = pairs.sum() + within
    distance_mean, height_mean = pairs @ distance / n_pairs, pairs @ height / n_pairs
    x, y = distance - distance_mean, height - height_mean
    covariance = pairs @ (x * y) + within * distance_mean * height_mean
    variances = (pairs @ x**2 + within * distance_mean**2) * (
        pairs @ y**2 + within * height_mean**2
    )
    return float(np.clip(covariance / np.sqrt(variances), -1.0, 1.0))


def _nearest_clusters(labels: Labels, reference: Labels, clusters: Labels) -> Labels:
    """Cluster of reference samples with which each sample shares its label most often."""
    names, cluster = np.unique(clusters, return_inverse=True)
    together = np.zeros((labels.shape[1], names.size))
    both = np.zeros_like(together)
    for run, known in zip(labels, reference, strict=True):
        # The last row, index −1, is for the unassigned.
        table = np.zeros((max(run.max(), known.max()) + 2, names.size))
        np.add.at(table, (known, cluster), 1.0)
        table[-1] = 0.0
        together += table[run]
        both += (run >= 0)[:, None] * table.sum(axis=0)
    shares = np.divide(together, both, out=together, where=both > 0)
    nearest: Labels = names[shares.argmax(axis=1)]
    return nearest
