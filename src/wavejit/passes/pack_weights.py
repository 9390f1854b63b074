"""Put all weights into one array, in the order in which the loop reads them.

    affine W[128, 64] @ %1 + V[128, 32] @ %2 + b  ->  b[0:128] | W[0:128, 0] | W[0:128, 1] … | V[0:128, 0] …

A product's rows lie along the vector, so that no sum across a vector is ever needed: for each tile of rows (as
many as the target has accumulators for) the bias, then each column of each term. Rows are padded with zeros to
whole vectors. Formats of 16 or 8 bits put 2 or 4 columns of a row into one word. Integer formats have the scales
of the rows behind the bias; int8 has, for each sum, what the 128 added to its inputs amounts to. What is read as
it stands (tables, filters, constants) follows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.formats import FORMATS, INPUT_OFFSET, quantise_rows, round_weights, scale_groups
from wavejit.ir.graph import weights_of
from wavejit.ir.layout import Packing, rounded, row_tiles
from wavejit.ir.ops import Affine, Delayed, Lookup, Ref, Step
from wavejit.ir.target import Target

Floats = NDArray[np.float32]
Words = NDArray[np.uint32]


def pack_weights(step: Step, target: Target) -> Step:
    """Fill in `packing`."""
    pieces: list[Words] = []
    affine: dict[Ref, int] = {}
    tensors: dict[str, int] = {}
    strides: dict[str, int] = {}
    size = 0

    def put(piece: Words) -> int:
        nonlocal size
        padded = np.zeros(rounded(piece.size, target.lanes), np.uint32)
        padded[: piece.size] = piece.reshape(-1)
        pieces.append(padded)
        size += padded.size
        return size - padded.size

    fast_first = sorted(step.lines.items(), key=lambda item: item[1].clock)
    for ref, line in fast_first:
        if isinstance(line.op, Affine):
            affine[ref] = put(_packed(step, line.op, line.size, target))
    for _, line in fast_first:
        for name in () if isinstance(line.op, (Affine, Delayed)) else weights_of(line.op):
            if name not in tensors:
                data = step.weights[name]
                if isinstance(line.op, Lookup):
                    data = _padded_rows(data, target.lanes)
                    strides[name] = data.shape[1]
                tensors[name] = put(np.ascontiguousarray(data).view(np.uint32))
    data = np.concatenate(pieces) if pieces else np.zeros(0, np.uint32)
    return replace(step, packing=Packing(data, affine, tensors, strides))


def _packed(step: Step, op: Affine, rows: int, target: Target) -> Words:
    """One product's words: for each tile of rows what precedes the sums, then the columns, groups of them a word."""
    before: list[Words] = [] if op.bias is None else [_words(step.weights[op.bias])[:, None]]
    terms = [step.weights[name] for name in op.weights]
    if FORMATS[op.format].limit:
        integers, scales = quantise_rows(np.concatenate(terms, axis=1), op.format)
        before.append(_words(scales)[:, None])
        edges = np.cumsum([0] + [term.shape[1] for term in terms])
        columns: list[Words] = []
        for group in scale_groups(op.full_scales):
            parts = [integers[:, edges[i] : edges[i + 1]] for i in group]
            if op.format == "int8":
                offset = -INPUT_OFFSET * sum(part.sum(axis=1) for part in parts)
                columns.append(np.asarray(offset, np.int32).view(np.uint32)[:, None])
            columns += [_side_by_side(part, 4 // FORMATS[op.format].bytes, FORMATS[op.format].bytes) for part in parts]
    elif op.format == "bfloat16":
        halves = [_words(round_weights(term, op.format)) >> np.uint32(16) for term in terms]
        columns = [_side_by_side(half.astype(np.int32), 2, 2) for half in halves]
    else:
        columns = [_words(term) for term in terms]
    tiles = row_tiles(rows, target.lanes, target.accumulators)
    table = np.zeros((rounded(rows, target.lanes), sum(part.shape[1] for part in before + columns)), np.uint32)
    table[:rows] = np.concatenate(before + columns, axis=1)
    if op.format != "float16":
        return np.concatenate([table[tile.start : tile.stop].T.reshape(-1) for tile in tiles])
    preceding = sum(part.shape[1] for part in before)
    return np.concatenate([_half_tile(table[tile.start : tile.stop], preceding) for tile in tiles])


def _half_tile(table: Words, before: int) -> Words:
    """A tile in float16: what precedes the columns as it is, then each column's halves one behind the other."""
    columns = round_weights(np.ascontiguousarray(table[:, before:].T).view(np.float32), "float16").astype(np.float16)
    return np.concatenate([table[:, :before].T.reshape(-1), columns.reshape(-1).view(np.uint32)])


def _side_by_side(integers: NDArray[np.int32], columns: int, size: int) -> Words:
    """`columns` neighbours of a row, of `size` bytes each, in one word, the first lowest: `(rows, words)`."""
    rows, count = integers.shape
    padded = np.zeros((rows, rounded(count, columns)), np.uint32)
    padded[:, :count] = integers.view(np.uint32) & np.uint32((1 << (8 * size)) - 1)
    words = np.zeros((rows, padded.shape[1] // columns), np.uint32)
    for i in range(columns):
        words |= padded[:, i::columns] << np.uint32(8 * size * i)
    return words


def _words(data: Floats) -> Words:
    return np.ascontiguousarray(data, np.float32).view(np.uint32)


def _padded_rows(table: Floats, lanes: int) -> Floats:
    """A table whose rows begin on vector boundaries; single values stay close together."""
    classes, width = table.shape
    if width == 1:
        return table
    padded = np.zeros((classes, rounded(width, lanes)), np.float32)
    padded[:, :width] = table
    return padded
