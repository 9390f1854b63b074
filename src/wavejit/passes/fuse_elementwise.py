"""Run elementwise operations as one loop, and at the end of the product that they take their values from.

    %5 (128) = affine A @ %1 + b
    %6 (64) = slice %5[0:64]
    %7 (64) = slice %5[64:128]         ->    loop of %10: %8, %9, %10 on the rows of %5 in the parts %6, %7
    %8 (64) = tanh %6
    %9 (64) = sigmoid %7
    %10 (64) = multiply %8, %9

What only the loop reads stays in registers: the values inside it, and the product's totals. Going backwards, an
operation joins the loop of its users if all of them are in one, on vectors of its size and clock; otherwise it ends a
loop of its own. A product lends its totals to a loop that alone reads it, whole or in slices of the loop's size that
cover it; its rows are then packed so that what belongs together is worked out together.
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.graph import operands, users
from wavejit.ir.layout import Loop
from wavejit.ir.ops import Affine, Combine, Map, Ref, Slice, Step
from wavejit.ir.target import Target

Users = dict[Ref, list[Ref]]


def fuse_elementwise(step: Step, target: Target) -> Step:
    """Fill in `loops`."""
    used_by = users(step)
    members: dict[Ref, list[Ref]] = {}
    for ref, root in _roots(step, used_by).items():
        members.setdefault(root, []).append(ref)
    return replace(step, loops={root: _loop(step, used_by, sorted_as(step, refs)) for root, refs in members.items()})


def sorted_as(step: Step, refs: list[Ref]) -> tuple[Ref, ...]:
    """The operations in the step's order."""
    wanted = set(refs)
    return tuple(ref for ref in step.lines if ref in wanted)


def _roots(step: Step, used_by: Users) -> dict[Ref, Ref]:
    """For each elementwise operation, the last of its loop."""
    root_of: dict[Ref, Ref] = {}
    for ref in reversed(list(step.lines)):
        line = step.lines[ref]
        if isinstance(line.op, (Map, Combine)):
            roots = {
                root_of[user]
                if user in root_of and step.lines[user].size == line.size and step.lines[user].clock == line.clock
                else None
                for user in used_by[ref]
            }
            (only,) = roots if len(roots) == 1 else (None,)
            root_of[ref] = ref if only is None else only
    return root_of


def _loop(step: Step, used_by: Users, refs: tuple[Ref, ...]) -> Loop:
    inside = set(refs)
    inputs = tuple(dict.fromkeys(x for ref in refs for x in operands(step.lines[ref].op) if x not in inside))
    products = {op.x if isinstance(op := step.lines[x].op, Slice) else x for x in inputs}
    for ref in reversed(list(step.lines)):  # the last one: whatever else the loop reads is there by then
        if ref in products:
            parts = _parts(step, used_by, ref, inputs, inside)
            if parts:
                return Loop(refs, tuple(x for x in inputs if x not in parts), ref, parts)
    return Loop(refs, inputs)


def _parts(step: Step, used_by: Users, product: Ref, inputs: tuple[Ref, ...], inside: set[Ref]) -> tuple[Ref, ...]:
    """The slices of `product` (or itself) that the loop reads, if it can lend its totals to the loop."""
    line, size, clock = step.lines[product], step.lines[inputs[0]].size, step.lines[next(iter(inside))].clock
    if not isinstance(line.op, Affine) or line.clock != clock:
        return ()
    parts = [product] if product in inputs else used_by[product]
    starts: list[int] = []
    for part in parts:
        op = step.lines[part].op
        alone = part in inputs and all(user in inside for user in used_by[part]) and step.lines[part].clock == clock
        if not alone or not (part == product or (isinstance(op, Slice) and op.size == size)):
            return ()
        starts.append(op.start if isinstance(op, Slice) else 0)
    if sorted(starts) != list(range(0, line.size, size)):
        return ()
    return tuple(part for _, part in sorted(zip(starts, parts, strict=True)))
