"""Fuse products that add into the same accumulator, with bias and activation.

    %3 = affine P @ %1                 ->    %6 = tanh(affine P @ %1 + C @ %2 + b + %0)
    %4 = affine C @ %2 + b
    %5 = add %3, %4
    %6 = tanh(add %5, %0)

Only where the product has no other use. A sum of many products (WaveNet's skips) becomes a few, of `MOST_TERMS` terms
each: totals are then loaded and stored once for all of them, and another thread can begin with the first ones. The last
has `LAST_TERMS`: when those are known, all else waits for the sum. What waits for the last sample is not joined with
what does not: the latter is worked out ahead and added. A bias goes to what is worked out on a slower clock, if
anything is.
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.graph import Editor, users
from wavejit.ir.ops import Affine, Combine, Map, Ref, Step
from wavejit.ir.target import Target
from wavejit.passes.order import critical

MOST_TERMS = 8
LAST_TERMS = 2
MANY_TERMS = 4  # more only where the inputs can stand side by side in memory and be read as one
SIDE_BY_SIDE = 16  # elements: the widest vector


def fuse_products(step: Step, target: Target) -> Step:
    """Join products and activations that nothing else reads."""
    used_by, waiting = users(step), critical(step)
    edit = Editor(step)
    place = {ref: i for i, ref in enumerate(step.lines)}

    def product(ref: Ref, clock: int) -> Affine | None:
        """The affine that makes `ref`, if it may be taken apart."""
        line = edit.lines[ref]
        if not isinstance(line.op, Affine) or line.op.activation != "identity":
            return None
        return line.op if len(used_by[ref]) == 1 and line.clock == clock else None

    def absorb(op: Affine, addend: Ref, clock: int) -> Affine:
        """`op` with an addend; one that is known ahead joins what else is."""
        for ahead in op.addends:
            known = product(ahead, clock)
            if known and not {ahead, addend} & waiting and place[addend] < place[ahead]:
                edit.change(ahead, replace(known, addends=(*known.addends, addend)))
                return op
        return replace(op, addends=(*op.addends, addend))

    def following(ref: Ref) -> int:
        """How many more products are added to a sum."""
        count = 0
        while len(used_by[ref]) == 1:
            (ref,) = used_by[ref]
            op = step.lines[ref].op
            if not (isinstance(op, Combine) and op.function == "add" and isinstance(step.lines[op.y].op, Affine)):
                break
            count += 1
        return count

    for ref, line in edit:
        op = line.op
        if isinstance(op, Combine) and op.function == "add" and op.x != op.y:
            x, y = product(op.x, line.clock), product(op.y, line.clock)
            together = (op.x in waiting) == (op.y in waiting)
            last = bool(x and len(x.inputs) + len(x.addends) > MANY_TERMS and following(ref) == LAST_TERMS - 1)
            if x and y and together and not last and _may_join(edit, x, y):
                edit.change(ref, _join(edit, x, y))
            elif x and (not y or (len(x.inputs) <= len(y.inputs) if together else op.x in waiting)):
                edit.change(ref, absorb(x, op.y, line.clock))
            elif y:
                edit.change(ref, absorb(y, op.x, line.clock))
        elif isinstance(op, Map) and op.function != "identity":
            x = product(op.x, line.clock)
            if x:
                edit.change(ref, replace(x, activation=op.function))
    return biases_ahead(edit.step())


def biases_ahead(step: Step) -> Step:
    """Each bias with an addend of a slower clock, where there is one that nothing else reads."""
    used_by = users(step)
    edit = Editor(step)
    for ref, line in edit:
        op = line.op
        if not isinstance(op, Affine) or op.bias is None:
            continue
        for addend in op.addends:
            ahead = edit.lines[addend]
            alone = ahead.clock > line.clock and used_by[addend] == [ref]
            if alone and isinstance(ahead.op, Affine) and ahead.op.activation == "identity" and not ahead.op.bias:
                edit.change(addend, replace(ahead.op, bias=op.bias))
                edit.change(ref, replace(op, bias=None))
                break
    return edit.step()


def _may_join(edit: Editor, x: Affine, y: Affine) -> bool:
    inputs = x.inputs + y.inputs
    if len(inputs) > MOST_TERMS:
        return False
    return len(inputs) <= MANY_TERMS or all(edit.lines[r].size % SIDE_BY_SIDE == 0 for r in inputs)


def _join(edit: Editor, x: Affine, y: Affine) -> Affine:
    bias = x.bias or y.bias
    if x.bias and y.bias:
        bias = edit.weight(_sum_name(x.bias, y.bias), edit.weights[x.bias] + edit.weights[y.bias])
    return Affine(x.weights + y.weights, x.inputs + y.inputs, bias, x.addends + y.addends)


def _sum_name(x: str, y: str) -> str:
    """A name for the sum of two biases that stays short when many are added."""
    return f"{x.split(' + ')[0]} + … + {y}" if " + " in x else f"{x} + {y}"
