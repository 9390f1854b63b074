"""Run on a slower clock what only follows that clock, so that a product with a frame is made once a frame.

    %2 (80) = condition features           ; every 200
    %3 (128) = affine W @ %2 + V @ %1 + b              ->   %5 (128) = affine W @ %2         ; every 200
                                                            %3 (128) = affine V @ %1 + b + %5

Upsampling is linear along time and the product across channels, so the two change places:

    %3 (80) = upsample %2 by taps          ; %2 every 200
    %4 (256) = affine W @ %3 + V @ %1                  ->   %5 (256) = affine W @ %2         ; every 200
                                                            %6 (256) = upsample %5 by taps
                                                            %4 (256) = affine V @ %1 + %6
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd

from wavejit.ir.graph import Editor, operands
from wavejit.ir.ops import Affine, Combine, Concatenate, Delayed, Line, Map, Phase, Recall, Ref, Slice, Step, Upsample
from wavejit.ir.target import Target

FOLLOWS = (Affine, Map, Combine, Slice, Concatenate)  # operations that mean the same on a slower clock


def slow_down(step: Step, target: Target) -> Step:
    """Give operations the slowest clock that their operands allow."""
    edit = Editor(step)
    # Their delays, filters and parts count ticks of the clock that they were written for.
    timed = {
        line.op.of if isinstance(line.op, (Delayed, Recall)) else line.op.x
        for line in step.lines.values()
        if isinstance(line.op, (Delayed, Recall, Upsample, Phase))
    }
    for ref, line in edit:
        if isinstance(line.op, Affine):
            _hoist_terms(edit, ref, line, line.op)
        if ref not in timed:
            _hoist_line(edit, ref)
    return edit.step()


def slowest_clocks(step: Step) -> dict[Ref, int]:
    """For each value the slowest clock that its operands allow."""
    found: dict[Ref, int] = {}
    for ref, line in step.lines.items():
        read = [found[x] for x in operands(line.op)]
        found[ref] = gcd(*read) if isinstance(line.op, FOLLOWS) else line.clock
    return found


def _hoist_line(edit: Editor, ref: Ref) -> None:
    """Move an operation whose operands are all slower to their common clock."""
    line = edit.lines[ref]
    if isinstance(line.op, FOLLOWS):
        read = [edit.lines[x] for x in operands(line.op)]
        clock = gcd(*(x.clock for x in read))
        if clock > line.clock:
            edit.change(ref, line.op, clock)


def _hoist_terms(edit: Editor, ref: Ref, line: Line, op: Affine) -> None:
    """Take the terms with slower inputs out of an affine that has faster ones too."""
    weights: list[str] = []
    inputs: list[Ref] = []
    addends: list[Ref] = []
    for name, x in zip(op.weights, op.inputs, strict=True):
        source = edit.lines[x]
        if isinstance(source.op, Upsample) and _cheaper(edit, source.op, line.size):
            slow = edit.lines[source.op.x].clock
            made = edit.insert(ref, Line(Affine((name,), (source.op.x,)), line.size, 0, slow, line.where))
            upsampled = replace(source, op=replace(source.op, x=made), size=line.size)
            addends.append(edit.insert(ref, upsampled))
        elif source.clock > line.clock:
            made = Line(Affine((name,), (x,)), line.size, 0, source.clock, line.where)
            addends.append(edit.insert(ref, made))
        else:
            weights.append(name)
            inputs.append(x)
    if addends and weights:
        edit.change(
            ref,
            replace(op, weights=tuple(weights), inputs=tuple(inputs), addends=op.addends + tuple(addends)),
        )


def _cheaper(edit: Editor, upsample: Upsample, rows: int) -> bool:
    """Whether a product of `rows` rows before the upsampling costs a tick less than after it."""
    columns, taps = edit.lines[upsample.x].size, edit.weights[upsample.taps].shape[1]
    return rows * taps < columns * (rows + taps)
