"""Prune weights: zero the blocks of least magnitude.

Source: Kalchbrenner et al. 2018, section 3.2, which ranks blocks of 16 x 1 and 4 x 4 by the mean of their magnitudes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def prune(weights: Mapping[str, Array], sparsity: float, block: tuple[int, int]) -> dict[str, Array]:
    """Each matrix of at least two blocks either way with that share of its blocks zeroed; all else as it is.

    Args:
        weights: by name; matrices `(outputs, inputs)` are those whose names end in `weight`.
        sparsity: share of the blocks to zero, 0 to 1.
        block: rows and columns of a block, (1, 1) for single weights; what is left over at an edge is a block too.
    """
    return {
        name: pruned_matrix(data, sparsity, block)
        if name.endswith("weight")
        and data.ndim == 2
        and data.shape[0] >= 2 * block[0]
        and data.shape[1] >= 2 * block[1]
        else data
        for name, data in weights.items()
    }


def pruned_matrix(matrix: Array, sparsity: float, block: tuple[int, int]) -> Array:
    """A matrix `(outputs, inputs)` without the `sparsity` of its blocks whose mean magnitude is least.

    A block that an edge cuts is ranked by the mean of what it has.
    """
    height, width = (-(-size // step) for size, step in zip(matrix.shape, block, strict=True))
    padded = np.zeros((height * block[0], width * block[1]), np.float32)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    blocks = padded.reshape(height, block[0], width, block[1])
    rows, columns = (_sizes(size, step) for size, step in zip(matrix.shape, block, strict=True))
    magnitude = np.abs(blocks).sum(axis=(1, 3)) / np.outer(rows, columns)
    dropped = np.argsort(magnitude, axis=None, kind="stable")[: round(sparsity * magnitude.size)]
    keep = np.ones(magnitude.size, bool)
    keep[dropped] = False
    kept = blocks * keep.reshape(height, 1, width, 1)
    return np.ascontiguousarray(kept.reshape(padded.shape)[: matrix.shape[0], : matrix.shape[1]])


def _sizes(length: int, step: int) -> NDArray[np.int64]:
    """Of the pieces of `length` cut every `step`."""
    return np.diff(np.append(np.arange(0, length, step), length))
