"""Where the last two passes put things: weights in the order of reading, values in a stream's memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Packing:
    """All weights in one array, in the order in which the loop reads them.

    Attributes:
        data: the packed weights, as words of 32 bits.
        affine: for each affine operation, the element of `data` where its weights start.
        tensors: for each table, constant or filter that is read as it stands, where it starts.
        table_stride: elements from one row of a table to the next.
    """

    data: NDArray[np.uint32]
    affine: Mapping[int, int]
    tensors: Mapping[str, int]
    table_stride: Mapping[str, int]


@dataclass(frozen=True)
class Ring:
    """Past values of one operation: `slots` (a power of two) of `stride` elements each."""

    offset: int
    slots: int
    stride: int
    initial: float | str


@dataclass(frozen=True)
class Memory:
    """One stream's memory, in elements of 4 bytes.

    Attributes:
        size: elements in all.
        buffers: for each value that is computed, where it is.
        rings: for each value that is asked for later, its past.
        scratch: room for the exponentials of a draw.
        quantised: for each input of an integer product, where its integers are.
        scales: for each such input whose range is measured, where its scale is.
        counters: for each clock, where its tick counter (64 bits) is.
    """

    size: int
    buffers: Mapping[int, int]
    rings: Mapping[int, Ring]
    scratch: int
    quantised: Mapping[int, int]
    scales: Mapping[int, int]
    counters: Mapping[int, int]


def rounded(size: int, multiple: int) -> int:
    """`size` rounded up to a multiple."""
    return -(-size // multiple) * multiple


def row_tiles(rows: int, lanes: int, accumulators: int) -> list[range]:
    """The padded rows of a product, cut into tiles of at most `accumulators` vectors."""
    padded, most = rounded(rows, lanes), lanes * accumulators
    return [range(start, min(start + most, padded)) for start in range(0, padded, most)]


DRAW_UNIFORMS = 16  # elements of a draw's scratch before its exponentials: random numbers and padding


def draw_scratch(parameters: int) -> int:
    """Elements of scratch for a draw: random numbers, exponentials, their running sums, for any vector width."""
    return DRAW_UNIFORMS + rounded(parameters, 16) + rounded(-(-parameters // 4), 16)
