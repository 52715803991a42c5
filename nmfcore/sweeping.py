"""A whole sweep in one process, by the same functions that the workflow runs in many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from numpy.typing import ArrayLike

from nmfcore.criteria import Criteria, RankSummary, summarize_rank
from nmfcore.cross_validation import cross_validate
from nmfcore.errors import InputError
from nmfcore.factorization import factorize
from nmfcore.problem import pose
from nmfcore.rank_decisions import RankDecision, decide_ranks
from nmfcore.rank_rule import RankRule
from nmfcore.reconstruction import svd_errors
from nmfcore.residuals import best_run_residual_excess
from nmfcore.runs import Runs, concatenate_runs
from nmfcore.seed_decisions import SeedDecision, decide_seeds
from nmfcore.seed_rule import SeedRule
from nmfcore.selection import Recommendation, SelectionRule, recommend
from nmfcore.solution import Solution, stable_solution
from nmfcore.solvers.penalties import Penalties

_T = TypeVar("_T")


@dataclass(frozen=True)
class Sweep:
    """The answer and its evidence.

    Attributes
    ----------
    criteria : tuple of Criteria
        One a rank; ``pandas.DataFrame(sweep.criteria)`` makes a table of them.
    recommendation : Recommendation
        `.rank` is an int or None, `.reasons` says why.
    solutions : dict of int to Solution
        Of every rank at which a run converged.
    summaries : dict of int to RankSummary
        Consensus, labels and fold errors of every rank.
    runs : dict of int to Runs
        Every run.
    rank_decisions : tuple of RankDecision
        What was decided about the ranks, stage by stage; empty where they were given.
    seed_decisions : dict of int to tuple of SeedDecision
        What was decided about the seeds of every rank, stage by stage; empty where their number was given.
    """

    criteria: tuple[Criteria, ...]
    recommendation: Recommendation
    solutions: Mapping[int, Solution]
    summaries: Mapping[int, RankSummary]
    runs: Mapping[int, Runs]
    rank_decisions: tuple[RankDecision, ...]
    seed_decisions: Mapping[int, tuple[SeedDecision, ...]]

    @property
    def solution(self) -> Solution | None:
        """Solution at the recommended rank; None without one."""
        rank = self.recommendation.rank
        return None if rank is None else self.solutions.get(rank)


def sweep(
    V: ArrayLike | Any,
    ranks: Iterable[int] | RankRule = range(1, 9),
    seeds: int | SeedRule = 20,
    root_seed: int = 0,
    loss: str | float = "frobenius",
    *,
    max_iter: int = 2000,
    tol: float = 1e-6,
    n_folds: int = 10,
    n_starts: int = 2,
    fraction: float = 0.1,
    observed: ArrayLike | None = None,
    penalties: Penalties | None = None,
    solver: str = "auto",
    start: str = "random",
    dtype: str = "float32",
    rule: SelectionRule | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> Sweep:
    """Factorise at every rank from many starts, build every rank's solution, weigh the evidence, recommend a rank.

    Parameters
    ----------
    V : (n_features, n_samples) array_like or sparse
        Nonnegative.
    ranks : iterable of int, or RankRule
        Rank 1 should be among them: it is what 'no structure' is judged against. Under a rule, every so many at first,
        and then those beside what the evidence speaks for.
    seeds : int or SeedRule
        Random starts a rank; under a rule, as many as the rank needs for tight intervals of its stability.
    root_seed : int
    loss, max_iter, tol, observed, penalties, solver, start, dtype
        See `nmfcore.factorize`.
    n_folds, n_starts, fraction
        See `nmfcore.cross_validation.cross_validate`; ``n_folds=0`` leaves cross-validation out.
    rule : SelectionRule, optional
        Thresholds of the recommendation.
    device
        See `nmfcore.factorize`.
    threads : int
        Groups of ten seeds, or folds, that are worked on at the same time; changes no bit.

    Returns
    -------
    Sweep

    Raises
    ------
    InputError
        If V or a choice cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from nmfcore import sweep
    >>> random = np.random.default_rng(0)
    >>> V = random.gamma(0.5, size=(60, 3)) @ random.gamma(0.5, size=(3, 40))
    >>> V = random.poisson(50 * V)
    >>> sweep(V, ranks=range(1, 6), seeds=10).recommendation.rank
    3
    """
    grid = ranks if isinstance(ranks, RankRule) else RankRule(tuple(sorted(set(ranks))))
    problem = pose(V, observed, loss)
    values = problem.given
    if not values.max() > 0:
        raise InputError("V has no positive entry: there is nothing to factorise.")
    fit: dict[str, Any] = {
        "max_iter": max_iter,
        "tol": tol,
        "observed": observed,
        "penalties": penalties,
        "solver": solver,
        "start": start,
        "dtype": dtype,
        "device": device,
        "threads": threads,
    }
    bounds = svd_errors(problem.exact, grid.ranks[-1]) if observed is None else None
    runs: dict[int, Runs] = {}
    seed_decisions: dict[int, tuple[SeedDecision, ...]] = {}
    summaries: dict[int, RankSummary] = {}

    def try_rank(rank: int) -> None:
        solve = partial(factorize, values, rank, root_seed=root_seed, loss=loss, **fit)
        runs[rank], seed_decisions[rank] = _runs_of(solve, seeds)
        validation = (
            cross_validate(
                values,
                rank,
                n_folds,
                n_starts,
                fraction,
                root_seed,
                loss=loss,
                dtype=dtype,
                observed=observed,
                penalties=penalties,
                threads=threads,
            )
            if n_folds
            else None
        )
        bound = None if bounds is None else float(bounds[rank - 1])
        residual = best_run_residual_excess(values, runs[rank], observed)
        summaries[rank] = summarize_rank(runs[rank], validation, bound, residual_excess=residual)

    wanted, rank_decisions = grid.first, list[RankDecision]()
    while wanted:
        for rank in wanted:
            try_rank(rank)
        if grid.coarse == 1:
            break
        rank_decisions.append(decide_ranks(grid, [s.criteria for s in summaries.values()], rule))
        wanted = rank_decisions[-1].added
    summaries, runs, seed_decisions = _by_rank(summaries), _by_rank(runs), _by_rank(seed_decisions)
    criteria = tuple(summary.criteria for summary in summaries.values())
    solutions = {
        rank: stable_solution(values, found, observed=observed, penalties=penalties)
        for rank, found in runs.items()
        if found.good.any()
    }
    return Sweep(
        criteria,
        recommend(criteria, rule),
        solutions,
        summaries,
        runs,
        tuple(rank_decisions),
        seed_decisions,
    )


def _by_rank(found: dict[int, _T]) -> dict[int, _T]:
    return dict(sorted(found.items()))


def _runs_of(
    solve: Callable[..., Runs], seeds: int | SeedRule
) -> tuple[Runs, tuple[SeedDecision, ...]]:
    """Runs of a rank, and what was decided about their number."""
    if not isinstance(seeds, SeedRule):
        return solve(seeds=range(seeds)), ()
    runs = solve(seeds=range(seeds.least))
    decisions = [decide_seeds(seeds, runs)]
    while decisions[-1].wanted > len(runs):
        runs = concatenate_runs([runs, solve(seeds=range(len(runs), decisions[-1].wanted))])
        decisions.append(decide_seeds(seeds, runs))
    return runs, tuple(decisions)
