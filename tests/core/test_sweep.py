import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from nmfcore import factorize, sweep
from nmfcore.criteria import Criteria, summarize_rank
from nmfcore.cross_validation import cross_validate
from nmfcore.errors import InputError
from nmfcore.residuals import best_run_residual_excess
from nmfcore.selection import Decision, SelectionRule, recommend
from nmfcore.solution import stable_solution


def draw_gaussian(random, rank):
    W = random.gamma(1, 1, (80, rank)) * (random.random((80, rank)) < 0.5)
    V = W @ random.gamma(1, 1, (rank, 60))
    return np.maximum(V + random.normal(0, 0.3 * V.std(), V.shape), 0), W


def draw_signatures(random, rank):
    """Few counts of few kinds, as of mutations."""
    W = random.dirichlet(np.full(60, 0.15), rank).T
    return random.poisson(W @ random.gamma(0.5, 1, (rank, 80)) * 1000), W


def draw_low_depth(random, rank):
    """A tall matrix of small counts, most of them zero, as of single cells."""
    W = random.dirichlet(np.full(200, 0.1), rank).T
    H = random.dirichlet(np.full(rank, 0.3), 120).T * random.lognormal(5.5, 0.4, 120)
    return random.poisson(W @ H), W


def draw_correlated(random, rank):
    """Half of each component is shared by all."""
    base = random.dirichlet(np.full(80, 0.3))
    W = np.stack(
        [0.5 * base + 0.5 * random.dirichlet(np.full(80, 0.1)) for _ in range(rank)], axis=1
    )
    H = random.dirichlet(np.full(rank, 0.4), 70).T * random.lognormal(9, 0.3, 70)
    return random.poisson(W @ H), W


def draw_overdispersed(random, rank):
    """Counts whose variance exceeds their mean."""
    W = random.dirichlet(np.full(100, 0.15), rank).T
    mean = W @ (random.dirichlet(np.full(rank, 0.4), 80).T * random.lognormal(8, 0.3, 80))
    return random.poisson(mean * random.gamma(5, 1 / 5, mean.shape)), W


PLANTED = [draw_gaussian, draw_signatures, draw_low_depth, draw_correlated, draw_overdispersed]
NOISE = {
    "gaussian": lambda random: np.abs(random.normal(1, 0.3, (60, 50))),
    "uniform": lambda random: random.random((60, 50)),
    "exponential": lambda random: random.exponential(1, (60, 50)) * random.gamma(2, 1, (60, 1)),
    "poisson": lambda random: random.poisson(
        random.gamma(1, 5, (60, 1)) * random.lognormal(0, 0.3, (1, 50))
    ),
    "sparse counts": lambda random: random.poisson(0.3, (60, 50)),
}


class TestPlantedRank:
    @pytest.mark.parametrize("rank", [2, 4])
    @pytest.mark.parametrize("draw", PLANTED, ids=lambda draw: draw.__name__[5:])
    def test_is_recommended_and_its_components_delivered(self, draw, rank):
        V, W = draw(np.random.default_rng([rank, 0]), rank)
        found = sweep(V, ranks=range(1, rank + 3), seeds=8, n_folds=5, n_starts=2)
        assert found.recommendation.rank == rank
        assert found.recommendation.decision in (Decision.RANK, Decision.TIE)
        planted = W / np.linalg.norm(W, axis=0)
        cosine = planted.T @ found.solution.W
        matched = cosine[linear_sum_assignment(cosine, maximize=True)]
        assert np.median(matched) > 0.95
        assert matched.min() > 0.8

    @pytest.mark.parametrize("kind", NOISE)
    def test_noise_has_no_structure(self, kind):
        for stream in (0, 1):
            V = NOISE[kind](np.random.default_rng([stream, 7]))
            found = sweep(V, ranks=range(1, 5), seeds=5, n_folds=5, n_starts=2)
            assert found.recommendation.decision == Decision.NO_STRUCTURE
            assert found.recommendation.rank is None
            assert found.solution is None

    def test_one_profile_scaled_for_every_sample_has_no_structure(self):
        random = np.random.default_rng(0)
        V = np.outer(random.gamma(1, size=40), random.gamma(1, size=30))
        assert sweep(V, ranks=range(1, 4), seeds=4).recommendation.rank is None

    def test_a_constant_matrix_has_no_structure(self):
        found = sweep(np.ones((20, 15)), ranks=range(1, 4), seeds=4)
        assert found.recommendation.decision == Decision.NO_STRUCTURE

    def test_a_noiseless_matrix(self):
        random = np.random.default_rng(1)
        V = random.gamma(0.5, size=(40, 3)) @ random.gamma(0.5, size=(3, 30))
        assert sweep(V, ranks=range(1, 6), seeds=6).recommendation.rank == 3


