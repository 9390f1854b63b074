"""Put all weights into one array, in the order in which the loop reads them.

    affine W[128, 64] @ %1 + V[128, 32] @ %2 + b  ->  b[0:128] | W[0:128, 0] | W[0:128, 1] … | V[0:128, 0] …

A product's rows lie along the vector, so that no sum across a vector is ever needed: for each tile of rows (as
many as the target has accumulators for) the bias, then each column of each term; of a sparse product, the blocks
that are not zeros. Where a loop takes the totals in parts, a vector of each part follows the other. Rows are padded
with zeros to whole vectors. Formats of 16 or 8 bits put 2 or 4 columns of a row
into one word. Integer formats have the scales of the rows behind the bias; int8 has, for each sum, what the target's
offset of its inputs amounts to. What is read as it stands (tables, filters, constants) follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.formats import FORMATS, nonzero_blocks, quantise_rows, round_weights, scale_groups
from wavejit.ir.graph import parts_of, weights_of
from wavejit.ir.layout import Packing, packed_rows, rounded, row_tiles, side_by_side
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

    parts = parts_of(step)
    fast_first = sorted(step.lines.items(), key=lambda item: item[1].clock)
    for ref, line in fast_first:
        if isinstance(line.op, Affine):
            affine[ref] = put(_packed(step, line.op, line.size, parts.get(ref, 1), target))
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


@dataclass(frozen=True)
class _Part:
    """Columns of words `(rows, columns)`, in float16 two a word; `mask` says which blocks a sparse product keeps."""

    words: Words
    mask: NDArray[np.bool_] | None = None
    halves: bool = False


def _packed(step: Step, op: Affine, rows: int, parts: int, target: Target) -> Words:
    """One product's words: for each tile of rows, what precedes the sums, then the columns."""
    read = _read(step, op, parts, target)
    tiles = row_tiles(rows, target.lanes, target.accumulators, parts)
    return np.concatenate(
        [_whole_vectors([_tile(part, tile, target.lanes) for part in read], target) for tile in tiles]
    )


def _whole_vectors(words: list[Words], target: Target) -> Words:
    """A tile; the next one begins on a vector."""
    joined = np.concatenate(words)
    return np.pad(joined, (0, -joined.size % target.lanes))


def _read(step: Step, op: Affine, in_parts: int, target: Target) -> list[_Part]:
    """What a product reads, in order, for all rows."""
    format = FORMATS[op.format]
    terms = [packed_rows(step.weights[name], target.lanes, in_parts) for name in op.weights]
    masks = [nonzero_blocks(term, op.block_rows, op.format) if op.block_rows else None for term in terms]
    parts: list[_Part] = []
    if op.bias is not None:
        parts = [_Part(_words(packed_rows(step.weights[op.bias][:, None], target.lanes, in_parts)))]
    if op.format == "float32":
        return parts + [_Part(_words(term), mask) for term, mask in zip(terms, masks, strict=True)]
    if op.format == "float16":
        rounded_terms = [_words(round_weights(term, "float16")) for term in terms]
        return parts + [_Part(term, mask, True) for term, mask in zip(rounded_terms, masks, strict=True)]
    if op.format == "bfloat16":
        upper = [(_words(round_weights(term, "bfloat16")) >> np.uint32(16)).astype(np.int32) for term in terms]
        return parts + [_Part(side_by_side(x, format), mask) for x, mask in zip(upper, masks, strict=True)]
    integers, scales = quantise_rows(np.concatenate(terms, axis=1), op.format)
    parts.append(_Part(_words(scales)[:, None]))
    of_terms = np.split(integers, np.cumsum([term.shape[1] for term in terms])[:-1], axis=1)
    for group in scale_groups(op.full_scales, [term.shape[1] for term in terms]):
        if op.format == "int8" and target.byte_offset:
            offset = -target.byte_offset * sum(of_terms[i].sum(axis=1) for i in group)
            parts.append(_Part(np.asarray(offset, np.int32).view(np.uint32)[:, None]))
        parts += [_Part(side_by_side(of_terms[i], format), masks[i]) for i in group]
    return parts


def _tile(part: _Part, tile: range, lanes: int) -> Words:
    """The words of some rows, column after column; of a sparse product, its blocks only."""
    table = part.words[tile.start : tile.stop]
    blocks = table.T.reshape(table.shape[1], -1, lanes)  # (columns, vectors of rows, lanes)
    if part.mask is not None:
        blocks = blocks[part.mask[tile.start // lanes : tile.stop // lanes].T]
    if not part.halves:
        return blocks.reshape(-1)
    halves = np.ascontiguousarray(blocks).view(np.float32).astype(np.float16).reshape(-1)
    if part.mask is not None:
        halves = np.pad(halves, (0, -len(halves) % (2 * lanes)))  # what follows begins on a vector
    return halves.view(np.uint32)


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
