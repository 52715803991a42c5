"""The solvers: what each can take, and how it solves a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.block_matrix import BlockMatrix
from nmfcore.errors import InputError
from nmfcore.groups import Groups
from nmfcore.problem import DENSE_BYTES_MAX, Problem
from nmfcore.solvers import device
from nmfcore.solvers.alternating import Iterated, Updates
from nmfcore.solvers.completion import complete
from nmfcore.solvers.device import DeviceHalsUpdates
from nmfcore.solvers.hals import HalsUpdates
from nmfcore.solvers.kullback_leibler import KullbackLeiblerUpdates
from nmfcore.solvers.multiplicative import MultiplicativeUpdates
from nmfcore.solvers.phases import Excerpt, Phase, StandIn, iterate_in_phases, main_part
from nmfcore.solvers.products import Products, compress, cost, products_of

Floats = NDArray[np.floating]

COMPLETED_SHARE_MAX = 0.5
"""Share of cells of less than full weight up to which rough iterations run on a completed matrix."""
COMPLETED_TOL = 1e-3
"""Tolerance of the iterations on a completed matrix, whose minimum is not that of the problem."""
CORRECTED_TOL = 1e-5
"""The same where its pull to what was imputed is taken off; see `Completed.compressed`."""
COMPRESSION_GAIN = 4
"""Compress where a product gets this many times cheaper."""


class Solver(ABC):
    """A way to minimise some losses."""

    name: str

    @abstractmethod
    def refusal(self, problem: Problem) -> str | None:
        """Why this solver cannot take the problem; None if it can."""

    @abstractmethod
    def updates(self, problem: Problem) -> Updates:
        """Half-steps for the problem."""

    def takes_excerpts(self, problem: Problem, rank: int) -> bool:
        """Whether iterations on an excerpt of V may come first."""
        return False

    def stand_in(
        self, problem: Problem, rank: int, near: bool, threads: int
    ) -> tuple[list[Phase], str]:
        """Iterations on a matrix in place of V where that gains something, and words for the record."""
        return [], ""

    def rough_phases(
        self, problem: Problem, rank: int, near: bool, threads: int
    ) -> tuple[list[Phase], str]:
        """What comes before the iterations on V itself, and words for the record.

        Starts that are `near` a solution are not led away from it.
        """
        takes = not near and self.takes_excerpts(problem, rank)
        part = main_part(problem, rank) if takes else None
        if part is None:
            return self.stand_in(problem, rank, near, threads)
        phases, words = self.stand_in(part.problem, rank, near, threads)
        updates = self.updates(part.problem)
        excerpt = Excerpt(phases, updates, part.kept, part.of_features, part.tol_min)
        what = "features" if part.of_features else "samples"
        return [excerpt], f", excerpt of {len(part.kept)} {what}{words}"

    def storage(self, problem: Problem) -> str:
        """How the solver sees V, for the record."""
        return "sparse" if problem.is_sparse else "dense"


@dataclass(frozen=True)
class Solved:
    """End of a batch, at the scale of the problem.

    Attributes
    ----------
    W : (n_runs, rank, n_features) ndarray
        Bases, transposed.
    H : (n_runs, rank, n_samples) ndarray
    trace : (n_runs, n_iterations) ndarray of float64
        Objective at each iteration; NaN past a run's end. Rough phases, where there are any, come first and estimate
        it.
    n_iter : (n_runs,) ndarray of int
    converged : (n_runs,) ndarray of bool
    description : str
        The solver and what it chose, for the record.
    """

    W: Floats
    H: Floats
    trace: NDArray[np.float64]
    n_iter: NDArray[np.int64]
    converged: NDArray[np.bool_]
    description: str


class Hals(Solver):
    """Frobenius: hierarchical alternating least squares.

    Where V is large in both dimensions, most iterations run on V ≈ Q B, and where cells are hidden on a completed
    matrix; the last ones always run on V and its weights, so the answer is a stationary point of the problem itself.
    """

    name = "hals"

    def refusal(self, problem: Problem) -> str | None:
        """See `Solver`."""
        return None if problem.beta == 2 else "it minimises the Frobenius loss only"

    def updates(self, problem: Problem) -> Updates:
        """See `Solver`."""
        products = products_of(problem.V)
        if problem.lack is not None:
            products.squared_norm = problem.squares  # V holds w∘v; the loss needs Σ w v².
        return HalsUpdates(products, problem.lack, problem.penalties, problem.ceiling)

    def takes_excerpts(self, problem: Problem, rank: int) -> bool:
        """See `Solver`."""
        return not compression_width(problem, rank)

    def stand_in(
        self, problem: Problem, rank: int, near: bool, threads: int
    ) -> tuple[list[Phase], str]:
        """See `Solver`."""
        width = compression_width(problem, rank)
        compressed = f", compressed to {width}"
        if problem.lack is None:
            if not width:
                return [], ""
            return [self._rough(compress(problem.V, width, threads=threads), problem)], compressed
        # The minimum on a completed matrix is another one: rough iterations would go there from anywhere.
        if near or problem.lack.nnz > COMPLETED_SHARE_MAX * np.prod(problem.shape):
            return [], ""
        completed = complete(problem.V, problem.lack, rank, threads)
        if not width:
            phase = self._rough(products_of(completed.matrix), problem, COMPLETED_TOL)
            return [phase], ", completed"
        phase = self._rough(completed.compressed(width, threads), problem, CORRECTED_TOL)
        return [phase], f", completed{compressed}"

    def _rough(self, products: Products, problem: Problem, tol_min: float = 0.0) -> StandIn:
        """Iterations on products with a matrix that stands in for V."""
        return StandIn(self._updates(products, problem), tol_min)

    def _updates(self, products: Products, problem: Problem) -> Updates:
        """Half-steps without the cells' weights."""
        return HalsUpdates(products, None, problem.penalties)

    def storage(self, problem: Problem) -> str:
        """See `Solver`."""
        return super().storage(problem) + ", by blocks" * isinstance(problem.V, BlockMatrix)


