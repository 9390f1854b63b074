"""Write a step as equations: values with operators, functions named as in the papers.

s = StepBuilder("one-pole", sample_rate=16000)
y = s.condition("input", 1, hop_length=1) + affine(w.linear("feedback"), s.emitted(ago=1))
s.emit(y)
step = s.step()
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.ops import (
    Affine,
    BinaryFunction,
    Combine,
    Concatenate,
    Condition,
    Constant,
    Delayed,
    Distribution,
    Draw,
    Emit,
    Function,
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
from wavejit.ir.verify import value_type, verify

PENDING: Ref = -1  # a past value whose present is not built yet


@dataclass(frozen=True)
class Tensor:
    """A weight and its name."""

    name: str
    data: NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """A weight `(outputs, inputs)` and perhaps a bias `(outputs,)`."""

    weight: Tensor
    bias: Tensor | None = None


class Tensors:
    """A model's weights by name."""

    def __init__(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> Tensor:
        return Tensor(name, self._tensors[name])

    def linear(self, prefix: str) -> Linear:
        """`prefix.weight`, and `prefix.bias` where there is one."""
        bias = f"{prefix}.bias"
        return Linear(self[f"{prefix}.weight"], self[bias] if bias in self._tensors else None)


@dataclass(frozen=True, eq=False)
class Value:
    """What an operation makes, `(size,)`; `+ - *` combine elements."""

    builder: StepBuilder
    ref: Ref
    size: int

    def __add__(self, other: Value) -> Value:
        return self._combine("add", other)

    def __sub__(self, other: Value) -> Value:
        return self._combine("subtract", other)

    def __mul__(self, other: Value) -> Value:
        return self._combine("multiply", other)

    def __getitem__(self, where: slice) -> Value:
        start, stop, step = where.indices(self.size)
        if step != 1:
            raise TypeError(f"a slice of a value has step 1, found {step}")
        return self.builder.add(Slice(self.ref, start, stop - start))

    def split(self, parts: int) -> tuple[Value, ...]:
        """Cut into equal parts."""
        width = self.size // parts
        return tuple(self[i * width : (i + 1) * width] for i in range(parts))

    def _combine(self, function: BinaryFunction, other: Value) -> Value:
        return self.builder.add(Combine(function, self.ref, other.ref))


class StepBuilder:
    """Collects the operations of one tick. Operations run every tick unless built `with s.every(n)`."""

    def __init__(self, name: str, sample_rate: int, lanes: int = 1, lane_lag: int = 0) -> None:
        self._step = Step(name, sample_rate, {}, {}, lanes, lane_lag)
        self._lines: dict[Ref, Line] = {}
        self._weights: dict[str, NDArray[np.float32]] = {}
        self._clock = 1
        self._states: dict[str, Ref] = {}  # that are not updated yet: their past
        self._remembered: dict[str, Ref] = {}  # each state's past
        self._recalled: dict[Ref, str] = {}  # of which state
        self._draws: dict[str, tuple[Ref, int]] = {}
        self._pending: dict[Ref, str] = {}  # past of a draw, or of what is emitted ("")
        self._emitted: Ref | None = None
        self._step = replace(self._step, lines=self._lines, weights=self._weights)

    def add(self, op: Operation, size: int | None = None, classes: int = 0, clock: int | None = None) -> Value:
        """Append an operation; size and classes are worked out unless they are given."""
        where = _caller()
        if size is None:
            size, classes = value_type(self._step, op, where)
        ref = len(self._lines)
        self._lines[ref] = Line(op, size, classes, clock or self._clock, where)
        return Value(self, ref, size)

    def tensor(self, tensor: Tensor) -> str:
        """Take a weight into the step; returns its name."""
        self._weights[tensor.name] = np.ascontiguousarray(tensor.data, dtype=np.float32)
        return tensor.name

    @contextmanager
    def every(self, ticks: int) -> Generator[None, None, None]:
        """Operations built inside run every `ticks` ticks."""
        outer, self._clock = self._clock, ticks
        try:
            yield
        finally:
            self._clock = outer

    def condition(self, name: str, size: int, hop_length: int) -> Value:
        """The current frame `(size,)` of a conditioning input with a frame every `hop_length` ticks."""
        return self.add(Condition(name, size), clock=hop_length)

    def constant(self, tensor: Tensor) -> Value:
        return self.add(Constant(self.tensor(tensor)))

    def delayed(self, x: Value, ticks: int, initial: float | Tensor = 0.0, lanes: int = 0) -> Value:
        """What `x` was `ticks` ticks of its clock ago; `initial` before the first."""
        first = self.tensor(initial) if isinstance(initial, Tensor) else initial
        return self.add(Delayed(x.ref, ticks, first, lanes), clock=self._lines[x.ref].clock)

    def upsample(self, x: Value, taps: Tensor) -> Value:
        """A slower `x` at this clock by a polyphase filter, `(phases, taps)`."""
        return self.add(Upsample(x.ref, self.tensor(taps)))

    def phase(self, x: Value, parts: int) -> Value:
        """The part of a slower `x` that belongs to this tick."""
        return self.add(Phase(x.ref, parts))

    def state(self, name: str, size: int, initial: float | Tensor = 0.0) -> Value:
        """The state `name` as the last tick left it; `update` says what this tick leaves."""
        first = self.tensor(initial) if isinstance(initial, Tensor) else initial
        value = self.add(Delayed(PENDING, 1, first), size)
        self._states[name] = self._remembered[name] = value.ref
        return value

    def update(self, name: str, value: Value) -> None:
        """What the state `name` is from now on."""
        self._resolve(self._states.pop(name), value.ref)

    def recalled(self, x: Value | str, lag: Value, most: int) -> Value:
        """What `x`, or the state of that name, was `lag` ticks of its clock ago; 0 before the first tick.

        A state was as many ticks ago what `update` then left: with a lag of 1 it is what `state` gives.

        Args:
            x: a value `(size,)`, or the name of a state that begins with 0.
            lag: `(1,)`, worked out each tick: held to [1, most] and rounded to a whole tick, halves up.
            most: ticks that are kept.
        """
        if isinstance(x, Value):
            return self.add(Recall(x.ref, lag.ref, most))
        value = self.add(Recall(self._remembered[x], lag.ref, most))  # of the same size as what it will be of
        self._recalled[value.ref] = x
        return value

    def drawn(self, name: str, ago: int, classes: int = 0, initial: float = 0.0) -> Value:
        """What the draw `name` gave `ago` ticks ago: one of `classes`, or a real where `classes` is 0."""
        value = self.add(Delayed(PENDING, ago, initial), 1, classes)
        self._pending[value.ref] = name
        return value

    def emitted(self, ago: int, samples: int = 1) -> Value:
        """The audio emitted `ago` ticks ago, `(samples,)`."""
        value = self.add(Delayed(PENDING, ago), samples)
        self._pending[value.ref] = ""
        return value

    def draw(self, name: str, distribution: Distribution, parameters: Value) -> Value:
        """Draw from a distribution; a class, or a real `(1,)`."""
        value = self.add(Draw(name, distribution, parameters.ref))
        self._draws[name] = (value.ref, self._lines[value.ref].classes)
        return value

    def emit(self, x: Value) -> None:
        """The audio of this tick."""
        self._emitted = x.ref
        self.add(Emit(x.ref))

    def step(self, lookahead: int = 0) -> Step:
        """The finished step, verified. `lookahead`: frames needed beyond the current one."""
        if self._states:
            raise ValueError(f"state {next(iter(self._states))} is never updated")
        for ref, name in self._pending.items():
            source = self._draws[name][0] if name else self._emitted
            if source is None:
                raise ValueError("a past sample is read, but nothing is emitted")
            self._resolve(ref, source)
        for ref, name in self._recalled.items():
            past = self._lines[self._remembered[name]].op
            assert isinstance(past, Delayed), "a state's past is a delayed value"
            self._resolve(ref, past.of)
        step = replace(self._step, lookahead=lookahead)
        verify(step)
        return step

    def _resolve(self, ref: Ref, present: Ref) -> None:
        line = self._lines[ref]
        if isinstance(line.op, (Delayed, Recall)):
            self._lines[ref] = replace(line, op=replace(line.op, of=present))


def tanh(x: Value) -> Value:
    """Elementwise."""
    return _map("tanh", x)


def sigmoid(x: Value) -> Value:
    """Elementwise."""
    return _map("sigmoid", x)


def relu(x: Value) -> Value:
    """Elementwise."""
    return _map("relu", x)


def exp(x: Value) -> Value:
    """Elementwise."""
    return _map("exp", x)


def negate(x: Value) -> Value:
    """Elementwise."""
    return _map("negate", x)


def lookup(table: Tensor, index: Value) -> Value:
    """Row `index` of `table`, `(classes, size)`."""
    return index.builder.add(Lookup(index.builder.tensor(table), index.ref))


def affine(layer: Linear, x: Value) -> Value:
    """`weight @ x + bias`."""
    s = x.builder
    bias = s.tensor(layer.bias) if layer.bias else None
    return s.add(Affine((s.tensor(layer.weight),), (x.ref,), bias))


def total(values: Sequence[Value]) -> Value:
    """The sum of at least one value."""
    first, *others = values
    for value in others:
        first = first + value
    return first


def concatenate(*parts: Value) -> Value:
    """The parts, one behind the other."""
    return parts[0].builder.add(Concatenate(tuple(part.ref for part in parts)))


def gru(recurrent: Linear, inputs: Linear, h: Value, x: Value) -> Value:
    """The next state of a gated recurrent unit: gates reset, update, new, as PyTorch orders them.

    Source: Cho et al. 2014, with the reset gate applied after the recurrent product.
    """
    r_h, z_h, n_h = affine(recurrent, h).split(3)
    r_x, z_x, n_x = affine(inputs, x).split(3)
    r, z = sigmoid(r_h + r_x), sigmoid(z_h + z_x)
    n = tanh(n_x + r * n_h)
    return n + z * (h - n)


def _map(function: Function, x: Value) -> Value:
    return x.builder.add(Map(function, x.ref))


def _caller() -> str:
    """The file and line of the model that is being built: the first frame outside this module."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
