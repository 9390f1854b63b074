"""Pruning keeps the blocks of largest magnitude, and all else as it is."""

import numpy as np
import pytest

from wavejit.compression.prune import prune, pruned_matrix


def test_the_least_blocks_are_zeroed() -> None:
    matrix = np.kron(np.array([[1, 4], [3, 2]]), np.ones((2, 3))).astype(np.float32)
    matrix[0, 0] = -9  # a block is ranked by magnitude, and by all of it
    found = pruned_matrix(matrix, 0.5, (2, 3))
    assert (found[:2, 3:] == 4).all()
    assert (found[2:, :3] == 3).all()
    assert not found[:2, :3].any()
    assert not found[2:, 3:].any()


@pytest.mark.parametrize("shape", [(32, 16), (33, 17), (40, 9)])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 1.0])
def test_the_share_is_that_of_blocks(shape: tuple[int, int], sparsity: float) -> None:
    matrix = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = pruned_matrix(matrix, sparsity, (16, 4))
    padded = np.zeros((-(-shape[0] // 16) * 16, -(-shape[1] // 4) * 4))
    padded[: shape[0], : shape[1]] = found
    zero = ~padded.reshape(padded.shape[0] // 16, 16, -1, 4).any(axis=(1, 3))
    assert zero.sum() == round(sparsity * zero.size)
    kept = found != 0
    np.testing.assert_array_equal(found[kept], matrix[kept])


def test_biases_tables_and_small_matrices_stay() -> None:
    rng = np.random.default_rng(0)
    weights = {
        "a.weight": rng.standard_normal((64, 64)).astype(np.float32),
        "a.bias": rng.standard_normal(64).astype(np.float32),
        "embed": rng.standard_normal((64, 64)).astype(np.float32),
        "inputs.weight": rng.standard_normal((64, 2)).astype(np.float32),
    }
    found = prune(weights, 0.75, (16, 4))
    assert (found["a.weight"] == 0).mean() == 0.75
    for name in ("a.bias", "embed", "inputs.weight"):
        np.testing.assert_array_equal(found[name], weights[name])
