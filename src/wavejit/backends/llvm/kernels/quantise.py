"""Inputs of integer products: a vector of float32 to integers and their scale. `ir/formats.py` says it in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wavejit.backends.llvm.builder import F32, PTR, Function, Type, Value
from wavejit.backends.llvm.functions import ROUNDER
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.lanes import elements, lanes_below, written_out
from wavejit.ir.formats import FORMATS, SMALLEST_SCALE, FormatName


@dataclass(frozen=True)
class Integers:
    """What a kernel makes of a vector of `size` elements: integers of a format, for a range known or measured."""

    size: int
    format: FormatName
    measured: bool

    @property
    def name(self) -> str:
        return f"{self.format}_{self.size}{'_measured' if self.measured else ''}"

    @property
    def parameters(self) -> list[tuple[str, Type]]:
        """Where the integers go, and where the scale goes that is measured, or the full scale that is known."""
        return [("integers", PTR), ("scale", PTR) if self.measured else ("full_scale", F32)]


def quantise(integers: Integers, isa: ISA) -> Function:
    """Parameters: x `(size,)`, then those of `integers`."""
    k = Function(f"quantise_{integers.name}", [("x", PTR), *integers.parameters], isa.lanes, isa.fused)
    store_integers(k, integers, isa, lambda at: k.load(k["x"], at))
    return k


def store_integers(k: Function, integers: Integers, isa: ISA, vector: Callable[[Value | int], Value]) -> None:
    """Measure if need be, and write the integers of the vectors that `vector` gives for an element."""
    if integers.measured:
        limit = float(FORMATS[integers.format].limit)
        largest = _largest(k, integers.size, vector)
        k.store(largest / limit, k["scale"])
        factor = k.broadcast(limit / largest)
    else:
        factor = known_factor(k, integers)
    for at in elements(k, integers.size):
        store_vector(k, integers, isa, vector(at) * factor, at)


def known_factor(k: Function, integers: Integers) -> Value:
    """What a value of known range is multiplied by."""
    return k.broadcast(float(FORMATS[integers.format].limit) / k["full_scale"])


def store_vector(k: Function, integers: Integers, isa: ISA, scaled: Value, at: Value | int) -> None:
    """Round a vector that has been multiplied by its factor, and store its integers as elements from `at` on."""
    format = FORMATS[integers.format]
    limit, offset = float(format.limit), isa.dots.offset8 if integers.format == "int8" else 0
    held = k.minimum(k.maximum(scaled, -limit), limit)
    whole = k.bitcast(held + ROUNDER, "i32") - k.bitcast(k.splat(ROUNDER), "i32")
    k.store((whole + offset).convert("trunc", f"i{8 * format.bytes}"), k["integers"], at, align=1)


def _largest(k: Function, size: int, vector: Callable[[Value | int], Value]) -> Value:
    """The largest magnitude of the elements, and never 0."""
    least = k.splat(float(SMALLEST_SCALE))

    def magnitudes(at: Value | int) -> Value:
        magnitude = k.bitcast(k.bitcast(vector(at), "i32") & 0x7FFFFFFF, "float")
        if isinstance(at, int) and at + k.lanes <= size:
            return magnitude
        return k.select(lanes_below(k, at, size), magnitude, 0.0)

    if written_out(k, size):
        found = [magnitudes(at) for at in range(0, size, k.lanes)]
        while len(found) > 1:  # in pairs: the depth is what the next layer waits for
            found = [k.maximum(*found[i : i + 2]) if found[i + 1 :] else found[i] for i in range(0, len(found), 2)]
        return k.reduce("max", k.maximum(found[0], least))
    with k.loop(size, carry=[least], step=k.lanes) as loop:
        loop.next(k.maximum(magnitudes(loop.index), loop.carried[0]))
    return k.reduce("max", loop.results[0])
