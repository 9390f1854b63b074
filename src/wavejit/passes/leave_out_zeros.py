"""Leave out blocks of weights that are zeros, where a matrix has enough of them.

    %4 = affine[int8] W @ %1 + b       ->     %4 = affine[int8, sparse 16] W @ %1 + b

A block is some vectors of rows high and as wide as what the format keeps in a word: 16 x 4 for int8 and one 512-bit
vector, 32 x 1 for float32 and two. The zeros are found in the weights; nothing has to be declared. The code reads a
list of its blocks for each band of rows, so that layers of one shape share it whatever their pattern. The height is
chosen that costs least, and a matrix stays dense where that costs less than any: `COST_OF_ENTRY` says what it takes to
read a list and fetch an input, `COST_OF_VECTOR` to multiply a vector of rows by it.
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.formats import FORMATS, nonzero_blocks
from wavejit.ir.graph import Editor
from wavejit.ir.ops import Affine, Step
from wavejit.ir.target import Target

COST_OF_ENTRY, COST_OF_VECTOR = 2.0, 1.0
BANDS = (1, 2, 4)  # vectors of rows


def leave_out_zeros(step: Step, target: Target) -> Step:
    """Mark the products whose blocks of zeros are worth leaving out."""
    edit = Editor(step)
    for ref, line in edit:
        if (
            isinstance(line.op, Affine)
            and line.clock == 1
            and line.size >= target.lanes
            and _whole_steps(step, line.op)
        ):
            costs = {band: _cost(step, line.op, band, target) for band in BANDS}
            best = min(costs, key=lambda band: costs[band])
            if costs[best] < _dense_cost(step, line.op, target):
                edit.change(ref, replace(line.op, block_rows=best * target.lanes))
    return edit.step()


def _whole_steps(step: Step, op: Affine) -> bool:
    """Whether each input ends where a step of columns ends; behind the end floats may be anything."""
    format = FORMATS[op.format]
    return format.limit > 0 or all(step.lines[x].size % format.columns == 0 for x in op.inputs)


def _cost(step: Step, op: Affine, band: int, target: Target) -> float:
    masks = [nonzero_blocks(step.weights[name], band * target.lanes, op.format) for name in op.weights]
    lists, entries = sum(len(mask) for mask in masks), sum(int(mask.sum()) for mask in masks)
    return COST_OF_ENTRY * lists + (COST_OF_ENTRY + COST_OF_VECTOR * band) * entries


def _dense_cost(step: Step, op: Affine, target: Target) -> float:
    return COST_OF_VECTOR * sum(
        -(-rows // target.lanes) * -(-columns // FORMATS[op.format].columns)
        for rows, columns in (step.weights[name].shape for name in op.weights)
    )
