"""Put all weights into one array, in the order in which the loop reads them.

    affine W[128, 64] @ %1 + V[128, 32] @ %2 + b  ->  b[0:128] | W[0:128, 0] | W[0:128, 1] … | V[0:128, 0] …

A product's rows lie along the vector, so that no sum across a vector is ever needed: for each tile of rows (as
many as the target has accumulators for) the bias, then each column of each term. Where a loop takes the totals in
parts, a tile has vectors of each part. Rows are padded with zeros to whole vectors. Formats of 16, 8 or 4 bits put 2, 4
or 8 columns of a row into one word. Integer formats have the scales of the rows behind the bias; int8 has, for each
sum, what the target's offset of its inputs amounts to. Formats whose blocks have scales have a word a row before each
block.

Of a sparse product only the blocks that are not zeros are there: of each run of inputs, band by band, and lists beside
the weights name their columns. Where blocks are lower than a vector, each group of its lanes takes its own, or each
lane. `by_fill`, those with about as many words share vectors, whichever part they are of. The lists then begin with
where each row's total is to be found, or, of groups, where it is to be put. What is read as it stands (tables, filters,
constants) follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.formats import (
    FORMATS,
    NIBBLE_FACTOR,
    FormatName,
    input_scale,
    nonzero_blocks,
    one_known_scale,
    quantise_blocks,
    quantise_rows,
    round_weights,
    row_scales,
    scale_groups,
)
from wavejit.ir.graph import clocks, parts_of, weights_of
from wavejit.ir.layout import Packing, Scalar, packed_rows, padded_rows, rounded, side_by_side
from wavejit.ir.ops import Affine, Delayed, Lookup, Ref, Step
from wavejit.ir.runs import (
    Run,
    blocks,
    by_fill,
    by_windows,
    groups,
    groups_list,
    list_of,
    runs_of,
    windows,
    windows_list,
)
from wavejit.ir.target import Target
from wavejit.ir.tasks import interleaved, product_of, tasks_of

Floats = NDArray[np.float32]
Words = NDArray[np.uint32]


def pack_weights(step: Step, target: Target) -> Step:
    """Fill in `packing`."""
    pieces: list[Words] = []
    affine: dict[Ref, int] = {}
    lists: dict[Ref, range] = {}
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
    read = [(ref, step.lines[ref]) for ref in _products_as_read(step)]
    for ref, line in read:
        if isinstance(line.op, Affine):
            words, names = _packed(step, line.op, parts.get(ref, 1), target)
            affine[ref] = put(words)
            if line.op.block_rows:
                start = put(names)
                lists[ref] = range(start, start + names.size)
    for _, line in fast_first:
        for name in () if isinstance(line.op, (Affine, Delayed)) else weights_of(line.op):
            if name not in tensors:
                data = step.weights[name]
                if isinstance(line.op, Lookup):
                    data = _padded_rows(data, target.lanes)
                    strides[name] = data.shape[1]
                tensors[name] = put(np.ascontiguousarray(data).view(np.uint32))
    data = np.concatenate(pieces) if pieces else np.zeros(0, np.uint32)
    return replace(step, packing=Packing(data, affine, lists, tensors, strides))


def _products_as_read(step: Step) -> list[Ref]:
    """Products in the order in which one thread runs them, those of the fastest clock first."""
    tasks = (task for clock in reversed(clocks(step)) for task in interleaved(step, tasks_of(step, clock)))
    return [ref for task in tasks if (ref := product_of(step, task)) is not None]


def _packed(step: Step, op: Affine, parts: int, target: Target) -> tuple[Words, Words]:
    """One product's words and the lists of its blocks, tile by tile."""
    assert step.memory is not None, "memory is planned before weights are packed"
    runs = runs_of(step, step.memory, op)
    words: list[Words] = []
    order, lists = None, list[NDArray[np.uint8]]()
    if op.by_fill:
        filled = _groups_by_fill(step, op, parts, target)
        order = (filled[:, None] * op.block_rows + np.arange(op.block_rows)).reshape(-1)
        places = np.argsort(filled) if op.block_rows == 1 else filled
        lists.append(places.astype(np.uint16).view(np.uint8))
    for tile in _tiles(step, op, parts, target, order):
        pieces = [row.reshape(-1) for row in tile.rows]
        for offsets, sums in zip(tile.offsets, runs, strict=True):
            pieces += [offsets] if offsets is not None else []
            for run in sums:
                if not op.block_rows:
                    pieces += [_column_by_column(tile.terms[i], op) for i in run.terms]
                    continue
                at, joined = _joined([tile.terms[i] for i in run.terms], run, op)
                if by_windows(op.block_rows, target.lanes, target.tables):
                    found, names = _by_windows(joined, at, target, op.block_rows)
                elif op.block_rows < target.lanes:
                    found, names = _by_group(joined, at, target.lanes, op.block_rows)
                else:
                    found, names = _in_bands(joined, at, op)
                pieces += found
                lists += names
        joined = np.concatenate(pieces)
        half = 0 if op.block_rows else -joined.size % target.lanes  # a dense tile ends on a whole vector
        words.append(np.pad(joined, (0, half)))
    joined = np.concatenate(lists) if lists else np.zeros(0, np.uint8)
    return np.concatenate(words), np.pad(joined, (0, -joined.size % 4)).view(np.uint32)