class HalsOnDevice(Hals):
    """The same on a graphics card; what it does not take there goes to the processor."""

    def refusal(self, problem: Problem) -> str | None:
        """See `Solver`."""
        if problem.lack is not None:
            return "hidden and weighted cells are for the processor"
        if problem.penalties:
            return "penalties are for the processor"
        if isinstance(problem.V, BlockMatrix):
            return "a matrix this large is read block by block, by the processor"
        return super().refusal(problem)

    def updates(self, problem: Problem) -> Updates:
        """See `Solver`."""
        return self._updates(products_of(problem.V), problem)

    def _updates(self, products: Products, problem: Problem) -> Updates:
        return DeviceHalsUpdates(products)

    def storage(self, problem: Problem) -> str:
        """See `Solver`."""
        return f"{super().storage(problem)}, on {device.DEVICE}"


class CoordinateDescent(Solver):
    """Kullback–Leibler: coordinate descent, each step exact to second order."""

    name = "cd"

    def refusal(self, problem: Problem) -> str | None:
        """See `Solver`."""
        return None if problem.beta == 1 else "it minimises the Kullback–Leibler divergence only"

    def updates(self, problem: Problem) -> Updates:
        """See `Solver`."""
        lack = problem.lack
        if lack is None:
            lack = sparse.csr_array(problem.shape, dtype=problem.dtype)
        return KullbackLeiblerUpdates(problem.V, lack, problem.penalties, problem.ceiling)

    def takes_excerpts(self, problem: Problem, rank: int) -> bool:
        """See `Solver`."""
        return True


class Multiplicative(Solver):
    """Any β-divergence: multiplicative updates."""

    name = "mu"

    def refusal(self, problem: Problem) -> str | None:
        """See `Solver`."""
        size = np.prod(problem.shape) * problem.dtype.itemsize
        if problem.is_sparse and size > DENSE_BYTES_MAX:
            return (
                f"it needs V dense, which would take {size / 2**30:.1f} GiB; solver 'cd' takes sparse V for "
                "kullback-leibler, 'hals' for frobenius"
            )
        return None

    def updates(self, problem: Problem) -> Updates:
        """See `Solver`."""
        V = _unweighted(problem)
        weights = problem.weights
        return MultiplicativeUpdates(
            V,
            problem.beta,
            None if weights is None else weights.astype(V.dtype),
            problem.penalties,
            problem.ceiling,
        )

    def storage(self, problem: Problem) -> str:
        """See `Solver`."""
        return "dense"


SOLVERS: dict[str, Solver] = {s.name: s for s in (Hals(), CoordinateDescent(), Multiplicative())}
DEVICES = ("auto", "cpu", "cuda")


