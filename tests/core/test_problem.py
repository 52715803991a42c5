import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from nmfcore.errors import InputError
from nmfcore.problem import DENSE_FROM_DENSITY, as_values, pose

bounded = settings(max_examples=30, deadline=None)

matrices = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
    elements=st.floats(0, 1.7e308, allow_nan=False, allow_infinity=False),
)


def dense(values):
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


class TestScale:
    @bounded
    @given(matrices)
    def test_the_largest_entry_lies_between_1_and_4_and_no_large_entry_loses_a_bit(self, V):
        problem = pose(V, dtype="float64")
        scaled = dense(problem.V)
        assert scaled.max() == 0 or 1 <= scaled.max() < 4
        # A subnormal may gain bits on the way up and lose them on the way down, and only far below the largest.
        back = np.ldexp(scaled, 2 * problem.exponent)
        np.testing.assert_array_equal(back[scaled > 1e-300], V[scaled > 1e-300])

    @pytest.mark.parametrize("largest", [5e-324, 2.0**-1022, 1e-160, 1.0, 3.999, 1e160, 1.79e308])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_the_ends_of_float64_are_brought_to_the_middle(self, largest, dtype):
        problem = pose(np.array([[largest, 0.0], [largest, largest]]), dtype=dtype)
        scaled = dense(problem.V)
        assert 1 <= scaled.max() < 4
        assert scaled.dtype == dtype
        assert np.ldexp(dense(problem.exact).max(), 2 * problem.exponent) == largest

    def test_exact_is_not_rounded_to_the_working_precision(self):
        V = np.array([[1 + 2.0**-40, 2.0], [0.0, 1 / 3]])
        problem = pose(V, dtype="float32")
        assert problem.V.dtype == np.float32
        np.testing.assert_array_equal(dense(problem.exact), V)

    def test_all_zero_is_left_as_it_is(self):
        problem = pose(np.zeros((2, 3)))
        assert problem.exponent == 0
        assert problem.mean == 0
        assert not dense(problem.V).any()


class TestMask:
    def test_counts_and_mean_are_of_the_visible_cells(self):
        V = np.array([[1.0, 100.0], [2.0, 3.0]])
        problem = pose(V, observed=[[True, False], [True, True]], dtype="float64")
        np.testing.assert_allclose(problem.mean * 4.0**problem.exponent, 2.0)
        assert dense(problem.V)[0, 1] == 0
        np.testing.assert_array_equal(problem.lack.toarray(), [[False, True], [False, False]])

    def test_a_mask_of_ones_is_no_mask(self):
        V = np.eye(3)
        assert pose(V, observed=np.ones((3, 3), bool)).lack is None

    @pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.coo_array])
    def test_what_stands_in_hidden_cells_is_never_seen(self, make):
        V = np.array([[1.0, 2.0, 0.0], [4.0, 0.0, 6.0]])
        observed = np.array([[True, False, True], [True, True, False]])
        plain = pose(V, observed, dtype="float64")
        for rubbish in (np.nan, np.inf, -7.0, 1e300, 0.0):
            spoilt = pose(make(np.where(observed, V, rubbish)), observed, dtype="float64")
            np.testing.assert_array_equal(dense(spoilt.V), dense(plain.V))
            assert spoilt.exponent == plain.exponent