@dataclass(frozen=True)
class _Tile:
    """What a tile of rows reads.

    Attributes:
        rows: bias, scales.
        offsets: of the inputs, for each sum.
        terms: the words of each.
    """

    rows: list[Words]
    offsets: list[Words | None]
    terms: list[Words]


def _groups_by_fill(step: Step, op: Affine, parts: int, target: Target) -> NDArray[np.intp]:
    """The groups of `block_rows` rows, those of all padded parts, in the order in which they are put into vectors."""
    nonzero = np.concatenate([nonzero_blocks(step.weights[name], 1, op.format) for name in op.weights], axis=1)
    return by_fill(_of_groups(padded_rows(nonzero, target.lanes, parts), op.block_rows))


def _of_groups(nonzero: NDArray[np.bool_], rows: int) -> NDArray[np.bool_]:
    """Which words of groups of rows are not all zero, `(groups, columns of words)`."""
    return np.logical_or.reduceat(nonzero, range(0, len(nonzero), rows), axis=0)


def _tiles(
    step: Step, op: Affine, parts: int, target: Target, order: NDArray[np.intp] | None = None
) -> Iterator[_Tile]:
    format = FORMATS[op.format]

    def tiles(rows: NDArray[Scalar]) -> list[NDArray[Scalar]]:
        matrix = rows if rows.ndim > 1 else rows[:, None]
        if order is None:
            return packed_rows(matrix, target.lanes, target.accumulators, parts)
        return packed_rows(padded_rows(matrix, target.lanes, parts)[order], target.lanes, target.accumulators, 1)

    terms = [tiles(step.weights[name]) for name in op.weights]
    bias = tiles(step.weights[op.bias]) if op.bias is not None else [None] * len(terms[0])
    shared = tiles(row_scales([step.weights[name] for name in op.scaled_with], op.format)) if op.scaled_with else None
    # Of a sum that several products make, the first has the offset of all inputs.
    totals = tiles(_totals(step, op)) if op.unfinished and op.continues is None else None
    for number, (of_tile, bias_of_tile) in enumerate(zip(zip(*terms, strict=True), bias, strict=True)):
        rows = [] if bias_of_tile is None else [_words(bias_of_tile)]
        if format.limit == 0:
            yield _Tile(rows, [None], [_floats(term, op.format) for term in of_tile])
            continue
        columns = [term.shape[1] for term in of_tile]
        if format.block_scales:
            whole = op.block_rows > 0
            none: list[Words | None] = [None for _ in scale_groups(op.full_scales, columns)]
            yield _Tile(rows, none, [_scaled_blocks(term, op.format, whole) for term in of_tile])
            continue
        given = None if shared is None else np.where(shared[number] > 0, shared[number], np.float32(1))[:, 0]
        integers, scales = quantise_rows(np.concatenate(of_tile, axis=1), op.format, given)
        of_terms = np.split(integers, np.cumsum(columns)[:-1], axis=1)
        offsets: list[Words | None] = []
        for group in scale_groups(op.full_scales, columns):
            total = sum(of_terms[i].sum(axis=1) for i in group) if totals is None else totals[number][:, 0]
            needed = op.format == "int8" and target.byte_offset and op.continues is None
            offset = np.asarray(-target.byte_offset * total, np.int32).view(np.uint32)
            offsets.append(offset if needed else None)
        if one_known_scale(op.full_scales, columns):
            scales = scales * input_scale(op.full_scales[0], format.inputs)
        rows += [] if op.unfinished else [_words(scales)]
        yield _Tile(rows, offsets, [side_by_side(term, format) for term in of_terms])


def _totals(step: Step, op: Affine) -> NDArray[np.int32]:
    """The sum of each row's integers `(rows,)` over all products of a sum."""
    terms = [step.weights[name] for name in op.scaled_with]
    return quantise_rows(np.concatenate(terms, axis=1), op.format)[0].sum(axis=1, dtype=np.int32)


