"""Tiles hold the weights they were cut from, and leave out what is zeros."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavejit.backends.cuda.tiles import (
    COLUMNS_A_WORD,
    ROWS,
    WORDS,
    TermTiles,
    by_lane,
    packed_terms,
    term_tiles,
    unit_outputs,
    unit_rows,
)
from wavejit.ir.formats import FormatName, quantise_rows, round_weights

sizes = st.integers(1, 70)
formats = st.sampled_from(sorted(COLUMNS_A_WORD))


def unpacked(words: np.ndarray, name: FormatName) -> np.ndarray:
    """The numbers in words `(rows, words)`, as float64 `(rows, columns)`."""
    match name:
        case "float32":
            return words.view(np.float32).astype(np.float64)
        case "float16":
            return words.view(np.float16).astype(np.float64)
        case "bfloat16":
            halves = words.view(np.uint16).astype(np.uint32) << np.uint32(16)
            return halves.view(np.float32).astype(np.float64)
        case _:
            return words.view(np.int8).astype(np.float64)


def put_back(tiles: TermTiles, rows: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Words from their tiles."""
    found = np.zeros((shape[0], max(shape[1], tiles.steps * WORDS)), np.uint32)
    for unit, step, tile in np.ndindex(*tiles.words.shape[:3]):
        columns = np.arange(WORDS) + step * WORDS if tiles.columns is None else tiles.columns[unit, step, tile]
        for r, row in enumerate(rows[unit][tile]):
            if row >= 0:
                for c, column in enumerate(columns):
                    found[row, column] |= tiles.words[unit, step, tile, r, c]
    return found


@given(
    rows=sizes, columns=sizes, parts=st.sampled_from((1, 2, 3, 4)), name=formats, density=st.sampled_from((1.0, 0.1))
)
def test_tiles_hold_the_weights(rows: int, columns: int, parts: int, name: FormatName, density: float) -> None:
    rng = np.random.default_rng(rows * 71 + columns)
    matrix = rng.standard_normal((rows * parts, columns)).astype(np.float32)
    matrix *= np.repeat(rng.random((rows * parts, -(-columns // 4))) < density, 4, axis=1)[:, :columns]
    (words,), scales = packed_terms([matrix], name)
    units = unit_rows(rows * parts, parts, range(rows))
    tiles = term_tiles(words, units)
    back = unpacked(put_back(tiles, units, words.shape)[:, : words.shape[1]].copy(), name)[:, :columns]
    if scales is None:
        assert np.array_equal(back, round_weights(matrix, name))
    else:
        integers, wanted = quantise_rows(matrix, name)
        assert np.array_equal(back, integers)
        assert np.array_equal(scales, wanted)


@given(rows=sizes, parts=st.sampled_from((1, 2, 3, 4)), start=st.integers(0, 30))
def test_units_have_each_row_once_and_the_parts_of_an_output_together(rows: int, parts: int, start: int) -> None:
    outputs = range(min(start, rows - 1), rows)
    units = unit_rows(rows * parts, parts, outputs)
    named = np.concatenate([unit.reshape(-1) for unit in units])
    wanted = [part * rows + o for o in outputs for part in range(parts)]
    assert sorted(named[named >= 0]) == sorted(wanted)
    step = unit_outputs(parts)
    for unit, first in zip(units, range(outputs.start, outputs.stop, step), strict=True):
        # A lane has rows r and r + 8 of each tile: all parts of its outputs.
        lanes = unit.reshape(-1, 8)
        of_part = lanes.reshape(parts, step // 8, 8)
        assert (of_part[0, 0] == np.where(first + np.arange(8) < rows, first + np.arange(8), -1)).all()
        for part in range(parts):
            there = of_part[part] >= 0
            assert (of_part[part][there] == of_part[0][there] + part * rows).all()


def test_a_lane_has_its_words() -> None:
    tile = np.arange(ROWS * WORDS, dtype=np.uint32).reshape(ROWS, WORDS)
    lanes = by_lane(tile)
    for lane in range(32):
        row, quad = divmod(lane, 4)
        wanted = [tile[row, 2 * quad], tile[row + 8, 2 * quad], tile[row, 2 * quad + 1], tile[row + 8, 2 * quad + 1]]
        assert list(lanes[lane]) == wanted


@pytest.mark.parametrize("name", sorted(COLUMNS_A_WORD))
def test_blocks_of_zeros_are_left_out(name: FormatName) -> None:
    rng = np.random.default_rng(3)
    kept = rng.random((4, 64)) < 0.1
    matrix = (rng.standard_normal((64, 256)) * np.repeat(np.repeat(kept, 16, axis=0), 4, axis=1)).astype(np.float32)
    (words,), _ = packed_terms([matrix], name)
    tiles = term_tiles(words, unit_rows(64, 1, range(64)))
    dense = words.shape[1] // WORDS
    assert tiles.columns is not None
    assert tiles.steps < 0.4 * dense, f"{tiles.steps} steps of {dense}"
    assert term_tiles(np.ones_like(words), unit_rows(64, 1, range(64))).columns is None
