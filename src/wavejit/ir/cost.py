"""What a tick costs, from the step alone: multiply-adds, bytes of weights read, bytes of state.

Operations on a slower clock count by their share of a tick.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wavejit.ir.formats import FORMATS, nonzero_blocks
from wavejit.ir.ops import Affine, Delayed, Line, Lookup, Recall, Ref, Step, Upsample

FLOAT32_BYTES = 4
LONG_FUNCTIONS = frozenset(("tanh", "sigmoid", "exp"))  # of many operations, each of which waits for another


@dataclass(frozen=True)
class Cost:
    """Per tick of clock 1."""

    multiply_adds: float = 0.0
    weight_bytes: float = 0.0
    state_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.multiply_adds + other.multiply_adds,
            self.weight_bytes + other.weight_bytes,
            self.state_bytes + other.state_bytes,
        )


def cost(step: Step, refs: Iterable[Ref] | None = None) -> Cost:
    """The cost of the operations `refs`, or of the whole step."""
    chosen = step.lines if refs is None else refs
    total = sum((line_cost(step, step.lines[ref]) for ref in chosen), Cost())
    return total + Cost(state_bytes=_state_bytes(step)) if refs is None else total


def line_cost(step: Step, line: Line) -> Cost:
    """The cost of one operation, its state apart. Biases and the scales of rows are weights too."""
    match line.op:
        case Affine(weights, _, bias, _, _, format, _, block_rows):
            elements = sum(step.weights[name].size for name in weights)
            if block_rows:
                blocks = sum(int(nonzero_blocks(step.weights[name], block_rows, format).sum()) for name in weights)
                elements = min(elements, blocks * block_rows * FORMATS[format].unit)
            words = line.size * (bias is not None) + _scales(step, line.op, line.size)
            read = elements * FORMATS[format].bits / 8 + words * FLOAT32_BYTES
            return Cost(elements / line.clock, read / line.clock)
        case Lookup():
            return Cost(0.0, line.size * FLOAT32_BYTES / line.clock)
        case Upsample(_, taps):
            width = step.weights[taps].shape[1]
            return Cost(line.size * width / line.clock, width * FLOAT32_BYTES / line.clock)
        case _:
            return Cost()


def _scales(step: Step, op: Affine, rows: int) -> int:
    """How many scales a product has: for each row, or for each row of each block that it reads."""
    format = FORMATS[op.format]
    if op.unfinished:
        return 0
    if not format.block_scales:
        return rows if op.full_scales else 0
    terms = [step.weights[name] for name in op.weights]
    if op.block_rows:
        return sum(int(nonzero_blocks(term, op.block_rows, op.format).sum()) for term in terms) * op.block_rows
    return rows * sum(-(-term.shape[1] // format.block) for term in terms)


def delays(step: Step) -> dict[Ref, int]:
    """For each value that is asked for later: how many ticks of its clock it must be kept."""
    kept: dict[Ref, int] = {}
    for line in step.lines.values():
        if isinstance(line.op, Delayed):
            kept[line.op.of] = max(kept.get(line.op.of, 0), line.op.ticks)
        elif isinstance(line.op, Recall):
            kept[line.op.of] = max(kept.get(line.op.of, 0), line.op.most)
        elif isinstance(line.op, Upsample):
            taps = step.weights[line.op.taps].shape[1]
            kept[line.op.x] = max(kept.get(line.op.x, 0), taps - 1)
    return kept


def _state_bytes(step: Step) -> int:
    return sum(FLOAT32_BYTES * step.lines[ref].size * ticks for ref, ticks in delays(step).items()) * step.lanes