def _scaled_blocks(term: Floats, name: FormatName, whole: bool) -> Words:
    """The columns of a term whose blocks have scales, as words `(rows, words)`: for each block one, then its columns.

    That word's upper half is the scale, a bfloat16; its lower half, 16 bits with a sign, is less the sum of the block's
    integers (at most 32 * 127, and 32 * 16 * 7 for int4): what an offset of the inputs is to be multiplied by. It is 0
    where the block is.

    Args:
        whole: pad the last block; it ends with its last column otherwise.
    """
    format = FORMATS[name]
    factor = NIBBLE_FACTOR if name == "int4" else 1  # of the integers as they are multiplied
    integers, scales = quantise_blocks(term, name)
    rows, blocks = scales.shape
    padded = np.zeros((rows, blocks * format.block), np.int32)
    padded[:, : term.shape[1]] = integers
    sums = padded.reshape(rows, blocks, -1).sum(axis=2, dtype=np.int32)
    upper, lower = _words(scales / np.float32(factor)), (-factor * sums).view(np.uint32) & np.uint32(0xFFFF)
    columns = side_by_side(padded, format).reshape(rows, blocks, -1)
    heads = np.where(columns.any(axis=2), upper | lower, np.uint32(0))
    words = np.concatenate([heads[:, :, None], columns], axis=2).reshape(rows, -1)
    return words if whole else words[:, : blocks - (-term.shape[1] // format.columns)]


def _floats(term: Floats, format: FormatName) -> Words:
    """The columns of a term in a floating-point format, as words; float16 is halved when it is written."""
    term = term + np.float32(0)  # -0 becomes 0, which is no bits at all
    if format == "bfloat16":
        return side_by_side((_words(round_weights(term, format)) >> np.uint32(16)).astype(np.int32), FORMATS[format])
    return _words(round_weights(term, format))


def _column_by_column(words: Words, op: Affine) -> Words:
    """Words `(rows, columns)` in the order of reading, a vector of rows at a time."""
    ordered = np.ascontiguousarray(words.T).reshape(-1)
    if op.format != "float16":
        return ordered
    halves = ordered.view(np.float32).astype(np.float16)
    return np.pad(halves, (0, halves.size % 2)).view(np.uint32)  # odd where a vector has one lane, in the reference


def _joined(terms: list[Words], run: Run, op: Affine) -> tuple[list[int], NDArray[np.uint32]]:
    """The blocks of a run's terms as one, `(rows, blocks, words)`, and how many steps behind its start each lies."""
    format = FORMATS[op.format]
    steps = format.unit // format.columns  # of a block
    width = steps + format.block_scales  # words of its rows
    at = [
        start + block * steps
        for start, term in zip(run.steps, terms, strict=True)
        for block in range(term.shape[1] // width)
    ]
    return at, np.concatenate([term.reshape(len(term), -1, width) for term in terms], axis=1)


def _in_bands(words: Words, at: list[int], op: Affine) -> tuple[list[Words], list[NDArray[np.uint8]]]:
    """The blocks that are not zeros, band by band, and the list of their columns for each band."""
    found: list[Words] = []
    lists: list[NDArray[np.uint8]] = []
    for rows, columns in blocks(words, op.block_rows):
        kept = words[rows.start : rows.stop, columns]
        found.append(_column_by_column(kept.reshape(len(kept), -1), op))
        lists.append(list_of([at[int(column)] for column in columns]).view(np.uint8))
    return found, lists


def _by_windows(
    words: Words, at: list[int], target: Target, block_rows: int
) -> tuple[list[Words], list[NDArray[np.uint8]]]:
    """The words that are not zeros, one a lane, window by window, and the windows of each vector of rows."""
    lanes = target.lanes
    wide = np.zeros((len(words), at[-1] + 1), np.uint32)
    wide[:, at] = words[:, :, 0]
    found: list[Words] = []
    lists: list[NDArray[np.uint8]] = []
    nonzero = _of_groups(wide != 0, block_rows).repeat(block_rows, axis=0)
    for vector, (starts, taken) in enumerate(windows(nonzero, lanes, target.tables)):
        rows = vector * lanes + np.arange(lanes)
        found.append(np.where(taken >= 0, wide[rows, taken], np.uint32(0)).reshape(-1))
        # A row that takes none multiplies what another takes by 0, never what lies between inputs.
        columns = np.where(taken >= 0, taken, taken.max(axis=1, keepdims=True, initial=0))
        places = columns - starts[:, :1]
        for table in range(1, target.tables):
            within = (columns >= starts[:, table, None]) & (columns < starts[:, table, None] + lanes)
            places = np.where(within, table * lanes + columns - starts[:, table, None], places)
        lists.append(windows_list(starts, places))
    return found, lists


def _by_group(words: Words, at: list[int], lanes: int, rows: int) -> tuple[list[Words], list[NDArray[np.uint8]]]:
    """The words that are not zeros, a column for each group of rows, and the lists of these columns."""
    wide, steps = words[:, :, 0], np.array(at, np.intp)
    found: list[Words] = []
    lists: list[NDArray[np.uint8]] = []
    for vector, columns in enumerate(groups(wide != 0, lanes, rows)):
        of_rows, taken = vector * lanes + np.arange(lanes), np.repeat(columns, rows, axis=1)
        found.append(np.where(taken >= 0, wide[of_rows, taken], np.uint32(0)).reshape(-1))
        lists.append(groups_list(np.where(columns >= 0, steps[columns], 0)))
    return found, lists


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