class TestForms:
    V = np.array([[3.0, 0.0, 1.0, 2.0], [0.0, 5.0, 0.0, 0.0], [1.0, 0.0, 0.0, 4.0]])

    @pytest.mark.parametrize(
        "kind",
        [
            sparse.csr_array,
            sparse.csc_array,
            sparse.coo_array,
            sparse.lil_array,
            sparse.dok_array,
            sparse.bsr_array,
            sparse.csr_matrix,
            sparse.csc_matrix,
        ],
    )
    def test_every_sparse_format_is_read(self, kind):
        V = kind(self.V)
        values = as_values(V)
        np.testing.assert_array_equal(dense(values), self.V)
        np.testing.assert_array_equal(V.toarray(), self.V)

    def test_duplicates_explicit_zeros_and_unsorted_indices_become_canonical(self):
        given_ = sparse.coo_array(
            ([2.0, 1.0, 0.0, 5.0, -1.0, 1.0], ([1, 1, 0, 0, 1, 1], [2, 2, 0, 1, 0, 0])),
            shape=(2, 3),
        ).tocsr()
        unsorted = sparse.csr_array((np.array([1.0, 4.0]), np.array([2, 0]), np.array([0, 2, 2])))
        values = as_values(given_)
        np.testing.assert_array_equal(values.toarray(), [[0, 5, 0], [0, 0, 3]])
        assert values.has_canonical_format
        assert values.nnz == 2
        np.testing.assert_array_equal(as_values(unsorted).toarray(), unsorted.toarray())

    def test_the_matrix_of_the_caller_is_untouched_even_when_sparse_and_not_canonical(self):
        V = sparse.csr_array(
            (np.array([1.0, 2.0, 0.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2)
        )
        before = [V.data.copy(), V.indices.copy(), V.indptr.copy()]
        pose(V)
        for old, new in zip(before, [V.data, V.indices, V.indptr], strict=True):
            np.testing.assert_array_equal(old, new)

    @pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float16, np.float32])
    def test_every_kind_of_number_is_read(self, dtype):
        V = self.V.astype(dtype)
        np.testing.assert_array_equal(dense(as_values(V)), V.astype(float))
        assert as_values(V).dtype in (np.float32, np.float64)

    @pytest.mark.parametrize("density", [0, 0.001, 0.04, 0.29, 0.31, 0.5])
    @pytest.mark.parametrize("make", [np.array, np.asfortranarray, lambda V: V[::-1].copy()[::-1]])
    def test_dense_or_sparse_storage_holds_the_same_numbers(self, density, make):
        V = sparse.random_array(
            (60, 50), density=density, rng=np.random.default_rng(0), format="csr"
        )
        a, b = pose(V, dtype="float64"), pose(make(V.toarray()), dtype="float64")
        assert a.is_sparse == b.is_sparse == (density < DENSE_FROM_DENSITY[2.0])
        if b.is_sparse:
            for one in (b.V, b.given):
                assert one.has_canonical_format
                assert one.indices.dtype == np.int32
        np.testing.assert_array_equal(dense(a.exact), dense(b.exact))
        np.testing.assert_array_equal(dense(a.V), dense(b.V))
        assert a.exponent == b.exponent
        np.testing.assert_allclose(a.mean, b.mean)


class TestBadInput:
    @pytest.mark.parametrize(
        ("V", "words"),
        [
            ([[1.0, -2.0], [-0.5, 1.0]], ["2 negative", "-2", "nonnegative"]),
            (sparse.csr_array([[1.0, -2.0], [0.0, 1.0]]), ["1 negative", "-2"]),
            ([[1.0, np.nan], [np.inf, 1.0]], ["2 NaN or infinite", "observed"]),
            (sparse.csr_array([[1.0, np.nan], [0.0, 1.0]]), ["1 NaN or infinite"]),
            (np.ones(4), ["(4,)", "n_features"]),
            (np.ones((2, 2, 2)), ["(2, 2, 2)"]),
            (np.ones((0, 3)), ["(0, 3)"]),
            (np.ones((3, 0)), ["(3, 0)"]),
            (5.0, ["shape ()"]),
            (np.array([[1, "a"], [2, 3]], object), ["object", "numbers"]),
            (np.array([["1", "2"], ["3", "4"]]), ["numbers"]),
            (np.ones((2, 2), complex), ["complex", "numbers"]),
        ],
    )
    def test_says_what_is_wrong(self, V, words):
        with pytest.raises(InputError) as caught:
            pose(V)
        for word in words:
            assert word in str(caught.value)

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            ({"loss": "huber"}, "huber"),
            ({"dtype": "float16"}, "float16"),
            ({"observed": np.ones((2, 3), bool)}, "(2, 3)"),
            ({"observed": np.zeros((2, 2), bool)}, "observed"),
        ],
    )
    def test_says_which_choice_is_wrong_and_what_can_be_chosen(self, options, word):
        with pytest.raises(InputError, match=r"\w+") as caught:
            pose(np.ones((2, 2)), **options)
        assert word in str(caught.value)
        if "loss" in options:
            assert "frobenius" in str(caught.value)

    def test_an_input_error_is_a_value_error(self):
        assert issubclass(InputError, ValueError)
