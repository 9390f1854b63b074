"""Say which of two threads runs each operation, by playing a tick through.

    %12 (128) = affine C @ %6 + %8        thread 0     the way from layer to layer
    %66 (256) = affine S @ %17 + …        thread 1     skips, head and draw follow beside it
    %22 (128) = affine P @ %21            thread 0     ahead of the next tick, while thread 1 ends this one

Each thread runs its tasks in the order of the step, and waits where it needs what the other makes; a few ticks played
with estimated times say how long one takes. All tasks begin on the first thread, and those of one shape move to the
other together as long as that makes a tick shorter; then half of them, and so on, down to single tasks. A second
attempt begins with the draws, and what is done for them alone, on the other thread. In a network of few tasks each may
be as long as all others together, so that there more attempts begin anywhere. The best one counts.

For WaveNet this gives two threads like Deep Voice's (Arik et al. 2017, appendix D), but for the past taps: there the
helper has them, here their sums would have to cross from core to core. Times are in bytes: of weights, and for what
takes time beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random

from wavejit.ir.cost import FLOAT32_BYTES, LONG_FUNCTIONS, line_cost
from wavejit.ir.formats import FORMATS
from wavejit.ir.layout import Region
from wavejit.ir.ops import Affine, Condition, Draw, Emit, Map, Step
from wavejit.ir.target import Target
from wavejit.ir.tasks import Task, needs_of, tasks_of

HANDOVER = 10_000.0  # bytes that a core reads while a flag crosses to another
CROSSING = 16.0  # … while a byte that another core wrote comes from there: some cache lines are under way at once
KERNEL = 1_000.0  # … while it enters and leaves a kernel
FUNCTION = 30.0  # … while it works out a long function of one element
DRAWN_FROM = 64.0  # … while it draws, for each class
TICKS = 4  # that are played, the last ones for their time
BEFORE_STEADY = 2
PLAYS = 100  # at most
WORTH_IT = 0.995  # of the time before: less is not worth a move
FEW_TASKS, ATTEMPTS = 50, 12  # with so few, so many more attempts


def assign_threads(step: Step, target: Target) -> Step:
    """Fill in `threads`."""
    return replace(step, threads=_Search(step, tasks_of(step)).threads())


class _Search:
    """Tasks are known by their place in the order; `on` says which thread each is on."""

    def __init__(self, step: Step, tasks: list[Task]) -> None:
        self._step, self._tasks = step, tasks
        self._costs = [_cost(step, task) for task in tasks]
        self._needs = [
            [(j, back) for j, back in needs if back <= TICKS - BEFORE_STEADY] for needs in needs_of(step, tasks)
        ]
        makers = {region: i for i, task in enumerate(tasks) for region in task.writes}
        self._crossings = [
            [(makers[region], CROSSING * _bytes(step, region)) for region, _ in task.reads if region in makers]
            for task in tasks
        ]
        past = (i for i, task in enumerate(tasks) if task.makes[0] == "past")
        # A value is remembered by the thread that made it.
        self._maker = {i: min((makers[x] for x, _ in tasks[i].reads if x in makers), default=i) for i in past}
        self._on = [0] * len(tasks)
        self._best, self._plays = 0.0, 0

    def threads(self) -> Mapping[Region, int]:
        """The thread of each task: the best of what several beginnings lead to."""
        beginnings = [[], self._drawing(), *self._anywhere()]
        _, best = min(map(self._found, beginnings), key=lambda each: each[0])
        return {task.makes: thread for task, thread in zip(self._tasks, best, strict=True)}

    def _found(self, moved: list[int]) -> tuple[float, list[int]]:
        """How long a tick takes, and on which threads, from a beginning with some tasks on the second thread."""
        self._on = [0] * len(self._tasks)
        self._move(moved)
        self._best, self._plays = self._time(), 1
        together = self._shapes()
        while together and self._plays < PLAYS:
            while sum(self._moved(tasks) for tasks in together):
                pass
            together = [half for tasks in together for half in self._halves(tasks)]
        return self._best, self._on

    def _drawing(self) -> list[int]:
        """The draws, and what is done for nothing but them; of tasks of one shape all or none."""
        together = self._shapes()
        found = {i for tasks in together if _is_draw(self._step, self._tasks[tasks[0]]) for i in tasks}
        for i in reversed(range(len(self._tasks))):
            readers = {k for k, needs in enumerate(self._needs) if (i, 0) in needs}
            if readers and readers <= found:
                found.add(i)
        return [i for tasks in together if found.issuperset(tasks) for i in tasks]

    def _anywhere(self) -> Iterator[list[int]]:
        """Some of few tasks, of the draws all or none; the same ones for the same step."""
        apart: list[list[int]] = []
        for tasks in self._shapes():
            apart += [tasks] if _is_draw(self._step, self._tasks[tasks[0]]) else [[i] for i in tasks]
        chance = Random(0)
        for _ in range(ATTEMPTS if len(self._tasks) <= FEW_TASKS else 0):
            yield [i for tasks in apart if chance.random() < 0.5 for i in tasks]

    def _may_move(self, i: int) -> bool:
        """Frames are the first thread's, and what is remembered is its maker's."""
        return i not in self._maker and not isinstance(self._step.lines[self._tasks[i].ref].op, Condition)

    def _halves(self, tasks: list[int]) -> list[list[int]]:
        middle = len(tasks) // 2
        return [tasks[:middle], tasks[middle:]] if middle and not _is_draw(self._step, self._tasks[tasks[0]]) else []

    def _shapes(self) -> list[list[int]]:
        """The tasks that may move, those alike together; draws share their scratch, frames are the first thread's.

        What is heard goes with the draws: a thread that only passes it on would wait for them, and not work ahead.
        """
        alike: dict[object, list[int]] = {}
        for i, task in enumerate(self._tasks):
            line = self._step.lines[task.ref]
            if not self._may_move(i):
                continue
            with_draws = _is_draw(self._step, task) or isinstance(line.op, Emit)
            key = Draw if with_draws else (task.makes[0], type(line.op), line.size, self._costs[i])
            alike.setdefault(key, []).append(i)
        return list(alike.values())

    def _moved(self, tasks: list[int]) -> bool:
        """Move some tasks to the other thread if that makes a tick shorter."""
        if self._plays >= PLAYS:
            return False
        self._plays += 1
        self._move(tasks)
        time = self._time()
        if time < WORTH_IT * self._best:
            self._best = time
            return True
        self._move(tasks)
        return False

    def _move(self, tasks: list[int]) -> None:
        for i in tasks:
            self._on[i] = 1 - self._on[i]
        for i, maker in self._maker.items():
            self._on[i] = self._on[maker]

    def _time(self) -> float:
        """Of a tick, when several follow each other."""
        on, free, ends = self._on, [0.0, 0.0], [0.0]
        done: list[list[float]] = []
        for tick in range(TICKS):
            done.append(now := [0.0] * len(on))
            for i, cost in enumerate(self._costs):
                mine = on[i]
                start = free[mine]
                for j, back in self._needs[i]:
                    if on[j] != mine and back <= tick and (ready := done[tick - back][j] + HANDOVER) > start:
                        start = ready
                crossing = sum(late for j, late in self._crossings[i] if on[j] != mine)
                free[mine] = now[i] = start + cost + crossing
            ends.append(max(free))
        return (ends[TICKS] - ends[BEFORE_STEADY]) / (TICKS - BEFORE_STEADY)


def _bytes(step: Step, region: Region) -> float:
    """Of a value, as floats or as integers of a format."""
    kind, ref, format = region
    if kind == "past":
        assert step.memory is not None, "memory is planned"
        return FLOAT32_BYTES * step.memory.rings[ref].stride
    bits = next((FORMATS[name].bits for name in FORMATS if name == format), 8 * FLOAT32_BYTES)
    return step.lines[ref].size * bits / 8


def _cost(step: Step, task: Task) -> float:
    kind, ref, _ = task.makes
    line, loop = step.lines[ref], step.loops.get(ref)
    if kind != "value":
        return KERNEL
    product = step.lines[loop.product if loop and loop.product is not None else ref]
    weights = line_cost(step, product).weight_bytes if isinstance(product.op, Affine) else 0.0
    worked_out = [step.lines[x].op for x in (loop.refs if loop else (ref,))]
    functions = sum(isinstance(op, Map) and op.function in LONG_FUNCTIONS for op in worked_out) * line.size
    classes = step.lines[line.op.parameters].size if isinstance(line.op, Draw) else 0
    return KERNEL + weights + FUNCTION * functions + DRAWN_FROM * classes


def _is_draw(step: Step, task: Task) -> bool:
    return task.makes[0] == "value" and isinstance(step.lines[task.ref].op, Draw)
