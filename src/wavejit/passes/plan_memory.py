"""Give each value of a stream its place: counters, rings of past values, buffers of this tick's values.

    %4 (64) = delayed %9, 512     ->    ring of %9: 512 slots of 64 elements; slot = tick mod 512

A value is copied into its ring when what it takes the place of has been read, so that a ring of d slots holds d ticks
back, and a delayed value is read where it lies; a recalled one is copied from where its lag says. Past values that a
faster clock reads after the copy need one slot more.
The inputs of one product are placed side by side where they are whole vectors: the product then reads them as
one. Slices are places within what they slice, and products that are only concatenated are made where the whole lies.
What stays in registers has no place, and what only integer products read has one for its integers alone; so has a past
that only they read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from wavejit.ir.cost import delays
from wavejit.ir.formats import FORMATS, FormatName
from wavejit.ir.graph import clocks, users
from wavejit.ir.layout import Integers, Memory, Ring, draw_scratch, rounded
from wavejit.ir.ops import (
    Affine,
    Combine,
    Concatenate,
    Condition,
    Delayed,
    Draw,
    Emit,
    Lookup,
    Map,
    Phase,
    Recall,
    Ref,
    Slice,
    Step,
    Upsample,
)
from wavejit.ir.target import Target
from wavejit.passes.bounds import Bounds
from wavejit.passes.wanted import Wanted

ALIGNMENT = 16  # elements: one cache line, and the widest vector
COUNTER = 2  # elements: 64 bits
LINES_APART = 32  # elements: two cache lines, which some processors fetch together


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
    wanted = Wanted(step, used_by)
    rings: dict[Ref, Ring] = {}
    for ref, ticks in delays(step).items():
        format, full_scale = wanted.past(ref) or (None, 0.0)
        stride = _slot(step.lines[ref].size, format, full_scale)
        slots = 1 << (ticks + _read_after_copy(step, ref, used_by[ref]) - 1).bit_length()
        start = take(rounded(slots * stride, ALIGNMENT))
        rings[ref] = Ring(start, slots, stride, _initial(step, ref, used_by[ref]), format, full_scale)

    buffers: dict[Ref, int] = {}
    for group in _side_by_side(step, used_by):
        for ref in group:
            if wanted.floats(ref):
                buffers[ref] = take(rounded(step.lines[ref].size, ALIGNMENT))
    for ref, line in step.lines.items():
        if isinstance(line.op, Concatenate) and _made_in_place(step, line.op, used_by, buffers):
            start = buffers[ref] = take(rounded(line.size, ALIGNMENT))
            for part in line.op.parts:
                buffers[part], start = start, start + step.lines[part].size
    for ref in step.lines:
        needed = _needs_buffer(step, ref, used_by[ref], buffers, ref in rings)
        if ref not in buffers and needed and wanted.floats(ref):
            buffers[ref] = take(rounded(step.lines[ref].size, ALIGNMENT))
    integers = _integers(step, wanted, take)
    drawn_from = [step.lines[line.op.parameters].size for line in step.lines.values() if isinstance(line.op, Draw)]
    scratch = take(draw_scratch(max(drawn_from, default=0)))
    progress = take(LINES_APART), take(LINES_APART)
    take(ALIGNMENT)  # a vector that starts at the last element may reach past it
    return replace(step, memory=Memory(size, buffers, rings, scratch, integers, counters, progress))


def _slot(size: int, format: FormatName | None, full_scale: float) -> int:
    """Elements of one past value: floats, or integers and perhaps their scale."""
    if format is not None:
        return rounded(_words(size, format) + (full_scale == 0), ALIGNMENT)
    return rounded(size, ALIGNMENT) if size > 1 else 1


def _words(size: int, format: FormatName) -> int:
    return rounded(size * FORMATS[format].bits, 32) // 32


def _integers(step: Step, wanted: Wanted, take: Callable[[int], int]) -> dict[tuple[Ref, FormatName], Integers]:
    """Places for the integers that products want, the inputs of one product side by side, and for measured scales."""
    products = [line.op for line in step.lines.values() if isinstance(line.op, Affine)]
    by_inputs = [x for op in sorted(products, key=lambda op: -len(op.inputs)) for x in op.inputs]
    full_scales: dict[tuple[Ref, FormatName], float] = {}
    for ref in dict.fromkeys([*by_inputs, *step.lines]):
        if not _in_ring(step, wanted, ref):
            full_scales.update({(ref, format): scale for format, scale in wanted.integers(ref).items()})
    places = {key: take(rounded(_words(step.lines[key[0]].size, key[1]), ALIGNMENT)) for key in full_scales}
    measured = [key for key, full_scale in full_scales.items() if not full_scale]
    first = take(rounded(len(measured), ALIGNMENT))
    scales = {key: first + i for i, key in enumerate(measured)}
    bounds = Bounds(step)

    def clipped(ref: Ref, full_scale: float) -> bool:
        bound = bounds.of(ref)
        return full_scale > 0 and (bound is None or bound > full_scale)

    return {
        key: Integers(places[key], full_scale, scales.get(key, 0), wanted.by_maker(key[0]), clipped(key[0], full_scale))
        for key, full_scale in full_scales.items()
    }


def _in_ring(step: Step, wanted: Wanted, ref: Ref) -> bool:
    """Whether `ref` is a past value whose integers lie in a ring."""
    op = step.lines[ref].op
    return isinstance(op, Delayed) and wanted.past(op.of) is not None


def _needs_buffer(step: Step, ref: Ref, used_by: list[Ref], buffers: dict[Ref, int], remembered: bool) -> bool:
    """Whether a value is computed, or is only a place elsewhere that another clock could not find again."""
    line = step.lines[ref]
    match line.op:
        case Condition() | Recall() | Affine() | Map() | Combine() | Concatenate() | Upsample() | Draw():
            return True
        case Emit():
            return False
        case Slice(x) if _placed(step, x, buffers):
            return False
        case Delayed() | Lookup() | Slice() | Phase() if remembered:
            return True  # what it is found by may be overwritten before it is copied into its ring
        case _:
            return any(step.lines[user].clock != line.clock for user in used_by)


def _made_in_place(step: Step, op: Concatenate, used_by: dict[Ref, list[Ref]], buffers: dict[Ref, int]) -> bool:
    """Whether products make all parts of a concatenation, for it alone, so that they can make them within it."""
    *first, _ = op.parts
    return all(step.lines[part].size % ALIGNMENT == 0 for part in first) and all(
        isinstance(step.lines[part].op, Affine) and len(used_by[part]) == 1 and part not in buffers for part in op.parts
    )


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
                and isinstance(step.lines[x].op, (Recall, Affine, Map, Combine, Upsample))
                and step.lines[x].size % ALIGNMENT == 0
            ]
            groups.append(group)
            taken.update(group)
    return groups


def _read_after_copy(step: Step, ref: Ref, used_by: list[Ref]) -> int:
    clock = step.lines[ref].clock
    late = any(
        isinstance(step.lines[user].op, (Delayed, Recall, Upsample, Phase)) and step.lines[user].clock < clock
        for user in used_by
    )
    return 1 if late else 0


def _initial(step: Step, ref: Ref, used_by: list[Ref]) -> float | str:
    """What the ring holds before the first tick: what its readers agree on."""
    firsts: set[float | str] = set()
    for user in used_by:
        op = step.lines[user].op
        if isinstance(op, Delayed):
            firsts.add(op.initial)
        elif isinstance(op, Upsample) and step.weights[op.taps].shape[1] > 1:
            firsts.add(0.0)  # a filter's past begins with nothing
        elif isinstance(op, Recall) and op.of == ref:
            firsts.add(0.0)
    if len(firsts) > 1:
        raise ValueError(f"readers of one past value disagree on its first value: {sorted(map(str, firsts))}")
    return firsts.pop() if firsts else 0.0
