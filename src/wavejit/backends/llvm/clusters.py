"""Find elementwise operations that can share one loop: a value only they read stays in registers."""

from __future__ import annotations

from dataclasses import dataclass

from wavejit.backends.llvm.kernels.elementwise import ElementwiseKernel, Expression
from wavejit.ir.graph import operands, users
from wavejit.ir.ops import Combine, Map, Ref, Step


@dataclass(frozen=True)
class Cluster:
    """One fused loop: the kernel, and the values that it reads."""

    kernel: ElementwiseKernel
    inputs: tuple[Ref, ...]


def clusters(step: Step) -> dict[Ref, Cluster]:
    """For each value that a fused loop stores, the loop. Values inside one are in no cluster of their own.

    Going backwards, an elementwise operation joins the loop of its users if all of them are in one, on vectors of
    its size and clock; otherwise it ends a loop of its own.
    """
    used_by = users(step)
    root_of: dict[Ref, Ref] = {}
    for ref in reversed(list(step.lines)):
        line = step.lines[ref]
        if not isinstance(line.op, (Map, Combine)):
            continue
        roots = {
            root_of[user]
            if user in root_of and step.lines[user].size == line.size and step.lines[user].clock == line.clock
            else None
            for user in used_by[ref]
        }
        (only,) = roots if len(roots) == 1 else (None,)
        root_of[ref] = ref if only is None else only
    members: dict[Ref, list[Ref]] = {}
    for ref in step.lines:
        if ref in root_of:
            members.setdefault(root_of[ref], []).append(ref)
    return {root: _cluster(step, refs) for root, refs in members.items()}


def _cluster(step: Step, refs: list[Ref]) -> Cluster:
    inside = set(refs)
    inputs = tuple(dict.fromkeys(x for ref in refs for x in operands(step.lines[ref].op) if x not in inside))
    number = {x: i for i, x in enumerate((*inputs, *refs))}
    lines: list[Expression] = []
    for ref in refs:
        op = step.lines[ref].op
        if isinstance(op, Map):
            lines.append((op.function, number[op.x]))
        elif isinstance(op, Combine):
            lines.append((op.function, number[op.x], number[op.y]))
    kernel = ElementwiseKernel(step.lines[refs[-1]].size, len(inputs), tuple(lines))
    return Cluster(kernel, inputs)
