"""Which lanes of a vector are within an array."""

from __future__ import annotations

from wavejit.backends.llvm.builder import Function, Type, Value


def lanes_below(k: Function, at: Value, size: int) -> Value:
    """For each lane of the vector at element `at`, whether it is one of the first `size` elements."""
    numbers = k.lane_numbers(Type("i32", k.lanes))
    return numbers < k.broadcast(size - at.convert("trunc", "i32"))
