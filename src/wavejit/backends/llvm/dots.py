"""Sums of products of integers, as each kind of processor does them best; all give the same integers.

A word of 32 bits holds four columns in 8 bits or two in 16. Weights are signed. 8-bit inputs are signed too, or, where
a processor multiplies unsigned by signed bytes without loss, have an offset added that makes them unsigned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wavejit.backends.llvm.builder import Function, Type, Value

Inputs = tuple[Value, ...]
Add = Callable[[Function, Value, Inputs, Value], Value]


@dataclass(frozen=True)
class Rows:
    """Products of bytes for many rows at once: what their totals have in common is worked out beside them.

    Attributes:
        least: vectors of rows that it pays for.
        inputs8: what `add8` wants to know of a broadcast word of inputs.
        add8: totals + four products a lane, less what `left_out8` has.
        left_out8: a total of what `add8` leaves out, to be subtracted from each row's at the end.
    """

    least: int
    inputs8: Callable[[Function, Value], Inputs]
    add8: Add
    left_out8: Callable[[Function, Value, Inputs], Value]


@dataclass(frozen=True)
class Dots:
    """How to add the products of a vector of words to a vector of 32-bit totals.

    Attributes:
        offset8: what is added to 8-bit inputs.
        inputs8: what `add8` wants to know of a broadcast word of inputs; made once for many rows.
        add8: totals + four products a lane.
        inputs16, add16: the same for two products a lane.
        rows8: another way for 8 bits, or None.
    """

    offset8: int
    inputs8: Callable[[Function, Value], Inputs]
    add8: Add
    inputs16: Callable[[Function, Value], Inputs]
    add16: Add
    rows8: Rows | None = None


def _as_is(k: Function, word: Value) -> Inputs:
    return (word,)


def _lanes_of(k: Function, x: Value, scalar: str, bits: int) -> Value:
    """The same bits as narrower elements."""
    to = Type(scalar, x.type.lanes * 32 // bits)
    return k.emit(f"bitcast {x.type} {x.name} to {to}", to)


def _intrinsic(name: str, scalar: str, bits: int, accumulates: bool) -> Add:
    """One instruction for all columns of a word; where it tells the operands apart, inputs come before weights."""

    def add(k: Function, total: Value, inputs: Inputs, weights: Value) -> Value:
        x, w = _lanes_of(k, inputs[0], scalar, bits), _lanes_of(k, weights, scalar, bits)
        if accumulates:
            return k.call(name, total.type, total, x, w)
        return total + k.call(name, total.type, x, w)

    return add


def _sign(k: Function, x: Value) -> Value:
    """Of each byte all ones where it is negative."""
    return k.emit(f"ashr {x.type} {x.name}, {k.constant(x.type, 7).name}", x.type)


def _magnitude(x: Value, sign: Value) -> Value:
    return (x ^ sign) - sign


def _magnitude_and_value(k: Function, word: Value) -> Inputs:
    x = _lanes_of(k, word, "i8", 8)
    return _magnitude(x, _sign(k, x)), x


def _magnitude_and_sign(k: Function, word: Value) -> Inputs:
    x = _lanes_of(k, word, "i8", 8)
    sign = _sign(k, x)
    return _magnitude(x, sign), sign


def _magnitudes_by_bytes(multiply_bytes: str, multiply_pairs: str) -> Callable[[Function, Value, Value, Value], Value]:
    """Totals + magnitudes by signed bytes; pairs of products are added in 16 bits, saturating."""

    def add(k: Function, total: Value, magnitude: Value, signed: Value) -> Value:
        halves = k.call(multiply_bytes, Type("i16", 2 * total.type.lanes), magnitude, signed)
        return total + k.call(multiply_pairs, total.type, halves, k.constant(halves.type, 1))

    return add


def _by_magnitudes(multiply_bytes: str, multiply_pairs: str, with_sign: str) -> Add:
    """Bytes where the processor multiplies unsigned by signed ones.

    The input's sign goes to the weight; two products of at most 127 by 127 stay below 2^15.
    """
    products = _magnitudes_by_bytes(multiply_bytes, multiply_pairs)

    def add(k: Function, total: Value, inputs: Inputs, weights: Value) -> Value:
        magnitude, x = inputs
        w = _lanes_of(k, weights, "i8", 8)
        if with_sign:
            return products(k, total, magnitude, k.call(with_sign, w.type, w, x))
        sign = _sign(k, x)
        return products(k, total, magnitude, (w ^ sign) - sign)

    return add


def _by_complements(multiply_bytes: str, multiply_pairs: str) -> Rows:
    """Bytes by magnitudes, with -w - 1 where the input's sign asks for -w: any unit of a processor does that.

    What it leaves out is an input's magnitude where that is negative. |x| (-w - 1) is at least -127 * 128, so that two
    products stay below 2^15 here as well.
    """
    products = _magnitudes_by_bytes(multiply_bytes, multiply_pairs)

    def add(k: Function, total: Value, inputs: Inputs, weights: Value) -> Value:
        magnitude, sign = inputs
        return products(k, total, magnitude, _lanes_of(k, weights, "i8", 8) ^ sign)

    def left_out(k: Function, total: Value, inputs: Inputs) -> Value:
        return products(k, total, *inputs)

    return Rows(4, _magnitude_and_sign, add, left_out)


def _field(k: Function, word: Value, at: int, bits: int, signed: bool) -> Value:
    """Bits `at` to `at + bits` of each word, as a number of 32 bits."""
    up = word << (32 - bits - at) if at + bits < 32 else word
    shift = k.constant(word.type, 32 - bits)
    return k.emit(f"{'ashr' if signed else 'lshr'} {word.type} {up.name}, {shift.name}", word.type)


def _fields(bits: int, signed: bool) -> Callable[[Function, Value], Inputs]:
    def split(k: Function, word: Value) -> Inputs:
        return tuple(_field(k, word, at, bits, signed) for at in range(0, 32, bits))

    return split


def _by_fields(bits: int) -> Add:
    def add(k: Function, total: Value, inputs: Inputs, weights: Value) -> Value:
        for i, x in enumerate(inputs):
            total = total + x * _field(k, weights, i * bits, bits, signed=True)
        return total

    return add


def _long_products(k: Function, a: Value, b: Value) -> tuple[Value, Value]:
    """ARM's products of the lower and of the upper halves of two vectors, in elements twice as wide."""
    lanes = a.type.lanes // 2
    to = Type({"i8": "i16", "i16": "i32"}[a.type.scalar], lanes)

    def product(half: range) -> Value:
        return k.call(f"llvm.aarch64.neon.smull.{to.mangled}", to, k.shuffle(a, half), k.shuffle(b, half))

    return product(range(lanes)), product(range(lanes, 2 * lanes))


