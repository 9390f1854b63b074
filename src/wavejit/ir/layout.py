"""What the last passes decide: which operations run as one, the order of weights, the places of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.formats import Format, FormatName

Scalar = TypeVar("Scalar", bound=np.generic)
Region = tuple[str, int, str]  # what ("value", "integers", "past"), of which value, integers in which format


@dataclass(frozen=True)
class Loop:
    """Elementwise operations that run as one; only what the last of them makes is stored.

    Attributes:
        refs: the operations, in order.
        inputs: what they read from memory.
        product: the affine operation at whose end they run, if any, taking its totals while these are in registers.
        parts: what they read of the product, in the order of its rows: slices of one size, or itself.
    """

    refs: tuple[int, ...]
    inputs: tuple[int, ...]
    product: int | None = None
    parts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Packing:
    """All weights in one array, in the order in which the loop reads them.

    Attributes:
        data: the packed weights, as words of 32 bits.
        affine: for each affine operation, the element of `data` where its weights start.
        lists: for each sparse one, where the lists of its blocks are.
        tensors: for each table, constant or filter that is read as it stands, where it starts.
        table_stride: elements from one row of a table to the next.
    """

    data: NDArray[np.uint32]
    affine: Mapping[int, int]
    lists: Mapping[int, range]
    tensors: Mapping[str, int]
    table_stride: Mapping[str, int]


@dataclass(frozen=True)
class Ring:
    """Past values of one operation: `slots` (a power of two) of `stride` elements each.

    Where `integers` is set, only products of that format read the past: it is kept as integers for `full_scale`, or,
    where that is 0 and the value is measured, with their scale in the last element of the slot.
    """

    offset: int
    slots: int
    stride: int
    initial: float | str
    integers: FormatName | None = None
    full_scale: float = 0.0


@dataclass(frozen=True)
class Integers:
    """The integers that products of one format want of a value.

    Attributes:
        offset: where they are.
        full_scale: the largest magnitude that the value can have, or 0 to measure it.
        scale: where the scale is that was measured.
        by_maker: whether the kernel that makes the value makes these too, or the first product that reads them.
        clipped: whether the value may be beyond the full scale after all, and is then held to it.
    """

    offset: int
    full_scale: float
    scale: int
    by_maker: bool
    clipped: bool = False


@dataclass(frozen=True)
class Memory:
    """One stream's memory, in elements of 4 bytes.

    Attributes:
        size: elements in all.
        buffers: for each value that is computed and stored as floats, where it is.
        rings: for each value that is asked for later, its past.
        scratch: room for the exponentials of a draw.
        integers: of each value that integer products read, by their format.
        counters: for each clock, where its tick counter (64 bits) is.
        progress: where each of two threads counts what it has done, a cache line for each.
    """

    size: int
    buffers: Mapping[int, int]
    rings: Mapping[int, Ring]
    scratch: int
    integers: Mapping[tuple[int, FormatName], Integers]
    counters: Mapping[int, int]
    progress: tuple[int, int] = (0, 0)


def rounded(size: int, multiple: int) -> int:
    """`size` rounded up to a multiple."""
    return -(-size // multiple) * multiple


def row_tiles(rows: int, lanes: int, accumulators: int, parts: int = 1) -> list[range]:
    """The rows of a product in packed order, cut into tiles of at most `accumulators` vectors.

    A tile has as many vectors of each of `parts` parts, those of the first part first.
    """
    group = lanes * parts
    padded, most = rounded(rows // parts, lanes) * parts, group * max(1, accumulators // parts)
    return [range(start, min(start + most, padded)) for start in range(0, padded, most)]


def packed_rows(matrix: NDArray[Scalar], lanes: int, accumulators: int, parts: int) -> list[NDArray[Scalar]]:
    """The rows of a product's weight `(rows, columns)` tile by tile, each part padded with zeros to whole vectors."""
    padded, tiles = padded_rows(matrix, lanes, parts), row_tiles(len(matrix), lanes, accumulators, parts)
    by_part = padded.reshape(parts, -1, padded.shape[1])
    return [by_part[:, t.start // parts : t.stop // parts].reshape(-1, padded.shape[1]) for t in tiles]


def padded_rows(matrix: NDArray[Scalar], lanes: int, parts: int) -> NDArray[Scalar]:
    """The rows of a matrix `(rows, columns)`, each of `parts` padded with zeros to whole vectors."""
    rows, columns = matrix.shape
    padded = np.zeros((parts, rounded(rows // parts, lanes), columns), matrix.dtype)
    padded[:, : rows // parts] = matrix.reshape(parts, -1, columns)
    return padded.reshape(-1, columns)


def side_by_side(integers: NDArray[np.int32], format: Format) -> NDArray[np.uint32]:
    """Neighbours of a row in one word, the first lowest: `(rows, words)`.

    Of eight columns, the first four are the lower halves of the bytes and the others the upper halves, so that a mask
    makes either the upper halves of four bytes.
    """
    columns, bits, (rows, count) = format.columns, format.bits, integers.shape
    padded = np.zeros((rows, rounded(count, columns)), np.uint32)
    padded[:, :count] = integers.view(np.uint32) & np.uint32((1 << bits) - 1)
    words = np.zeros((rows, padded.shape[1] // columns), np.uint32)
    for i in range(columns):
        at = 8 * (i % 4) + bits * (i // 4) if bits == 4 else bits * i
        words |= padded[:, i::columns] << np.uint32(at)
    return words


DRAW_BLOCKS = 16, 64  # exponentials that one running sum is for, at least and at most: four vectors
DRAW_UNIFORMS = 16  # elements of a draw's scratch before its exponentials: random numbers and padding


def draw_scratch(parameters: int) -> int:
    """Elements of scratch for a draw: random numbers, exponentials, their running sums, for any vector width."""
    least, most = DRAW_BLOCKS
    return DRAW_UNIFORMS + rounded(parameters, most) + rounded(-(-parameters // least), 16)
