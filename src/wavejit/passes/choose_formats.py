"""Give the weights of each product the format that the step is to be compiled with (`step.precision`).

    %4 = affine W @ %1 + V @ %2 + b      ->     %4 = affine[int8] W @ %1 / 1 + V @ %2 + b

An integer format needs the range of its inputs. Where it follows from how an input is made (%1 is a gated unit:
never beyond 1) it is written behind it, and costs nothing; otherwise the vector is measured each tick. A bound beyond
1 is not used: it comes from adding up what seldom happens together, and would waste most of the integers. Products
of single values, and those on a slower clock, stay float32: they are not worth an error.
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.formats import FORMATS, LONGEST_ROW
from wavejit.ir.graph import Editor
from wavejit.ir.ops import Affine, Line, Step
from wavejit.ir.target import Target
from wavejit.passes.bounds import Bounds

FEWEST_COLUMNS = 8
LARGEST_KNOWN_SCALE = 1.0


def choose_formats(step: Step, target: Target) -> Step:
    """Set the format of each product that is worth it."""
    if step.precision == "float32":
        return step
    bounds = Bounds(step)
    integer = FORMATS[step.precision].limit > 0
    edit = Editor(step)
    for ref, line in edit:
        if isinstance(line.op, Affine) and _worthwhile(step, line, line.op):
            scales = tuple(_full_scale(bounds.of(x)) for x in line.op.inputs) if integer else ()
            edit.change(ref, replace(line.op, format=step.precision, full_scales=scales))
    return edit.step()


def _full_scale(bound: float | None) -> float:
    return bound if bound is not None and bound <= LARGEST_KNOWN_SCALE else 0.0


def _worthwhile(step: Step, line: Line, op: Affine) -> bool:
    sizes = [step.lines[x].size for x in op.inputs]
    return line.clock == 1 and FEWEST_COLUMNS <= min(sizes) and max(sizes) <= LONGEST_ROW