random = np.random.default_rng(3)
V = draw_signatures(random, 3)[0]
OPTIONS = {"ranks": range(1, 5), "seeds": 6, "root_seed": 5, "n_folds": 4, "n_starts": 2}
SWEEP = sweep(V, **OPTIONS)


class TestWhatIsReturned:
    def test_one_line_a_rank_in_ascending_order(self):
        assert [c.rank for c in SWEEP.criteria] == [1, 2, 3, 4]
        assert all(isinstance(c, Criteria) for c in SWEEP.criteria)
        mixed = sweep(V, ranks=[3, 1, 3], seeds=2, n_folds=2, n_starts=1)
        assert [c.rank for c in mixed.criteria] == [1, 3]
        assert list(mixed.runs) == list(mixed.summaries) == [1, 3]

    def test_rank_reasons_and_the_solution_at_this_rank(self):
        assert SWEEP.recommendation.rank == 3
        assert SWEEP.recommendation.reasons
        assert SWEEP.solution.W.shape == (60, 3)
        assert SWEEP.solution.H.shape == (3, 80)
        assert SWEEP.solution.n_runs_used == SWEEP.criteria[2].n_good
        assert sum(len(runs) for runs in SWEEP.runs.values()) == 24

    def test_the_parts_are_those_of_the_functions_one_by_one(self):
        for rank in range(1, 5):
            runs = factorize(V, rank, range(6), 5)
            np.testing.assert_array_equal(runs.W, SWEEP.runs[rank].W)
            validation = cross_validate(V, rank, 4, 2, root_seed=5)
            bound = SWEEP.criteria[rank - 1].svd_error
            residual = best_run_residual_excess(V, runs)
            criteria = summarize_rank(runs, validation, bound, residual_excess=residual).criteria
            assert criteria == SWEEP.criteria[rank - 1]
        assert recommend(SWEEP.criteria) == SWEEP.recommendation
        assert list(SWEEP.solutions) == [1, 2, 3, 4]
        for rank, found in SWEEP.solutions.items():
            np.testing.assert_array_equal(stable_solution(V, SWEEP.runs[rank]).W, found.W)
        assert SWEEP.solution is SWEEP.solutions[3]

    def test_a_reader_who_disagrees_finds_a_solution_where_none_is_recommended(self):
        noise = np.random.default_rng(0).random((40, 30))
        found = sweep(noise, ranks=[1, 2], seeds=3, n_folds=3, n_starts=1)
        assert found.recommendation.rank is None
        assert found.solution is None
        assert found.solutions[2].H.shape == (2, 30)

    def test_the_bound_is_the_truncated_svd_and_no_run_is_below_it(self):
        squares = np.linalg.svd(V.astype(float), compute_uv=False) ** 2
        for c in SWEEP.criteria:
            expected = np.sqrt(squares[c.rank :].sum() / squares.sum())
            assert c.svd_error == pytest.approx(expected, rel=1e-6)
            assert c.reconstruction_error >= c.svd_error * (1 - 1e-6)

    def test_again_gives_the_same_numbers(self):
        again = sweep(V, **OPTIONS)
        assert again.criteria == SWEEP.criteria
        assert again.recommendation == SWEEP.recommendation
        np.testing.assert_array_equal(again.solution.W, SWEEP.solution.W)
        for rank in SWEEP.runs:
            np.testing.assert_array_equal(again.runs[rank].H, SWEEP.runs[rank].H)

    def test_more_ranks_change_no_rank_and_more_seeds_no_run(self):
        more = sweep(V, **{**OPTIONS, "ranks": range(1, 6)})
        assert more.criteria[:4] == SWEEP.criteria
        longer = sweep(V, **{**OPTIONS, "seeds": 8, "ranks": [3], "n_folds": 0})
        np.testing.assert_allclose(longer.runs[3].loss[:6], SWEEP.runs[3].loss, rtol=1e-5)

    def test_permuted_samples_change_no_decision(self):
        order = np.random.default_rng(0).permutation(80)
        turned = sweep(V[:, order], **OPTIONS)
        assert turned.recommendation.rank == 3
        cosine = (turned.solution.W * SWEEP.solution.W).sum(axis=0)
        assert cosine.min() > 0.999

    def test_other_root_seeds_say_the_same(self):
        for root_seed in (0, 1):
            assert sweep(V, **{**OPTIONS, "root_seed": root_seed}).recommendation.rank == 3


