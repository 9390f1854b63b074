"""How long values live within a tick, and how those of many streams share memory that all tasks use again.

A stream's own memory has a place for each value, since two threads may be at any of them. What one thread makes and
reads within a tick can do with less: where a value lay comes the next one, and it stays in the nearest cache, which all
places would not. Where the thread takes many streams through a tick task by task, a value of all streams lies side by
side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wavejit.ir.formats import FORMATS
from wavejit.ir.graph import users
from wavejit.ir.layout import rounded
from wavejit.ir.ops import Affine, Concatenate, Ref, Slice, Step
from wavejit.ir.tasks import Task

LINE = 16  # elements of a cache line, and of the widest vector


@dataclass(frozen=True)
class Shared:
    """Where values of many streams lie in memory that is used again, in elements.

    Attributes:
        size: in all.
        places: of each value, where the first stream's is.
        strides: from one stream's to the next one's.
    """

    size: int
    places: Mapping[Ref, int]
    strides: Mapping[Ref, int]


def shared(step: Step, tasks: Sequence[Task], streams: int, most: int, others: Sequence[Task] = ()) -> Shared:
    """Places for what tasks, in this order, make for each other in a tick; values beyond `most` elements get none.

    Args:
        others: tasks of another thread; what they read is none of it.
    """
    away = {ref for task in others for (_, ref, _), _ in task.reads}
    lives = {
        ref: life for ref, life in lifetimes(step, tasks).items() if ref not in away and _may_lie_anywhere(step, ref)
    }
    strides = {ref: rounded(step.lines[ref].size, LINE) for ref in lives}
    places: dict[Ref, int] = {}
    for ref in sorted(lives, key=lambda ref: lives[ref].start):
        beside = [other for other in places if lives[other].stop > lives[ref].start]
        taken = sorted((places[other], places[other] + streams * strides[other]) for other in beside)
        start = 0
        for first, end in taken:
            if start + streams * strides[ref] <= first:
                break
            start = max(start, end)
        if start + streams * strides[ref] <= most:
            places[ref] = start
    size = max((places[ref] + streams * strides[ref] for ref in places), default=0)
    return Shared(size, places, strides)


def lifetimes(step: Step, tasks: Sequence[Task]) -> dict[Ref, range]:
    """For each value that a task stores as floats: which tasks it is there for, from its maker to its last reader."""
    made = {task.ref: i for i, task in enumerate(tasks) if ("value", task.ref, "") in task.writes}
    last = dict(made)
    for i, task in enumerate(tasks):
        for (kind, ref, _), back in task.reads:
            if kind == "value" and back == 0 and ref in made:
                last[ref] = max(last[ref], i)
    return {ref: range(start, last[ref] + 1) for ref, start in made.items()}


def _may_lie_anywhere(step: Step, ref: Ref) -> bool:
    """Whether nothing but tasks of this clock asks for a value, and none for its place among others."""
    line = step.lines[ref]
    for user in (step.lines[user] for user in users(step)[ref]):
        side_by_side = isinstance(user.op, Affine) and ref in user.op.inputs and not FORMATS[user.op.format].limit
        if user.clock != line.clock or isinstance(user.op, (Concatenate, Slice)) or side_by_side:
            return False
    return True
