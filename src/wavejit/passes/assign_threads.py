"""Say which of two threads runs each operation, by the dependency graph.

    %12 (128) = affine C @ %6 + %8        thread 0     the way from layer to layer
    %66 (256) = affine S @ %17 + …        thread 1     skips, head and draw follow beside it
    %22 (128) = affine P @ %21            thread 0     ahead of the next tick, while thread 1 ends this one

A list schedule of one tick that starts with the draw of the tick before: what waits for that draw comes first, the
longest way to the end first, each where it is done soonest, a value from the other thread `HANDOVER` later. What does
not wait is done afterwards, by the thread that is free first. For WaveNet this gives Deep Voice's two threads
(Arik et al. 2017, appendix D). Costs are bytes: of weights, and for what takes time beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from wavejit.ir.cost import line_cost
from wavejit.ir.layout import Region
from wavejit.ir.ops import Affine, Condition, Draw, Ref, Step
from wavejit.ir.target import Target
from wavejit.ir.tasks import Task, tasks_of
from wavejit.passes.order import critical

HANDOVER = 10_000.0  # bytes that a core reads while a flag crosses to another
KERNEL = 1_000.0  # … while it enters and leaves a kernel
DRAWN_FROM = 64.0  # … while it draws, for each class


def assign_threads(step: Step, target: Target) -> Step:
    """Fill in `threads`."""
    return replace(step, threads=_Schedule(step, tasks_of(step)).threads(critical(step)))


class _Schedule:
    """Tasks are known by what they make."""

    def __init__(self, step: Step, tasks: list[Task]) -> None:
        self._step = step
        self._values = [task for task in tasks if task.makes[0] != "past"]
        self._makers = {region: task.makes for task in self._values for region in task.writes}
        self._present = {task.ref: self._read_by(task) for task in tasks if task.makes[0] == "past"}
        self._thread: dict[Region, int] = {}
        self._done: dict[Region, float] = {}
        self._free = [0.0, 0.0]

    def threads(self, waiting: set[Ref]) -> Mapping[Region, int]:
        """The thread of each task; a value is remembered by the thread that made it."""
        urgency = self._urgency()
        for task in sorted(self._values, key=lambda task: -urgency[task.makes]):
            if task.ref in waiting:
                self._place(task, self._read_by(task))
        for task in self._values:
            if task.ref not in waiting:
                last = [region for x in _remembered(task) for region in self._present[x]]
                self._place(task, self._read_by(task) + last)
        past = {("past", ref, ""): self._thread[makers[0]] if makers else 0 for ref, makers in self._present.items()}
        return self._thread | past

    def _read_by(self, task: Task) -> list[Region]:
        """The tasks of this tick whose results a task reads."""
        return [self._makers[region] for region, _ in task.reads if region in self._makers]

    def _place(self, task: Task, needs: list[Region]) -> None:
        """Put a task where it is done first; all draws on one thread, since they share their scratch.

        Frames are given to the first thread.
        """
        threads = {0} if isinstance(self._step.lines[task.ref].op, Condition) else {0, 1}
        if self._is_draw(task.makes):
            threads = {self._thread[region] for region in self._thread if self._is_draw(region)} or threads
        ends = {
            thread: max([self._free[thread], *(self._ready(need, thread) for need in needs)]) + self._cost(task.makes)
            for thread in threads
        }
        thread = min(ends, key=lambda thread: (ends[thread], thread))
        self._thread[task.makes], self._done[task.makes], self._free[thread] = thread, ends[thread], ends[thread]

    def _ready(self, region: Region, thread: int) -> float:
        return self._done.get(region, 0.0) + (HANDOVER if self._thread.get(region, thread) != thread else 0.0)

    def _urgency(self) -> dict[Region, float]:
        """The longest way from each task to the end of the tick, itself included."""
        found = {task.makes: self._cost(task.makes) for task in self._values}
        for task in reversed(self._values):
            for before in self._read_by(task):
                found[before] = max(found[before], self._cost(before) + found[task.makes])
        return found

    def _cost(self, region: Region) -> float:
        kind, ref, _ = region
        op, loop = self._step.lines[ref].op, self._step.loops.get(ref)
        if kind == "integers":
            return KERNEL
        product = self._step.lines[loop.product if loop and loop.product is not None else ref]
        weights = line_cost(self._step, product).weight_bytes if isinstance(product.op, Affine) else 0.0
        classes = self._step.lines[op.parameters].size if isinstance(op, Draw) else 0
        return KERNEL + weights + DRAWN_FROM * classes

    def _is_draw(self, region: Region) -> bool:
        return isinstance(self._step.lines[region[1]].op, Draw)


def _remembered(task: Task) -> list[Ref]:
    """The values of the last tick that a task reads."""
    return [ref for (kind, ref, _), back in task.reads if kind == "past" and back == 1]
