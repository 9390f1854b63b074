"""Vectors along an array: which elements each begins at, which of its lanes are within."""

from __future__ import annotations

from collections.abc import Iterator

from wavejit.backends.llvm.builder import Function, Type, Value

VECTORS_WRITTEN_OUT = 8  # of a longer array, a loop takes one at a time


def written_out(k: Function, size: int) -> bool:
    """Whether an array is short enough for code without a loop."""
    return size <= VECTORS_WRITTEN_OUT * k.lanes


def elements(k: Function, size: int) -> Iterator[Value | int]:
    """The first element of each vector: all of them one after the other, or a loop's."""
    if written_out(k, size):
        yield from range(0, size, k.lanes)
    else:
        with k.loop(size, step=k.lanes) as loop:
            yield loop.index


def lanes_below(k: Function, at: Value | int, size: int) -> Value:
    """For each lane of the vector at element `at`, whether it is one of the first `size` elements."""
    numbers = k.lane_numbers(Type("i32", k.lanes))
    if isinstance(at, int):
        return numbers < k.constant(numbers.type, size - at)
    return numbers < k.broadcast(size - at.convert("trunc", "i32"))
