"""Run one generated function by itself."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavejit.backends.llvm.builder import I64, PTR, Function, Value
from wavejit.backends.llvm.compile import Loaded, host_target, object_code
from wavejit.backends.llvm.isa import ISAS
from wavejit.runtime.engine import aligned_zeros

Array = NDArray[np.float32]


class Native:
    """The function `entry` of a module made of `functions`."""

    def __init__(self, isa: str, entry: str, *functions: Function) -> None:
        target, attributes = host_target(isa), ISAS[isa].attributes
        declarations = sorted(set().union(*(f.declarations for f in functions)))
        texts = [
            f'target triple = "{target.triple}"',
            *declarations,
            *(f.text(attributes) for f in functions),
        ]
        self._loaded = Loaded(entry, object_code("\n\n".join(texts) + "\n", target), (entry,))
        self._address = self._loaded.address(entry)

    def __call__(self, *arguments: int | NDArray) -> None:
        """Integers as 64 bits, arrays as pointers; the array's content may change."""
        given = [a if isinstance(a, int) else a.ctypes.data for a in arguments]
        ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(given))(self._address)(*given)


def elementwise(isa: str, f: Callable[[Function, Value], Value]) -> Callable[[ArrayLike], Array]:
    """`f` of each element of an array."""
    kind, parameters = ISAS[isa], [("x", PTR), ("out", PTR), ("n", I64)]
    k = Function("apply", parameters, kind.lanes, kind.fused, linkage="", look_up=kind.look_up_floats)
    with k.loop(k["n"], step=k.lanes) as loop:
        k.store(f(k, k.load(k["x"], loop.index)), k["out"], loop.index)
    native = Native(isa, "apply", k)

    def run(x: ArrayLike) -> Array:
        given = np.asarray(x, np.float32)
        padded = aligned_zeros(-(-given.size // 16) * 16)
        padded[: given.size] = given
        out = aligned_zeros(padded.size)
        native(padded, out, padded.size)
        return out[: given.size]

    return run


def padded(x: ArrayLike, extra: int = 64) -> Array:
    """A copy that begins on a cache line, with NaN behind it: what is read too far and used is seen."""
    flat = np.asarray(x, np.float32).reshape(-1)
    out = aligned_zeros(flat.size + extra)
    out[:] = np.nan
    out[: flat.size] = flat
    return out
