"""Fuse products that add into the same accumulator, with bias and activation.

    %3 = affine P @ %1                 ->    %6 = tanh(affine P @ %1 + C @ %2 + b + %0)
    %4 = affine C @ %2 + b
    %5 = add %3, %4
    %6 = tanh(add %5, %0)

Only where the product has no other use. A sum of many products (WaveNet's skips) becomes one: its accumulators
are then loaded and stored once, not once a layer.
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.graph import Editor, users
from wavejit.ir.ops import Affine, Combine, Map, Ref, Step
from wavejit.ir.target import Target

MANY_TERMS = 4  # more only where the inputs can stand side by side in memory and be read as one
SIDE_BY_SIDE = 16  # elements: the widest vector


def fuse_products(step: Step, target: Target) -> Step:
    """Join products and activations that nothing else reads."""
    used_by = users(step)
    edit = Editor(step)

    def product(ref: Ref, clock: int) -> Affine | None:
        """The affine that makes `ref`, if it may be taken apart."""
        line = edit.lines[ref]
        if not isinstance(line.op, Affine) or line.op.activation != "identity":
            return None
        return line.op if len(used_by[ref]) == 1 and line.clock == clock else None

    for ref, line in edit:
        op = line.op
        if isinstance(op, Combine) and op.function == "add":
            x, y = product(op.x, line.clock), product(op.y, line.clock)
            if x and y and _may_join(edit, x, y):
                edit.change(ref, _join(edit, x, y))
            elif x and op.x != op.y:
                edit.change(ref, replace(x, addends=(*x.addends, op.y)))
            elif y and op.x != op.y:
                edit.change(ref, replace(y, addends=(*y.addends, op.x)))
        elif isinstance(op, Map) and op.function != "identity":
            x = product(op.x, line.clock)
            if x:
                edit.change(ref, replace(x, activation=op.function))
    return edit.step()


def _may_join(edit: Editor, x: Affine, y: Affine) -> bool:
    inputs = x.inputs + y.inputs
    return len(inputs) <= MANY_TERMS or all(edit.lines[r].size % SIDE_BY_SIDE == 0 for r in inputs)


def _join(edit: Editor, x: Affine, y: Affine) -> Affine:
    bias = x.bias or y.bias
    if x.bias and y.bias:
        bias = edit.weight(_sum_name(x.bias, y.bias), edit.weights[x.bias] + edit.weights[y.bias])
    return Affine(x.weights + y.weights, x.inputs + y.inputs, bias, x.addends + y.addends)


def _sum_name(x: str, y: str) -> str:
    """A name for the sum of two biases that stays short when many are added."""
    return f"{x.split(' + ')[0]} + … + {y}" if " + " in x else f"{x} + {y}"
