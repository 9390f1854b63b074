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
from wavejit.ir.ops import Affine, Constant, Delayed, Draw, Lookup, Phase, Recall, Ref, Slice, Step

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
    """The tasks of one clock, in order: first what makes values, then what remembers them."""
    assert step.memory is not None, "memory is planned"
    return _Collector(step, step.memory, clock).tasks


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
            # What is only found elsewhere is copied where another clock reads it.
            if ref not in in_registers and (not found or ref in memory.buffers):
                self._make(ref, found)
        for ref in mine:
            if ref in memory.rings:
                self._remember(ref)

    def _make(self, ref: Ref, found: bool) -> None:
        op, loop = self._step.lines[ref].op, self._step.loops.get(ref)
        product = self._step.lines[loop.product].op if loop and loop.product is not None else op
        reads = self._found(ref) if found else []
        if loop:
            reads += [region for x in loop.inputs for region in self._stored(x)]
        if isinstance(product, Affine):
            reads += [region for x in product.inputs for region in self._input(x, FORMATS[product.format].inputs)]
            reads += [region for x in product.addends for region in self._stored(x)]
        elif not loop and not found:
            reads += [region for x in operands(op) for region in self._stored(x)]
        if isinstance(op, Recall):
            # What lies between is made after the farthest and overwritten after it: these two stand for all.
            reads += self._past(op.of, 1) + self._past(op.of, op.most)
        writes: set[Region] = {SCRATCH} if isinstance(op, Draw) else set()
        writes |= {("value", ref, "")} if ref in self._memory.buffers else set()
        writes |= {
            ("integers", x, format)
            for (x, format), place in self._memory.integers.items()
            if x == ref and place.by_maker
        }
        self.tasks.append(Task(("value", ref, ""), frozenset(reads), frozenset(writes)))

    def _remember(self, ref: Ref) -> None:
        format = self._memory.rings[ref].integers
        reads = self._stored(ref) if format is None else self._input(ref, format)
        past: Region = ("past", ref, "")
        self.tasks.append(Task(past, frozenset(reads), frozenset([past])))

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
        if self._step.lines[ref].clock > self._clock:
            return [(SLOW, 0)]
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
    tasks = tasks_of(step)
    first, second = ([task for task in tasks if threads[task.makes] == thread] for thread in (0, 1))
    place = {task.makes: i for i, task in enumerate(tasks)}
    slower = _slower_clocks(step)
    waits_of_first, waits_of_second = (
        _waits(step, first, second, place, None),
        _waits(step, second, first, place, slower),
    )
    late = [
        i + 2 - back * (len(second) + 1)
        for i, task in enumerate(second)
        for back in _ticks_back(step, slower, task, before=False)
    ]
    wait_for_slow = max(late, default=None)
    return (
        Share(tuple(first), waits_of_first, wait_for_slow, _asked(waits_of_second, len(first))),
        Share(tuple(second), waits_of_second, None, _asked((*waits_of_first, wait_for_slow), len(second))),
    )


def _slower_clocks(step: Step) -> Task:
    """What slower clocks do in a tick of clock 1, as one task: they may read what clock 1 remembers."""
    tasks = [task for clock in clocks(step) if clock > 1 for task in tasks_of(step, clock)]
    past = {(region, back) for task in tasks for region, back in task.reads if _is_fast_past(step, region)}
    return Task(SLOW, frozenset(past), frozenset([SLOW]))


def _is_fast_past(step: Step, region: Region) -> bool:
    kind, ref, _ = region
    return kind == "past" and step.lines[ref].clock == 1


def _waits(
    step: Step, mine: list[Task], others: list[Task], place: Mapping[Region, int], slower: Task | None
) -> tuple[int | None, ...]:
    """What each of one thread's tasks must wait for; None where an earlier wait has seen to it.

    `slower` is what the other thread does before its tasks, if it does.
    """
    period = len(others) + 1
    needed: list[int | None] = []
    for task in mine:
        offsets = [1 - back * period for back in _ticks_back(step, task, slower, before=True)] if slower else []
        for i, other in enumerate(others):
            before = place[other.makes] < place[task.makes]
            offsets += [i + 2 - back * period for back in _ticks_back(step, task, other, before)]
        needed.append(max(offsets, default=None))
    known = max((offset for offset in needed if offset is not None), default=0) - period
    waits: list[int | None] = []
    for offset in needed:
        new = offset is not None and offset > known
        waits.append(offset if new else None)
        known = max(known, offset) if offset is not None else known
    return tuple(waits)


def _ticks_back(step: Step, task: Task, other: Task, before: bool) -> list[int]:
    """In which earlier tick (0: this one) `other` must be done for `task` to begin, for each reason there is."""
    assert step.memory is not None, "memory is planned"
    found = [back for region, back in task.reads if region in other.writes]
    for region, back in other.reads:
        if region in task.writes:  # it must have read what is overwritten now
            kind, ref, _ = region
            found.append(step.memory.rings[ref].slots - back if kind == "past" else 1)
    if task.writes & other.writes:
        found.append(0 if before else 1)
    return found


def _asked(waits: Sequence[int | None], tasks: int) -> frozenset[int]:
    """After which of so many tasks a thread must publish its progress for another's waits."""
    return frozenset((wait - 1) % (tasks + 1) - 1 for wait in waits if wait is not None)
