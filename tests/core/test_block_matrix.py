"""Large matrices are worked on by blocks: the same numbers wherever they lie."""

import numpy as np
import pytest
from scipy import sparse

from nmfcore import block_matrix
from nmfcore.block_matrix import BlockMatrix, Source
from nmfcore.blocks import dense_parts, submatrix
from nmfcore.cross_validation import cross_validate
from nmfcore.divergence import divergences
from nmfcore.errors import InputError
from nmfcore.factorization import factorize, transform
from nmfcore.held_out import held_out_by_sample
from nmfcore.problem import pose
from nmfcore.reconstruction import svd_errors
from nmfcore.residuals import residual_excess
from nmfcore.solution import stable_solution

SHAPES = ((60, 17), (17, 60), (23, 23))


@pytest.fixture
def small_blocks(monkeypatch):
    """Take every matrix for a large one, of many blocks."""
    monkeypatch.setattr(block_matrix, "LARGE", 0)
    monkeypatch.setattr(block_matrix, "BLOCK_CELLS", 100)


def planted(shape, density=1.0, seed=0):
    stream = np.random.default_rng(seed)
    W, H = stream.gamma(0.5, size=(shape[0], 3)), stream.gamma(0.5, size=(3, shape[1]))
    V = W @ H + 0.01 * stream.random(shape)
    return V * (stream.random(shape) < density) * 37.0


class OnDisk:
    """Rows that are read again whenever they are asked for."""

    def __init__(self, rows, folder):
        self.shape, self.dtype = rows.shape, rows.dtype
        self.is_sparse = sparse.issparse(rows)
        self.path = folder / "rows.npz"
        if self.is_sparse:
            sparse.save_npz(self.path, rows)
        else:
            np.savez(self.path, rows)

    def __getitem__(self, rows):
        if self.is_sparse:
            return sparse.csr_array(sparse.load_npz(self.path))[rows]
        return np.load(self.path)["arr_0"][rows]


def on_disk(V, folder):
    """V by blocks from a file."""
    transposed = V.shape[0] < V.shape[1]
    rows = V.T if transposed else V
    rows = sparse.csr_array(rows) if sparse.issparse(rows) else np.ascontiguousarray(rows)
    source = Source(OnDisk(rows, folder))
    return BlockMatrix(source, transposed, V.dtype, 0, sparse.issparse(V))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("storage", [np.array, sparse.csr_array])
def test_products_are_those_of_the_whole_matrix(small_blocks, shape, storage):
    V = planted(shape, 0.4)
    blocks = pose(storage(V), dtype="float64").V
    assert isinstance(blocks, BlockMatrix)
    exact = V * 2.0 ** (-2 * pose(V, dtype="float64").exponent)
    stream = np.random.default_rng(1)
    F, G = stream.random((70, shape[1])), stream.random((70, shape[0]))
    np.testing.assert_allclose(blocks.times(F), F @ exact.T, rtol=1e-12)
    np.testing.assert_allclose(blocks.T.times(G), G @ exact, rtol=1e-12)
    np.testing.assert_allclose(blocks @ F[0], exact @ F[0], rtol=1e-12)
    np.testing.assert_allclose(blocks.rmatvec(G[0]), G[0] @ exact, rtol=1e-12)
    np.testing.assert_allclose(blocks.squares, (exact**2).sum(), rtol=1e-12)
    np.testing.assert_allclose(blocks.sum(), exact.sum(), rtol=1e-12)
    assert blocks.max() == exact.max()
    assert blocks.nnz == np.count_nonzero(V)
    whole = blocks.loaded()
    np.testing.assert_array_equal(whole.toarray() if sparse.issparse(whole) else whole, exact)
    covered = np.zeros(shape)
    for features, samples, part in dense_parts(blocks):
        covered[features, samples] += part
    np.testing.assert_array_equal(covered, exact)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.08, 0.6])
def test_fits_do_not_depend_on_where_a_matrix_lies_or_how_it_is_stored(
    small_blocks, shape, density, tmp_path
):
    V = planted(shape, density)
    fits = []
    for number, values in enumerate((V, sparse.csr_array(V), np.asfortranarray(V))):
        folder = tmp_path / str(number)
        folder.mkdir()
        for given in (values, on_disk(values, folder)):
            fits.append(factorize(given, 2, range(3), max_iter=60))
    for other in fits[1:]:
        for name in ("W", "H", "loss", "relative_error", "n_iter", "trace"):
            np.testing.assert_array_equal(getattr(other, name), getattr(fits[0], name))
        assert other.solver == fits[0].solver
    assert "by blocks" in fits[0].solver


