"""What lies in registers, in shared and in global memory before the first tick, as bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.cuda.device import WARPS_A_TEAM
from wavejit.backends.cuda.partition import Piece
from wavejit.backends.cuda.tiles import by_lane
from wavejit.ir.layout import rounded

ALIGNMENT = 128  # bytes
WORDS_A_TILE = 4  # of each lane


def step_words(piece: Piece, term: int, step: int) -> NDArray[np.uint32]:
    """What each lane of each warp holds of one step of a term: `(words, warps, lanes)`.

    Four words for each of the tiles side by side, then a word for each of their lists.
    """
    tiles = piece.terms[term]
    of_warps: list[NDArray[np.uint32]] = []
    for warp in range(WARPS_A_TEAM):
        k = step * WARPS_A_TEAM + warp if piece.by_columns else step
        words: list[NDArray[np.uint32]] = []
        for d in range(piece.units_a_warp):
            unit = d if piece.by_columns else warp + WARPS_A_TEAM * d
            there = unit < piece.units and k < tiles.steps
            shape = tiles.words.shape[2]
            data = by_lane(tiles.words[unit, k]) if there else np.zeros((shape, 32, WORDS_A_TILE), np.uint32)
            words.append(data)
        lanes = np.concatenate(words)  # (tiles, lanes, 4)
        rows = [np.moveaxis(lanes, 2, 1).reshape(-1, 32)]
        if tiles.columns is not None:
            lists = [_list_words(piece, tiles.columns, warp, d, k) for d in range(piece.units_a_warp)]
            rows.append(np.concatenate(lists))
        of_warps.append(np.concatenate(rows))
    return np.ascontiguousarray(np.stack(of_warps, axis=1))


def tile_by_tile(words: NDArray[np.uint32], tiles: int) -> NDArray[np.uint32]:
    """The words of a step as memory holds them: of each tile and warp four words of each lane, then the lists."""
    of_tiles = words[: tiles * WORDS_A_TILE].reshape(tiles, WORDS_A_TILE, WARPS_A_TEAM, 32)
    return np.concatenate([np.moveaxis(of_tiles, 1, 3).reshape(-1), words[tiles * WORDS_A_TILE :].reshape(-1)])


def _list_words(piece: Piece, columns: NDArray[np.uint16], warp: int, d: int, k: int) -> NDArray[np.uint32]:
    """Where in the input each lane finds its two words, in bytes, the first lowest: `(tiles, lanes)`."""
    unit = d if piece.by_columns else warp + WARPS_A_TEAM * d
    there = unit < piece.units and k < columns.shape[1]
    names = columns[unit, k] if there else np.zeros(columns.shape[2:], np.uint16)
    pairs = names.reshape(len(names), 4, 2).astype(np.uint32) * 4
    quads = pairs[..., 0] | pairs[..., 1] << np.uint32(16)
    return np.tile(quads, (1, 8)).astype(np.uint32)


def joined(words: list[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    """The arrays, flat, one behind the other."""
    return np.concatenate(words).reshape(-1) if words else np.zeros(0, np.uint32)


class SharedImage:
    """What a block copies into its shared memory."""

    def __init__(self, start: int, most: int) -> None:
        self._start, self._most, self.end = start, most, start
        self._pieces: list[NDArray[np.uint32]] = []

    def room(self, size: int) -> bool:
        return self.end + rounded(size, 16) <= self._most

    def put(self, words: NDArray[np.uint32]) -> int:
        padded = np.zeros(rounded(len(words), 4), np.uint32)
        padded[: len(words)] = words
        self._pieces.append(padded)
        at, self.end = self.end, self.end + padded.nbytes
        return at

    def data(self) -> NDArray[np.uint32]:
        return joined(self._pieces)


class GlobalImage:
    """What lies in global memory, each piece on a boundary of 128 bytes."""

    def __init__(self) -> None:
        self._pieces: list[NDArray[np.uint8]] = []
        self._size = 0

    def put(self, words: NDArray[np.uint32]) -> int:
        data = np.ascontiguousarray(words).reshape(-1).view(np.uint8)
        padded = np.zeros(rounded(len(data), ALIGNMENT), np.uint8)
        padded[: len(data)] = data
        self._pieces.append(padded)
        at, self._size = self._size, self._size + len(padded)
        return at

    def data(self) -> NDArray[np.uint8]:
        return np.concatenate([*self._pieces, np.zeros(ALIGNMENT, np.uint8)])
