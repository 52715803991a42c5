import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import sparse

from nmfcore import Penalties, cross_validation, factorize
from nmfcore.cross_validation import cross_validate, held_out_cells
from nmfcore.errors import InputError

bounded = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])

random = np.random.default_rng(0)
V = random.poisson(20 * random.gamma(0.5, size=(30, 3)) @ random.gamma(0.5, size=(3, 24)))
V = V.astype(float)


@st.composite
def masking(draw):
    """A shape, folds that fit, and perhaps cells that are missing."""
    shape = draw(st.tuples(st.integers(2, 14), st.integers(2, 14)))
    n_folds = draw(st.integers(2, 6))
    fraction = draw(st.floats(0.02, 1)) / n_folds
    root_seed = draw(st.integers(0, 1000))
    observed = None
    if draw(st.booleans()):
        stream = np.random.default_rng(draw(st.integers(0, 1000)))
        observed = stream.random(shape) < draw(st.floats(0.3, 1))
        observed[0, :2] = observed[1, :2] = True
    assume((shape[0] * shape[1] if observed is None else observed.sum()) >= n_folds)
    return shape, n_folds, fraction, root_seed, observed


class TestHeldOutCells:
    @bounded
    @given(masking())
    def test_folds_are_disjoint_hide_observed_cells_only_and_no_line_whole(self, drawn):
        shape, n_folds, fraction, root_seed, observed = drawn
        folds = held_out_cells(shape, n_folds, fraction, root_seed, observed)
        seen = observed if observed is not None else np.ones(shape, bool)
        times = np.zeros(shape, int)
        assert len(folds) == n_folds
        for rows, columns in folds:
            hidden = np.zeros(shape, bool)
            hidden[rows, columns] = True
            assert hidden.sum() == len(rows)
            assert not (hidden & ~seen).any()
            left = seen & ~hidden
            for axis in (0, 1):
                np.testing.assert_array_equal(left.any(axis), seen.any(axis))
            times += hidden
        assert times.max() <= 1

    @bounded
    @given(st.integers(0, 2**31), st.sampled_from([(5, 0.1), (4, 0.25), (10, 0.1), (3, 0.2)]))
    def test_a_fold_hides_the_share_that_was_asked_for(self, root_seed, split):
        n_folds, fraction = split
        for rows, _ in held_out_cells((40, 30), n_folds, fraction, root_seed):
            assert len(rows) == pytest.approx(fraction * 1200, abs=1)

    def test_a_tenth_of_the_observed_cells_not_of_all(self):
        observed = np.random.default_rng(0).random((40, 30)) < 0.5
        for rows, _ in held_out_cells((40, 30), 5, 0.1, 0, observed):
            assert len(rows) == pytest.approx(0.1 * observed.sum(), abs=1)

    @pytest.mark.parametrize(("most", "hidden"), [(30, 30), (120, 120), (1000, 120)])
    def test_of_a_large_matrix_so_many_at_most(self, monkeypatch, most, hidden):
        monkeypatch.setattr(cross_validation, "MAX_HIDDEN", most)
        folds = held_out_cells((40, 30), 10, 0.1, 0)
        assert [len(rows) for rows, _ in folds] == pytest.approx([hidden] * 10, abs=1)
        cells = {cell for fold in folds for cell in zip(*fold, strict=True)}
        assert len(cells) == sum(len(rows) for rows, _ in folds)

    def test_cells_are_drawn_everywhere_with_the_same_chance(self):
        times = np.zeros((12, 10))
        for root_seed in range(200):
            for rows, columns in held_out_cells((12, 10), 2, 0.25, root_seed):
                times[rows, columns] += 1
        # Each cell is hidden about 100 of 200 times; five standard deviations are 35.
        assert abs(times - times.mean()).max() < 36
        assert times.mean() == pytest.approx(100, rel=0.02)

    def test_the_root_seed_draws_other_cells_and_the_same_one_the_same(self):
        a, b, c = (held_out_cells((20, 15), 3, 0.1, seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(a[0], b[0])
        assert set(zip(*a[0], strict=True)) != set(zip(*c[0], strict=True))

    def test_more_folds_keep_those_that_there_are(self):
        few, many = (held_out_cells((20, 15), n, 0.1, 3) for n in (3, 7))
        for a, b in zip(few, many[:3], strict=True):
            np.testing.assert_array_equal(a, b)


def oracle(V, rank, n_folds, n_starts, root_seed, observed=None, l1=0.0):
    """Errors of one round, cell by cell, by the definition; `l1` of H, in the units of V."""
    seen = np.ones(V.shape, bool) if observed is None else observed
    mass = np.where(seen, V, 0).sum(axis=0)
    errors = np.zeros((n_folds, n_starts))
    losses = np.zeros((n_folds, n_starts))
    for fold, (rows, columns) in enumerate(
        held_out_cells(V.shape, n_folds, 0.1, root_seed, observed)
    ):
        visible = seen.copy()
        visible[rows, columns] = False
        scale = 2.0 ** (1 - np.frexp(np.where(seen, V, 0).max())[1])
        scaled, penalties = V * scale, Penalties(l1_H=l1 * scale)
        seeds = range(fold * n_starts, (fold + 1) * n_starts)
        fit = {"observed": visible, "penalties": penalties, "tol": 3e-5, "max_iter": 150}
        runs = factorize(scaled, rank, seeds, root_seed, **fit)
        losses[fold] = runs.loss
        for start in range(n_starts):
            fit = runs.W[start].astype(float) @ runs.H[start].astype(float)
            missed = told = 0.0
            for i, j in zip(rows, columns, strict=True):
                sums = np.where(visible, scaled, 0).sum(axis=0)
                largest = max(scaled[i, s] for s in range(24) if visible[i, s])
                share = max(scaled[i, s] / sums[s] for s in range(24) if visible[i, s])
                predicted = min(fit[i, j], largest, 1.5 * share * sums[j])
                missed += abs(scaled[i, j] - predicted) / mass[j]
                told += scaled[i, j] / mass[j]
            errors[fold, start] = missed / told
    return errors, errors[np.arange(n_folds), losses.argmin(axis=1)]


@pytest.fixture
def one_round(monkeypatch):
    monkeypatch.setattr(cross_validation, "MIN_SCORED_CELLS", 1)


@pytest.mark.usefixtures("one_round")
class TestErrors:
    @pytest.mark.parametrize("masked", [False, True])
    def test_are_relative_errors_over_the_hidden_cells_alone(self, masked):
        observed = np.random.default_rng(3).random(V.shape) < 0.9 if masked else None
        found = cross_validate(V, 2, n_folds=3, n_starts=2, root_seed=4, observed=observed)
        start_errors, fold_errors = oracle(V, 2, 3, 2, 4, observed)
        np.testing.assert_allclose(found.start_errors, start_errors, rtol=1e-9)
        np.testing.assert_allclose(found.fold_errors, fold_errors, rtol=1e-9)
        assert found.error == pytest.approx(fold_errors.mean())
        assert found.standard_error == pytest.approx(fold_errors.std(ddof=1) / np.sqrt(3))

    @pytest.mark.parametrize("scale", [1.0, 2.0**-30])
    def test_folds_are_fitted_under_the_penalties_of_the_runs(self, scale):
        l1 = 30.0 * scale
        options = {"n_folds": 3, "n_starts": 2, "root_seed": 4}
        found = cross_validate(V * scale, 3, penalties=Penalties(l1_H=l1), **options)
        start_errors, _ = oracle(V * scale, 3, 3, 2, 4, l1=l1)
        np.testing.assert_allclose(found.start_errors, start_errors, rtol=1e-6)
        assert (found.start_errors != cross_validate(V * scale, 3, **options).start_errors).all()

    def test_of_a_fold_lie_among_those_of_its_starts(self):
        found = cross_validate(V, 4, n_folds=3, n_starts=5)
        assert (found.fold_errors >= found.start_errors.min(axis=1)).all()
        assert (found.fold_errors <= found.start_errors.max(axis=1)).all()
        assert found.fold_errors.min() <= found.error <= found.fold_errors.max()
        assert found.standard_error >= 0
        assert found.rank == 4

    def test_hidden_cells_do_not_influence_what_is_predicted_for_them(self):
        changed = V.copy()
        rows, columns = held_out_cells(V.shape, 2, 0.1, 0)[0]
        changed[rows, columns] = np.where(V[rows, columns] > 0, 0.0, 1.0)
        expected, _ = oracle(V, 3, 2, 1, 0)
        np.testing.assert_allclose(cross_validate(V, 3, 2, 1).start_errors, expected, rtol=1e-9)
        expected, _ = oracle(changed, 3, 2, 1, 0)
        found = cross_validate(changed, 3, 2, 1)
        np.testing.assert_allclose(found.start_errors, expected, rtol=1e-9)

    def test_predictions_stay_within_what_is_visible_of_their_feature(self):
        # One cell dwarfs all others; what it makes the fit predict for other samples is bounded by their sums.
        heavy = V.copy()
        heavy[3, 5] = 1e6
        errors = cross_validate(heavy, 6, n_folds=10, n_starts=1).fold_errors
        assert np.median(errors) < 30

    def test_zeros_are_hidden_as_often_as_any_other_cell(self):
        # Where the cells hidden are drawn says nothing of V, so zeros get their share.
        share = np.mean(V == 0)
        assert 0.05 < share < 0.95
        hidden = np.concatenate([V[fold] for fold in held_out_cells(V.shape, 10, 0.1, 0)])
        assert np.mean(hidden == 0) == pytest.approx(share, abs=0.01)

    def test_a_noiseless_matrix_is_predicted_from_its_rank_on(self):
        stream = np.random.default_rng(1)
        exact = stream.gamma(1, size=(40, 2)) @ stream.gamma(1, size=(2, 30))
        one, two = (
            cross_validate(exact, rank, n_folds=3, max_iter=2000, tol=1e-8, dtype="float64").error
            for rank in (1, 2)
        )
        assert two < 1e-2 < one

    def test_noise_is_predicted_best_by_one_component(self):
        noise = np.random.default_rng(2).gamma(5, size=(50, 40))
        errors = [cross_validate(noise, rank, n_folds=4).error for rank in (1, 2, 4)]
        assert errors == sorted(errors)

    @pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_array, sparse.coo_array])
    def test_sparse_and_dense_have_the_same_errors(self, make):
        sparser = np.where(np.quantile(V, 0.6) < V, V, 0)
        a = cross_validate(sparser, 2, n_folds=3, n_starts=2)
        b = cross_validate(make(sparser), 2, n_folds=3, n_starts=2)
        np.testing.assert_array_equal(a.start_errors, b.start_errors)

    def test_missing_cells_are_never_looked_at(self):
        observed = np.random.default_rng(5).random(V.shape) < 0.8
        a, b = (
            cross_validate(np.where(observed, V, rubbish), 2, 3, 2, observed=observed)
            for rubbish in (0.0, np.nan)
        )
        np.testing.assert_array_equal(a.start_errors, b.start_errors)

    def test_the_same_call_gives_the_same_numbers(self):
        a, b = (cross_validate(V, 3, n_folds=3, n_starts=2, root_seed=9) for _ in range(2))
        np.testing.assert_array_equal(a.start_errors, b.start_errors)

    def test_threads_change_no_bit(self):
        observed = np.random.default_rng(6).random(V.shape) < 0.9
        a, b = (
            cross_validate(V, 3, n_folds=5, observed=observed, threads=threads)
            for threads in (1, 3)
        )
        np.testing.assert_array_equal(a.start_errors, b.start_errors)
        np.testing.assert_array_equal(a.fold_errors, b.fold_errors)

    def test_the_scale_of_the_matrix_does_not_matter(self):
        a, b = (cross_validate(X, 2, n_folds=3, n_starts=2) for X in (V, V * 2.0**40))
        np.testing.assert_array_equal(a.start_errors, b.start_errors)


