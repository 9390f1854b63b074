"""Questions about a step's graph, and edits of it, for the passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

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
    Operation,
    Phase,
    Recall,
    Ref,
    Slice,
    Step,
    Upsample,
)


def operands(op: Operation) -> tuple[Ref, ...]:
    """The values of this tick that `op` reads. A delayed value is of an earlier tick: none; a recalled one: its lag."""
    match op:
        case Condition() | Constant() | Delayed():
            return ()
        case Recall(_, lag):
            return (lag,)
        case Lookup(_, index):
            return (index,)
        case Affine(_, inputs, _, addends):
            return inputs + addends + (() if op.continues is None else (op.continues,))
        case Map(_, x) | Slice(x) | Upsample(x) | Phase(x) | Emit(x):
            return (x,)
        case Combine(_, x, y):
            return (x, y)
        case Concatenate(parts):
            return parts
        case Draw(_, _, parameters):
            return (parameters,)
        case _:
            assert_never(op)


def references(op: Operation) -> tuple[Ref, ...]:
    """All values that `op` names, of this tick or before."""
    return (op.of, *operands(op)) if isinstance(op, (Delayed, Recall)) else operands(op)


def rename(op: Operation, names: Callable[[Ref], Ref]) -> Operation:
    """`op` with each reference replaced."""
    match op:
        case Condition() | Constant():
            return op
        case Delayed(of):
            return replace(op, of=names(of))
        case Recall(of, lag):
            return replace(op, of=names(of), lag=names(lag))
        case Lookup(_, index):
            return replace(op, index=names(index))
        case Affine(_, inputs, _, addends, continues=before):
            begun = None if before is None else names(before)
            renamed = tuple(names(r) for r in inputs), tuple(names(r) for r in addends)
            return replace(op, inputs=renamed[0], addends=renamed[1], continues=begun)
        case Map() | Slice() | Upsample() | Phase() | Emit():
            return replace(op, x=names(op.x))
        case Combine(_, x, y):
            return replace(op, x=names(x), y=names(y))
        case Concatenate(parts):
            return replace(op, parts=tuple(names(r) for r in parts))
        case Draw():
            return replace(op, parameters=names(op.parameters))
        case _:
            assert_never(op)


def weights_of(op: Operation) -> tuple[str, ...]:
    """The names of the weights that `op` reads."""
    match op:
        case Constant(weight):
            return (weight,)
        case Lookup(table):
            return (table,)
        case Affine(weights, _, bias):
            shared = [name for name in op.scaled_with if name not in weights]
            return (*weights, *shared, *([] if bias is None else [bias]))
        case Upsample(_, taps):
            return (taps,)
        case Delayed(_, _, initial):
            return (initial,) if isinstance(initial, str) else ()
        case Condition() | Recall() | Map() | Combine() | Slice() | Concatenate() | Phase() | Draw() | Emit():
            return ()
        case _:
            assert_never(op)


def users(step: Step) -> dict[Ref, list[Ref]]:
    """For each value, the operations that name it."""
    found: dict[Ref, list[Ref]] = {ref: [] for ref in step.lines}
    for ref, line in step.lines.items():
        for used in references(line.op):
            found[used].append(ref)
    return found


def parts_of(step: Step) -> dict[Ref, int]:
    """For each product that lends its totals to a loop, how many parts its rows have."""
    return {loop.product: len(loop.parts) for loop in step.loops.values() if loop.product is not None}


def clocks(step: Step) -> list[int]:
    """The clocks of a step, slowest first: the order in which a tick runs them."""
    return sorted({line.clock for line in step.lines.values()} | {1}, reverse=True)


def runs_ahead(step: Step) -> set[Ref]:
    """The operations on slower clocks that depend on none of clock 1, and could run before it, for many frames at once.

    An identity that only the others read is theirs.
    """
    ahead = {ref for ref, line in step.lines.items() if line.clock > 1}
    used_by = users(step)
    while True:
        late = {ref for ref in ahead if any(x not in ahead for x in references(step.lines[ref].op))}
        for ref in ahead:
            op = step.lines[ref].op
            if isinstance(op, Map) and op.function == "identity" and not ahead & set(used_by[ref]):
                late.add(ref)
        if not late:
            return ahead
        ahead -= late


class Editor:
    """A step being rewritten: lines are changed in place, inserted or dropped; `step()` is the result."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.lines: dict[Ref, Line] = dict(step.lines)
        self.weights: dict[str, NDArray[np.float32]] = dict(step.weights)
        self._next = max(step.lines, default=-1) + 1
        self._before: dict[Ref, list[Ref]] = {}

    def __iter__(self) -> Iterator[tuple[Ref, Line]]:
        """The lines as they were when the loop began; each is read as it is now."""
        for ref in list(self.lines):
            if ref in self.lines:
                yield ref, self.lines[ref]

    def insert(self, before: Ref, line: Line) -> Ref:
        """Add `line` before the line of `before`; returns its name."""
        ref, self._next = self._next, self._next + 1
        self.lines[ref] = line
        self._before.setdefault(before, []).append(ref)
        return ref

    def change(self, ref: Ref, op: Operation, clock: int | None = None) -> None:
        """Give the value `ref` another operation, and another clock if one is named."""
        line = self.lines[ref]
        self.lines[ref] = replace(line, op=op, clock=line.clock if clock is None else clock)

    def weight(self, name: str, data: NDArray[np.float32]) -> str:
        """Add a weight; a name that is taken by other data gets a number."""
        unique, count = name, 1
        while unique in self.weights and not np.array_equal(self.weights[unique], data):
            count += 1
            unique = f"{name}.{count}"
        self.weights[unique] = data
        return unique

    def step(self) -> Step:
        """The rewritten step: inserted lines in their places, what nothing uses dropped."""
        ordered: dict[Ref, Line] = {}

        def place(ref: Ref) -> None:
            for inserted in self._before.get(ref, ()):
                place(inserted)
            ordered[ref] = self.lines[ref]

        for ref in self._step.lines:
            place(ref)
        return prune(replace(self._step, lines=ordered, weights=self.weights))


def prune(step: Step) -> Step:
    """Drop operations that nothing heard depends on, and weights that no operation reads."""
    roots = [ref for ref, line in step.lines.items() if isinstance(line.op, (Condition, Emit, Draw))]
    alive: set[Ref] = set()
    while roots:
        ref = roots.pop()
        if ref not in alive:
            alive.add(ref)
            roots.extend(references(step.lines[ref].op))
    lines = {ref: line for ref, line in step.lines.items() if ref in alive}
    used = {name for line in lines.values() for name in weights_of(line.op)}
    return replace(step, lines=lines, weights={name: w for name, w in step.weights.items() if name in used})
