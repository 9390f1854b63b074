"""The tasks of a tick: what a kernel does, what it reads and writes, and when another thread must wait for it.

A task reads and writes *regions* of a stream's memory: a value as floats, its integers in a format, its past. One
thread runs all tasks in their order. Where two share them, each runs its own in that order, and waits for a task of the
other that writes what it is about to read, or reads what it is about to overwrite, in this tick or an earlier one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wavejit.ir.formats import FORMATS, FormatName
from wavejit.ir.graph import clocks, operands
from wavejit.ir.layout import Memory, Region
from wavejit.ir.ops import (
    Affine,
    Concatenate,
    Constant,
    Delayed,
    Draw,
    Lookup,
    Phase,
    Recall,
    Ref,
    Slice,
    Step,
    Upsample,
)

SLOW: Region = ("slower clocks", 0, "")
SCRATCH: Region = ("scratch", 0, "")


@dataclass(frozen=True)
class Task:
    """One kernel.

    Attributes:
        makes: the region that the task is there for.
        reads: regions, each with how many ticks back.
        writes: regions.
    """

    makes: Region
    reads: frozenset[tuple[Region, int]]
    writes: frozenset[Region]

    @property
    def ref(self) -> Ref:
        return self.makes[1]


def tasks_of(step: Step, clock: int = 1) -> list[Task]:
    """The tasks of one clock, in order; what remembers a value is near what makes it."""
    assert step.memory is not None, "memory is planned"
    return _Collector(step, step.memory, clock).tasks


def product_of(step: Step, task: Task) -> Ref | None:
    """The product that a task runs: what it makes, or what its loop takes its values from."""
    loop = step.loops.get(task.ref)
    ref = loop.product if loop and loop.product is not None else task.ref
    return ref if task.makes[0] == "value" and isinstance(step.lines[ref].op, Affine) else None


def interleaved(step: Step, tasks: Sequence[Task]) -> list[Task]:
    """Tasks of one thread, with what is known ahead put between those that wait for each other.

    A task goes to where the last of what else its reader needs is about to begin: while that one waits for the one
    before, a processor that runs instructions out of order works ahead.

        P2 P3 G1 R1 G2 R2 G3        ->        G1 P2 R1 G2 P3 R2 G3         G2 reads P2 and R1, G3 reads P3 and R2
    """
    needs = [{j for j, back in each if back == 0} for each in needs_of(step, tasks)]
    reader: dict[int, int] = {}  # the first that needs a task
    for i, each in enumerate(needs):
        for j in each:
            reader.setdefault(j, i)
    before: dict[int, list[int]] = {}
    for i in range(len(tasks)):
        first = reader.get(i, i)
        other = max((j for j in needs[first] if j != i), default=-1)
        before.setdefault(other if i < other < first else i, []).append(i)
    return [tasks[i] for at in range(len(tasks)) for i in sorted(before.get(at, ()), key=lambda i: (i == at, i))]


def made_in_place(step: Step, memory: Memory, ref: Ref) -> bool:
    """Whether the parts of a concatenation are made within it."""
    op, at = step.lines[ref].op, memory.buffers.get(ref)
    if not isinstance(op, Concatenate) or at is None:
        return False
    for part in op.parts:
        if memory.buffers.get(part) != at:
            return False
        at += step.lines[part].size
    return True


class _Collector:
    def __init__(self, step: Step, memory: Memory, clock: int) -> None:
        self._step, self._memory, self._clock = step, memory, clock
        loops = step.loops.values()
        in_registers = {loop.product for loop in loops} | {
            ref for loop in loops for ref in (*loop.parts, *loop.refs[:-1])
        }
        self._made = {key for key, integers in memory.integers.items() if integers.by_maker}
        self.tasks: list[Task] = []
        mine = [ref for ref, line in step.lines.items() if line.clock == clock]
        for ref in mine:
            found = isinstance(step.lines[ref].op, (Constant, Delayed, Lookup, Slice, Phase))
            if made_in_place(step, memory, ref):
                continue
            # What is only found elsewhere is copied where another clock reads it.
            if ref not in in_registers and (not found or ref in memory.buffers):
                self._make(ref, found)
        remembering = [self._remember(ref) for ref in mine if ref in memory.rings]
        self.tasks = self._soon(remembering)

    def _make(self, ref: Ref, found: bool) -> None:
        op, loop = self._step.lines[ref].op, self._step.loops.get(ref)
        product = self._step.lines[loop.product].op if loop and loop.product is not None else op
        reads = self._found(ref) if found else []
        if loop:
            reads += [region for x in loop.inputs for region in self._stored(x)]
        if isinstance(product, Affine):
            reads += [region for x in product.inputs for region in self._input(x, FORMATS[product.format].inputs)]
            begun = () if product.continues is None else (product.continues,)
            reads += [region for x in (*product.addends, *begun) for region in self._stored(x)]
        elif not loop and not found:
            reads += [region for x in operands(op) for region in self._stored(x)]
        match op:
            # What lies between is made before the nearest and overwritten after the farthest: these stand for all.
            case Recall(of, _, most):
                reads += self._past(of, 1) + self._past(of, most)
            case Upsample(x, taps) if (length := self._step.weights[taps].shape[1]) > 1:
                reads += self._past(x, 1) + self._past(x, length - 1)
            case _:
                pass
        writes: set[Region] = {SCRATCH} if isinstance(op, Draw) else set()
        writes |= {("value", ref, "")} if ref in self._memory.buffers else set()
        writes |= {
            ("integers", x, format)
            for (x, format), place in self._memory.integers.items()
            if x == ref and place.by_maker
        }
        self.tasks.append(Task(("value", ref, ""), frozenset(reads), frozenset(writes)))

    def _remember(self, ref: Ref) -> Task:
        format = self._memory.rings[ref].integers
        reads = self._stored(ref) if format is None else self._input(ref, format)
        past: Region = ("past", ref, "")
        return Task(past, frozenset(reads), frozenset([past]))

    def _soon(self, remembering: list[Task]) -> list[Task]:
        """All tasks: each value is remembered when it is made and what it takes the place of has been read."""
        following: list[list[Task]] = [[] for _ in range(len(self.tasks) + 1)]
        for task in remembering:
            replaced = task.makes, self._memory.rings[task.ref].slots
            needed = {region for region, _ in task.reads}
            before = (i for i, other in enumerate(self.tasks) if other.writes & needed or replaced in other.reads)
            following[max(before, default=-1) + 1].append(task)
        merged = list(following[0])
        for task, then in zip(self.tasks, following[1:], strict=True):
            merged += [task, *then]
        return merged

    def _input(self, x: Ref, format: FormatName) -> list[tuple[Region, int]]:
        """What a product reads of an input in a format; integers that are in no ring and no task made are made now."""
        if not FORMATS[format].limit or (x, format) not in self._memory.integers:
            return self._stored(x)
        region: Region = ("integers", x, format)
        if (x, format) not in self._made:
            self._made.add((x, format))
            self.tasks.append(Task(region, frozenset(self._stored(x)), frozenset([region])))
        return [(region, 0)]

    def _stored(self, ref: Ref) -> list[tuple[Region, int]]:
        """Where a value is read from."""
        line = self._step.lines[ref]
        if line.clock > self._clock:
            return [(SLOW, 0)]
        if isinstance(line.op, Concatenate) and made_in_place(self._step, self._memory, ref):
            return [region for part in line.op.parts for region in self._stored(part)]
        return [(("value", ref, ""), 0)] if ref in self._memory.buffers else self._found(ref)

    def _found(self, ref: Ref) -> list[tuple[Region, int]]:
        """Where a value is found that is not computed."""
        match self._step.lines[ref].op:
            case Constant():
                return []
            case Delayed(of, ticks):
                return self._past(of, ticks)
            case Slice(x) | Lookup(_, x) | Phase(x):
                return self._stored(x)
            case _:
                return [(("value", ref, ""), 0)]

    def _past(self, of: Ref, ticks: int) -> list[tuple[Region, int]]:
        """Where a past value is read from."""
        return [(SLOW, 0) if self._step.lines[of].clock > self._clock else (("past", of, ""), ticks)]


@dataclass(frozen=True)
class Share:
    """One thread's tasks of clock 1.

    A thread's progress in a chunk counts `period` a tick: one for the slower clocks, which the first thread runs at the
    start of a tick, and one for each task. A wait of w in tick i holds until the other thread's progress is at least
    i * its period + w.

    Attributes:
        tasks: in order.
        waits: before each task, or None.
        wait_for_slow: before the slower clocks run, or None.
        publishes: after which tasks the other thread must be told; -1: after the slower clocks.
    """

    tasks: tuple[Task, ...]
    waits: tuple[int | None, ...]
    wait_for_slow: int | None
    publishes: frozenset[int]

    @property
    def period(self) -> int:
        return len(self.tasks) + 1


def shares_of(step: Step, threads: Mapping[Region, int]) -> tuple[Share, Share]:
    """The tasks of two threads, with the fewest waits that keep them in order."""
    tasks = [_slower_clocks(step), *tasks_of(step)]
    thread = [0, *(threads[task.makes] for task in tasks[1:])]
    mine = [[i for i in range(1, len(tasks)) if thread[i] == which] for which in (0, 1)]
    place = {i: at for share in mine for at, i in enumerate(share)} | {0: -1}
    needed = [
        max((place[j] + 2 - back * (len(mine[1 - own]) + 1) for j, back in needs if thread[j] != own), default=None)
        for own, needs in zip(thread, needs_of(step, tasks), strict=True)
    ]
    waits = [_new([needed[i] for i in mine[own]], len(mine[1 - own]) + 1) for own in (0, 1)]
    for own, asking in ((0, waits[0]), (1, waits[1])):
        others = len(mine[1 - own])
        told = _told(_asked(asking, others), waits[1 - own])
        later = [None if wait is None else _when_told(wait, told, others) for wait in asking]
        waits[own] = _new(later, others + 1)
        needed[0] = _when_told(needed[0], told, others) if own == 0 and needed[0] is not None else needed[0]
    asked = [_asked(waits[1], len(mine[0])), _asked((*waits[0], needed[0]), len(mine[1]))]
    first, second = (
        Share(tuple(tasks[i] for i in mine[own]), waits[own], (needed[0], None)[own], asked[own]) for own in (0, 1)
    )
    return first, second


def needs_of(step: Step, tasks: Sequence[Task]) -> list[set[tuple[int, int]]]:
    """For each of some tasks in order: which must be over before it begins, and in which earlier tick (0: this one).

    It reads what they wrote, or overwrites what they read or wrote.
    """
    assert step.memory is not None, "memory is planned"
    writers: dict[Region, list[int]] = {}
    readers: dict[Region, list[tuple[int, int]]] = {}
    for i, task in enumerate(tasks):
        for region in task.writes:
            writers.setdefault(region, []).append(i)
        for region, back in task.reads:
            readers.setdefault(region, []).append((i, back))
    found: list[set[tuple[int, int]]] = []
    for i, task in enumerate(tasks):
        needs = {(j, back) for region, back in task.reads for j in writers.get(region, ())}
        for region in task.writes:
            kind, ref, _ = region
            for j, back in readers.get(region, ()):
                needs.add((j, step.memory.rings[ref].slots - back if kind == "past" else 1))
            needs |= {(j, int(j > i)) for j in writers[region]}
        found.append({(j, back) for j, back in needs if j != i})
    return found


def _slower_clocks(step: Step) -> Task:
    """What slower clocks do in a tick of clock 1, as one task: they may read what clock 1 remembers."""
    tasks = [task for clock in clocks(step) if clock > 1 for task in tasks_of(step, clock)]
    past = {(region, back) for task in tasks for region, back in task.reads if _is_fast_past(step, region)}
    return Task(SLOW, frozenset(past), frozenset([SLOW]))


def _is_fast_past(step: Step, region: Region) -> bool:
    kind, ref, _ = region
    return kind == "past" and step.lines[ref].clock == 1


def _new(needed: Sequence[int | None], period: int) -> tuple[int | None, ...]:
    """The waits of one thread's tasks that no earlier one has seen to; `period` is the other thread's."""
    known = max((offset for offset in needed if offset is not None), default=0) - period
    waits: list[int | None] = []
    for offset in needed:
        new = offset is not None and offset > known
        waits.append(offset if new else None)
        known = max(known, offset) if offset is not None else known
    return tuple(waits)


TASKS_AT_ONCE = 4  # that another thread is told of together: each word of it crosses from core to core


def _told(asked: frozenset[int], waits: Sequence[int | None]) -> list[int]:
    """After which of its tasks a thread tells of those that it is `asked` about: a few that follow without a wait."""
    told: list[int] = []
    first = -1  # of those that are told of together
    for i in sorted(asked):
        waits_between = any(wait is not None for wait in waits[first + 1 : i + 1])
        if not told or first < 0 or waits_between or i - first >= TASKS_AT_ONCE:
            told.append(i)
            first = i
        else:
            told[-1] = i
    return told


def _when_told(wait: int, told: Sequence[int], tasks: int) -> int:
    """A wait for a task, put off until the thread that runs it tells of it."""
    task = (wait - 1) % (tasks + 1) - 1
    return wait + next((i for i in told if i >= task), task) - task


def _asked(waits: Sequence[int | None], tasks: int) -> frozenset[int]:
    """After which of so many tasks a thread must publish its progress for another's waits."""
    return frozenset((wait - 1) % (tasks + 1) - 1 for wait in waits if wait is not None)