def choose_solver(problem: Problem, solver: str = "auto", place: str = "cpu") -> Solver:
    """Solver by name, or the first that takes the problem; on a graphics card if that is asked for.

    Parameters
    ----------
    problem : Problem
    solver : str
        A name of `SOLVERS`, or 'auto'.
    place : {"auto", "cpu", "cuda"}
        'auto' takes a card where there is one that can.

    Raises
    ------
    InputError
        If the solver does not exist or does not take the problem, naming those that do; or if the card does not.
    """
    if place not in DEVICES:
        raise InputError(f"device {place!r} is not known; choose {', '.join(DEVICES)}.")
    chosen = _on_processor(problem, solver)
    if place == "cpu":
        return chosen
    on_device = HalsOnDevice()
    if chosen.name != on_device.name:
        reason: str | None = f"solver {chosen.name!r} is for the processor"
    elif not device.is_available():
        reason = "PyTorch is not installed, or sees no card"
    else:
        reason = on_device.refusal(problem)
    if reason is None:
        return on_device
    if place == "cuda":
        raise InputError(f"device 'cuda' cannot be used: {reason}; choose 'cpu', or 'auto'.")
    return chosen


def _on_processor(problem: Problem, solver: str) -> Solver:
    able = [s for s in SOLVERS.values() if s.refusal(problem) is None]
    if solver == "auto":
        if not able:
            why = "; ".join(f"{s.name}: {s.refusal(problem)}" for s in SOLVERS.values())
            raise InputError(f"No solver takes the {problem.loss} loss with this matrix ({why}).")
        return able[0]
    if solver not in SOLVERS:
        raise InputError(f"solver {solver!r} is not known; choose auto, {', '.join(SOLVERS)}.")
    reason = SOLVERS[solver].refusal(problem)
    if reason:
        others = " or ".join(repr(s.name) for s in able) or "none"
        raise InputError(
            f"solver {solver!r} cannot take the {problem.loss} loss here: {reason}. Able: {others}."
        )
    return SOLVERS[solver]


def solve_batch(
    solver: Solver,
    problem: Problem,
    updates: Updates,
    W: Floats,
    H: Floats,
    max_iter: int,
    tol: float,
    groups: Groups,
    near: bool,
) -> Solved:
    """Solve a batch from its starts, group by group: iterate roughly where that gains something, then on V itself.

    Parameters
    ----------
    solver : Solver
    problem : Problem
    updates : Updates
        What `solver` made for the problem.
    W, H : (n_runs, rank, n_features), (n_runs, rank, n_samples) ndarray
        Starts.
    max_iter : int
    tol : float
    groups : Groups
    near : bool
        Whether the starts are near a solution.
    """
    phases: list[Phase] = []
    words = ""
    if max_iter > 1:
        phases, words = solver.rough_phases(problem, W.shape[1], near, groups.threads)

    def solve(part: slice) -> Iterated:
        return iterate_in_phases(phases, updates, W[part], H[part], max_iter, tol)

    return _joined(groups.map(solve), f"{solver.name} ({solver.storage(problem)}{words})")


def compression_width(problem: Problem, rank: int) -> int:
    """Rank of the compressed matrix, or 0 where compression gains too little."""
    n_features, n_samples = problem.shape
    width = 2 * rank + 20
    worthwhile = cost(problem.V) >= COMPRESSION_GAIN * width * (n_features + n_samples)
    return width if worthwhile else 0


def _unweighted(problem: Problem) -> Floats:
    """V in full and without its weights, for solvers that weigh cell by cell."""
    V = problem.V if problem.lack is None else problem.exact
    full: Floats = V.toarray() if sparse.issparse(V) else V
    if problem.weights is None:
        return full
    # Hidden cells hold 0, which an Itakura–Saito ratio cannot take; their weight is 0 whatever they hold.
    return np.where(problem.weights == 0, 1.0, full).astype(problem.dtype)


def _joined(parts: Sequence[Iterated], description: str) -> Solved:
    """Join the groups of a batch; no trace is longer than its longest run."""
    length = int(max(part.n_iter.max() for part in parts))
    traces = np.full((sum(len(part.W) for part in parts), length), np.nan)
    first = 0
    for part in parts:
        trace = part.trace[:, :length]
        traces[first : first + len(trace), : trace.shape[1]] = trace
        first += len(trace)
    W, H, n_iter, converged = (
        getattr(parts[0], name)
        if len(parts) == 1
        else np.concatenate([getattr(part, name) for part in parts])
        for name in ("W", "H", "n_iter", "converged")
    )
    return Solved(W, H, traces, n_iter, converged, description)
