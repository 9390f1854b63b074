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
    clipped: bool = False  # whether a value may be beyond the range that is known

    @property
    def how(self) -> str:
        """What distinguishes kernels that make integers of one format."""
        return f"{self.format}{'_measured' if self.measured else ''}{'_clipped' if self.clipped else ''}"

    @property
    def name(self) -> str:
        return f"{self.how}_{self.size}"

    @property
    def parameters(self) -> list[tuple[str, Type]]:
        """Where the integers go, and where the scale goes that is measured, or what makes them of a known range."""
        return [("integers", PTR), ("scale", PTR) if self.measured else ("factor", F32)]


def quantise(integers: Integers, isa: ISA) -> Function:
    """Parameters: x `(size,)`, then those of `integers`."""
    k = Function(f"quantise_{integers.name}", [("x", PTR), *integers.parameters], isa.lanes, isa.fused)
    store_integers(k, integers, isa, lambda at: k.load(k["x"], at), k.__getitem__)
    return k


Parameter = Callable[[str], Value]  # of a kernel, by the names that `Integers.parameters` gives


def store_integers(
    k: Function, integers: Integers, isa: ISA, vector: Callable[[Value | int], Value], parameter: Parameter
) -> None:
    """Measure if need be, and write the integers of the vectors that `vector` gives for an element."""
    if integers.measured:
        limit = float(FORMATS[integers.format].limit)
        largest = _largest(k, integers.size, vector)
        k.store(largest / limit, parameter("scale"))
        factor = k.broadcast(limit / largest)
    else:
        factor = k.broadcast(parameter("factor"))
    for at in elements(k, integers.size):
        store_vector(k, integers, isa, vector(at) * factor, at, parameter)


def store_vector(
    k: Function, integers: Integers, isa: ISA, scaled: Value, at: Value | int, parameter: Parameter
) -> None:
    """Round a vector that has been multiplied by its factor, and store its integers as elements from `at` on.

    Only the low bits of the rounder's sum are kept: the integer, with what is added to it.
    """
    format = FORMATS[integers.format]
    limit, offset = float(format.limit), isa.dots.offset8 if integers.format == "int8" else 0
    held = k.minimum(k.maximum(scaled, -limit), limit) if integers.clipped else scaled
    whole = k.bitcast(held + (ROUNDER + offset), "i32")
    k.store(whole.convert("trunc", f"i{format.bits}"), parameter("integers"), at, align=1)


def _largest(k: Function, size: int, vector: Callable[[Value | int], Value]) -> Value:
    """The largest magnitude of the elements, and never 0.

    Bits of magnitudes are in the order of the magnitudes, and processors compare integers in fewer cycles.
    """
    least = k.bitcast(k.splat(float(SMALLEST_SCALE)), "i32")

    def magnitudes(at: Value | int) -> Value:
        magnitude = k.bitcast(vector(at), "i32") & 0x7FFFFFFF
        if isinstance(at, int) and at + k.lanes <= size:
            return magnitude
        return k.select(lanes_below(k, at, size), magnitude, 0)

    if written_out(k, size):
        found = [magnitudes(at) for at in range(0, size, k.lanes)]
        while len(found) > 1:  # in pairs: the depth is what the next layer waits for
            found = [k.maximum(*found[i : i + 2]) if found[i + 1 :] else found[i] for i in range(0, len(found), 2)]
        return k.bitcast(k.reduce("max", k.maximum(found[0], least)), "float")
    with k.loop(size, carry=[least], step=k.lanes) as loop:
        loop.next(k.maximum(magnitudes(loop.index), loop.carried[0]))
    return k.bitcast(k.reduce("max", loop.results[0]), "float")
