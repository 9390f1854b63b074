"""What a kernel has to do for a tick: tasks, the values that they make and keep, and what each of them reads.

A value that a task makes is *kept*: it lies in shared memory, in a few slots, one a tick of its clock. Everything else
(slices, lookups, delayed values, constants) is only a way of finding an element of a kept value or of a weight, and is
written out where it is read. Operations on slower clocks that read nothing of clock 1 run *ahead*, in a kernel of their
own: the conditioning network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.cuda.tiles import COLUMNS_A_WORD, WORDS
from wavejit.ir.formats import FormatName
from wavejit.ir.graph import operands, runs_ahead, users, weights_of
from wavejit.ir.layout import Loop
from wavejit.ir.ops import (
    Affine,
    Combine,
    Concatenate,
    Condition,
    Constant,
    Delayed,
    Draw,
    Emit,
    Line,
    Lookup,
    Map,
    Phase,
    Recall,
    Ref,
    Slice,
    Step,
    Upsample,
)

Indices = NDArray[np.intp]
SMALL_PAST = 2048  # bytes of float32: a past that is no longer lies in shared memory, a longer one in global memory
NEAR = 2  # ticks: how far back the slots reach of a value whose past lies in global memory
AHEAD_OF_READERS = 1  # ticks that the maker of a value may be ahead of its readers


@dataclass(frozen=True)
class Task:
    """What makes one value: a product, a loop of elementwise operations (perhaps at a product's end), a draw, audio.

    Attributes:
        makes: the operation whose value it is.
        product: the affine operation whose totals it takes, if any.
        parts: into how many parts the product's rows are cut.
        outputs: elements of a part, which is what teams share.
    """

    makes: Ref
    product: Ref | None
    parts: int
    outputs: int


@dataclass(frozen=True)
class Read:
    """Elements of a kept value that a task reads, so many ticks of its clock ago; None: all, or it varies.

    `of_product`: as the input of a product, in its format.
    """

    value: Ref
    ticks: int
    elements: Indices | None
    of_product: bool = False


@dataclass(frozen=True)
class Kept:
    """How a value is kept.

    Attributes:
        formats: it is stored in. If expressions read it, the first is "float32"; classes lie there as integers.
        slots: in shared memory, a power of two.
        ring: slots in global memory, or 0.
        scale: for int8, the largest magnitude that it can have.
    """

    formats: tuple[FormatName, ...]
    slots: int
    ring: int
    scale: float


class Graph:
    """A step after the passes that rewrite it, sorted for a kernel."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.lines = step.lines
        self.used_by = users(step)
        self.ahead = runs_ahead(step)
        self.loops = {root: self._own(root, loop) for root, loop in step.loops.items()}
        self.ahead -= {x for root, loop in self.loops.items() if root not in self.ahead for x in loop.refs}
        self._lent = {loop.product for loop in self.loops.values() if loop.product is not None}
        inside = {ref for loop in self.loops.values() for ref in (*loop.refs[:-1], *loop.parts)}
        self.inside = inside | self._lent
        self._copied: set[Ref] = set()
        self._scales: dict[Ref, float] = {}  # of each value's integers
        self._find_copies()

    def _own(self, root: Ref, loop: Loop) -> Loop:
        """A loop with the product that lends it its totals, unless that has run ahead of it."""
        if loop.product in self.ahead and root not in self.ahead:
            return Loop(loop.refs, (*loop.inputs, *loop.parts))
        return loop

    # ---------------------------------------------------------------------------------------- tasks

    def makes(self, ref: Ref) -> bool:
        """Whether a task makes this value."""
        if ref in self.inside:
            return False
        computed = isinstance(self.lines[ref].op, (Affine, Map, Combine, Draw, Emit))
        return computed or ref in self._copied or (ref in self.ahead and isinstance(self.lines[ref].op, Condition))

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the loop, in order."""
        return tuple(self.task(ref) for ref in self.lines if self.makes(ref) and ref not in self.ahead)

    @cached_property
    def ahead_tasks(self) -> tuple[Task, ...]:
        """The tasks of the conditioning network, in order."""
        return tuple(self.task(ref) for ref in self.lines if self.makes(ref) and ref in self.ahead)

    def task(self, ref: Ref) -> Task:
        line, loop = self.lines[ref], self.loops.get(ref)
        if loop is not None and loop.product is not None:
            return Task(ref, loop.product, len(loop.parts), line.size)
        if isinstance(line.op, Affine):
            parts = self._parts_taken(ref)
            return Task(ref, ref, parts, line.size // parts)
        return Task(ref, None, 1, line.size)

    def _parts_taken(self, ref: Ref) -> int:
        """Into how many slices of one size everything that reads a product cuts it: its rows then go together."""
        slices = [self.lines[user].op for user in self.used_by[ref]]
        sizes = {op.size if isinstance(op, Slice) else 0 for op in slices}
        size = sizes.pop() if len(sizes) == 1 else 0
        return self.lines[ref].size // size if size and self.lines[ref].size % size == 0 else 1

    # ---------------------------------------------------------------------------------------- reads

    def reads(self, task: Task, outputs: range) -> Iterator[Read]:
        """What of kept values is read for some of a task's outputs."""
        here = np.arange(outputs.start, outputs.stop)
        if task.product is not None:
            op = self.lines[task.product].op
            assert isinstance(op, Affine)
            for x in op.inputs:
                value, ticks, _ = self.place_of(x)
                yield Read(value, ticks, None, of_product=True)
            for addend in op.addends:
                for part in range(task.parts):
                    yield from self.elements(addend, part * task.outputs + here)
        loop = self.loops.get(task.makes)
        if loop is not None:
            for x in loop.inputs:
                yield from self.elements(x, here)
        elif task.product is None:
            op = self.lines[task.makes].op
            if isinstance(op, (Draw, Emit)):
                yield from self.elements(operands(op)[0], np.arange(self.lines[operands(op)[0]].size))
            else:
                yield from self.found(task.makes, here)

    def elements(self, ref: Ref, at: Indices) -> Iterator[Read]:
        """What is read to know elements of any value."""
        if self.makes(ref):
            yield Read(ref, 0, at)
        else:
            yield from self.found(ref, at)

    def found(self, ref: Ref, at: Indices) -> Iterator[Read]:
        """What is read to find elements of a value that is found elsewhere."""
        match self.lines[ref].op:
            case Constant() | Condition():
                return
            case Delayed(of, ticks):
                yield Read(of, ticks, at)
            case Recall(of, lag):
                yield from self.elements(lag, np.zeros(1, np.intp))
                yield Read(of, 1, None)
            case Lookup(_, index):
                yield from self.elements(index, np.zeros(1, np.intp))
            case Slice(x, start):
                yield from self.elements(x, start + at)
            case Phase(x, parts):
                size = self.lines[x].size // parts
                for part in range(parts):
                    yield from self.elements(x, part * size + at)
            case Upsample(x, taps):
                for ticks in range(self.step.weights[taps].shape[1]):
                    yield Read(x, ticks, at)
            case Concatenate(parts):
                start = 0
                for part in parts:
                    size = self.lines[part].size
                    inside = at[(at >= start) & (at < start + size)] - start
                    if len(inside):
                        yield from self.elements(part, inside)
                    start += size
            case op:
                raise AssertionError(f"{type(op).__name__} is computed, not found")

    def place_of(self, x: Ref) -> tuple[Ref, int, int]:
        """Where a product finds an input: in which kept value, how many ticks ago, from which element on."""
        op = self.lines[x].op
        if not self.makes(x) and isinstance(op, Delayed):
            return op.of, op.ticks, 0
        if not self.makes(x) and isinstance(op, Slice):
            return op.x, 0, op.start
        return x, 0, 0

    # -------------------------------------------------------------------------------------- copies

    def _find_copies(self) -> None:
        """Find what must be kept although it is only found elsewhere: until nothing is left."""
        while True:
            before = len(self._copied)
            for ref, line in self.lines.items():
                if ref in self.inside:
                    if ref in self._lent:
                        self._copy_inputs(line)
                    continue
                if isinstance(line.op, (Delayed, Recall)):
                    self._copy(line.op.of)
                elif isinstance(line.op, (Upsample, Phase)):
                    self._copy(line.op.x)
                elif isinstance(line.op, Affine):
                    self._copy_inputs(line)
                elif isinstance(line.op, Draw):
                    of = self.lines[line.op.parameters].op
                    if not (isinstance(of, Slice) and self.makes(of.x)):
                        self._copy(line.op.parameters)
                # It would be found in another place by the time that another clock reads it.
                timed = isinstance(line.op, (Delayed, Recall, Lookup, Phase, Upsample, Slice, Concatenate))
                if timed and any(self.lines[user].clock != line.clock for user in self.used_by[ref]):
                    self._copy(ref)
                crosses = ref in self.ahead and any(user not in self.ahead for user in self.used_by[ref])
                if crosses and not isinstance(line.op, Constant):
                    self._copy(ref)
            if len(self._copied) == before:
                return

    def _copy(self, ref: Ref) -> None:
        if not self.makes(ref):
            self._copied.add(ref)

    def _copy_inputs(self, line: Line) -> None:
        """Let a product's inputs lie where its tiles can be read."""
        assert isinstance(line.op, Affine)
        for i, x in enumerate(line.op.inputs):
            if self.makes(x):
                continue
            op = self.lines[x].op
            step = WORDS * COLUMNS_A_WORD.get(line.op.format, 1)
            aligned = isinstance(op, Slice) and op.start % step == 0 and op.size % step == 0 and self.makes(op.x)
            near = isinstance(op, Delayed) and self.makes(op.of) and self._within_slots(op.of, op.ticks)
            scale = line.op.full_scales[i] if line.op.full_scales else 0.0
            same_scale = not scale or self._scales.setdefault(self.place_of(x)[0], scale) == scale
            if not (aligned or near) or self.lines[x].clock != line.clock or not same_scale:
                self._copied.add(x)

    def _within_slots(self, of: Ref, ticks: int) -> bool:
        return ticks <= NEAR or self._past_is_small(of)

    def _past_is_small(self, ref: Ref) -> bool:
        slots = _power_of_two(self.longest(ref) + 1 + AHEAD_OF_READERS)
        return slots * 4 * self.lines[ref].size <= SMALL_PAST

    def longest(self, ref: Ref) -> int:
        """How many ticks ago a value is asked for, at most."""
        longest = 0
        for user in self.used_by[ref]:
            match self.lines[user].op:
                case Delayed(of, ticks) if of == ref:
                    longest = max(longest, ticks)
                case Recall(of, _, most) if of == ref:
                    longest = max(longest, most)
                case Upsample(_, taps):
                    longest = max(longest, self.step.weights[taps].shape[1] - 1)
                case _:
                    pass
        return longest

    # ---------------------------------------------------------------------------------------- kept

    @cached_property
    def kept(self) -> dict[Ref, Kept]:
        """How each value of the loop is kept."""
        formats: dict[Ref, dict[FormatName, float]] = {task.makes: {} for task in self.tasks}
        nearest: dict[Ref, int] = {}  # the longest delay that slots must reach
        for task in self.tasks:
            for read in self.reads(task, range(task.outputs)):
                if read.value in formats and not (read.ticks > NEAR and not self._past_is_small(read.value)):
                    nearest[read.value] = max(nearest.get(read.value, 0), read.ticks)
                    if read.elements is not None or not read.of_product:
                        formats[read.value]["float32"] = 0.0
            if task.product is not None:
                op = self.lines[task.product].op
                assert isinstance(op, Affine)
                for i, x in enumerate(op.inputs):
                    scale = op.full_scales[i] if op.full_scales else 0.0
                    formats[self.place_of(x)[0]][op.format] = scale
        found: dict[Ref, Kept] = {}
        for ref, wanted in formats.items():
            if isinstance(self.lines[ref].op, Emit):
                continue
            longest = self.longest(ref)
            small = self._past_is_small(ref)
            reach = longest if small else nearest.get(ref, 0)
            slots = _power_of_two(reach + 1 + AHEAD_OF_READERS)
            ring = 0 if small or longest <= NEAR else _power_of_two(longest + 1 + AHEAD_OF_READERS)
            names = tuple(sorted(wanted, key=lambda name: (name != "float32", name)))
            found[ref] = Kept(names, slots, ring, wanted.get("int8", 0.0))
        return found

    def initial(self, ref: Ref) -> float | str:
        """What a value was before the first tick: what its readers agree on."""
        for user in self.used_by[ref]:
            op = self.lines[user].op
            if isinstance(op, Delayed) and op.of == ref:
                return op.initial
        return 0.0

    def ring_of(self, ref: Ref, ticks: int) -> bool:
        """Whether what a value was so many ticks ago lies in global memory."""
        kept = self.kept[ref]
        return kept.ring > 0 and ticks > NEAR

    def part_of_frame(self, condition: Ref) -> tuple[int, int]:
        """Where a condition begins in a frame, which holds all of them, and the frame's size."""
        sizes = {ref: line.size for ref, line in self.lines.items() if isinstance(line.op, Condition)}
        before = list(sizes)[: list(sizes).index(condition)]
        return sum(sizes[ref] for ref in before), sum(sizes.values())

    @cached_property
    def frame_clock(self) -> int:
        """Ticks from one conditioning frame to the next; 0 without them."""
        return max((line.clock for line in self.lines.values() if isinstance(line.op, Condition)), default=0)

    @cached_property
    def ahead_tensors(self) -> set[str]:
        """The tensors that the conditioning network reads."""
        return {name for ref in self.ahead for name in weights_of(self.lines[ref].op)}

    @cached_property
    def exported(self) -> set[Ref]:
        """Values of the conditioning network that the loop reads."""
        return {ref for ref in self.ahead if any(user not in self.ahead for user in self.used_by[ref])}


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()
