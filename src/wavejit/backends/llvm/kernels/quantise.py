"""Inputs of integer products: a vector of float32 to integers and their scale."""

from __future__ import annotations

from wavejit.backends.llvm.builder import F32, PTR, Function, Value
from wavejit.backends.llvm.functions import ROUNDER
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.lanes import lanes_below
from wavejit.ir.formats import FORMATS, SMALLEST_SCALE, FormatName


def quantise(size: int, name: FormatName, measured: bool, isa: ISA) -> Function:
    """Parameters: out (integers), x `(size,)`, scale (out, where the range is measured), full scale (where known).

    `ir/formats.py` says the same in NumPy.
    """
    k = Function(
        f"quantise_{name}_{size}{'_measured' if measured else ''}",
        [("out", PTR), ("x", PTR), ("scale", PTR) if measured else ("full_scale", F32)],
        isa.lanes,
        isa.fused,
    )
    format = FORMATS[name]
    limit = float(format.limit)
    if measured:
        largest = _largest(k, size)
        k.store(largest / limit, k["scale"])
    else:
        largest = k["full_scale"]
    factor = k.broadcast(limit / largest)
    offset = isa.dots.offset8 if name == "int8" else 0
    with k.loop(size, step=isa.lanes) as loop:
        scaled = k.minimum(k.maximum(k.load(k["x"], loop.index) * factor, -limit), limit)
        integers = k.bitcast(scaled + ROUNDER, "i32") - k.bitcast(k.splat(ROUNDER), "i32")
        k.store((integers + offset).convert("trunc", f"i{8 * format.bytes}"), k["out"], loop.index, align=1)
    return k


def _largest(k: Function, size: int) -> Value:
    """The largest magnitude of the elements, and never 0."""
    with k.loop(size, carry=[k.splat(float(SMALLEST_SCALE))], step=k.lanes) as loop:
        x = k.load(k["x"], loop.index)
        magnitude = k.bitcast(k.bitcast(x, "i32") & 0x7FFFFFFF, "float")
        inside = k.select(lanes_below(k, loop.index, size), magnitude, 0.0)
        loop.next(k.maximum(inside, loop.carried[0]))
    return k.reduce("max", loop.results[0])
