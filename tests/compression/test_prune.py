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


BLOCKS = [(16, 4), (8, 4), (4, 4), (16, 1), (1, 4), (1, 32), (1, 1)]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("shape", [(32, 16), (33, 17), (40, 9), (3, 2)])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9375, 1.0])
def test_the_share_is_that_of_blocks(block: tuple[int, int], shape: tuple[int, int], sparsity: float) -> None:
    matrix = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = pruned_matrix(matrix, sparsity, block)
    height, width = (-(-size // step) for size, step in zip(shape, block, strict=True))
    padded = np.zeros((height * block[0], width * block[1]))
    padded[: shape[0], : shape[1]] = found
    zero = ~padded.reshape(height, block[0], width, block[1]).any(axis=(1, 3))
    assert zero.sum() == round(sparsity * zero.size)
    kept = found != 0
    np.testing.assert_array_equal(found[kept], matrix[kept])


@pytest.mark.parametrize("block", BLOCKS)
def test_what_an_edge_cuts_is_ranked_by_what_it_has(block: tuple[int, int]) -> None:
    """The last row and column are the largest, and stay, however few there are of them in a block."""
    matrix = np.random.default_rng(0).uniform(0.5, 1, (33, 33)).astype(np.float32)
    matrix[32], matrix[:, 32] = 3.0, 3.0
    found = pruned_matrix(matrix, 0.4, block)
    np.testing.assert_array_equal(found[32], matrix[32])
    np.testing.assert_array_equal(found[:, 32], matrix[:, 32])


def test_single_weights_are_ranked_alone() -> None:
    matrix = np.random.default_rng(0).standard_normal((30, 20)).astype(np.float32)
    found = pruned_matrix(matrix, 0.9, (1, 1))
    least_kept = np.abs(found[found != 0]).min()
    assert (np.abs(matrix[found == 0]) <= least_kept).all()
    assert np.count_nonzero(found) == 60


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
