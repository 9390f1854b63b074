"""Weights as tensor cores multiply them: tiles of 16 rows by 8 words, four words a lane.

    float32    a word is 1 column     tf32, each weight and input as a sum of two of 11 bits
    float16    a word is 2 columns    inputs as a sum of two of 11 bits
    bfloat16   a word is 2 columns    inputs as a sum of two of 8 bits
    int8       a word is 4 columns    inputs as int8 of a known scale

`mma.sync` multiplies a tile by eight vectors at once. Two of the eight are one stream's input, cut in two: what
rounding took from the first is in the second, so that inputs keep their precision and it costs nothing. Four streams
fill one; of eight, each tile is multiplied by one group of four after the other.

Lane `4 * row + j` holds words 2j and 2j + 1 of rows `row` and `row + 8`. In which order the words of a row are added up
is free; this one lets a lane take its inputs in one load. Where words of a tile's rows are all zeros they are left out:
a sparse tile has any eight words of a row, and says for each lane which.

A unit of rows is what one warp works out at once: for a product that lends its totals to a loop in two parts, a tile
has 8 rows of each, so that the lane that has one part's total has the other's; in three, a unit is a tile of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.formats import FORMATS, FormatName, quantise_rows, round_weights
from wavejit.ir.layout import rounded, side_by_side

Floats = NDArray[np.float32]
Words = NDArray[np.uint32]

ROWS, WORDS = 16, 8  # of a tile
TILE_BYTES = 4 * ROWS * WORDS
STREAMS_A_GROUP = 4  # that one `mma.sync` serves
COLUMNS_A_WORD: dict[FormatName, int] = {"float32": 1, "float16": 2, "bfloat16": 2, "int8": 4}
WORTH_A_LIST = 0.75  # of the dense tiles: with fewer, a list of the words is worth reading


def stream_groups(streams: int) -> int:
    """How often a pass of so many streams multiplies each tile."""
    return -(-streams // STREAMS_A_GROUP)


def unit_outputs(parts: int) -> int:
    """Outputs of one unit."""
    return ROWS // 2 if parts % 2 == 0 else ROWS


def unit_tiles(parts: int) -> int:
    """Tiles, one below the other, of one unit."""
    return parts // 2 if parts % 2 == 0 else parts


def unit_rows(rows: int, parts: int, outputs: range) -> list[NDArray[np.intp]]:
    """For each unit of the outputs, the rows of its tiles, `(tiles, 16)`; -1 where there is none.

    Args:
        rows: of the whole product: `parts` parts of one size.
        parts: that an output takes one row each of.
        outputs: elements of one part.
    """
    size, step = rows // parts, unit_outputs(parts)
    found: list[NDArray[np.intp]] = []
    for first in range(outputs.start, outputs.stop, step):
        of_part = first + np.arange(step)
        here = np.where(of_part < outputs.stop, of_part, -1)
        all_parts = [np.where(here >= 0, part * size + here, -1) for part in range(parts)]
        found.append(np.concatenate(all_parts).reshape(unit_tiles(parts), ROWS))
    return found


@dataclass(frozen=True)
class TermTiles:
    """One term's weights for some units.

    Attributes:
        words: `(units, steps, tiles of a unit, 16, 8)`.
        columns: which words of the input each tile multiplies, `(units, steps, tiles of a unit, 8)`; None where they
            follow each other.
    """

    words: Words
    columns: NDArray[np.uint16] | None

    @property
    def steps(self) -> int:
        """Tiles side by side, of each unit."""
        return self.words.shape[1]


def term_tiles(words: Words, units: Sequence[NDArray[np.intp]]) -> TermTiles:
    """Cut one term of a product into tiles.

    Args:
        words: the term's weights `(rows, words)`.
        units: the rows of each unit's tiles; -1 for none.
    """
    steps = -(-words.shape[1] // WORDS)
    padded = np.zeros((len(words) + 1, steps * WORDS), np.uint32)  # its last row, which -1 names, is zeros
    padded[:-1, : words.shape[1]] = words
    rows = np.stack(units)
    of_units = padded[rows]  # (units, tiles, 16, words)
    kept: NDArray[np.bool_] = np.any(of_units, axis=2)  # (units, tiles, words)
    most = -(-int(kept.sum(axis=2).max(initial=1)) // WORDS)
    if max(most, 1) > WORTH_A_LIST * steps:
        dense = of_units.reshape(*of_units.shape[:3], steps, WORDS)
        return TermTiles(np.ascontiguousarray(np.moveaxis(dense, 3, 1)), None)
    most = max(most, 1)
    columns = np.zeros((*kept.shape[:2], most * WORDS), np.uint16)
    chosen = np.zeros((*of_units.shape[:3], most * WORDS), np.uint32)
    for unit, tile in np.ndindex(*kept.shape[:2]):
        names = np.flatnonzero(kept[unit, tile])
        columns[unit, tile, : len(names)] = names
        chosen[unit, tile, :, : len(names)] = of_units[unit, tile][:, names]
    split = chosen.reshape(*chosen.shape[:3], most, WORDS)
    lists = columns.reshape(*columns.shape[:2], most, WORDS)
    return TermTiles(np.ascontiguousarray(np.moveaxis(split, 3, 1)), np.ascontiguousarray(np.moveaxis(lists, 2, 1)))


def by_lane(tiles: Words) -> Words:
    """What each lane holds of tiles `(…, 16, 8)`: `(…, 32, 4)`."""
    upper, lower = tiles[..., : ROWS // 2, :], tiles[..., ROWS // 2 :, :]
    pairs = [x.reshape(*x.shape[:-1], WORDS // 2, 2) for x in (upper, lower)]
    together = np.stack([pairs[0][..., 0], pairs[1][..., 0], pairs[0][..., 1], pairs[1][..., 1]], axis=-1)
    return np.ascontiguousarray(together.reshape(*tiles.shape[:-2], 32, 4))


def packed_terms(matrices: Sequence[Floats], name: FormatName) -> tuple[list[Words], Floats | None]:
    """The terms of a product as words `(rows, words)`, and for int8 the scale of each row."""
    if name == "int8":
        integers, scales = quantise_rows(np.concatenate(matrices, axis=1), name)
        parts = np.split(integers, np.cumsum([m.shape[1] for m in matrices])[:-1], axis=1)
        return [side_by_side(part, FORMATS[name]) for part in parts], scales
    return [_float_words(round_weights(matrix, name), name) for matrix in matrices], None


def _float_words(matrix: Floats, name: FormatName) -> Words:
    matrix = matrix + np.float32(0)  # -0 becomes 0, whose word is 0
    if name == "float32":
        return np.ascontiguousarray(matrix).view(np.uint32)
    columns = rounded(matrix.shape[1], 2)
    padded = np.zeros((len(matrix), columns), np.float32)
    padded[:, : matrix.shape[1]] = matrix
    if name == "float16":
        return padded.astype(np.float16).view(np.uint32)
    return (padded.view(np.uint32) >> np.uint32(16)).astype(np.uint16).view(np.uint32)
