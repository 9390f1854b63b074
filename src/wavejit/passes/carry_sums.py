"""Let a product go on with the integer sum of another, where both have int8 weights and inputs of one known scale.

    %4 = affine[int8] P @ %1 / 2 + c                ->    %4 = sums[int8] P @ %1 / 2
    %5 = affine[int8] C @ %2 / 2 + b + %4                 %5 = affine[int8] sums %4 + C @ %2 / 2 + b + c

The bare integers are handed on, and only the last product scales them: the others read neither scales nor biases, and
have nothing to convert. Where most weights are zeros that is half of what they would read. The rows of all have one
scale, as if the products were one; they stay several, so that those whose inputs are known earlier run earlier
(WaveNet's past taps and skips).
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.formats import LONGEST_ROW
from wavejit.ir.graph import Editor, users
from wavejit.ir.ops import Affine, Line, Ref, Step
from wavejit.ir.target import Target
from wavejit.passes.fuse_products import biases_ahead


def carry_sums(step: Step, target: Target) -> Step:
    """Hand integer sums from product to product."""
    used_by = users(step)
    edit = Editor(step)
    for ref, line in edit:
        for addend in line.op.addends if isinstance(line.op, Affine) else ():
            if len(used_by[addend]) == 1:
                _carry(edit, addend, ref)
    return biases_ahead(_with_all_weights(edit.step()))


def _carry(edit: Editor, before: Ref, ref: Ref) -> None:
    """Let `ref` go on with the sum of `before`, if both are such products and it has none yet."""
    first, then = edit.lines[before], edit.lines[ref]
    if not isinstance(first.op, Affine) or not isinstance(then.op, Affine):
        return
    alike = first.clock == then.clock and first.op.activation == "identity" and _scale(first) == _scale(then) != 0
    columns = sum(edit.weights[name].shape[1] for name in (*_carried(first.op), *_carried(then.op)))
    if not alike or then.op.continues is not None or columns > LONGEST_ROW:
        return
    bias = first.op.bias or then.op.bias
    if first.op.bias and then.op.bias:
        total = edit.weights[first.op.bias] + edit.weights[then.op.bias]
        bias = edit.weight(f"{first.op.bias} + {then.op.bias}", total)
    addends = tuple(x for x in then.op.addends if x != before) + first.op.addends
    together = _carried(first.op) + _carried(then.op)
    edit.change(ref, replace(then.op, bias=bias, addends=addends, continues=before, scaled_with=together))
    edit.change(before, replace(first.op, bias=None, addends=(), unfinished=True, scaled_with=together))


def _carried(op: Affine) -> tuple[str, ...]:
    """The weights of a product, and of those whose sum it goes on with."""
    return op.scaled_with or op.weights


def _scale(line: Line) -> float:
    """The one known scale of a product's inputs, or 0. Totals in an order of their own are not handed on."""
    assert isinstance(line.op, Affine), "asked of products"
    scales = set(line.op.full_scales)
    return max(scales) if line.op.format == "int8" and len(scales) == 1 and not line.op.by_fill else 0.0


def _with_all_weights(step: Step) -> Step:
    """Every product of a sum with the weights of all of them, which the last one knows."""
    edit = Editor(step)
    for ref in reversed(list(step.lines)):
        op = edit.lines[ref].op
        if isinstance(op, Affine) and op.continues is not None:
            before = edit.lines[op.continues].op
            assert isinstance(before, Affine), "sums are made by products"
            edit.change(op.continues, replace(before, scaled_with=op.scaled_with))
    return edit.step()
