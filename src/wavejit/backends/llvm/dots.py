"""Sums of products of integers, as each kind of processor does them best; all give the same integers.

A word of 32 bits holds four columns in 8 bits or two in 16. Weights are signed; 8-bit inputs are unsigned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wavejit.backends.llvm.builder import Function, Type, Value

Inputs = tuple[Value, ...]
Add = Callable[[Function, Value, Inputs, Value], Value]


@dataclass(frozen=True)
class Dots:
    """How to add the products of a vector of words to a vector of 32-bit totals.

    Attributes:
        inputs8: what `add8` wants to know of a broadcast word of inputs; made once for many rows.
        add8: totals + four products a lane.
        inputs16, add16: the same for two products a lane.
    """

    inputs8: Callable[[Function, Value], Inputs]
    add8: Add
    inputs16: Callable[[Function, Value], Inputs]
    add16: Add


def _as_is(k: Function, word: Value) -> Inputs:
    return (word,)


def _lanes_of(k: Function, x: Value, scalar: str, bits: int) -> Value:
    """The same bits as narrower elements."""
    to = Type(scalar, x.type.lanes * 32 // bits)
    return k.emit(f"bitcast {x.type} {x.name} to {to}", to)


def _intrinsic(name: str, scalar: str, bits: int, accumulates: bool) -> Add:
    """An x86 instruction; unsigned inputs come before signed weights."""

    def add(k: Function, total: Value, inputs: Inputs, weights: Value) -> Value:
        x, w = _lanes_of(k, inputs[0], scalar, bits), _lanes_of(k, weights, scalar, bits)
        if accumulates:
            return k.call(name, total.type, total, x, w)
        return total + k.call(name, total.type, x, w)

    return add


def _pairs_of_bytes(k: Function, word: Value) -> Inputs:
    """Unsigned bytes 0 and 2, then 1 and 3, each as 16 bits."""
    return word & 0x00FF00FF, (word >> 8) & 0x00FF00FF


def _by_pairs(name: str) -> Add:
    """Bytes widened to 16 bits and multiplied in pairs: the 8-bit instruction of older x86 saturates its sums."""

    def add(k: Function, total: Value, inputs: Inputs, weights: Value) -> Value:
        halves = _lanes_of(k, weights, "i16", 16)
        eight = k.constant(halves.type, 8)
        odd = k.emit(f"ashr {halves.type} {halves.name}, {eight.name}", halves.type)
        shifted = halves << 8
        even = k.emit(f"ashr {halves.type} {shifted.name}, {eight.name}", halves.type)
        for x, w in zip(inputs, (even, odd), strict=True):
            total = total + k.call(name, total.type, _lanes_of(k, x, "i16", 16), w)
        return total

    return add


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


VNNI_512 = Dots(
    _as_is,
    _intrinsic("llvm.x86.avx512.vpdpbusd.512", "i8", 8, accumulates=True),
    _as_is,
    _intrinsic("llvm.x86.avx512.vpdpwssd.512", "i16", 16, accumulates=True),
)
VNNI_256 = Dots(
    _as_is,
    _intrinsic("llvm.x86.avx512.vpdpbusd.256", "i8", 8, accumulates=True),
    _as_is,
    _intrinsic("llvm.x86.avx512.vpdpwssd.256", "i16", 16, accumulates=True),
)


def pairs(name: str) -> Dots:
    """x86 without VNNI: `name` multiplies pairs of 16 bits and adds them."""
    return Dots(_pairs_of_bytes, _by_pairs(name), _as_is, _intrinsic(name, "i16", 16, accumulates=False))


GENERIC = Dots(_fields(8, signed=False), _by_fields(8), _fields(16, signed=True), _by_fields(16))
