"""What limits a model's speed: reading weights, multiplying, or neither."""

from __future__ import annotations

import msgspec

REACHED = 0.7  # of a ceiling: from there on it is what limits


class Limits(msgspec.Struct, frozen=True):
    """What a sample asks of the machine, what the machine gives at best, and which of the two ceilings is met.

    Attributes:
        multiply_adds: of a sample.
        multiply_adds_per_byte: of weights that are read; streams that share a pass all count.
        bytes_per_second: measured, for as many bytes as a tick reads; of all threads.
        multiply_adds_per_second: measured on registers, in the format of the weights; of all threads.
        level: of cache that has room for the weights: "L1", "L2" …, "memory", or "" where it is not known.
        limit: "bytes from L3" (or another level), "multiply-adds", or "chain of operations".
    """

    multiply_adds: float
    multiply_adds_per_byte: float
    bytes_per_second: float
    multiply_adds_per_second: float
    level: str
    limit: str


def limit(share: float, by_bytes: float, by_multiplying: float, level: str) -> str:
    """What limits a speed.

    The lower ceiling, where `REACHED` of it is. Where it is not, the machine could read and multiply faster: an
    operation waits for the one before it, or does what is neither (functions, draws, widening, another thread).

    Args:
        share: of the lower ceiling that was reached.
        by_bytes, by_multiplying: the two ceilings, in samples a second.
        level: where the weights are read from; may be empty.
    """
    if share < REACHED:
        return "chain of operations"
    if by_multiplying < by_bytes:
        return "multiply-adds"
    return f"bytes from {level}" if level else "bytes"
