"""Leave out blocks of weights that are zeros, where a matrix has enough of them.

    %4 = affine[int8] W @ %1 + b       ->     %4 = affine[int8, sparse 16] W @ %1 + b

A block is as many rows as a vector has lanes, by as many columns as the format keeps in a word: 16 x 4 for int8 on
512-bit vectors, 16 x 1 for float32. The zeros are found in the weights; nothing has to be declared. The code of a
sparse product lists its blocks, so that no index is read and no branch is taken. A matrix with more than
`MOST_BLOCKS_KEPT` of its blocks stays dense, because a block that is listed costs more than one that is streamed; so
does one whose list would be longer than a processor's instruction caches like.
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.formats import nonzero_blocks
from wavejit.ir.graph import Editor
from wavejit.ir.ops import Affine, Step
from wavejit.ir.target import Target

MOST_BLOCKS_KEPT = 0.5  # of a matrix
MOST_BLOCKS_LISTED = 8192


def leave_out_zeros(step: Step, target: Target) -> Step:
    """Mark the products whose blocks of zeros are worth leaving out."""
    edit = Editor(step)
    for ref, line in edit:
        if not isinstance(line.op, Affine) or line.clock > 1 or line.size < target.lanes:
            continue
        masks = [nonzero_blocks(step.weights[name], target.lanes, line.op.format) for name in line.op.weights]
        kept, blocks = sum(int(mask.sum()) for mask in masks), sum(mask.size for mask in masks)
        if kept <= MOST_BLOCKS_KEPT * blocks and kept <= MOST_BLOCKS_LISTED:
            edit.change(ref, replace(line.op, block_rows=target.lanes))
    return edit.step()
