"""Where a kernel's result goes: to memory as floats, as integers for the products that read it, or as both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wavejit.backends.llvm.builder import PTR, Function, Type, Value
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.quantise import Integers, store_integers, store_vector


@dataclass(frozen=True)
class Output:
    """A result of `size` elements."""

    size: int
    floats: bool = True
    integers: Integers | None = None

    @property
    def name(self) -> str:
        """What distinguishes a kernel that does not only store floats."""
        if self.integers is None:
            return ""
        return f"_to_{self.integers.how}" + "_too" * self.floats

    @property
    def parameters(self) -> list[tuple[str, Type]]:
        """Where the floats go, then what `Integers` needs."""
        return [("out", PTR)] * self.floats + (self.integers.parameters if self.integers else [])


class Sink:
    """Takes a result vector by vector.

    Integers of a measured range are made at the end: of vectors in registers, if each was put at a constant place,
    and otherwise of the floats in memory.
    """

    def __init__(self, k: Function, output: Output, isa: ISA, parameter: Callable[[str], Value] | None = None) -> None:
        self._k, self._output, self._isa, self._parameter = k, output, isa, parameter or k.__getitem__
        self._put: dict[int, Value] = {}
        known = output.integers is not None and not output.integers.measured
        self._factor = k.broadcast(self._parameter("factor")) if known else None

    def put(self, value: Value, at: Value | int) -> None:
        """Store elements from `at` on."""
        k, integers = self._k, self._output.integers
        if self._output.floats:
            k.store(value, self._parameter("out"), at, align=4 * k.lanes)
        if integers is not None and self._factor is not None:
            store_vector(k, integers, self._isa, value * self._factor, at, self._parameter)
        elif isinstance(at, int):
            self._put[at] = value

    def finish(self) -> None:
        """Nothing more is put."""
        k, integers = self._k, self._output.integers
        if integers is not None and integers.measured:
            store_integers(k, integers, self._isa, self._stored, self._parameter)

    def _stored(self, at: Value | int) -> Value:
        if isinstance(at, int) and at in self._put:
            return self._put[at]
        return self._k.load(self._parameter("out"), at, align=4 * self._k.lanes)
