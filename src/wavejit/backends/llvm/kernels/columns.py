"""How the columns of each format are read and multiplied: one *step* is what one load of weights a row vector holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wavejit.backends.llvm.builder import F32, I32, Function, Type, Value
from wavejit.backends.llvm.isa import ISA
from wavejit.ir.formats import FormatName

Inputs = tuple[Value, ...]
Add = Callable[[Function, Value, Inputs, Value], Value]

UPPER_NIBBLES = 0xF0F0F0F0


@dataclass(frozen=True)
class Columns:
    """One format's columns.

    Attributes:
        count: columns of a step.
        bytes: of a step, for one row.
        input_bytes: from the inputs of a step to the next step's.
        total: scalar type of the totals.
        inputs: a step's inputs, broadcast, from where the input lies, the step's first column, and how many
            columns there are; behind the last the inputs are 0.
        left_out: adds up what `add` leaves out of every row alike, to be subtracted at the end; None for nothing.
        of_words: inputs of words that differ from lane to lane; None where a step's inputs are not one word.
        add: totals of a row vector plus a step's products, from where the step's weights lie.
    """

    count: int
    bytes: int
    input_bytes: int
    total: str
    inputs: Callable[[Function, Value, int, int], Inputs]
    add: Add
    of_words: Callable[[Function, Value], Inputs] | None = None
    left_out: Callable[[Function, Value, Inputs], Value] | None = None


def columns_of(name: FormatName, isa: ISA, vectors: int = 1) -> Columns:
    """The columns of a format on an instruction set, where a step's inputs meet so many vectors of rows."""
    match name:
        case "int8" if isa.dots.rows8 and vectors >= isa.dots.rows8.least:
            rows = isa.dots.rows8
            return Columns(4, 4, 4, "i32", _word(rows.inputs8, 4), _weights(rows.add8), left_out=rows.left_out8)
        case "float32":
            return Columns(1, 4, 4, "float", _floats(1), _add_float32, _as_float)
        case "bfloat16":
            return Columns(2, 4, 8, "float", _floats(2), _add_bfloat16)
        case "float16":
            return Columns(1, 2, 4, "float", _floats(1), _add_float16 if isa.half else _add_float16_by_bits)
        case "int16":
            return Columns(2, 4, 4, "i32", _word(isa.dots.inputs16, 2), _weights(isa.dots.add16), isa.dots.inputs16)
        case "int8" | "mxint8":
            return Columns(4, 4, 4, "i32", _word(isa.dots.inputs8, 4), _weights(isa.dots.add8), isa.dots.inputs8)
        case "int4":
            return Columns(8, 4, 8, "i32", _two_words(isa.dots.inputs8), _weights(_by_nibbles(isa.dots.add8)))


def _floats(count: int) -> Callable[[Function, Value, int, int], Inputs]:
    def inputs(k: Function, x: Value, first: int, columns: int) -> Inputs:
        return tuple(
            k.broadcast(k.load(x, column, F32)) if column < columns else k.splat(0.0)
            for column in range(first, first + count)
        )

    return inputs


def _as_float(k: Function, words: Value) -> Inputs:
    return (k.bitcast(words, "float"),)


def _word(split: Callable[[Function, Value], Inputs], count: int) -> Callable[[Function, Value, int, int], Inputs]:
    def inputs(k: Function, x: Value, first: int, columns: int) -> Inputs:
        return split(k, k.broadcast(k.load(x, first // count, I32)))  # weights behind the last column are 0

    return inputs


def _two_words(split: Callable[[Function, Value], Inputs]) -> Callable[[Function, Value, int, int], Inputs]:
    """The inputs of eight columns: those of the first four, then those of the others."""

    def inputs(k: Function, x: Value, first: int, columns: int) -> Inputs:
        low = k.load(x, first // 4, I32)
        high = k.load(x, first // 4 + 1, I32) if first + 4 < columns else k.constant(I32, 0)
        return (*split(k, k.broadcast(low)), *split(k, k.broadcast(high)))

    return inputs


def _by_nibbles(add8: Add) -> Add:
    """Halves of bytes, each moved to the upper half of a byte of its own: 16 times the weight."""

    def add(k: Function, total: Value, inputs: Inputs, weights: Value) -> Value:
        half = len(inputs) // 2
        total = add8(k, total, inputs[:half], (weights << 4) & UPPER_NIBBLES)
        return add8(k, total, inputs[half:], weights & UPPER_NIBBLES)

    return add


def _weights(add: Add) -> Add:
    def read_and_add(k: Function, total: Value, inputs: Inputs, at: Value) -> Value:
        return add(k, total, inputs, _words(k, at))

    return read_and_add


def _words(k: Function, at: Value) -> Value:
    return k.load(at, 0, Type("i32", k.lanes), align=4 * k.lanes)


def _add_float32(k: Function, total: Value, inputs: Inputs, at: Value) -> Value:
    return k.multiply_add(k.load(at, 0, align=4 * k.lanes), inputs[0], total)


def _add_bfloat16(k: Function, total: Value, inputs: Inputs, at: Value) -> Value:
    """A bfloat16 is the upper half of a float32."""
    words = _words(k, at)
    total = k.multiply_add(k.bitcast(words << 16, "float"), inputs[0], total)
    return k.multiply_add(k.bitcast(words & -0x10000, "float"), inputs[1], total)


def _add_float16(k: Function, total: Value, inputs: Inputs, at: Value) -> Value:
    halves = k.load(at, 0, Type("half", k.lanes), align=2 * k.lanes)
    return k.multiply_add(halves.convert("fpext", "float"), inputs[0], total)


def _add_float16_by_bits(k: Function, total: Value, inputs: Inputs, at: Value) -> Value:
    """Exponent and fraction moved to their places in a float32, and the difference of the biases multiplied in."""
    bits = k.load(at, 0, Type("i16", k.lanes), align=2 * k.lanes).convert("zext", "i32")
    magnitude = k.bitcast((bits & 0x7FFF) << 13, "float") * 2.0**112
    signed = k.bitcast(magnitude, "i32") | ((bits & 0x8000) << 16)
    return k.multiply_add(k.bitcast(signed, "float"), inputs[0], total)
