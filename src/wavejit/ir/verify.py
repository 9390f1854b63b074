"""Check that a step is well formed; an error names the operation, the shapes and the line that built it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

import numpy as np

from wavejit.ir.formats import FORMATS, LARGEST_RANGE, SMALLEST_RANGE
from wavejit.ir.graph import operands, references, weights_of
from wavejit.ir.ops import (
    LONGEST_LAG,
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
from wavejit.ir.show import show_line


class IRError(ValueError):
    """A step that is not well formed: an error of the model or pass that built it, not of its input."""


def verify(step: Step) -> None:
    """Check every line of `step`.

    Raises:
        IRError: names the operation, what was found and expected, and where the operation was built.
    """
    defined: set[Ref] = set()
    for ref, line in step.lines.items():
        _check_references(step, ref, line, defined)
        size, classes = value_type(step, line.op, line.where)
        if (size, classes) != (line.size, line.classes):
            _fail(step, ref, f"is declared {_type(line.size, line.classes)} but makes {_type(size, classes)}")
        _check_clock(step, ref, line)
        defined.add(ref)
    names = [line.op.name for line in step.lines.values() if isinstance(line.op, Draw)]
    if len(set(names)) < len(names):
        raise IRError(f"{step.name}: two draws share a name: {', '.join(names)}")
    emits = [line for line in step.lines.values() if isinstance(line.op, Emit)]
    if len(emits) != 1 or emits[0].clock != 1:
        raise IRError(f"{step.name}: a step emits once, on clock 1; found {len(emits)} emits")
    if step.lookahead and any(x.clock == 1 for x in step.lines.values() if isinstance(x.op, Condition)):
        raise IRError(f"{step.name}: look-ahead needs conditions on a clock slower than 1")
    if step.lanes < 1 or step.lane_lag < 0 or step.lookahead < 0:
        raise IRError(f"{step.name}: lanes, lane lag and look-ahead cannot be negative")
    _check_ranges(step, "range", step.ranges)
    _check_ranges(step, "clip", step.clips)


def _check_ranges(step: Step, what: str, ranges: Mapping[str, float]) -> None:
    for name, largest in ranges.items():
        if not SMALLEST_RANGE <= largest <= LARGEST_RANGE:
            raise IRError(
                f"{step.name}: the {what} of the input of {name} is {largest}, "
                f"expected {SMALLEST_RANGE:g} to {LARGEST_RANGE:g}"
            )


def value_type(step: Step, op: Operation, where: str = "") -> tuple[int, int]:
    """`(size, classes)` of the value that `op` makes; raises IRError where its operands do not fit."""

    def size(ref: Ref) -> int:
        return step.lines[ref].size

    def shape(name: str, axes: int) -> tuple[int, ...]:
        found = step.weights[name].shape
        expect(len(found) == axes, f"weight {name} is {found}, expected {axes} axes")
        return found

    def expect(holds: bool, message: str) -> None:
        if not holds:
            raise IRError(f"{step.name}: {type(op).__name__}: {message}" + (f" ({where})" if where else ""))

    for name in weights_of(op):
        expect(name in step.weights, f"there is no weight {name}")
    if not isinstance(op, (Lookup, Delayed)):
        for ref in operands(op):
            expect(step.lines[ref].classes == 0, f"%{ref} is a class, expected a real vector")
    match op:
        case Condition(_, length):
            expect(length > 0, "an empty condition")
            return length, 0
        case Constant(weight):
            return shape(weight, 1)[0], 0
        case Delayed(of, ticks, initial):
            expect(ticks >= 1, f"a delay of {ticks} ticks, expected at least 1")
            classes = step.lines[of].classes
            if isinstance(initial, str):
                expect(classes == 0, f"first value {initial} is a weight, expected a class below {classes}")
                expect(shape(initial, 1) == (size(of),), f"first value {initial} is not ({size(of)},)")
            else:
                expect(classes == 0 or 0 <= initial < classes, f"first class {initial} of {classes}")
            return size(of), classes
        case Recall(of, lag, most):
            expect(step.lines[of].classes == 0, f"%{of} is a class, expected a real vector")
            expect(size(lag) == 1, f"lag %{lag} is ({size(lag)},), expected (1,)")
            expect(1 <= most <= LONGEST_LAG, f"a lag of at most {most} ticks, expected 1 to {LONGEST_LAG}")
            return size(of), 0
        case Lookup(table, index):
            rows, width = shape(table, 2)
            classes = step.lines[index].classes
            expect(0 < classes <= rows, f"table {table} has {rows} rows for {classes} classes")
            return width, 0
        case Affine(weights, inputs, bias, addends, _, format, full_scales):
            expect(len(weights) == len(inputs) > 0, f"{len(weights)} weights for {len(inputs)} inputs")
            rows = shape(weights[0], 2)[0]
            for name, ref in zip(weights, inputs, strict=True):
                expect(
                    shape(name, 2) == (rows, size(ref)),
                    f"{name} is {shape(name, 2)} for input ({size(ref)},)",
                )
            if bias is not None:
                expect(shape(bias, 1) == (rows,), f"bias {bias} is {shape(bias, 1)}, expected ({rows},)")
            scaled = FORMATS[format].limit > 0
            expect(len(full_scales) == scaled * len(inputs), f"{len(full_scales)} full scales for {format}")
            if op.unfinished or op.continues is not None:
                known = len(set(full_scales)) == 1 and full_scales[0] > 0
                expect(format == "int8" and known, f"sums of {format} with scales {full_scales} are not integers alone")
                expect(set(weights) <= set(op.scaled_with), "its rows have scales of their own")
            if op.unfinished:
                expect(bias is None and not addends and op.activation == "identity", "more than a sum, but unfinished")
            if op.continues is not None:
                begun = step.lines[op.continues].op
                expect(isinstance(begun, Affine) and begun.unfinished, f"%{op.continues} makes no sums")
                expect(size(op.continues) == rows, f"sums %{op.continues} are ({size(op.continues)},), not ({rows},)")
            for ref in addends:
                expect(size(ref) == rows, f"addend %{ref} is ({size(ref)},), expected ({rows},)")
            return rows, 0
        case Map(_, x):
            return size(x), 0
        case Combine(_, x, y):
            expect(size(x) == size(y), f"operands are ({size(x)},) and ({size(y)},)")
            return size(x), 0
        case Slice(x, start, length):
            expect(
                0 <= start and 0 < length and start + length <= size(x),
                f"[{start}:{start + length}] of ({size(x)},)",
            )
            return length, 0
        case Concatenate(parts):
            expect(len(parts) > 0, "nothing to concatenate")
            return sum(size(r) for r in parts), 0
        case Upsample(x, taps):
            shape(taps, 2)
            return size(x), 0
        case Phase(x, parts):
            expect(parts > 0 and size(x) % parts == 0, f"({size(x)},) does not divide into {parts} parts")
            return size(x) // parts, 0
        case Draw(_, distribution, parameters):
            return 1, _classes_of(distribution, size(parameters), expect)
        case Emit(x):
            return size(x), 0
        case _:
            assert_never(op)


def _classes_of(distribution: Distribution, parameters: int, expect: Callable[[bool, str], None]) -> int:
    match distribution:
        case Categorical() | Greedy():
            return parameters
        case Logistics(components):
            expect(parameters == 3 * components, f"{parameters} parameters for {components} logistics")
            return 0
        case Gaussian():
            expect(parameters == 2, f"{parameters} parameters for a Gaussian, expected 2")
            return 0
        case _:
            assert_never(distribution)


def _check_references(step: Step, ref: Ref, line: Line, defined: set[Ref]) -> None:
    for used in references(line.op):
        if used not in step.lines:
            _fail(step, ref, f"names %{used}, which does not exist")
    for used in operands(line.op):
        if used not in defined:
            _fail(step, ref, f"reads %{used} before it is made")
        source = step.lines[used].op
        begun = line.op.continues if isinstance(line.op, Affine) else None
        if isinstance(source, Affine) and source.unfinished and used != begun:
            _fail(step, ref, f"reads %{used}, the bare integers of a sum, and does not continue it")


def _check_clock(step: Step, ref: Ref, line: Line) -> None:
    if line.clock < 1:
        _fail(step, ref, f"has clock {line.clock}")
    for used in operands(line.op):
        clock = step.lines[used].clock
        if clock % line.clock != 0:
            _fail(
                step,
                ref,
                f"on clock {line.clock} reads %{used} of clock {clock}, which is not a multiple of it",
            )
    if isinstance(line.op, (Delayed, Recall)):
        clock = step.lines[line.op.of].clock
        if clock % line.clock and line.clock % clock:
            _fail(
                step,
                ref,
                f"on clock {line.clock} reads the past of %{line.op.of} of clock {clock}; one must divide the other",
            )
        if isinstance(line.op, Delayed) and not 0 <= line.op.lanes < step.lanes:
            _fail(step, ref, f"reads {line.op.lanes} lanes back in a step of {step.lanes}")
    if isinstance(line.op, (Upsample, Phase)):
        ratio = step.lines[line.op.x].clock // line.clock
        phases = line.op.parts if isinstance(line.op, Phase) else len(step.weights[line.op.taps])
        if ratio != phases:
            _fail(step, ref, f"has {phases} phases for {ratio} ticks of its input")
    if isinstance(line.op, Draw) and line.clock != 1:
        _fail(step, ref, "draws on a slower clock; draws belong to clock 1")


def _type(size: int, classes: int) -> str:
    return f"a class of {classes}" if classes else f"({size},)"


def _fail(step: Step, ref: Ref, message: str) -> None:
    line = step.lines[ref]
    where = f" ({line.where})" if line.where else ""
    raise IRError(f"{step.name}: {show_line(ref, line)}: {message}{where}")


def check_finite(step: Step) -> None:
    """Raise IRError where a weight is not finite or not float32."""
    for name, data in step.weights.items():
        if data.dtype != np.float32:
            raise IRError(f"{step.name}: weight {name} is {data.dtype}, expected float32")
        if not np.isfinite(data).all():
            raise IRError(f"{step.name}: weight {name} holds a value that is not finite")
