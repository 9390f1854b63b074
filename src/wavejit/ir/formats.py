"""Formats of weights, and the arithmetic that each stands for; the reference and the packer share these.

bfloat16 and float16 round the weights; inputs and sums stay float32. The integer formats give each row of weights
a scale, and each input vector one scale: a sum of products of integers is exact, and scaled once. Inputs are
measured anew each tick, unless their range is known from how they are made, or was found on data.

int4 and mxint8 give each block of `BLOCK_COLUMNS` columns of a row a scale of its own: the sum over a block is exact,
and scaled once. mxint8 is block floating point, its scales powers of two: the weights are those of MXINT8 (Open
Compute Project, Microscaling Formats 1.0, 2023, section 5). The inputs of both are those of int8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FormatName = Literal["float32", "bfloat16", "float16", "int16", "mxint8", "int8", "int4"]
PRECISIONS: tuple[FormatName, ...] = ("float32", "bfloat16", "float16", "int16", "mxint8", "int8", "int4")

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class Format:
    """How a weight is stored.

    Attributes:
        bits: of a weight, the scales apart.
        inputs: the format of what the weights are multiplied by.
        limit: largest magnitude of an integer weight; 0 for floating point.
        block: columns that one int32 sum goes over; a longer row is summed in blocks, and the blocks in float32.
            0: a row of any length that a step may have.
        block_scales: whether each block of a row has a scale of its own; a row has one otherwise.
        columns: stored side by side in one 32-bit word; a row is padded to a multiple.
    """

    bits: int
    inputs: FormatName = "float32"
    limit: int = 0
    block: int = 0
    block_scales: bool = False
    columns: int = 1

    @property
    def is_word(self) -> bool:
        """Whether a step of columns, and its inputs, is one word of 32 bits, with no scale of its own."""
        return self.bits == 32 or (self.limit > 0 and not self.block_scales)

    @property
    def unit(self) -> int:
        """Columns that are packed together and, in sparse products, left out together: a word's, or a scale's."""
        return self.block if self.block_scales else self.columns


NIBBLE_FACTOR = 16  # an int4 weight is multiplied as the upper half of a byte: so many times itself
LONGEST_ROW = 65536
# Rounding Gaussian weights to int4 errs by 0.135 of their deviation with a scale for 512 columns, 0.108 for 64, 0.097
# for 32, 0.085 for 16; a block's scale, and what an offset of its inputs amounts to, take one word: half a bit a weight
# at 64, one at 32, two at 16. 32 is also the block of the Microscaling Formats.
BLOCK_COLUMNS = 32
FORMATS: dict[FormatName, Format] = {
    "float32": Format(32),
    "bfloat16": Format(16, columns=2),
    "float16": Format(16),
    # 32 products of 8191 by 8191 are the most below 2^31.
    "int16": Format(16, "int16", limit=8191, block=32, columns=2),
    # 32 products of 127 by 255 (some processors want inputs with 128 added) are below 2^20: exact in float32 too.
    "mxint8": Format(8, "int8", limit=127, block=BLOCK_COLUMNS, block_scales=True, columns=4),
    # Some processors want inputs with 128 added: 65536 products of 127 by 255 stay below 2^31.
    "int8": Format(8, "int8", limit=127, columns=4),
    # 32 products of 16 * 7 by 255 are below 2^20.
    "int4": Format(4, "int8", limit=7, block=BLOCK_COLUMNS, block_scales=True, columns=8),
}


def round_weights(weights: Floats, name: FormatName) -> Floats:
    """Weights rounded to a floating-point format, to nearest, ties to even."""
    if name == "float16":
        largest = np.float32(np.finfo(np.float16).max)
        return np.clip(weights, -largest, largest).astype(np.float16).astype(np.float32)
    if name == "bfloat16":
        bits = weights.astype(np.float32).view(np.uint32)
        rounded = bits + 0x7FFF + ((bits >> np.uint32(16)) & np.uint32(1))
        return (rounded & np.uint32(0xFFFF0000)).view(np.float32)
    return weights


def quantise_rows(weights: Floats, name: FormatName, scales: Floats | None = None) -> tuple[Integers, Floats]:
    """Integer weights `(rows, columns)` and the scale of each row `(rows,)`: weights are about integers * scale.

    Args:
        weights: `(rows, columns)`.
        name: an integer format.
        scales: of the rows, or None for the finest that the weights leave.
    """
    scales = row_scales([weights], name) if scales is None else scales
    return np.rint(weights / scales[:, None]).astype(np.int32), scales


def row_scales(terms: Sequence[Floats], name: FormatName) -> Floats:
    """The finest scale of each row `(rows,)` that all terms `(rows, columns)` can have."""
    largest = np.max([np.abs(term).max(axis=1) for term in terms], axis=0)
    return np.where(largest > 0, largest / np.float32(FORMATS[name].limit), np.float32(1)).astype(np.float32)


def quantise_blocks(weights: Floats, name: FormatName) -> tuple[Integers, Floats]:
    """Integer weights `(rows, columns)` and the scale of each row's blocks `(rows, blocks)`, for one term of a product.

    Scales are numbers that bfloat16 holds. For mxint8 they are powers of two, such that the largest weight is 64 to 128
    of them; above 127 it saturates.
    """
    format = FORMATS[name]
    rows, columns = weights.shape
    blocks = -(-columns // format.block)
    padded = np.zeros((rows, blocks * format.block), np.float32)
    padded[:, :columns] = weights
    parts = padded.reshape(rows, blocks, format.block)
    largest = np.abs(parts).max(axis=2)
    if name == "mxint8":
        scales = np.ldexp(np.float32(1), np.frexp(largest)[1] - 7)
    else:
        scales = round_weights(largest / np.float32(format.limit), "bfloat16")
    scales = np.where(largest > 0, np.maximum(scales, SMALLEST_BLOCK_SCALE), np.float32(1)).astype(np.float32)
    integers = np.clip(np.rint(parts / scales[:, :, None]), -format.limit, format.limit)
    return integers.astype(np.int32).reshape(rows, -1)[:, :columns], scales


SMALLEST_BLOCK_SCALE = np.float32(2.0**-120)  # a sixteenth of it is still a normal number


def quantise_vector(x: Floats, full_scale: float, name: FormatName) -> tuple[Integers, np.float32]:
    """Integers and scale of an input `(n,)`, as native code makes them, operation by operation in float32.

    Args:
        x: the input.
        full_scale: the largest magnitude that it is to have, beyond which it is clipped; 0 to take that of `x`.
        name: an integer format of inputs.
    """
    limit = np.float32(FORMATS[name].limit)
    largest = np.maximum(np.float32(full_scale) if full_scale else np.abs(x).max(), SMALLEST_SCALE)
    scaled = np.rint(x * input_factor(largest, name))
    return np.clip(scaled, -limit, limit).astype(np.int32), np.float32(largest / limit)


SMALLEST_SCALE = np.float32(1e-30)  # an input of zeros divides by this and stays zero
SMALLEST_RANGE, LARGEST_RANGE = 1e-30, 1e30  # that was found on data: float32 holds its steps and their inverse


def nonzero_blocks(weights: Floats, rows: int, name: FormatName) -> NDArray[np.bool_]:
    """Which blocks of `rows` rows and of the columns that are packed together hold anything.

    Returns:
        `(blocks along rows, along columns)`.
    """
    columns = FORMATS[name].unit
    height, width = -(-weights.shape[0] // rows), -(-weights.shape[1] // columns)
    padded = np.zeros((height * rows, width * columns), bool)
    padded[: weights.shape[0], : weights.shape[1]] = weights != 0
    return np.asarray(padded.reshape(height, rows, width, columns).any(axis=(1, 3)))


def one_known_scale(full_scales: Sequence[float], columns: Sequence[int]) -> bool:
    """Whether a product is one integer sum, whose scale does not change: packed rows' scales have it in them."""
    return bool(full_scales) and full_scales[0] > 0 and len(scale_groups(full_scales, columns)) == 1


def input_scale(full_scale: float, name: FormatName) -> np.float32:
    """What an integer of an input stands for, by the largest magnitude of the input."""
    return np.float32(full_scale) / np.float32(FORMATS[name].limit)


def input_factor(full_scale: float | np.float32, name: FormatName) -> np.float32:
    """What makes integers of an input, before it is rounded."""
    return np.float32(FORMATS[name].limit) / np.float32(full_scale)


def scale_groups(full_scales: Sequence[float], columns: Sequence[int]) -> list[range]:
    """Which terms of a product share one integer sum: neighbours whose inputs have one known scale.

    Args:
        full_scales: of each term's input; 0 where it is measured.
        columns: of each term; no sum goes over more than `LONGEST_ROW` of them.
    """
    groups: list[range] = []
    length = 0
    for i, (scale, count) in enumerate(zip(full_scales, columns, strict=True)):
        length += count
        if groups and scale and scale == full_scales[groups[-1].start] and length <= LONGEST_ROW:
            groups[-1] = range(groups[-1].start, i + 1)
        else:
            groups.append(range(i, i + 1))
            length = count
    return groups