class TestCost:
    @pytest.mark.usefixtures("one_round")
    def test_is_half_the_share_of_the_parameters_times_the_error(self):
        found = cross_validate(V, 2, n_folds=3)
        assert found.cost == pytest.approx(0.5 * (30 + 24 - 2) / (0.9 * 30 * 24) * found.error)

    @pytest.mark.usefixtures("one_round")
    def test_more_visible_cells_tell_of_the_parameters_where_few_are_hidden(self, monkeypatch):
        monkeypatch.setattr(cross_validation, "MAX_HIDDEN", 36)
        found = cross_validate(V, 2, n_folds=3)
        assert found.cost == pytest.approx(0.5 * (30 + 24 - 2) / (30 * 24 - 36) * found.error)

    @pytest.mark.usefixtures("one_round")
    def test_lines_of_zeros_have_no_parameters(self):
        padded = np.zeros((60, 24))
        padded[::2] = V
        found = cross_validate(padded, 2, n_folds=3)
        assert found.cost == pytest.approx(0.5 * (30 + 24 - 2) / (0.9 * 60 * 24) * found.error)

    def test_a_component_of_noise_costs_about_that(self):
        noise = np.random.default_rng(2).normal(10, 1, size=(100, 120))
        one, two, three = (cross_validate(noise, rank, root_seed=1) for rank in (1, 2, 3))
        assert one.n_rounds == 1
        # Twice as much at most: a component that chases noise finds its largest direction.
        assert 0.8 < (two.error - one.error) / one.cost < 3
        assert 0.8 < (three.error - two.error) / two.cost < 3


