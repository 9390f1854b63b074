"""Give each value of a stream its place: counters, rings of past values, buffers of this tick's values.

    %4 (64) = delayed %9, 512     ->    ring of %9: 512 slots of 64 elements; slot = tick mod 512

A value is copied into its ring at the end of its tick, so that a ring of d slots holds d ticks back, and a
delayed value is read where it lies. Past values that a faster clock reads after the copy need one slot more.
The inputs of one product are placed side by side where they are whole vectors: the product then reads them as
one. Slices are places within what they slice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from wavejit.ir.cost import delays
from wavejit.ir.formats import FORMATS
from wavejit.ir.graph import clocks, users
from wavejit.ir.layout import Memory, Ring, draw_scratch, rounded
from wavejit.ir.ops import (
    Affine,
    Combine,
    Concatenate,
    Condition,
    Delayed,
    Draw,
    Emit,
    Map,
    Phase,
    Ref,
    Slice,
    Step,
    Upsample,
)
from wavejit.ir.target import Target

ALIGNMENT = 16  # elements: one cache line, and the widest vector
COUNTER = 2  # elements: 64 bits


def plan_memory(step: Step, target: Target) -> Step:
    """Fill in `memory`."""
    size = 0

    def take(elements: int) -> int:
        nonlocal size
        size += elements
        return size - elements

    counters = {clock: take(COUNTER) for clock in clocks(step)}
    size = rounded(size, ALIGNMENT)
    used_by = users(step)
    rings: dict[Ref, Ring] = {}
    for ref, ticks in delays(step).items():
        stride = rounded(step.lines[ref].size, ALIGNMENT) if step.lines[ref].size > 1 else 1
        slots = 1 << (ticks + _read_after_copy(step, ref, used_by[ref]) - 1).bit_length()
        rings[ref] = Ring(take(rounded(slots * stride, ALIGNMENT)), slots, stride, _initial(step, used_by[ref]))

    buffers: dict[Ref, int] = {}
    for group in _side_by_side(step, used_by):
        for ref in group:
            buffers[ref] = take(rounded(step.lines[ref].size, ALIGNMENT))
    for ref in step.lines:
        if ref not in buffers and _needs_buffer(step, ref, used_by[ref], buffers, ref in rings):
            buffers[ref] = take(rounded(step.lines[ref].size, ALIGNMENT))
    quantised, scales = _quantised(step, take)
    drawn_from = [step.lines[line.op.parameters].size for line in step.lines.values() if isinstance(line.op, Draw)]
    scratch = take(draw_scratch(max(drawn_from, default=0)))
    take(ALIGNMENT)  # a vector that starts at the last element may reach past it
    return replace(step, memory=Memory(size, buffers, rings, scratch, quantised, scales, counters))


def _quantised(step: Step, take: Callable[[int], int]) -> tuple[dict[Ref, int], dict[Ref, int]]:
    """Places for the integers of each input of integer products, those of one product side by side; their scales."""
    known: dict[Ref, tuple[float, int]] = {}
    products = [line.op for line in step.lines.values() if isinstance(line.op, Affine) and line.op.full_scales]
    for op in sorted(products, key=lambda op: -len(op.inputs)):
        for x, full_scale in zip(op.inputs, op.full_scales, strict=True):
            words = rounded(step.lines[x].size * FORMATS[op.format].bytes, 4) // 4
            known.setdefault(x, (full_scale, rounded(words, ALIGNMENT)))
    quantised = {x: take(words) for x, (_, words) in known.items()}
    measured = [x for x, (full_scale, _) in known.items() if not full_scale]
    first = take(rounded(len(measured), ALIGNMENT))
    return quantised, {x: first + i for i, x in enumerate(measured)}


def _needs_buffer(step: Step, ref: Ref, used_by: list[Ref], buffers: dict[Ref, int], remembered: bool) -> bool:
    """Whether a value is computed, or is only a place elsewhere that another clock could not find again."""
    line = step.lines[ref]
    match line.op:
        case Condition() | Affine() | Map() | Combine() | Concatenate() | Upsample() | Draw():
            return True
        case Emit():
            return False
        case Slice(x) if _placed(step, x, buffers):
            return False
        case Delayed() | Slice() | Phase() if remembered:
            return True  # what it is a place in may be overwritten before it is copied into its ring
        case _:
            return any(step.lines[user].clock != line.clock for user in used_by)


def _placed(step: Step, ref: Ref, buffers: dict[Ref, int]) -> bool:
    op = step.lines[ref].op
    return ref in buffers or (isinstance(op, Slice) and _placed(step, op.x, buffers))


def _side_by_side(step: Step, used_by: dict[Ref, list[Ref]]) -> list[list[Ref]]:
    """Inputs of products of several terms, in their order, each value in one group at most."""
    groups: list[list[Ref]] = []
    taken: set[Ref] = set()
    for line in step.lines.values():
        if isinstance(line.op, Affine) and len(line.op.inputs) > 1:
            group = [
                x
                for x in dict.fromkeys(line.op.inputs)
                if x not in taken
                and isinstance(step.lines[x].op, (Affine, Map, Combine, Upsample))
                and step.lines[x].size % ALIGNMENT == 0
            ]
            groups.append(group)
            taken.update(group)
    return groups


def _read_after_copy(step: Step, ref: Ref, used_by: list[Ref]) -> int:
    clock = step.lines[ref].clock
    late = any(
        isinstance(step.lines[user].op, (Delayed, Upsample, Phase)) and step.lines[user].clock < clock
        for user in used_by
    )
    return 1 if late else 0


def _initial(step: Step, used_by: list[Ref]) -> float | str:
    """What the ring holds before the first tick: what its readers agree on."""
    firsts: set[float | str] = set()
    for user in used_by:
        op = step.lines[user].op
        if isinstance(op, Delayed):
            firsts.add(op.initial)
        elif isinstance(op, Upsample) and step.weights[op.taps].shape[1] > 1:
            firsts.add(0.0)  # a filter's past begins with nothing
    if len(firsts) > 1:
        raise ValueError(f"readers of one past value disagree on its first value: {sorted(map(str, firsts))}")
    return firsts.pop() if firsts else 0.0
