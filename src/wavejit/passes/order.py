"""Put what does not wait for the last sample first.

    %3 = affine O @ %2      ; %2 waits for the last draw       ->    %4 = affine R @ %1
    %4 = affine R @ %1      ; %1 is known a tick before it           %3 = affine O @ %2

Slower clocks come first of all: a tick begins with them. The step is split, not sorted: each part keeps the
order in which its family wrote it. `critical` is also what the way from sample to sample is made of.
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.graph import operands
from wavejit.ir.ops import Delayed, Draw, Recall, Ref, Step
from wavejit.ir.target import Target


def order(step: Step, target: Target) -> Step:
    """Slow clocks first, then what is known before the last sample, then the rest."""
    draws = {ref for ref, line in step.lines.items() if isinstance(line.op, Draw)}
    waiting = critical(step) | _reached(step, draws)  # draws are numbered by their order
    lines = sorted(step.lines.items(), key=lambda item: (-item[1].clock, item[0] in waiting))
    return replace(step, lines=dict(lines))


def critical(step: Step) -> set[Ref]:
    """The operations that need the last draw of the tick before, directly or through others."""
    draws = [ref for ref, line in step.lines.items() if isinstance(line.op, Draw)]
    after_draw = _reached(step, set(draws[-1:]))
    last = {
        ref
        for ref, line in step.lines.items()
        if (isinstance(line.op, Recall) or (isinstance(line.op, Delayed) and line.op.ticks == 1))
        and line.op.of in after_draw
    }
    return _reached(step, last)


def _reached(step: Step, start: set[Ref]) -> set[Ref]:
    """`start` and all that depends on it within a tick."""
    reached = set(start)
    for ref, line in step.lines.items():
        if any(x in reached for x in operands(line.op)):
            reached.add(ref)
    return reached
