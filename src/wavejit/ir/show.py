"""Print a step, one operation a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from wavejit.ir.layout import Loop, Memory, Packing
from wavejit.ir.ops import (
    Affine,
    Categorical,
    Combine,
    Concatenate,
    Condition,
    Constant,
    Delayed,
    Distribution,
    Draw,
    Emit,
    Gaussian,
    Greedy,
    Line,
    Logistics,
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


def show(step: Step) -> str:
    """The step as text: a header, each line with its clock (where it is not 1) and its origin, and its layout."""
    header = f"step {step.name}  {step.sample_rate} Hz  {step.samples_per_tick} sample(s) a tick"
    if step.lanes > 1:
        header += f"  {step.lanes} lanes, {step.lane_lag} ticks apart"
    if step.lookahead:
        header += f"  {step.lookahead} frames of look-ahead"
    texts = [show_line(ref, line) for ref, line in step.lines.items()]
    width = min(max(map(len, texts), default=0), 76)
    rows: list[str] = []
    for text, line in zip(texts, step.lines.values(), strict=True):
        notes = ([f"every {line.clock}"] if line.clock > 1 else []) + ([line.where] if line.where else [])
        rows.append(f"  {text:<{width}}  ; {', '.join(notes)}" if notes else f"  {text}")
    if step.loops:
        rows += ["", show_loops(step.loops)]
    if step.packing is not None:
        rows += ["", show_packing(step.packing)]
    if step.memory is not None:
        rows += ["", show_memory(step.memory)]
    return "\n".join([header, *rows])


def show_line(ref: Ref, line: Line) -> str:
    """`%3 (64) = tanh %2`."""
    kind = f"class {line.classes}" if line.classes else str(line.size)
    return f"%{ref} ({kind}) = {show_operation(line.op)}"


def show_operation(op: Operation) -> str:
    """One operation, without its name."""
    match op:
        case Condition(name, size):
            return f"condition {name} ({size})"
        case Constant(weight):
            return f"constant {weight}"
        case Delayed(of, ticks, initial, lanes):
            first = initial if isinstance(initial, str) else f"{initial:g}"
            start = f", first {first}" if initial else ""
            return f"delayed %{of}, {ticks}" + start + (f", lane -{lanes}" if lanes else "")
        case Recall(of, lag, most):
            return f"recall %{of}, %{lag}, most {most}"
        case Lookup(table, index):
            return f"lookup {table}, %{index}"
        case Affine(weights, inputs, bias, addends, activation, format, full_scales, block_rows):
            known = full_scales or (0.0,) * len(inputs)
            scales = [f" / {scale:g}" if scale else "" for scale in known]
            terms = [f"{w} @ %{x}{s}" for w, x, s in zip(weights, inputs, scales, strict=True)]
            if len(terms) > 4:
                terms = [*terms[:2], f"… {len(terms) - 3} more …", terms[-1]]
            begun = [] if op.continues is None else [f"sums %{op.continues}"]
            total = " + ".join(begun + terms + ([bias] if bias else []) + [f"%{a}" for a in addends])
            kind = ([] if format == "float32" else [format]) + ([f"sparse {block_rows}"] if block_rows else [])
            kind += ["by fill"] * op.by_fill + ["written"] * op.written
            name = "sums" if op.unfinished else "affine"
            name = f"{name}[{', '.join(kind)}]" if kind else name
            return f"{name} {total}" if activation == "identity" else f"{activation}({name} {total})"
        case Map(function, x):
            return f"{function} %{x}"
        case Combine(function, x, y):
            return f"{function} %{x}, %{y}"
        case Slice(x, start, size):
            return f"slice %{x}[{start}:{start + size}]"
        case Concatenate(parts):
            return "concatenate " + ", ".join(f"%{p}" for p in parts)
        case Upsample(x, taps):
            return f"upsample %{x} by {taps}"
        case Phase(x, parts):
            return f"phase %{x} in {parts}"
        case Draw(name, distribution, parameters):
            return f"draw {name} from {show_distribution(distribution)} %{parameters}"
        case Emit(x):
            return f"emit %{x}"
        case _:
            assert_never(op)


def show_distribution(distribution: Distribution) -> str:
    """A distribution, as a draw names it."""
    match distribution:
        case Categorical():
            return "categorical"
        case Greedy():
            return "greedy"
        case Logistics(components):
            return f"{components} logistics"
        case Gaussian():
            return "gaussian"
        case _:
            assert_never(distribution)


def show_loops(loops: Mapping[Ref, Loop]) -> str:
    """Which operations run as one, and at the end of which product."""
    rows = ["loops"]
    for root, loop in loops.items():
        inside = ", ".join(f"%{ref}" for ref in loop.refs)
        parts = ", ".join(f"%{ref}" for ref in loop.parts)
        where = (
            "" if loop.product is None else f"   on %{loop.product}" + (f" in {parts}" if len(loop.parts) > 1 else "")
        )
        rows.append(f"{'%' + str(root):>8}  {inside}{where}")
    return "\n".join(rows)


def show_packing(packing: Packing) -> str:
    """Where weights start, in words of 4 bytes."""
    rows = [(start, f"weights of %{ref}") for ref, start in packing.affine.items()]
    rows += [(start, f"table {name}") for name, start in packing.tensors.items()]
    return _placed("packed weights", rows, packing.data.size)


def show_memory(memory: Memory) -> str:
    """Where the values of a stream lie, in words of 4 bytes."""
    rows = [(start, f"ticks of clock {clock}") for clock, start in memory.counters.items()]
    rows += [(start, f"%{ref}") for ref, start in memory.buffers.items()]
    for ref, ring in memory.rings.items():
        kept = f", {ring.integers}" if ring.integers else ""
        rows.append((ring.offset, f"past of %{ref}: {ring.slots} x {ring.stride}{kept}"))
    for (ref, format), integers in memory.integers.items():
        rows.append((integers.offset, f"%{ref} as {format}"))
        rows += [] if integers.full_scale else [(integers.scale, f"scale of %{ref} as {format}")]
    rows.append((memory.scratch, "exponentials of a draw"))
    return _placed("a stream's memory", rows, memory.size)


def _placed(title: str, rows: list[tuple[int, str]], size: int) -> str:
    return "\n".join([title, *(f"{start:8}  {what}" for start, what in sorted(rows)), f"{size:8}  end"])
