"""C++ expressions for elements of values: what is kept is read, what is only found elsewhere is written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from wavejit.backends.cuda.graph import Graph
from wavejit.ir.ops import (
    Affine,
    BinaryFunction,
    Combine,
    Concatenate,
    Condition,
    Constant,
    Delayed,
    Function,
    Lookup,
    Map,
    Phase,
    Recall,
    Ref,
    Slice,
    Upsample,
)

FUNCTIONS: Mapping[Function, str] = {
    "relu": "relu",
    "tanh": "hyperbolic_tangent",
    "sigmoid": "sigmoid",
    "exp": "power_of_e",
    "negate": "negate",
}
SYMBOLS: Mapping[BinaryFunction, str] = {"add": "+", "subtract": "-", "multiply": "*"}


class Memory(Protocol):
    """Where a kernel finds what it keeps; each method returns a C++ expression."""

    def value(self, ref: Ref, ticks: str, index: str) -> str:
        """An element of a kept value, `ticks` of its clock ago."""
        ...

    def past(self, ref: Ref, lag: str, index: str) -> str:
        """An element of what a value was some ticks ago, at least one, as worked out in this tick."""
        ...

    def label(self, ref: Ref, ticks: str) -> str:
        """A kept class, `ticks` of its clock ago."""
        ...

    def weight(self, name: str, index: str) -> str:
        """An element of a tensor."""
        ...

    def frame(self, ref: Ref, index: str) -> str:
        """An element of a frame that arrives with this tick."""
        ...

    def phase(self, clock: int) -> str:
        """Ticks of clock 1 since a slower one's began."""
        ...


class Expressions:
    """Writes elements of values.

    Args:
        graph: of the step.
        memory: of the kernel.
    """

    def __init__(self, graph: Graph, memory: Memory) -> None:
        self._graph, self._memory = graph, memory

    def element(self, ref: Ref, index: str) -> str:
        """Element `index` of any value."""
        return self._memory.value(ref, "0", index) if self._graph.makes(ref) else self.found(ref, index)

    def found(self, ref: Ref, index: str) -> str:
        """Element `index` of a value that is found elsewhere."""
        graph, memory = self._graph, self._memory
        line = graph.lines[ref]
        match line.op:
            case Constant(weight):
                return memory.weight(weight, index)
            case Condition():
                return memory.frame(ref, index)
            case Delayed(of, ticks):
                return memory.value(of, str(ticks), index)
            case Recall(of, lag, most):
                return memory.past(of, f"whole_lag({self.element(lag, '0')}, {most}.0f)", index)
            case Lookup(table, x):
                width = line.size
                row = self.label(x)
                return memory.weight(table, f"{row} * {width} + {index}" if width > 1 else row)
            case Slice(x, start):
                return self.element(x, f"{start} + {index}" if start else index)
            case Phase(x, _):
                return self.element(x, f"{self._part(x, line.clock)} * {line.size} + {index}")
            case Upsample(x, taps):
                length = graph.step.weights[taps].shape[1]
                row = self._part(x, line.clock)
                terms = [
                    f"{memory.weight(taps, f'{row} * {length} + {j}')} * {memory.value(x, str(j), index)}"
                    for j in range(length)
                ]
                return f"({' + '.join(terms)})"
            case Concatenate(parts):
                return self._joined(parts, index)
            case op:
                raise AssertionError(f"{type(op).__name__} is computed, not found")

    def label(self, ref: Ref) -> str:
        """A class, as an integer."""
        op = self._graph.lines[ref].op
        if self._graph.makes(ref):
            return self._memory.label(ref, "0")
        assert isinstance(op, Delayed), "a class is drawn, or was"
        return self._memory.label(op.of, str(op.ticks))

    def computed(self, ref: Ref, names: Mapping[Ref, str], index: str) -> str:
        """What an elementwise operation makes of values that have names, and of elements of others."""

        def operand(x: Ref) -> str:
            return names[x] if x in names else self.element(x, index)

        match self._graph.lines[ref].op:
            case Map(function, x):
                return applied(function, operand(x))
            case Combine(function, x, y):
                return f"{operand(x)} {SYMBOLS[function]} {operand(y)}"
            case op:
                raise AssertionError(f"{type(op).__name__} is no elementwise operation")

    def loop(self, ref: Ref, names: dict[Ref, str], index: str, line: Callable[[str], None]) -> str:
        """Write the operations of the loop that makes a value; returns the name of the result."""
        for x in self._graph.loops[ref].refs:
            line(f"const float v{x} = {self.computed(x, names, index)};")
            names[x] = f"v{x}"
        return names[ref]

    def addends(self, op: Affine, row: str) -> str:
        """What a product adds to its total, with a sign in front."""
        return "".join(f" + {self.element(addend, row)}" for addend in op.addends)

    def _part(self, x: Ref, clock: int) -> str:
        phase = self._memory.phase(self._graph.lines[x].clock)
        return f"(int)({phase} / {clock}u)" if clock > 1 else f"(int){phase}"

    def _joined(self, parts: tuple[Ref, ...], index: str) -> str:
        """One of several elements, by where the index lies."""
        text, start = "", 0
        for part in parts[:-1]:
            end = start + self._graph.lines[part].size
            here = f"{index} - {start}" if start else index
            text += f"{index} < {end} ? {self.element(part, f'({here})')} : "
            start = end
        return f"({text}{self.element(parts[-1], f'({index} - {start})')})"


def applied(function: Function, x: str) -> str:
    """`function` of an expression."""
    return x if function == "identity" else f"{FUNCTIONS[function]}({x})"
