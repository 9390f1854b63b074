"""Cut a product that only a draw reads into two, so that two threads can make one each.

    %8 (256) = affine O @ %7 + b       ->     %10 (128) = affine O[0:128] @ %7 + b[0:128]
    %9 = draw sample from %8                  %11 (128) = affine O[128:256] @ %7 + b[128:256]
                                              %8 (256) = concatenate %10, %11
                                              %9 = draw sample from %8

All else is over when it begins, and all else waits for the draw. It is cut where one tile of rows ends and the next
begins, so that one thread has no more to do than before; the parts are made where the whole is to lie.
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.graph import Editor, users
from wavejit.ir.layout import row_tiles
from wavejit.ir.ops import Affine, Concatenate, Draw, Ref, Step
from wavejit.ir.target import Target


def split_outputs(step: Step, target: Target) -> Step:
    """Cut what draws read."""
    used_by = users(step)
    edit = Editor(step)
    for ref, line in edit:
        tiles = row_tiles(line.size, target.lanes, target.accumulators)
        only_drawn = len(used_by[ref]) == 1 and isinstance(step.lines[used_by[ref][0]].op, Draw)
        if isinstance(line.op, Affine) and only_drawn and not line.op.addends and len(tiles) > 1:
            middle = tiles[len(tiles) // 2].start
            parts = tuple(_rows(edit, ref, line.op, start, stop) for start, stop in ((0, middle), (middle, line.size)))
            edit.change(ref, Concatenate(parts))
    return edit.step()


def _rows(edit: Editor, ref: Ref, op: Affine, start: int, stop: int) -> Ref:
    """The rows of a product from `start` to `stop`, as a product before it."""

    def cut(name: str) -> str:
        return edit.weight(f"{name}[{start}:{stop}]", edit.weights[name][start:stop])

    part = replace(op, weights=tuple(map(cut, op.weights)), bias=None if op.bias is None else cut(op.bias))
    return edit.insert(ref, replace(edit.lines[ref], op=part, size=stop - start))
