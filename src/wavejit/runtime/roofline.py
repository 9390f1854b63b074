"""The machine's ceiling, measured: bytes read a second for a given amount of data, and multiply-adds a second."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable

import numpy as np

from wavejit.backends.llvm.ceiling import ceilings
from wavejit.backends.llvm.compile import Loaded, object_code, version
from wavejit.ir.formats import FormatName
from wavejit.ir.target import Target
from wavejit.runtime.cache import cached
from wavejit.runtime.pair import Pair
from wavejit.runtime.placement import LARGEST, PLACES, SMALLEST, Array, aligned_zeros

_Entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
SECONDS_A_REPEAT = 0.02
TRIES = 3  # to read from a place


class Roofline:
    """Reads as many bytes as a model does a sample, over and over; two threads read one half each.

    Args:
        target: whose vectors to read with.
        read_bytes: how much, which decides the level of cache.
        format: what to multiply in.
        threads: 1 or 2, each on a core of its own.
    """

    def __init__(self, target: Target, read_bytes: float, format: FormatName = "float32", threads: int = 1) -> None:
        self._parts = [_Part(target, read_bytes / threads, format) for _ in range(threads)]
        self._pair = Pair() if threads > 1 else None

    @property
    def read_bytes(self) -> list[int]:
        """Bytes that each thread reads in a round: whole unrolled loops."""
        return [part.read_bytes for part in self._parts]

    def bytes_per_second(self) -> float:
        """One measurement of the speed of reading."""
        return self._together(lambda part: part.bytes_per_second())

    def multiply_adds_per_second(self) -> float:
        """One measurement of the speed of multiply-adds, with nothing read."""
        return self._together(lambda part: part.multiply_adds_per_second())

    def _together(self, measure: Callable[[_Part], float]) -> float:
        speeds = [0.0] * len(self._parts)

        def run(i: int) -> None:
            speeds[i] = measure(self._parts[i])

        if self._pair is None or not self._pair.together(lambda: run(0), lambda: run(1)):
            run(0)
        return sum(speeds)


class _Part:
    """What one thread reads and multiplies."""

    def __init__(self, target: Target, read_bytes: float, format: FormatName) -> None:
        made = ceilings(target, format)
        code, _ = cached((made.text, repr(target), version()), lambda: object_code(made.text, target))
        self._loaded = Loaded("ceilings", code, ("read", "multiply"))
        self._read = _Entry(self._loaded.address("read"))
        self._multiply = _Entry(self._loaded.address("multiply"))
        self._rounds = max(1, round(read_bytes / 4 / made.elements))
        self._elements = self._rounds * made.elements
        self.read_bytes = 4 * self._elements
        self._products = self._rounds * made.products
        self._out = aligned_zeros(1024)
        places = [self._ones() for _ in range(PLACES if SMALLEST <= self.read_bytes <= LARGEST else 1)]
        self._data = places[0]
        self._repeats = max(1, int(SECONDS_A_REPEAT / self._seconds(self._read, 1)))
        if len(places) > 1:  # an engine takes the best place, too
            self._data = max(places, key=self._speed_at)

    def _ones(self) -> Array:
        """Data to read; touched, so that each page is its own memory."""
        data = aligned_zeros(self._elements)
        data[:] = np.float32(1.0)
        return data

    def _speed_at(self, data: Array) -> float:
        """The speed of reading from one place."""
        self._data = data
        return statistics.median(self.bytes_per_second() for _ in range(TRIES))

    def bytes_per_second(self) -> float:
        """One measurement of the speed of reading."""
        return self.read_bytes * self._repeats / self._seconds(self._read, self._repeats)

    def multiply_adds_per_second(self) -> float:
        """One measurement of the speed of multiply-adds, with nothing read."""
        return self._products * self._repeats / self._seconds(self._multiply, self._repeats)

    def _seconds(self, entry: Callable[[int, int, int, int], None], repeats: int) -> float:
        started = time.perf_counter()
        entry(self._data.ctypes.data, self._rounds, repeats, self._out.ctypes.data)
        return time.perf_counter() - started