def test_a_fit_by_blocks_is_as_good_as_one_of_the_whole(monkeypatch):
    V = planted((400, 300), seed=3)
    V *= np.random.default_rng(0).gamma(20, 1 / 20, V.shape)
    whole = factorize(V, 3, range(4))
    monkeypatch.setattr(block_matrix, "LARGE", 0)
    monkeypatch.setattr(block_matrix, "BLOCK_CELLS", 9_000)
    parts = factorize(V, 3, range(4))
    assert "compressed" in parts.solver
    np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-3)
    by_hand = 0.5 * ((V - parts.W[0].astype(float) @ parts.H[0].astype(float)) ** 2).sum()
    np.testing.assert_allclose(parts.loss[0], by_hand, rtol=1e-9)


@pytest.mark.parametrize("storage", [np.array, sparse.csr_array])
def test_a_large_matrix_goes_through_every_stage(small_blocks, storage, tmp_path):
    V = planted((40, 60), 0.7, seed=5)
    large = on_disk(storage(V), tmp_path)
    runs = factorize(large, 3, range(6), dtype="float64")
    np.testing.assert_allclose(svd_errors(large, 3), svd_errors(V, 3), rtol=1e-9)
    best = int(runs.loss.argmin())
    W, H = runs.W[best], runs.H[best]
    np.testing.assert_allclose(residual_excess(large, W, H), residual_excess(V, W, H), rtol=1e-9)
    assert cross_validate(large, 2, 4).error == cross_validate(V, 2, 4).error
    solution = stable_solution(large, runs)
    by_hand = 0.5 * ((V - solution.reconstruct()) ** 2).sum()
    np.testing.assert_allclose(solution.loss, by_hand, rtol=1e-9)
    fit = transform(V, solution.W, tol=1e-12)
    np.testing.assert_allclose(solution.H, fit.H, rtol=1e-3, atol=1e-3 * fit.H.max())


def test_what_cannot_be_factorised_is_refused_by_blocks_too(small_blocks, tmp_path):
    for wrong, words in ((np.nan, "NaN or infinite"), (-1.0, "negative")):
        V = planted((30, 20))
        V[3, 4] = wrong
        with pytest.raises(InputError, match=words):
            factorize(on_disk(V, tmp_path), 2, [0])


def test_other_losses_and_masks_have_the_matrix_in_memory(small_blocks, tmp_path):
    V = planted((30, 20))
    large = on_disk(V, tmp_path)
    hole = np.ones(V.shape, bool)
    hole[0, 0] = False
    for options in ({"loss": "kullback-leibler"}, {"observed": hole}):
        whole = factorize(V, 2, range(2), max_iter=30, **options)
        same = factorize(large, 2, range(2), max_iter=30, **options)
        np.testing.assert_array_equal(same.W, whole.W)
        assert "by blocks" not in whole.solver


def test_exponents_beyond_the_range_of_a_factor(small_blocks):
    V = planted((30, 20)) * 1e-290
    blocks = pose(V, dtype="float64").V
    assert 1 <= blocks.max() < 4
    np.testing.assert_allclose(blocks.loaded() / blocks.max(), V / V.max(), rtol=1e-12)
    runs = factorize(V, 2, range(2), max_iter=20)
    assert np.isfinite(runs.relative_error).all()


def test_of_more_cells_than_are_cross_validated_some_samples_are_drawn(monkeypatch):
    monkeypatch.setattr("nmfcore.cross_validation.MAX_CELLS", 20 * 100)
    V = planted((20, 400), seed=2)
    some = cross_validate(V, 3, 4)
    assert some.n_cells == 20 * 100
    assert cross_validate(V, 3, 4).error == some.error
    monkeypatch.undo()
    whole = cross_validate(V, 3, 4)
    assert whole.n_cells == V.size
    assert some.error == pytest.approx(whole.error, rel=0.5)
    assert some.error != whole.error


def test_held_out_errors_of_samples_that_were_not_drawn_are_unknown(monkeypatch):
    monkeypatch.setattr("nmfcore.cross_validation.MAX_CELLS", 20 * 100)
    V = planted((20, 400), seed=2)
    found = held_out_by_sample(V, 3)
    known = np.isfinite(found.error)
    assert known.sum() > 90
    assert (found.n_cells[~known] == 0).sum() >= 300
    assert np.median(found.error[known]) < np.median(found.baseline[known])


def test_submatrix(small_blocks):
    V = planted((30, 20), 0.5)
    rows, columns = np.array([0, 4, 29]), np.array([1, 2, 19])
    for storage in (np.array, sparse.csr_array):
        found = submatrix(pose(storage(V * 1.0), dtype="float64").given, rows, columns)
        dense = found.toarray() if sparse.issparse(found) else found
        np.testing.assert_array_equal(dense, V[np.ix_(rows, columns)])


def test_losses_of_all_but_exact_fits_keep_their_digits(small_blocks):
    stream = np.random.default_rng(0)
    W, H = stream.random((1, 3, 40)), stream.random((1, 3, 30))
    V = W[0].T @ H[0]
    V[0, 0] += 1e-6
    blocks = BlockMatrix.of(V)
    np.testing.assert_allclose(divergences(blocks, W, H), [0.5e-12], rtol=1e-3)
