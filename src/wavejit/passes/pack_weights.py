"""Put all weights into one array, in the order in which the loop reads them.

    affine W[128, 64] @ %1 + V[128, 32] @ %2 + b  ->  b[0:128] | W[0:128, 0] | W[0:128, 1] … | V[0:128, 0] …

A product's rows lie along the vector, so that no sum across a vector is ever needed: for each tile of rows (as
many as the target has accumulators for) the bias, then each column of each term. Rows are padded with zeros to
whole vectors. What is read as it stands (tables, filters, constants) follows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.graph import weights_of
from wavejit.ir.layout import Packing, rounded, row_tiles
from wavejit.ir.ops import Affine, Delayed, Lookup, Ref, Step
from wavejit.ir.target import Target

Array = NDArray[np.float32]


def pack_weights(step: Step, target: Target) -> Step:
    """Fill in `packing`."""
    pieces: list[Array] = []
    affine: dict[Ref, int] = {}
    tensors: dict[str, int] = {}
    strides: dict[str, int] = {}
    size = 0

    def put(piece: Array) -> int:
        nonlocal size
        padded = np.zeros(rounded(piece.size, target.lanes), np.float32)
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
                tensors[name] = put(data)
    data = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return replace(step, packing=Packing(data, affine, tensors, strides))


def _packed(step: Step, op: Affine, rows: int, target: Target) -> Array:
    columns = [] if op.bias is None else [step.weights[op.bias][:, None]]
    matrix = np.concatenate(columns + [step.weights[name] for name in op.weights], axis=1)
    padded = np.zeros((rounded(rows, target.lanes), matrix.shape[1]), np.float32)
    padded[:rows] = matrix
    tiles = row_tiles(rows, target.lanes, target.accumulators)
    return np.concatenate([padded[tile.start : tile.stop].T.reshape(-1) for tile in tiles])


def _padded_rows(table: Array, lanes: int) -> Array:
    """A table whose rows begin on vector boundaries; single values stay close together."""
    classes, width = table.shape
    if width == 1:
        return table
    padded = np.zeros((classes, rounded(width, lanes)), np.float32)
    padded[:, :width] = table
    return padded
