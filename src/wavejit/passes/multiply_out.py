"""Multiply linear layers out: a product with a layer's inputs may be much smaller than one with its outputs.

    %3 (256) = affine V @ %1 + U @ %2 + c        ; %1 (1), %2 (80) every 200
    %4 (768) = affine W @ %3 + b           ->    %4 (768) = affine W V @ %1 + W U @ %2 + (b + W c)

Of 256 columns one is left that waits for the last sample; the next passes make the other products once a frame. And
%3 is not rounded to integers any more. Of a sum of values that one is multiplied out which is made by a linear layer:

    %5 (256) = add %3, %0                  ->    %7 (128) = affine X V @ %1 + X U @ %2 + X c
    %6 (128) = affine X @ %5 + b                 %6 (128) = affine X @ %0 + b + %7

Only where what is multiplied out costs a tick a quarter of the product at most: what is made here is dense, and stays
float32 where the product might have 8 bits. And only if the other value of a sum is bounded, so that its integers need
not be measured each tick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.graph import Editor
from wavejit.ir.ops import Affine, Combine, Ref, Step, Upsample
from wavejit.ir.target import Target
from wavejit.passes.bounds import Bounds
from wavejit.passes.slow_down import slowest_clocks

LARGEST_SHARE = 0.25  # of a product's multiply-adds

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class _Sum:
    """A product with a value, as products with other values: `sum of weights @ inputs + bias`.

    Attributes:
        terms: the name and the data of each weight, and what it is multiplied by.
        bias: the name and the data, if there is one.
        kept: what the weight itself is to be multiplied by, if anything.
    """

    terms: tuple[tuple[str, Matrix, Ref], ...]
    bias: tuple[str, Matrix] | None = None
    kept: Ref | None = None


def multiply_out(step: Step, target: Target) -> Step:
    """Replace products with what linear layers make by products with what these read."""
    edit, bounds, clocks = Editor(step), Bounds(step), slowest_clocks(step)
    for ref, line in edit:
        if isinstance(line.op, Affine):
            for name, x in zip(line.op.weights, line.op.inputs, strict=True):
                found = _multiplied_out(edit, bounds, name, x)
                alone = np.count_nonzero(edit.weights[name]) / clocks[x]
                if found and _cost(edit, found, clocks) <= LARGEST_SHARE * alone:
                    _change(edit, ref, name, x, found)
    return edit.step()


def _multiplied_out(edit: Editor, bounds: Bounds, name: str, x: Ref) -> _Sum | None:
    """The product of a weight and `x`, if that is made by a linear layer, or is a sum of such a value and another."""
    weight = edit.weights[name]

    def times(other: str) -> tuple[str, Matrix]:
        exact = weight.astype(np.float64) @ edit.weights[other].astype(np.float64)
        return f"{name} @ {other}", exact.astype(np.float32)

    match edit.lines[x].op:
        case Affine(weights, inputs, bias, (), "identity"):
            terms = tuple((*times(other), y) for other, y in zip(weights, inputs, strict=True))
            return _Sum(terms, None if bias is None else times(bias))
        case Combine("add", a, b):
            for linear, other in ((a, b), (b, a)):
                if bounds.known(other):
                    found = _multiplied_out(edit, bounds, name, linear)
                    if found and found.kept is None:
                        return replace(found, kept=other)
        case _:
            pass
    return None


def _cost(edit: Editor, found: _Sum, clocks: Mapping[Ref, int]) -> float:
    """Multiply-adds a tick, without those of what is kept, when each term is on the slowest clock that it allows."""
    cost = 0.0
    for _, matrix, x in found.terms:
        source, count = edit.lines[x].op, np.count_nonzero(matrix)
        at_once = count / clocks[x]
        if isinstance(source, Upsample):  # the product may come before it
            taps = edit.weights[source.taps].shape[1]
            at_once = min(at_once, count / clocks[source.x] + len(matrix) * taps / clocks[x])
        cost += at_once
    return cost


def _change(edit: Editor, ref: Ref, name: str, x: Ref, found: _Sum) -> None:
    """Put a sum in the place of one term of the product `ref`."""
    line = edit.lines[ref]
    assert isinstance(line.op, Affine), "products have terms"
    left = [term for term in zip(line.op.weights, line.op.inputs, strict=True) if term != (name, x)]
    left += [] if found.kept is None else [(name, found.kept)]
    weights = tuple(edit.weight(label, matrix) for label, matrix, _ in found.terms)
    made = Affine(weights, tuple(y for *_, y in found.terms), edit.weight(*found.bias) if found.bias else None)
    if left:  # apart: a product has one format, and what is made stays float32
        addend = edit.insert(ref, replace(line, op=made))
        names, inputs = zip(*left, strict=True)
        edit.change(ref, replace(line.op, weights=names, inputs=inputs, addends=(*line.op.addends, addend)))
        return
    bias = line.op.bias or made.bias
    if line.op.bias and made.bias:
        both = edit.weights[line.op.bias] + edit.weights[made.bias]
        bias = edit.weight(f"{line.op.bias} + {made.bias}", both)
    edit.change(ref, replace(line.op, weights=made.weights, inputs=made.inputs, bias=bias))
