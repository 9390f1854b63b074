"""Tensors that expressions read as they stand: tables, constants, the taps of a filter."""

from __future__ import annotations

from collections.abc import Iterable

from wavejit.backends.cuda.graph import Graph, Task
from wavejit.ir.graph import operands, weights_of
from wavejit.ir.ops import Affine, Constant, Delayed, Line, Lookup, Ref, Upsample


def tensors_read(graph: Graph, tasks: Iterable[Task]) -> set[str]:
    """The tensors that the expressions of some tasks read."""
    return {name for task in tasks for name in _of_task(graph, task)}


def _of_task(graph: Graph, task: Task) -> set[str]:
    names: set[str] = set()
    loop = graph.loops.get(task.makes)
    refs = [task.makes, *([task.product] if task.product is not None else [])]
    refs += list(loop.refs) + list(loop.parts) if loop else []
    seen: set[Ref] = set()
    while refs:
        ref = refs.pop()
        if ref in seen:
            continue
        seen.add(ref)
        line = graph.lines[ref]
        names |= _read_as_they_stand(line)
        inside = ref in (task.makes, task.product) or (loop and ref in loop.refs)
        if inside or not graph.makes(ref):
            refs += [x for x in _followed(line) if not graph.makes(x) or (loop and x in loop.refs)]
    return names


def _read_as_they_stand(line: Line) -> set[str]:
    return set(weights_of(line.op)) if isinstance(line.op, (Constant, Lookup, Upsample)) else set()


def _followed(line: Line) -> tuple[Ref, ...]:
    """What an expression of an operation is written with."""
    if isinstance(line.op, Affine):
        return line.op.addends
    if isinstance(line.op, Delayed):
        return ()
    return operands(line.op)