def _held_bytes(k: Function, word: Value) -> Inputs:
    """Held, for LLVM sees that a broadcast's halves are alike: it would move the weights' upper half to the lower."""
    return tuple(k.held([_lanes_of(k, word, "i8", 8)], "w"))


def _by_pairs_of_products(k: Function, total: Value, inputs: Inputs, weights: Value) -> Value:
    """Bytes on any 64-bit ARM: products in 16 bits are added in pairs, then pairs to the totals.

    Two products of at most 127 by 128 stay below 2^15.
    """
    (x,) = inputs
    low, high = _long_products(k, _lanes_of(k, weights, "i8", 8), x)
    sums = k.call(f"llvm.aarch64.neon.addp.{low.type.mangled}", low.type, low, high)
    return total + k.call(f"llvm.aarch64.neon.saddlp.{total.type.mangled}.{sums.type.mangled}", total.type, sums)


def _first_columns_first(k: Function, word: Value) -> Value:
    """The lower 16 bits of all words, then the upper ones."""
    x = _lanes_of(k, word, "i16", 16)
    return k.shuffle(x, [*range(0, x.type.lanes, 2), *range(1, x.type.lanes, 2)])


def _apart(k: Function, word: Value) -> Inputs:
    return (_first_columns_first(k, word),)


def _by_long_products(k: Function, total: Value, inputs: Inputs, weights: Value) -> Value:
    """16 bits on ARM: once the weights lie column by column, a half's products add to the totals as they are made."""
    (x,) = inputs
    first, second = _long_products(k, _first_columns_first(k, weights), x)
    return total + first + second


VNNI_512 = Dots(
    128,
    _as_is,
    _intrinsic("llvm.x86.avx512.vpdpbusd.512", "i8", 8, accumulates=True),
    _as_is,
    _intrinsic("llvm.x86.avx512.vpdpwssd.512", "i16", 16, accumulates=True),
)
VNNI_256 = Dots(
    128,
    _as_is,
    _intrinsic("llvm.x86.avx512.vpdpbusd.256", "i8", 8, accumulates=True),
    _as_is,
    _intrinsic("llvm.x86.avx512.vpdpwssd.256", "i16", 16, accumulates=True),
)


def pairs(multiply_bytes: str, multiply_pairs: str, with_sign: str = "") -> Dots:
    """x86 without VNNI, by its instructions for pairs of bytes, pairs of 16 bits, and signs where it has one."""
    return Dots(
        0,
        _magnitude_and_value,
        _by_magnitudes(multiply_bytes, multiply_pairs, with_sign),
        _as_is,
        _intrinsic(multiply_pairs, "i16", 16, accumulates=False),
        _by_complements(multiply_bytes, multiply_pairs),
    )


GENERIC = Dots(0, _fields(8, signed=True), _by_fields(8), _fields(16, signed=True), _by_fields(16))
NEON = Dots(0, _held_bytes, _by_pairs_of_products, _apart, _by_long_products)
NEON_DOTPROD = Dots(
    0, _as_is, _intrinsic("llvm.aarch64.neon.sdot.v4i32.v16i8", "i8", 8, accumulates=True), _apart, _by_long_products
)
