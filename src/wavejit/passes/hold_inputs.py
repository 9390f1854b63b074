"""Hold what products and draws read of slower clocks, or of what runs ahead.

A backend may want all their inputs in one kind of memory.

    %9 (80) = condition features           ; every 200
    %12 (4) = draw from %9                                 ->    %20 (80) = identity %9
                                                                 %12 (4) = draw from %20
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.graph import Editor, runs_ahead
from wavejit.ir.ops import Affine, Draw, Line, Map, Ref, Step
from wavejit.ir.target import Target


def hold_inputs(step: Step, target: Target) -> Step:
    """Put an identity on the reader's clock before each slower input of a product or a draw."""
    edit = Editor(step)
    held: dict[tuple[Ref, int], Ref] = {}
    ahead = runs_ahead(step)

    def hold(before: Ref, x: Ref, clock: int) -> Ref:
        line = edit.lines[x]
        if line.clock <= clock and not (x in ahead and before not in ahead):
            return x
        if (x, clock) not in held:
            held[x, clock] = edit.insert(before, Line(Map("identity", x), line.size, 0, clock, line.where))
        return held[x, clock]

    for ref, line in edit:
        if isinstance(line.op, Affine):
            edit.change(ref, replace(line.op, inputs=tuple(hold(ref, x, line.clock) for x in line.op.inputs)))
        elif isinstance(line.op, Draw):
            edit.change(ref, replace(line.op, parameters=hold(ref, line.op.parameters, line.clock)))
    return edit.step()
