"""Leave out weights that are zeros, where a matrix has enough of them.

    %4 = affine[int8] W @ %1 + b       ->     %4 = affine[int8, sparse 16] W @ %1 + b

A block is some vectors of rows high and as wide as what the format keeps in a word, or gives a scale: 16 x 4 for int8
and one 512-bit vector, 32 x 1 for float32 and two, 16 x 32 for int4 and one. The zeros are found in the weights;
nothing has to be declared. The code reads a list of its blocks for each band of rows, so that layers of one shape share
it whatever their pattern. Where blocks are lower than a vector, each group of its lanes can take words of its own rows
(`sparse 4`), and where zeros make no blocks at all each lane (`sparse 1`), if the processor can look them up. Rows with
about as many words then share vectors, wherever they lie, so that no lane waits long for another.

What costs least is chosen, and a matrix stays dense where that costs less than any. The unit is what it takes to
multiply a vector of words by its inputs; finding them is more of it than in a dense product.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wavejit.ir.formats import FORMATS, nonzero_blocks
from wavejit.ir.graph import Editor
from wavejit.ir.layout import padded_rows, rounded
from wavejit.ir.ops import Affine, Step
from wavejit.ir.runs import by_fill, windows
from wavejit.ir.target import Target

COST_OF_LIST = 2.0
COST_OF_ENTRY, COST_OF_WINDOW, COST_OF_GROUP = 1.0, 2.3, 0.52  # beside the products
# To find the totals of rows that were sorted: of a product, which waits for all of them, and of each vector of rows.
COST_OF_WAIT, COST_OF_PLACES = 50.0, 12.0
BANDS = (1, 2, 4)  # vectors of rows
GROUPS = (4, 8)  # rows, of vectors that have more
MOST_BY_LANE = 0.3  # of a matrix; with more words the windows cannot pay
MOST_ROWS_BY_LANE = 32768  # their totals are kept until all are there, and found by 16 bits, with the padding of parts


def leave_out_zeros(step: Step, target: Target) -> Step:
    """Mark the products whose zeros are worth leaving out."""
    edit = Editor(step)
    for ref, line in edit:
        op = line.op
        if isinstance(op, Affine) and line.clock == 1 and line.size >= target.lanes and _whole_steps(step, op):
            costs = {0: _dense_cost(step, op, target)}
            costs |= {band * target.lanes: _cost_in_bands(step, op, band, target) for band in BANDS}
            if FORMATS[op.format].is_word:
                costs |= {rows: _cost_by_group(step, op, rows, target) for rows in GROUPS if rows < target.lanes}
            if target.looks_up and FORMATS[op.format].is_word:
                costs[1] = _cost_by_lane(step, op, target)
            best = min(costs, key=lambda rows: costs[rows])
            edit.change(ref, replace(op, block_rows=best))
    return edit.step()


def _whole_steps(step: Step, op: Affine) -> bool:
    """Whether each input ends where a step of columns ends; behind the end floats may be anything."""
    format = FORMATS[op.format]
    return format.limit > 0 or all(step.lines[x].size % format.columns == 0 for x in op.inputs)


def _dense_cost(step: Step, op: Affine, target: Target) -> float:
    return sum(
        -(-rows // target.lanes) * -(-columns // FORMATS[op.format].columns)
        for rows, columns in (step.weights[name].shape for name in op.weights)
    )


def _cost_in_bands(step: Step, op: Affine, band: int, target: Target) -> float:
    masks = [nonzero_blocks(step.weights[name], band * target.lanes, op.format) for name in op.weights]
    lists, entries = sum(len(mask) for mask in masks), sum(int(mask.sum()) for mask in masks)
    words = FORMATS[op.format].unit // FORMATS[op.format].columns
    return COST_OF_LIST * lists + (COST_OF_ENTRY + band * words) * entries


def _cost_by_group(step: Step, op: Affine, rows: int, target: Target) -> float:
    cost, in_a_vector = 0.0, target.lanes // rows
    for name in op.weights:
        entries = nonzero_blocks(step.weights[name], rows, op.format).sum(axis=1)
        longest = np.pad(entries, (0, -len(entries) % in_a_vector)).reshape(-1, in_a_vector).max(axis=1)
        cost += COST_OF_LIST * len(longest) + (COST_OF_GROUP * in_a_vector + 1) * float(longest.sum())
    return cost


def _cost_by_lane(step: Step, op: Affine, target: Target) -> float:
    """What windows cost of rows that are sorted, as they will be packed."""
    masks = [nonzero_blocks(step.weights[name], 1, op.format) for name in op.weights]
    rows = rounded(len(masks[0]), target.lanes)
    if rows > MOST_ROWS_BY_LANE or any(mask.mean() > MOST_BY_LANE for mask in masks):
        return float("inf")
    padded = [padded_rows(mask, target.lanes, 1) for mask in masks]
    order = by_fill(np.concatenate(padded, axis=1))
    cost = COST_OF_WAIT + COST_OF_PLACES * rows / target.lanes
    for mask in padded:
        in_order = windows(mask[order], target.lanes)
        cost += sum(COST_OF_LIST + (COST_OF_WINDOW + 1) * len(starts) for starts, _ in in_order)
    return cost