class TestForms:
    def test_sparse_gives_what_dense_gives(self):
        again = sweep(sparse.csc_array(V), **OPTIONS)
        assert again.recommendation.rank == 3
        np.testing.assert_array_equal(again.runs[3].W, SWEEP.runs[3].W)

    def test_missing_cells(self):
        observed = np.random.default_rng(1).random(V.shape) < 0.9
        found = sweep(V, observed=observed, **OPTIONS)
        assert found.recommendation.rank == 3
        assert found.criteria[0].svd_error is None
        validation = cross_validate(V, 3, 4, 2, root_seed=5, observed=observed)
        assert found.criteria[2].fold_errors == tuple(validation.fold_errors)
        runs = factorize(V, 3, range(6), 5, observed=observed)
        np.testing.assert_array_equal(found.runs[3].W, runs.W)
        solution = stable_solution(V, runs, observed=observed)
        np.testing.assert_array_equal(found.solution.H, solution.H)

    def test_missing_cells_may_be_nan(self):
        observed = np.random.default_rng(1).random(V.shape) < 0.9
        zeros, nans = (
            sweep(np.where(observed, V, rubbish), observed=observed, ranks=[1, 2], seeds=2)
            for rubbish in (0.0, np.nan)
        )
        assert zeros.criteria == nans.criteria

    def test_without_cross_validation_stability_alone_speaks(self):
        found = sweep(V, **{**OPTIONS, "n_folds": 0})
        assert found.criteria[2].held_out_error is None
        assert found.recommendation.confidence == "low"

    def test_a_rule_is_listened_to(self):
        rule = SelectionRule(min_stability=1.2, min_reproduced=1.01)
        found = sweep(V, rule=rule, **OPTIONS)
        assert found.recommendation.decision == Decision.NO_STABLE_SOLUTION
        assert found.solution is None

    def test_the_matrix_of_the_caller_stays_the_same(self):
        matrix = V.astype(float)
        before = matrix.copy()
        matrix.flags.writeable = False
        sweep(matrix, ranks=[1, 2], seeds=2, n_folds=2, n_starts=1)
        np.testing.assert_array_equal(matrix, before)

    @pytest.mark.parametrize("scale", [1e100, 1e-100])
    def test_scale_does_not_matter(self, scale):
        found = sweep(V * scale, **OPTIONS)
        assert found.recommendation.rank == 3

    @pytest.mark.parametrize(
        "scale",
        [
            1e-300,
            1e300,
        ],
    )
    def test_nor_does_it_at_the_ends_of_the_number_range(self, scale):
        found = sweep(V * scale, ranks=[1, 2], seeds=2, n_folds=2, n_starts=1)
        assert found.criteria[1].svd_error == pytest.approx(SWEEP.criteria[1].svd_error)


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"ranks": []}, "Ranks"),
            ({"ranks": [0, 1]}, "Ranks"),
            ({"seeds": 0}, "seeds"),
            ({"n_folds": 1}, "folds"),
            ({"n_folds": 20}, "folds"),
            ({"loss": "x"}, "loss"),
            ({"dtype": "int8"}, "dtype"),
        ],
    )
    def test_is_refused_with_words(self, options, words):
        with pytest.raises(InputError, match=words):
            sweep(np.ones((6, 5)), **{"ranks": [1, 2], "seeds": 2, **options})

    @pytest.mark.parametrize(
        ("matrix", "options"),
        [(np.zeros((6, 5)), {}), (np.ones((6, 5)), {"ranks": [1.0, 2.5]})],
        ids=["all zero", "ranks that are no whole numbers"],
    )
    def test_is_refused_with_words_too(self, matrix, options):
        with pytest.raises(InputError):
            sweep(matrix, **{"ranks": [1, 2], "seeds": 2, "n_folds": 0, **options})