class TestRounds:
    def test_small_matrices_are_scored_several_times(self):
        found = cross_validate(V, 2, n_folds=4, n_starts=1)
        assert found.n_rounds == cross_validation.MAX_ROUNDS
        assert found.fold_errors.shape == (4 * found.n_rounds,)

    def test_rounds_hide_other_cells(self):
        first, second = (held_out_cells(V.shape, 2, 0.1, 0, None, r)[0] for r in (0, 1))
        assert set(zip(*first, strict=True)) != set(zip(*second, strict=True))

    def test_and_do_not_make_the_evidence_stronger_than_one_round_would(self):
        found = cross_validate(V, 2, n_folds=5, n_starts=1)
        expected = found.fold_errors.std(ddof=1) / np.sqrt(5)
        assert found.standard_error == pytest.approx(expected)


class TestBadInput:
    @pytest.mark.parametrize(
        "options",
        [
            {"n_folds": 1},
            {"n_folds": 0},
            {"n_folds": 11},
            {"n_folds": 5, "fraction": 0.21},
            {"fraction": 0.0},
            {"fraction": -0.1},
            {"fraction": float("nan")},
            {"n_starts": 0},
            {"threads": 0},
            {"rank": 0},
        ],
    )
    def test_folds_that_do_not_fit_are_refused_with_words(self, options):
        with pytest.raises(InputError, match=r"\w+ \w+"):
            cross_validate(V, **{"rank": 2, **options})

    def test_bad_matrices_are_refused_with_words(self):
        with pytest.raises(InputError, match="negative"):
            cross_validate(-V, 2)
        with pytest.raises(InputError, match="numbers"):
            cross_validate(V.astype(object), 2)

    @pytest.mark.parametrize(
        ("matrix", "options"),
        [
            (V[0], {}),
            (V, {"observed": np.ones((2, 2), bool)}),
            (np.ones((1, 40)), {}),
            (np.ones((2, 2)), {}),
        ],
        ids=["one-dimensional", "mask of another shape", "one row", "too few cells"],
    )
    def test_what_cannot_be_split_is_refused_with_words(self, matrix, options):
        with pytest.raises(InputError):
            cross_validate(matrix, 1, **options)

    def test_a_fold_of_zeros_only_does_not_take_the_others_with_it(self):
        found = cross_validate(np.eye(12), 1, n_folds=10)
        assert np.isfinite(found.error)

    @pytest.mark.parametrize("scale", [1e300, 1e-300])
    def test_the_ends_of_the_number_range_have_the_same_errors(self, scale):
        expected = cross_validate(V / V.max(), 1, n_folds=2, n_starts=1)
        found = cross_validate(V / V.max() * scale, 1, n_folds=2, n_starts=1)
        np.testing.assert_allclose(found.start_errors, expected.start_errors, rtol=1e-3)
