import numpy as np
import pytest

from nmfcore.norms import unit_columns


@pytest.mark.parametrize("batch", [(), (2,)])
def test_columns_of_any_size_get_unit_norm_and_zeros_stay(batch):
    W = np.array([[3e-9, 0.3, 30.0, 0.0], [4e-9, 0.4, 40.0, 0.0]], np.float32)
    found = unit_columns(np.broadcast_to(W, (*batch, *W.shape)))
    assert found.dtype == np.float64
    expected = np.broadcast_to([[0.6, 0.6, 0.6, 0], [0.8, 0.8, 0.8, 0]], found.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
