"""Rough phases: what an excerpt holds, how phases share iterations and traces, and that none changes the problem."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import nnls
from scipy.special import kl_div

from nmfcore.factorization import factorize
from nmfcore.limits import EXCERPT_SHARE
from nmfcore.problem import LOSSES, pose
from nmfcore.runs import concatenate_runs
from nmfcore.solvers import phases
from nmfcore.solvers.alternating import WINDOW, Iterated, iterate
from nmfcore.solvers.penalties import Penalties
from nmfcore.solvers.phases import (
    COVERED_MIN,
    EXCERPT_CELLS_MIN,
    EXCERPT_TOL,
    EXCERPT_TOL_MIN,
    KEPT_PER_COMPONENT,
    ROUGH_SHARE,
    Excerpt,
    StandIn,
    iterate_in_phases,
    main_part,
)
from nmfcore.solvers.registry import choose_solver

LOSSES_WITH_EXCERPTS = ("frobenius", "kullback-leibler")
both = pytest.mark.parametrize("loss", LOSSES_WITH_EXCERPTS)
bounded = settings(max_examples=50, deadline=None, derandomize=True)
stores = pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
RANK = 3


def uneven(seed=0, n_features=2000, n_samples=40, rank=RANK):
    """Counts whose features differ a hundredfold, as genes do."""
    random = np.random.default_rng(seed)
    W = random.gamma(0.5, 1, (n_features, rank)) * random.lognormal(0, 1.5, (n_features, 1))
    return random.poisson(W @ random.gamma(0.5, 4, (rank, n_samples))).astype(float)


def hidden_cells(V, share=0.1, seed=1):
    return np.random.default_rng(seed).random(V.shape) >= share


def phases_for(V, rank=RANK, near=False, **how):
    problem = pose(V, **how)
    return choose_solver(problem).rough_phases(problem, rank, near, 1)


def loss_of(V, run, loss, observed=None):
    fit = run.W[0] @ run.H[0]
    cells = 0.5 * (V - fit) ** 2 if loss == "frobenius" else kl_div(V, fit)
    return cells.sum() if observed is None else cells[observed].sum()


class TestMainPart:
    @both
    @stores
    @pytest.mark.parametrize("turned", [False, True])
    def test_holds_the_longer_side_that_weighs_most(self, loss, store, turned):
        V = uneven()
        V = V.T if turned else V
        problem = pose(store(V), loss=loss, dtype="float64")
        part = main_part(problem, RANK)
        held = (V ** LOSSES[loss]).sum(axis=0 if turned else 1)
        n_kept = len(held) // EXCERPT_SHARE
        assert part.of_features is not turned
        assert set(held[part.kept]) == set(np.sort(held)[::-1][:n_kept])
        left_out = 1 - held[part.kept].sum() / held.sum()
        assert part.tol_min == pytest.approx(max(EXCERPT_TOL * left_out**2, EXCERPT_TOL_MIN))
        expected = V[:, part.kept] if turned else V[part.kept]
        scale = 4.0**problem.exponent
        for matrix in (part.problem.V, part.problem.exact):
            found = matrix.toarray() if sparse.issparse(matrix) else matrix
            np.testing.assert_allclose(found * scale, expected, rtol=1e-12)

    def test_hidden_cells_have_no_weight_and_stay_hidden(self):
        V = uneven()
        observed = hidden_cells(V, 0.4)
        part = main_part(pose(V, observed), RANK)
        held = np.where(observed, V**2, 0).sum(axis=1)
        assert set(part.kept) == set(np.argsort(-held)[: len(part.kept)])
        np.testing.assert_array_equal(part.problem.lack.toarray() == 0, observed[part.kept])

    def test_is_none_where_it_would_be_small(self):
        few_cells = EXCERPT_SHARE * EXCERPT_CELLS_MIN // 40 - 40
        assert main_part(pose(uneven(n_features=few_cells)), RANK) is None
        assert main_part(pose(uneven(n_features=few_cells + 60)), RANK) is not None
        V = uneven(n_features=800, n_samples=400)
        most = 800 // EXCERPT_SHARE // KEPT_PER_COMPONENT
        assert main_part(pose(V), most) is not None
        assert main_part(pose(V), most + 1) is None

    @both
    @pytest.mark.parametrize("turned", [False, True])
    def test_is_none_where_it_hardly_sees_a_sample(self, loss, turned):
        V = uneven()
        V[:500] += 20  # these are the excerpt
        V[500:] = np.minimum(V[500:], 1)
        own = V[:500, 0] ** LOSSES[loss]
        for covered, found in ((COVERED_MIN - 0.05, False), (COVERED_MIN + 0.05, True)):
            V[500:, 0] = (own.sum() * (1 / covered - 1) / 1500) ** (1 / LOSSES[loss])
            X = V.T if turned else V
            assert (main_part(pose(X, loss=loss), RANK) is not None) is found

    @both
    def test_a_sample_of_zeros_is_no_obstacle(self, loss):
        V = uneven()
        V[:, 5] = 0
        assert main_part(pose(V, loss=loss), RANK) is not None


class TestChoice:
    @both
    def test_an_excerpt_comes_first_and_is_on_record(self, loss):
        (phase,), words = phases_for(uneven(), loss=loss)
        assert isinstance(phase, Excerpt)
        assert phase.tol_min == main_part(pose(uneven(), loss=loss), RANK).tol_min
        assert "excerpt of 500 features" in words
        assert words in factorize(uneven(), RANK, [0], loss=loss, max_iter=5).solver

    def test_hidden_cells_are_completed_in_the_excerpt_alone(self):
        V = uneven()
        (phase,), words = phases_for(V, observed=hidden_cells(V))
        assert isinstance(phase, Excerpt)
        (completed,) = phase.phases
        assert isinstance(completed, StandIn)
        assert completed.updates.products.V.shape == (500, 40)
        assert words == ", excerpt of 500 features, completed"

    def test_hidden_cells_are_completed_in_the_whole_where_there_is_none(self):
        V = np.random.default_rng(0).gamma(8, 1, (2000, 40))
        (phase,), words = phases_for(V, observed=hidden_cells(V))
        assert isinstance(phase, StandIn)
        assert words == ", completed"
        assert phases_for(V) == ([], "")

    @both
    def test_there_is_none_near_a_solution_with_penalties_or_for_other_losses(self, loss):
        V = uneven() + 1
        assert phases_for(V, near=True, loss=loss) == ([], "")
        assert phases_for(V, loss=loss, penalties=Penalties(l1_H=0.1)) == ([], "")
        assert phases_for(V, loss="itakura-saito") == ([], "")

    def test_a_compressed_matrix_needs_none(self):
        random = np.random.default_rng(0)
        (phase,), words = phases_for(random.random((600, 3)) @ random.random((3, 500)))
        assert isinstance(phase, StandIn)
        assert words == ", compressed to 26"


class TestWithExcerpts:
    """What holds for every fit holds for one that begins with an excerpt."""

    @both
    @stores
    @pytest.mark.parametrize("turned", [False, True])
    @pytest.mark.parametrize("hides", [False, True])
    def test_is_monotone_nonnegative_and_as_good_as_without(
        self, loss, store, turned, hides, monkeypatch
    ):
        V = uneven()
        V = V.T if turned else V
        observed = hidden_cells(V) if hides else None
        how = {"loss": loss, "observed": observed, "dtype": "float64"}
        runs = factorize(store(V), RANK, range(4), **how, tol=1e-9)
        assert "excerpt" in runs.solver
        for run in range(4):
            one = runs.take(np.array([run]))
            assert one.loss[0] == pytest.approx(loss_of(V, one, loss, observed), rel=1e-9)
            assert min(one.W.min(), one.H.min()) >= 0
            trace = runs.trace[run, : runs.n_iter[run]]
            assert np.isfinite(trace).all()
            assert (np.diff(trace) <= 1e-9 * trace[:-1]).all()
            assert trace[-1] == pytest.approx(one.loss[0], rel=1e-6)
            assert np.isnan(runs.trace[run, runs.n_iter[run] :]).all()
        assert runs.kkt_residual.max() < 1e-3
        monkeypatch.setattr(phases, "EXCERPT_CELLS_MIN", V.size)
        without = factorize(store(V), RANK, range(4), **how, tol=1e-9)
        assert "excerpt" not in without.solver
        assert runs.loss.min() == pytest.approx(without.loss.min(), rel=1e-5)

    @both
    def test_what_is_hidden_has_no_influence(self, loss):
        V = uneven()
        observed = hidden_cells(V)
        other = np.where(observed, V, 7e6)
        first, second = (
            factorize(X, RANK, range(2), loss=loss, observed=observed) for X in (V, other)
        )
        assert "excerpt" in first.solver
        np.testing.assert_array_equal(first.W, second.W)
        np.testing.assert_array_equal(first.H, second.H)

    @both
    def test_scale_changes_no_bit(self, loss):
        V = uneven()
        first, second = (factorize(V * 4.0**p, RANK, range(2), loss=loss) for p in (0, 20))
        np.testing.assert_array_equal(np.ldexp(first.W, 20), second.W)
        np.testing.assert_array_equal(first.n_iter, second.n_iter)

    @both
    def test_neither_threads_nor_batches_change_a_bit(self, loss):
        V = uneven()
        whole = factorize(V, RANK, range(12), loss=loss, threads=2)
        parts = [factorize(V, RANK, seeds, loss=loss) for seeds in (range(10), range(10, 12))]
        joined = concatenate_runs(parts)
        np.testing.assert_array_equal(whole.W, joined.W)
        np.testing.assert_array_equal(whole.loss, joined.loss)
        np.testing.assert_array_equal(whole.trace, joined.trace)

    @both
    def test_samples_with_features_of_their_own_are_not_lost(self, loss):
        """An excerpt without them leaves their coefficients at 0, where no step leads on from."""
        random = np.random.default_rng(0)
        V = np.zeros((2000, 40))
        V[:500, :20] = random.dirichlet(np.ones(3), 500) @ random.uniform(2, 6, (3, 20))
        V[500:, 20:] = random.dirichlet(np.ones(3), 1500) @ random.uniform(0.7, 1.7, (3, 20))
        runs = factorize(V, 6, range(4), loss=loss, dtype="float64")
        assert (runs.relative_error < 0.1).all()

    @both
    @pytest.mark.parametrize("max_iter", [1, 2, 3, 5, 11, 40])
    def test_no_run_makes_more_iterations_than_it_may(self, loss, max_iter):
        V = uneven()
        for observed in (None, hidden_cells(V)):
            runs = factorize(
                V, RANK, range(3), loss=loss, observed=observed, max_iter=max_iter, tol=0
            )
            assert runs.n_iter.max() <= max_iter
            assert runs.trace.shape == (3, runs.n_iter.max())
            np.testing.assert_array_equal(np.isfinite(runs.trace).sum(axis=1), runs.n_iter)
            assert (runs.n_iter[runs.status == "max_iter"] == max_iter).all()


class TestIterateInPhases:
    def made(self):
        problem = pose(uneven(), dtype="float64")
        updates = choose_solver(problem).updates(problem)
        random = np.random.default_rng(0)
        W, H = (random.random((2, RANK, n)) for n in problem.shape)
        return updates, W, H

    def test_without_phases_it_iterates(self):
        updates, W, H = self.made()
        found, expected = (
            iterate_in_phases([], updates, W, H, 30, 1e-4),
            iterate(updates, W, H, 30, 1e-4),
        )
        np.testing.assert_array_equal(found.W, expected.W)
        np.testing.assert_array_equal(found.trace, expected.trace)

    def test_a_phase_leaves_its_share_of_the_iterations(self):
        updates, W, H = self.made()
        found = iterate_in_phases([StandIn(updates)] * 2, updates, W, H, 64, 0.0)
        np.testing.assert_array_equal(found.n_iter, 64)
        first, of = ROUGH_SHARE
        alone = iterate(updates, W, H, 64 * first // of, 0.0)
        # The phases are of the same problem, so traces go on as they are.
        ends_at = alone.trace.shape[1]
        shift = (found.trace[:, ends_at - 1] - alone.trace[:, -1])[:, None]
        np.testing.assert_allclose(
            found.trace[:, :ends_at] - alone.trace, shift + 0 * alone.trace, atol=1e-6
        )

    def test_a_trace_has_no_step_where_phases_meet(self):
        updates, W, H = self.made()
        # Another resolution of the objective: its values are 1000 off.
        shifted = _Shifted(updates)
        found = iterate_in_phases([StandIn(shifted)], updates, W, H, 40, 0.0)
        n_rough = 40 * ROUGH_SHARE[0] // ROUGH_SHARE[1]
        np.testing.assert_allclose(found.trace[:, n_rough - 1], found.trace[:, n_rough])
        plain = iterate_in_phases([StandIn(updates)], updates, W, H, 40, 0.0)
        np.testing.assert_allclose(found.trace, plain.trace, rtol=1e-6)

    def test_an_excerpt_settles_one_factor_and_fits_the_other_to_it(self):
        V = uneven()
        problem = pose(V, dtype="float64")
        updates, W, H = self.made()
        part = main_part(problem, RANK)
        excerpt = Excerpt([], choose_solver(problem).updates(part.problem), part.kept, True, 1e-2)
        found = excerpt.iterate(updates, W, H, np.array([500, 500]), 1e-9, WINDOW)
        alone = iterate(excerpt.updates, W[..., part.kept], H, 500, 1e-2, WINDOW)
        np.testing.assert_array_equal(found.H, alone.H)
        np.testing.assert_array_equal(found.n_iter, alone.n_iter)
        for basis, profiles in zip(found.W, found.H, strict=True):
            best = np.array([nnls(profiles.T, row)[0] for row in problem.V])
            reached, least = (np.linalg.norm(problem.V - F @ profiles) for F in (basis.T, best))
            assert reached < 1.01 * least

    def test_what_an_excerpt_settles_is_put_in_its_place(self, monkeypatch):
        monkeypatch.setattr(phases, "FITTING_STEPS", 0)
        problem = pose(uneven(), dtype="float64")
        updates, W, H = self.made()
        part = main_part(problem, RANK)
        excerpt = Excerpt([], choose_solver(problem).updates(part.problem), part.kept, True, 1e-2)
        found = excerpt.iterate(updates, W, H, np.array([500, 500]), 1e-9, WINDOW)
        alone = iterate(excerpt.updates, W[..., part.kept], H, 500, 1e-2, WINDOW)
        rest = np.setdiff1d(np.arange(len(problem.V)), part.kept)
        np.testing.assert_array_equal(found.W[..., part.kept], alone.W)
        np.testing.assert_array_equal(found.W[..., rest], W[..., rest])

    def test_what_is_not_finite_is_no_reason_to_move_a_trace(self):
        def end(trace):
            n_iter = np.array([len(trace)])
            return Iterated(
                np.ones((1, 1, 2)), np.ones((1, 1, 2)), np.array([trace]), n_iter, n_iter > 0
            )

        joined = phases._in_sequence([end([3.0, 2.0, np.nan]), end([1.0, 0.5])])
        np.testing.assert_array_equal(joined.trace, [[3, 2, np.nan, 1, 0.5]])
        joined = phases._in_sequence([end([3.0, 2.0]), end([np.inf])])
        np.testing.assert_array_equal(joined.trace, [[3, 2, np.inf]])

    @bounded
    @given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=5))
    def test_a_joined_trace_does_not_rise_by_rounding(self, values):
        falling = sorted(values, reverse=True)
        n_iter = np.array([len(falling)])
        end = Iterated(
            np.ones((1, 1, 2)), np.ones((1, 1, 2)), np.array([falling]), n_iter, n_iter > 0
        )
        for shift in (0.1, 1 / 3, 1e-9):
            later = replace(end, trace=end.trace * shift)
            joined = phases._in_sequence([end, later]).trace[0]
            assert (np.diff(joined) <= 0).all()
            assert joined[n_iter[0] - 1] == joined[n_iter[0]]

    def test_a_phase_of_another_minimum_stops_at_its_own_tolerance(self):
        updates, W, H = self.made()
        alone = iterate(updates, W, H, 500, 1e-2, WINDOW)
        found = StandIn(updates, 1e-2).iterate(updates, W, H, np.array([500, 500]), 1e-9, WINDOW)
        np.testing.assert_array_equal(found.n_iter, alone.n_iter)


class _Shifted:
    """Half-steps whose objective is off by a constant."""

    def __init__(self, updates):
        self.updates = updates
        self.arrays, self.keep, self.resolution = updates.arrays, updates.keep, updates.resolution
        self.improve_W = updates.improve_W

    def improve_H(self, W, H, out):
        return self.updates.improve_H(W, H, out) + 1000.0


def test_a_part_of_a_problem_is_posed_as_the_whole_was():
    V = uneven()
    observed = hidden_cells(V)
    problem = pose(V, observed, dtype="float64")
    kept = np.array([3, 17, 400])
    part = problem.part(kept, of_features=True)
    alone = replace(pose(V[kept], observed[kept], dtype="float64"), exponent=problem.exponent)
    assert part.shape == (3, 40)
    assert (part.exponent, part.loss, part.beta) == (alone.exponent, alone.loss, alone.beta)
    np.testing.assert_array_equal(part.given, np.where(observed, V, 0)[kept])
    expected = 0.5 * (part.exact[observed[kept]] ** 2).sum()
    assert part.null_loss == pytest.approx(expected)
