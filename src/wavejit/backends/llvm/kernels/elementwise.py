"""Elementwise expressions fused into one loop, copies, and upsampling filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from wavejit.backends.llvm import functions
from wavejit.backends.llvm.builder import F32, PTR, Function, Value, digest
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.lanes import elements
from wavejit.backends.llvm.kernels.output import Output, Sink
from wavejit.ir import ops
from wavejit.ir.layout import Loop


def apply(k: Function, function: ops.Function, x: Value, accuracy: Accuracy) -> Value:
    """An elementwise function of one vector."""
    match function:
        case "identity":
            return x
        case "relu":
            return k.maximum(x, 0.0)
        case "tanh":
            return functions.tanh(k, x, accuracy)
        case "sigmoid":
            return functions.sigmoid(k, x, accuracy)
        case "exp":
            return functions.exp(k, x, accuracy)
        case "negate":
            return -x
        case _:
            assert_never(function)


def combine(function: ops.BinaryFunction, x: Value, y: Value) -> Value:
    """An elementwise function of two vectors."""
    match function:
        case "add":
            return x + y
        case "subtract":
            return x - y
        case "multiply":
            return x * y
        case _:
            assert_never(function)


PAIRED = ("tanh", "sigmoid")
Expression = tuple[ops.Function, int] | tuple[ops.BinaryFunction, int, int]


@dataclass(frozen=True)
class Formula:
    """An expression over vectors, in SSA form.

    Attributes:
        inputs: how many vectors it is of; they are values 0, 1, ….
        lines: each makes the next value from earlier ones; the last is the result.
    """

    inputs: int
    lines: tuple[Expression, ...]

    @property
    def name(self) -> str:
        names = [line[0] for line in self.lines]
        if len(names) > 4:
            names = [*names[:2], f"{len(names) - 3}_more", names[-1]]
        return "_".join([*names, digest(repr(self.lines).encode())])

    def of(self, k: Function, inputs: Sequence[Value], accuracy: Accuracy, paired: bool = False) -> Value:
        """The result for one vector of each input; with `paired`, functions of two values are worked out in step."""
        values: dict[int, Value] = dict(enumerate(inputs))
        for number, line in enumerate(self.lines, self.inputs):
            if number in values:
                continue
            if len(line) == 3:
                values[number] = combine(line[0], values[line[1]], values[line[2]])
            elif paired and accuracy == "fast" and (other := self._partner(number, values)) is not None:
                both = [self.lines[i - self.inputs] for i in (number, other)]
                made = functions.fast_pair(k, [name for name, *_ in both], [values[of] for _, of, *_ in both])
                values |= dict(zip((number, other), made, strict=True))
            else:
                values[number] = apply(k, line[0], values[line[1]], accuracy)
        return values[self.inputs + len(self.lines) - 1]

    def _partner(self, number: int, values: Mapping[int, Value]) -> int | None:
        """Of a tanh or sigmoid, another that could be worked out now."""
        if self.lines[number - self.inputs][0] in PAIRED:
            for other, line in enumerate(self.lines[number - self.inputs + 1 :], number + 1):
                if line[0] in PAIRED and line[1] in values and other not in values:
                    return other
        return None


def formula_of(step: ops.Step, loop: Loop) -> Formula:
    """What a loop works out: of the parts of its product first, then of its inputs."""
    number = {x: i for i, x in enumerate((*loop.parts, *loop.inputs, *loop.refs))}
    lines: list[Expression] = []
    for ref in loop.refs:
        op = step.lines[ref].op
        if isinstance(op, ops.Map):
            lines.append((op.function, number[op.x]))
        elif isinstance(op, ops.Combine):
            lines.append((op.function, number[op.x], number[op.y]))
    return Formula(len(loop.parts) + len(loop.inputs), tuple(lines))


def elementwise(formula: Formula, output: Output, isa: ISA, accuracy: Accuracy) -> Function:
    """Parameters: those of `output` (padded to whole vectors), then a pointer for each input."""
    names = [f"x{i}" for i in range(formula.inputs)]
    k = Function(
        f"{formula.name}_{output.size}{output.name}",
        [*output.parameters, *((name, PTR) for name in names)],
        isa.lanes,
        isa.fused,
        look_up=isa.look_up_floats,
    )
    sink = Sink(k, output, isa)
    for at in elements(k, output.size):
        sink.put(formula.of(k, [k.load(k[name], at) for name in names], accuracy), at)
    sink.finish()
    return k


def copy(size: int, isa: ISA) -> Function:
    """Parameters: out, x. Copies `size` elements and touches no other."""
    k = Function(f"copy_{size}", [("out", PTR), ("x", PTR)], isa.lanes)
    whole = size - size % isa.lanes
    with k.loop(whole, step=isa.lanes) as loop:
        k.store(k.load(k["x"], loop.index), k["out"], loop.index)
    for i in range(whole, size):
        k.store(k.load(k["x"], i, F32), k["out"], i)
    return k


def upsample(size: int, taps: int, isa: ISA) -> Function:
    """Parameters: out `(size,)`, filter row `(taps,)`, then a pointer for each past value, newest first."""
    names = [f"x{i}" for i in range(taps)]
    parameters = [(name, PTR) for name in ("out", "taps", *names)]
    k = Function(f"upsample_{size}x{taps}", parameters, isa.lanes, isa.fused)
    weights = [k.broadcast(k.load(k["taps"], i, F32)) for i in range(taps)]
    with k.loop(size, step=isa.lanes) as loop:
        total = weights[0] * k.load(k[names[0]], loop.index)
        for weight, name in zip(weights[1:], names[1:], strict=True):
            total = k.multiply_add(weight, k.load(k[name], loop.index), total)
        k.store(total, k["out"], loop.index, align=4 * isa.lanes)
    return k
