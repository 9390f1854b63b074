"""Formats of weights, and the arithmetic that each stands for; the reference and the packer share these.

bfloat16 and float16 round the weights; inputs and sums stay float32. The integer formats give each row of weights
a scale, and each input vector one scale: a sum of products of integers is exact, and scaled once. Inputs are
measured anew each tick, unless their range is known from how they are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FormatName = Literal["float32", "bfloat16", "float16", "int16", "int8"]
PRECISIONS: tuple[FormatName, ...] = ("float32", "bfloat16", "float16", "int16", "int8")

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class Format:
    """How a weight is stored.

    Attributes:
        bytes: of a weight.
        limit: largest magnitude of an integer weight or input; 0 for floating point.
        block: columns whose products fit an int32 sum whatever the weights; a longer row is summed in blocks,
            and the blocks in float32. 0: a row of any length that a step may have.
        columns: stored side by side in one 32-bit word; a row is padded to a multiple.
    """

    bytes: int
    limit: int = 0
    block: int = 0
    columns: int = 1

    @property
    def is_word(self) -> bool:
        """Whether a step of columns, and its inputs, is one word of 32 bits."""
        return self.limit > 0 or self.bytes == 4


LONGEST_ROW = 65536
FORMATS: dict[FormatName, Format] = {
    "float32": Format(4),
    "bfloat16": Format(2, columns=2),
    "float16": Format(2),
    # 32 products of 8191 by 8191 are the most below 2^31.
    "int16": Format(2, limit=8191, block=32, columns=2),
    # Some processors want inputs with 128 added: 65536 products of 127 by 255 stay below 2^31.
    "int8": Format(1, limit=127, columns=4),
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


def quantise_rows(weights: Floats, name: FormatName) -> tuple[Integers, Floats]:
    """Integer weights `(rows, columns)` and the scale of each row `(rows,)`: weights are about integers * scale."""
    limit = np.float32(FORMATS[name].limit)
    largest = np.abs(weights).max(axis=1)
    scales = np.where(largest > 0, largest / limit, np.float32(1)).astype(np.float32)
    return np.rint(weights / scales[:, None]).astype(np.int32), scales


def quantise_vector(x: Floats, full_scale: float, name: FormatName) -> tuple[Integers, np.float32]:
    """Integers and scale of an input `(n,)`, as native code makes them, operation by operation in float32.

    Args:
        x: the input.
        full_scale: the largest magnitude that it can have; 0 to take that of `x`.
        name: an integer format.
    """
    limit = np.float32(FORMATS[name].limit)
    largest = np.maximum(np.float32(full_scale) if full_scale else np.abs(x).max(), SMALLEST_SCALE)
    scaled = np.rint(x * np.float32(limit / largest))
    return np.clip(scaled, -limit, limit).astype(np.int32), np.float32(largest / limit)


SMALLEST_SCALE = np.float32(1e-30)  # an input of zeros divides by this and stays zero


def nonzero_blocks(weights: Floats, rows: int, name: FormatName) -> NDArray[np.bool_]:
    """Which blocks of `rows` rows and of a word's columns hold anything: `(blocks along rows, along columns)`."""
    columns = FORMATS[name].columns
    height, width = -(-weights.shape[0] // rows), -(-weights.shape[1] // columns)
    padded = np.zeros((height * rows, width * columns), bool)
    padded[: weights.shape[0], : weights.shape[1]] = weights != 0
    return np.asarray(padded.reshape(height, rows, width, columns).any(axis=(1, 3)))


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
